"""Composition: exact sums, every limit kept, and feasible just when an oracle says so."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
from hypothesis import given, strategies as st
from maps import build, criteria, figure_6a

from substrate.filling import fill
from substrate.model import Constraints, Refusal, RefusalKind, Strategy
from substrate.options import Supply
from substrate.routes import candidate_routes
from substrate.splitting import Share, compose
from substrate.topology import Topology

Outcome = tuple[Share, ...] | Refusal


def parallel(count: int, blind: str = "", capacity: int = 100) -> Topology:
    """Domains b, c, d, … between a and z."""
    names = [chr(ord("b") + i) for i in range(count)]
    edges = [(side, name, 1) for name in names for side in ("a", "z")]
    return build(edges, "az", blind=blind, capacity=capacity, exchanges="az")


def supply(topology: Topology, free: dict[str, int], **more: object) -> Supply:
    """Offers of every visible domain: ``free`` between all its ports, or plenty."""
    pairs = {
        (p.stp, q.stp): free.get(domain.name, 10**6)
        for domain in topology.domains.values()
        if domain.visible
        for p in domain.ports
        for q in domain.ports
        if p is not q
    }
    return Supply(pair_bps=pairs, **more)  # type: ignore[arg-type]


def split(
    topology: Topology,
    bandwidth_bps: int,
    free: dict[str, int],
    strategy: Strategy = Strategy.AUTO,
    ends: str = "az",
    known: Supply | None = None,
    **limits: Any,
) -> Outcome:
    wish = criteria(f"{ends[0]}:user", f"{ends[1]}:user", bandwidth_bps, strategy, **limits)
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints)
    return compose(wish, routes, known or supply(topology, free), topology)


def by_domain(outcome: Outcome) -> dict[str, int]:
    assert not isinstance(outcome, Refusal), outcome
    return {share.route.domains[1]: share.bandwidth_bps for share in outcome}


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=4),
    st.integers(1, 400),
    st.integers(1, 4),
)
def test_auto_fits_just_when_the_widest_paths_together_are_enough(
    free: list[int], wanted: int, max_paths: int
) -> None:
    topology = parallel(len(free))
    levels = dict(zip("bcde", free, strict=False))
    outcome = split(topology, wanted, levels, max_paths=max_paths)
    most = sum(sorted(free, reverse=True)[:max_paths])
    if wanted > most:
        assert isinstance(outcome, Refusal)
        assert outcome.available_bps is None or outcome.available_bps < wanted
        return
    shares = by_domain(outcome)
    assert sum(shares.values()) == wanted
    assert all(0 < bps <= levels[name] for name, bps in shares.items())
    fewest = next(n for n in range(1, 5) if sum(sorted(free, reverse=True)[:n]) >= wanted)
    assert len(shares) == fewest


@given(
    st.lists(
        st.tuples(st.sampled_from("abcz"), st.sampled_from("abcz"), st.integers(1, 30)).filter(
            lambda e: e[0] != e[1]
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 80),
)
def test_with_paths_enough_it_fits_just_when_the_maximum_flow_is_enough(
    edges: list[tuple[str, str, int]], wanted: int
) -> None:
    topology = build([(a, b, 1) for a, b, _ in edges], "az", capacities=[c for _, _, c in edges])
    graph: Any = nx.Graph()
    graph.add_nodes_from("az")
    for a, b, bps in edges:
        before = graph.get_edge_data(a, b, {"capacity": 0})["capacity"]
        graph.add_edge(a, b, capacity=before + bps)
    most, _ = nx.maximum_flow(graph, "a", "z")
    outcome = split(topology, wanted, {}, Strategy.FULL_OFFERS, max_paths=16)
    # Circuits are reserved both ways on a link, so ways that use one against the other cannot
    # cancel out like flow does; the bound is exact from above.
    if isinstance(outcome, Refusal):
        if most >= wanted:
            ways = candidate_routes(topology, "a:user", "z:user", Constraints(max_paths=16), 200)
            limits = [
                {stp: topology.port(stp).capacity_bps for pair in w.pairs for stp in pair}  # type: ignore[union-attr]
                for w in ways
            ]
            assert sum(fill(limits, wanted, 0)) < wanted
    else:
        assert wanted <= most
        assert sum(share.bandwidth_bps for share in outcome) == wanted


def test_150_over_two_disjoint_100s() -> None:
    assert by_domain(split(parallel(2), 150, {})) == {"b": 75, "c": 75}


def test_what_one_path_carries_goes_over_the_quickest() -> None:
    topology = build(
        [("a", "b", 5), ("b", "z", 5), ("a", "c", 1), ("c", "z", 1)], "az", exchanges="az"
    )
    assert by_domain(split(topology, 60, {})) == {"c": 60}


def test_a_trunk_that_paths_share_limits_their_sum() -> None:
    topology = figure_6a()
    shares = split(topology, 180, {}, ends="ad")
    assert not isinstance(shares, Refusal)
    assert sum(share.bandwidth_bps for share in shares) == 180
    thin = supply(topology, {}, port_bps={"rn1:e0": 120})
    refused = split(topology, 180, {}, ends="ad", known=thin)
    assert isinstance(refused, Refusal)
    assert refused.available_bps == 120


@pytest.mark.parametrize(("wanted", "parts"), [(99, [33, 33, 33]), (100, [34, 33, 33])])
def test_equal_parts_differ_by_a_bit_at_most(wanted: int, parts: list[int]) -> None:
    outcome = split(parallel(3), wanted, {"b": 0}, Strategy.EQUAL_SPLITTING)
    assert sorted(by_domain(outcome).values(), reverse=True) == parts


def test_equal_splitting_asks_nobody_but_knows_the_ports() -> None:
    outcome = split(parallel(2, capacity=40), 100, {}, Strategy.EQUAL_SPLITTING)
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.BANDWIDTH


def test_a_blind_domain_is_asked_for_the_remainder_in_equal_parts() -> None:
    topology = parallel(3, blind="cd")
    outcome = split(topology, 90, {"b": 30}, Strategy.PARTIAL_OFFERS)
    assert by_domain(outcome) == {"b": 30, "c": 30, "d": 30}
    enough = split(topology, 30, {"b": 30}, Strategy.PARTIAL_OFFERS)
    assert by_domain(enough) == {"b": 30}


def test_auto_asks_as_few_blind_domains_as_can_be() -> None:
    topology = parallel(3, blind="cd")
    assert by_domain(split(topology, 90, {"b": 30})) == {"b": 30, "c": 60}
    learnt = supply(topology, {"b": 30}, caps={("c:e2", "c:e3"): 25, ("d:e4", "d:e5"): 50})
    assert by_domain(split(topology, 90, {}, known=learnt)) in (
        {"b": 30, "c": 25, "d": 35},
        {"b": 30, "c": 10, "d": 50},
    )


def test_a_blind_site_does_not_make_its_paths_blind() -> None:
    topology = parallel(2, blind="a")
    outcome = split(topology, 150, {}, Strategy.FULL_OFFERS)
    assert sum(by_domain(outcome).values()) == 150


def test_full_offers_needs_a_visible_path() -> None:
    outcome = split(parallel(1, blind="b"), 1, {}, Strategy.FULL_OFFERS)
    assert isinstance(outcome, Refusal) or by_domain(outcome) == {"b": 1}
    hidden = split(parallel(2, blind="bc"), 1, {}, Strategy.FULL_OFFERS)
    assert isinstance(hidden, Refusal)


def test_single_path_is_one_path() -> None:
    assert by_domain(split(parallel(2), 100, {"b": 99}, Strategy.SINGLE_PATH)) == {"c": 100}
    assert isinstance(split(parallel(2), 101, {}, Strategy.SINGLE_PATH), Refusal)


def test_limits_on_latency_spread_and_share() -> None:
    topology = build(
        [("a", "b", 1), ("b", "z", 1), ("a", "c", 10), ("c", "z", 10)], "az", exchanges="az"
    )
    assert isinstance(split(topology, 150, {}, max_latency_spread_us=17), Refusal)
    assert len(by_domain(split(topology, 150, {}, max_latency_spread_us=18))) == 2
    assert isinstance(split(topology, 150, {}, max_latency_us=19), Refusal)
    assert isinstance(split(topology, 105, {}, min_share_bps=60), Refusal)
    assert min(by_domain(split(topology, 125, {}, min_share_bps=60)).values()) >= 60


def test_offers_tell_latency_inside_too() -> None:
    topology = parallel(2)
    slow = supply(topology, {}, pair_latency_us={("b:e0", "b:e1"): 50})
    assert by_domain(split(topology, 10, {}, known=slow)) == {"c": 10}


def test_where_domains_make_every_path_too_slow_it_is_told_how_quick_the_quickest_is() -> None:
    topology = parallel(2)
    inside = {("b:e0", "b:e1"): 5000, ("c:e2", "c:e3"): 4000}
    slow = supply(topology, {}, pair_latency_us=inside)
    # The two links of a path take 1 us each.
    told = split(topology, 10, {}, known=slow, max_latency_us=4001)
    assert isinstance(told, Refusal)
    assert told.reason == (
        "no path is within max_latency: the quickest takes 4.002 ms, 4.001 ms at most was asked for"
    )


def test_of_equal_paths_the_cheaper_is_taken() -> None:
    topology = parallel(2)
    dear = supply(topology, {}, pair_price={("b:e0", "b:e1"): 5})
    assert by_domain(split(topology, 10, {}, known=dear)) == {"c": 10}


def test_a_pair_without_an_offer_cannot_be_used() -> None:
    topology = parallel(2)
    everything = supply(topology, {})
    pairs = {pair: bps for pair, bps in everything.pair_bps.items() if not pair[0].startswith("b")}
    assert by_domain(split(topology, 100, {}, known=Supply(pair_bps=pairs))) == {"c": 100}


def test_a_domain_that_is_down_is_not_used() -> None:
    topology = parallel(2)
    without = supply(topology, {}, down=frozenset({"b"}))
    assert by_domain(split(topology, 100, {}, known=without)) == {"c": 100}
    nothing = supply(topology, {}, down=frozenset({"b", "c"}))
    refused = split(topology, 1, {}, known=nothing)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.UNAVAILABLE


def test_an_explicit_route_is_one_path() -> None:
    assert isinstance(split(parallel(2), 150, {}, ero=("b:e0",)), Refusal)


def test_a_refusal_names_the_place_and_what_would_fit() -> None:
    refused = split(parallel(2), 150, {"b": 40, "c": 70})
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.BANDWIDTH
    assert refused.domain == "c"
    assert refused.available_bps == 110
    assert "150 b/s was asked for, about 110 b/s fits" in refused.reason


def test_without_routes_there_is_no_path() -> None:
    topology = parallel(1)
    refused = compose(criteria("a:user", "z:user", 1), (), Supply(), topology)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.NO_PATH


@given(
    st.lists(
        st.dictionaries(st.sampled_from("pqrs"), st.integers(0, 40), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 120),
    st.integers(0, 10),
)
def test_filling_never_exceeds_a_limit_and_loses_nothing_of_the_optimum(
    limits: list[dict[str, int]], wanted: int, least: int
) -> None:
    shared: dict[str, int] = {}
    for route in limits:
        for name, free in route.items():
            shared[name] = min(shared.get(name, free), free)
    amounts = fill(limits, wanted, least)
    assert sum(amounts) <= wanted
    for name, free in shared.items():
        assert sum(a for a, route in zip(amounts, limits, strict=True) if name in route) <= free
    assert all(a >= least for a in amounts) or not any(amounts)
    if least == 0:
        assert sum(amounts) >= best_whole(limits, shared, wanted)


def best_whole(limits: list[dict[str, int]], shared: dict[str, int], wanted: int) -> int:
    """The integer optimum by dynamic search over amounts (small numbers only)."""
    best = 0
    step = 10

    def search(i: int, left: dict[str, int], total: int) -> None:
        nonlocal best
        best = max(best, min(total, wanted))
        if i == len(limits) or best >= wanted:
            return
        room = min((left[name] for name in limits[i]), default=0)
        for amount in sorted({room, *range(0, room + 1, step)}, reverse=True):
            after = {n: v - amount if n in limits[i] else v for n, v in left.items()}
            search(i + 1, after, total + amount)

    search(0, dict(shared), 0)
    return best
