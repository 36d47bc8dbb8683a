"""What an embedding that was not found is short of, as a refusal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cloudnets.drawing import Lack
from cloudnets.nearness import most_us_of
from cloudnets.partials import Refused
from cloudnets.translation import Task
from cloudnets.underlay import Underlay
from embedding.answer import Answer, Shortage, Status
from embedding.problem import Problem
from embedding.shortages import counted
from rdl.units import Amount, Unit
from substrate.model import RefusalKind

NOTHING = np.zeros(0, bool)


def refused(
    underlay: Underlay, task: Task, problem: Problem, answer: Answer, closed: Mapping[str, str]
) -> Refused:
    """The first three shortages. ``closed``: links that could not be used, and why."""
    if closed:
        return Refused(RefusalKind.TOPOLOGY, next(iter(closed.values())), next(iter(closed)))
    short = answer.shortages or counted(problem)
    barred = problem.said_rules.barred
    far = [each for each in task.asked.vlinks if barred.get(each.element.id, NOTHING).any()]
    if not short and far:
        name, most_us = far[0].element.id, most_us_of(far[0])
        reason = f"nothing was found with a way of at most {most_us} us, and room for all"
        return Refused(RefusalKind.TOPOLOGY, f"elements.{name}: {reason}", name)
    if not short and answer.status is Status.INFEASIBLE:
        reason = "hosts and links cannot take and carry it all at once"
        return Refused(RefusalKind.BANDWIDTH, reason)
    if not short:
        reason = "no mapping was found in the time given, and nothing shows that there is none"
        return Refused(RefusalKind.BANDWIDTH, reason)
    reason = "; ".join(_said(underlay, each) for each in short[:3])
    where = short[0].where
    name = where if short[0].resource == "bandwidth" else f"{where}{short[0].resource}"
    return Refused(RefusalKind.BANDWIDTH, reason, name)


def lacks(underlay: Underlay, lack: Lack) -> Refused:
    """What could not be drawn on a host, perhaps because others there share it."""
    demand = lack.demand
    missing = Amount(lack.missing, underlay.units[demand.attribute])
    reason = f"{missing} of {demand.attribute} short at {lack.host} for {demand.vnode}"
    return Refused(RefusalKind.BANDWIDTH, reason, f"{lack.host}{demand.attribute}")


def _said(underlay: Underlay, short: Shortage) -> str:
    if short.resource in ("hosts", "links"):
        return f"{short.short:g} {short.resource} short: {short.why}"
    unit = underlay.units.get(short.resource, Unit.BANDWIDTH_BPS)
    missing = Amount(max(1, round(short.short)), unit)
    return f"{missing} of {short.resource} short at {short.where}"
