"""A CloudNet's mapping as a figure: VNodes in a row by provider, and below a bar for each VLink.

Each VNode has a line of its own down to the bar of each VLink that it is joined by, with a dot
there; where lines only cross there is none. What a VLink has and where it runs stands at its right.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.drawing_text import route_lines
from commands.mapping import Mapping, VLink, VNode
from simulations.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas, write

COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, "#0b7a8c", "#8a6d00", "#c2478f")
STATES = {"running": GREEN, "failed": RED, "preparing": ORANGE}
PROVIDER, VNODE, EDGE, LEADER = "#eef2f7", "#ffffff", "#9aa7b5", "#b8c0c8"

# All in inches.
MARGIN, TOP = 0.3, 0.75
LINE = 0.17
CHARACTER = 0.07
LEAST_VNODE, PORT = 1.15, 0.22
GAP, PAD, TITLE = 0.2, 0.18, 0.38
LEAST_ROW = 0.42
MOST_CHARACTERS = 84
"""Of a line; longer ones are folded."""
MOST_PIXELS = 20_000


@dataclass(frozen=True, slots=True)
class _Box:
    """A VNode: its left side and width, and the x of its line to each of its VLinks."""

    vnode: VNode
    left: float
    width: float
    ports: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Row:
    """A VLink: the y of its bar, the x of what it joins, and what is said of it."""

    vlink: VLink
    middle: float
    joins: tuple[tuple[str, float], ...]
    said: tuple[str, ...]
    color: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is; x to the right and y down, from the upper left corner."""

    boxes: tuple[_Box, ...]
    providers: tuple[tuple[str, float, float], ...]
    rows: tuple[_Row, ...]
    height_vnode: float
    right: float
    width: float
    height: float


def draw(mapping: Mapping, subtitle: str, file: Path) -> None:
    """The figure as a file: SVG where the name ends so, PNG otherwise. Raises PlotError."""
    plan = arranged(mapping, subtitle)
    dpi = min(150, MOST_PIXELS / max(plan.width, plan.height))
    figure, (axes,) = canvas(plan.width, plan.height, dpi=dpi)
    figure.set_layout_engine("none")
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, plan.width), ylim=(plan.height, 0))
    axes.text(MARGIN, 0.28, mapping.name, fontsize=13, weight="bold", va="center", parse_math=False)
    axes.text(MARGIN, 0.52, subtitle, fontsize=8.5, color=GREY, va="center", parse_math=False)
    for name, left, width in plan.providers:
        _provider(axes, plan, name, left, width)
    for row in plan.rows:
        _vlink(axes, plan, row)
    for box in plan.boxes:
        _vnode(axes, plan, box)
    write(figure, file)


def arranged(mapping: Mapping, subtitle: str = "") -> Plan:
    """Where everything of a figure is."""
    lines = max((len(_lines(vnode)) for vnode in mapping.vnodes), default=0)
    height_vnode = 0.22 + LINE * (1 + lines)
    boxes, providers, right = _across(mapping)
    first = TOP + TITLE + height_vnode + 2 * PAD
    rows, bottom = _down(mapping, {box.vnode.id: box for box in boxes}, first)
    longest = max((len(text) for row in rows for text in row.said), default=0)
    return Plan(
        boxes=boxes,
        providers=providers,
        rows=rows,
        height_vnode=height_vnode,
        right=right,
        width=max(right + CHARACTER * longest, CHARACTER * len(subtitle)) + 2 * MARGIN,
        height=bottom + MARGIN,
    )


def _across(
    mapping: Mapping,
) -> tuple[tuple[_Box, ...], tuple[tuple[str, float, float], ...], float]:
    """VNodes and providers from left to right, and where the last one ends."""
    order = {vnode.id: n for n, vnode in enumerate(v for vs in _groups(mapping) for v in vs[1])}
    boxes, providers, x = [], [], MARGIN
    for domain, vnodes in _groups(mapping):
        left = x
        x += PAD
        for vnode in vnodes:
            vlinks = _ports(mapping, vnode, order)
            longest = max(len(text) for text in (vnode.id, *_lines(vnode)))
            width = max(LEAST_VNODE, 0.3 + CHARACTER * longest, PORT * (len(vlinks) + 1))
            step = width / (len(vlinks) + 1)
            ports = {name: x + step * (number + 1) for number, name in enumerate(vlinks)}
            boxes.append(_Box(vnode, x, width, ports))
            x += width + GAP
        x = max(x - GAP + PAD, left + 0.3 + CHARACTER * 1.2 * len(domain))
        providers.append((domain, left, x - left))
        x += GAP
    return tuple(boxes), tuple(providers), x - GAP


def _ports(mapping: Mapping, vnode: VNode, order: dict[str, int]) -> list[str]:
    """Its VLinks; those that lead to the left stand at the left."""

    def leads(vlink: VLink) -> float:
        others = [order[end] for end in vlink.ends if end != vnode.id]
        return sum(others) / max(1, len(others))

    mine = [vlink for vlink in mapping.vlinks if vnode.id in vlink.ends]
    return [vlink.id for vlink in sorted(mine, key=lambda each: (leads(each), each.id))]


def _down(mapping: Mapping, boxes: dict[str, _Box], top: float) -> tuple[tuple[_Row, ...], float]:
    """A bar for each VLink, short ones first, and where the last one ends."""
    color = {vlink.id: COLORS[n % len(COLORS)] for n, vlink in enumerate(mapping.vlinks)}
    found = []
    for vlink in mapping.vlinks:
        joins = tuple((end, boxes[end].ports[vlink.id]) for end in vlink.ends)
        said = [f"{vlink.id}  {vlink.bandwidth}".rstrip()]
        for route in route_lines(mapping, vlink):
            said += textwrap.wrap(route, MOST_CHARACTERS, subsequent_indent="   ")
        found.append((vlink, joins, tuple(said)))
    found.sort(key=lambda each: (_span(each[1]), each[0].id))
    rows, y = [], top
    for vlink, joins, texts in found:
        height = max(LEAST_ROW, LINE * len(texts) + 0.14)
        rows.append(_Row(vlink, y + height / 2, joins, texts, color[vlink.id]))
        y += height
    return tuple(rows), y


def _span(joins: tuple[tuple[str, float], ...]) -> float:
    across = [x for _, x in joins]
    return max(across, default=0.0) - min(across, default=0.0)


def _provider(axes: Any, plan: Plan, name: str, left: float, width: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (left, TOP),
        width,
        plan.height - TOP - MARGIN / 2,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=PROVIDER,
        edgecolor=EDGE,
        linewidth=0.8,
        zorder=1,
    )
    axes.add_patch(box)
    axes.text(
        left + 0.14,
        TOP + 0.22,
        name,
        fontsize=10,
        weight="bold",
        va="center",
        parse_math=False,
        zorder=5,
    )


def _vnode(axes: Any, plan: Plan, box: _Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    top = TOP + TITLE
    patch = FancyBboxPatch(
        (box.left, top),
        box.width,
        plan.height_vnode,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=VNODE,
        edgecolor=STATES.get(box.vnode.state, EDGE),
        linewidth=1.2,
        zorder=4,
    )
    axes.add_patch(patch)
    x, y = box.left + 0.1, top + 0.18
    axes.text(
        x, y, box.vnode.id, fontsize=9, weight="bold", va="center", parse_math=False, zorder=5
    )
    for number, text in enumerate(_lines(box.vnode), start=1):
        color = STATES.get(text.split()[0], GREY)
        axes.text(
            x,
            y + LINE * number,
            text,
            fontsize=7.5,
            color=color,
            va="center",
            parse_math=False,
            zorder=5,
        )


def _vlink(axes: Any, plan: Plan, row: _Row) -> None:
    foot = TOP + TITLE + plan.height_vnode
    for _, x in row.joins:
        axes.plot([x, x], [foot, row.middle], color=row.color, linewidth=1.1, zorder=2)
        axes.plot([x], [row.middle], marker="o", markersize=5, color=row.color, zorder=3)
    across = [x for _, x in row.joins] or [plan.right]
    ends = [min(across), max(across)]
    axes.plot(ends, [row.middle] * 2, color=row.color, linewidth=2.6, zorder=3)
    leader = [ends[1] + 0.08, plan.right + 0.2]
    axes.plot(leader, [row.middle] * 2, color=LEADER, linewidth=0.7, linestyle=":", zorder=1.5)
    y = row.middle - LINE * (len(row.said) - 1) / 2
    for number, text in enumerate(row.said):
        axes.text(
            plan.right + MARGIN,
            y + LINE * number,
            text,
            fontsize=8 if number else 9,
            weight="normal" if number else "bold",
            color=GREY if number else row.color,
            va="center",
            parse_math=False,
            zorder=5,
        )


def _groups(mapping: Mapping) -> list[tuple[str, list[VNode]]]:
    return list(mapping.at_providers().items())


def _lines(vnode: VNode) -> list[str]:
    """What stands below its name."""
    amounts = [text for text in vnode.amounts.split(", ") if text]
    return [*amounts, *filter(None, (vnode.state, vnode.host and f"on {vnode.host}"))]
