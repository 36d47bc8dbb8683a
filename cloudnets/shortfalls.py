"""Why an overlay cannot be mapped: which resource, where, and how much is short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from cloudnets.asked import BANDWIDTH, Group
from cloudnets.providers import MBPS, Providers
from embedding.answer import Answer, Shortage, Status
from embedding.problem import Problem
from rdl.model import Relation
from rdl.units import Amount
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.values import dataclass

EVERYWHERE = "all providers"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """There is no mapping. ``reason``: for people, with everything that is short.

    ``resource``: an attribute such as "/resource/memory", that of a feature, "hosts" for providers,
    or "". ``where``: a provider, a link "a--b" of transit, or "all providers". ``short`` of
    ``asked``: in base units (bit/s, bytes, mcores, pieces), 0 where it is no amount. ``proven``:
    that there is none; else time was over before any was found.
    """

    reason: str
    resource: str = ""
    where: str = ""
    short: int = 0
    asked: int = 0
    proven: bool = True


def shortfall_of(
    answer: Answer,
    problem: Problem,
    providers: Providers,
    groups: Iterable[Group],
    *,
    ruled_out: bool,
) -> Shortfall:
    """What an answer without an embedding says, in the words of the language.

    ``ruled_out``: without the rules that were learnt there would be one.
    """
    if answer.status is Status.UNKNOWN:
        return Shortfall("no mapping was found in the time given", proven=False)
    known = {group.name: group for group in groups}
    found = [_told(each, problem, providers, known) for each in answer.shortages]
    why = _rules(problem) if ruled_out else ""
    if not found:
        return Shortfall(why or "providers and links cannot take and carry it all at once")
    worst = max(found, key=lambda each: each.short / max(each.asked, 1))
    reason = "; ".join(dict.fromkeys(each.reason for each in found))
    reason = f"{why}; else {reason}" if why else reason
    return Shortfall(reason, worst.resource, worst.where, worst.short, worst.asked)


def _told(
    shortage: Shortage, problem: Problem, providers: Providers, groups: Mapping[str, Group]
) -> Shortfall:
    network = problem.network
    where = EVERYWHERE if shortage.where == "all hosts" else shortage.where
    if shortage.resource == "hosts":
        asked = problem.vnodes
        return Shortfall(shortage.why, "hosts", where, round(shortage.short), asked)
    on_link = where in network.link_number
    if on_link or shortage.resource == "bandwidth":
        kind, scale = BANDWIDTH, MBPS
        host = network.number.get(where, 0)
        free = problem.free.link[network.link_number[where]] if on_link else problem.ports[host]
    else:
        kind, scale = shortage.resource, providers.scale(shortage.resource)
        column = network.resources.index(kind) if kind in network.resources else None
        known = column is not None and where != EVERYWHERE
        free = problem.free.host[network.number[where], column] if known else 0.0
    missing = float(f"{shortage.short:.6g}")  # solvers are no more exact
    short = max(ceil(missing * scale), 1)
    asked = round((float(free) + missing) * scale)
    if where == EVERYWHERE:
        asked = sum(group.amounts.get(kind, 0) for group in groups.values())
    text = f"{kind}: {_shown(kind, short)} short at {where}"
    return Shortfall(f"{text}{_who(shortage, groups)}", kind, where, short, asked)


def _who(shortage: Shortage, groups: Mapping[str, Group]) -> str:
    """Which VNodes, if it is about some that must be together."""
    group = groups.get(shortage.why.split(" needs ")[0])
    if group is None:
        return ""
    alone = len(group.members) == 1
    return f", for {', '.join(group.members)}{'' if alone else ', which must be at one provider'}"


def _shown(kind: str, value: int, vocabulary: Vocabulary = STANDARD) -> str:
    unit = vocabulary.unit_of(kind)
    return str(value) if unit is None else str(Amount(value, unit))


def _rules(problem: Problem) -> str:
    """What was learnt of providers, and how near VLinks must be."""
    names, vnodes = problem.network.names, problem.request.vnodes
    said = [
        f"{names[refused.host]} has refused {', '.join(vnodes[v].name for v in refused.vnodes)}"
        for refused in problem.rules.refused
    ]
    for cap in problem.rules.caps:
        most = Amount(int(cap.bandwidth * MBPS), STANDARD.resources[BANDWIDTH])
        said.append(f"between {names[cap.a]} and {names[cap.b]} no more than {most} can be carried")
    if problem.rules.barred is not None:
        near = [k for k, barred in enumerate(problem.rules.barred) if barred.any()]
        shown = ", ".join(problem.request.vlinks[k].label for k in near)
        said.append(f"the latency of {shown} allows few pairs of providers")
    return "; ".join(said)


def no_place(group: Group, misfits: Mapping[str, Iterable[str]]) -> Shortfall:
    """A group that no provider could take, and why each could not."""
    why = "; ".join(f"{name}: {', '.join(some)}" for name, some in misfits.items())
    shown = ", ".join(group.members)
    attribute = next(
        (s.split(": ")[1] for some in misfits.values() for s in some if ": /" in s), ""
    )
    return Shortfall(f"no provider takes {shown} ({why or 'there is none'})", attribute, EVERYWHERE)


def undecidable(relation: Relation, known: Iterable[str]) -> Shortfall:
    """A relation that has no value, over several providers or at one."""
    words = ", ".join(known) or "none"
    reason = (
        f"relation {relation.id}: {relation.kind.value} {relation.of} of"
        f" {', '.join(relation.elements)} cannot be settled over several providers (values known:"
        f" {words}), and no provider takes them all"
    )
    return Shortfall(reason, relation.of, EVERYWHERE)
