"""A substrate, and requests with arrival and lifetime, as a JSON file that any system can replay.

    {"p": {"n": 3, "cpu": [90, 80, 70], "edges": [[0, 1, 60], [1, 2, 50]]},
     "v": [{"n": 2, "cpu": [10, 5], "edges": [[0, 1, 20]], "arrival": 8, "lifetime": 85}]}

``p``: hosts with their CPU, and links as [a, b, bandwidth], nodes counted from 0. ``v``: requests
in the same form. No two VNodes of a request share a host, and no VLink is split. Other keys are
not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from embedding.model import Host, Link, ModelError, Request, Substrate, VLink, VNode
from runtime.settings import SettingsError, validate
from simulations.importer import read_json

NODES_MAX = 500
VNODES_MAX = 50
REQUESTS_MAX = 100_000
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request at a time, and how long it stays when it is embedded."""

    request: Request
    time: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests in order of arrival."""

    name: str
    substrate: Substrate
    arrivals: tuple[Arrival, ...]


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Edge = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Amount]


class _Graph(BaseModel):
    model_config = ConfigDict(strict=False, frozen=True)

    n: int = Field(ge=1)
    cpu: tuple[Amount, ...]
    edges: tuple[Edge, ...]


class _Substrate(_Graph):
    n: int = Field(ge=1, le=NODES_MAX)


class _Request(_Graph):
    n: int = Field(ge=1, le=VNODES_MAX)
    arrival: Amount
    lifetime: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Scenario(BaseModel):
    p: _Substrate
    v: tuple[_Request, ...] = Field(min_length=1, max_length=REQUESTS_MAX)


def read_scenario(file: Path) -> Scenario:
    """The scenario in a file. Raises SettingsError with the line or the field that is wrong."""
    found = validate(_Scenario, read_json(file), str(file))
    _check(found.p, f"{file}: p")
    for i, request in enumerate(found.v):
        _check(request, f"{file}: v.{i}")
    arrivals = [
        Arrival(graph_request(request.cpu, request.edges), request.arrival, request.lifetime)
        for request in found.v
    ]
    arrivals.sort(key=lambda arrival: arrival.time)
    try:
        return Scenario(file.stem, graph_substrate(found.p.cpu, found.p.edges), tuple(arrivals))
    except ModelError as error:
        raise SettingsError(f"{file}: {error}") from error


def _check(graph: _Graph, where: str) -> None:
    if len(graph.cpu) != graph.n:
        raise SettingsError(f"{where}.cpu: given {len(graph.cpu)} amounts, n is {graph.n}")
    seen: dict[tuple[int, int], int] = {}
    for i, (a, b, _) in enumerate(graph.edges):
        for end in (a, b):
            if end >= graph.n:
                raise SettingsError(
                    f"{where}.edges.{i}: no node {end}, possible: 0 to {graph.n - 1}"
                )
        if a == b:
            raise SettingsError(f"{where}.edges.{i}: both ends are {a}")
        pair = (min(a, b), max(a, b))
        if pair in seen:
            raise SettingsError(
                f"{where}.edges.{i}: {a} and {b} are joined by edge {seen[pair]} too"
            )
        seen[pair] = i


Edges = Sequence[tuple[int, int, float]]


def graph_substrate(cpu: Sequence[float], edges: Edges) -> Substrate:
    """Every node a host."""
    hosts = tuple(Host(f"n{i}", {CPU: amount}) for i, amount in enumerate(cpu))
    return Substrate(hosts, tuple(Link(f"n{a}", f"n{b}", bandwidth) for a, b, bandwidth in edges))


def graph_request(cpu: Sequence[float], edges: Edges) -> Request:
    """One host per VNode, one path per VLink."""
    vnodes = tuple(VNode(f"v{i}", {CPU: amount}) for i, amount in enumerate(cpu))
    vlinks = tuple(VLink(f"v{a}", f"v{b}", bandwidth) for a, b, bandwidth in edges)
    return Request(vnodes, vlinks)
