"""What a CloudNet of the child must be, so that each version needed can be in force: values.

While a new version is being decided the child has the old one and the new one in one: nothing is
taken away, and what stays has the larger amounts. What is decided is got, and what is aborted is
taken back, by taking away only, for which there is always room (docs/decisions/0023).
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache, reduce

from agents.backends.child.circuits import Circuit, Inner, Ports
from cloudnets.uniting import merged, unite
from protocol.messages import ReservationPrep
from rdl.codec import from_bytes, to_bytes
from rdl.model import Graph, NetworkElement, Value, by_id
from substrate.model import Refusal, RefusalKind
from substrate.values import dataclass, replace

Exit = tuple[str, int]
"""STP and VLAN."""


@dataclass(frozen=True, slots=True)
class Whole:
    """All versions in one. ``own``: of what is there twice the name there and its own.

    ``again``: VNodes that are there twice, as they cannot be what both versions want.
    """

    inner: Inner
    own: tuple[tuple[str, str], ...] = ()
    again: tuple[str, ...] = ()

    def named(self, elements: tuple[str, ...]) -> tuple[str, ...]:
        """These by the names that their user knows."""
        own = dict(self.own)
        return tuple(dict.fromkeys(own.get(name, name) for name in elements))


@lru_cache(64)
def whole_of(inners: tuple[Inner, ...]) -> Whole:
    """The union of one version or more; what is in several is called as in the first.

    Raises RdlError for a graph that is none.
    """
    if len(inners) == 1:
        return Whole(inners[0])
    first = _graph(inners[0].graph)
    own: dict[str, str] = {}
    again: set[str] = set()

    def step(so_far: tuple[Graph, dict[str, Exit]], inner: Inner) -> tuple[Graph, dict[str, Exit]]:
        graph, exits = so_far
        theirs = dict(inner.exits)
        apart = {link for link in exits.keys() | theirs if exits.get(link) != theirs.get(link)}
        united = unite(graph, _graph(inner.graph), apart)
        own.update({other: name for name, other in united.again.items()})
        again.update(united.vnodes_again)
        return united.graph, {**exits, **{united.again.get(n, n): at for n, at in theirs.items()}}

    graph, exits = reduce(step, inners[1:], (first, dict(inners[0].exits)))
    inner = replace(inners[0], graph=to_bytes(graph), exits=tuple(sorted(exits.items())))
    return Whole(inner, tuple(sorted(own.items())), tuple(sorted(again)))


def pins(circuit: Circuit, inner: Inner) -> tuple[tuple[str, str], ...]:
    """Where VNodes must stay that the child has made: with another provider they would begin anew.

    Raises RdlError.
    """
    if circuit.inner is None:
        return ()
    here, there = (by_id(_graph(each.graph).elements) for each in (circuit.inner, inner))
    return tuple(
        (vnode, domain)
        for vnode, domain in circuit.placed
        if vnode in here and vnode in there and merged(here[vnode], there[vnode]) is not None
    )


def others(circuit: Circuit, whole: Whole) -> tuple[str, ...]:
    """VNodes that would not only be of another size, but become others.

    They might have to move to where their disks do not follow. Raises RdlError.
    """
    if circuit.inner is None:
        return whole.again
    here, there = (by_id(_graph(each.graph).nodes) for each in (circuit.inner, whole.inner))
    changed = {name for name in here.keys() & there if _kind(here[name]) != _kind(there[name])}
    return tuple(sorted(changed.union(whole.again)))


def crossed(inner: Inner, prep: ReservationPrep, ports: Ports) -> Refusal | None:
    """Where two VLinks of a union would leave with one VLAN, that another one is needed."""
    many = {at for at, times in Counter(at for _, at in inner.exits).items() if times > 1}
    for segment in filter(ports.is_inner, prep.segments):
        port, vlan = ports.outside(segment)
        if (ports.stps[port], vlan) in many:
            reason = f"VLAN {vlan} leads another VLink there until this version is in force"
            return Refusal(RefusalKind.LABEL, reason, resource=port, segment_id=segment.segment_id)
    return None


def _kind(node: NetworkElement) -> tuple[str, dict[str, Value | None]]:
    return node.attribute, {each.attribute: each.value for each in node.features}


@lru_cache(64)
def _graph(data: bytes) -> Graph:
    return from_bytes(data)
