"""Phase 1 over a bargain that is scripted: which rounds are played, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from networks import VLANS, G, diamond, line

from orchestrator import finder
from orchestrator.finder import RouteFinder
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import (
    NO_GRAPHS,
    Answer,
    Failure,
    HoldAnswered,
    OffersAsked,
    OffersCame,
    PlanMade,
    Progress,
    Question,
    Segments,
    negotiate,
    routes_of,
)
from orchestrator.planning import plan_only
from protocol.messages import Offer, PortOffer, SendOffers
from substrate.labels import Plan
from substrate.model import (
    Constraints,
    Criteria,
    Port,
    Refusal,
    RefusalKind,
    Step,
    Strategy,
    Window,
    domain_of,
)
from substrate.routes import Route, nearest_routes
from substrate.topology import Topology

T = TypeVar("T")
WINDOW = Window(1000, 2000)


@dataclass
class ScriptedDomains:
    """A bargain with domains that know what they have free; ``free`` is per domain, in bit/s."""

    topology: Topology
    free: dict[str, int]
    silent: frozenset[str] = frozenset()
    held: dict[str, Segments] = field(default_factory=dict)
    rounds: list[dict[str, Segments]] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    stale: dict[str, int] = field(default_factory=dict)
    hearsay: dict[str, int] = field(default_factory=dict)
    now: int = 0
    computed: int = 0

    def now_ms(self) -> int:
        return self.now

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)

    async def compute(self, work: Callable[[], T]) -> T:
        self.computed += 1
        return work()

    def remembered(
        self, domain: str, pairs: frozenset[tuple[str, str]], window: Window
    ) -> SendOffers | None:
        return None

    def forgets(self) -> bool:
        forgets, self.hearsay = bool(self.hearsay), {}
        return forgets

    async def ask(
        self,
        wanted: Mapping[str, frozenset[tuple[str, str]]],
        window: Window,
        aggregate: bool = False,
    ) -> Mapping[str, SendOffers | None]:
        found = {domain: self._offers(domain, pairs, window) for domain, pairs in wanted.items()}
        for domain, offers in found.items():
            self.tell(OffersCame(domain, offers, window))
        return found

    def _offers(
        self, domain: str, pairs: frozenset[tuple[str, str]], window: Window
    ) -> SendOffers | None:
        self.asked.append(domain)
        if domain in self.silent:
            return None
        bps = self.hearsay.get(domain, self.stale.get(domain, self.free[domain]))
        step = (Step(window.start_s, bps),)
        ports = {stp for pair in pairs for stp in pair}
        return SendOffers(
            "q",
            domain,
            tuple(Offer(f"{a}-{b}", a, b, step) for a, b in sorted(pairs)),
            tuple(PortOffer(stp, step, VLANS) for stp in sorted(ports)),
        )

    async def prepare(
        self, wanted: Mapping[str, Segments], graphs: Mapping[str, bytes] = NO_GRAPHS
    ) -> Mapping[str, Answer]:
        self.rounds.append(dict(wanted))
        answers: dict[str, Answer] = {}
        for name, segments in wanted.items():
            self.held.pop(name, None)
            total = sum(segment.bandwidth_bps for segment in segments)
            free = self.free[name]
            visible = self.topology.domains[name].visible
            if name in self.silent:
                answers[name] = Refusal(RefusalKind.TIMEOUT, "silent", domain=name)
            elif total > free:
                answers[name] = Refusal(
                    RefusalKind.BANDWIDTH,
                    "full",
                    domain=name,
                    available_bps=free if visible else None,
                )
            else:
                answers[name] = None
                self.held[name] = segments
        return answers

    async def drop(self, domains: frozenset[str]) -> None:
        for name in domains:
            self.held.pop(name, None)


def question(
    topology: Topology,
    bandwidth_bps: int,
    strategy: Strategy = Strategy.AUTO,
    source: str = "west:host",
    destination: str = "east:host",
    **limits: object,
) -> Question:
    constraints = Constraints(**limits)  # type: ignore[arg-type]
    criteria = Criteria(
        source, destination, bandwidth_bps, WINDOW, strategy=strategy, constraints=constraints
    )
    return Question(criteria, 60_000, topology, RouteFinder())


def rich(topology: Topology, **free: int) -> ScriptedDomains:
    levels = dict.fromkeys(topology.domains, 1000 * G)
    return ScriptedDomains(topology, {**levels, **free})


def shares(plan: Plan | Failure) -> dict[str, int]:
    """Bandwidth by the middle domain of each path."""
    assert isinstance(plan, Plan), plan
    return {path.hops[1].domain: path.bandwidth_bps for path in plan.paths}


async def test_150_over_two_disjoint_100s() -> None:
    topology = diamond()
    domains = rich(topology, m1=100 * G, m2=100 * G)
    plan = await negotiate(question(topology, 150 * G), domains)
    assert sum(shares(plan).values()) == 150 * G
    assert set(shares(plan)) == {"m1", "m2"}
    assert set(domains.held) == {"west", "east", "m1", "m2"}


async def test_what_one_path_carries_is_not_split() -> None:
    topology = diamond()
    plan = await negotiate(question(topology, 90 * G), rich(topology))
    assert len(shares(plan)) == 1


@pytest.mark.parametrize(
    ("limits", "more", "apart"),
    [
        ({}, (), False),
        ({"min_share_bps": G}, (), False),
        ({"max_paths": 16}, (), True),
        ({"max_latency_spread_us": 10**6}, (), True),
        ({"survive": 1, "remaining_bps": 10 * G}, (), True),
        ({}, ("m1:host",), True),
    ],
)
async def test_compositions_that_may_take_long_are_made_while_others_have_their_turn(
    limits: dict[str, Any], more: tuple[str, ...], apart: bool
) -> None:
    topology = diamond()
    host = Port("m1:host", 100 * G, VLANS)
    ports = (*topology.domains["m1"].ports, host)
    topology = topology.with_domain(replace(topology.domains["m1"], ports=ports))
    asked = question(topology, 20 * G, **{"max_paths": 4, **limits})
    asked = replace(asked, criteria=replace(asked.criteria, more_destinations=more))
    domains = rich(topology)
    assert isinstance(await negotiate(asked, domains), Plan)
    assert bool(domains.computed) == apart


async def test_what_nobody_has_is_refused_after_asking_and_nothing_is_prepared() -> None:
    topology = diamond()
    domains = rich(topology, m1=10 * G, m2=20 * G)
    outcome = await negotiate(question(topology, 150 * G), domains)
    assert isinstance(outcome, Failure)
    assert outcome.refusals[0].kind is RefusalKind.BANDWIDTH
    assert domains.rounds == []


async def test_a_domain_that_does_not_answer_is_left_out() -> None:
    topology = diamond()
    domains = rich(topology)
    domains.silent = frozenset({"m1"})
    assert set(shares(await negotiate(question(topology, 80 * G), domains))) == {"m2"}


async def test_a_stale_offer_is_replanned_and_the_parts_that_serve_are_kept() -> None:
    topology = diamond(middle=3)
    domains = rich(topology, m1=100 * G, m2=10 * G, m3=100 * G)
    domains.stale = {"m2": 100 * G}
    plan = await negotiate(question(topology, 150 * G), domains)
    assert set(shares(plan)) == {"m1", "m3"}
    assert len(domains.rounds) == 2
    assert "m1" in domains.rounds[0]
    assert "m1" not in domains.rounds[1]
    assert "m2" not in domains.held


async def test_blind_domains_are_asked_for_the_remainder_only() -> None:
    topology = diamond(blind=frozenset({"m2"}))
    domains = rich(topology, m1=70 * G, m2=40 * G)
    plan = await negotiate(question(topology, 100 * G, Strategy.PARTIAL_OFFERS), domains)
    assert shares(plan) == {"m1": 70 * G, "m2": 30 * G}
    assert "m2" not in domains.asked


async def test_blind_domains_are_left_alone_when_visible_ones_suffice() -> None:
    topology = diamond(blind=frozenset({"m2"}))
    plan = await negotiate(question(topology, 60 * G, Strategy.PARTIAL_OFFERS), rich(topology))
    assert set(shares(plan)) == {"m1"}


@pytest.mark.parametrize("strategy", [Strategy.PARTIAL_OFFERS, Strategy.EQUAL_SPLITTING])
async def test_the_papers_strategies_ask_a_blind_domain_once(strategy: Strategy) -> None:
    topology = diamond(blind=frozenset({"m2"}))
    domains = rich(topology, m1=70 * G, m2=20 * G)
    outcome = await negotiate(question(topology, 100 * G, strategy), domains)
    assert isinstance(outcome, Failure)
    assert len(domains.rounds) == 1


async def test_auto_asks_a_blind_domain_for_less_after_a_refusal() -> None:
    topology = diamond(blind=frozenset({"m2", "m3"}), middle=3)
    domains = rich(topology, m1=40 * G, m2=35 * G, m3=35 * G)
    plan = await negotiate(question(topology, 100 * G), domains)
    assert shares(plan) == {"m1": 40 * G, "m2": 30 * G, "m3": 30 * G}
    assert len(domains.rounds) > 1


async def test_full_offers_uses_visible_domains_only() -> None:
    topology = diamond(blind=frozenset({"m2"}))
    domains = rich(topology, m1=60 * G)
    outcome = await negotiate(question(topology, 100 * G, Strategy.FULL_OFFERS), domains)
    assert isinstance(outcome, Failure)
    assert all("m2" not in wanted for wanted in domains.rounds)


async def test_equal_splitting_asks_for_no_offers() -> None:
    topology = diamond()
    domains = rich(topology)
    plan = await negotiate(question(topology, 101, Strategy.EQUAL_SPLITTING), domains)
    assert sorted(shares(plan).values()) == [50, 51]
    assert domains.asked == []


async def test_single_path_tries_another_path_after_a_refusal() -> None:
    topology = diamond(blind=frozenset({"m1", "m2"}))
    domains = rich(topology, m1=10 * G, m2=90 * G)
    plan = await negotiate(question(topology, 80 * G, Strategy.SINGLE_PATH), domains)
    assert shares(plan) == {"m2": 80 * G}


async def test_a_line_of_fourteen_domains() -> None:
    topology = line(14)
    asked = question(topology, 80 * G, source="d1:host", destination="d14:host")
    plan = await negotiate(asked, rich(topology))
    assert isinstance(plan, Plan)
    assert [hop.domain for hop in plan.paths[0].hops] == [f"d{i}" for i in range(1, 15)]


async def test_domains_to_avoid_and_to_use() -> None:
    topology = diamond(middle=3)
    avoided = await negotiate(question(topology, 10, avoid_domains=("m1", "m2")), rich(topology))
    assert set(shares(avoided)) == {"m3"}
    used = await negotiate(question(topology, 10, via_domains=("m2",)), rich(topology))
    assert set(shares(used)) == {"m2"}


async def test_an_explicit_route_is_taken() -> None:
    topology = diamond(middle=3)
    plan = await negotiate(question(topology, 10, ero=("m2:west",)), rich(topology))
    assert set(shares(plan)) == {"m2"}


async def test_no_path_names_what_was_left_out() -> None:
    topology = diamond()
    asked = question(topology, 10, avoid_domains=("m1", "m2"))
    outcome = await negotiate(asked, rich(topology))
    assert isinstance(outcome, Failure)
    assert outcome.refusals[0].kind is RefusalKind.NO_PATH
    reason = outcome.refusals[0].reason
    assert "within the constraints, leaving out m1, m2; without avoid there is " in reason


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_latency_us": 5}, ["without max_latency there is west > m1 > east, whose"]),
        ({"max_domains": 2}, ["without max_domains there is west > m1 > east"]),
        ({"min_share_bps": 101 * G}, ["without min_share there is west > m1 > east"]),
        ({"via_domains": ("m1", "m2")}, ["without via there is west > m1 > east"]),
        ({"ero": ("m2:west", "m1:west")}, ["without ero there is west > m1 > east"]),
        ({"avoid_domains": ("m1",), "via_domains": ("m1",)},
         ["without via there is west > m2 > east", "without avoid there is west > m1 > east"]),
        ({"max_latency_us": 5, "max_domains": 2}, []),
    ],
)  # fmt: skip
async def test_no_path_names_each_limit_without_which_there_is_one(
    limits: dict[str, Any], told: list[str]
) -> None:
    topology = diamond()
    outcome = await negotiate(question(topology, 10, **limits), rich(topology))
    assert isinstance(outcome, Failure)
    (refusal,) = outcome.refusals
    assert refusal.kind is RefusalKind.NO_PATH
    assert refusal.reason.startswith("no path joins west:host and east:host within the constraints")
    assert refusal.reason.count("without") == len(told)
    assert all(text in refusal.reason for text in told)


def test_what_was_only_told_keeps_no_search_for_more_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[str] = []

    def search(*asked: Any) -> Iterator[Route]:
        try:
            searches.append("begun")
            yield from nearest_routes(*asked)
        finally:
            searches.append("over")

    monkeypatch.setattr(finder, "nearest_routes", search)
    wanted = question(diamond(), 10, max_latency_us=5)
    for _ in range(3):
        assert isinstance(routes_of(wanted, Knowledge()), Refusal)
    assert searches == ["begun", "over"]


async def test_without_a_limit_a_domain_that_is_down_stays_left_out() -> None:
    topology = diamond()
    knowledge = Knowledge(down=frozenset({"m1"}))
    wanted = question(topology, 10, max_latency_us=5)
    refusal = routes_of(wanted, knowledge)
    assert isinstance(refusal, Refusal)
    assert "leaving out m1; without max_latency there is west > m2 > east" in refusal.reason


async def test_a_negotiation_past_its_deadline_ends() -> None:
    topology = diamond()
    domains = rich(topology)
    domains.now = 60_000
    outcome = await negotiate(question(topology, 10), domains)
    assert isinstance(outcome, Failure)
    assert outcome.refusals[-1].kind is RefusalKind.TIMEOUT


async def test_a_modify_stays_on_its_path_and_its_labels() -> None:
    topology = diamond(middle=3)
    first = await negotiate(question(topology, 50 * G, via_domains=("m3",)), rich(topology))
    assert isinstance(first, Plan)
    asked = replace(question(topology, 60 * G), in_force=first)
    again = await negotiate(asked, rich(topology))
    assert isinstance(again, Plan)
    assert [path.hops for path in again.paths] == [path.hops for path in first.paths]


async def test_a_modify_leaves_its_path_where_that_is_too_small() -> None:
    topology = diamond()
    first = await negotiate(question(topology, 50 * G, via_domains=("m2",)), rich(topology))
    assert isinstance(first, Plan)
    asked = replace(question(topology, 150 * G), in_force=first)
    again = await negotiate(asked, rich(topology, m1=100 * G, m2=100 * G))
    assert set(shares(again)) == {"m1", "m2"}


async def test_plan_only_holds_nothing() -> None:
    topology = diamond()
    domains = rich(topology, m1=100 * G, m2=100 * G)
    plan = await plan_only(question(topology, 150 * G), domains)
    assert sum(shares(plan).values()) == 150 * G
    assert domains.rounds == []


async def test_progress_is_told_as_it_happens() -> None:
    topology = diamond()
    domains = rich(topology)
    await negotiate(question(topology, 10 * G), domains)
    kinds = [type(progress) for progress in domains.told]
    assert kinds.index(OffersAsked) < kinds.index(OffersCame) < kinds.index(PlanMade)
    assert kinds[-1] is HoldAnswered
    assert {p.domain for p in domains.told if isinstance(p, OffersCame)} == set(domains.asked)


async def test_segments_of_a_plan_join_up_hop_by_hop() -> None:
    topology = diamond()
    plan = await negotiate(question(topology, 150 * G), rich(topology, m1=100 * G, m2=100 * G))
    assert isinstance(plan, Plan)
    for path in plan.paths:
        for left, right in zip(path.hops, path.hops[1:], strict=False):
            link = topology.link_at(left.egress_stp)
            assert link is not None
            assert {link.a_stp, link.b_stp} == {left.egress_stp, right.ingress_stp}
            assert left.egress_vlan == right.ingress_vlan
            assert domain_of(right.ingress_stp) == right.domain


async def test_nobody_is_refused_on_hearsay_by_a_plan_that_does_not_fit() -> None:
    topology = diamond()
    domains = rich(topology)
    domains.hearsay = {"m1": G, "m2": G}
    assert isinstance(await negotiate(question(topology, 50 * G), domains), Plan)


async def test_nor_by_a_blind_domain_that_was_asked_for_more_than_need_be() -> None:
    topology = diamond(blind=frozenset({"m2"}))
    domains = rich(topology, m2=10 * G)
    domains.hearsay = {"m1": 20 * G}
    plan = await negotiate(question(topology, 50 * G, Strategy.PARTIAL_OFFERS), domains)
    assert shares(plan) == {"m1": 50 * G}
    assert len(domains.rounds) == 2
