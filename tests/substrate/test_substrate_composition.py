"""Composition where routes share links: every share checked, feasibility against an oracle."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import highspy
import numpy as np
from hypothesis import given, strategies as st
from substrate_world import G, Link, ask, ladder, network, routes_of

from substrate.model import Constraints, Criteria, Refusal, Strategy
from substrate.options import Supply
from substrate.routes import Route, disjoint_routes
from substrate.splitting import Share, compose
from substrate.topology import Topology

NAMES = "abcdz"
# Halves, which the optimum may need, are whole numbers of this.
UNIT = 12


@st.composite
def problems(draw: st.DrawFn) -> tuple[Topology, Supply, tuple[Route, ...]]:
    edges = draw(
        st.lists(
            st.tuples(
                st.sampled_from(list(combinations(NAMES, 2))),
                st.integers(1, 20),
                st.integers(0, 5),
            ),
            min_size=3,
            max_size=7,
        )
    )
    topology = network(
        [
            Link(a, b, bps * UNIT, latency_us, tag=f".{i}")
            for i, ((a, b), bps, latency_us) in enumerate(edges)
        ],
        hosts={"a": UNIT * draw(st.integers(5, 40)), "z": UNIT * 40},
        blind=draw(st.sets(st.sampled_from("bcd"))),
    )
    routes = routes_of(topology, ask(1), 6)
    offers = {
        pair: UNIT * draw(st.integers(0, 20))
        for pair in sorted({pair for route in routes for pair in route.pairs})
        if topology.domains[pair[0][0]].visible
    }
    return topology, Supply(pair_bps=offers), routes


def resources(route: Route) -> list[object]:
    return [place for pair in route.pairs for place in (pair, *pair)]


def free(place: object, topology: Topology, supply: Supply) -> int | None:
    if isinstance(place, str):
        port = topology.port(place)
        assert port is not None
        return port.capacity_bps
    return supply.pair_bps.get(place)  # type: ignore[call-overload, no-any-return]


def keeps_limits(
    shares: tuple[Share, ...], wish: Criteria, topology: Topology, supply: Supply, *, asked: bool
) -> None:
    limits = wish.constraints
    assert sum(share.bandwidth_bps for share in shares) == wish.bandwidth_bps
    assert len({share.route for share in shares}) == len(shares) <= limits.max_paths
    assert all(share.bandwidth_bps >= limits.min_share_bps for share in shares)
    latencies = [share.latency_us for share in shares]
    if limits.max_latency_spread_us is not None:
        assert max(latencies) - min(latencies) <= limits.max_latency_spread_us
    taken: Counter[object] = Counter()
    for share in shares:
        for place in resources(share.route):
            taken[place] += share.bandwidth_bps
    for place, bps in taken.items():
        most = free(place, topology, supply) if asked or isinstance(place, str) else None
        assert most is None or bps <= most, place


def fits(
    routes: tuple[Route, ...], wish: Criteria, topology: Topology, supply: Supply
) -> int | None:
    """The fewest routes that carry it within the limits, by a linear program for every set."""
    limits = wish.constraints
    for size in range(1, limits.max_paths + 1):
        for chosen in combinations(routes, size):
            latencies = [route.latency_us for route in chosen]
            spread_us = limits.max_latency_spread_us
            if spread_us is not None and max(latencies) - min(latencies) > spread_us:
                continue
            if carries(chosen, wish, topology, supply):
                return size
    return None


def carries(chosen: tuple[Route, ...], wish: Criteria, topology: Topology, supply: Supply) -> bool:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    for _ in chosen:
        solver.addVar(float(wish.constraints.min_share_bps), highspy.kHighsInf)
    for place in sorted({p for route in chosen for p in resources(route)}, key=str):
        most = free(place, topology, supply)
        if most is not None:
            who = [i for i, route in enumerate(chosen) if place in resources(route)]
            index = np.array(who, dtype=np.int32)
            solver.addRow(-highspy.kHighsInf, float(most), len(who), index, np.ones(len(who)))
    everybody = np.arange(len(chosen), dtype=np.int32)
    wanted = float(wish.bandwidth_bps)
    solver.addRow(wanted, wanted, len(chosen), everybody, np.ones(len(chosen)))
    solver.run()
    return bool(solver.getModelStatus() == highspy.HighsModelStatus.kOptimal)


def shown(routes: tuple[Route, ...], topology: Topology) -> tuple[Route, ...]:
    """Without those through a blind domain that others avoid."""
    common = set.intersection(*(set(route.domains) for route in routes))
    return tuple(
        route
        for route in routes
        if all(topology.domains[name].visible or name in common for name in route.domains)
    )


limits_of = st.builds(
    Constraints,
    max_paths=st.integers(1, 3),
    min_share_bps=st.sampled_from([1, UNIT, 5 * UNIT]),
    max_latency_spread_us=st.none() | st.integers(0, 6),
)
wanted_of = st.integers(1, 40).map(lambda units: UNIT * units)


@given(problems(), wanted_of, limits_of)
def test_auto_finds_a_plan_whenever_there_is_one(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int, limits: Constraints
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, constraints=limits)
    outcome = compose(wish, routes, supply, topology)
    possible = fits(routes, wish, topology, supply)
    if isinstance(outcome, Refusal):
        assert possible is None
        assert outcome.available_bps is None or outcome.available_bps < wanted
    else:
        keeps_limits(outcome, wish, topology, supply, asked=True)


@given(problems(), wanted_of, limits_of)
def test_full_offers_find_the_fewest_paths_through_visible_domains(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int, limits: Constraints
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=Strategy.FULL_OFFERS, constraints=limits)
    outcome = compose(wish, routes, supply, topology)
    visible = shown(routes, topology) if routes else ()
    possible = fits(visible, wish, topology, supply)
    if isinstance(outcome, Refusal):
        assert possible is None
    else:
        keeps_limits(outcome, wish, topology, supply, asked=True)
        assert len(outcome) == possible
        assert {share.route for share in outcome} <= set(visible)


@given(problems(), wanted_of, limits_of)
def test_partial_offers_keep_all_limits_and_give_blind_paths_equal_parts(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int, limits: Constraints
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=Strategy.PARTIAL_OFFERS, constraints=limits)
    outcome = compose(wish, routes, supply, topology)
    if isinstance(outcome, Refusal):
        return
    keeps_limits(outcome, wish, topology, supply, asked=True)
    visible = set(shown(routes, topology))
    blind = [share.bandwidth_bps for share in outcome if share.route not in visible]
    assert not blind or max(blind) - min(blind) <= 1
    if blind:
        seen = ask(wanted, constraints=limits)
        assert fits(tuple(visible), seen, topology, supply) is None


@given(problems(), wanted_of, limits_of)
def test_equal_parts_go_over_disjoint_routes_within_their_ports(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int, limits: Constraints
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=Strategy.EQUAL_SPLITTING, constraints=limits)
    outcome = compose(wish, routes, supply, topology)
    if isinstance(outcome, Refusal):
        return
    keeps_limits(outcome, wish, topology, supply, asked=False)
    parts = [share.bandwidth_bps for share in outcome]
    assert max(parts) - min(parts) <= 1
    chosen = tuple(share.route for share in outcome)
    assert disjoint_routes(chosen) == chosen


@given(problems(), wanted_of)
def test_a_single_path_is_taken_just_when_one_is_wide_enough(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int
) -> None:
    topology, supply, routes = problem
    wish = ask(wanted, strategy=Strategy.SINGLE_PATH)
    outcome = compose(wish, routes, supply, topology)
    one = ask(wanted, constraints=Constraints(max_paths=1))
    possible = fits(routes, one, topology, supply)
    assert isinstance(outcome, Refusal) == (possible is None)
    if not isinstance(outcome, Refusal):
        assert len(outcome) == 1
        keeps_limits(outcome, wish, topology, supply, asked=True)


@given(problems(), wanted_of, st.sampled_from(list(Strategy)))
def test_the_same_question_has_the_same_answer(
    problem: tuple[Topology, Supply, tuple[Route, ...]], wanted: int, strategy: Strategy
) -> None:
    topology, supply, routes = problem
    turned = Supply(pair_bps=dict(reversed(list(supply.pair_bps.items()))))
    again = Topology(reversed(list(topology.domains.values())))
    wish = ask(wanted, strategy=strategy)
    assert compose(wish, routes, supply, topology) == compose(wish, routes, turned, again)


def everything(topology: Topology) -> Supply:
    return Supply(
        pair_bps={
            (p.stp, q.stp): 1000 * G
            for domain in topology.domains.values()
            for p in domain.ports
            for q in domain.ports
            if p is not q and domain.visible
        }
    )


def test_equal_parts_do_not_overflow_the_port_that_all_paths_begin_at() -> None:
    topology = ladder({"b": 100 * G, "c": 100 * G}, hosts={"a": 100 * G, "z": 400 * G}, blind="bc")
    for strategy in (Strategy.EQUAL_SPLITTING, Strategy.PARTIAL_OFFERS):
        wish = ask(150 * G, strategy=strategy)
        refused = compose(wish, routes_of(topology, wish), everything(topology), topology)
        assert isinstance(refused, Refusal)
        assert refused.domain == "a"
        assert refused.resource == "a:host"
        assert refused.available_bps is not None
        assert refused.available_bps <= 100 * G


def test_too_little_for_all_paths_is_split_over_fewer() -> None:
    topology = ladder(dict.fromkeys("bcd", 100 * G))
    limits = Constraints(min_share_bps=10)
    wish = ask(25, strategy=Strategy.EQUAL_SPLITTING, constraints=limits)
    shares = compose(wish, routes_of(topology, wish), Supply(), topology)
    assert not isinstance(shares, Refusal)
    assert [share.bandwidth_bps for share in shares] == [13, 12]


def test_a_blind_site_at_the_end_makes_no_path_blind() -> None:
    topology = ladder({"b": 100 * G, "c": 100 * G}, blind="az")
    wish = ask(150 * G, strategy=Strategy.FULL_OFFERS)
    shares = compose(wish, routes_of(topology, wish), everything(topology), topology)
    assert not isinstance(shares, Refusal)
    assert [share.bandwidth_bps for share in shares] == [75 * G, 75 * G]
