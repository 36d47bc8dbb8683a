"""Small networks whose free bandwidth changes with time, for tests of requests that bend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from substrate_world import Link, ask, network, routes_of

from substrate.bending import Search
from substrate.forecast import Resource, forecast
from substrate.model import Constraints, Profile, Refusal, Step, Strategy, Window
from substrate.options import Supply
from substrate.splitting import compose
from substrate.topology import Topology

START_S, END_S = 100, 130
SPAN = Window(START_S, END_S)
WAYS = "bcd"


def fan(
    latencies: Sequence[int] = (1, 1, 1),
    capacity_bps: int = 60,
    host_bps: int = 100,
    blind: str = "",
) -> Topology:
    """From a to z through each of b, c, d; a and z split."""
    links = []
    for name, latency_us in zip(WAYS, latencies, strict=False):
        links += [Link("a", name, capacity_bps, latency_us), Link(name, "z", capacity_bps, 0)]
    hosts = {"a": host_bps, "z": host_bps}
    return network(links, hosts=hosts, splitting="az", swapping="az", blind=blind)


def pairs_of(topology: Topology) -> list[tuple[str, str]]:
    """Every way through a visible domain."""
    return [
        (one.stp, other.stp)
        for domain in topology.domains.values()
        if domain.visible
        for one in domain.ports
        for other in domain.ports
        if one is not other
    ]


def search_of(
    topology: Topology,
    told: Mapping[Any, Profile],
    bandwidth_bps: int,
    span: Window = SPAN,
    strategy: Strategy = Strategy.AUTO,
    ends: tuple[str, str] = ("a:host", "z:host"),
    **limits: Any,
) -> Search:
    """Ways that nothing is told of have room for everything."""
    open_ways: dict[Resource, Profile] = {
        pair: (Step(span.start_s, 10**12),) for pair in pairs_of(topology)
    }
    wish = ask(bandwidth_bps, *ends, strategy=strategy, constraints=Constraints(**limits))
    known = forecast(span, Supply(), {**open_ways, **told})
    return Search(wish, routes_of(topology, wish), known, topology)


def way(name: str) -> tuple[str, str]:
    """The way through one of the middle domains of a fan."""
    return (f"{name}:to-a", f"{name}:to-z")


def steps(*levels: tuple[int, int]) -> Profile:
    return tuple(Step(start_s, bps) for start_s, bps in levels)


@st.composite
def profiles(draw: st.DrawFn, most_bps: int = 60, span: Window = SPAN) -> Profile:
    inner = st.integers(span.start_s + 1, span.end_s - 1)
    starts = [span.start_s, *sorted(draw(st.sets(inner, max_size=4)))]
    return tuple(Step(start_s, draw(st.integers(0, most_bps))) for start_s in starts)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """Any limits that a composition must keep."""
    topology = fan([draw(st.integers(0, 9)) for _ in range(draw(st.integers(1, 3)))])
    names = [name for name in WAYS if name in topology.domains]
    told: dict[Resource, Profile] = {way(name): draw(profiles()) for name in names}
    if draw(st.booleans()):
        told["a:host"] = draw(profiles(100))
    limits: dict[str, Any] = {"max_paths": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        limits["max_latency_spread_us"] = draw(st.integers(0, 9))
    if draw(st.booleans()):
        limits["min_share_bps"] = draw(st.integers(1, 30))
    strategy = draw(st.sampled_from([Strategy.AUTO, Strategy.FULL_OFFERS, Strategy.SINGLE_PATH]))
    return search_of(topology, told, draw(st.integers(1, 100)), strategy=strategy, **limits)


def composes(search: Search, bandwidth_bps: int, window: Window) -> bool:
    """As compose judges."""
    wish = ask(
        bandwidth_bps, strategy=search.criteria.strategy, constraints=search.criteria.constraints
    )
    free = search.forecast.within(window)
    return not isinstance(compose(wish, search.routes, free, search.topology), Refusal)
