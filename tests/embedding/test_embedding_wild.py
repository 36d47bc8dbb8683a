"""Any objective, on networks in pieces that others use too: bound <= optimum <= objective."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from wild_world import Wild, fullest, possible, price_of, wilds, wrong_with

from embedding.answer import ProofScope, Status, closes
from embedding.check import violations
from embedding.embed import embed
from embedding.first import first_stage
from embedding.model import Embedding, Host, Link, Request, Substrate, VLink, VNode
from embedding.objectives import OBJECTIVES, Objective, Terms, energy, load, migration, terms
from embedding.problem import Problem

ROUNDING = 1e-4
Prices = st.sampled_from((0.0, 0.0, 0.5, 1.0, 3.0))


@st.composite
def priced(draw: st.DrawFn) -> tuple[Wild, Terms]:
    """An objective of a third party: any prices on anything."""
    wild = draw(wilds())
    hosts, vnodes = len(wild.substrate.hosts), len(wild.request.vnodes)

    def some(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(draw(st.lists(Prices, min_size=count, max_size=count)), float)

    place = np.array([some(hosts) for _ in range(vnodes)])
    return wild, terms(
        wild.problem(),
        place=place,
        on=some(hosts),
        link=some(len(wild.substrate.links)),
        peak=draw(st.sampled_from((0.0, 0.0, 1.0, 5.0))),
    )


def given_terms(values: Terms) -> Callable[[Problem], Terms]:
    return lambda _problem: values


@settings(max_examples=250, deadline=None)
@given(priced())
def test_the_least_of_any_objective_is_found_and_proven(drawn: tuple[Wild, Terms]) -> None:
    wild, values = drawn
    answer = embed(wild.problem(), given_terms(values))
    prices = [price_of(wild, values, each) for each in possible(wild)]
    assert (answer.status is Status.INFEASIBLE) == (not prices)
    if answer.embedding is None:
        return
    assert wrong_with(wild, answer.embedding) == ""
    assert answer.objective == pytest.approx(price_of(wild, values, answer.embedding))
    if answer.proof_scope is ProofScope.WHOLE:
        assert answer.bound <= min(prices) + ROUNDING
    assert answer.objective <= min(prices) / 0.99 + ROUNDING
    assert answer.status is Status.OPTIMAL


@settings(max_examples=150, deadline=None)
@given(priced())
def test_without_time_no_bound_is_too_high_and_nothing_possible_is_called_impossible(
    drawn: tuple[Wild, Terms],
) -> None:
    wild, values = drawn
    problem = wild.problem()
    answer = embed(problem, given_terms(values), time_limit_s=0)
    least = min((price_of(wild, values, each) for each in possible(wild)), default=math.inf)
    assert answer.bound <= least + ROUNDING
    assert first_stage(problem, values).bound <= least + ROUNDING
    if answer.embedding is None:
        assert answer.status in (Status.UNKNOWN, Status.INFEASIBLE)
        assert math.isinf(answer.gap)
        assert answer.status is Status.UNKNOWN or math.isinf(least)
    else:
        assert wrong_with(wild, answer.embedding) == ""
        assert (answer.status is Status.OPTIMAL) == closes(answer.gap, 0.01)


@settings(max_examples=100, deadline=None)
@given(priced())
def test_an_answer_does_not_depend_on_when_it_is_asked_for(drawn: tuple[Wild, Terms]) -> None:
    wild, values = drawn
    problem = wild.problem()
    first = embed(problem, given_terms(values))
    host, link = problem.free.host.copy(), problem.free.link.copy()
    assert embed(problem, given_terms(values)) == first
    assert embed(wild.problem(), given_terms(values)) == first
    assert (problem.free.host == host).all()
    assert (problem.free.link == link).all()


@settings(max_examples=100, deadline=None)
@given(wilds())
def test_the_check_agrees_with_the_reference_on_every_embedding(wild: Wild) -> None:
    problem = wild.problem()
    for embedding in possible(wild):
        assert violations(problem, embedding) == ()
    for host in wild.substrate.hosts:
        there = Embedding({vnode.name: host.name for vnode in wild.request.vnodes})
        assert bool(violations(problem, there)) == bool(wrong_with(wild, there))


@settings(max_examples=100, deadline=None)
@given(wilds())
def test_least_load_counts_what_others_have_taken(wild: Wild) -> None:
    answer = embed(wild.problem(), load)
    peaks = [fullest(wild, each) for each in possible(wild)]
    assert (answer.embedding is not None) == bool(peaks)
    if answer.embedding is not None:
        tie = 0.01 * 2 * len(wild.request.vlinks)
        assert fullest(wild, answer.embedding) <= (min(peaks) + tie) / 0.99 + ROUNDING
        assert answer.bound <= min(peaks) + tie


@settings(max_examples=100, deadline=None)
@given(wilds())
def test_energy_is_that_of_hosts_which_were_idle(wild: Wild) -> None:
    answer = embed(wild.problem(), energy)
    idle = {
        host.name: host.power
        for host in wild.substrate.hosts
        if all(wild.left[host.name, name] >= amount for name, amount in host.amounts.items())
    }

    def power(embedding: Embedding) -> float:
        return sum(idle.get(host, 0.0) for host in set(embedding.hosts.values()))

    least = min((power(each) for each in possible(wild)), default=math.inf)
    if answer.embedding is not None:
        mean = sum(host.power for host in wild.substrate.hosts) / len(wild.substrate.hosts)
        tie = 0.01 * 6 * max(1.0, mean) * len(wild.request.vlinks)
        assert least <= power(answer.embedding) <= (least + tie) / 0.99 + ROUNDING
    else:
        assert math.isinf(least)


@settings(max_examples=100, deadline=None)
@given(wilds())
def test_migration_moves_what_costs_least_to_move(wild: Wild) -> None:
    if wild.present is None:
        return
    there = wild.present.hosts
    answer = embed(wild.problem(), migration)

    def moves(embedding: Embedding) -> float:
        away = [v for v in wild.request.vnodes if embedding.hosts[v.name] != there[v.name]]
        return sum(vnode.move_cost for vnode in away)

    least = min((moves(each) for each in possible(wild)), default=math.inf)
    if answer.embedding is not None:
        tie = 0.01 * 6 * len(wild.request.vlinks)
        assert least <= moves(answer.embedding) <= (least + tie) / 0.99 + ROUNDING
    else:
        assert math.isinf(least)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_parallel_links_carry_parallel_vlinks(objective: Objective) -> None:
    links = tuple(Link("h0", "h1", 1, name=f"k{i}") for i in range(3))
    substrate = Substrate((Host("h0", {"cpu": 1}), Host("h1", {"cpu": 1})), links)
    vlinks = tuple(VLink("a", "b", 1, name=f"w{i}") for i in range(3))
    request = Request((VNode("a", {"cpu": 1}), VNode("b", {"cpu": 1})), vlinks)
    left: dict[object, float] = {
        ("h0", "cpu"): 1.0,
        ("h1", "cpu"): 1.0,
        "k0": 1.0,
        "k1": 1.0,
        "k2": 1.0,
    }
    answer = embed(Wild(substrate, left, request).problem(), objective)
    assert answer.embedding is not None
    taken = [share.links for (share,) in answer.embedding.paths.values()]
    assert sorted(taken) == [("k0",), ("k1",), ("k2",)]
    full = embed(Wild(substrate, {**left, "k1": 0.5}, request).problem(), objective)
    assert full.status is Status.INFEASIBLE
