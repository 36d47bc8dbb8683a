"""Composition where routes share something, or where a limit rather than bandwidth is short."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations
from typing import Any

from effort import calls_of
from hypothesis import given, strategies as st
from maps import build, criteria
from substrate_world import G, ask, ladder, routes_of

from substrate.filling import fill
from substrate.model import Constraints, Refusal, RefusalKind, Strategy
from substrate.options import Supply
from substrate.routes import candidate_routes
from substrate.splitting import Share, compose
from substrate.topology import Topology

CALLS_MAX = 40_000
"""About five times as many as are made."""

Outcome = tuple[Share, ...] | Refusal


def ways(latencies: list[int], *, blind: str = "", capacity: int = 100) -> Topology:
    """One way from a to z through each of b, c, d, …, of that latency."""
    edges = [
        edge
        for name, latency_us in zip("bcdefghi", latencies, strict=False)
        for edge in (("a", name, latency_us), (name, "z", 0))
    ]
    return build(edges, "az", blind=blind, capacity=capacity, exchanges="az")


def offers(topology: Topology, free: dict[str, int] | None = None, **more: object) -> Supply:
    pairs = {
        (p.stp, q.stp): (free or {}).get(domain.name, 10**6)
        for domain in topology.domains.values()
        if domain.visible
        for p in domain.ports
        for q in domain.ports
        if p is not q
    }
    return Supply(pair_bps=pairs, **more)  # type: ignore[arg-type]


def split(
    topology: Topology, wanted: int, known: Supply, strategy: Strategy, **limits: object
) -> Outcome:
    wish = criteria("a:user", "z:user", wanted, strategy, **limits)
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints)
    return compose(wish, routes, known, topology)


def amounts(outcome: Outcome) -> dict[str, int]:
    assert not isinstance(outcome, Refusal), outcome
    return {share.route.domains[1]: share.bandwidth_bps for share in outcome}


def test_equal_parts_together_keep_within_the_users_port() -> None:
    topology = ways([1, 1])
    site = topology.domains["a"]
    ports = tuple(
        replace(port, capacity_bps=120) if port.stp == "a:user" else port for port in site.ports
    )
    thin = topology.with_domain(replace(site, ports=ports))
    refused = split(thin, 150, Supply(), Strategy.EQUAL_SPLITTING)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.BANDWIDTH
    assert refused.available_bps == 120
    assert amounts(split(thin, 120, Supply(), Strategy.EQUAL_SPLITTING)) == {"b": 60, "c": 60}


def test_what_fits_in_equal_parts_is_what_the_narrowest_way_allows() -> None:
    known = Supply(caps={("c:e2", "c:e3"): 10})
    refused = split(ways([1, 1]), 80, known, Strategy.EQUAL_SPLITTING)
    assert isinstance(refused, Refusal)
    assert refused.available_bps == 20


def test_the_remainder_in_equal_parts_keeps_within_the_users_port() -> None:
    topology = ways([1, 1, 1], blind="cd")
    known = offers(topology, {"b": 30}, port_bps={"a:user": 80})
    assert isinstance(split(topology, 90, known, Strategy.PARTIAL_OFFERS), Refusal)
    assert sum(amounts(split(topology, 80, known, Strategy.PARTIAL_OFFERS)).values()) == 80


def test_equal_splitting_keeps_the_limits_on_spread_and_share() -> None:
    topology = ways([1, 2, 50])
    near = split(topology, 90, Supply(), Strategy.EQUAL_SPLITTING, max_latency_spread_us=10)
    assert amounts(near) == {"b": 45, "c": 45}
    large = split(topology, 90, Supply(), Strategy.EQUAL_SPLITTING, min_share_bps=40)
    assert min(amounts(large).values()) >= 40


def test_partial_offers_keep_the_least_share_for_blind_domains_too() -> None:
    topology = ways([1, 1, 1], blind="cd")
    known = offers(topology, {"b": 70})
    shares = amounts(split(topology, 90, known, Strategy.PARTIAL_OFFERS, min_share_bps=15))
    assert sum(shares.values()) == 90
    assert min(shares.values()) >= 15


def test_a_visible_path_leaves_a_blind_one_its_least_share() -> None:
    topology = ways([1, 1, 1], blind="c")
    known = offers(topology, {"b": 95, "d": 0}, caps={("c:e2", "c:e3"): 10})
    shares = amounts(split(topology, 100, known, Strategy.AUTO, min_share_bps=10))
    assert shares == {"b": 90, "c": 10}


def test_a_blind_path_within_the_spread_is_found_behind_a_nearer_one_that_is_not() -> None:
    topology = ways([10, 1, 12], blind="cd")
    known = offers(topology, {"b": 60})
    shares = amounts(split(topology, 100, known, Strategy.AUTO, max_latency_spread_us=5))
    assert shares == {"b": 60, "d": 40}


def test_partial_offers_ask_only_blind_paths_within_the_spread() -> None:
    topology = ways([10, 1, 12], blind="cd")
    known = offers(topology, {"b": 60})
    shares = amounts(split(topology, 100, known, Strategy.PARTIAL_OFFERS, max_latency_spread_us=5))
    assert shares == {"b": 60, "d": 40}


def test_when_a_limit_and_not_bandwidth_is_short_the_refusal_says_so() -> None:
    topology = ways([1, 50])
    refused = split(topology, 150, offers(topology), Strategy.AUTO, max_latency_spread_us=10)
    assert isinstance(refused, Refusal)
    assert "149 b/s" not in refused.reason
    assert "spread" in refused.reason
    assert refused.available_bps == 100


def test_what_would_fit_counts_paths_that_share_nothing_before_wider_ones_that_do() -> None:
    edges = [("a", "m", 1), *(("m", name, 1) for name in "bc"), *((n, "z", 1) for n in "bc")]
    edges += [("a", "d", 5), ("d", "z", 5)]
    capacities = [100, 100, 100, 100, 100, 60, 60]
    topology = build(edges, "az", capacities=capacities, exchanges="amz")
    refused = split(topology, 200, offers(topology), Strategy.AUTO, max_paths=2)
    assert isinstance(refused, Refusal)
    assert refused.available_bps == 160


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=4),
    st.integers(1, 120),
    st.integers(1, 4),
    st.integers(1, 20),
    st.integers(0, 30),
)
def test_full_offers_fit_just_when_some_set_of_paths_keeps_every_limit(
    paths: list[tuple[int, int]], wanted: int, most: int, least: int, spread_us: int
) -> None:
    topology = ways([latency_us for _, latency_us in paths])
    free = {name: bps for name, (bps, _) in zip("bcde", paths, strict=False)}
    outcome = split(
        topology,
        wanted,
        offers(topology, free),
        Strategy.FULL_OFFERS,
        max_paths=most,
        min_share_bps=least,
        max_latency_spread_us=spread_us,
    )
    possible = [
        size
        for size in range(1, most + 1)
        for chosen in combinations(paths, size)
        if all(bps >= least for bps, _ in chosen)
        and least * size <= wanted <= sum(bps for bps, _ in chosen)
        and max(us for _, us in chosen) - min(us for _, us in chosen) <= spread_us
    ]
    if isinstance(outcome, Refusal):
        assert not possible
        assert outcome.available_bps is None or outcome.available_bps < wanted
        return
    assert len(outcome) == min(possible)
    assert sum(share.bandwidth_bps for share in outcome) == wanted
    assert all(share.bandwidth_bps >= least for share in outcome)


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=5),
    st.sets(st.sampled_from("bcdef"), min_size=1),
    st.integers(1, 200),
    st.integers(1, 250),
    st.sampled_from([Strategy.AUTO, Strategy.PARTIAL_OFFERS, Strategy.EQUAL_SPLITTING]),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_whatever_the_strategy_no_port_carries_more_than_it_has_and_every_limit_is_kept(
    free: list[int],
    blind: set[str],
    port_bps: int,
    wanted: int,
    strategy: Strategy,
    least: int,
    spread_us: int,
) -> None:
    topology = ways(list(range(1, len(free) + 1)), blind="".join(blind), capacity=50)
    levels = dict(zip("bcdef", free, strict=False))
    known = offers(topology, levels, port_bps={"a:user": port_bps})
    limits = {"min_share_bps": least, "max_latency_spread_us": spread_us, "max_paths": 3}
    outcome = split(topology, wanted, known, strategy, **limits)
    if isinstance(outcome, Refusal):
        return
    assert sum(share.bandwidth_bps for share in outcome) == wanted
    assert len(outcome) <= 3
    latencies = [share.latency_us for share in outcome]
    assert max(latencies) - min(latencies) <= spread_us
    assert all(least <= share.bandwidth_bps <= 50 for share in outcome)
    if strategy is not Strategy.EQUAL_SPLITTING:
        assert wanted <= port_bps


def test_the_optimum_is_met_to_the_bit_at_the_size_of_real_links() -> None:
    full = 400 * 10**9 - 1
    limits = [
        {"p": full, "q": full, "own0": 3},
        {"p": full, "own1": full},
        {"q": full, "r": full},
        {"r": full - 7, "own3": full},
    ]
    # The first route only takes from the second; the last two share r.
    assert sum(fill(limits, 10**15, 0)) == full + full - 7


@given(
    st.lists(
        st.dictionaries(st.sampled_from("pqrs"), st.integers(0, 40), min_size=1),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 120),
)
def test_who_needs_whole_amounts_gets_them_just_when_they_fit(
    limits: list[dict[str, int]], wanted: int
) -> None:
    whole = fill(limits, wanted, 0, whole=True)
    assert (sum(whole) == wanted) == (sum(fill(limits, wanted, 0)) == wanted)


def crowded() -> tuple[Topology, Supply]:
    dice = random.Random(1)
    names = ["a", *(f"n{i}" for i in range(78)), "z"]
    edges = [(names[i], names[dice.randrange(i)], dice.randrange(1, 9)) for i in range(1, 80)]
    for _ in range(173):
        one, other = dice.sample(names, 2)
        edges.append((one, other, dice.randrange(1, 9)))
    topology = build(edges, "az")
    return topology, offers(topology, port_bps={"a:user": 350})


def test_a_full_user_port_is_found_at_once_among_sixteen_routes() -> None:
    topology, known = crowded()
    routes = candidate_routes(topology, "a:user", "z:user", Constraints())
    assert len(routes) == 16
    asked = criteria("a:user", "z:user", 390)
    refused, calls = calls_of(lambda: compose(asked, routes, known, topology))
    assert isinstance(refused, Refusal)
    assert refused.available_bps is not None
    assert refused.available_bps < 390
    assert calls < CALLS_MAX


def carried(topology: Topology, wanted: int, **limits: Any) -> dict[str, int]:
    """By the domain in the middle."""
    wish = ask(wanted, constraints=Constraints(**limits))
    pairs = [(p.stp, q.stp) for d in topology.domains.values() for p in d.ports for q in d.ports]
    free = Supply(pair_bps=dict.fromkeys(pairs, 1000 * G))
    shares = compose(wish, routes_of(topology, wish), free, topology)
    assert not isinstance(shares, Refusal), shares
    return {share.route.domains[1]: share.bandwidth_bps for share in shares}


def test_no_path_carries_next_to_nothing_where_another_can_carry_more() -> None:
    """A path takes its share of the flows, however little it carries."""
    crumb = {"b": 10 * G - 3, "c": 3}
    assert carried(ladder(crumb), 10 * G) == crumb, "better than nothing"
    assert carried(ladder({**crumb, "d": 4 * G}), 10 * G) == {"b": 6 * G, "d": 4 * G}
    three = {**crumb, "d": 10**8 - 10, "e": 10**8 - 10}
    assert set(carried(ladder(three), 10 * G + 10**8)) == {"b", "d", "e"}


def test_blind_domains_are_left_more_than_next_to_nothing_where_they_can_carry_it() -> None:
    topology = ladder({"b": 10 * G - 3, "c": 4 * G}, blind="c")
    assert carried(topology, 10 * G) == {"b": 10 * G - 10**7, "c": 10**7}
    topology = ladder({"b": 10 * G - 3, "c": 3}, blind="c")
    assert carried(topology, 10 * G) == {"b": 10 * G - 3, "c": 3}, "better than nothing"
    topology = ladder({"b": 10 * G - 3, "c": 5, "d": 4 * G}, blind="d")
    assert set(carried(topology, 10 * G)) == {"b", "c"}, "what is known to be free comes first"
