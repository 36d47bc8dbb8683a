"""Refuses what takes too much from others: what its plan costs them, and what it may cost.

What is free on the links of a plan is asked about just before the plan is held, whatever was told
before; what is held for the request itself counts as free.
See docs/decisions/0027-admission-pricing.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from orchestrator.explanation import times
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import Bargain, Question, plan_for
from orchestrator.placing import Placed
from orchestrator.records import search_window
from protocol.messages import SendOffers
from substrate.bending import Phase
from substrate.forecast import Forecast, Levels
from substrate.labels import Plan
from substrate.model import Profile, Refusal, RefusalKind, Step, Window, least_profile
from substrate.options import Pair
from substrate.settling import IN, OUT, Layout
from substrate.tolls import (
    TERABYTE_BITS,
    Free,
    Toll,
    carried_bits,
    load_of_paths,
    load_of_shares,
    toll_of,
)
from substrate.topology import Topology

PLANS_MAX = 4
"""So many plans are made before a request is refused for what they would take."""
Lying = Sequence[tuple[Phase, Plan]]


async def too_dear(question: Question, lying: Lying, bargain: Bargain) -> Refusal | None:
    """Why what lies so, phase by phase, is not admitted; None: it is. Asks the domains on it."""
    if question.tariff is None:
        return None
    asked = question.criteria.window
    span = search_window(
        Window(
            min((phase.window.start_s for phase, _ in lying), default=asked.start_s),
            max((phase.window.end_s for phase, _ in lying), default=asked.end_s),
        ),
        bargain.now_ms() // 1000,
    )
    wanted, topology = _pairs(lying, question.topology), question.topology
    ways = question.criteria.directionality
    loads = [load_of_paths(phase.window, plan.paths, ways) for phase, plan in lying]
    bits = sum(phase.bits for phase, _ in lying)
    while True:
        answers = await bargain.ask(wanted, span)
        toll = toll_of(loads, _told(answers.values()), topology)
        refusal = refusal_of(toll, question, bits)
        # What is told of longer times may say less than there is: nothing is refused for that.
        if refusal is None or not bargain.forgets():
            return refusal


async def plan_admitted(
    question: Question, knowledge: Knowledge, bargain: Bargain, *, announce: bool
) -> tuple[Plan | Refusal, Knowledge]:
    """As ``plan_for``; where that takes too much from others, with less of it where it takes most.

    The refusal is that of the first plan.
    """
    phase = Phase(question.criteria.window, question.criteria.bandwidth_bps)
    first: Refusal | None = None
    for _ in range(PLANS_MAX):
        plan, knowledge = await plan_for(question, knowledge, bargain, announce=announce)
        if isinstance(plan, Refusal):
            return first or plan, knowledge
        dear = await too_dear(question, ((phase, plan),), bargain)
        if dear is None:
            return plan, knowledge
        first, announce = first or dear, False
        knowledge = knowledge.with_half(plan.segments, dear.resource)
    assert first is not None
    return first, knowledge


def toll_beside(
    common: Forecast, placed: Sequence[Placed], layout: Layout, topology: Topology
) -> Toll:
    """What the first of these costs beside the others as they would lie.

    ``common``: what were free, were none of them there.
    """
    others = [
        (one.circuit.criteria.directionality, laid)
        for one, its in zip(placed[1:], layout[1:], strict=True)
        for laid in (*one.mover.gone, *its)
    ]
    windows = [laid.phase.window for laid in (*layout[0], *(laid for _, laid in others))]
    found = common.cut_at({at_s for w in windows for at_s in (w.start_s, w.end_s)})
    taken = defaultdict[str, Levels](lambda: np.zeros(found.slots, dtype=np.int64))
    for ways, laid in others:
        load = load_of_shares(laid.phase.window, laid.shares, ways)
        if load.window.overlaps(found.span):
            for stp, bandwidth_bps in load.added_bps.items():
                taken[stp][found.slots_of(load.window)] += bandwidth_bps

    def free(stp: str, remote: str) -> Profile:
        rows = (OUT, stp), (IN, remote)
        told = [levels for row in rows if (levels := found.of(row)) is not None]
        if not told:
            return ()
        left = np.maximum(np.min(told, axis=0) - taken[stp], 0).tolist()
        return tuple(Step(start_s, bps) for start_s, bps in zip(found.cuts, left, strict=False))

    ways = placed[0].circuit.criteria.directionality
    loads = (load_of_shares(laid.phase.window, laid.shares, ways) for laid in layout[0])
    return toll_of(loads, free, topology)


def refusal_of(toll: Toll, question: Question, bits: int) -> Refusal | None:
    """Why that is too much for a circuit that lets through so much; None: it is not."""
    tariff, dearest = question.tariff, toll.dearest
    if tariff is None or dearest is None:
        return None
    carried = carried_bits(question.criteria, bits)
    most_link_s = tariff.most_link_s(carried)
    if toll.link_s <= most_link_s:
        return None
    link = question.topology.link_at(dearest.stp)
    size = f" for {carried / TERABYTE_BITS:.4g} TB" if tariff.link_s_per_tb else ""
    remote = link.other(dearest.stp) if link is not None else ""
    reason = (
        f"its toll is {toll.link_s:.4g} link-seconds, at most {most_link_s:.4g} are "
        f"admitted{size}; a bit costs most on {dearest.stp} to {remote} {times(dearest.window)}, "
        f"where others have {dearest.taken:.0%}"
    )
    return Refusal(RefusalKind.TOLL, reason, resource=dearest.stp)


def _pairs(lying: Lying, topology: Topology) -> dict[str, frozenset[Pair]]:
    """The ways through visible domains, by domain, sorted."""
    wanted: dict[str, set[Pair]] = {}
    for _, plan in lying:
        for path in plan.paths:
            for hop in path.hops:
                if hop.domain not in topology.blind:
                    wanted.setdefault(hop.domain, set()).add((hop.ingress_stp, hop.egress_stp))
    return {domain: frozenset(wanted[domain]) for domain in sorted(wanted)}


def _told(answers: Iterable[SendOffers | None]) -> Free:
    """The less of what both ends of a link tell."""
    ports = {
        port.stp: port.profile for offers in answers if offers is not None for port in offers.ports
    }

    def free(*ends: str) -> Profile:
        told = [ports[end] for end in ends if ports.get(end)]
        return least_profile(told) if told else ()

    return free
