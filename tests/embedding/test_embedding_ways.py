"""Paths that are chosen, who is paired with whom, and limits of many hosts and VNodes."""

from __future__ import annotations

import random
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from embedding_world import problem_of
from hypothesis import given, settings, strategies as st

import embedding.embed
from embedding.answer import Status
from embedding.check import violations
from embedding.distances import distances
from embedding.embed import embed
from embedding.first import FirstStage, first_stage
from embedding.highs import Outcome, Program, Verdict
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Free, Ints, Network
from embedding.objectives import Terms, cost
from embedding.pairing import crowded
from embedding.problem import Problem
from embedding.routing import route
from embedding.searching import search_placements
from embedding.shortages import shortages

HOSTS = Host("a", {"cpu": 1}), Host("b", {"cpu": 1})
VNODES = VNode("x", {"cpu": 1}), VNode("y", {"cpu": 1})


def between(*links: Link, bandwidth: float, splittable: bool = True) -> Problem:
    """Two hosts, links side by side, and a VLink from one to the other."""
    request = Request(VNODES, (VLink("x", "y", bandwidth, splittable),))
    return problem_of(Substrate(HOSTS, links), request)


@pytest.mark.parametrize("splittable", [False, True])
def test_of_links_side_by_side_the_cheapest_is_taken(splittable: bool) -> None:
    links = Link("a", "b", 1, 2.0, "dear"), Link("a", "b", 1, 1.0, "cheap")
    answer = embed(between(*links, bandwidth=1, splittable=splittable), cost, time_limit_s=0)
    assert answer.embedding is not None
    assert [share.links for share in answer.embedding.paths["x--y"]] == [("cheap",)]


@pytest.mark.parametrize(
    ("rooms", "bandwidth"), [((0.1, 0.7), 0.8), ((0.1, 0.2, 0.3), 0.6), ((0.7, 0.1, 0.1), 0.9)]
)
def test_a_vlink_that_fills_all_links_is_split_whatever_rounding_leaves(
    rooms: tuple[float, ...], bandwidth: float
) -> None:
    links = [Link("a", "b", room, 1.0, f"k{i}") for i, room in enumerate(rooms)]
    problem = between(*links, bandwidth=bandwidth)
    answer = embed(problem, cost, time_limit_s=0)
    assert answer.embedding is not None
    shares = answer.embedding.paths["x--y"]
    assert sorted(share.links for share in shares) == [(link.label,) for link in links]
    assert violations(problem, answer.embedding) == ()


def test_no_share_of_a_vlink_is_less_than_nothing() -> None:
    links = Link("a", "b", 1e6, 1.0, "full"), Link("a", "b", 1, 2.0, "free")
    network = Network(Substrate(HOSTS, links))
    request = Request(VNODES, (VLink("x", "y", 0.8, True),))
    over = Free(network.capacity.host, np.array([-0.5, 1.0]))
    answer = embed(Problem(network, over, request), cost, time_limit_s=0)
    assert answer.embedding is not None
    assert [share.links for share in answer.embedding.paths["x--y"]] == [("free",)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_the_crowded_are_more_than_their_hosts_and_there_are_none_where_all_fit(
    rows: list[list[bool]],
) -> None:
    fits = np.array(rows)
    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    ones = [("v", v) for v in range(len(rows))]
    graph.add_nodes_from(ones)
    graph.add_edges_from((("v", int(v)), ("h", int(h))) for v, h in np.argwhere(fits))
    paired = nx.bipartite.maximum_matching(graph, ones)
    vnodes, hosts = crowded(fits)
    assert bool(vnodes) == (sum(one in paired for one in ones) < len(ones))
    assert not vnodes or len(hosts) < len(vnodes)
    assert set(np.flatnonzero(fits[list(vnodes)].any(axis=0))) == set(hosts)


def test_a_long_chain_of_exchanges_pairs_all() -> None:
    count = 3_000
    fits = np.eye(count, dtype=bool) | np.eye(count, k=-1, dtype=bool)
    fits[0, 0] = False
    fits[0, -1] = True
    # Each takes the first of its two, so that the last finds both taken.
    assert crowded(fits[::-1]) == ((), ())
    fits[:, -1] = False
    vnodes, hosts = crowded(fits[::-1])
    assert len(vnodes) == len(hosts) + 1


def test_a_thousand_hosts_that_are_alike_are_searched() -> None:
    racks = tuple(f"r{i}" for i in range(20))
    hosts = tuple(Host(f"h{i}", {"cpu": 1}) for i in range(1_000))
    links = [Link(f"h{i}", racks[i // 50], 9) for i in range(1_000)]
    links += [Link(rack, "core", 9) for rack in racks]
    request = Request(VNODES, (VLink("x", "y", 1),))
    problem = problem_of(Substrate(hosts, tuple(links), (*racks, "core")), request)
    values = cost(problem)
    far = distances(problem, values.link, exact=True)
    offered: list[Ints] = []

    def offer(hosts: Ints) -> float:
        offered.append(hosts)
        return 100.0

    search_placements(problem, values, far, 0.0, 100.0, offer)
    # One of each rack beside another of it, and one of each two racks: the cheapest is enough.
    assert len(offered) == 1


def test_vnodes_that_never_meet_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def counted(problem: Problem, values: Terms, gap: float, work_max: int) -> FirstStage:
        looks.append(work_max)
        return first_stage(problem, values, gap, work_max)

    monkeypatch.setattr(embedding.embed, "first_stage", counted)
    names = [f"h{i}" for i in range(8)]
    ring = tuple(Link(names[i], names[i - 1], 9) for i in range(8))
    substrate = Substrate(tuple(Host(name, {"cpu": 1}) for name in names), ring)
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(4))
    pairs = [(i, j) for j in range(4) for i in range(j)]
    request = Request(vnodes, tuple(VLink(f"v{i}", f"v{j}", 1) for i, j in pairs))
    assert embed(problem_of(substrate, request), cost, gap=0.0).status is Status.OPTIMAL
    assert len(looks) == 1


def test_what_is_short_is_looked_for_in_the_time_given_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float] = []

    def spent(_program: Program, _gap: float, limit: float, _start: object = None) -> Outcome:
        limits.append(limit)
        # The solver looks at its clock now and then only.
        return Outcome(Verdict.OPEN, np.zeros(99), 0.0, 0.0, limit + 1)

    monkeypatch.setattr(Program, "solve", spent)
    hosts = (*HOSTS, Host("c", {"cpu": 1}))
    links = Link("a", "b", 1), Link("b", "c", 1)
    request = Request(VNODES, (VLink("x", "y", 1),))
    shortages(problem_of(Substrate(hosts, links), request), 4.0)
    assert limits == [4.0, 0.0]


@pytest.mark.parametrize("seed", range(8))
def test_each_vlink_takes_a_cheapest_way_over_links_with_room(seed: int) -> None:
    dice = random.Random(seed)
    graph = nx.gnp_random_graph(24, 0.12, seed=seed)
    links = [
        Link(f"h{a}", f"h{b}", dice.choice((4, 9)), price=dice.choice((1, 1.5, 6)))
        for a, b in graph.edges
    ]
    hosts = tuple(Host(f"h{i}", {"cpu": 1}) for i in graph)
    vnodes = tuple(VNode(name, {"cpu": 1}) for name in "ab")
    request = Request(vnodes, (VLink("a", "b", 5),))
    problem = problem_of(Substrate(hosts, tuple(links)), request)
    wide: nx.Graph[int] = nx.Graph()
    wide.add_nodes_from(range(24))
    for link, (a, b) in zip(links, problem.network.ends.tolist(), strict=True):
        if link.bandwidth >= 5:
            wide.add_edge(a, b, price=link.price)
    prices = np.array([link.price for link in links])
    known = dict(nx.all_pairs_dijkstra_path_length(wide, weight="price"))
    for a, b in combinations(range(24), 2):
        parts = route(problem, np.array([a, b]), prices)
        if b not in known[a]:
            assert parts is None
            continue
        assert parts is not None
        ((way, _),) = parts[0]
        assert prices[list(way)].sum() == pytest.approx(known[a][b])
