"""The least load in a first look: VNodes that may meet are spread, unless links are too thin."""

from __future__ import annotations

import math
import random

import networkx as nx
import numpy as np
import pytest
from embedding_world import line, pair, problem_of

from embedding.first import FirstStage, first_stage
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Free, Network
from embedding.objectives import load
from embedding.problem import Problem

GAP = 0.01


def looked(problem: Problem) -> FirstStage:
    """The first answer to a request for the least load."""
    return first_stage(problem, load(problem), GAP)


def closed(first: FirstStage) -> bool:
    """Whether the answer is proven."""
    return first.solution is not None and first.solution.value * (1 - GAP) <= first.bound


def busy_racks(seed: int, *, shares_hosts: bool) -> Problem:
    """Of every host and link up to three fifths are taken."""
    dice = random.Random(seed)
    names = [(f"r{i}", f"h{i}.{j}") for i in range(6) for j in range(3)]
    links = [Link(rack, host, 100) for rack, host in names]
    links += [Link("top", f"r{i}", 100) for i in range(6)]
    hosts = tuple(Host(host, {"cpu": 4}) for _, host in names)
    network = Network(Substrate(hosts, tuple(links), ("top", *(f"r{i}" for i in range(6)))))

    host, link = network.capacity.host, network.capacity.link
    host_left = np.array([[1 - 0.6 * dice.random()] for _ in host])
    link_left = np.array([1 - 0.6 * dice.random() for _ in link])
    free = Free(host * host_left, link * link_left)
    graph = nx.gnp_random_graph(8, 0.5, seed=seed)
    vnodes = tuple(VNode(f"v{i}", {"cpu": dice.random()}) for i in graph)
    vlinks = tuple(VLink(f"v{a}", f"v{b}", dice.randint(1, 8)) for a, b in graph.edges)
    return Problem(network, free, Request(vnodes, vlinks, shares_hosts=shares_hosts))


def test_vnodes_that_may_meet_are_spread_where_that_is_all_but_proven() -> None:
    first = looked(busy_racks(3, shares_hosts=True))
    assert closed(first)
    assert first.solution is not None
    assert len(set(first.solution.hosts.tolist())) == len(first.solution.hosts)
    assert first.grouping is None


@pytest.mark.parametrize("seed", range(8))
def test_leave_to_meet_does_not_make_the_first_answer_worse(seed: int) -> None:
    meet, apart = (looked(busy_racks(seed, shares_hosts=shares)) for shares in (True, False))
    assert meet.solution is not None
    if apart.solution is not None:
        assert meet.solution.value <= apart.solution.value * (1 + GAP)


def test_vnodes_meet_where_no_link_has_room_between_them() -> None:
    first = looked(problem_of(line(4, 4, 4, bandwidth=1), pair(1, 2, shares_hosts=True)))
    assert closed(first)
    assert first.solution is not None
    assert first.solution.value == pytest.approx(0.5)
    assert len(set(first.solution.hosts.tolist())) == 1


def test_what_is_found_with_nothing_spared_is_then_levelled() -> None:
    vnodes = tuple(VNode(f"v{i}", {"cpu": 3}) for i in range(3))
    vlinks = (VLink("v0", "v1", 9), VLink("v1", "v2", 9))
    first = looked(problem_of(line(9, 9, 10, bandwidth=10), Request(vnodes, vlinks, True)))
    assert first.solution is not None
    assert first.solution.value == pytest.approx(0.9, abs=0.01)


def test_where_nothing_fits_with_nothing_spared_no_more_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[float] = []
    within = Problem.within

    def noted(problem: Problem, share: float) -> Problem:
        tried.append(share)
        return within(problem, share)

    monkeypatch.setattr(Problem, "within", noted)
    hosts = tuple(Host(f"h{i}", {"cpu": 4}) for i in range(4))
    links = [Link(f"h{i}", f"s{i // 2}", 10) for i in range(4)]
    substrate = Substrate(hosts, (*links, Link("s0", "s1", 3)), ("s0", "s1"))
    vnodes = tuple(VNode(f"v{i}", {"cpu": 3}) for i in range(4))
    ring = tuple(VLink(f"v{i}", f"v{(i + 1) % 4}", 2) for i in range(4))
    first = looked(problem_of(substrate, Request(vnodes, ring)))
    assert first.solution is None
    assert math.isfinite(first.bound)
    assert tried[-1] == 1.0
    assert len(tried) <= 3
