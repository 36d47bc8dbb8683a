"""The union of two versions of an overlay: a graph of which each of both is a part.

Who has it may become the one or the other by taking away only, for which there is always room.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from cloudnets.asked import nodes_at
from rdl.attributes import is_generic, stem, within
from rdl.model import (
    Feature,
    Graph,
    NetworkElement,
    NetworkInterface,
    Relation,
    Resource,
    Value,
    Words,
    by_id,
)
from rdl.units import Amount
from rdl.vocabulary import STANDARD, Meaning
from substrate.values import dataclass, replace
from substrate.vlans import VlanSet


@dataclass(frozen=True, slots=True)
class United:
    """A union. ``again``: elements of the second graph that cannot be one with that of the first
    which has their id, and the ids that they have instead."""

    graph: Graph
    again: Mapping[str, str]

    @property
    def vnodes_again(self) -> tuple[str, ...]:
        """Those of ``again`` that are nodes, by their own ids."""
        nodes = {node.id for node in self.graph.nodes}
        return tuple(sorted(own for own, other in self.again.items() if other in nodes))


def unite(one: Graph, two: Graph, apart: Collection[str] = ()) -> United:
    """What is in both is there once, with the larger amounts, and as both want it.

    What cannot be is there twice: a node of two kinds, a link with other ends. ``apart``: links of
    both that are not the same, for a reason that graphs do not tell.
    """
    return _Union(one, two, frozenset(apart)).run()


def merged(one: NetworkElement, two: NetworkElement) -> NetworkElement | None:
    """An element that is as both want it; None: there is none."""
    attribute = _narrower(one.attribute, two.attribute)
    features = _features(one.features, two.features)
    if attribute is None or features is None:
        return None
    resources = _most(one.resources, two.resources)
    shares = tuple({*one.shares, *two.shares})
    return NetworkElement(one.id, attribute, resources, features, shares)


class _Union:
    """``_ids``: of elements and shared resources of the second graph those in the union."""

    def __init__(self, one: Graph, two: Graph, apart: frozenset[str]) -> None:
        self._one, self._two, self._apart = one, two, apart
        self._elements: dict[str, NetworkElement] = by_id(one.elements)
        self._joints = {frozenset(each.joins): each for each in one.interfaces}
        self._shared = by_id(one.shared)
        self._ids: dict[str, str] = {}
        self._shares: dict[str, str] = {}
        kinds = ("elements", "interfaces", "shared", "relations")
        self._taken = {each.id for g in (one, two) for kind in kinds for each in getattr(g, kind)}

    def run(self) -> United:
        self._unite_shared()
        for node in self._two.nodes:
            whole = self._with(node)
            self._put(node.id, whole or self._shared_as(node), again=whole is None)
        ends, groups = nodes_at(self._two), _groups(self._two)
        before = nodes_at(self._one)
        for link in self._two.links:
            if not link.is_transit:
                was = before.get(link.id)
                now = tuple(self._ids[node] for node in ends[link.id])
                moved = was is not None and sorted(was) != sorted(now)
                self._unite_links(groups[link.id], moved or link.id in self._apart)
        graph = replace(
            self._one,
            elements=tuple(self._elements.values()),
            interfaces=tuple(self._interfaces()),
            shared=tuple(self._shared.values()),
            relations=tuple(self._relations()),
        )
        return United(graph, {own: other for own, other in self._ids.items() if own != other})

    def _unite_shared(self) -> None:
        for shared in self._two.shared:
            mine = self._shared.get(shared.id)
            name = shared.id
            if mine is not None and mine.attribute == shared.attribute:
                shared = replace(shared, amount=max(mine.amount, shared.amount))
            elif mine is not None:
                name = self._fresh(shared.id)
            self._shares[shared.id] = name
            self._shared[name] = replace(shared, id=name)

    def _unite_links(self, group: Iterable[NetworkElement], moved: bool) -> None:
        """A link and its transits, which are one with those of the first graph only together."""
        both = [(each, None if moved else self._with(each)) for each in group]
        again = any(whole is None for _, whole in both)
        for each, whole in both:
            known = each.id in self._elements
            self._put(each.id, whole or self._shared_as(each), again=again and known)

    def _with(self, element: NetworkElement) -> NetworkElement | None:
        """As it and that of its id want it, or itself if there is none."""
        here, mine = self._shared_as(element), self._elements.get(element.id)
        return here if mine is None else merged(mine, here)

    def _shared_as(self, element: NetworkElement) -> NetworkElement:
        return replace(element, shares=tuple(self._shares[name] for name in element.shares))

    def _put(self, own: str, element: NetworkElement, *, again: bool) -> None:
        name = self._fresh(own) if again else own
        self._ids[own] = name
        self._elements[name] = replace(element, id=name)

    def _interfaces(self) -> Iterator[NetworkInterface]:
        found = dict(self._joints)
        used = {each.id for each in self._one.interfaces}
        for each in self._two.interfaces:
            a, b = (self._ids[name] for name in each.joins)
            mine = found.get(frozenset((a, b)))
            if mine is None:
                name = self._fresh(each.id) if each.id in used else each.id
                used.add(name)
                found[frozenset((a, b))] = replace(each, id=name, joins=(a, b))
                continue
            features = _features(mine.features, each.features)
            found[frozenset((a, b))] = replace(
                mine,
                resources=_most(mine.resources, each.resources),
                features=mine.features if features is None else features,
            )
        return iter(found.values())

    def _relations(self) -> Iterator[Relation]:
        found: dict[str, Relation] = by_id(self._one.relations)
        for each in self._two.relations:
            here = replace(each, elements=tuple(self._ids[name] for name in each.elements))
            if found.get(each.id, here) != here:
                here = replace(here, id=self._fresh(each.id))
            found[here.id] = here
        return iter(found.values())

    def _fresh(self, name: str) -> str:
        number = 2
        while f"{name}.{number}" in self._taken:
            number += 1
        self._taken.add(f"{name}.{number}")
        return f"{name}.{number}"


def _groups(graph: Graph) -> dict[str, list[NetworkElement]]:
    """Each link with the transits that it leads on to."""
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    found = {link.id: [link] for link in graph.links if not link.is_transit}
    for interface in graph.interfaces:
        for name in found.keys() & set(interface.joins):
            other = elements[interface.other(name)]
            found[name] += [other] if other.is_transit else []
    return found


def _narrower(one: str, two: str) -> str | None:
    """The attribute that says more; None: they contradict each other."""
    if stem(one) == stem(two):
        return two if is_generic(one) else one
    if within(stem(two), stem(one)):
        return two
    return one if within(stem(one), stem(two)) else None


def _most(one: Iterable[Resource], two: Iterable[Resource]) -> tuple[Resource, ...]:
    found = {each.attribute: each for each in one}
    for each in two:
        mine = found.get(each.attribute, each)
        less = mine.amount is None or (each.amount is not None and mine.amount < each.amount)
        found[each.attribute] = each if less else mine
    return tuple(found.values())


def _features(one: Iterable[Feature], two: Iterable[Feature]) -> tuple[Feature, ...] | None:
    """Each as both want it; None: one cannot be."""
    mine = {each.attribute: each for each in one}
    theirs = {each.attribute: each for each in two}
    found = []
    for attribute in sorted(mine.keys() | theirs.keys()):
        both = [each for each in (mine.get(attribute), theirs.get(attribute)) if each is not None]
        kind = STANDARD.kind_of(attribute)
        meaning = kind.meaning if kind is not None else Meaning.WORDS
        if both[0].value != both[-1].value or len(both) == 1:
            if meaning is Meaning.GIVEN:
                return None
            said = [each for each in both if each.value is not None] or both[:1]
            value = _MEET[meaning]([each.value for each in said if each.value is not None])
            if value in ((), VlanSet()):
                return None
            both = [replace(said[0], value=value)]
        found.append(both[0])
    return tuple(found)


def _least(values: list[Value]) -> Value | None:
    return min((each for each in values if isinstance(each, Amount)), default=None)


def _greatest(values: list[Value]) -> Value | None:
    return max((each for each in values if isinstance(each, Amount)), default=None)


def _common_words(values: list[Value]) -> Value | None:
    words: list[Words] = [each for each in values if isinstance(each, tuple)]
    return tuple(set.intersection(*map(set, words))) if words else None


def _common_vlans(values: list[Value]) -> Value | None:
    vlans = [each for each in values if isinstance(each, VlanSet)]
    found = vlans[0] if vlans else None
    for each in vlans[1:]:
        found = each if found is None else found & each
    return found


_MEET: Mapping[Meaning, Callable[[list[Value]], Value | None]] = {
    Meaning.WORDS: _common_words,
    Meaning.GIVEN: _common_words,
    Meaning.KINDS: _common_words,
    Meaning.AT_MOST: _least,
    Meaning.AT_LEAST: _greatest,
    Meaning.VLANS: _common_vlans,
}
"""Which value is as all of these want it."""
