"""`Plan` of requests that bend over a week of 200 domains, and of such as are refused.

One after the other, beside requests that do not bend, in the same run; refusals beside an
orchestrator that does not explain them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import cycle

from benchmarks import networks
from benchmarks.load import Measured
from benchmarks.plan_calls import LIVE_NODES, ask, fill, start, targets, up
from benchmarks.results import Row
from benchmarks.setting import Setting
from benchmarks.world import BrokenError, G, world
from braid.v1 import common_pb2, reservations_pb2 as pb

HOURS = 168
LIVE_SHARE = 10
"""One in so many of the reservations of the largest setting: 500 in each of 200 domains."""
RATE_BPS = 10 * G
VOLUME_BYTES = 40 * 10**12
TOO_MUCH_BPS = 400 * G
"""The ports carry it, the network with its reservations does not."""
TIMEOUT_S = 60
REFUSED = ("refused", "unexplained")
VARIANTS = ("rigid", "slide", "volume", "refused", "unexplained")


def bend_calls(setting: Setting) -> None:
    """See the module."""
    nodes, live = min(LIVE_NODES, max(setting.nodes)), max(setting.live) // LIVE_SHARE
    name, domains = f"bend, {nodes:,} nodes, {live:,} live", networks.network(nodes)
    sites = networks.users(domains)
    pairs = [(one, other) for one in sites for other in sites if one != other]
    random.Random(7).shuffle(pairs)
    baseline: Row | None = None
    with world(setting.place(name)) as made:
        fill(made, domains, live // nodes)
        start(made, domains)
        for variant in VARIANTS:
            if variant == "unexplained":
                made.orchestrator(targets(made, domains), explanations_max=0)
                up(made, domains)
            measured = Measured()
            wanted = _requests(variant, pairs)
            counts = refused if variant in REFUSED else granted
            cpu_s = asyncio.run(ask(setting, made, measured, wanted, 1, counts))
            if not measured.latencies_s:
                raise BrokenError(f"{name}, {variant}: no answer in time\n{made.errors()}")
            row = measured.row(name, variant, 1, cpu_s)
            setting.results.add(row, baseline)
            baseline = baseline or row


def refused(answer: pb.PlanResponse) -> bool:
    """Half of those that ask for too much; of the others their processor time is counted too."""
    return not answer.feasible


def granted(answer: pb.PlanResponse) -> bool:
    """Whether it fits."""
    return answer.feasible


def _requests(variant: str, pairs: list[tuple[str, str]]) -> Iterator[pb.Reservation]:
    dice = random.Random(REFUSED[0] if variant in REFUSED else variant)
    midnight_s = int(time.time()) // 86_400 * 86_400 + 2 * 86_400
    for number, (source, destination) in enumerate(cycle(pairs)):
        start_s, length_s = midnight_s + 3600 * dice.randrange(24), 3600
        request = pb.Reservation(
            request_id=f"{variant}-{number}",
            source=source,
            destination=destination,
            bandwidth_bps=TOO_MUCH_BPS if variant in REFUSED else RATE_BPS,
            negotiation_timeout_s=TIMEOUT_S,
        )
        if variant in ("slide", "volume"):
            length_s = HOURS * 3600
        if variant == "slide":
            request.flexibility.duration_s = 8 * 3600
        if variant == "volume":
            request.flexibility.volume_bytes = VOLUME_BYTES
        window = common_pb2.Window(start_s=start_s, end_s=start_s + length_s)
        request.window.CopyFrom(window)
        yield request
