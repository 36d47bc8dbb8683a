"""Runs added up: a row for each strategy and load, with fairness by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from simulations.loaded.bound import Bound, offline_bound
from simulations.loaded.demand import Demand, draw_demands
from simulations.loaded.play import play
from simulations.loaded.strategies import SHAPES, tariff_of
from simulations.loaded.world import World
from simulations.pool import spread

LOADS = (0.5, 1.0, 1.5)
RUNS = 4
SEED = 3
QUARTERS = 4

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """Does work for every item, in the order of the items; see :mod:`simulations.pool`."""

    def __call__(
        self, work: Callable[[T], R], items: Sequence[T], *, done: Callable[[], None]
    ) -> list[R]: ...


IN_TURN: Spread = partial(spread, jobs=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one load. Success and volume are shares of what was asked for, as bounds are.

    ``fairness``: success by size (bandwidth times duration), from the smallest quarter of the
    requests to the largest.
    """

    topology: str
    load: float
    strategy: str
    success: float
    volume: float
    bound_success: float
    bound_volume: float
    seed: int
    requests: int
    fairness: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in JSON and CSV."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "fairness": list(self.fairness)
        }


@dataclass(frozen=True, slots=True)
class Count:
    """What one strategy reached in one run; ``quarters``: requests served and made, by size."""

    served: int
    volume: int
    quarters: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One load and one draw of requests, which all strategies see."""

    requests: int
    volume: int
    bound: Bound
    counts: tuple[Count, ...]


def simulate(
    world: World,
    loads: Sequence[float] = LOADS,
    strategies: Sequence[str] = tuple(SHAPES),
    seed: int = SEED,
    runs: int = RUNS,
    spread: Spread = IN_TURN,
    done: Callable[[], None] = lambda: None,
) -> tuple[Row, ...]:
    """The rows; the same for the same seed, however the work is spread. ``done``: after a run."""
    items = [(load, run) for load in loads for run in range(runs)]
    found = spread(partial(one_run, world, tuple(strategies), seed), items, done=done)
    return tuple(
        _row(world.name, load, strategy, seed, found[i * runs : (i + 1) * runs], number)
        for i, load in enumerate(loads)
        for number, strategy in enumerate(strategies)
    )


def one_run(world: World, strategies: Sequence[str], seed: int, item: tuple[float, int]) -> Run:
    """All strategies with the requests of one load and one number of a run."""
    load, run = item
    demands = draw_demands(world, load, seed, run)
    return Run(
        requests=len(demands),
        volume=sum(demand.volume for demand in demands),
        bound=offline_bound(world, demands),
        counts=tuple(
            count(
                demands, list(map(bool, play(world, SHAPES[name], demands, tariff_of(name, world))))
            )
            for name in strategies
        ),
    )


def count(demands: Sequence[Demand], served: Sequence[bool]) -> Count:
    """What it comes to that these were served."""
    order = sorted(range(len(demands)), key=lambda i: (demands[i].volume, i))
    edges = [len(order) * quarter // QUARTERS for quarter in range(QUARTERS + 1)]
    quarters = [order[edges[i] : edges[i + 1]] for i in range(QUARTERS)]
    return Count(
        served=sum(served),
        volume=sum(demand.volume for demand, ok in zip(demands, served, strict=True) if ok),
        quarters=tuple((sum(served[i] for i in quarter), len(quarter)) for quarter in quarters),
    )


def _row(
    topology: str, load: float, strategy: str, seed: int, runs: Sequence[Run], number: int
) -> Row:
    requests, volume = sum(run.requests for run in runs), sum(run.volume for run in runs)
    counts = [run.counts[number] for run in runs]
    return Row(
        topology=topology,
        load=load,
        strategy=strategy,
        success=_share(sum(count.served for count in counts), requests),
        volume=_share(sum(count.volume for count in counts), volume),
        bound_success=_share(sum(run.bound.requests for run in runs), requests),
        bound_volume=_share(sum(run.bound.volume for run in runs), volume),
        seed=seed,
        requests=requests,
        fairness=tuple(
            _share(sum(served for served, _ in same), sum(made for _, made in same))
            for same in zip(*(count.quarters for count in counts), strict=True)
        ),
    )


def _share(part: float, whole: float) -> float:
    """Rounded beyond what solvers on different machines agree on; of nothing, all."""
    return round(part / whole, 6) if whole else 1.0
