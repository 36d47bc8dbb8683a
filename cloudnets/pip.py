"""A provider's mapping component: a partial graph on hosts and links (paper 002, section 4.3).

``think`` finds an embedding that holds exactly, or says what is short. What it finds is settled by
:mod:`cloudnets.holding`, perhaps later, when others have taken something meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from cloudnets.decisions import decisions
from cloudnets.drawing import Lack, draw
from cloudnets.holding import Found, latency_over, left_over, overfull
from cloudnets.lacking import lacks, refused, unfit
from cloudnets.mapped import Mapped
from cloudnets.nearness import too_far
from cloudnets.partials import Asked, Refused
from cloudnets.translation import Task, pools_for, translate
from cloudnets.underlay import Room, Underlay
from embedding.answer import Answer, ProofScope, gap_of
from embedding.bound import combinatorial_bound
from embedding.distances import distances
from embedding.embed import GAP, embed
from embedding.model import Embedding, Request, VNode
from embedding.network import Free, Network
from embedding.objectives import Objective, migration
from embedding.problem import TOLERANCE, Problem
from embedding.rules import Rules
from rdl.matching import Misfit
from substrate.model import RefusalKind
from substrate.values import dataclass, replace

CHOICES_MAX = 8
"""Ways to settle relations and to serve what VNodes share that are tried, the best liked first."""
TRIES_MAX = 6
"""Embeddings that are looked for until one holds exactly."""
PRESENT = "present"
"""The scope of a bound on those embeddings that leave VNodes where they are."""

Hosts = Mapping[str, frozenset[str]]


def think(
    underlay: Underlay,
    asked: Asked,
    room: Room,
    objective: Objective,
    present: Mapped | None = None,
    time_limit_s: float = 0.0,
) -> Found:
    """The best embedding found. ``present``: VNodes stay where they are, if they can.

    ``time_limit_s``: of the program (twice that, if what it finds does not hold); 0: the first
    stage alone. Raises Refused.
    """
    first: Refused | None = None
    graphs = (asked.decided(graph) for graph in islice(decisions(underlay, asked), CHOICES_MAX))
    choices = ((each, pools) for each in graphs for pools in pools_for(underlay, each))
    for decided, pools in islice(choices, CHOICES_MAX):
        try:
            task = translate(underlay, decided, room, pools)
            return _Thought(underlay, task, room, objective, present, time_limit_s).run()
        except Refused as why:
            first = first or why
    raise first or Refused(RefusalKind.FEATURE, "relations: nothing fulfils them all")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to look: only on these hosts, with VNodes on hosts of their own or not."""

    hosts: Hosts
    objective: Objective
    shares_hosts: bool = True
    time_limit_s: float = 0.0


class _Thought:
    """The search for one task."""

    def __init__(
        self,
        underlay: Underlay,
        task: Task,
        room: Room,
        objective: Objective,
        present: Mapped | None,
        time_limit_s: float,
    ) -> None:
        self._underlay, self._task, self._room = underlay, task, room
        self._objective, self._time_limit_s = objective, time_limit_s
        self._left = left_over(task, room)
        counted = Room(tuple(self._left), room.links)
        self._free = underlay.free(counted)
        self._alone = underlay.free_alone(counted) if underlay.pools else self._free
        self._hosts = _staying(task, present)
        self._rules = Rules(barred=too_far(underlay, task.asked.vlinks))
        self._present = (
            Embedding({v: min(at) for v, at in self._hosts.items()}) if present else None
        )

    def run(self) -> Found:
        best: Found | None = None
        why: Refused | None = None
        bound, scope = 0.0, ProofScope.WHOLE.value
        for plan in self._plans():
            if not plan.shares_hosts:
                bound = self._counted(plan)
            try:
                found = self._exact(plan)
            except Refused as refusal:
                why = refusal
                continue
            if best is None or found.cost < best.cost:
                best = found
            if plan.hosts:
                # To stay is what is wanted, and not to be cheaper elsewhere.
                return replace(found, gap=0.0, scope=PRESENT)
            if plan.shares_hosts and found.bound > bound:
                bound, scope = found.bound, found.scope
            if gap_of(best.cost, bound) <= GAP:
                break
        if best is None:
            raise why or Refused(RefusalKind.RESOURCE, "no mapping was found")
        return replace(best, gap=gap_of(best.cost, bound), bound=bound, scope=scope)

    def _plans(self) -> Iterator[_Plan]:
        if self._hosts:
            yield _Plan(self._hosts, self._objective)
            yield _Plan({}, migration, time_limit_s=self._time_limit_s)
            return
        # What is to be spread is best on hosts of its own, and that is found sooner; whether
        # it is best of all only who looks at all placements can tell.
        if len(self._task.allowed) > 1 and self._peaks():
            yield _Plan({}, self._objective, shares_hosts=False)
            yield _Plan({}, self._objective)
            if not self._time_limit_s:
                return
        yield _Plan({}, self._objective, time_limit_s=self._time_limit_s)

    def _counted(self, plan: _Plan) -> float:
        """What no mapping costs less than, by counting."""
        problem = self._problem(self._task.request({}), self._free)
        terms = self._priced(plan, problem.request)(problem)
        return combinatorial_bound(problem, terms, distances(problem, terms.link).least)

    def _peaks(self) -> bool:
        """Whether the objective looks at what is fullest."""
        nothing = Request((VNode("any", {}),), ())
        return self._objective(self._problem(nothing, self._free)).peak > 0

    def _exact(self, plan: _Plan) -> Found:
        """Looks on, beside what did not hold, until something does. Raises Refused."""
        barred: dict[str, set[str]] = {}
        closed: dict[str, tuple[str, Misfit]] = {}
        spared, seconds = False, plan.time_limit_s
        lack: Lack | None = None
        bound = math.inf
        for _ in range(TRIES_MAX):
            request = self._task.request(
                {v: at - barred.get(v, set()) for v, at in self._open(plan, barred).items()},
                shares_hosts=plan.shares_hosts,
            )
            problem = self._problem(request, self._spared() if spared else self._free, closed)
            priced = self._priced(plan, problem.request, closed)
            answer = embed(problem, priced, time_limit_s=seconds)
            if answer.embedding is None:
                if lack is not None:
                    raise lacks(self._underlay, lack)
                raise refused(self._underlay, self._task, problem, answer, closed)
            # What is looked for later is less than all there is: only the first bound holds.
            bound = min(bound, answer.bound)
            found = self._found(answer, answer.embedding, bound)
            drawn = draw(self._underlay, self._left, self._task.demands, found.hosts)
            astray = self._astray(found)
            late = latency_over(self._underlay, found)
            if isinstance(drawn, Lack):
                lack = drawn
                self._bar(lack, barred)
            elif astray and not closed:
                closed = self._closed()
            elif why := astray or late:
                raise why
            elif overfull(found, self._room) and not spared:
                spared = True
            else:
                return found
            seconds /= 2
        raise Refused(
            RefusalKind.RESOURCE, "no mapping was found in which all that is shared suffices"
        )

    def _open(self, plan: _Plan, barred: Mapping[str, set[str]]) -> Hosts:
        return {**{leader: self._task.allowed[leader] for leader in barred}, **plan.hosts}

    def _spared(self) -> Free:
        """Without what arithmetic may go wrong by."""
        capacity, free = self._underlay.network.capacity, self._free
        return Free(free.host - TOLERANCE * capacity.host, free.link - TOLERANCE * capacity.link)

    def _problem(self, request: Request, free: Free, closed: Collection[str] = ()) -> Problem:
        """``closed``: links that are not used."""
        network = self._underlay.network
        if closed:
            substrate = network.substrate
            open_ = [k for k, link in enumerate(substrate.links) if link.label not in closed]
            links = tuple(substrate.links[k] for k in open_)
            network = Network(replace(substrate, links=links))
            free = Free(free.host, free.link[open_])
        return Problem(network, free, request, self._present, self._rules)

    def _priced(self, plan: _Plan, request: Request, closed: Collection[str] = ()) -> Objective:
        """The objective, that sees as idle a host of which only what is shared is used."""
        if self._alone is self._free:
            return plan.objective
        terms = plan.objective(self._problem(request, self._alone, closed))
        return lambda problem: terms

    def _found(self, answer: Answer, embedding: Embedding, bound: float) -> Found:
        hosts = {v: embedding.hosts[leader] for v, leader in self._task.leaders.items()}
        ways = {
            vlink.element.id: shares[0].links if shares else ()
            for vlink in self._task.asked.vlinks
            for shares in (embedding.paths.get(vlink.element.id, ()),)
        }
        cost, scope = answer.objective, answer.proof_scope.value
        return Found(self._task, hosts, ways, cost, gap_of(cost, bound), min(bound, cost), scope)

    def _astray(self, found: Found) -> Refused | None:
        """Why a VLink must not take one of its links; None if all may."""
        against = self._task.against
        ways = ((name, link) for name, way in found.ways.items() for link in way)
        wrong = next(((name, link) for name, link in ways if link in against[name]), None)
        return unfit(*wrong, against[wrong[0]][wrong[1]]) if wrong else None

    def _closed(self) -> dict[str, tuple[str, Misfit]]:
        """All links that any VLink must not take, which one, and why."""
        return {
            link: (name, why)
            for name, against in self._task.against.items()
            for link, why in against.items()
        }

    def _bar(self, lack: Lack, barred: dict[str, set[str]]) -> None:
        """Keeps a VNode off hosts where it needs what is shared; at least off that one."""
        demand, leader = lack.demand, self._task.leaders[lack.demand.vnode]
        off = barred.setdefault(leader, set())
        off.add(lack.host)
        for host in self._task.allowed[leader]:
            own = sum(
                self._left[i]
                for i in self._underlay.serving(host, demand.attribute)
                if not self._underlay.supplies[i].shared
            )
            if own < demand.amount:
                off.add(host)


def _staying(task: Task, present: Mapped | None) -> dict[str, frozenset[str]]:
    """Where VNodes are already, and may remain."""
    found: dict[str, frozenset[str]] = {}
    for vnode in present.vnodes if present is not None else ():
        leader = task.leaders.get(vnode.id)
        if leader is not None and vnode.host in task.allowed[leader]:
            found.setdefault(leader, frozenset({vnode.host}))
    return found
