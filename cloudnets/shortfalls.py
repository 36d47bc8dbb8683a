"""Why an overlay cannot be mapped: which resource, where, and how much is short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from cloudnets.asked import BANDWIDTH, Group
from cloudnets.partials import kind_of, listed
from cloudnets.providers import MBPS, Providers
from embedding.answer import Answer, Shortage, Status
from embedding.problem import Problem
from rdl.attributes import PIP, RESOURCE, TRANSIT, family
from rdl.matching import Misfit
from rdl.model import Relation
from rdl.units import Amount
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.model import RefusalKind
from substrate.values import dataclass, replace

EVERYWHERE = "all providers"
TOGETHER = ", which must be at one provider"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """There is no mapping. ``reason``: for people, with everything that is short.

    ``resource``: an attribute such as "/resource/memory", that of a feature, "/node/host/pip" for
    providers, "/link/transit" for links between them, or "". ``where``: a provider, a link "a--b"
    of transit, or "all providers". ``short`` of ``asked``: in base units (bit/s, bytes, mcores,
    pieces), 0 where it is no amount. ``proven``: that there is none; else time was over before any
    was found. ``elements``: VNodes and VLinks that want it; empty: all of them.
    """

    reason: str
    resource: str = ""
    where: str = ""
    short: int = 0
    asked: int = 0
    proven: bool = True
    kind: RefusalKind = RefusalKind.RESOURCE
    elements: tuple[str, ...] = ()


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
    return replace(worst, reason=reason)


def _told(
    shortage: Shortage, problem: Problem, providers: Providers, groups: Mapping[str, Group]
) -> Shortfall:
    network = problem.network
    where = EVERYWHERE if shortage.where == "all hosts" else shortage.where
    elements = tuple(each for name in shortage.who for each in _members(name, groups))
    if shortage.resource == "hosts":
        return _too_few(shortage, where, elements)
    if shortage.resource == "links":
        reason = "no links join the providers that could take VNodes with VLinks between them"
        return Shortfall(reason, TRANSIT, where, kind=RefusalKind.NO_PATH)
    on_link = where in network.link_number
    if on_link or shortage.resource == "bandwidth":
        kind, scale = BANDWIDTH, MBPS
    else:
        kind, scale = shortage.resource, providers.scale(shortage.resource)
    missing = float(f"{shortage.short:.6g}")  # solvers are no more exact
    short = max(ceil(missing * scale), 1)
    asked = round((shortage.asked - shortage.short + missing) * scale)
    if where == EVERYWHERE:
        asked = sum(group.amounts.get(kind, 0) for group in groups.values())
    text = f"{kind}: {_shown(kind, short)} short at {where}"
    reason = f"{text}{_who(shortage, groups)}"
    return Shortfall(reason, kind, where, short, asked, kind=kind_of(kind), elements=elements)


def _too_few(shortage: Shortage, where: str, elements: tuple[str, ...]) -> Shortfall:
    """Hosts are providers here."""
    if len(elements) > 1 and shortage.asked > 1:
        known = f"only {where} could take them" if where else "none could take any of them"
        reason = f"{listed(elements)} must be at different providers, and {known}"
    else:
        reason = f"no provider may take {listed(elements)}"
    short, asked = round(shortage.short), round(shortage.asked)
    return Shortfall(reason, PIP, EVERYWHERE, short, asked, elements=elements)


def _members(name: str, groups: Mapping[str, Group]) -> tuple[str, ...]:
    """The VNodes of a group; of a VLink itself."""
    return groups[name].members if name in groups else (name,)


def _who(shortage: Shortage, groups: Mapping[str, Group]) -> str:
    """Which VNodes, if it is about some that must be together."""
    if len(shortage.who) != 1 or shortage.who[0] not in groups:
        return ""
    members = groups[shortage.who[0]].members
    return f", for {', '.join(members)}{'' if len(members) == 1 else TOGETHER}"


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


def no_place(group: Group, misfits: Mapping[str, Iterable[Misfit]]) -> Shortfall:
    """A group that no provider could take, and why each could not."""
    why = "; ".join(f"{name}: {', '.join(map(str, some))}" for name, some in misfits.items())
    shown = ", ".join(group.members)
    reason = f"no provider takes {shown} ({why or 'there is none'})"
    named = (each.attribute for some in misfits.values() for each in some if each.attribute)
    attribute = next(named, "")
    unlike = attribute and family(attribute) != RESOURCE
    kind = RefusalKind.FEATURE if unlike else RefusalKind.RESOURCE
    return Shortfall(reason, attribute, EVERYWHERE, kind=kind, elements=group.members)


def undecidable(relation: Relation, known: Iterable[str]) -> Shortfall:
    """A relation that has no value, over several providers or at one."""
    words = ", ".join(known) or "none"
    reason = (
        f"relation {relation.id}: {relation.kind.value} {relation.of} of"
        f" {', '.join(relation.elements)} cannot be settled over several providers (values known:"
        f" {words}), and no provider takes them all"
    )
    elements = relation.elements
    return Shortfall(reason, relation.of, EVERYWHERE, kind=RefusalKind.FEATURE, elements=elements)
