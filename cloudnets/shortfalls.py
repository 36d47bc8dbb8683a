"""Why an overlay cannot be mapped: which resource, where, and how much is short."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cloudnets.asked import BANDWIDTH, Group
from cloudnets.partials import kind_of, listed
from cloudnets.providers import MBPS, Lack, Providers
from embedding.answer import Answer, Shortage as Embedded, Status
from embedding.problem import Problem
from rdl.attributes import PIP, RESOURCE, TRANSIT, family
from rdl.matching import Misfit
from rdl.model import Relation
from rdl.units import Amount, readable
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.model import SHORTAGES_MAX, RefusalKind, Shortage
from substrate.values import dataclass, replace

EVERYWHERE = "all providers"
TOGETHER = ", which must be at one provider"
NEAREST_MAX = 3
"""Of so many providers a sentence says what they are short of."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """There is no mapping. ``reason``: for people, with everything that is short.

    ``resource``: an attribute such as "/resource/memory", that of a feature, "/node/host/pip" for
    providers, "/link/transit" for links between them, or "". ``where``: a provider or several, a
    link "a--b" of transit, or "all providers". ``short`` of ``asked``: in base units (bit/s, bytes,
    mcores, pieces), 0 where it is no amount. ``proven``: that there is none; else time was over
    before any was found. ``elements``: VNodes and VLinks that want it; empty: all of them.
    ``shortages``: all that is short, if it is an amount; first what this says itself.
    """

    reason: str
    resource: str = ""
    where: str = ""
    short: int = 0
    asked: int = 0
    proven: bool = True
    kind: RefusalKind = RefusalKind.RESOURCE
    elements: tuple[str, ...] = ()
    shortages: tuple[Shortage, ...] = ()


def lacking(reason: str, shortage: Shortage, kind: RefusalKind = RefusalKind.RESOURCE) -> Shortfall:
    """All that is wrong is one shortage."""
    return Shortfall(
        reason,
        shortage.resource,
        shortage.where,
        shortage.short,
        shortage.asked or 0,
        kind=kind,
        elements=shortage.elements,
        shortages=(shortage,),
    )


def shortfall_of(
    answer: Answer,
    problem: Problem,
    providers: Providers,
    groups: Iterable[Group],
    ruled_out: Sequence[str] = (),
) -> Shortfall:
    """What an answer without an embedding says, in the words of the language.

    ``ruled_out``: rules without which there would be one.
    """
    if answer.status is Status.UNKNOWN:
        return Shortfall("no mapping was found in the time given", proven=False)
    known = {group.name: group for group in groups}
    found = [_told(each, problem, providers, known) for each in answer.shortages]
    why = "; ".join(ruled_out)
    if not found:
        return Shortfall(why or "providers and links cannot take and carry it all at once")
    whole = all_of(found)
    return replace(whole, reason=f"{why}; else {whole.reason}") if why else whole


def all_of(found: Sequence[Shortfall]) -> Shortfall:
    """Several as one: the worst, with everything that any says."""
    worst = max(found, key=lambda each: each.short / max(each.asked, 1))
    first = (Shortage(worst.resource, worst.where, worst.short, worst.asked, worst.elements),)
    every = [*first * (worst.short > 0), *(each for one in found for each in one.shortages)]
    reason = "; ".join(dict.fromkeys(each.reason for each in found))
    shortages = tuple(dict.fromkeys(every))[:SHORTAGES_MAX]
    proven = any(each.proven for each in found)
    return replace(worst, reason=reason, shortages=shortages, proven=proven)


def _told(
    shortage: Embedded, problem: Problem, providers: Providers, groups: Mapping[str, Group]
) -> Shortfall:
    network = problem.network
    where = EVERYWHERE if shortage.where == "all hosts" else shortage.where
    where = listed(shortage.at) if shortage.at else where
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
    short, asked = max(round(shortage.short * scale), 1), round(shortage.asked * scale)
    reason = f"{kind}: {_shown(kind, short)} short at {where}{_who(shortage, groups)}"
    return lacking(reason, Shortage(kind, where, short, asked, elements), kind_of(kind))


def _too_few(shortage: Embedded, where: str, elements: tuple[str, ...]) -> Shortfall:
    """Hosts are providers here."""
    if len(elements) > 1 and shortage.asked > 1:
        known = f"only {where} could take them" if where else "none could take any of them"
        reason = f"{listed(elements)} must be at different providers, and {known}"
    else:
        reason = f"no provider may take {listed(elements)}"
    short, asked = round(shortage.short), round(shortage.asked)
    return lacking(reason, Shortage(PIP, EVERYWHERE, short, asked, elements))


def _members(name: str, groups: Mapping[str, Group]) -> tuple[str, ...]:
    """The VNodes of a group; of a VLink itself."""
    return groups[name].members if name in groups else (name,)


def _who(shortage: Embedded, groups: Mapping[str, Group]) -> str:
    """Which VNodes, if it is about some that must be together."""
    if len(shortage.who) != 1 or shortage.who[0] not in groups:
        return ""
    members = groups[shortage.who[0]].members
    return f", for {', '.join(members)}{'' if len(members) == 1 else TOGETHER}"


def _shown(kind: str, value: int, vocabulary: Vocabulary = STANDARD) -> str:
    unit = vocabulary.unit_of(kind)
    return str(value) if unit is None else readable(Amount(value, unit))


def learnt_of(problem: Problem) -> list[str]:
    """What was learnt of providers, and of ways between them."""
    names, vnodes = problem.network.names, problem.request.vnodes
    said = [
        f"{names[refused.host]} has refused {', '.join(vnodes[v].name for v in refused.vnodes)}"
        for refused in problem.rules.refused
    ]
    for cap in problem.rules.caps:
        most = Amount(int(cap.bandwidth * MBPS), STANDARD.resources[BANDWIDTH])
        said.append(f"between {names[cap.a]} and {names[cap.b]} no more than {most} can be carried")
    return said


def too_small(
    group: Group, lacks: Mapping[str, Sequence[Lack]], names: Collection[str]
) -> Shortfall:
    """A group for which none of the providers that it may be at has enough, the nearest first.

    ``names``: of all providers.
    """
    worst = {name: max(lack.short / lack.asked for lack in some) for name, some in lacks.items()}
    alike: dict[tuple[Lack, ...], list[str]] = {}
    for name in sorted(lacks, key=lambda name: (worst[name], name)):
        alike.setdefault(tuple(lacks[name]), []).append(name)
    told = []
    for some, at in alike.items():
        where = listed(at) if set(names) - set(at) or len(at) == 1 else EVERYWHERE
        told += [_lacking(lack, where, group) for lack in some]
    shown = [each.reason for each in told[: NEAREST_MAX * len(next(iter(alike)))]]
    more = len(alike) - NEAREST_MAX
    reason = "; ".join(shown) + (f"; and {more} more providers come less near" * (more > 0))
    first = max(told[: len(next(iter(alike)))], key=lambda each: each.short / each.asked)
    shortages = tuple(dict.fromkeys((*first.shortages, *(s for t in told for s in t.shortages))))
    return replace(first, reason=reason, shortages=shortages[:SHORTAGES_MAX])


def _lacking(lack: Lack, where: str, group: Group) -> Shortfall:
    kind, members = lack.kind, lack.members
    alone = members in [host.members for host in group.hosts]
    whom = f", for {', '.join(members)}"
    if alone:
        whom += f" (no host has more than {_shown(kind, lack.most)})"
    elif len(members) > 1:
        whom += TOGETHER
    reason = f"{kind}: {_shown(kind, lack.short)} short at {where}{whom}"
    return lacking(reason, Shortage(kind, where, lack.short, lack.asked, members), kind_of(kind))


def no_place(group: Group, misfits: Mapping[str, Iterable[Misfit]], where: str = "") -> Shortfall:
    """A group that no provider could take, and why each could not.

    ``where``: the one that it is to be at, of which perhaps nothing is known; "": any would do.
    """
    considered = {name: [*some] for name, some in misfits.items() if where in ("", name)}
    alike: dict[str, list[str]] = {}
    for name, some in considered.items():
        alike.setdefault(", ".join(map(str, some)), []).append(name)
    why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
    shown = ", ".join(group.members)
    if where and where not in misfits:
        reason = f"{where}, where {shown} must be, has not told what it has free"
        return Shortfall(reason, PIP, where, proven=False, elements=group.members)
    reason = f"no provider takes {shown} ({why or 'there is none'})"
    if where:
        reason = f"{where}, where {shown} must be, does not take it ({why})"
    named = (each.attribute for some in considered.values() for each in some if each.attribute)
    attribute = next(named, "")
    unlike = attribute and family(attribute) != RESOURCE
    kind = RefusalKind.FEATURE if unlike else RefusalKind.RESOURCE
    return Shortfall(reason, attribute, where or EVERYWHERE, kind=kind, elements=group.members)


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
