"""What an embedding that was not found is short of, as a refusal.

Each says it twice: for strangers by attributes, amounts and the elements of their own graph; and
for the operator with the names of hosts and links (``inside``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cloudnets.drawing import Lack
from cloudnets.nearness import LATENCY, most_us_of
from cloudnets.partials import BANDWIDTH, Refused, kind_of, listed
from cloudnets.translation import Task, pin
from cloudnets.underlay import HOST, Underlay
from embedding.answer import Answer, Shortage, Status
from embedding.problem import Problem
from embedding.shortages import counted
from rdl.attributes import LINK
from rdl.matching import Misfit
from rdl.units import Amount, Unit
from substrate.model import SHORTAGES_MAX, RefusalKind, Shortage as Told

NOTHING = np.zeros(0, bool)
SHOWN_MAX = 3


def refused(
    underlay: Underlay,
    task: Task,
    problem: Problem,
    answer: Answer,
    closed: Mapping[str, tuple[str, Misfit]],
) -> Refused:
    """What is short, the first three in words.

    ``closed``: links that could not be used, for whom and why not.
    """
    for link, (vlink, misfit) in closed.items():
        return unfit(vlink, link, misfit)
    short = answer.shortages or counted(problem)
    if short:
        return _short(underlay, task, short)
    barred = problem.said_rules.barred
    for each in task.asked.vlinks:
        if barred.get(each.element.id, NOTHING).any():
            name, most_us = each.element.id, most_us_of(each)
            reason = f"nothing was found with a way of at most {most_us} us, and room for all"
            reason = f"elements.{name}: {reason}"
            return Refused(RefusalKind.TOPOLOGY, reason, LATENCY, elements=(name,))
    if answer.status is Status.INFEASIBLE:
        reason = "hosts and links cannot take and carry it all at once"
    else:
        reason = "no mapping was found in the time given, and nothing shows that there is none"
    return Refused(RefusalKind.RESOURCE, reason)


def in_their_way(names: Sequence[str]) -> Refused:
    """Of VNodes that would have to change places with one another while they run."""
    reason = f"{listed(names)} run, or soon will, where others of them would have to be, and"
    reason += " nowhere is room"
    reason += " to make way; ask for less, or for one change after the other"
    return Refused(RefusalKind.RESOURCE, reason, elements=names)


def lacks(underlay: Underlay, lack: Lack) -> Refused:
    """What could not be drawn on a host, perhaps because others there share it."""
    demand = lack.demand
    missing = Amount(lack.missing, underlay.units[demand.attribute])
    short = f"{missing} of {demand.attribute} short"
    return Refused(
        RefusalKind.RESOURCE,
        f"{short} for {demand.vnode}",
        demand.attribute,
        elements=(demand.vnode,),
        short=lack.missing,
        asked=demand.amount,
        inside=f"{short} at {lack.host} for {demand.vnode}",
    )


def too_thin(link: str, missing_bps: int, asked_bps: int, vlinks: Iterable[str]) -> Refused:
    """A link that has not as much left as all VLinks over it need."""
    elements = tuple(vlinks)
    short = f"{Amount(missing_bps, Unit.BANDWIDTH_BPS)} of {BANDWIDTH} short"
    return Refused(
        RefusalKind.BANDWIDTH,
        f"{short} for {listed(elements)}",
        BANDWIDTH,
        elements=elements,
        short=missing_bps,
        asked=asked_bps,
        inside=f"{short} at {link} for {listed(elements)}",
    )


def unfit(vlink: str, link: str, misfit: Misfit) -> Refused:
    """A VLink that must not take a link, and has no other way."""
    return Refused(
        RefusalKind.TOPOLOGY,
        f"elements.{vlink}: no way was found that serves its {misfit.attribute}",
        misfit.attribute,
        elements=(vlink,),
        inside=f"elements.{vlink}: {link} will not do: {misfit}",
    )


def too_late(vlink: str, takes_us: int, most_us: int) -> Refused:
    """A VLink whose way takes too long."""
    return Refused(
        RefusalKind.TOPOLOGY,
        f"elements.{vlink}: its way takes {takes_us} us of {most_us} us",
        LATENCY,
        elements=(vlink,),
        short=takes_us - most_us,
        asked=most_us,
    )


def _short(underlay: Underlay, task: Task, short: tuple[Shortage, ...]) -> Refused:
    told = [_told(underlay, task, each) for each in short]
    first, shown = told[0].refusal, told[:SHOWN_MAX]
    every = (
        Told(each.resource, "", each.short, each.asked, each.elements)
        for each in (one.refusal for one in told)
        if each.short is not None
    )
    return Refused(
        first.kind,
        "; ".join(dict.fromkeys(each.refusal.reason for each in shown)),
        first.resource,
        elements=first.elements,
        short=first.short,
        asked=first.asked,
        shortages=[*dict.fromkeys(every)][:SHORTAGES_MAX],
        inside="; ".join(each.refusal.inside for each in told),
    )


def _told(underlay: Underlay, task: Task, short: Shortage) -> Refused:
    """How many hosts there are, or would be needed, strangers are not told."""
    elements = _elements(task, short.who)
    if short.resource == "hosts":
        reason = f"no host may run {listed(elements)}"
        if len(elements) > 1:
            reason = f"too few hosts for {listed(elements)}, which may not meet"
        inside = f"{short.short:g} hosts short: {short.why}"
        return Refused(RefusalKind.RESOURCE, reason, HOST, elements=elements, inside=inside)
    if short.resource == "links":
        reason = "no way joins the hosts that VLinks would have to join"
        return Refused(RefusalKind.TOPOLOGY, reason, f"/{LINK}", inside=f"{reason}: {short.why}")
    kind = BANDWIDTH if short.resource == "bandwidth" else short.resource
    lacking = max(1, round(short.short))
    missing = Amount(lacking, underlay.units.get(kind, Unit.BANDWIDTH_BPS))
    return Refused(
        kind_of(kind),
        f"{missing} of {kind} short for {listed(elements)}",
        kind,
        elements=elements,
        short=lacking,
        asked=max(lacking, round(short.asked)),
        inside=f"{missing} of {short.resource} short at {short.where}",
    )


def _elements(task: Task, who: Iterable[str]) -> tuple[str, ...]:
    """The VNodes and VLinks behind names of the request."""
    found: dict[str, None] = {}
    for name in who:
        vnodes = [vnode for vnode, leader in task.leaders.items() if leader == name]
        leaving = [
            vlink.element.id
            for vlink in task.asked.vlinks
            if vlink.leaves and pin(vlink.ends[1]) == name
        ]
        found |= dict.fromkeys(vnodes or leaving or [name])
    return tuple(found)
