"""More VNodes that may meet than all sets can be looked at of: prices, joined lists, renewal.

Held against every division, every embedding (``embedding_world``), and the sums over all sets.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from random import Random

import numpy as np
import pytest
from embedding_world import (
    all_embeddings,
    cost_of,
    line,
    peak_of,
    problem_of,
    requests,
    substrates,
)
from hypothesis import given, settings, strategies as st

from embedding.answer import Status
from embedding.check import violations
from embedding.distances import distances
from embedding.embed import embed
from embedding.first import routed
from embedding.grouping import WORK_MAX, Grouping
from embedding.hubs import Hub
from embedding.joining import Joiner, Limits
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Floats, Ints
from embedding.objectives import Objective, cost, energy, load
from embedding.packing import Packing
from embedding.prices import best_prices, prices_at
from embedding.problem import Problem
from embedding.renewing import renewed
from embedding.rules import broken
from embedding.sets import Sets, fitting_sets

ROUNDING = 1e-4


@st.composite
def shared_requests(draw: st.DrawFn) -> Request:
    """VNodes that may share hosts, but for some pairs."""
    return replace(draw(requests()), shares_hosts=True)


@st.composite
def divisions(draw: st.DrawFn) -> tuple[Floats, Floats, float]:
    """What sets cost on hosts, their members, and what the best division among hosts costs."""
    hosts, vnodes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    some = st.one_of(st.integers(0, 20).map(float), st.just(math.inf))
    count = 1 << vnodes
    costs = np.array([[0.0, *(draw(some) for _ in range(count - 1))] for _ in range(hosts)])
    bits = (np.arange(count)[:, None] >> np.arange(vnodes) & 1).astype(float)
    best = min(
        sum(float(costs[at[0], sum(1 << v for v in at[1])]) for at in parts)
        for parts in (
            [(h, [v for v in range(vnodes) if on[v] == h]) for h in range(hosts)]
            for on in product(range(hosts), repeat=vnodes)
        )
    )
    return costs, bits, best


@settings(max_examples=150, deadline=None)
@given(divisions(), st.data())
def test_no_division_costs_less_than_any_prices_say(
    drawn: tuple[Floats, Floats, float], data: st.DataObject
) -> None:
    costs, bits, best = drawn
    each = [float(data.draw(st.integers(-9, 30))) for _ in bits[0]]
    for prices in (best_prices(costs, bits, 10.0), prices_at(costs, bits, np.array(each))):
        assert prices.bound <= best + ROUNDING
        assert (prices.excess >= -1e-9).all()


@settings(max_examples=150, deadline=None)
@given(divisions(), st.integers(1, 40), st.integers(1, 4), st.integers(1, 12), st.booleans())
def test_what_was_dropped_bounds_the_divisions_that_were_not_found(
    drawn: tuple[Floats, Floats, float], limit: int, kept: int, pairs: int, hubs: bool
) -> None:
    costs, bits, best = drawn
    prices = best_prices(costs, bits, 10.0)
    leaves = tuple(Hub(host, (), 0.0) for host in range(len(costs)))
    top = Hub(-1, (Hub(-1, leaves[:2], 0.0), *leaves[2:]) if hubs else leaves, 0.0)
    masks: Ints = np.arange(len(bits))

    def found(limits: Limits) -> tuple[float, float]:
        joiner = Joiner(masks, prices.excess, limits)
        whole = joiner.whole(top, lambda some: np.zeros(len(some)), len(bits) - 1)
        least = float(whole.excess[0]) if len(whole.excess) else math.inf
        if len(whole.excess):
            hosts: Ints = np.full(len(bits[0]), -1, np.int64)
            whole.hosts(0, hosts)
            sets = [sum(1 << v for v in np.flatnonzero(hosts == h)) for h in range(len(costs))]
            spent = sum(float(costs[h, some]) for h, some in enumerate(sets))
            assert spent == pytest.approx(prices.bound + least, abs=ROUNDING)
        return prices.bound + least, prices.bound + joiner.dropped

    least, dropped = found(Limits(limit / 2, kept, pairs))
    assert min(least, dropped) <= best + ROUNDING
    assert least >= best - ROUNDING
    least, dropped = found(Limits(math.inf, 1000, 100_000))
    assert dropped == math.inf
    assert least == pytest.approx(best, abs=ROUNDING)


@settings(max_examples=100, deadline=None)
@given(substrates(), shared_requests())
def test_no_set_that_may_be_somewhere_is_left_out(substrate: Substrate, request: Request) -> None:
    problem = problem_of(substrate, request)
    all_, few = Sets(problem), fitting_sets(problem, 10_000)
    assert few is not None
    assert few.masks[0] == 0
    assert len(set(few.masks.tolist())) == len(few.masks)
    assert set(np.flatnonzero(all_.on_some).tolist()) <= set(few.masks.tolist())
    at = few.masks
    assert (all_.possible[:, at] == few.possible).all()
    assert np.allclose(all_.out[at], few.out)


def packed(problem: Problem, objective: Objective = cost) -> tuple[Packing, Grouping]:
    """Both ways to look at the same."""
    terms = objective(problem)
    far = distances(problem, terms.link, exact=True)
    few = fitting_sets(problem, 1_000_000)
    assert few is not None
    return Packing(problem, terms, far.least, few), Grouping(
        problem, terms, far.least, Sets(problem)
    )


@settings(max_examples=150, deadline=None)
@given(substrates(), shared_requests())
def test_few_sets_never_promise_more_than_any_embedding_keeps(
    substrate: Substrate, request: Request
) -> None:
    problem = problem_of(substrate, request)
    known = list(all_embeddings(substrate, request))
    least = min((cost_of(substrate, request, each) for each in known), default=math.inf)
    peak = min((peak_of(substrate, request, each) for each in known), default=math.inf)
    fewest = min((len(set(each.hosts.values())) for each in known), default=math.inf)
    packing, grouping = packed(problem)
    assert packing.bound <= min(least, grouping.bound if math.isfinite(least) else least) + ROUNDING
    assert packing.peak() <= peak + ROUNDING
    on, _ = packed(problem, energy)
    assert on.bound <= fewest + 0.02 * (1 + len(request.vlinks))
    hosts = packing.best(distances(problem, cost(problem).link, exact=True))
    if hosts is not None:
        for host in range(problem.network.hosts):
            here = problem.need[hosts == host].sum(axis=0)
            assert (here <= problem.free.host[host] + ROUNDING).all()


def tree_problem(seed: int, vnodes: int, hosts: int, hubs: int = 2) -> Problem:
    """Hosts with room for three or four VNodes, around hubs, at prices."""
    dice = Random(seed)
    all_ = tuple(
        Host(f"h{i}", {"cpu": dice.randint(8, 14), "memory": dice.randint(9, 20)}, 0.0)
        for i in range(hosts)
    )
    links = [Link(f"h{i}", f"hub{i % hubs}", 100, 1.0 + dice.randint(0, 2)) for i in range(hosts)]
    links += [Link("hub0", f"hub{i}", 100, 1.0) for i in range(1, hubs)]
    named = tuple(
        VNode(f"v{i}", {"cpu": dice.randint(1, 5), "memory": dice.randint(1, 6)})
        for i in range(vnodes)
    )
    pairs = {(dice.randrange(i), i) for i in range(1, vnodes)}
    pairs |= {tuple(sorted(dice.sample(range(vnodes), 2))) for _ in range(vnodes // 2)}  # type: ignore[misc]
    vlinks = tuple(VLink(f"v{a}", f"v{b}", dice.randint(1, 4)) for a, b in sorted(pairs))
    substrate = Substrate(all_, tuple(links), tuple(f"hub{i}" for i in range(hubs)))
    return problem_of(substrate, Request(named, vlinks, shares_hosts=True))


@pytest.mark.parametrize("seed", range(6))
def test_few_sets_come_close_to_all_sets_on_a_tree(seed: int) -> None:
    problem = tree_problem(seed, 10, 6)
    packing, grouping = packed(problem)
    assert packing.bound <= grouping.bound * (1 + ROUNDING)
    assert packing.bound >= grouping.bound * 0.9
    far = distances(problem, cost(problem).link, exact=True)
    hosts = packing.best(far)
    assert hosts is not None
    answer = embed(problem, cost, time_limit_s=0)
    assert answer.objective == pytest.approx(grouping.bound, rel=1e-3)
    found = routed(problem, cost(problem), hosts)
    assert found is not None
    assert grouping.bound * (1 - ROUNDING) <= found.value <= grouping.bound * 1.03
    assert packing.peak() <= grouping.peak() + ROUNDING


@pytest.mark.parametrize("objective", [cost, energy, load])
def test_sixteen_vnodes_around_one_hub_are_proven(objective: Objective) -> None:
    problem = tree_problem(7, 16, 10, hubs=1)
    answer = embed(problem, objective, time_limit_s=1e-6)
    assert answer.embedding is not None
    assert violations(problem, answer.embedding) == ()
    assert answer.status is Status.OPTIMAL


def bins(vnodes: int, cpu: float) -> Problem:
    """Hosts for two VNodes each, and a pair of VNodes that are joined."""
    named = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(vnodes))
    request = Request(named, (VLink("v0", "v1", 1),), shares_hosts=True)
    return problem_of(line(*[cpu] * 12), request)


def test_part_of_a_host_is_as_dear_as_all_of_it() -> None:
    """Fifteen VNodes, two to a host: eight hosts, where seven and a half would do."""
    answer = embed(bins(15, 2), energy, time_limit_s=1e-6)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(8, abs=0.02)
    assert answer.bound >= 8 * (1 - ROUNDING)


def test_too_many_vnodes_for_all_hosts_are_proven_so() -> None:
    assert embed(bins(25, 2), cost, time_limit_s=1e-6).status is Status.INFEASIBLE
    assert embed(bins(15, 2.5), load, time_limit_s=1e-6).objective == pytest.approx(0.8, abs=0.01)


def test_too_many_pairs_of_host_and_set_are_for_the_other_stages() -> None:
    problem = bins(15, 2)
    sets = 1 + 15 + 15 * 14 // 2
    assert fitting_sets(problem, 12 * sets) is not None
    assert fitting_sets(problem, 12 * sets - 1) is None
    assert fitting_sets(bins(63, 2), WORK_MAX) is None


@settings(max_examples=60, deadline=None)
@given(substrates(), shared_requests())
def test_what_is_renewed_is_never_worse_and_keeps_amounts(
    substrate: Substrate, request: Request
) -> None:
    problem = problem_of(substrate, request)
    known = next(all_embeddings(substrate, request), None)
    terms = cost(problem)
    far = distances(problem, terms.link, exact=True)
    assert list(renewed(problem, terms, far, [])) == []
    if known is None:
        return
    at: Ints = np.array([problem.network.number[known.hosts[v.name]] for v in request.vnodes])
    found = list(renewed(problem, terms, far, [at]))
    before = cost_of(substrate, request, known)
    assert found[0][1] <= before + ROUNDING
    for hosts, _ in found:
        assert not list(broken(problem, hosts.tolist()))
        for host in range(problem.network.hosts):
            here = problem.need[hosts == host].sum(axis=0)
            assert (here <= problem.free.host[host] + ROUNDING).all()
        for a, b in request.apart:
            assert hosts[int(a[1:])] != hosts[int(b[1:])]
    again = [hosts.tolist() for hosts, _ in renewed(problem, terms, far, [at])]
    assert again == [hosts.tolist() for hosts, _ in found]


def test_vnodes_far_apart_are_brought_together() -> None:
    """Each VNode of two cliques begins on a host of its own."""
    named = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(8))
    vlinks = tuple(
        VLink(f"v{i}", f"v{j}", 1) for j in range(8) for i in range(j) if i // 4 == j // 4
    )
    problem = problem_of(line(*[4.0] * 8, bandwidth=100), Request(named, vlinks, shares_hosts=True))
    terms = cost(problem)
    far = distances(problem, terms.link, exact=True)
    hosts, promised = next(iter(renewed(problem, terms, far, [np.arange(8)])))
    assert promised == pytest.approx(8.0)
    assert len(set(hosts.tolist())) == 2
