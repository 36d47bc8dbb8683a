"""Figure 6c of paper 003 (section 6.2): how often negotiations succeed, by strategy.

N domains lie in parallel between two sites, M of them visible. Each has a schedule of 1,000
entries; 100 requests per run ask for one entry each; 32 runs. Requests run through the
orchestrator, the agents and their books, and succeed when every domain holds its part. Nothing is
consumed: then the transaction is aborted, before the next request. As the paper's schedules have
one number per entry, circuits are reserved in one direction.

All rows of a run see the same schedules and requests (common random numbers), so the differences
between strategies are less noisy than the rates.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.records import Granted
from simulations.clock import run_virtual
from simulations.network import Network, build_network
from simulations.pool import spread
from simulations.schedules import (
    CAPACITY_BPS,
    VLANS,
    Wish,
    dice,
    draw_schedule,
    draw_wishes,
    fill_up,
)
from substrate.model import Criteria, Directionality, Strategy

DOMAINS_MAX = 4
RUNS = 32
REQUESTS = 100
SEED = 3
SITES = ("west", "east")


@dataclass(frozen=True, slots=True)
class Scenario:
    """``visible`` of ``domains`` make offers; the strategy is fixed."""

    domains: int
    visible: int
    strategy: Strategy

    @property
    def members(self) -> tuple[str, ...]:
        """The participant domains: each exists twice, with the same schedule."""
        kinds = ["visible"] * self.visible + ["blind"] * (self.domains - self.visible)
        return tuple(f"{kind}{i}" for i, kind in enumerate(kinds, start=1))


@dataclass(frozen=True, slots=True)
class Row:
    """One point of the figure."""

    domains: int
    visible: int
    strategy: Strategy
    success_rate: float
    requests: int

    def to_dict(self) -> dict[str, Any]:
        """As in JSON and CSV."""
        return {
            "domains": self.domains,
            "visible": self.visible,
            "strategy": self.strategy.name.lower(),
            "success_rate": self.success_rate,
            "requests": self.requests,
        }


def scenarios(domains_max: int = DOMAINS_MAX) -> tuple[Scenario, ...]:
    """Every point of the figure. One domain alone is the baseline, whatever the strategy."""
    found = []
    for n in range(1, domains_max + 1):
        found.append(Scenario(n, 0, Strategy.EQUAL_SPLITTING))
        found += [Scenario(n, m, Strategy.PARTIAL_OFFERS) for m in range(1, n + 1)]
        found.append(Scenario(n, n, Strategy.FULL_OFFERS))
    return tuple(found)


def simulate(
    seed: int = SEED,
    runs: int = RUNS,
    requests: int = REQUESTS,
    jobs: int = 1,
    done: Callable[[], None] = lambda: None,
) -> tuple[Row, ...]:
    """The figure's rows; the same for the same seed, whatever ``jobs``. ``done``: after a run."""
    counts = spread(partial(successes, seed, requests), range(runs), jobs, done)
    total = runs * requests
    return tuple(
        Row(s.domains, s.visible, s.strategy, sum(count[i] for count in counts) / total, total)
        for i, s in enumerate(scenarios())
    )


def successes(seed: int, requests: int, run: int) -> tuple[int, ...]:
    """How many requests of one run succeed in each scenario."""
    # A run keeps all that it makes: looking for garbage in it finds none and costs a seventh.
    gc.disable()
    try:
        return run_virtual(_run(seed, requests, run))
    finally:
        gc.enable()


async def _run(seed: int, requests: int, run: int) -> tuple[int, ...]:
    random = dice("success-rate", seed, run)
    schedules = [draw_schedule(random) for _ in range(DOMAINS_MAX)]
    wishes = draw_wishes(random, requests)
    async with await build_network(configs(), keep_events=False) as network:
        for i, schedule in enumerate(schedules, start=1):
            for kind in ("visible", "blind"):
                fill_up(network.members[f"{kind}{i}"].book, SITES[0], schedule)
        return tuple([await _count(network, scenario, wishes) for scenario in scenarios()])


async def _count(network: Network, scenario: Scenario, wishes: tuple[Wish, ...]) -> int:
    network.down(*network.members)
    network.up(*SITES, *scenario.members)
    count = 0
    for wish in wishes:
        criteria = Criteria(
            source="west:host",
            destination="east:host",
            bandwidth_bps=wish.bandwidth_bps,
            window=wish.window,
            directionality=Directionality.UNIDIRECTIONAL,
            strategy=scenario.strategy,
        )
        count += isinstance(await network.attempt(criteria), Granted)
    return count


def configs() -> list[dict[str, Any]]:
    """Two sites whose switches split, and every participant both visible and blind.

    The sites make no offers: they are on every path and never lack anything.
    """
    names = [f"{kind}{i}" for kind in ("visible", "blind") for i in range(1, DOMAINS_MAX + 1)]
    capacity = {"capacity": CAPACITY_BPS, "vlans": VLANS}
    host = {"name": "host", "capacity": DOMAINS_MAX * CAPACITY_BPS, "vlans": VLANS}
    sites = [
        {
            "domain": site,
            "backend": "pip",
            "visible": False,
            "ports": [host, *({"name": n, "remote": f"{n}:{site}", **capacity} for n in names)],
        }
        for site in SITES
    ]
    participants = [
        {
            "domain": name,
            "backend": "wan",
            "visible": name.startswith("visible"),
            "ports": [{"name": site, "remote": f"{site}:{name}", **capacity} for site in SITES],
        }
        for name in names
    ]
    return sites + participants
