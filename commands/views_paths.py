"""How the paths of a circuit look: hop by hop, and phase by phase where the rate changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from braid.units import format_bandwidth, format_duration, format_time, format_volume
from braid.v1 import common_pb2, reservations_pb2 as pb

PHASE = ("phase", "from", "for", "moves")
PATH = ("path", "bandwidth", "latency", "route (VLAN in domain VLAN)")


def paths_view(paths: Sequence[pb.Path], window: common_pb2.Window) -> Table:
    """The split, with VLANs hop by hop; by phase where paths differ in time, and by destination
    where they lead to several.

    ``window``: when paths are there that name none.
    """
    phases = by_phase(paths, window)
    several = len({_leads_to(path) for path in paths}) > 1
    columns = [*(PHASE if len(phases) > 1 else ()), *(["to"] if several else ()), *PATH]
    table = Table(*columns, box=None)
    for number, (when, together) in enumerate(phases, start=1):
        phase = _phase_cells(number, when, together) if len(phases) > 1 else []
        for stp, leading in groupby(together, _leads_to):
            to = [Text(stp)] if several else []
            for count, path in enumerate(leading, start=1):
                table.add_row(*phase, *to, str(count), *_path_cells(path))
                phase, to = [""] * len(phase), [Text()] * len(to)
    return table


def moves_view(moves: Iterable[pb.Move]) -> Table:
    """Which other reservations would be moved: when and where each would be then."""
    table = Table("reservation", "from", "for", "bandwidth", "route", box=None)
    for move in moves:
        name = move.reservation_id
        for when, together in by_phase(move.paths, move.window):
            times = [format_time(when.start_s), format_duration(when.end_s - when.start_s)]
            for path in together:
                table.add_row(name, *times, format_bandwidth(path.bandwidth_bps), _route(path))
                name, times = "", ["", ""]
    return table


def advice_lines(advice: pb.Advice) -> list[RenderableType]:
    """How to use a circuit, to each of several destinations."""
    lines = [advice.text, *(f"{leg.destination}: {leg.text}" for leg in advice.legs)]
    return [Text(line) for line in lines]


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


def share_text(path: pb.Path) -> str:
    """ "2 Gb/s over sitea > rn1 > sited", and when it is there if not always."""
    vlink = f"{path.vlink}: " if path.vlink else ""
    text = f"{vlink}{format_bandwidth(path.bandwidth_bps)} over {_route(path)}"
    if not path.HasField("window"):
        return text
    length = format_duration(path.window.end_s - path.window.start_s)
    return f"{text} from {format_time(path.window.start_s)} for {length}"


def _route(path: pb.Path) -> str:
    return " > ".join(hop.domain for hop in path.hops)


def _phase_cells(number: int, when: common_pb2.Window, paths: Iterable[pb.Path]) -> list[str]:
    return [
        str(number),
        format_time(when.start_s),
        format_duration(when.end_s - when.start_s),
        format_volume(moved_bytes(paths, when)),
    ]


def _leads_to(path: pb.Path) -> str:
    return path.hops[-1].egress_stp if path.hops else ""


def _path_cells(path: pb.Path) -> tuple[str, str, Text]:
    latency = f"{path.latency_us / 1000:g} ms"
    return format_bandwidth(path.bandwidth_bps), latency, Text(path_text(path))
