"""Negotiates a CloudNet as its virtual network provider, VNP (paper 002, section 5).

Providers tell what they have free, a sum per type. VNodes are mapped on providers; each VLink that
crosses from one to another gets a circuit between their cloud STPs, over whatever domains lie
between; each provider is asked for its partial graph together with the segments that lead it
further. All of it is one transaction. A refusal teaches, and the next mapping knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

from cloudnets.vnp import (
    Ask,
    Circuit,
    Lesson,
    Shortfall,
    TransitLink,
    VnpMapping,
    map_overlay,
    partials,
)
from orchestrator.cloudnet_answers import (
    Tried,
    of_vlink,
    proof_of,
    proof_of_none,
    refusal_of,
    too_late_by,
)
from orchestrator.cloudnet_checks import graph_of
from orchestrator.exits import Exit, all_circuits, exits_of, with_exits
from orchestrator.knowledge import LEAVE_OUT, Knowledge
from orchestrator.negotiation import (
    ROUNDS_MAX,
    Answer,
    Bargain,
    Failure,
    HoldAnswered,
    OffersAsked,
    PlanMade,
    Question,
    Segments,
    ask,
    still_wanted,
    too_late,
)
from orchestrator.prices import priced
from orchestrator.records import search_window
from rdl.errors import RdlError
from rdl.model import Graph
from substrate.labels import Plan, labels_of, plan_over
from substrate.legs import left_after
from substrate.model import (
    CloudNet,
    Criteria,
    Path,
    Refusal,
    RefusalKind,
    Segment,
    Strategy,
    domain_of,
)
from substrate.options import Supply
from substrate.routes import Route
from substrate.values import replace
from substrate.vlans import VlanSet

MAPPINGS_MAX = 8
"""How often VNodes are mapped anew in one round, as circuits between providers turn out thinner."""
PAIRS_MAX = 1000
"""Of how many pairs of providers it is looked up whether any route joins them."""

Parts = Mapping[str, tuple[Segments, bytes]]
"""What each domain is asked for: segments, and of a provider its partial graph."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A plan, and what each domain is asked for, in the order of their names."""

    plan: Plan
    parts: Parts


@dataclass(slots=True)
class _Vnp:
    """What the negotiation of one CloudNet has learnt so far."""

    question: Question
    bargain: Bargain
    knowledge: Knowledge = field(default_factory=Knowledge)
    aggregates: dict[str, Graph] = field(default_factory=dict)
    lessons: tuple[Lesson, ...] = ()
    pair_caps: dict[tuple[str, str], int] = field(default_factory=dict)
    graph: Graph = field(init=False)
    exits: tuple[Exit, ...] = field(init=False)
    _tried: Tried = field(default_factory=Tried)
    _proven: bool = False
    """That what providers told, and nothing else, leaves no mapping."""

    def __post_init__(self) -> None:
        self.graph, self.exits = exits_of(self._cloudnet)

    async def find(self) -> _Found | Refusal:
        """What to hold next, or why there is nothing."""
        refusal: Refusal | None = None
        for _ in range(MAPPINGS_MAX):
            await self._hear()
            mapping = await self.bargain.compute(partial(map_overlay, self._ask()))
            if isinstance(mapping, Shortfall):
                learnt = refusal or self.lessons or self.pair_caps or self.knowledge.down
                self._proven = mapping.proven and not learnt
                stubs = {each.stub for each in self.exits}
                return refusal or refusal_of(mapping, self._avoided, stubs)
            circuits = all_circuits(mapping, self.exits)
            routes = await self._routes(circuits)
            plans = self._fit(circuits, routes)
            if not isinstance(plans, Refusal):
                return self._found(mapping, plans)
            refusal = plans
            if plans.kind is RefusalKind.NO_PATH:
                await self._cap_without_routes()
        assert refusal is not None
        return refusal

    def _found(self, mapping: VnpMapping, plans: Mapping[str, Plan]) -> _Found:
        stubs = {each.stub for each in self.exits}
        placed = {vnode: at for vnode, at in mapping.placed.items() if vnode not in stubs}
        plan = _whole(placed, plans)
        proof = priced(proof_of(mapping), mapping.price, plan, self.knowledge.pair_price)
        plan = replace(plan, proof=proof)
        graphs = partials(mapping, _outer_vlans(plan, mapping))
        parts = {
            domain: (segments, graphs[domain] if domain in plan.vnodes else b"")
            for domain, segments in sorted(plan.segments.items())
        }
        return _Found(plan, parts)

    def learn(self, domain: str, found: _Found, refusal: Refusal) -> None:
        """Draws the lesson of a domain's refusal."""
        self._tried.add(refusal)
        segments, graph = found.parts[domain]
        of_segment = refusal.segment_id or any(
            refusal.resource in (s.ingress_stp, s.egress_stp) for s in segments
        )
        if graph and not of_segment and refusal.kind not in LEAVE_OUT:
            here = frozenset(found.plan.vnodes[domain])
            # What has not a feature has it neither with others.
            alone = refusal.kind is RefusalKind.FEATURE and here.intersection(refusal.elements)
            self.lessons = (*self.lessons, Lesson(domain, alone or here))
            # What it told was out of date, or hid too much.
            self.aggregates.pop(domain, None)
        else:
            self.knowledge = self.knowledge.with_refusal(segments, refusal)

    def failure(self, last: Refusal) -> Failure:
        """Why nothing is held: what domains have refused, and why nothing else was tried."""
        return Failure(self._tried.with_last(last), proof=proof_of_none(proven=self._proven))

    def over(self) -> Failure:
        """No more plans are made."""
        return self.failure(self._tried.plans_over(ROUNDS_MAX))

    @property
    def _cloudnet(self) -> CloudNet:
        cloudnet = self.question.criteria.cloudnet
        assert cloudnet is not None
        return cloudnet

    @property
    def _avoided(self) -> frozenset[str]:
        """Domains that are not to be used, and those that do not answer."""
        return self.knowledge.down.union(self.question.criteria.constraints.avoid_domains)

    async def _hear(self) -> None:
        """Asks all providers that have not told yet what they have free."""
        topology, avoid = self.question.topology, self._avoided
        wanted = {
            domain.name: frozenset(
                (domain.cloud_stp, port.stp) for port in domain.ports if topology.link_at(port.stp)
            )
            for domain in topology.domains.values()
            if domain.cloud_stp and domain.name not in avoid | self.aggregates.keys()
        }
        if not wanted:
            return
        self.bargain.tell(OffersAsked(tuple(wanted)))
        window = search_window(self.question.criteria.window, self.bargain.now_ms() // 1000)
        answers = await self.bargain.ask(wanted, window, aggregate=True)
        self.knowledge = self.knowledge.with_answers(wanted, answers, window)
        for name, offers in sorted(answers.items()):
            try:
                if offers is not None and offers.aggregate:
                    self.aggregates[name] = graph_of(offers.aggregate)
            except RdlError:
                self.knowledge = self.knowledge.without_domain(name)

    def _ask(self) -> Ask:
        cloudnet, in_force = self._cloudnet, self.question.in_force
        gone = self.knowledge.down
        placed = in_force.vnodes if in_force is not None else {}
        pips = {name: graph for name, graph in self.aggregates.items() if name not in gone}
        return Ask(
            graph=self.graph,
            pips=with_exits(pips, self.exits),
            links=self._links(),
            objective=cloudnet.objective,
            placing={**dict(cloudnet.placing), **{e.stub: e.domain for e in self.exits}},
            present={vnode: domain for domain, vnodes in placed.items() for vnode in vnodes},
            lessons=self.lessons,
            pair_caps=dict(self.pair_caps),
            max_latency_us=self.question.criteria.constraints.max_latency_us,
        )

    def _links(self) -> tuple[TransitLink, ...]:
        avoid, found = self._avoided, []
        for link in self.question.topology.links:
            a, b = domain_of(link.a_stp), domain_of(link.b_stp)
            if a in avoid or b in avoid:
                continue
            told = [self.knowledge.port_bps.get(stp) for stp in (link.a_stp, link.b_stp)]
            free_bps = min([link.capacity_bps, *(bps for bps in told if bps is not None)])
            found.append(TransitLink(a, b, free_bps, link.latency_us))
        return tuple(found)

    async def _routes(self, circuits: Iterable[Circuit]) -> dict[str, tuple[Route, ...]]:
        """Candidate routes of each circuit, by VLink; all that is on them is asked about."""
        found = {}
        for circuit in circuits:
            leg = self._leg(circuit)
            routes = self.question.finder.between(
                self.question.topology, leg.source, leg.destination, leg.constraints
            )
            found[circuit.vlink] = routes
        every = tuple(dict.fromkeys(route for routes in found.values() for route in routes))
        self.knowledge = await ask(
            self.question, every, self.knowledge, self.bargain, announce=False
        )
        down = self.knowledge.down
        return {
            vlink: tuple(route for route in routes if down.isdisjoint(route.domains))
            for vlink, routes in found.items()
        }

    def _leg(self, circuit: Circuit) -> Criteria:
        """What the circuit of one VLink must be."""
        domains, criteria = self.question.topology.domains, self.question.criteria
        limits = replace(criteria.constraints, max_paths=1)
        source, destination = domains[circuit.a].cloud_stp, domains[circuit.b].cloud_stp
        for way_out in (each for each in self.exits if each.vlink == circuit.vlink):
            vlans = VlanSet.of(way_out.vlan)
            if way_out.domain == circuit.b:
                destination, limits = way_out.stp, replace(limits, destination_vlans=vlans)
            else:
                source, limits = way_out.stp, replace(limits, source_vlans=vlans)
        latencies = [us for us in (limits.max_latency_us, circuit.max_latency_us) if us is not None]
        return replace(
            criteria,
            source=source,
            destination=destination,
            bandwidth_bps=circuit.bandwidth_bps,
            strategy=Strategy.SINGLE_PATH,
            constraints=replace(limits, max_latency_us=min(latencies, default=None)),
            cloudnet=None,
        )

    def _fit(
        self, circuits: Sequence[Circuit], routes: Mapping[str, tuple[Route, ...]]
    ) -> dict[str, Plan] | Refusal:
        """All circuits by VLink, the thickest first, each on what those before it leave.

        Where one does not fit, notes how much there is between its providers.
        """
        supply: Supply = self.knowledge
        plans = dict[str, Plan]()
        for circuit in sorted(circuits, key=lambda c: (-c.bandwidth_bps, c.vlink)):
            plan = self._fit_one(circuit, routes[circuit.vlink], supply)
            if isinstance(plan, Refusal):
                self._cap(circuit, circuits, plans, plan)
                plan = self._too_slow(circuit) or plan
                reason = f"VLink {circuit.vlink} from {circuit.a} to {circuit.b}: {plan.reason}"
                return of_vlink(plan, circuit, reason)
            plans[circuit.vlink] = plan
            supply = left_after(plan, supply, self.question.topology)
        return plans

    def _fit_one(
        self, circuit: Circuit, routes: tuple[Route, ...], supply: Supply
    ) -> Plan | Refusal:
        leg, topology = self._leg(circuit), self.question.topology
        if not routes:
            reason = f"no path joins {leg.source} and {leg.destination} within the constraints"
            return Refusal(RefusalKind.NO_PATH, reason)
        paths = self.question.in_force.paths if self.question.in_force is not None else ()
        preferred = labels_of(path for path in paths if path.vlink == circuit.vlink)
        return plan_over(leg, routes, supply, topology, preferred, self.question.label_start)

    def _too_slow(self, circuit: Circuit) -> Refusal | None:
        """That no path is as quick as it must be; None: one is, as far as is known."""
        leg = self._leg(circuit)
        most_us = leg.constraints.max_latency_us
        if most_us is None:
            return None
        anyhow = replace(leg.constraints, max_latency_us=None)
        routes = self.question.finder.between(
            self.question.topology, leg.source, leg.destination, anyhow
        )
        known_us = self.knowledge.pair_latency_us
        least_us = min(
            (r.latency_us + sum(known_us.get(pair, 0) for pair in r.pairs) for r in routes),
            default=0,
        )
        return too_late_by(circuit, most_us, least_us) if least_us > most_us else None

    def _cap(
        self,
        circuit: Circuit,
        circuits: Iterable[Circuit],
        plans: Mapping[str, Plan],
        why: Refusal,
    ) -> None:
        pair = (min(circuit.a, circuit.b), max(circuit.a, circuit.b))
        beside_bps = sum(
            other.bandwidth_bps
            for other in circuits
            if other.vlink in plans and {other.a, other.b} == set(pair)
        )
        more_bps = why.available_bps or 0 if why.kind is RefusalKind.BANDWIDTH else 0
        self.pair_caps[pair] = beside_bps + min(more_bps, circuit.bandwidth_bps - 1)

    async def _cap_without_routes(self) -> None:
        """Learns of all pairs of providers at once which of them no route joins within the
        constraints: one by one there would be too many mappings."""
        avoid = self._avoided
        names = sorted(name for name in self.aggregates if name not in avoid)
        pairs = [pair for pair in combinations(names, 2) if pair not in self.pair_caps]
        for a, b in pairs[:PAIRS_MAX]:
            leg = self._leg(Circuit("", a, b, 1, None))
            ends = leg.source, leg.destination
            if not self.question.finder.between(self.question.topology, *ends, leg.constraints):
                self.pair_caps[a, b] = 0
            # Others have their turn between two searches.
            await asyncio.sleep(0)


async def negotiate_cloudnet(question: Question, bargain: Bargain) -> Plan | Failure:
    """Every part of the returned plan is held; after a Failure the caller aborts what is left."""
    vnp = _Vnp(question, bargain)
    held: dict[str, tuple[Segments, bytes]] = {}
    for round_number in range(1, ROUNDS_MAX + 1):
        if bargain.now_ms() >= question.deadline_ms:
            return vnp.failure(too_late())
        found = await vnp.find()
        if isinstance(found, Refusal):
            return vnp.failure(found)
        bargain.tell(PlanMade(round_number, found.plan))
        answers = await _hold(found.parts, held, bargain)
        for domain, answer in sorted(answers.items()):
            bargain.tell(HoldAnswered(round_number, domain, answer))
            if answer is None:
                held[domain] = found.parts[domain]
            else:
                held.pop(domain, None)
                vnp.learn(domain, found, answer)
        if not any(answers.values()):
            return found.plan
    return vnp.over()


async def plan_cloudnet(question: Question, bargain: Bargain) -> Plan | Failure:
    """What ``negotiate_cloudnet`` would first try to hold; holds nothing."""
    vnp = _Vnp(question, bargain)
    found = await vnp.find()
    return vnp.failure(found) if isinstance(found, Refusal) else found.plan


async def _hold(
    parts: Parts, held: dict[str, tuple[Segments, bytes]], bargain: Bargain
) -> Mapping[str, Answer]:
    """Asks for what is not held yet and gives up what no longer serves."""
    wanted = await still_wanted(parts, held, bargain)
    return await bargain.prepare(
        {domain: segments for domain, (segments, _) in wanted.items()},
        {domain: graph for domain, (_, graph) in wanted.items() if graph},
    )


def _whole(placed: Mapping[str, str], plans: Mapping[str, Plan]) -> Plan:
    """The circuits of all VLinks as one plan, and where VNodes are."""
    vnodes: dict[str, list[str]] = {}
    for vnode, domain in sorted(placed.items()):
        vnodes.setdefault(domain, []).append(vnode)
    segments: dict[str, list[Segment]] = {domain: [] for domain in vnodes}
    paths: list[Path] = []
    for vlink, plan in sorted(plans.items()):
        paths += [replace(path, vlink=vlink) for path in plan.paths]
        for domain, found in plan.segments.items():
            named = [replace(segment, segment_id=vlink) for segment in found]
            segments.setdefault(domain, []).extend(named)
    return Plan(
        paths=tuple(paths),
        segments={domain: tuple(segments[domain]) for domain in sorted(segments)},
        depends_on_blind=any(plan.depends_on_blind for plan in plans.values()),
        vnodes={domain: tuple(found) for domain, found in sorted(vnodes.items())},
    )


def _outer_vlans(plan: Plan, mapping: VnpMapping) -> dict[str, tuple[int, int]]:
    """Per VLink that crosses, its VLANs where it leaves both providers."""
    hops = {path.vlink: path.hops for path in plan.paths}
    return {
        circuit.vlink: (hops[circuit.vlink][0].egress_vlan, hops[circuit.vlink][-1].ingress_vlan)
        for circuit in mapping.circuits
    }
