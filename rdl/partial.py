"""Partial graphs: an overlay graph cut into one per provider, and joined again (paper 002, 5.4).

Where a VLink leaves a provider, the provider's partial graph has two stubs: a ``/link/transit``
with the VLAN that the VNP picked for this side and the link's resources, joined to the link; and
joined to that a ``/node/host/pip`` that stands for the neighbour. For a link ``wire`` from ``pip1``
to ``pip2`` the first is called ``wire@pip1@pip2`` on both sides, the second ``pip@pip2`` in the
graph of ``pip1``. The link itself is in both, whole: each provider makes its segment of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rdl.attributes import NODE, PIP, TRANSIT, family
from rdl.checking import is_id, is_name
from rdl.errors import Kind, Mistake, RdlError
from rdl.model import (
    Feature,
    Graph,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
    by_id,
)
from substrate.vlans import VLAN_MAX, VLAN_MIN, VlanSet

INTERFACE = "/interface/generic"
VLAN = "/feature/vlan"


@dataclass(frozen=True, slots=True)
class Transit:
    """The way of a VLink from one provider to another.

    ``vlans``: where it leaves each of ``pips``, in the same order. They differ where a domain
    between both translates.
    """

    link: str
    pips: tuple[str, str]
    vlans: tuple[int, int]

    @property
    def between(self) -> tuple[str, str]:
        """Both providers, sorted."""
        first, second = sorted(self.pips)
        return first, second

    @property
    def id(self) -> str:
        """The id of the stub that stands for it in both partial graphs."""
        return "@".join((self.link, *self.between))


def cut(
    graph: Graph, placed: Mapping[str, str], transits: Sequence[Transit] = ()
) -> dict[str, Graph]:
    """The partial graph of each provider, by its name.

    ``placed``: the provider of each node. ``transits``: for each link whose ends are at several
    providers, a tree that joins these; it may pass through providers that have no end. Relations go
    to all providers of their elements. Raises RdlError, kind MAPPING, with all that does not fit.
    """
    plan = _Plan(graph, placed, transits)
    mistakes = list(plan.mistakes())
    if mistakes:
        raise RdlError(mistakes)
    return {pip: plan.part(pip) for pip in plan.pips}


def link_places(graph: Graph, placed: Mapping[str, str]) -> dict[str, set[str]]:
    """The providers at the ends of each link; a stub of an outer graph is where its node is."""
    ends: dict[str, set[str]] = {link.id: set() for link in graph.links}
    seams = []
    for interface in graph.interfaces:
        for link in interface.joins:
            other = interface.other(link)
            if link in ends and other in placed:
                ends[link].add(placed[other])
            elif link in ends:
                seams.append((link, other))
    elements = by_id(graph.elements)
    for link, other in seams:
        if elements[other].is_transit:
            ends[link] |= ends[other]
    return ends


class _Plan:
    """A mapping of a graph on providers: which of them has what."""

    def __init__(
        self, graph: Graph, placed: Mapping[str, str], transits: Sequence[Transit]
    ) -> None:
        self._graph = graph
        self._placed = placed
        self._transits = transits
        self._elements: dict[str, NetworkElement] = by_id(graph.elements)
        self._ends = link_places(graph, placed)
        passed = {link: set(places) for link, places in self._ends.items()}
        for transit in transits:
            passed.setdefault(transit.link, set()).update(transit.pips)
        self._places = {node: {pip} for node, pip in placed.items()} | passed
        self.pips = sorted(set().union(*self._places.values()))

    def mistakes(self) -> Iterator[Mistake]:
        for node in self._graph.nodes:
            if node.id not in self._placed:
                yield _mapping(f"elements.{node.id}", "is mapped on no provider")
        nodes = {node.id for node in self._graph.nodes}
        for name in sorted(set(self._placed) - nodes):
            yield _mapping(f"elements.{name}", "is mapped, and is no node of the graph")
        for pip in self.pips:
            if not is_name(pip):
                yield _mapping("", f"'{pip}' is not the name of a provider")
            if _stub_of(pip) in self._elements:
                yield _mapping(f"elements.{_stub_of(pip)}", f"is the id of the stub of '{pip}'")
        yield from self._transit_mistakes()
        yield from self._split_mistakes()

    def _transit_mistakes(self) -> Iterator[Mistake]:
        for transit in self._transits:
            field = f"elements.{transit.link}"
            for vlan in transit.vlans:
                if not VLAN_MIN <= vlan <= VLAN_MAX:
                    yield _mapping(field, f"VLAN {vlan} is not within {VLAN_MIN}-{VLAN_MAX}")
            if transit.link not in self._ends or self._elements[transit.link].is_transit:
                yield _mapping(field, "is given a transit, and is no link of the graph")
            if transit.id in self._elements or not is_id(f"{transit.id}@{_ENDS[0]}"):
                yield _mapping(f"elements.{transit.id}", "cannot be the id of a stub")
        ways: dict[str, list[tuple[str, str]]] = {}
        for transit in self._transits:
            ways.setdefault(transit.link, []).append(transit.between)
        for link in sorted(self._ends):
            pairs = ways.get(link, [])
            places, ends = self._places[link], self._ends[link]
            idle = [p for p in places - ends if sum(p in pair for pair in pairs) < 2]
            if not _is_tree(places, pairs):
                shown = ", ".join("-".join(pair) for pair in sorted(pairs)) or "none"
                reason = f"the transits ({shown}) do not join {', '.join(sorted(places))} in a tree"
                yield _mapping(f"elements.{link}", reason)
            elif idle:
                reason = f"a transit leads to {', '.join(sorted(idle))}, where no end is"
                yield _mapping(f"elements.{link}", reason)

    def _split_mistakes(self) -> Iterator[Mistake]:
        users: dict[str, set[str]] = {}
        for element in self._graph.elements:
            for name in element.shares:
                users.setdefault(name, set()).update(self._places.get(element.id, set()))
        for name in sorted(users):
            if len(users[name]) > 1:
                reason = f"is shared at {', '.join(sorted(users[name]))}; possible: at one"
                yield _mapping(f"shared.{name}", reason)
        for relation in self._graph.relations:
            if family(relation.of) == NODE:
                yield from self._unrelated(relation)

    def _unrelated(self, relation: Relation) -> Iterator[Mistake]:
        pips = [self._placed[name] for name in relation.elements if name in self._placed]
        shown = ", ".join(sorted(set(pips)))
        if relation.kind is RelationKind.SAME and len(set(pips)) > 1:
            yield _mapping(f"relations.{relation.id}", f"the same {relation.of}, and at {shown}")
        apart = relation.kind is RelationKind.DIFFERENT and relation.of == PIP
        if apart and len(set(pips)) < len(pips):
            reason = f"different {relation.of}, and {len(pips)} elements at {shown}"
            yield _mapping(f"relations.{relation.id}", reason)

    def part(self, pip: str) -> Graph:
        """What one provider gets."""
        elements = {e.id: e for e in self._graph.elements if pip in self._places[e.id]}
        interfaces = [i for i in self._graph.interfaces if pip in self._place_of(i)]
        crossing = [transit for transit in self._transits if pip in transit.pips]
        for transit in crossing:
            stubs, joints = _stubs(transit, pip, self._elements[transit.link])
            elements |= by_id(stubs)
            interfaces += joints
        used = {name for element in elements.values() for name in element.shares}
        return replace(
            self._graph,
            elements=tuple(elements.values()),
            interfaces=tuple(interfaces),
            shared=tuple(shared for shared in self._graph.shared if shared.id in used),
            relations=tuple(self._relations_at(pip)),
        )

    def _place_of(self, interface: NetworkInterface) -> set[str]:
        """One provider: that of the node, or of the outer graph's stub."""
        fixed = [n for n in interface.joins if n in self._placed or self._elements[n].is_transit]
        return set.intersection(*(self._places[name] for name in fixed))

    def _relations_at(self, pip: str) -> Iterator[Relation]:
        for relation in self._graph.relations:
            here = tuple(n for n in relation.elements if min(self._places[n]) == pip)
            if here:
                away = len(relation.elements) - len(here)
                yield replace(relation, elements=here, elsewhere=relation.elsewhere + away)


def join(parts: Mapping[str, Graph]) -> Graph:
    """The whole graph of which these are the partial graphs, by provider: the inverse of ``cut``.

    Stubs towards providers that are not among ``parts`` belong to an outer graph, and stay. Raises
    RdlError, kind MAPPING: the whole, cut in the same way, does not give these partial graphs.
    """
    if not parts:
        raise RdlError([_mapping("", "there is no partial graph")])
    transits = [each for pip in sorted(parts) for each in _transits_of(pip, parts)]
    stubs = {_stub_of(pip) for pip in parts} | {transit.id for transit in transits}
    inner = {f"{transit.id}@{end}" for transit in transits for end in _ENDS}
    whole = replace(
        parts[min(parts)],
        elements=_united(parts, "elements", stubs),
        interfaces=_united(parts, "interfaces", inner),
        shared=_united(parts, "shared", set()),
        relations=_whole_relations(parts),
    )
    loose = {name for each in whole.interfaces for name in each.joins} - {
        each.id for each in whole.elements
    }
    if loose:
        mistakes = [_mapping(f"elements.{name}", "is in no partial graph") for name in loose]
        raise RdlError(mistakes)
    placed = {n.id: pip for pip, part in parts.items() for n in part.nodes if n.id not in stubs}
    again = cut(whole, placed, transits)
    differing = [pip for pip in sorted(parts) if again.get(pip) != parts[pip]]
    if differing:
        reason = f"the partial graph of {', '.join(differing)} does not fit the others"
        raise RdlError([_mapping("", reason)])
    return whole


_ENDS = ("0", "1")


def _stubs(
    transit: Transit, pip: str, link: NetworkElement
) -> tuple[list[NetworkElement], list[NetworkInterface]]:
    """The two stubs of a transit in the partial graph of ``pip``, and what joins them."""
    here = transit.pips.index(pip)
    neighbour = transit.pips[1 - here]
    vlan = Feature(VLAN, VlanSet.of(transit.vlans[here]))
    way = NetworkElement(transit.id, TRANSIT, link.resources, (vlan,))
    far = NetworkElement(_stub_of(neighbour), PIP)
    joints = ((transit.link, way.id), (way.id, far.id))
    return [way, far], [
        NetworkInterface(f"{way.id}@{end}", INTERFACE, joint)
        for end, joint in zip(_ENDS, joints, strict=True)
    ]


def _transits_of(pip: str, parts: Mapping[str, Graph]) -> Iterator[Transit]:
    """The transits from ``pip`` to those of the others that come after it."""
    later = {_stub_of(other): other for other in parts if other > pip}
    elements = by_id(parts[pip].elements)
    ends: dict[str, list[str]] = {}
    for interface in parts[pip].interfaces:
        for name in interface.joins:
            if name in elements and elements[name].is_transit:
                ends.setdefault(name, []).append(interface.other(name))
    for name in sorted(ends):
        for stub in later.keys() & set(ends[name]):
            links = [end for end in ends[name] if end != stub]
            here, there = _vlan_of(name, parts[pip]), _vlan_of(name, parts[later[stub]])
            if len(links) == 1 and here:
                yield Transit(links[0], (pip, later[stub]), (here, there or here))


def _vlan_of(transit: str, part: Graph) -> int | None:
    """The one VLAN of a stub; None if it has none there."""
    for element in part.elements:
        if element.id == transit:
            vlans = [f.value for f in element.features if f.attribute == VLAN]
            if len(vlans) == 1 and isinstance(vlans[0], VlanSet):
                return vlans[0].lowest()
    return None


def _united(parts: Mapping[str, Graph], kind: str, without: set[str]) -> tuple[Any, ...]:
    """The objects of all parts, each once. Raises RdlError for one that differs."""
    found: dict[str, Any] = {}
    for pip in sorted(parts):
        for each in getattr(parts[pip], kind):
            if each.id not in without and found.setdefault(each.id, each) != each:
                raise RdlError([_mapping(f"{kind}.{each.id}", f"is another one at {pip}")])
    return tuple(found.values())


def _whole_relations(parts: Mapping[str, Graph]) -> tuple[Relation, ...]:
    found: dict[str, list[Relation]] = {}
    for pip in sorted(parts):
        for relation in parts[pip].relations:
            found.setdefault(relation.id, []).append(relation)
    whole = []
    for pieces in found.values():
        names = tuple(name for piece in pieces for name in piece.elements)
        away = pieces[0].elsewhere - (len(names) - len(pieces[0].elements))
        whole.append(replace(pieces[0], elements=names, elsewhere=max(away, 0)))
    return tuple(whole)


def _is_tree(places: set[str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the pairs join all places, and none of them is too many."""
    joined = {min(places)} if places else set()
    for _ in pairs:
        joined |= {place for pair in pairs if joined & set(pair) for place in pair}
    return joined == places and len(pairs) == max(len(places) - 1, 0)


def _stub_of(pip: str) -> str:
    return f"pip@{pip}"


def _mapping(field: str, reason: str) -> Mistake:
    return Mistake(Kind.MAPPING, field, reason)
