"""What is left unsaid, and completing it: from an OL0 graph to an OL1 graph (paper 002, 5.3).

Whoever knows best completes, and each value says by whom. What somebody has said is never changed,
what a relation leaves open is not chosen, what is shared is there, and stubs are another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rdl.attributes import AGGREGATES, NODE, family, is_generic, levels, stem, within
from rdl.matching import show
from rdl.model import Feature, Graph, NetworkElement, NetworkInterface, Relation, Resource, Value
from rdl.relations import open_relations
from rdl.units import Amount, Unit

Property = TypeVar("Property", Resource, Feature)
Holder = TypeVar("Holder", NetworkElement, NetworkInterface)


@dataclass(frozen=True, slots=True)
class Default:
    """A rule: what an element or interface at or below ``of`` has when it does not say.

    Of several rules about one property the one with the longest ``of`` holds, then the first.
    """

    of: str
    has: Resource | Feature


@dataclass(frozen=True, slots=True)
class Completion:
    """One property that was completed; ``field`` as in mistakes. ``said.by`` tells by whom."""

    field: str
    said: Resource | Feature


@dataclass(frozen=True, slots=True)
class Completed:
    """An OL1 graph, and everything in it that the OL0 graph did not say."""

    graph: Graph
    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Unsaid:
    """Something that a graph leaves to others; ``field`` as in mistakes."""

    field: str
    reason: str


DEFAULTS = (
    Default("/node/host", Resource("/resource/cpu", Amount(1000, Unit.COMPUTE_MCORES))),
    Default("/node/host", Resource("/resource/memory", Amount(1 << 30, Unit.DATA_BYTES))),
    Default("/node/host", Resource("/resource/disk", Amount(8 << 30, Unit.DATA_BYTES))),
    Default("/link", Resource("/resource/bandwidth", Amount(10**8, Unit.BANDWIDTH_BPS))),
)
"""Enough for a small machine and a link to it; every party may have rules of its own."""


def complete(graph: Graph, defaults: Sequence[Default], by: str) -> Completed:
    """The overlay graph with what ``defaults`` add to it, in the name of ``by``."""
    found: list[Completion] = []
    elements = []
    undecided: dict[str, set[str]] = {}
    for relation in open_relations(graph):
        for name in relation.elements:
            undecided.setdefault(name, set()).add(relation.of)
    shared = {each.id: each.attribute for each in graph.shared}
    for element in graph.elements:
        left = {shared[name] for name in element.shares} | undecided.get(element.id, set())
        rules = [
            rule
            for rule in _rules(defaults, element.attribute)
            if not any(within(attribute, rule.attribute) for attribute in left)
        ]
        elements.append(_filled(element, f"elements.{element.id}", rules, by, found))
    interfaces = [
        _filled(each, f"interfaces.{each.id}", _rules(defaults, each.attribute), by, found)
        for each in graph.interfaces
    ]
    done = replace(graph, elements=tuple(elements), interfaces=tuple(interfaces))
    return Completed(done, tuple(found))


def unsaid(graph: Graph, defaults: Sequence[Default] = DEFAULTS) -> tuple[Unsaid, ...]:
    """What a graph leaves to others, and what ``defaults`` would make of it; in order of ids."""
    rules = {c.field: _value(c.said) for c in complete(graph, defaults, "").completions}
    found = [each for element in graph.elements for each in _vague_element(element, rules)]
    for interface in graph.interfaces:
        found += _vague_properties(f"interfaces.{interface.id}", interface, rules)
    found += map(_vague_relation, _open(graph))
    told = {each.field for each in found}
    for field, value in rules.items():
        if field not in told:
            found.append(Unsaid(field, f"not said; {show(value)} when nobody knows better"))
    return tuple(sorted(found, key=lambda each: each.field))


def _rules(defaults: Sequence[Default], attribute: str) -> list[Resource | Feature]:
    if attribute in AGGREGATES:
        return []
    held = [default for default in defaults if within(stem(attribute), default.of)]
    return [each.has for each in sorted(held, key=lambda each: -len(levels(each.of)))]


def _filled(
    holder: Holder,
    field: str,
    rules: Sequence[Resource | Feature],
    by: str,
    found: list[Completion],
) -> Holder:
    resources = _added(holder.resources, [r for r in rules if isinstance(r, Resource)], by)
    features = _added(holder.features, [r for r in rules if isinstance(r, Feature)], by)
    found += [Completion(f"{field}.resources.{each.attribute}", each) for each in resources]
    found += [Completion(f"{field}.features.{each.attribute}", each) for each in features]
    return replace(
        holder,
        resources=_with(holder.resources, resources),
        features=_with(holder.features, features),
    )


def _added(said: Sequence[Property], rules: Sequence[Property], by: str) -> list[Property]:
    added: list[Property] = []
    for rule in rules:
        done = {each.attribute for each in added}
        about = [each for each in (*said, *added) if within(each.attribute, rule.attribute)]
        vague = [each.attribute for each in about if _value(each) is None]
        for attribute in vague if about else [rule.attribute]:
            if attribute not in done:
                added.append(replace(rule, attribute=attribute, by=by))
    return added


def _with(said: Sequence[Property], added: Sequence[Property]) -> tuple[Property, ...]:
    done = {each.attribute for each in added}
    kept: list[Property] = [each for each in said if each.attribute not in done]
    return tuple(kept) + tuple(added)


def _vague_element(element: NetworkElement, rules: dict[str, Value | None]) -> Iterator[Unsaid]:
    field = f"elements.{element.id}"
    if is_generic(element.attribute):
        kind = "node" if element.is_node else "link"
        reason = f"any {stem(element.attribute)}: which kind of {kind} is left to others"
        yield Unsaid(f"{field}.attribute", reason)
    yield from _vague_properties(field, element, rules)


def _vague_properties(
    field: str, holder: NetworkElement | NetworkInterface, rules: dict[str, Value | None]
) -> Iterator[Unsaid]:
    for resource in holder.resources:
        if resource.amount is None:
            inner = f"{field}.resources.{resource.attribute}"
            yield Unsaid(inner, f"any amount{_otherwise(rules.get(inner))}")
    for feature in holder.features:
        inner = f"{field}.features.{feature.attribute}"
        if feature.value is None:
            yield Unsaid(inner, f"any value{_otherwise(rules.get(inner))}")
        elif isinstance(feature.value, tuple) and len(feature.value) > 1:
            yield Unsaid(inner, f"any of {', '.join(feature.value)}")


def _vague_relation(relation: Relation) -> Unsaid:
    names = ", ".join(relation.elements)
    more = f" and {relation.elsewhere} elsewhere" if relation.elsewhere else ""
    reason = f"{relation.kind.value} {relation.of} of {names}{more}: not decided"
    return Unsaid(f"relations.{relation.id}", reason)


def _open(graph: Graph) -> list[Relation]:
    about_hosts = [relation for relation in graph.relations if family(relation.of) == NODE]
    return [*about_hosts, *open_relations(graph)]


def _otherwise(value: Value | None) -> str:
    return "" if value is None else f"; {show(value)} when nobody knows better"


def _value(said: Resource | Feature) -> Value | None:
    return said.amount if isinstance(said, Resource) else said.value
