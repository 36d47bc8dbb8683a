"""Graphs as YAML, in the form that :mod:`rdl.reading` reads; equal graphs give the same text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from rdl.checking import ANY
from rdl.model import Feature, Graph, NetworkElement, NetworkInterface, Relation, Resource
from rdl.reading import VERSION


def write(graph: Graph) -> str:
    """The text of a graph; reading it gives the graph again."""
    value: dict[str, Any] = {
        "rdl": int(VERSION),
        "name": graph.name,
        "layer": graph.layer.value,
        "elements": {each.id: _element(each) for each in graph.elements},
    }
    shared = {s.id: {"attribute": s.attribute, "amount": str(s.amount)} for s in graph.shared}
    value |= _unless_empty(
        interfaces={each.id: _interface(each) for each in graph.interfaces},
        shared=shared,
        relations={each.id: _relation(each) for each in graph.relations},
    )
    text: str = yaml.safe_dump(
        value, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    return text


def _element(element: NetworkElement) -> dict[str, Any]:
    properties = _properties(element.resources, element.features)
    return {
        "attribute": element.attribute,
        **properties,
        **_unless_empty(shares=list(element.shares)),
    }


def _interface(interface: NetworkInterface) -> dict[str, Any]:
    properties = _properties(interface.resources, interface.features)
    return {"attribute": interface.attribute, "joins": list(interface.joins), **properties}


def _relation(relation: Relation) -> dict[str, Any]:
    value = {relation.kind.value: relation.of, "elements": list(relation.elements)}
    return value | _unless_empty(elsewhere=relation.elsewhere)


def _properties(resources: Sequence[Resource], features: Sequence[Feature]) -> dict[str, Any]:
    amounts = {r.attribute: _said("amount", str(r.amount or ANY), r.by) for r in resources}
    values = {f.attribute: _said("value", _value(f), f.by) for f in features}
    return _unless_empty(resources=amounts, features=values)


def _value(feature: Feature) -> str | list[str]:
    if feature.value is None:
        return ANY
    if isinstance(feature.value, tuple):
        return feature.value[0] if len(feature.value) == 1 else list(feature.value)
    return str(feature.value)


def _said(key: str, value: str | list[str], by: str) -> Any:
    return {key: value, "by": by} if by else value


def _unless_empty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
