"""Strategies: what the same request looks like to Braid, by how much of it may bend.

A strategy is nothing but the shape of the criteria, and what the service lets a request take from
others; the planner is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from simulations.loaded.demand import SLOT_S, Demand
from simulations.loaded.world import HOST, World
from substrate.model import Bend, Constraints, Criteria, Directionality, Strategy, Window
from substrate.tolls import TERABYTE_BITS, Tariff

PATHS_MAX = 16

Shape = Callable[[Demand], Criteria]


def _criteria(
    demand: Demand,
    window: Window,
    strategy: Strategy = Strategy.AUTO,
    constraints: Constraints | None = None,
    bend: Bend | None = None,
) -> Criteria:
    return Criteria(
        source=f"{demand.source}:{HOST}",
        destination=f"{demand.destination}:{HOST}",
        bandwidth_bps=demand.bandwidth_bps,
        window=window,
        directionality=Directionality.UNIDIRECTIONAL,
        strategy=strategy,
        constraints=constraints or Constraints(max_paths=PATHS_MAX),
        bend=bend,
    )


def _rigid(strategy: Strategy, demand: Demand) -> Criteria:
    return _criteria(demand, demand.window, strategy, Constraints())


def _max_flow_split(demand: Demand) -> Criteria:
    return _criteria(demand, demand.window)


def _slide(demand: Demand) -> Criteria:
    bend = Bend(duration_s=demand.window.duration_s)
    return _criteria(demand, demand.wide_window, bend=bend)


def _malleable(demand: Demand) -> Criteria:
    bend = Bend(volume_bytes=demand.volume * SLOT_S // 8)
    return _criteria(demand, demand.wide_window, bend=bend)


def _slide_repack(demand: Demand) -> Criteria:
    return replace(_slide(demand), movable=True)


def _repack(demand: Demand) -> Criteria:
    return replace(_malleable(demand), movable=True)


SHAPES: dict[str, Shape] = {
    "single_path": partial(_rigid, Strategy.SINGLE_PATH),
    "equal_split": partial(_rigid, Strategy.EQUAL_SPLITTING),
    "full_offers": partial(_rigid, Strategy.FULL_OFFERS),
    "max_flow_split": _max_flow_split,
    "slide": _slide,
    "slide_repack": _slide_repack,
    "malleable": _malleable,
    "repack": _repack,
    "priced": _malleable,
    "priced_repack": _repack,
    "priced_by_size": _malleable,
    "priced_by_size_repack": _repack,
}
"""By name, as in rows."""

PRICES: dict[str, tuple[float, float]] = {
    "priced": (3, 0),
    "priced_repack": (3, 0),
    "priced_by_size": (1, 1),
    "priced_by_size_repack": (1, 1),
}
"""What a request may take from others: so much as links for so many slots, and for so much of the
time for which one link would carry all of it (substrate.tolls)."""


def tariff_of(name: str, world: World) -> Tariff | None:
    """That of a strategy; None: it has none."""
    slots, links = PRICES.get(name, (0, 0))
    if not slots:
        return None
    return Tariff(slots * SLOT_S, links * TERABYTE_BITS / world.unit_bps)
