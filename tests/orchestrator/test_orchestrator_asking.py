"""A plan asks few domains, and is as good as the plan that all answers would have made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import given, strategies as st
from networks import G, diamond, domain, port

from orchestrator.finder import RouteFinder
from orchestrator.negotiation import (
    NO_GRAPHS,
    Answer,
    Failure,
    PlanMade,
    Progress,
    Question,
    Segments,
    negotiate,
)
from orchestrator.planning import plan_only
from protocol.messages import Offer, PortOffer, SendOffers
from substrate.labels import Plan
from substrate.model import Constraints, Criteria, Step, Strategy, Window
from substrate.options import Pair
from substrate.topology import Topology
from substrate.vlans import VlanSet

T = TypeVar("T")
WINDOW = Window(1000, 2000)
NAMES = ["west", "east", "m1", "m2", "m3", "m4"]


@dataclass
class Domains:
    """A bargain with domains that say the same whenever they are asked, and hold everything."""

    free: Mapping[Pair, tuple[int, int, int]] = field(default_factory=dict)
    """Per pair bit/s, latency in microseconds and price; others have enough, at once, for free."""
    vlans: Mapping[str, VlanSet] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    def now_ms(self) -> int:
        return 0

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)

    async def compute(self, work: Callable[[], T]) -> T:
        return work()

    def remembered(self, domain: str, pairs: frozenset[Pair], window: Window) -> SendOffers | None:
        return None

    def forgets(self) -> bool:
        return False

    async def ask(
        self, wanted: Mapping[str, frozenset[Pair]], window: Window, aggregate: bool = False
    ) -> Mapping[str, SendOffers | None]:
        self.asked += wanted
        return {name: self._offers(name, pairs, window) for name, pairs in wanted.items()}

    def _offers(self, name: str, pairs: frozenset[Pair], window: Window) -> SendOffers:
        offers = []
        for pair in sorted(pairs):
            bps, latency_us, price = self.free.get(pair, (1000 * G, 0, 0))
            offers.append(Offer("", *pair, (Step(window.start_s, bps),), latency_us, price))
        plenty = (Step(window.start_s, 1000 * G),)
        stps = sorted({stp for pair in pairs for stp in pair})
        every = VlanSet.from_ranges([(100, 199)])
        ports = tuple(PortOffer(stp, plenty, self.vlans.get(stp, every)) for stp in stps)
        return SendOffers("", name, tuple(offers), ports)

    async def prepare(
        self, wanted: Mapping[str, Segments], graphs: Mapping[str, bytes] = NO_GRAPHS
    ) -> Mapping[str, Answer]:
        return dict.fromkeys(wanted)

    async def drop(self, domains: frozenset[str]) -> None:
        raise AssertionError("nothing was refused")


def question(topology: Topology, bandwidth_bps: int, **fields: object) -> Question:
    criteria = Criteria("west:host", "east:host", bandwidth_bps, WINDOW, **fields)  # type: ignore[arg-type]
    return Question(criteria, 60_000, topology, RouteFinder())


async def first_plan(asked: Question, domains: Domains) -> Plan | Failure:
    """What Reserve tries to hold first, which asks all domains on the routes."""
    outcome = await negotiate(asked, domains)
    plans = [told.plan for told in domains.told if isinstance(told, PlanMade)]
    return plans[0] if plans else outcome


@st.composite
def meshes(draw: st.DrawFn) -> Topology:
    """Six domains, one of which may be blind, and any links between them."""
    names = st.sampled_from(NAMES)
    edges = draw(st.lists(st.tuples(names, names).filter(lambda e: e[0] != e[1]), max_size=12))
    ports = {name: [port(f"{name}:host", bps=1000 * G)] for name in NAMES}
    for i, (one, other) in enumerate([("west", "m1"), ("m1", "east"), *edges]):
        bps, latency_us = draw(st.sampled_from([10 * G, 40 * G])), draw(st.integers(1, 4))
        ports[one].append(port(f"{one}:{i}", f"{other}:{i}", bps, latency_us))
        ports[other].append(port(f"{other}:{i}", f"{one}:{i}", bps, latency_us))
    blind, exchange = draw(names), draw(st.booleans())
    hidden = blind if draw(st.booleans()) else ""
    return Topology(
        domain(name, own, visible=name != hidden, exchange=exchange) for name, own in ports.items()
    )


def cost(plan: Plan, free: Mapping[Pair, tuple[int, int, int]]) -> tuple[int, int]:
    """Latency and price of the only path."""
    (path,) = plan.paths
    pairs = [(hop.ingress_stp, hop.egress_stp) for hop in path.hops]
    return path.latency_us, sum(free[pair][2] for pair in pairs if pair in free)


@given(meshes(), st.data())
def test_the_plan_is_as_good_as_that_of_who_asks_everybody(
    topology: Topology, data: st.DataObject
) -> None:
    stps = [[port.stp for port in domain.ports] for domain in topology.domains.values()]
    pairs = [(one, other) for own in stps for one in own for other in own if one != other]
    told = st.tuples(
        st.sampled_from([0, 5 * G, 20 * G, 1000 * G]), st.integers(0, 2), st.integers(0, 1)
    )
    free = data.draw(st.dictionaries(st.sampled_from(pairs), told, max_size=12))
    sets = st.sampled_from([VlanSet(), VlanSet.of(100), VlanSet.of(101, 102)])
    names = st.sampled_from([stp for own in stps for stp in own])
    vlans = data.draw(st.dictionaries(names, sets, max_size=4))
    asked = question(
        topology,
        data.draw(st.sampled_from([1, 5 * G, 10 * G, 30 * G, 70 * G])),
        strategy=data.draw(st.sampled_from(Strategy)),
        constraints=Constraints(
            max_paths=data.draw(st.integers(1, 3)),
            min_share_bps=data.draw(st.sampled_from([1, 8 * G])),
            max_latency_us=data.draw(st.sampled_from([None, 5])),
            max_latency_spread_us=data.draw(st.sampled_from([None, 1])),
        ),
    )

    async def both() -> tuple[Plan | Failure, Plan | Failure]:
        thorough, sparing = Domains(free, vlans), Domains(free, vlans)
        return await first_plan(asked, thorough), await plan_only(asked, sparing)

    thorough, sparing = asyncio.run(both())
    if sparing != thorough:
        assert isinstance(sparing, Plan)
        assert isinstance(thorough, Plan)
        assert cost(sparing, free) <= cost(thorough, free)


async def test_who_is_not_on_the_best_route_is_not_asked() -> None:
    domains = Domains()
    assert isinstance(await plan_only(question(diamond(middle=9), G), domains), Plan)
    assert domains.asked == ["east", "m1", "west"]


async def test_domains_on_other_routes_are_asked_when_the_best_one_is_full() -> None:
    domains = Domains({("m1:west", "m1:east"): (0, 0, 0)})
    plan = await plan_only(question(diamond(middle=9), G), domains)
    assert isinstance(plan, Plan)
    assert set(plan.segments) == {"west", "m2", "east"}
    assert domains.asked == ["east", "m1", "west", "east", "m2", "west"]


async def test_all_are_asked_at_once_for_what_no_route_carries_alone() -> None:
    domains = Domains()
    plan = await plan_only(question(diamond(middle=3), 250 * G), domains)
    assert isinstance(plan, Plan)
    assert len(plan.paths) == 3
    assert domains.asked == ["east", "m1", "m2", "m3", "west"]
