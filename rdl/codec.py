"""Graphs as messages of the wire, and as the bytes that databases keep.

The bytes are the message ``braid.v1.Graph``, all lists in the order of the model: equal graphs have
equal bytes, so that digests and comparisons may use them. What is missing or out of range raises
RdlError, as in YAML, with the field and without a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from braid.v1 import common_pb2, rdl_pb2 as pb
from rdl.checking import checked
from rdl.errors import Kind, Mistake, RdlError
from rdl.limits import LIMITS, Limits
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
    Resource,
    SharedResource,
    Value,
)
from rdl.units import Amount, Unit
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.vlans import VlanSet

_LAYERS = {
    Layer.UNDERLAY: pb.GRAPH_LAYER_UNDERLAY,
    Layer.OVERLAY: pb.GRAPH_LAYER_OVERLAY,
}
_KINDS = {
    RelationKind.SAME: pb.RELATION_KIND_SAME,
    RelationKind.DIFFERENT: pb.RELATION_KIND_DIFFERENT,
}


def to_bytes(graph: Graph) -> bytes:
    """The canonical bytes of a graph."""
    return graph_to_pb(graph).SerializeToString(deterministic=True)


def from_bytes(data: bytes, vocabulary: Vocabulary = STANDARD, limits: Limits = LIMITS) -> Graph:
    """The inverse of to_bytes, and of any message of a Graph. Raises RdlError."""
    if len(data) > limits.size_bytes:
        raise _too_large(limits)
    try:
        message = pb.Graph.FromString(data)
    except DecodeError as error:
        raise RdlError([Mistake(Kind.SYNTAX, "", "is not a message braid.v1.Graph")]) from error
    return graph_from_pb(message, vocabulary, limits)


def graph_to_pb(graph: Graph) -> pb.Graph:
    """A graph as a message."""
    return pb.Graph(
        name=graph.name,
        layer=_LAYERS[graph.layer],
        elements=[
            pb.NetworkElement(
                id=each.id,
                attribute=each.attribute,
                resources=map(_resource_to_pb, each.resources),
                features=map(_feature_to_pb, each.features),
                shares=each.shares,
            )
            for each in graph.elements
        ],
        interfaces=[
            pb.NetworkInterface(
                id=each.id,
                attribute=each.attribute,
                joins=each.joins,
                resources=map(_resource_to_pb, each.resources),
                features=map(_feature_to_pb, each.features),
            )
            for each in graph.interfaces
        ],
        shared=[
            pb.SharedResource(
                id=each.id, attribute=each.attribute, amount=_amount_to_pb(each.amount)
            )
            for each in graph.shared
        ],
        relations=[
            pb.Relation(
                id=each.id,
                kind=_KINDS[each.kind],
                of=each.of,
                elements=each.elements,
                elsewhere=each.elsewhere,
            )
            for each in graph.relations
        ],
    )


def graph_from_pb(
    message: pb.Graph, vocabulary: Vocabulary = STANDARD, limits: Limits = LIMITS
) -> Graph:
    """The inverse of graph_to_pb; lists may come in any order. Raises RdlError."""
    if message.ByteSize() > limits.size_bytes:
        raise _too_large(limits)
    graph = Graph(
        message.name,
        _enum(_LAYERS, message.layer, "layer"),
        tuple(map(_element_from_pb, message.elements)),
        tuple(map(_interface_from_pb, message.interfaces)),
        tuple(map(_shared_from_pb, message.shared)),
        tuple(map(_relation_from_pb, message.relations)),
    )
    return checked(graph, vocabulary, limits)


def _element_from_pb(message: pb.NetworkElement) -> NetworkElement:
    field = f"elements.{message.id}"
    return NetworkElement(
        message.id,
        message.attribute,
        _resources_from_pb(message.resources, field),
        _features_from_pb(message.features, field),
        tuple(message.shares),
    )


def _interface_from_pb(message: pb.NetworkInterface) -> NetworkInterface:
    field = f"interfaces.{message.id}"
    if len(message.joins) != 2:
        reason = f"joins {len(message.joins)} elements; possible: 2"
        raise RdlError([Mistake(Kind.DANGLING, f"{field}.joins", reason)])
    first, second = message.joins
    return NetworkInterface(
        message.id,
        message.attribute,
        (first, second),
        _resources_from_pb(message.resources, field),
        _features_from_pb(message.features, field),
    )


def _shared_from_pb(message: pb.SharedResource) -> SharedResource:
    amount = _amount_from_pb(message.amount, f"shared.{message.id}.amount")
    return SharedResource(message.id, message.attribute, amount)


def _relation_from_pb(message: pb.Relation) -> Relation:
    kind = _enum(_KINDS, message.kind, f"relations.{message.id}.kind")
    return Relation(message.id, kind, message.of, tuple(message.elements), message.elsewhere)


def _resource_to_pb(resource: Resource) -> pb.Resource:
    amount = None if resource.amount is None else _amount_to_pb(resource.amount)
    return pb.Resource(attribute=resource.attribute, amount=amount, by=resource.by)


def _resources_from_pb(messages: Iterable[pb.Resource], field: str) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            each.attribute,
            _amount_from_pb(each.amount, f"{field}.resources.{each.attribute}")
            if each.HasField("amount")
            else None,
            each.by,
        )
        for each in messages
    )


def _feature_to_pb(feature: Feature) -> pb.Feature:
    message = pb.Feature(attribute=feature.attribute, by=feature.by)
    match feature.value:
        case Amount() as amount:
            message.amount.CopyFrom(_amount_to_pb(amount))
        case VlanSet() as vlans:
            ranges = [common_pb2.VlanRange(first=a, last=b) for a, b in vlans.ranges()]
            message.vlans.CopyFrom(pb.Vlans(ranges=ranges))
        case tuple() as words:
            message.words.CopyFrom(pb.Words(words=words))
    return message


def _features_from_pb(messages: Iterable[pb.Feature], field: str) -> tuple[Feature, ...]:
    return tuple(
        Feature(each.attribute, _value_from_pb(each, f"{field}.features.{each.attribute}"), each.by)
        for each in messages
    )


def _value_from_pb(message: pb.Feature, field: str) -> Value | None:
    match message.WhichOneof("value"):
        case "words":
            return tuple(message.words.words)
        case "amount":
            return _amount_from_pb(message.amount, field)
        case "vlans":
            try:
                return VlanSet.from_ranges((r.first, r.last) for r in message.vlans.ranges)
            except ValueError as error:
                raise RdlError([Mistake(Kind.VALUE, field, str(error))]) from error
    return None


def _amount_to_pb(amount: Amount) -> pb.Amount:
    message = pb.Amount()
    setattr(message, amount.unit.name.lower(), amount.value)
    return message


def _amount_from_pb(message: pb.Amount, field: str) -> Amount:
    kind = message.WhichOneof("kind")
    if kind is None:
        units = ", ".join(unit.name.lower() for unit in Unit)
        raise RdlError([Mistake(Kind.AMOUNT, field, f"has no unit; possible: {units}")])
    return Amount(getattr(message, kind), Unit[kind.upper()])


def _too_large(limits: Limits) -> RdlError:
    return RdlError([Mistake(Kind.LIMIT, "", f"is larger than {limits.size_bytes} bytes")])


def _enum(table: dict[Any, Any], number: int, field: str) -> Any:
    for value, known in table.items():
        if known == number:
            return value
    possible = ", ".join(value.value for value in table)
    raise RdlError([Mistake(Kind.SCHEMA, field, f"{number} is not known; possible: {possible}")])
