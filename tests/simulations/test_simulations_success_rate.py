"""Figure 6c: the simulation gives exactly what its model says, and the model's averages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from simulated import assert_nothing_held, virtual

from orchestrator.records import State
from simulations.analytic import success_rate
from simulations.network import build_network
from simulations.schedules import Wish, dice, draw_schedule, draw_wishes, fill_up
from simulations.success_rate import (
    DOMAINS_MAX,
    REQUESTS,
    RUNS,
    SEED,
    SITES,
    Row,
    Scenario,
    configs,
    scenarios,
    simulate,
    successes,
)
from substrate.model import Criteria, Strategy


def draws(seed: int, run: int, requests: int) -> Iterator[tuple[int, list[int]]]:
    """Demand and availability of each request, drawn as the simulation draws them."""
    random = dice("success-rate", seed, run)
    schedules = [draw_schedule(random) for _ in range(DOMAINS_MAX)]
    for wish in draw_wishes(random, requests):
        yield wish.bandwidth_bps, [schedule[wish.entry] for schedule in schedules]


def model_says(scenario: Scenario, demand: int, free: list[int]) -> bool:
    """The paper's model in one line: visible domains first, the rest in equal parts."""
    visible = free[: scenario.visible]
    blind = free[scenario.visible : scenario.domains]
    rest = demand - sum(visible)
    if rest <= 0:
        return True
    if not blind:
        return False
    part, odd = divmod(rest, len(blind))
    return all(have >= part + (i < odd) for i, have in enumerate(blind))


def model_counts(seed: int, run: int, requests: int) -> tuple[int, ...]:
    drawn = list(draws(seed, run, requests))
    return tuple(sum(model_says(s, *request) for request in drawn) for s in scenarios())


@pytest.mark.parametrize("seed", [SEED, 41])
def test_negotiations_succeed_exactly_where_the_model_says(seed: int) -> None:
    assert successes(seed, 40, 0) == model_counts(seed, 0, 40)


def test_every_row_of_the_default_figure_is_within_two_points_of_the_formula() -> None:
    # The model stands for the negotiations here, which the test above shows to agree with it.
    counts = [model_counts(SEED, run, REQUESTS) for run in range(RUNS)]
    assert RUNS * REQUESTS == 3200
    for i, scenario in enumerate(scenarios()):
        rate = sum(count[i] for count in counts) / (RUNS * REQUESTS)
        assert rate == pytest.approx(_expected(scenario), abs=0.02), scenario


def test_over_many_seeds_the_figure_is_not_biased() -> None:
    seeds, runs, requests = range(100, 112), 16, 100
    totals = [0] * len(scenarios())
    for seed in seeds:
        for run in range(runs):
            for i, count in enumerate(model_counts(seed, run, requests)):
                totals[i] += count
    asked = len(seeds) * runs * requests
    for total, scenario in zip(totals, scenarios(), strict=True):
        # 19,200 requests: four standard deviations are 1.5 points at worst.
        assert total / asked == pytest.approx(_expected(scenario), abs=0.015), scenario


def _expected(scenario: Scenario) -> float:
    return float(success_rate(scenario.domains, scenario.visible, scenario.strategy))


def test_the_more_is_visible_the_more_succeeds_on_the_same_requests() -> None:
    counts = dict(zip(scenarios(), successes(5, 30, 1), strict=True))
    for n in range(1, DOMAINS_MAX + 1):
        ladder = [counts[Scenario(n, 0, Strategy.EQUAL_SPLITTING)]]
        ladder += [counts[Scenario(n, m, Strategy.PARTIAL_OFFERS)] for m in range(1, n + 1)]
        assert all(a <= b for a, b in pairwise(ladder))
        assert ladder[-1] == counts[Scenario(n, n, Strategy.FULL_OFFERS)]


def test_rows_do_not_depend_on_the_number_of_processes() -> None:
    finished: list[None] = []
    alone = simulate(seed=9, runs=2, requests=5, jobs=1)
    assert simulate(9, 2, 5, jobs=2, done=lambda: finished.append(None)) == alone
    assert len(finished) == 2
    assert simulate(seed=10, runs=2, requests=5) != alone


def test_the_rows_are_those_of_the_figure() -> None:
    rows = simulate(seed=1, runs=1, requests=2)
    shown = [(row.domains, row.visible, row.strategy.name.lower()) for row in rows]
    assert [row for row in shown if row[0] == 1] == [
        (1, 0, "equal_splitting"),
        (1, 1, "partial_offers"),
        (1, 1, "full_offers"),
    ]
    assert [row for row in shown if row[0] == 3] == [
        (3, 0, "equal_splitting"),
        (3, 1, "partial_offers"),
        (3, 2, "partial_offers"),
        (3, 3, "partial_offers"),
        (3, 3, "full_offers"),
    ]
    assert len(shown) == len(set(shown)) == 18


def test_a_row_as_json_has_five_fields() -> None:
    row = Row(2, 1, Strategy.PARTIAL_OFFERS, 0.83, 3200)
    assert row.to_dict() == {
        "domains": 2,
        "visible": 1,
        "strategy": "partial_offers",
        "success_rate": 0.83,
        "requests": 3200,
    }


@virtual
async def test_aborting_a_success_finds_what_committing_and_cancelling_it_does() -> None:
    """The shortcut that the figure takes, against a user's whole way, request by request."""
    random = dice("success-rate", 2, 0)
    schedules = [draw_schedule(random) for _ in range(DOMAINS_MAX)]
    wishes = draw_wishes(random, 12)
    scenario = Scenario(3, 1, Strategy.PARTIAL_OFFERS)
    async with await build_network(configs()) as network:
        for i, schedule in enumerate(schedules, start=1):
            for kind in ("visible", "blind"):
                fill_up(network.members[f"{kind}{i}"].book, SITES[0], schedule)
        before = {name: m.book.calendar.is_empty() for name, m in network.members.items()}
        network.down(*network.members)
        network.up(*SITES, *scenario.members)
        for wish in wishes:
            criteria = _criteria(wish, scenario)
            plan = await network.attempt(criteria)
            record = await network.reserve(criteria)
            assert (record.state is State.COMMITTED) == hasattr(plan, "paths")
            if record.state is State.COMMITTED:
                await network.cancel(record.reservation_id)
            await asyncio.sleep(1)
            assert network.held() == {}
        after = {name: m.book.calendar.is_empty() for name, m in network.members.items()}
        assert after == before
        assert after == {name: name in SITES for name in after}


def _criteria(wish: Wish, scenario: Scenario) -> Criteria:
    return Criteria(
        source="west:host",
        destination="east:host",
        bandwidth_bps=wish.bandwidth_bps,
        window=wish.window,
        strategy=scenario.strategy,
    )


@virtual
async def test_nothing_is_consumed() -> None:
    async with await build_network(configs()) as network:
        network.down(*network.members)
        network.up(*SITES, "visible1", "blind2")
        wish = Wish(0, 150 * 10**9)
        for _ in range(5):
            plan = await network.attempt(_criteria(wish, Scenario(2, 1, Strategy.PARTIAL_OFFERS)))
            assert hasattr(plan, "paths")
        await asyncio.sleep(1)
        assert_nothing_held(network)
