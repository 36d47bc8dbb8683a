"""How the paths of a circuit look: hop by hop, and phase by phase where the rate changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from braid.units import format_bandwidth, format_duration, format_time, format_volume
from braid.v1 import common_pb2, reservations_pb2 as pb

ROUTE = "route (VLAN in domain VLAN)"


def paths_view(paths: Sequence[pb.Path], window: common_pb2.Window) -> Table:
    """The split, with VLANs hop by hop; by phase where paths differ in time.

    ``window``: when paths are there that name none.
    """
    phases = by_phase(paths, window)
    if len(phases) > 1:
        return _phases_view(phases)
    table = Table("path", "bandwidth", "latency", ROUTE, box=None)
    for number, path in enumerate(paths, start=1):
        table.add_row(str(number), *_path_cells(path))
    return table


def by_phase(
    paths: Iterable[pb.Path], window: common_pb2.Window
) -> list[tuple[common_pb2.Window, list[pb.Path]]]:
    """Paths that are there at the same time together, earliest first."""

    def when(path: pb.Path) -> tuple[int, int]:
        own = path.window if path.HasField("window") else window
        return own.start_s, own.end_s

    return [
        (common_pb2.Window(start_s=start_s, end_s=end_s), list(group))
        for (start_s, end_s), group in groupby(sorted(paths, key=when), when)
    ]


def moved_bytes(paths: Iterable[pb.Path], window: common_pb2.Window) -> int:
    """How much fits through them: the sum of rate and time."""
    bits = sum(
        path.bandwidth_bps * (when.end_s - when.start_s)
        for when, together in by_phase(paths, window)
        for path in together
    )
    return bits // 8


def path_text(path: pb.Path) -> str:
    """ "[101] sitea [102] rn1 [103] …": the VLAN on each side of every domain."""
    pieces = [f"[{path.hops[0].ingress_vlan}]"] if path.hops else []
    for hop in path.hops:
        pieces += [hop.domain, f"[{hop.egress_vlan}]"]
    return " ".join(pieces)


def _phases_view(phases: Sequence[tuple[common_pb2.Window, list[pb.Path]]]) -> Table:
    table = Table("phase", "from", "for", "moves", "path", "bandwidth", "latency", ROUTE, box=None)
    for number, (when, paths) in enumerate(phases, start=1):
        phase = [
            str(number),
            format_time(when.start_s),
            format_duration(when.end_s - when.start_s),
            format_volume(moved_bytes(paths, when)),
        ]
        for count, path in enumerate(paths, start=1):
            table.add_row(*phase, str(count), *_path_cells(path))
            phase = [""] * len(phase)
    return table


def _path_cells(path: pb.Path) -> tuple[str, str, Text]:
    latency = f"{path.latency_us / 1000:g} ms"
    return format_bandwidth(path.bandwidth_bps), latency, Text(path_text(path))
