"""What the processes of a world say now, over gRPC. Everything here raises AioRpcError."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio

from braid.v1 import agent_pb2, reservations_pb2 as pb
from braid.v1.agent_pb2_grpc import DomainAgentStub
from braid.v1.reservations_pb2_grpc import ReservationsStub

PAGE = 500
TIMEOUT_S = 10.0
CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


async def holdings(target: str) -> list[agent_pb2.Holding]:
    """All that an agent holds."""
    found: list[agent_pb2.Holding] = []
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        stub: Any = DomainAgentStub(channel)
        request = agent_pb2.HoldingsRequest(page_size=PAGE)
        while True:
            page: agent_pb2.HoldingsResponse = await stub.Holdings(request, timeout=TIMEOUT_S)
            found += page.holdings
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


async def listed(target: str) -> dict[str, pb.ReservationRecord]:
    """All records that an instance lists, by request_id."""
    found: dict[str, pb.ReservationRecord] = {}
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        stub: Any = ReservationsStub(channel)
        request = pb.ListRequest(page_size=PAGE)
        while True:
            page: pb.ListResponse = await stub.List(request, timeout=TIMEOUT_S)
            found |= {record.criteria.request_id: record for record in page.reservations}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


async def by_request(target: str, ids: Iterable[str]) -> dict[str, pb.ReservationRecord]:
    """The records of these request_ids, without those that an instance does not know."""
    found: dict[str, pb.ReservationRecord] = {}
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        stub: Any = ReservationsStub(channel)
        for request_id in ids:
            try:
                request = pb.GetRequest(request_id=request_id)
                found[request_id] = await stub.Get(request, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
    return found
