"""The command beside an orchestrator, or an agent, that runs CloudNets in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from braid.cloudnets import cloudnet
from braid.v1 import rdl_pb2, reservations_pb2 as pb
from commands import mapping
from rdl.codec import graph_to_pb
from rdl.reading import read
from tests.braid.fake_cloudnets import PROOF, circuits, placed

EXAMPLES = Path(__file__).parents[2] / "docs" / "rdl"
PAIR = EXAMPLES / "pair.yaml"
OVERLAYS = (
    *("pair", "shop", "apart", "replicas", "terminals", "vague", "completed"),
    *("same-architecture", "pair-at-berlin", "pair-at-munich"),
)


def example(name: str) -> rdl_pb2.Graph:
    """One of docs/rdl."""
    return graph_to_pb(read((EXAMPLES / f"{name}.yaml").read_bytes()).graph)


def planned(graph: rdl_pb2.Graph, at: Mapping[str, str] | None = None) -> mapping.Mapping:
    """As the fake orchestrator would map it."""
    asked = cloudnet(graph, at=at)
    vnodes = [pb.VNodePlacement(vnode=v, domain=d) for v, d in placed(asked).items()]
    answer = pb.PlanResponse(vnodes=vnodes, paths=circuits(asked), proof=PROOF)
    return mapping.of_plan(answer, asked)


def network(nodes: int, links: list[tuple[int, int]]) -> rdl_pb2.Graph:
    """An overlay of so many nodes, with these links of 1 Gb/s."""
    graph = rdl_pb2.Graph(name="drawn", layer=rdl_pb2.GRAPH_LAYER_OVERLAY)
    for number in range(nodes):
        graph.elements.add(id=f"n{number}", attribute="/node/host/generic")
    for number, ends in enumerate(links):
        link = graph.elements.add(id=f"l{number}", attribute="/link/generic")
        amount = link.resources.add(attribute="/resource/bandwidth").amount
        amount.bandwidth_bps = 10**9
        for end in ends:
            graph.interfaces.add(id=f"l{number}-{end}", joins=[f"n{end}", link.id])
    return graph
