"""The VNP's mapping: which provider has which VNode, and the circuits between (paper 002, 5.3).

Providers are hosts that VNodes may share, with a sum per type of resource; other domains are
switches. Such sums promise nothing: what a provider refuses comes back as a :class:`Lesson`, and is
not asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import field

import numpy as np

from cloudnets.agreeing import Undecided, decided, narrowed
from cloudnets.asked import (
    Group,
    VLinkAsked,
    apart,
    completed,
    groups_of,
    limited,
    vlinks_of,
)
from cloudnets.latencies import few_pairs, too_slow
from cloudnets.prices import Price
from cloudnets.providers import MBPS, Providers, TransitLink
from cloudnets.shortfalls import (
    EVERYWHERE,
    Shortfall,
    all_of,
    learnt_of,
    no_place,
    shortfall_of,
    too_small,
    undecidable,
)
from embedding.answer import Answer, Status, closes
from embedding.embed import GAP, embed
from embedding.model import Embedding, ModelError, Request, VLink, VNode
from embedding.objectives import OBJECTIVES, Objective, Terms, terms, tie
from embedding.problem import Problem
from embedding.rules import Rules
from rdl.attributes import PIP
from rdl.codec import to_bytes
from rdl.errors import Kind, Mistake, RdlError
from rdl.matching import Misfit
from rdl.model import Graph, NetworkElement, Relation, by_id
from rdl.partial import Transit, cut
from substrate.values import dataclass, replace

TIME_LIMIT_S = 2.0
TRIES_MAX = 64
"""Mappings made to find values for relations."""

__all__ = [
    "Ask",
    "Circuit",
    "Lesson",
    "Shortfall",
    "TransitLink",
    "VnpMapping",
    "map_overlay",
    "partials",
]


@dataclass(frozen=True, slots=True)
class Lesson:
    """The provider has refused to take these VNodes together, so also more than these."""

    pip: str
    vnodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be mapped on what.

    ``pips``: what each provider has told, free in the window. ``links``: among providers and other
    domains. ``objective``: one of embedding.objectives, by name. ``placing``: VNodes that must be
    at a provider. ``present``: where VNodes are; they stay unless they must move. ``pair_caps``:
    between two providers no more than this can be carried, in bit/s. ``max_latency_us``: of every
    circuit, beside what its VLink says.
    """

    graph: Graph
    pips: Mapping[str, Graph]
    links: tuple[TransitLink, ...] = ()
    objective: str = "cost"
    placing: Mapping[str, str] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    lessons: tuple[Lesson, ...] = ()
    pair_caps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    max_latency_us: int | None = None


@dataclass(frozen=True, slots=True)
class Circuit:
    """A VLink that crosses providers: ``a`` and ``b``, in the order of the VLink's ends."""

    vlink: str
    a: str
    b: str
    bandwidth_bps: int
    max_latency_us: int | None


@dataclass(frozen=True, slots=True)
class VnpMapping:
    """Where everything is to be, and how good that is: as embedding.answer.Answer has it.

    Bandwidths count in Mb/s there. ``proof_scope``: of all mappings ("whole"), of some ("pruned"),
    or of those that leave VNodes where they are ("present"). ``graph``: the overlay with what the
    VNP has decided: values for relations over several providers, bandwidths of circuits.
    ``price``: of what VNodes say that they need, whatever the objective; what is left to providers
    and circuits are not in it. None: no provider tells a price.
    """

    placed: Mapping[str, str]
    circuits: tuple[Circuit, ...]
    status: str
    objective: float
    bound: float
    gap: float
    proof_scope: str
    graph: Graph
    price: Price | None = None


def map_overlay(
    ask: Ask,
    *,
    by: str = "vnp",
    gap: float = GAP,
    time_limit_s: float = TIME_LIMIT_S,
    objectives: Mapping[str, Objective] = OBJECTIVES,
) -> VnpMapping | Shortfall:
    """The best mapping found, or why there is none.

    ``by``: the VNP's name, for what it decides. ``time_limit_s``: of each program. Raises RdlError
    for a VLink with other than two ends, or a placing of what is not there; ModelError for an
    objective that is not known.
    """
    if ask.objective not in objectives:
        known = ", ".join(sorted(objectives))
        raise ModelError(f"objective: given '{ask.objective}', possible: {known}")
    strange = sorted(set(ask.placing) - {node.id for node in ask.graph.nodes})
    if strange:
        reason = "is placed, and is no node of the graph"
        raise RdlError(Mistake(Kind.MAPPING, f"placing.{name}", reason) for name in strange)
    return _Vnp(ask, by, gap, time_limit_s, objectives[ask.objective]).run()


def partials(mapping: VnpMapping, vlans: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
    """The partial graph of each provider, by its name, in canonical bytes.

    ``vlans``: per circuit the VLAN outside ``a`` and outside ``b``. Raises RdlError where one is
    missing, or is none.
    """
    transits = [
        Transit(circuit.vlink, (circuit.a, circuit.b), vlans[circuit.vlink])
        for circuit in mapping.circuits
        if circuit.vlink in vlans
    ]
    parts = cut(mapping.graph, mapping.placed, transits)
    return {pip: to_bytes(part) for pip, part in parts.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    """A mapping of a graph whose relations are not settled yet."""

    graph: Graph
    together: tuple[Relation, ...]
    placed: Mapping[str, str]
    answer: Answer
    stays: bool


class _Vnp:
    def __init__(
        self, ask: Ask, by: str, gap: float, time_limit_s: float, objective: Objective
    ) -> None:
        self._ask, self._by, self._gap, self._time_limit_s = ask, by, gap, time_limit_s
        self._objective = objective
        self._providers = Providers(ask.pips, ask.links)
        self._network = self._providers.network()
        self._completed = completed(ask.graph, by)
        self._vlinks = limited(vlinks_of(self._completed), ask.max_latency_us)
        # What no mapping costs less than of those that were not found in the time given.
        self._floor = math.inf

    def run(self) -> VnpMapping | Shortfall:
        """Maps, and settles relations; where that fails, maps again with more said, best first."""
        first = self._map(self._ask.graph, ())
        if isinstance(first, Shortfall):
            return first
        open_ = [first]
        why = Shortfall("no values were found for all relations", proven=False)
        for _ in range(TRIES_MAX):
            if not open_:
                return why
            best = min(open_, key=lambda found: found.answer.objective)
            asked = self._ask.graph
            graph = decided(best.graph, best.placed, self._providers, self._by, asked)
            if isinstance(graph, Graph):
                bound = min(self._floor, *(found.answer.bound for found in open_))
                return self._finished(best, graph, bound)
            open_.remove(best)
            open_ += self._narrower(best, graph)
            proven = math.isinf(self._floor)
            why = replace(undecidable(graph.relation, graph.told), proven=proven)
        return replace(why, proven=False)

    def _narrower(self, found: _Found, undecided: Undecided) -> Iterator[_Found]:
        """With a value said for the relation, or with all its elements at one provider."""
        tries = [(some, found.together) for some in narrowed(found.graph, undecided, self._by)]
        for graph, together in (*tries, (found.graph, (*found.together, undecided.relation))):
            mapped = self._map(graph, together)
            if isinstance(mapped, _Found):
                yield mapped
            elif not mapped.proven:
                self._floor = min(self._floor, found.answer.bound)

    def _map(self, graph: Graph, together: tuple[Relation, ...]) -> _Found | Shortfall:
        groups = groups_of(graph, together)
        allowed: dict[str, frozenset[str]] = {}
        nowhere = []
        for group in groups:
            places = self._places(group, graph)
            if isinstance(places, Shortfall):
                nowhere.append(places)
            else:
                allowed[group.name] = places
        if nowhere:
            return all_of(nowhere)
        leader = {member: group.name for group in groups for member in group.members}
        for a, b in apart(graph):
            if leader[a] == leader[b]:
                reason = f"{a} and {b} must be at different providers, and at one"
                return Shortfall(reason, PIP, EVERYWHERE, 1, 2, elements=(a, b))
        return self._embedded(graph, together, groups, allowed, leader)

    def _places(self, group: Group, graph: Graph) -> frozenset[str] | Shortfall:
        """The providers that could take a group if they took nothing else."""
        names = self._providers.names
        why = {name: [*self._misfits(group, graph, name)] for name in names}
        possible = [name for name in names if not why[name]]
        if not possible:
            at = {self._ask.placing[name] for name in group.members if name in self._ask.placing}
            one = next(iter(at)) if len(at) == 1 else ""
            return no_place(group, why, one)
        lacks = {name: [*self._providers.lacks(group, name)] for name in possible}
        if all(lacks.values()):
            return too_small(group, lacks, names)
        return frozenset(name for name in possible if not lacks[name])

    def _misfits(self, group: Group, graph: Graph, name: str) -> Iterator[Misfit]:
        for member in group.members:
            if self._ask.placing.get(member, name) != name:
                yield Misfit("", f"{member}: is to be at {self._ask.placing[member]}")
        for lesson in self._ask.lessons:
            if lesson.pip == name and lesson.vnodes and lesson.vnodes <= set(group.members):
                yield Misfit("", f"has refused {', '.join(sorted(lesson.vnodes))}")
        yield from self._providers.misfits(group, graph, name)

    def _embedded(
        self,
        graph: Graph,
        together: tuple[Relation, ...],
        groups: tuple[Group, ...],
        allowed: Mapping[str, frozenset[str]],
        leader: Mapping[str, str],
    ) -> _Found | Shortfall:
        here = {group.name: self._now(group) for group in groups}
        stays = {name: places for name, places in here.items() if len(places) == 1}
        problem = self._problem(groups, allowed, leader, graph)
        slow = too_slow(problem, self._providers, self._vlinks)
        if slow:
            return all_of(slow)
        held = {name: stays.get(name, some) & some or some for name, some in allowed.items()}
        if stays:
            problem = self._problem(groups, held, leader, graph)
        answer = self._answer(problem, self._objective)
        if stays and answer.embedding is None:
            problem = self._problem(groups, allowed, leader, graph)
            fewest = self._answer(problem, lambda each: _moves(each, groups, self._ask.present))
            if fewest.embedding is None:
                return self._shortfall(fewest, problem, groups)
            hosts = fewest.embedding.hosts
            kept = {n: frozenset({p}) for n, p in hosts.items() if p in stays.get(n, ())}
            problem = self._problem(groups, {**allowed, **kept}, leader, graph)
            answer = self._answer(problem, self._objective)
        if answer.embedding is None:
            return self._shortfall(answer, problem, groups)
        placed = {member: answer.embedding.hosts[name] for member, name in leader.items()}
        return _Found(graph, together, placed, answer, bool(stays))

    def _shortfall(self, answer: Answer, problem: Problem, groups: tuple[Group, ...]) -> Shortfall:
        ruled_out: list[str] = []
        if problem.rules:
            free = Problem(problem.network, problem.free, problem.request)
            if self._answer(free, self._objective).embedding is not None:
                near = few_pairs(problem, self._providers, self._vlinks)
                ruled_out = [*learnt_of(problem), *near]
        return shortfall_of(answer, problem, self._providers, groups, ruled_out)

    def _now(self, group: Group) -> frozenset[str]:
        """The providers where its members are, as far as they are anywhere."""
        at = (self._ask.present.get(member) for member in group.members)
        return frozenset(pip for pip in at if pip is not None)

    def _answer(self, problem: Problem, objective: Objective) -> Answer:
        return embed(problem, objective, gap=self._gap, time_limit_s=self._time_limit_s)

    def _problem(
        self,
        groups: tuple[Group, ...],
        allowed: Mapping[str, frozenset[str]],
        leader: Mapping[str, str],
        graph: Graph,
    ) -> Problem:
        vnodes = tuple(
            VNode(group.name, self._providers.scaled(group.amounts), allowed[group.name])
            for group in groups
        )
        crossing = [vlink for vlink in self._vlinks if leader[vlink.a] != leader[vlink.b]]
        vlinks = tuple(
            VLink(leader[each.a], leader[each.b], each.bandwidth_bps / MBPS, name=each.id)
            for each in crossing
        )
        pairs = tuple((leader[a], leader[b]) for a, b in apart(graph))
        request = Request(vnodes, vlinks, shares_hosts=True, apart=pairs)
        now = {group.name: min(here) for group in groups if len(here := self._now(group)) == 1}
        present = Embedding(now) if now else None
        network = self._network
        return Problem(network, network.capacity, request, present, self._rules(crossing, leader))

    def _rules(self, crossing: list[VLinkAsked], leader: Mapping[str, str]) -> Rules:
        refused = tuple(
            (lesson.pip, frozenset(leader.get(name, "") for name in lesson.vnodes))
            for lesson in self._ask.lessons
        )
        barred = {
            each.id: self._providers.too_far(self._network, each.bandwidth_bps, most)
            for each in crossing
            if (most := each.max_latency_us) is not None
        }
        caps = {pair: bps / MBPS for pair, bps in self._ask.pair_caps.items()}
        return Rules(refused, barred, caps)

    def _finished(self, found: _Found, graph: Graph, bound: float) -> VnpMapping:
        placed, answer = found.placed, found.answer
        circuits = tuple(
            Circuit(each.id, a, b, each.bandwidth_bps, each.max_latency_us)
            for each in self._vlinks
            if (a := placed[each.a]) != (b := placed[each.b])
        )
        whole = replace(answer, bound=min(bound, answer.bound))
        status = Status.OPTIMAL if closes(whole.gap, self._gap) else Status.FEASIBLE
        return VnpMapping(
            placed,
            circuits,
            status.value,
            whole.objective,
            whole.bound,
            whole.gap,
            "present" if found.stays else whole.proof_scope.value,
            _with_bandwidths(graph, circuits, self._completed),
            self._providers.price(groups_of(self._ask.graph), placed),
        )


def _moves(problem: Problem, groups: tuple[Group, ...], present: Mapping[str, str]) -> Terms:
    """How many VNodes are not where they are now."""
    names = problem.network.names[: problem.network.hosts]
    here = [[present.get(member) for member in group.members] for group in groups]
    away = [[sum(at not in (None, name) for at in some) for name in names] for some in here]
    return terms(problem, place=np.array(away, float), link=tie(problem))


def _with_bandwidths(graph: Graph, circuits: tuple[Circuit, ...], completed_: Graph) -> Graph:
    """The bandwidth of each circuit said at its VLink: whoever maps a part of it must know."""
    known: Mapping[str, NetworkElement] = by_id(completed_.elements)
    crossing = {circuit.vlink for circuit in circuits}
    elements = (known[each.id] if each.id in crossing else each for each in graph.elements)
    return replace(graph, elements=tuple(elements))
