"""What an operator asks of the mapping component, and hears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from embedding_world import line, pair, problem_of, wrong_with

from embedding.answer import Answer, Shortage, Status
from embedding.check import violations
from embedding.embed import embed
from embedding.model import (
    Embedding,
    Host,
    Link,
    ModelError,
    Request,
    Share,
    Substrate,
    VLink,
    VNode,
)
from embedding.network import Free, Network
from embedding.objectives import OBJECTIVES, Objective, Terms, cost, energy, load, migration, terms
from embedding.problem import Problem


def diamond(bandwidth: float = 10) -> Substrate:
    """h0 and h1, joined over either of two switches."""
    hosts = Host("h0", {"cpu": 4}), Host("h1", {"cpu": 4})
    pairs = [("h0", "s0"), ("s0", "h1"), ("h0", "s1"), ("s1", "h1")]
    return Substrate(hosts, tuple(Link(a, b, bandwidth) for a, b in pairs), ("s0", "s1"))


def ask(substrate: Substrate, request: Request, objective: Objective = cost) -> Answer:
    answer = embed(problem_of(substrate, request), objective)
    if answer.embedding is not None:
        assert wrong_with(substrate, request, answer.embedding) == ""
    return answer


def only(answer: Answer) -> Shortage:
    assert answer.status is Status.INFEASIBLE
    assert answer.embedding is None
    (shortage,) = answer.shortages
    return shortage


def test_vnodes_share_a_host_only_where_they_may() -> None:
    together = ask(line(4, 4), pair(2, 5, shares_hosts=True))
    assert together.embedding is not None
    assert len(set(together.embedding.hosts.values())) == 1
    assert together.embedding.paths == {}
    apart = ask(line(4, 4), replace(pair(2, 5, shares_hosts=True), apart=(("a", "b"),)))
    assert apart.embedding is not None
    assert len(set(apart.embedding.hosts.values())) == 2


def test_a_vlink_that_may_be_split_uses_both_ways() -> None:
    request = Request(pair(3).vnodes, (VLink("a", "b", 15, splittable=True),))
    answer = ask(diamond(), request)
    assert answer.status is Status.OPTIMAL
    assert answer.embedding is not None
    shares = answer.embedding.paths["a--b"]
    assert len(shares) == 2
    assert sum(share.bandwidth for share in shares) == pytest.approx(15)


def test_a_vlink_that_may_not_be_split_says_what_one_way_lacks() -> None:
    answer = ask(diamond(), pair(3, 15))
    assert answer.status is Status.INFEASIBLE
    assert {short.where for short in answer.shortages} in (
        {"h0--s0", "s0--h1"},
        {"h0--s1", "s1--h1"},
    )
    for short in answer.shortages:
        assert short.resource == "bandwidth"
        assert short.short == pytest.approx(5)


def test_a_vnode_may_be_held_to_some_hosts() -> None:
    held = VNode("a", {"cpu": 1}, frozenset({"h2"}))
    answer = ask(line(9, 9, 1), Request((held,), ()))
    assert answer.embedding is not None
    assert answer.embedding.hosts == {"a": "h2"}


def test_parallel_links_are_two_links() -> None:
    hosts = Host("h0", {"cpu": 2}), Host("h1", {"cpu": 2})
    links = Link("h0", "h1", 5, name="north"), Link("h0", "h1", 5, name="south")
    vnodes = VNode("a", {"cpu": 1}), VNode("b", {"cpu": 1})
    vlinks = VLink("a", "b", 4, name="one"), VLink("a", "b", 4, name="two")
    answer = ask(Substrate(hosts, links), Request(vnodes, vlinks))
    assert answer.embedding is not None
    used = {share.links for shares in answer.embedding.paths.values() for share in shares}
    assert used == {("north",), ("south",)}


# What is short.


def test_a_resource_nobody_has_is_named() -> None:
    shortage = only(ask(line(4), Request((VNode("a", {"gpu": 2}),), ())))
    assert shortage == Shortage("gpu", "all hosts", 2, "no host has any gpu", 2, ("a",))


def test_a_vnode_too_large_for_any_host_names_the_nearest_miss() -> None:
    shortage = only(ask(line(4, 6, 5), Request((VNode("a", {"cpu": 8}),), ())))
    assert (shortage.resource, shortage.where, shortage.short) == ("cpu", "h1", 2)
    assert "a needs 8" in shortage.why


def test_a_vnode_whose_vlinks_have_no_way_out_says_how_much_bandwidth_is_short() -> None:
    answer = ask(line(4, 4, bandwidth=10), pair(1, 12))
    assert answer.status is Status.INFEASIBLE
    assert [(short.resource, short.short) for short in answer.shortages] == [("bandwidth", 2)] * 2
    assert "a needs 12" in answer.shortages[0].why


def test_what_all_hosts_lack_together_is_told() -> None:
    vnodes = tuple(VNode(name, {"cpu": 3}) for name in "abc")
    shortage = only(ask(line(4, 4), Request(vnodes, (), shares_hosts=True)))
    assert (shortage.resource, shortage.where, shortage.short) == ("cpu", "all hosts", 1)


def test_too_few_hosts_for_vnodes_that_may_not_meet_are_named() -> None:
    narrow = frozenset({"h0", "h1"})
    vnodes = tuple(VNode(name, {"cpu": 1}, narrow) for name in "abc")
    shortage = only(ask(line(9, 9, 9), Request(vnodes, ())))
    assert (shortage.resource, shortage.where, shortage.short) == ("hosts", "h0, h1", 1)


def test_a_link_in_the_middle_that_is_too_narrow_is_named_with_what_is_short() -> None:
    hosts = tuple(Host(f"h{i}", {"cpu": 1}) for i in range(4))
    links = Link("h0", "h1", 9), Link("h1", "h2", 3), Link("h2", "h3", 9)
    vnodes = (
        VNode("a", {"cpu": 1}, frozenset({"h0", "h1"})),
        VNode("b", {"cpu": 1}, frozenset({"h2", "h3"})),
    )
    shortage = only(ask(Substrate(hosts, links), Request(vnodes, (VLink("a", "b", 8),))))
    assert (shortage.resource, shortage.where) == ("bandwidth", "h1--h2")
    assert shortage.short == pytest.approx(5)


# Objectives.


def test_the_objectives_have_names() -> None:
    assert sorted(OBJECTIVES) == ["cost", "energy", "load", "migration"]


def test_cost_prefers_the_cheap_host_and_the_cheap_way() -> None:
    hosts = Host("h0", {"cpu": 4}, price=3), Host("h1", {"cpu": 4}, price=1), Host("h2", {"cpu": 4})
    links = Link("h0", "h1", 9), Link("h1", "h2", 9, price=5), Link("h0", "h2", 9, price=1)
    answer = ask(Substrate(hosts, links), pair(2, 1))
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(2 + 2 + 2)  # h1 and h2, over h0


def test_load_spreads_and_energy_packs() -> None:
    vnodes = tuple(VNode(name, {"cpu": 1}) for name in "abc")
    request = Request(vnodes, (), shares_hosts=True)
    spread = ask(line(4, 4, 4), request, load)
    assert spread.objective == pytest.approx(0.25)
    packed = ask(line(4, 4, 4), request, energy)
    assert packed.objective == pytest.approx(1.0)
    assert packed.embedding is not None
    assert len(set(packed.embedding.hosts.values())) == 1


def test_energy_uses_hosts_that_are_on_already() -> None:
    network = Network(line(4, 4, 4))
    taken = np.array([[0.0], [0.0], [1.0]])
    free = Free(network.capacity.host - taken, network.capacity.link)
    answer = embed(Problem(network, free, Request((VNode("a", {"cpu": 1}),), ())), energy)
    assert answer.objective == 0
    assert answer.embedding is not None
    assert answer.embedding.hosts == {"a": "h2"}


def test_load_counts_links_too() -> None:
    vnodes = VNode("a", {"cpu": 1}, frozenset({"h0"})), VNode("b", {"cpu": 1}, frozenset({"h1"}))
    vlinks = VLink("a", "b", 6, name="one"), VLink("a", "b", 6, name="two")
    answer = ask(diamond(20), Request(vnodes, vlinks), load)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(0.3, abs=0.01)


def test_migration_stays_where_it_is_unless_it_must_move() -> None:
    network = Network(line(4, 4, 4))
    request = pair(2, 1)
    present = Embedding({"a": "h1", "b": "h2"}, {"a--b": (Share(("h1--h2",), 1.0),)})
    stays = embed(Problem(network, network.capacity, request, present), migration)
    assert stays.embedding is not None
    assert stays.embedding.hosts == present.hosts
    assert stays.objective < 0.01
    held = tuple(replace(vnode, hosts=frozenset({"h0", "h1"})) for vnode in request.vnodes)
    held = (replace(held[0], move_cost=5.0), held[1])
    moved = Problem(network, network.capacity, replace(request, vnodes=held), present)
    answer = embed(moved, migration)
    assert answer.embedding is not None
    assert answer.embedding.hosts == {"a": "h1", "b": "h0"}
    assert answer.objective == pytest.approx(1.0, abs=0.01)


def green(carbon: Mapping[str, float]) -> Objective:
    """Somebody else's objective: as little carbon as may be."""

    def objective(problem: Problem) -> Terms:
        return terms(problem, on=np.array([carbon[n] for n in problem.network.names]), link=1e-3)

    return objective


def test_a_third_party_objective_is_a_few_lines() -> None:
    objectives = {**OBJECTIVES, "green": green({"h0": 9, "h1": 1, "h2": 2})}
    answer = ask(line(4, 4, 4), pair(1, 1), objectives["green"])
    assert answer.status is Status.OPTIMAL
    assert answer.embedding is not None
    assert set(answer.embedding.hosts.values()) == {"h1", "h2"}
    assert answer.objective == pytest.approx(3 + 1e-3)


# What contradicts itself.


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Host("", {}), "host or switch: the name is empty"),
        (lambda: Host("a", {"cpu": -1}), "host a: cpu: given -1, possible: 0 or more"),
        (lambda: Host("a", {"cpu": float("nan")}), "host a: cpu: given nan"),
        (lambda: Host("a", {}, price=-2), "host a: price: given -2"),
    ],
)
def test_a_wrong_host_is_refused(make: object, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        Substrate((make(),), ())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        (Link("a", "x", 1), "link a--x: there is no x"),
        (Link("a", "a", 1), "link a--a: both ends are a"),
        (Link("a", "b", float("inf")), "link a--b: bandwidth: given inf"),
    ],
)
def test_a_wrong_link_is_refused(link: Link, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        Substrate((Host("a", {}), Host("b", {})), (link,))


@pytest.mark.parametrize(
    ("vnodes", "vlinks", "apart", "problem"),
    [
        ((), (), (), "vnodes: given none"),
        ((VNode("a", {"cpu": -1}),), (), (), "VNode a: cpu: given -1"),
        ((VNode("a", {}),), (VLink("a", "b", 1),), (), "VLink a--b: there is no b"),
        ((VNode("a", {}),), (), (("a", "b"),), "apart a, b: there is no b"),
        ((VNode("a", {}, move_cost=-1),), (), (), "VNode a: move_cost: given -1"),
    ],
)
def test_a_wrong_request_is_refused(
    vnodes: tuple[VNode, ...],
    vlinks: tuple[VLink, ...],
    apart: tuple[tuple[str, str], ...],
    problem: str,
) -> None:
    with pytest.raises(ModelError, match=problem):
        Request(vnodes, vlinks, apart=apart)


def test_a_host_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="VNode a: hosts: there is no host h9"):
        problem_of(line(1, 1), Request((VNode("a", {}, frozenset({"h9"})),), ()))


@pytest.mark.parametrize(
    ("hosts", "paths", "wrong"),
    [
        ({"a": "h0"}, {}, "hosts are given for"),
        ({"a": "h0", "b": "s"}, {}, "b is on s, which is no host"),
        ({"a": "h0", "b": "h0"}, {}, "a and b are both on h0"),
        ({"a": "h0", "b": "h1"}, {}, "a--b has no path"),
        ({"a": "h0", "b": "h2"}, {"a--b": (Share(("h0--h1",), 1),)}, "does not join h0 and h2"),
        ({"a": "h0", "b": "h1"}, {"a--b": (Share(("h0--h1",), 0.5),)}, "a--b has 0.5 of 1"),
        ({"a": "h0", "b": "h1"}, {"a--b": (Share(("h0--h1",), 0.5),) * 2}, "over 2 paths"),
        ({"a": "h3", "b": "h2"}, {"a--b": (Share(("h2--h3",), 1),)}, "h3: cpu: 1 too much"),
    ],
)
def test_an_invalid_embedding_is_told_apart(
    hosts: dict[str, str], paths: dict[str, tuple[Share, ...]], wrong: str
) -> None:
    found = violations(problem_of(line(4, 4, 4, 1), pair(2, 1)), Embedding(hosts, paths))
    assert any(wrong in text for text in found), found
