"""Relations over several providers: the VNP picks a value that all concerned may have.

Who tells nothing may have any value that somebody else has told. A provider that has all elements
of a relation settles it itself, and knows better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cloudnets.asked import nodes_at
from cloudnets.providers import Providers
from rdl.errors import RdlError
from rdl.model import Feature, Graph, NetworkElement, Relation, RelationKind, by_id
from rdl.relations import conflicts, decide, open_relations, settle, words_of
from substrate.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Undecided:
    """A relation for which there is no value where its elements are.

    ``told``: the words known of it, from elements and all providers; none: nobody tells any.
    """

    relation: Relation
    told: tuple[str, ...]


def decided(
    graph: Graph, placed: Mapping[str, str], providers: Providers, by: str, asked: Graph
) -> Graph | Undecided:
    """The graph with values for all relations over several providers, as ``by`` picks them.

    ``asked``: the graph before anything more was said of it: who tells nothing may still have a
    value that is told there alone.
    """
    at = _places(graph, placed)
    for relation in open_relations(graph):
        places = set().union(*(at[name] for name in relation.elements))
        if len(places) < 2 and not relation.elsewhere:
            continue
        domains = _domains(graph, relation, at, providers)
        known = _known(asked, relation, providers)
        told = {name: known if words is None else words for name, words in domains.items()}
        try:
            said = decide(graph, relation.id, settle(relation, told), by)
            broken = [*conflicts(said)]
            if broken:
                raise RdlError(broken)
            graph = said
        except RdlError:
            if len(places) > 1:
                return Undecided(relation, known)
    return graph


def narrowed(graph: Graph, undecided: Undecided, by: str) -> Iterator[Graph]:
    """Graphs of which each says more, so that together they leave out nothing: for one of its
    elements, or for all, each of the values that it might have. None that contradicts itself."""
    for said in _saying_more(graph, undecided, by):
        if not any(conflicts(said)):
            yield said


def _saying_more(graph: Graph, undecided: Undecided, by: str) -> Iterator[Graph]:
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    relation = undecided.relation
    said = {name: words_of(elements[name], relation.of) for name in relation.elements}
    if relation.kind is RelationKind.SAME:
        for word in undecided.told:
            if all(words is None or word in words for words in said.values()):
                yield _saying(graph, relation.of, dict.fromkeys(relation.elements, word), by)
        return
    open_ = [name for name, words in said.items() if words is None or len(words) > 1]
    for name in open_[:1]:
        for word in said[name] or undecided.told:
            yield _saying(graph, relation.of, {name: word}, by)


def _saying(graph: Graph, feature: str, values: Mapping[str, str], by: str) -> Graph:
    elements = []
    for element in graph.elements:
        if element.id in values and words_of(element, feature) != (values[element.id],):
            others = tuple(f for f in element.features if f.attribute != feature)
            said = Feature(feature, (values[element.id],), by)
            element = replace(element, features=(*others, said))
        elements.append(element)
    return replace(graph, elements=tuple(elements))


def _known(graph: Graph, relation: Relation, providers: Providers) -> tuple[str, ...]:
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    said = [words_of(elements[name], relation.of) for name in relation.elements]
    told = [providers.told(pip, relation.of) for pip in providers.names]
    return tuple(sorted({word for words in (*said, *told) for word in words or ()}))


def _places(graph: Graph, placed: Mapping[str, str]) -> dict[str, set[str]]:
    """The providers of each element: of a link, those at its ends."""
    at = {link: {placed[node] for node in nodes} for link, nodes in nodes_at(graph).items()}
    return at | {node: {pip} for node, pip in placed.items()}


def _domains(
    graph: Graph, relation: Relation, at: Mapping[str, set[str]], providers: Providers
) -> dict[str, list[str] | None]:
    """What each element may be: what it says, and all its providers tell; None: anything."""
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    found: dict[str, list[str] | None] = {}
    for name in relation.elements:
        limits = [providers.told(pip, relation.of) for pip in sorted(at[name])]
        said = words_of(elements[name], relation.of)
        known = [limit for limit in (*limits, None if said is None else frozenset(said)) if limit]
        found[name] = sorted(frozenset.intersection(*known)) if known else None
    return found
