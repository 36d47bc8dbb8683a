"""Figure 6b: each R&E network alone, and both together, exactly as the registries say."""

from __future__ import annotations

from itertools import combinations

import pytest
from simulated import virtual

from simulations.analytic import full_offers
from simulations.network import build_network
from simulations.schedules import Schedule, dice, draw_schedule, draw_wishes
from simulations.two_domains import (
    NETWORKS,
    REGIONALS,
    SITES,
    TRIALS,
    configs,
    draw_ends,
    simulate,
    successes,
)

Draw = tuple[int, list[int]]


def draws(seed: int, run: int, requests: int) -> list[Draw]:
    """Each request's demand, and what the registry of each R&E network has for it."""
    random = dice("two-domains", seed, run)
    registries: dict[tuple[str, str, str], Schedule] = {
        (network, a, b): draw_schedule(random)
        for network in NETWORKS
        for a, b in combinations(REGIONALS, 2)
    }
    wishes = [(wish, draw_ends(random)) for wish in draw_wishes(random, requests)]
    found = []
    for wish, (source, destination) in wishes:
        pair = sorted((SITES[source], SITES[destination]))
        free = [registries[network, pair[0], pair[1]][wish.entry] for network in NETWORKS]
        found.append((wish.bandwidth_bps, free))
    return found


def model_counts(seed: int, run: int, requests: int) -> tuple[int, ...]:
    drawn = draws(seed, run, requests)
    alone = [sum(free[i] >= demand for demand, free in drawn) for i in range(len(NETWORKS))]
    return (*alone, sum(sum(free) >= demand for demand, free in drawn))


@pytest.mark.parametrize("seed", [3, 8])
def test_negotiations_succeed_exactly_where_the_registries_say(seed: int) -> None:
    assert successes(seed, 60, 0) == model_counts(seed, 0, 60)


def test_the_default_figure_is_within_two_points_of_the_formula() -> None:
    counts = [model_counts(3, run, 100) for run in range(32)]
    rates = [sum(column) / 3200 for column in zip(*counts, strict=True)]
    half, both = float(full_offers(1)), float(full_offers(2))
    assert rates == pytest.approx([half, half, both], abs=0.02)


def test_sites_of_a_request_are_at_different_regional_networks() -> None:
    random = dice("x", 1, 0)
    ends = [draw_ends(random) for _ in range(300)]
    assert all(SITES[a] != SITES[b] for a, b in ends)
    # siteb and sitec share one: of the 12 ordered pairs 10 remain, and all of them come up.
    assert len(set(ends)) == 10


def test_rows_do_not_depend_on_the_number_of_processes() -> None:
    alone = simulate(9, 2, 5)
    assert simulate(9, 2, 5, jobs=2) == alone


def test_the_rows_tell_which_networks_were_used() -> None:
    rows = [row.to_dict() for row in simulate(1, 1, 3)]
    assert [(row["domains"], row["strategy"], row["networks"]) for row in rows] == [
        (1, "single_path", "renet1"),
        (1, "single_path", "renet2"),
        (2, "full_offers", "renet1 renet2"),
    ]
    assert all(row["requests"] == 3 and row["visible"] == row["domains"] for row in rows)
    assert len(TRIALS) == len(rows)


@virtual
async def test_the_network_is_that_of_figure_6a() -> None:
    async with await build_network(configs()) as network:
        topology = network.gateway.topology()
        assert set(topology.domains) == {*SITES, *REGIONALS, *NETWORKS}
        # A link per site, and one per R&E network and end of a point-to-point connection.
        assert len(topology.links) == len(SITES) + len(NETWORKS) * 2 * 3
        assert all(topology.domains[name].splits for name in REGIONALS)
