"""Runs added up: Braid's mapping component beside baselines, on the same requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from embedding.embed import GAP, embed
from embedding.objectives import OBJECTIVES
from embedding.problem import Problem
from simulations.embedding.baselines import BASELINES, embed_by_rank
from simulations.embedding.draw import Demand, draw_scenario
from simulations.embedding.play import Embed, Placed, Tally, play
from simulations.embedding.scenario import Scenario
from simulations.pool import spread

BRAID = "braid"


DEMAND = Demand()


@dataclass(frozen=True, slots=True)
class Settings:
    """How Braid embeds: an objective by name, and ``time_limit_s`` of programs per request."""

    objective: str = "cost"
    time_limit_s: float = 0.0
    gap: float = GAP


@dataclass(frozen=True, slots=True)
class Source:
    """Where the requests are from: a ``scenario``, or draws by ``seed`` on a ``substrate``."""

    scenario: Scenario | None = None
    substrate: str = "waxman"
    demand: Demand = DEMAND
    seed: int = 1

    def get(self, run: int) -> Scenario:
        """The requests of a run. Raises SettingsError."""
        if self.scenario is not None:
            return self.scenario
        return draw_scenario(self.substrate, self.demand, self.seed, run)


@dataclass(frozen=True, slots=True)
class Row:
    """One way to embed. ``curve``: the share accepted so far, after each hundredth of all."""

    name: str
    requests: int
    acceptance: float
    revenue_to_cost: float
    ms_p50: float
    ms_p99: float
    proven_share: float
    curve: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        names = ("acceptance", "revenue_to_cost", "ms_p50", "ms_p99")
        return {name: getattr(self, name) for name in names}


def simulate(
    source: Source,
    settings: Settings,
    baselines: Sequence[str] = tuple(BASELINES),
    runs: int = 1,
    jobs: int = 1,
    done: Callable[[], None] = lambda: None,
) -> tuple[Row, ...]:
    """Braid's row, then one for each baseline. ``done``: after each run of each."""
    names = (BRAID, *baselines)
    items = [(name, run) for name in names for run in range(runs)]
    found = spread(partial(one_run, source, settings), items, jobs=jobs, done=done)
    return tuple(row_of(name, found[i * runs : (i + 1) * runs]) for i, name in enumerate(names))


def one_run(source: Source, settings: Settings, item: tuple[str, int]) -> Tally:
    """All requests of one run through one way to embed."""
    name, run = item
    return play(source.get(run), embedder(name, settings))


def embedder(name: str, settings: Settings) -> Embed:
    """``braid``, or a baseline by name."""
    if name == BRAID:
        return partial(_by_braid, settings)
    return partial(embed_by_rank, rank=BASELINES[name])


def _by_braid(settings: Settings, problem: Problem) -> Placed | None:
    objective = OBJECTIVES[settings.objective]
    answer = embed(problem, objective, gap=settings.gap, time_limit_s=settings.time_limit_s)
    if answer.embedding is None:
        return None
    use = problem.network.use(problem.request, answer.embedding)
    return Placed(use, answer.proven)


def row_of(name: str, tallies: Sequence[Tally]) -> Row:
    """Several runs as one row."""
    accepted = [one for tally in tallies for one in tally.accepted]
    ms = [one for tally in tallies for one in tally.ms]
    proven = sum(sum(tally.proven) for tally in tallies)
    cost = sum(tally.cost for tally in tallies)
    return Row(
        name=name,
        requests=len(accepted),
        acceptance=round(sum(accepted) / len(accepted), 6),
        revenue_to_cost=round(sum(tally.revenue for tally in tallies) / cost, 6) if cost else 1.0,
        ms_p50=round(float(np.percentile(ms, 50)), 3),
        ms_p99=round(float(np.percentile(ms, 99)), 3),
        proven_share=round(proven / len(accepted), 6),
        curve=_curve(tallies),
    )


def _curve(tallies: Sequence[Tally]) -> tuple[float, ...]:
    shortest = min(len(tally.accepted) for tally in tallies)
    ends = sorted({max(1, shortest * i // 100) for i in range(1, 101)})
    shares = [[sum(tally.accepted[:end]) / end for end in ends] for tally in tallies]
    return tuple(round(float(share), 6) for share in np.mean(shares, axis=0))
