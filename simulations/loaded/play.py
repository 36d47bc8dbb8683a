"""One run: every request through the orchestrator, the agents and their books, at its own time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.engine import Limits
from orchestrator.records import Reservation, State
from simulations.clock import run_virtual
from simulations.loaded.demand import BEFORE_S, Demand
from simulations.loaded.strategies import Shape
from simulations.loaded.world import World
from simulations.network import build_network
from substrate.model import Path
from substrate.tolls import Tariff

MOVES_MAX = 32
"""How many movable circuits one may move; of little use to others than ``repack``."""

Played = tuple[tuple[Path, ...], ...]
"""For each demand its paths, where it may have been moved to; none: it was refused."""


def play(
    world: World, shape: Shape, demands: Sequence[Demand], tariff: Tariff | None = None
) -> Played:
    """What becomes of these demands, which arrive in this order, in an empty network.

    ``tariff``: what a request may take from others; None: anything.
    """
    # A run keeps most of what it makes: looking for garbage in it costs more than it finds.
    gc.disable()
    try:
        return run_virtual(_play(world, shape, demands, tariff))
    finally:
        gc.enable()


def _timed(record: Reservation) -> tuple[Path, ...]:
    """Its paths, each with the time when it is there."""
    window = record.criteria.window
    return tuple(replace(path, window=path.window or window) for path in record.paths)


async def _play(
    world: World, shape: Shape, demands: Sequence[Demand], tariff: Tariff | None
) -> Played:
    now_s = asyncio.get_running_loop().time
    found: list[str] = []
    limits = Limits(explanations_max=0, moves_max=MOVES_MAX, tariff=tariff)
    async with await build_network(world.configs(), keep_events=False, limits=limits) as network:
        for demand in demands:
            await asyncio.sleep(BEFORE_S + demand.arrival_s - now_s())
            record = await network.reserve(shape(demand))
            found.append(record.reservation_id if record.state is State.COMMITTED else "")
        played = [_timed(await network.orchestrator.get(each)) if each else () for each in found]
        assert not network.errors, network.errors
    return tuple(played)
