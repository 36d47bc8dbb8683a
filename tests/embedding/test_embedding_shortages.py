"""What is said to be short is short there, and with exactly so much more it fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from wild_world import Wild, possible, wilds

from embedding.answer import Answer, Shortage, Status
from embedding.embed import embed
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Network
from embedding.objectives import cost
from embedding.problem import Problem
from embedding.rules import Rules

FITS = "the request would fit"


def fits(wild: Wild) -> bool:
    return next(possible(wild), None) is not None


def with_more(wild: Wild, shortages: Sequence[Shortage], share: float = 1.0) -> Wild:
    """With that much of what is short."""
    left = dict(wild.left)
    labels = {link.label for link in wild.substrate.links}
    hosts = {host.name for host in wild.substrate.hosts}
    for each in shortages:
        key: object = each.where if each.where in labels else (each.where, each.resource)
        assert each.where in labels | hosts
        left[key] = max(0.0, left.get(key, 0.0)) + share * each.short
    return replace(wild, left=left)


@settings(max_examples=500, deadline=None)
@given(wilds())
def test_with_exactly_so_much_more_of_everything_that_is_short_the_request_fits(wild: Wild) -> None:
    answer = embed(wild.problem(), cost)
    short = [each for each in answer.shortages if FITS in each.why]
    assert len(short) in (0, len(answer.shortages))
    if short:
        assert not fits(wild)
        assert fits(with_more(wild, short))
        assert not fits(with_more(wild, short, 0.9))


@settings(max_examples=300, deadline=None)
@given(wilds())
def test_what_all_hosts_lack_together_and_what_the_nearest_host_lacks_is_counted_truly(
    wild: Wild,
) -> None:
    for each in embed(wild.problem(), cost).shortages:
        assert each.short > 0
        assert math.isfinite(each.short)
        names = [vnode.name for vnode in wild.request.vnodes]
        if "comes nearest" in each.why and each.resource != "bandwidth":
            (vnode,) = (v for v in wild.request.vnodes if each.why.startswith(f"{v.name} "))
            need = vnode.amounts[each.resource]
            assert each.short == need - wild.left.get((each.where, each.resource), 0.0)
            assert vnode.hosts is None or each.where in vnode.hosts
        elif "all VNodes need" in each.why:
            need = sum(v.amounts.get(each.resource, 0) for v in wild.request.vnodes)
            free = [wild.left.get((h.name, each.resource), 0.0) for h in wild.substrate.hosts]
            assert sum(free) >= need - each.short >= 0
        elif each.resource == "hosts" and "may not meet" in each.why:
            crowd = each.why.split(" may not meet")[0].split(", ")
            assert set(crowd) <= set(names)
            assert len(crowd) - each.short == len(each.where.split(", ") if each.where else [])


@settings(max_examples=300, deadline=None)
@given(wilds())
def test_who_wants_what_is_short_asks_for_all_of_it_and_for_more_than_there_is(wild: Wild) -> None:
    vnodes = {vnode.name: vnode for vnode in wild.request.vnodes}
    vlinks = {vlink.label: vlink for vlink in wild.request.vlinks}
    for each in embed(wild.problem(), cost).shortages:
        if each.resource in ("hosts", "links"):
            assert set(each.who) <= set(vnodes)
            continue
        assert each.who
        assert each.asked >= each.short * (1 - 1e-9)
        if each.resource != "bandwidth":
            assert all(vnodes[name].amounts[each.resource] > 0 for name in each.who)
            assert sum(vnodes[name].amounts[each.resource] for name in each.who) == (
                pytest.approx(each.asked)
            )
            at = [host for host in wild.substrate.hosts if host.name == each.where]
            allowed = [vnodes[name].hosts for name in each.who if at]
            assert all(hosts is None or each.where in hosts for hosts in allowed)
        elif each.who[0] in vlinks:
            together = sum(vlinks[name].bandwidth for name in each.who)
            # Some of what goes over the link may go another way.
            assert each.asked <= together * (1 + 1e-6)
        else:
            (name,) = each.who
            own = [v.bandwidth for v in vlinks.values() if name in (v.a, v.b)]
            assert each.asked <= sum(own) * (1 + 1e-6)


@settings(max_examples=200, deadline=None)
@given(wilds())
def test_a_refusal_in_no_time_says_nothing_that_more_time_would_not(wild: Wild) -> None:
    answer = embed(wild.problem(), cost, time_limit_s=0)
    assert answer.status is Status.INFEASIBLE or answer.shortages == ()
    known = set(embed(wild.problem(), cost).shortages)
    assert bool(answer.shortages) <= bool(known)
    # What holds for VLinks that could be split is a first word, and says so.
    firm = {each for each in answer.shortages if "could VLinks be split" not in each.why}
    assert firm <= known


def answered(substrate: Substrate, request: Request, rules: Rules | None = None) -> Answer:
    left: dict[object, float] = {
        (host.name, name): amount
        for host in substrate.hosts
        for name, amount in host.amounts.items()
    }
    left |= {link.label: link.bandwidth for link in substrate.links}
    problem = Wild(substrate, left, request).problem()
    return embed(Problem(problem.network, problem.free, request, rules=rules), cost)


def test_two_links_of_half_are_not_enough_for_a_vlink_that_is_not_split() -> None:
    """Split, it would fit: what is short is what one of the links lacks, not nothing."""
    links = Link("h0", "h1", 2, name="one"), Link("h0", "h1", 3, name="other")
    hosts = Host("h0", {"cpu": 1}), Host("h1", {"cpu": 1})
    vnodes = VNode("a", {"cpu": 1}), VNode("b", {"cpu": 1})
    none = answered(Substrate(hosts, links), Request(vnodes, (VLink("a", "b", 4),)))
    (short,) = none.shortages
    assert (short.resource, short.where) == ("bandwidth", "other")
    assert short.short == pytest.approx(1)
    split = Request(vnodes, (VLink("a", "b", 5, splittable=True),))
    assert answered(Substrate(hosts, links), split).status is Status.OPTIMAL


def test_what_lacks_more_than_can_be_split_is_told_as_it_is_not_split() -> None:
    """Split, one more unit would do: unsplit it is three."""
    links = Link("h0", "h1", 3, name="one"), Link("h0", "h1", 4, name="other")
    hosts = tuple(Host(f"h{i}", {"cpu": 2}) for i in range(2))
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}, frozenset({f"h{i % 2}"})) for i in range(4))
    vlinks = VLink("v0", "v1", 4, name="first"), VLink("v2", "v3", 4, name="second")
    none = answered(Substrate(hosts, links), Request(vnodes, vlinks, shares_hosts=True))
    assert none.status is Status.INFEASIBLE
    assert sum(each.short for each in none.shortages) == pytest.approx(1)
    vlinks = VLink("v0", "v1", 7, name="first"), VLink("v2", "v3", 1, name="second")
    none = answered(Substrate(hosts, links), Request(vnodes, vlinks, shares_hosts=True))
    (short,) = none.shortages
    assert short.where == "other"
    assert short.short == pytest.approx(3)


def test_what_only_rules_forbid_is_impossible_and_nothing_is_short() -> None:
    hosts = Host("h0", {"cpu": 2}), Host("h1", {"cpu": 2})
    request = Request((VNode("a", {"cpu": 1}), VNode("b", {"cpu": 1})), (), shares_hosts=True)
    everywhere = Rules(refused=(("h0", frozenset("a")), ("h1", frozenset("a"))))
    none = answered(Substrate(hosts, ()), request, everywhere)
    assert none.status is Status.INFEASIBLE
    assert [(e.resource, e.why) for e in none.shortages] == [("hosts", "a may run on no host")]
    both = frozenset("ab")
    pairs = Rules(refused=(("h0", both), ("h1", both)))
    assert answered(Substrate(hosts, ()), request, pairs).status is Status.OPTIMAL
    one = Request(request.vnodes, (VLink("a", "b", 1),), shares_hosts=True)
    none = answered(Substrate(hosts, ()), one, pairs)
    assert none.status is Status.INFEASIBLE
    assert none.shortages == ()


def three_of(amount: int) -> Answer:
    """On two hosts that have room for one and a half each."""
    room = amount + amount // 2 + 1
    hosts = tuple(Host(name, {"disk": float(room)}) for name in "ab")
    vnodes = tuple(VNode(name, {"disk": float(amount)}) for name in "xyz")
    network = Network(Substrate(hosts, ()))
    request = Request(vnodes, (), shares_hosts=True)
    return embed(Problem(network, network.capacity, request), cost)


@pytest.mark.parametrize("amount", [4 * 10**12, 3 * 2**40 + 7, 999_999_999_999, 10**15 + 1])
def test_what_a_program_finds_short_is_told_to_the_byte(amount: int) -> None:
    (short,) = three_of(amount).shortages
    assert FITS in short.why
    assert (short.short, short.asked) == (2 * amount - (amount + amount // 2 + 1), 2 * amount)


def test_hosts_that_no_vnode_fits_on_are_left_out_where_the_others_are_short_together() -> None:
    hosts = tuple(Host(name, {"cpu": n}) for name, n in (("a", 4.0), ("b", 1.0), ("c", 4.0)))
    network = Network(Substrate(hosts, ()))
    request = Request(tuple(VNode(name, {"cpu": 3.0}) for name in "xyz"), (), shares_hosts=True)
    (short,) = embed(Problem(network, network.capacity, request), cost).shortages
    assert (short.short, short.asked, short.at) == (1, 9, ("a", "c"))
