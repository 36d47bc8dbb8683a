"""Whether an element that is asked for fits on an element of a substrate, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rdl.attributes import AGGREGATES, PIP, matches, within
from rdl.largest import KINDS, largest_feature, may_be
from rdl.model import Feature, Graph, NetworkElement, Value
from rdl.prices import amount_told
from rdl.units import Amount
from rdl.vocabulary import STANDARD, FeatureKind, Meaning, Vocabulary
from substrate.vlans import VlanSet


class Misfit(NamedTuple):
    """``attribute``: what is asked for and is not there; ``why``: the sentence."""

    attribute: str
    why: str

    def __str__(self) -> str:
        return self.why


def misfits(
    asked: NetworkElement,
    offered: NetworkElement,
    substrate: Graph,
    vocabulary: Vocabulary = STANDARD,
) -> tuple[Misfit, ...]:
    """Why ``asked`` cannot be mapped on ``offered``, an element of ``substrate``; empty: it can.

    The attribute must match. Of each resource the amounts that match must be enough together,
    shared ones included; of each feature one that matches must be as asked. What is asked as *any*
    amount must be there, *any* value is no condition. What a substrate does not say it does not
    have; only an aggregate (a whole provider, a transit link) may have features that are not told,
    and tells amounts by type alone: ``/resource/disk/ssd`` is looked for in ``/resource/disk``.
    Where a provider tells of which kinds its hosts are, one of them must do, and where it tells how
    much one VNode can have, that counts.
    """
    if not matches(asked.attribute, offered.attribute):
        why = f"{asked.attribute} does not map on {offered.attribute}"
        return (Misfit(asked.attribute, why),)
    kinds = kinds_told(offered) if _on_host(asked, offered) else None
    if kinds is not None and not may_be(asked.attribute, kinds):
        why = f"{asked.attribute} does not map on its hosts: {', '.join(sorted(kinds))}"
        return (Misfit(asked.attribute, why),)
    short = _short_of(asked, offered, substrate, vocabulary)
    return (*short, *_unlike(asked, offered, vocabulary))


def kinds_told(element: NetworkElement) -> frozenset[str] | None:
    """Of which kinds hosts are that an aggregate hides; None: it does not tell."""
    told = [f.value for f in element.features if f.attribute == KINDS]
    return frozenset(w for some in told if isinstance(some, tuple) for w in some) if told else None


def _on_host(asked: NetworkElement, offered: NetworkElement) -> bool:
    """Whether it is a node that would be on one host inside a provider."""
    return offered.attribute == PIP and asked.is_node and not within(asked.attribute, PIP)


def amounts_of(element: NetworkElement, graph: Graph) -> list[tuple[str, Amount]]:
    """The amounts of an element of ``graph``, its own and those it has a part in, by attribute."""
    own = [(r.attribute, r.amount) for r in element.resources if r.amount is not None]
    shared = [(s.attribute, s.amount) for s in graph.shared if s.id in element.shares]
    return own + shared


def _short_of(
    asked: NetworkElement, offered: NetworkElement, substrate: Graph, vocabulary: Vocabulary
) -> Iterator[Misfit]:
    has = amounts_of(offered, substrate)
    for resource in asked.resources:
        wanted = resource.attribute
        if offered.attribute in AGGREGATES:
            wanted = vocabulary.type_of(wanted)
        found = [amount for attribute, amount in has if matches(wanted, attribute)]
        total = sum(amount.value for amount in found)
        if not found:
            yield _misfit(resource.attribute, "has none")
        elif resource.amount is not None and resource.amount.value > total:
            there = Amount(total, resource.amount.unit)
            yield _misfit(resource.attribute, f"asked {resource.amount}, has {there}")
        elif resource.amount is not None and _on_host(asked, offered):
            most = amount_told(offered, largest_feature(wanted))
            if most is not None and resource.amount.value > most:
                there = Amount(most, resource.amount.unit)
                yield _misfit(resource.attribute, f"asked {resource.amount}, has {there} for one")


def _unlike(
    asked: NetworkElement, offered: NetworkElement, vocabulary: Vocabulary
) -> Iterator[Misfit]:
    for feature in asked.features:
        kind = vocabulary.kind_of(feature.attribute)
        if feature.value is None or kind == FeatureKind(Meaning.GIVEN):
            continue
        found = [f for f in offered.features if matches(feature.attribute, f.attribute)]
        if not found:
            if offered.attribute not in AGGREGATES:
                yield _misfit(feature.attribute, f"asked {show(feature.value)}, not told")
        elif not any(_serves(feature, each, kind) for each in found):
            told = ", ".join(show(each.value) for each in found)
            yield _misfit(feature.attribute, f"asked {show(feature.value)}, is {told}")


def _misfit(attribute: str, why: str) -> Misfit:
    return Misfit(attribute, f"{attribute}: {why}")


def _serves(asked: Feature, offered: Feature, kind: FeatureKind | None) -> bool:
    match asked.value, offered.value:
        case Amount(value=limit), Amount(value=has):
            at_most = kind is not None and kind.meaning is Meaning.AT_MOST
            return has <= limit if at_most else has >= limit
        case VlanSet() as wanted, VlanSet() as free:
            return bool(wanted & free)
        case tuple() as wanted, tuple() as told:
            return bool(set(wanted) & set(told))
    return False


def show(value: Value | None) -> str:
    """A value as people write it."""
    if value is None:
        return "any"
    return " or ".join(value) if isinstance(value, tuple) else str(value)
