"""Explicit routes and domains to be crossed: found just when a brute force finds them, and soon."""

from __future__ import annotations

import random

import pytest
from effort import calls_of
from hypothesis import given, strategies as st
from maps import build

from substrate.model import Constraints, domain_of
from substrate.routes import Route, candidate_routes
from substrate.topology import Topology

CALLS_MAX = 200_000
"""About five times as many as are made."""

graphs = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.integers(0, 5)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    min_size=2,
    max_size=9,
)


def passes(route: Route, ero: list[str]) -> bool:
    """Whether the STPs come in that order on the way."""
    stps = [stp for pair in route.pairs for stp in pair]
    at = -1
    for stp in ero:
        if stp not in stps[at + 1 :]:
            return False
        at = stps.index(stp, at + 1)
    return True


@given(graphs, st.data())
def test_an_explicit_route_leaves_exactly_the_ways_that_pass_it_in_order(
    edges: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    topology = build(edges, "af")
    stps = [stp for link in topology.links for stp in (link.a_stp, link.b_stp)]
    ero = data.draw(st.lists(st.sampled_from(sorted(stps)), min_size=1, max_size=3))
    via = data.draw(st.sets(st.sampled_from(sorted(topology.domains)), max_size=1))
    everything = candidate_routes(topology, "a:user", "f:user", Constraints(), 500)
    wish = Constraints(ero=tuple(ero), via_domains=tuple(via))
    found = candidate_routes(topology, "a:user", "f:user", wish, 500)
    expected = {r for r in everything if passes(r, ero) and via <= set(r.domains)}
    assert set(found) == expected
    assert [r.latency_us for r in found] == sorted(r.latency_us for r in found)


def test_a_port_of_no_link_cannot_be_passed() -> None:
    topology = build([("a", "b", 1), ("b", "f", 1)], "abf")
    constraints = Constraints(ero=("b:user",))
    assert candidate_routes(topology, "a:user", "f:user", constraints) == ()


def meander(topology: Topology, dice: random.Random) -> list[str]:
    """The ingress STPs of a random simple way of 8 to 12 domains from n0 to n79."""
    while True:
        here, seen, stps = "n0", ["n0"], list[str]()
        while here != "n79":
            ahead = [
                link.other(port.stp)
                for port in topology.domains[here].ports
                if (link := topology.link_at(port.stp)) is not None
                and domain_of(link.other(port.stp)) not in seen
            ]
            if not ahead:
                break
            stps.append(dice.choice(ahead))
            here = domain_of(stps[-1])
            seen.append(here)
        if here == "n79" and 8 <= len(seen) <= 12:
            return stps


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("every", [1, 3])
def test_an_explicit_route_far_from_the_shortest_is_found_at_once(seed: int, every: int) -> None:
    dice = random.Random(seed)
    names = [f"n{i}" for i in range(80)]
    edges = [(names[i], names[dice.randrange(i)], dice.randrange(1, 9)) for i in range(1, 80)]
    for _ in range(173):
        one, other = dice.sample(names, 2)
        edges.append((one, other, dice.randrange(1, 9)))
    topology = build(edges, ["n0", "n79"])
    stps = meander(topology, dice)
    wish = Constraints(ero=tuple(stps[::every]))
    found, calls = calls_of(lambda: candidate_routes(topology, "n0:user", "n79:user", wish))
    assert found
    if every == 1:
        assert [c.ingress_stp for c in found[0].crossings[1:]] == stps
        assert len(found) == 1
    assert calls < CALLS_MAX


def test_a_destination_named_among_the_domains_to_cross_changes_nothing() -> None:
    topology = build([("a", "c", 0), ("b", "c", 0), ("b", "d", 0), ("d", "f", 0)], "af")
    wish = Constraints(ero=("a:e0",), via_domains=("f",))
    (found,) = candidate_routes(topology, "a:user", "f:user", wish)
    assert found.domains == ("a", "c", "b", "d", "f")
    (same,) = candidate_routes(topology, "a:user", "f:user", Constraints(via_domains=("f",)))
    assert same == found


def test_a_circuit_from_a_links_port_does_not_turn_back_over_that_link() -> None:
    topology = build([("a", "b", 1), ("a", "c", 1), ("c", "b", 1)], "ab")
    (found,) = candidate_routes(topology, "a:e0", "b:user", Constraints())
    assert found.domains == ("a", "c", "b")
    (back,) = candidate_routes(topology, "b:user", "a:e0", Constraints())
    assert back.domains == ("b", "c", "a")
