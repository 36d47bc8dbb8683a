"""Relations: what cannot be fulfilled, and how providers agree on what is left open.

A VNP that would choose "both x86_64" itself, knowing little of the providers, would be specific
without need (paper 002, section 2.3). So the relation goes to every provider concerned under one
id. Each tells what it could do (``choices``), one of all is picked (``settle``) and written down
(``decide``). Relations are settled one after the other, each decided before the next is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from rdl.attributes import FEATURE, NODE, family, matches, stem, within
from rdl.errors import Kind, Mistake, RdlError
from rdl.matching import misfits
from rdl.model import Feature, Graph, NetworkElement, Relation, RelationKind, Words, by_id
from rdl.vocabulary import STANDARD, Vocabulary

VALUES_MAX = 20_000
"""Values of all elements in all relations; to compare them costs more than to read them."""


def words_of(element: NetworkElement, feature: str) -> Words | None:
    """The words that an element says of a feature; None: nothing, or any."""
    for each in element.features:
        if each.attribute == feature and isinstance(each.value, tuple):
            return each.value
    return None


def open_relations(graph: Graph) -> list[Relation]:
    """Those for which a value is still to be chosen. What is about hosts the mapping decides."""
    elements = by_id(graph.elements)
    found = []
    for relation in graph.relations:
        said = [words_of(elements[name], relation.of) for name in relation.elements]
        decided = all(words is not None and len(words) == 1 for words in said)
        if family(relation.of) == FEATURE and not decided:
            found.append(relation)
    return found


def choices(
    graph: Graph, relation: Relation, substrate: Graph, vocabulary: Vocabulary = STANDARD
) -> dict[str, Words]:
    """What a provider could give each element of a relation that it has in its partial graph.

    For each element the values of the elements of ``substrate`` on which it fits, the most frequent
    first: that is the order of preference. An empty one: no element of the substrate will do.
    """
    elements = by_id(graph.elements)
    found = {}
    for name in relation.elements:
        element, counted = elements[name], Counter[str]()
        for offered in substrate.elements:
            if not misfits(element, offered, substrate, vocabulary):
                counted.update(_offered(offered, relation.of))
        said = words_of(element, relation.of)
        possible = [word for word in counted if said is None or word in said]
        found[name] = tuple(sorted(possible, key=lambda word: (-counted[word], word)))
    return found


def settle(relation: Relation, told: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """One value for every element, from what all providers told of theirs. Raises RdlError.

    The same for all: the one that the providers together like best; or each another one.
    """
    if relation.kind is RelationKind.DIFFERENT:
        apart = _all_different(told)
        if apart is not None:
            return apart
    else:
        common = set.intersection(*(set(words) for words in told.values()))
        if common:
            best = min(common, key=lambda w: (sum(words.index(w) for words in told.values()), w))
            return dict.fromkeys(sorted(told), best)
    raise RdlError([_impossible(relation, told)])


def decide(graph: Graph, relation_id: str, values: Mapping[str, str], by: str) -> Graph:
    """The graph with the values that ``by`` settled for its elements of a relation.

    Raises RdlError when an element says something else.
    """
    relation: Relation = by_id(graph.relations)[relation_id]
    elements = []
    for element in graph.elements:
        if element.id in relation.elements:
            value, said = values[element.id], words_of(element, relation.of)
            if said is not None and value not in said:
                raise RdlError([_impossible(relation, {element.id: said, "settled": (value,)})])
            if said != (value,):
                others = tuple(f for f in element.features if f.attribute != relation.of)
                decided = Feature(relation.of, (value,), by)
                element = replace(element, features=(*others, decided))
        elements.append(element)
    return replace(graph, elements=tuple(elements))


def conflicts(graph: Graph) -> Iterator[Mistake]:
    """Relations that nothing can fulfil, alone or together with others about the same.

    All elements of the relations must be in the graph.
    """
    elements = by_id(graph.elements)
    count = sum(
        len(words_of(elements[name], relation.of) or ())
        for relation in graph.relations
        for name in relation.elements
    )
    if count > VALUES_MAX:
        reason = f"all relations together have {count} values to compare; possible: {VALUES_MAX}"
        yield Mistake(Kind.LIMIT, "relations", reason)
        return
    for of in sorted({relation.of for relation in graph.relations}):
        relations = [relation for relation in graph.relations if relation.of == of]
        alike = [relation for relation in relations if relation.kind is RelationKind.SAME]
        groups = _groups(alike)
        seen: set[str] = set()
        for relation in reversed(alike):
            group = groups[relation.elements[0]]
            if min(group) not in seen and not _can_agree([elements[name] for name in group], of):
                yield _impossible(relation, _said(elements, sorted(group), of))
            seen.add(min(group))
        for relation in relations:
            if relation.kind is RelationKind.DIFFERENT:
                yield from _cannot_differ(relation, groups, elements)


def _groups(alike: Sequence[Relation]) -> dict[str, set[str]]:
    """For each element all those with which it must be the same."""
    groups: dict[str, set[str]] = {}
    for relation in alike:
        union = set(relation.elements)
        union = union.union(*(groups.get(name, {name}) for name in relation.elements))
        groups |= dict.fromkeys(union, union)
    return groups


def _cannot_differ(
    relation: Relation, groups: Mapping[str, set[str]], elements: Mapping[str, NetworkElement]
) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for name in relation.elements:
        leader = min(groups.get(name, {name}))
        if leader in first:
            reason = f"{first[leader]} and {name} must be the same by another relation"
            yield Mistake(Kind.RELATION, f"relations.{relation.id}", reason)
            return
        first[leader] = name
    said = _said(elements, relation.elements, relation.of)
    if family(relation.of) == FEATURE and _all_different(said) is None:
        yield _impossible(relation, said)


def _can_agree(elements: Sequence[NetworkElement], of: str) -> bool:
    if family(of) == FEATURE:
        said = [set(words) for element in elements if (words := words_of(element, of)) is not None]
        return not said or bool(set.intersection(*said))
    shortest_first = sorted((stem(element.attribute) for element in elements), key=len)
    return all(within(longer, shorter) for shorter, longer in pairwise(shortest_first))


def _said(
    elements: Mapping[str, NetworkElement], names: Sequence[str], of: str
) -> dict[str, Sequence[str]]:
    if family(of) == NODE:
        return {name: (elements[name].attribute,) for name in names}
    said = {name: words_of(elements[name], of) for name in names}
    return {name: words for name, words in said.items() if words is not None}


def _offered(element: NetworkElement, feature: str) -> set[str]:
    values = [f.value for f in element.features if matches(feature, f.attribute)]
    return {word for value in values if isinstance(value, tuple) for word in value}


def _all_different(told: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """A value for each that no other has (bipartite matching by augmenting ways), or None."""
    holder: dict[str, str] = {}

    def place(name: str, tried: set[str]) -> bool:
        for word in told[name]:
            if word not in tried:
                tried.add(word)
                if word not in holder or place(holder[word], tried):
                    holder[word] = name
                    return True
        return False

    if not all(place(name, set()) for name in sorted(told)):
        return None
    return {name: word for word, name in sorted(holder.items(), key=lambda item: item[1])}


def _impossible(relation: Relation, said: Mapping[str, Sequence[str]]) -> Mistake:
    shown = ", ".join(f"{name} {' or '.join(words) or 'nothing'}" for name, words in said.items())
    reason = f"{relation.of} cannot be {relation.kind.value}: {shown}"
    return Mistake(Kind.RELATION, f"relations.{relation.id}", reason)
