"""Of all splits within the limits the best is taken: against a linear program for every set."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given, strategies as st
from substrate_world import ask
from test_substrate_composition import carries, keeps_limits, limits_of, problems, wanted_of

from substrate.labels import Plan, assign_labels
from substrate.model import Constraints, Criteria, Refusal, Strategy
from substrate.options import Supply
from substrate.routes import Route
from substrate.splitting import compose
from substrate.topology import Topology
from substrate.vlans import ALL_VLANS, VlanSet

Problem = tuple[Topology, Supply, tuple[Route, ...]]
Rank = tuple[int, int, int, int]


def seen(topology: Topology) -> Topology:
    """With every domain visible: strategies differ in blind ones only."""
    return Topology(replace(domain, visible=True) for domain in topology.domains.values())


@st.composite
def priced(draw: st.DrawFn) -> Problem:
    """Offers for every pair, with latencies inside and prices."""
    topology, supply, routes = draw(problems())
    pairs = sorted({pair for route in routes for pair in route.pairs})
    return (
        seen(topology),
        replace(
            supply,
            pair_bps={pair: supply.pair_bps.get(pair, 120) for pair in pairs},
            pair_latency_us={pair: draw(st.integers(0, 3)) for pair in pairs},
            pair_price={pair: draw(st.integers(0, 3)) for pair in pairs},
        ),
        routes,
    )


def rank(chosen: tuple[Route, ...], supply: Supply) -> Rank:
    """The objective: number of paths, spread of latency, latency, price."""
    latencies = [
        route.latency_us + sum(supply.pair_latency_us[pair] for pair in route.pairs)
        for route in chosen
    ]
    price = sum(supply.pair_price[pair] for route in chosen for pair in route.pairs)
    return len(chosen), max(latencies) - min(latencies), max(latencies), price


def best(
    routes: tuple[Route, ...], wish: Criteria, topology: Topology, supply: Supply
) -> Rank | None:
    """The best rank of a set of routes that carries it within all limits."""
    limits = wish.constraints
    most_us = limits.max_latency_us
    for size in range(1, limits.max_paths + 1):
        ranks = sorted({(rank(chosen, supply), chosen) for chosen in combinations(routes, size)},
                       key=lambda item: item[0])  # fmt: skip
        for (_, spread_us, latency_us, price), chosen in ranks:
            if most_us is not None and latency_us > most_us:
                continue
            spread_max_us = limits.max_latency_spread_us
            if spread_max_us is not None and spread_us > spread_max_us:
                continue
            if carries(chosen, wish, topology, supply):
                return size, spread_us, latency_us, price
    return None


@given(
    priced(),
    wanted_of,
    limits_of,
    st.none() | st.integers(1, 12),
    st.sampled_from([Strategy.AUTO, Strategy.FULL_OFFERS, Strategy.PARTIAL_OFFERS]),
)
def test_the_split_is_the_best_that_keeps_all_limits(
    problem: Problem, wanted: int, limits: Constraints, most_us: int | None, strategy: Strategy
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=strategy, constraints=replace(limits, max_latency_us=most_us))
    outcome = compose(wish, routes, supply, topology)
    expected = best(routes, wish, topology, supply)
    if isinstance(outcome, Refusal):
        assert expected is None
        return
    keeps_limits(outcome, wish, topology, supply, asked=True)
    assert rank(tuple(share.route for share in outcome), supply) == expected


@given(priced(), wanted_of)
def test_a_single_path_is_the_quickest_then_the_cheapest_that_is_wide_enough(
    problem: Problem, wanted: int
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=Strategy.SINGLE_PATH)
    outcome = compose(wish, routes, supply, topology)
    expected = best(routes, replace(wish, constraints=Constraints(max_paths=1)), topology, supply)
    if isinstance(outcome, Refusal):
        assert expected is None
    else:
        assert rank(tuple(share.route for share in outcome), supply) == expected


@given(priced(), wanted_of, limits_of, st.data())
def test_it_goes_over_routes_with_a_vlan_left_wherever_these_can_carry_it(
    problem: Problem, wanted: int, limits: Constraints, data: st.DataObject
) -> None:
    topology, supply, routes = problem
    ports = sorted({stp for route in routes for pair in route.pairs for stp in pair})
    some = st.sets(st.integers(100, 102))
    free = {stp: VlanSet.of(*data.draw(some)) for stp in ports if data.draw(st.booleans())}
    supply = replace(supply, port_vlans=free)

    def left(route: Route) -> bool:
        """Nobody swaps labels here: one VLAN from end to end."""
        common = ALL_VLANS
        for stp in (stp for pair in route.pairs for stp in pair):
            common = common & free.get(stp, topology.ports[stp].vlans)
        return bool(common)

    with_vlan = tuple(route for route in routes if left(route))
    wish = ask(wanted, constraints=limits)
    outcome = compose(wish, routes, supply, topology)
    expected = best(with_vlan, wish, topology, supply)
    if expected is None:
        return
    assert not isinstance(outcome, Refusal)
    chosen = tuple(share.route for share in outcome)
    assert set(chosen) <= set(with_vlan)
    assert rank(chosen, supply) == expected
    if len(chosen) == 1:
        assert isinstance(assign_labels(wish, outcome, supply, topology), Plan)
