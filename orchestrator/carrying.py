"""Which VNodes a Modify takes to other providers, so that what they have is carried. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence

from orchestrator.cloudnet_checks import graph_of
from orchestrator.negotiation import Question
from protocol.coordinator import PROMISED, PartStatus, Transaction
from rdl.aggregation import is_neighbour
from substrate.values import dataclass

SMALL_BYTES = 1 << 18
"""What goes in a moment: a VNode of which no more has changed may stand still for the rest."""
EVER = PROMISED | {PartStatus.RELEASING, PartStatus.RELEASED, PartStatus.NACKED}
"""Statuses of parts that were committed."""
MAY_RUN = PROMISED | {PartStatus.RELEASING}
"""Statuses of parts that may be on devices."""


@dataclass(frozen=True, slots=True, order=True)
class Carry:
    """A VNode, and the domains that it leaves and goes to."""

    vnode: str
    source: str
    target: str


def carried(question: Question) -> Mapping[str, str]:
    """The domains of VNodes whose state is to go with them, should they leave.

    None of a CloudNet that begins only after the negotiation: nothing has been made of it. Where
    a domain has made something of it the clock here is slow.
    """
    cloudnet, before = question.criteria.cloudnet, question.in_force
    if cloudnet is None or before is None:
        return {}
    begins_ms = question.criteria.window.start_s * 1000
    if begins_ms > question.deadline_ms and not question.begun:
        return {}
    wanted = {node.id for node in graph_of(cloudnet.graph).nodes}.difference(cloudnet.anew)
    places = {vnode: domain for domain, some in before.vnodes.items() for vnode in some}
    return {vnode: at for vnode, at in places.items() if vnode in wanted}


def awaits(graph: bytes, domain: str, carried: Mapping[str, str]) -> tuple[str, ...]:
    """The VNodes of a partial graph that come to a domain from another."""
    if not graph or not carried:
        return ()
    names = (node.id for node in graph_of(graph).nodes)
    return tuple(sorted(name for name in names if carried.get(name, domain) != domain))


def awaited(transaction: Transaction) -> bool:
    """Whether VNodes must be carried before a transaction that is decided may be told."""
    return any(part.prep.awaits for part in transaction.parts if part.status in EVER)


def carries(old: Transaction, new: Transaction) -> tuple[Carry, ...]:
    """What a version awaits that comes after another, and all that has changed its domain where
    there were versions between: of what these awaited, nobody else knows any more.
    """
    before, after = _places(old), _places(new)
    found = {
        vnode: part.domain
        for part in new.parts
        if part.status in EVER
        for vnode in part.prep.awaits
    }
    if new.version > old.version + 1:
        found |= {v: at for v, at in after.items() if before.get(v, at) != at}
    return tuple(Carry(vnode, before.get(vnode, ""), found[vnode]) for vnode in sorted(found))


def sources(versions: Iterable[Transaction], new: Transaction, each: Carry) -> tuple[str, ...]:
    """Where a VNode may be had from once more that is lost where it was carried to, of versions
    that stand by: the nearest first, which it was carried from last."""
    before = sorted((it for it in versions if it.version < new.version), key=lambda it: -it.version)
    found = [_places(it, MAY_RUN).get(each.vnode, each.target) for it in before]
    return tuple(dict.fromkeys(at for at in found if at != each.target))


def added(question: Question) -> frozenset[str]:
    """The VNodes that a Modify asks for and the version in force has not."""
    cloudnet, before = question.criteria.cloudnet, question.in_force
    if cloudnet is None or before is None:
        return frozenset()
    present = {vnode for some in before.vnodes.values() for vnode in some}
    return frozenset(node.id for node in graph_of(cloudnet.graph).nodes) - present


def leftover(names: Collection[str], version: Transaction) -> Mapping[str, str]:
    """Of VNodes of these names what may still run of a version, and in which domain."""
    return {v: at for v, at in _places(version, MAY_RUN).items() if v in names}


def comes_back(older: Transaction, version: Transaction) -> bool:
    """Whether a domain would take an older version to be in force, were ``version`` released."""
    both = set(_places(older, MAY_RUN).values()) & set(_places(version, MAY_RUN).values())
    return older.version < version.version and bool(both)


def goes_on(sizes: Sequence[int], rounds: int) -> bool:
    """Whether another copy should go ahead of a VNode, after those of so many bytes. Not where
    little is left, or where it changes as fast as it is copied."""
    if not sizes:
        return True
    faster = len(sizes) > 1 and sizes[-1] >= sizes[-2]
    return len(sizes) < rounds and sizes[-1] > SMALL_BYTES and not faster


def _places(transaction: Transaction, of: Container[PartStatus] = EVER) -> dict[str, str]:
    """The domain of each VNode of parts with such a status."""
    return {
        node.id: part.domain
        for part in transaction.parts
        if part.status in of and part.prep.graph
        for node in graph_of(part.prep.graph).nodes
        if not is_neighbour(node)
    }
