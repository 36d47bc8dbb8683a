"""The first stage: what it proves without a solver, and on networks too large to try everything."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from embedding_world import line, problem_of, wrong_with

from embedding.answer import Status
from embedding.clusters import cluster_bound
from embedding.distances import distances
from embedding.embed import embed
from embedding.first import first_stage
from embedding.matching import nearest_placement
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Network
from embedding.objectives import OBJECTIVES, cost
from embedding.pairing import crowded, least_threshold
from embedding.problem import Problem


def grid(side: int, bandwidth: float = 10) -> Substrate:
    """Hosts in rows and columns."""
    graph = nx.grid_2d_graph(side, side)
    hosts = tuple(Host(f"{x}.{y}", {"cpu": 4}) for x, y in graph)
    links = tuple(Link(f"{a}.{b}", f"{c}.{d}", bandwidth) for (a, b), (c, d) in graph.edges)
    return Substrate(hosts, links)


def shaped(graph: nx.Graph[int], bandwidth: float = 2) -> Request:
    """A request in the form of a graph."""
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in graph)
    return Request(vnodes, tuple(VLink(f"v{a}", f"v{b}", bandwidth) for a, b in graph.edges))


@pytest.mark.parametrize(
    "graph",
    [nx.path_graph(8), nx.cycle_graph(8), nx.star_graph(4), nx.ladder_graph(4)],
    ids=["path", "cycle", "star", "ladder"],
)
def test_a_request_that_is_a_part_of_the_substrate_costs_one_hop_per_vlink(
    graph: nx.Graph[int],
) -> None:
    answer = embed(problem_of(grid(6), shaped(graph)), cost, gap=1e-4, time_limit_s=0)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == len(graph) + 2 * len(graph.edges)


@pytest.mark.parametrize("odd", [3, 5, 7])
def test_one_vlink_of_an_odd_cycle_must_go_further_on_a_grid_and_that_is_proven(odd: int) -> None:
    request = shaped(nx.cycle_graph(odd))
    problem = problem_of(grid(4), request)
    first = first_stage(problem, cost(problem))
    assert first.solution is not None
    assert first.bound == pytest.approx(odd + 2 * (odd + 1), rel=1e-5)
    assert first.solution.value == pytest.approx(odd + 2 * (odd + 1))


def test_vlinks_in_each_others_way_bound_what_goes_further() -> None:
    weighed = [("a", "b", 5.0), ("b", "c", 3.0), ("a", "c", 4.0)]
    vnodes = tuple(VNode(name, {"cpu": 1}) for name in "abc")
    request = Request(vnodes, tuple(VLink(*some) for some in weighed))
    problem = problem_of(grid(4), request)
    far = distances(problem, cost(problem).link)
    match = nearest_placement(problem, far, np.zeros(16))
    assert match.further == 3.0


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", range(6))
def test_large_requests_get_valid_embeddings_on_a_substrate_in_use(name: str, seed: int) -> None:
    dice = random.Random(seed)
    graph = nx.gnp_random_graph(8, 0.35, seed=seed)
    vnodes = tuple(VNode(f"v{i}", {"cpu": dice.randint(0, 3)}) for i in graph)
    vlinks = tuple(VLink(f"v{a}", f"v{b}", dice.randint(0, 4)) for a, b in graph.edges)
    request = Request(vnodes, vlinks, shares_hosts=seed % 2 == 0)
    links = tuple(Link(k.a, k.b, dice.randint(4, 12)) for k in grid(6).links)
    hosts = tuple(Host(h.name, {"cpu": dice.randint(1, 6)}) for h in grid(6).hosts)
    substrate = Substrate(hosts, links)
    answer = embed(problem_of(substrate, request), OBJECTIVES[name], time_limit_s=0)
    assert answer.embedding is not None
    assert wrong_with(substrate, request, answer.embedding) == ""
    assert 0 <= answer.bound <= answer.objective


@pytest.mark.parametrize("bandwidth", [1.0, 1e9])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_first_stage_and_program_agree_whatever_the_unit(
    seed: int, bandwidth: float
) -> None:
    dice = random.Random(seed)
    links = tuple(Link(k.a, k.b, bandwidth * dice.randint(2, 8)) for k in grid(4).links)
    substrate = Substrate(grid(4).hosts, links)
    graph = nx.gnp_random_graph(5, 0.6, seed=seed)
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in graph)
    vlinks = [VLink(f"v{a}", f"v{b}", bandwidth * dice.randint(1, 3)) for a, b in graph.edges]
    problem = problem_of(substrate, Request(vnodes, tuple(vlinks)))
    first = first_stage(problem, cost(problem))
    answer = embed(problem, cost, gap=1e-4, time_limit_s=30)
    assert answer.status is Status.OPTIMAL
    assert first.bound <= answer.objective * (1 + 1e-5)
    assert first.solution is not None
    assert first.solution.value >= answer.bound * (1 - 1e-5)


def test_what_is_taken_is_not_given_twice() -> None:
    network = Network(line(4, 4, 4, bandwidth=3))
    request = shaped(nx.path_graph(2))
    first = embed(Problem(network, network.capacity, request), cost)
    assert first.embedding is not None
    left = network.capacity.less(network.use(request, first.embedding))
    second = embed(Problem(network, left, request), cost)
    assert second.embedding is not None
    assert set(second.embedding.paths["v0--v1"][0].links).isdisjoint(
        first.embedding.paths["v0--v1"][0].links
    )
    left = left.less(network.use(request, second.embedding))
    assert embed(Problem(network, left, request), cost).status is Status.INFEASIBLE
    assert (left.more(network.use(request, second.embedding)).link >= 0).all()


def test_vnodes_that_crowd_on_few_hosts_are_found() -> None:
    fits = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 0, 0]], bool)
    assert crowded(fits) == ((0, 1, 3), (0, 1))
    assert crowded(fits[:3]) == ((), ())


def test_the_least_threshold_leaves_each_vnode_a_host_of_its_own() -> None:
    values = np.array([[0.1, 0.5, np.inf], [0.1, 0.9, 0.4]])
    assert least_threshold(values) == 0.4
    assert least_threshold(np.array([[0.1], [0.1]])) == np.inf


def racks(count: int, hosts: int, bandwidth: float = 100) -> Substrate:
    """Racks of hosts under switches, and one switch above them."""
    names = [(f"r{i}", f"h{i}.{j}") for i in range(count) for j in range(hosts)]
    links = [Link(rack, host, bandwidth) for rack, host in names]
    links += [Link("top", f"r{i}", bandwidth) for i in range(count)]
    switches = ("top", *(f"r{i}" for i in range(count)))
    return Substrate(tuple(Host(host, {"cpu": 4}) for _, host in names), tuple(links), switches)


@pytest.mark.parametrize(
    ("graph", "between"),
    [
        (nx.path_graph(9), 2),
        (nx.cycle_graph(6), 2),
        (nx.complete_graph(4), 3),
        (nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(3)), 0),
    ],
    ids=["path", "cycle", "clique", "two triangles"],
)
def test_what_racks_have_no_room_for_bounds_the_cost_and_is_reached(
    graph: nx.Graph[int], between: int
) -> None:
    problem = problem_of(racks(4, 3), shaped(graph))
    objective = cost(problem)
    far = distances(problem, objective.link)
    expected = len(graph) + 2 * (2 * len(graph.edges) + 2 * between)
    assert cluster_bound(problem, objective, far.least) == pytest.approx(expected, rel=1e-5)
    answer = embed(problem, cost, gap=1e-4)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == expected


def test_a_large_request_on_racks_is_proven_without_a_program() -> None:
    graph = nx.random_regular_graph(3, 10, seed=3)
    answer = embed(problem_of(racks(6, 3), shaped(graph)), cost, time_limit_s=20)
    assert answer.status is Status.OPTIMAL
    assert answer.stage in ("first", "search")
