"""Requests that come and go: scenarios, draws, baselines, and what is added up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from embedding.model import Request, Substrate
from embedding.network import Free, Network
from embedding.problem import Problem
from runtime.settings import SettingsError
from simulations.embedding.baselines import BASELINES, embed_by_rank, grc, nrm
from simulations.embedding.draw import Demand, draw_scenario
from simulations.embedding.play import Placed, play
from simulations.embedding.rows import Settings, Source, embedder, row_of, simulate
from simulations.embedding.scenario import (
    Arrival,
    Scenario,
    graph_request,
    graph_substrate,
    read_scenario,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WAXMAN = DATA / "embedding" / "waxman100.json"
ESNET = DATA / "topologies" / "esnet" / "topology.json"

GOOD: dict[str, Any] = {
    "p": {"n": 3, "cpu": [10, 10, 10], "edges": [[0, 1, 10], [1, 2, 10]]},
    "v": [
        {"n": 2, "cpu": [5, 5], "edges": [[0, 1, 6]], "arrival": 1, "lifetime": 10},
        {"n": 2, "cpu": [5, 5], "edges": [[0, 1, 6]], "arrival": 2, "lifetime": 10},
        {"n": 2, "cpu": [5, 5], "edges": [[0, 1, 6]], "arrival": 3, "lifetime": 10},
        {"n": 1, "cpu": [5], "edges": [], "arrival": 11, "lifetime": 1},
        {"n": 2, "cpu": [5, 5], "edges": [[0, 1, 6]], "arrival": 11, "lifetime": 1},
    ],
}


def write(folder: Path, document: Any) -> Path:
    file = folder / "small.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def changed(path: str, value: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    *steps, last = path.split(".")
    place: Any = document
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return document


# Scenarios in files.


def test_a_scenario_is_read_as_it_is_written(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, GOOD))
    assert scenario.name == "small"
    assert [host.amounts["cpu"] for host in scenario.substrate.hosts] == [10, 10, 10]
    first_link = scenario.substrate.links[0]
    assert (first_link.a, first_link.b, first_link.bandwidth) == ("n0", "n1", 10)
    first = scenario.arrivals[0]
    assert (first.time, first.lifetime) == (1, 10)
    assert not first.request.shares_hosts
    assert not any(vlink.splittable for vlink in first.request.vlinks)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{\n  'p': 1}", "is not JSON: Expecting property name enclosed in double quotes: line 2"),
        ("[]", "holds no JSON object but a list"),
        ({"p": GOOD["p"]}, "v: is missing"),
        (changed("v", []), "v: Tuple should have at least 1 item"),
        (changed("p.n", 4), "p.cpu: given 3 amounts, n is 4"),
        (changed("p.n", 100_000), "p.n: Input should be less than or equal to 500"),
        (changed("p.edges.1", [1, 3, 10]), "p.edges.1: no node 3, possible: 0 to 2"),
        (changed("p.edges.1", [1, 1, 10]), "p.edges.1: both ends are 1"),
        (changed("p.edges.1", [1, 0, 10]), "p.edges.1: 1 and 0 are joined by edge 0 too"),
        (
            changed("v.2.cpu.1", -3),
            "v.2.cpu.1: Input should be greater than or equal to 0; given -3",
        ),
        (changed("v.2.cpu.1", "much"), "v.2.cpu.1: Input should be a valid number"),
        (changed("v.0.lifetime", 0), "v.0.lifetime: Input should be greater than 0; given 0"),
        (changed("v.1.edges.0.2", None), "v.1.edges.0.2: Input should be a valid number"),
        (json.dumps(GOOD).replace("11", "NaN"), "v.3.arrival: Input should be a finite number"),
    ],
)
def test_a_wrong_file_is_told_with_line_or_field(
    tmp_path: Path, document: Any, problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_scenario(write(tmp_path, document))
    assert problem in str(caught.value)
    assert "small.json" in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_scenario(tmp_path / "none.json")


# Draws.


@pytest.mark.parametrize("substrate", ["waxman", "fat-tree-4"])
def test_the_same_seed_draws_the_same_and_another_does_not(substrate: str) -> None:
    demand = Demand(requests=20)
    first, again, other = (draw_scenario(substrate, demand, seed, 0) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert draw_scenario(substrate, demand, 1, 1) != first


def graph_of(substrate: Substrate) -> nx.Graph[str]:
    graph = nx.Graph([(link.a, link.b) for link in substrate.links])
    graph.add_nodes_from(host.name for host in substrate.hosts)
    return graph


@pytest.mark.parametrize("seed", range(5))
def test_a_waxman_substrate_has_a_hundred_hosts_in_one_piece(seed: int) -> None:
    substrate = draw_scenario("waxman", Demand(requests=1), seed, 0).substrate
    assert len(substrate.hosts) == 100
    assert nx.is_connected(graph_of(substrate))
    assert 300 < len(substrate.links) < 900


@pytest.mark.parametrize(("size", "hosts", "nodes"), [(4, 16, 36), (6, 54, 99)])
def test_a_fat_tree_has_the_hosts_and_switches_of_its_size(
    size: int, hosts: int, nodes: int
) -> None:
    substrate = draw_scenario(f"fat-tree-{size}", Demand(requests=1), 1, 0).substrate
    graph = graph_of(substrate)
    assert len(substrate.hosts) == hosts
    assert len(graph) == len(substrate.hosts) + len(substrate.switches) == nodes
    assert len(substrate.links) == 3 * hosts
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    names = [host.name for host in substrate.hosts]
    assert {lengths[a][b] for a in names for b in names if a != b} == {2, 4, 6}


def test_requests_are_in_one_piece_and_come_in_order() -> None:
    scenario = draw_scenario("fat-tree-4", Demand(200, rate=2.0, lifetime=5.0, vnodes=(2, 6)), 1, 0)
    times = [arrival.time for arrival in scenario.arrivals]
    assert times == sorted(times)
    assert 60 < times[-1] < 160
    assert 3 < np.mean([arrival.lifetime for arrival in scenario.arrivals]) < 8
    for arrival in scenario.arrivals:
        graph = nx.Graph([(vlink.a, vlink.b) for vlink in arrival.request.vlinks])
        assert 2 <= len(arrival.request.vnodes) <= 6
        assert len(graph) == len(arrival.request.vnodes)
        assert nx.is_connected(graph)


@pytest.mark.parametrize("name", ["fat-tree-3", "fat-tree-12", "fat-tree-x", "fat-tree-0"])
def test_a_fat_tree_of_an_impossible_size_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="possible: fat-tree-K, K even, 2 to 10"):
        draw_scenario(name, Demand(), 1, 0)


@pytest.mark.skipif(not ESNET.exists(), reason="needs ../shared/data beside the checkout")
def test_a_published_topology_is_a_substrate() -> None:
    substrate = draw_scenario(str(ESNET), Demand(requests=1), 1, 0).substrate
    assert nx.is_connected(graph_of(substrate))
    assert np.median([link.bandwidth for link in substrate.links]) == pytest.approx(75, rel=0.2)


# Baselines.


def test_nrm_ranks_by_cpu_times_bandwidth() -> None:
    bandwidth = np.array([[0, 2, 3], [2, 0, 0], [3, 0, 0]], float)
    assert nrm(np.array([1.0, 10.0, 2.0]), bandwidth).tolist() == [5, 20, 6]


def test_grc_is_the_fixed_point_that_its_paper_defines() -> None:
    cpu = np.array([4.0, 2.0, 2.0])
    bandwidth = np.array([[0, 2, 1], [2, 0, 1], [1, 1, 0]], float)
    rank = grc(cpu, bandwidth)
    flows = bandwidth / bandwidth.sum(axis=0)
    assert rank == pytest.approx(0.15 * cpu / 8 + 0.85 * flows @ rank, abs=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_takes_what_the_request_asks_for(name: str) -> None:
    network = Network(graph_substrate([10, 20, 30, 5], [(0, 1, 9), (1, 2, 9), (2, 3, 9)]))
    problem = Problem(network, network.capacity, graph_request([8, 8], [(0, 1, 4)]))
    placed = embed_by_rank(problem, BASELINES[name])
    assert placed is not None
    assert sorted(placed.use.host[:, 0].tolist()) == [0, 0, 8, 8]
    assert placed.use.link.sum() in (4, 8, 12)
    assert not placed.proven


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    "request_",
    [
        graph_request([99, 1], [(0, 1, 1)]),
        graph_request([1, 1], [(0, 1, 99)]),
        graph_request([1] * 5, [(0, i, 0) for i in range(1, 5)]),
    ],
    ids=["cpu", "bandwidth", "hosts"],
)
def test_a_baseline_refuses_what_it_cannot_embed(name: str, request_: Request) -> None:
    network = Network(graph_substrate([10] * 4, [(0, 1, 9), (1, 2, 9), (2, 3, 9)]))
    assert embed_by_rank(Problem(network, network.capacity, request_), BASELINES[name]) is None


# Play.


def test_what_leaves_makes_room_before_others_arrive(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, GOOD))
    tally = play(scenario, embedder("braid", Settings()))
    assert tally.accepted == (True, True, False, True, True)
    assert tally.proven == (True, True, False, True, True)
    assert tally.revenue == tally.cost == 2 * 16 * 10 + 5 + 16


def test_cost_counts_hops_and_lifetime() -> None:
    substrate = graph_substrate([9, 1, 9], [(0, 1, 9), (1, 2, 9)])
    arrival = Arrival(graph_request([5, 5], [(0, 1, 3)]), 0, 4)
    tally = play(Scenario("line", substrate, (arrival,)), embedder("braid", Settings()))
    assert (tally.revenue, tally.cost) == (13 * 4, 16 * 4)


@pytest.mark.parametrize("name", ["braid", *BASELINES])
def test_nothing_is_ever_overbooked(name: str) -> None:
    scenario = draw_scenario("fat-tree-4", Demand(150, rate=1.0, vnodes=(2, 5)), 3, 0)
    embed: Callable[[Problem], Placed | None] = embedder(name, Settings())
    least: list[float] = []

    def watched(problem: Problem) -> Placed | None:
        placed = embed(problem)
        left = problem.free if placed is None else problem.free.less(placed.use)
        least.append(min(float(left.host.min()), float(left.link.min())))
        return placed

    tally = play(scenario, watched)
    assert min(least) > -1e-6
    assert 0 < sum(tally.accepted) < 150


def test_rows_are_the_same_whatever_spreads_them() -> None:
    source = Source(substrate="fat-tree-4", demand=Demand(20, rate=1.0, vnodes=(2, 4)), seed=5)
    alone, spread = (simulate(source, Settings(), runs=2, jobs=jobs) for jobs in (1, 2))
    for a, b in zip(alone, spread, strict=True):
        assert (a.name, a.acceptance, a.revenue_to_cost) == (
            b.name,
            b.acceptance,
            b.revenue_to_cost,
        )
        assert a.requests == 40
    assert [row.name for row in alone] == ["braid", "grc", "nrm"]


def test_programs_may_be_given_time() -> None:
    source = Source(substrate="fat-tree-4", demand=Demand(6, rate=1.0, vnodes=(3, 4)), seed=1)
    (alone, *_), (timed, *_) = (
        simulate(source, Settings(time_limit_s=limit), ()) for limit in (0.0, 5.0)
    )
    assert timed.proven_share >= alone.proven_share


@pytest.mark.skipif(not WAXMAN.exists(), reason="needs ../shared/data beside the checkout")
def test_waxman_100_as_long_as_it_fills() -> None:
    """A part of the published replay: the whole takes a minute. See docs/simulations.md."""
    scenario = read_scenario(WAXMAN)
    part = Scenario(scenario.name, scenario.substrate, scenario.arrivals[:250])
    braid, baseline = (row_of(n, [play(part, embedder(n, Settings()))]) for n in ("braid", "grc"))
    assert braid.acceptance >= 0.99
    assert braid.revenue_to_cost >= 0.85
    assert braid.proven_share >= 0.65
    assert baseline.acceptance < 0.8
    assert baseline.revenue_to_cost < 0.7


def test_free_amounts_are_values() -> None:
    free, use = (Free(np.full((2, 1), x), np.full(1, x)) for x in (5.0, 2.0))
    assert free.less(use).host.tolist() == [[3], [3]]
    assert free.more(use).link.tolist() == [7]
    assert free.host.tolist() == [[5], [5]]
