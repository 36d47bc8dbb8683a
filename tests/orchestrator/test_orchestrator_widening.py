"""What the shortest routes cannot carry together is found on longer ones that are wide enough."""

from __future__ import annotations

import itertools
from dataclasses import replace

from networks import G, domain, port
from test_orchestrator_negotiation import question, rich, shares

from orchestrator.negotiation import Failure, RoutesFound, negotiate
from substrate.labels import Plan
from substrate.model import RefusalKind, Strategy
from substrate.topology import Topology

THIN = 20


def thin_and_wide(wide_bps: int = 100 * G) -> Topology:
    """West and east, joined by many short ways of 1 Gb/s, and one of three domains that is wide."""
    ends = {"west": [port("west:host", bps=1000 * G)], "east": [port("east:host", bps=1000 * G)]}
    middles = []
    for number in range(THIN):
        name = f"thin{number}"
        ports = []
        for end, own in ends.items():
            own.append(port(f"{end}:{name}", f"{name}:{end}", G))
            ports.append(port(f"{name}:{end}", f"{end}:{name}", G))
        middles.append(domain(name, ports))
    chain = ["west", "wide1", "wide2", "wide3", "east"]
    ways: dict[str, list[object]] = {name: [] for name in chain}
    for one, other in itertools.pairwise(chain):
        ways[one].append(port(f"{one}:{other}", f"{other}:{one}", wide_bps, 900))
        ways[other].append(port(f"{other}:{one}", f"{one}:{other}", wide_bps, 900))
    middles += [domain(name, ways[name]) for name in chain[1:-1]]  # type: ignore[arg-type]
    sites = [
        domain(end, [*own, *ways[end]], exchange=True)  # type: ignore[list-item]
        for end, own in ends.items()
    ]
    return Topology([*sites, *middles])


async def test_a_long_wide_way_is_found_behind_many_short_thin_ones() -> None:
    topology = thin_and_wide()
    domains = rich(topology)
    plan = await negotiate(question(topology, 50 * G), domains)
    assert shares(plan) == {"wide1": 50 * G}
    first = next(told for told in domains.told if isinstance(told, RoutesFound))
    assert not any("wide1" in route.domains for route in first.routes)


async def test_it_is_split_with_short_ones_where_it_is_not_wide_enough() -> None:
    topology = thin_and_wide(49 * G)
    plan = await negotiate(question(topology, 50 * G), rich(topology))
    assert shares(plan)["wide1"] >= 47 * G
    assert sum(shares(plan).values()) == 50 * G


async def test_what_it_turns_out_not_to_have_is_refused() -> None:
    topology = thin_and_wide()
    domains = rich(topology, wide2=10 * G)
    outcome = await negotiate(question(topology, 50 * G), domains)
    assert isinstance(outcome, Failure)
    assert outcome.refusals[-1].kind is RefusalKind.BANDWIDTH
    assert domains.rounds == []


async def test_constraints_and_strategies_are_kept() -> None:
    topology = thin_and_wide()
    for limits in ({"max_domains": 4}, {"avoid_domains": ("wide2",)}, {"max_latency_us": 1000}):
        outcome = await negotiate(question(topology, 50 * G, **limits), rich(topology))
        assert isinstance(outcome, Failure), limits
    paper = question(topology, 50 * G, Strategy.PARTIAL_OFFERS)
    assert isinstance(await negotiate(paper, rich(topology)), Failure)


async def test_of_several_destinations_each_finds_the_wide_way_as_far_as_it_goes() -> None:
    thin = thin_and_wide()
    east = thin.domains["east"]
    topology = thin.with_domain(replace(east, ports=(*east.ports, port("east:lab", bps=1000 * G))))
    for gbps, fits in ((40, True), (60, False)):
        asked = question(topology, gbps * G)
        asked = replace(asked, criteria=replace(asked.criteria, more_destinations=("east:lab",)))
        outcome = await negotiate(asked, rich(topology))
        if fits:
            assert isinstance(outcome, Plan)
            wide = [path for path in outcome.paths if path.hops[1].domain == "wide1"]
            assert [path.bandwidth_bps for path in wide] == [gbps * G] * 2
            continue
        assert isinstance(outcome, Failure)
        assert outcome.refusals[-1].kind is RefusalKind.BANDWIDTH
        assert outcome.refusals[-1].reason.startswith("to east:lab beside east:host: ")
