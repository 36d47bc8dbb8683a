"""Hand-made answers to requests that bend."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from rich.console import Console

from braid.v1 import common_pb2, reservations_pb2 as pb

G = 10**9
TB = 10**12
HOUR_S = 3600
START_S = 1_900_000_000
ROUTE = ("sitea:dtn", "sited:dtn")


def window(after_h: float, hours: float) -> common_pb2.Window:
    start_s = START_S + int(after_h * HOUR_S)
    return common_pb2.Window(start_s=start_s, end_s=start_s + int(hours * HOUR_S))


def path(
    bandwidth_bps: int, when: common_pb2.Window | None = None, network: str = "renet1"
) -> pb.Path:
    hops = [
        pb.Hop(domain="sitea", ingress_vlan=1999, egress_vlan=399),
        pb.Hop(domain=network, ingress_vlan=399, egress_vlan=399),
        pb.Hop(domain="sited", ingress_vlan=399, egress_vlan=1999),
    ]
    return pb.Path(bandwidth_bps=bandwidth_bps, latency_us=24_000, hops=hops, window=when)


def request(bandwidth_bps: int, when: common_pb2.Window, **bends: Any) -> pb.Reservation:
    message = pb.Reservation(
        source=ROUTE[0], destination=ROUTE[1], bandwidth_bps=bandwidth_bps, window=when
    )
    if bends:
        message.flexibility.CopyFrom(pb.Flexibility(**bends))
    return message


MOVE = request(0, window(0, 14), volume_bytes=39_600 * G)
PHASES = (
    path(10 * G, window(6, 6)),
    path(5 * G, window(0, 4)),
    path(2 * G, window(0, 4), "renet2"),
)
"""In no order: 7 Gb/s for four hours and then, two hours later, 10 Gb/s for six."""

BOTTLENECKS = (
    pb.Bottleneck(
        domain="renet1", resource="renet1:to-rn3", free_bps=40 * G, window=window(0.5, 1)
    ),
    pb.Bottleneck(domain="sited", resource="sited:dtn", label=True),
)
ALTERNATIVES = (
    pb.Alternative(
        kind=pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH,
        token="q7Xw-2fLk9",
        request=request(140 * G, window(0, 2)),
        text="140 Gb/s instead of 300 Gb/s, at the time that was asked for.",
        expires_ms=(START_S - 60) * 1000,
    ),
    pb.Alternative(
        kind=pb.ALTERNATIVE_KIND_EARLIEST_START,
        token="Zt0m-8hRb1",
        request=request(200 * G, window(3, 2)),
        text="It begins 3h later.",
        expires_ms=(START_S - 60) * 1000,
        least_change=True,
    ),
    pb.Alternative(
        kind=pb.ALTERNATIVE_KIND_SAME_VOLUME,
        token="a b",
        request=request(200 * G, window(0, 4), volume_bytes=270 * TB, max_phases=8),
        text="The same data is moved 2h later, at a rate that changes.",
        expires_ms=(START_S - 60) * 1000,
    ),
)


def shown(view: Any) -> str:
    screen = Console(file=StringIO(), width=200, color_system=None)
    screen.print(view)
    return str(screen.file.getvalue())  # type: ignore[attr-defined]


def cells(text: str) -> list[list[str]]:
    """Each line's cells: what two or more blanks set apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
