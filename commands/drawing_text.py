"""A CloudNet's mapping drawn in text: providers as boxes of VNodes, a rail for each VLink.

A rail has its VLink's number below its upper end, and a ● in the row of each VNode that it joins;
a ┼ is a crossing and joins nothing. Below, each VLink is told in words, with its paths.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from braid.units import format_bandwidth
from braid.v1 import reservations_pb2 as pb
from commands.mapping import NOWHERE, Mapping, VLink, VNode
from commands.views_paths import path_text

PITCH = 4
LEAST_BOX = 30
ROWS = 2
"""Of each VNode: its name and state, then its amounts."""


@dataclass(frozen=True, slots=True)
class _Rail:
    """From row ``top`` to row ``bottom``; ``joins``: rows with a VNode that it joins."""

    number: int
    joins: frozenset[int]

    @property
    def top(self) -> int:
        return min(self.joins)

    @property
    def bottom(self) -> int:
        # The number needs a row of its own.
        return max(*self.joins, self.top + 1)


def drawing(mapping: Mapping, width: int) -> list[str]:
    """Lines of at most ``width`` characters, where that is 40 or more."""
    groups = mapping.at_providers()
    rows = _rows(groups)
    rails = [
        _Rail(number, frozenset(rows[end] for end in vlink.ends))
        for number, vlink in enumerate(mapping.vlinks, start=1)
        if vlink.ends
    ]
    wanted = max([LEAST_BOX, *(len(line) + 4 for line in _texts(groups))])
    columns = _columns(rails)
    box = max(LEAST_BOX, min(wanted, width - PITCH * len(columns)))
    drawn = columns[: max(0, (width - box) // PITCH)]
    beside = _beside(drawn, set(rows.values()))
    lines = [(line + beside.get(row, "")).rstrip() for row, line in enumerate(_boxes(groups, box))]
    missing = sum(len(column) for column in columns[len(drawn) :])
    if missing:
        text = f"{missing} more VLinks have no room here; all are told below"
        lines += textwrap.wrap(text, width)
    return lines + _legend(mapping, width)


def route_lines(mapping: Mapping, vlink: VLink) -> Iterator[str]:
    """How a VLink lies: a line for each path, or the provider that it stays in, as far as told."""
    for path in vlink.paths:
        share = f"{format_bandwidth(path.bandwidth_bps)} over " if len(vlink.paths) > 1 else ""
        yield f"{share}{path_text(path)}, {latency_text(path)}"
    if not vlink.paths:
        domains = mapping.domains_of(vlink)
        if not domains or NOWHERE in domains:
            yield NOWHERE
        else:
            yield f"{'between' if len(domains) > 1 else 'inside'} {' and '.join(domains)}"


def latency_text(path: pb.Path) -> str:
    """ "6 ms"."""
    return f"{path.latency_us / 1000:g} ms"


def _rows(groups: dict[str, list[VNode]]) -> dict[str, int]:
    """The row of each VNode's name."""
    rows, row = {}, 0
    for vnodes in groups.values():
        for number, vnode in enumerate(vnodes):
            rows[vnode.id] = row + 1 + ROWS * number
        row += ROWS * len(vnodes) + 2
    return rows


def _texts(groups: dict[str, list[VNode]]) -> Iterator[str]:
    for domain, vnodes in groups.items():
        yield f"{domain} ─"
        for vnode in vnodes:
            yield f"{vnode.id}  {_state(vnode)}"
            yield f"  {vnode.amounts}"


def _boxes(groups: dict[str, list[VNode]], width: int) -> Iterator[str]:
    inner = width - 4
    for domain, vnodes in groups.items():
        yield f"┌─ {_cut(domain, inner - 1)} ".ljust(width - 1, "─") + "┐"
        for vnode in vnodes:
            state = _state(vnode)
            name = _cut(vnode.id, inner - len(state) - 2).ljust(inner - len(state))
            yield f"│ {name}{state} │"
            yield f"│ {_cut(f'  {vnode.amounts}', inner).ljust(inner)} │"
        yield "└" + "─" * (width - 2) + "┘"


def _state(vnode: VNode) -> str:
    return " on ".join(filter(None, (vnode.state, vnode.host)))


def _columns(rails: Iterable[_Rail]) -> list[list[_Rail]]:
    """Short rails next to the boxes; those that do not meet share a column."""
    columns: list[list[_Rail]] = []
    for rail in sorted(rails, key=lambda each: (each.bottom - each.top, each.top, each.number)):
        for column in columns:
            if all(rail.bottom < other.top or other.bottom < rail.top for other in column):
                column.append(rail)
                break
        else:
            columns.append([rail])
    return columns


def _beside(columns: Sequence[Sequence[_Rail]], named: set[int]) -> dict[int, str]:
    """What stands right of the boxes, by row. ``named``: rows with a VNode's name."""
    cells: dict[int, list[str]] = {}
    ends: dict[int, int] = {}
    for number, column in enumerate(columns):
        x = PITCH * number + PITCH - 2
        for rail in column:
            for row in range(rail.top, rail.bottom + 1):
                line = cells.setdefault(row, [" "] * PITCH * len(columns))
                line[x] = "●" if row in rail.joins else "│" if row <= max(rail.joins) else " "
                if row in rail.joins:
                    ends[row] = x
            label = str(rail.number)
            cells[rail.top + 1][x : x + len(label)] = label
    for row in named & ends.keys():
        line = cells[row]
        crossed = {" ": "─", "│": "┼", "●": "●"}
        line[: ends[row]] = [crossed[cell] for cell in line[: ends[row]]]
    return {row: "".join(line) for row, line in cells.items()}


def _legend(mapping: Mapping, width: int) -> list[str]:
    lines = []
    for number, vlink in enumerate(mapping.vlinks, start=1):
        said = "  ".join(filter(None, (vlink.id, vlink.bandwidth, " ─ ".join(vlink.ends))))
        lines += textwrap.wrap(f"{number:>2} {said}", width, subsequent_indent=" " * 7)
        for route in route_lines(mapping, vlink):
            lines += textwrap.wrap(route, width, initial_indent=" " * 5, subsequent_indent=" " * 7)
    return lines


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"
