"""Wrong requests over gRPC: code, field, details that programs can read; nothing is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from world import G, World, diamond, world

from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2

CODE = grpc.StatusCode


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, diamond(middle=1), negotiations_max=2) as made:
        yield made


async def refused(call: Any, code: grpc.StatusCode, field: str = "") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is code, caught.value.details()
    assert field in str(caught.value.details())
    return caught.value


async def test_a_wrong_field_is_told_in_words_and_in_details(w: World) -> None:
    error = await refused(
        w.reservations.Reserve(w.request(0)), CODE.INVALID_ARGUMENT, "bandwidth_bps"
    )
    call: Any = error
    status = rpc_status.from_call(call)
    assert status is not None
    kinds = {detail.TypeName() for detail in status.details}
    assert kinds == {"google.rpc.BadRequest", "google.rpc.ErrorInfo"}
    bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(bad) or detail.Unpack(info)
    assert bad.field_violations[0].field == "bandwidth_bps"
    assert info.metadata["given"] == "0"
    assert info.metadata["possible"]


async def test_each_call_refuses_what_it_cannot_serve(w: World) -> None:
    r, t = w.reservations, w.topology
    window = common_pb2.Window(start_s=10, end_s=5)
    for call, code, field in (
        (r.Get(pb.GetRequest()), CODE.INVALID_ARGUMENT, "reservation_id"),
        (
            r.Get(pb.GetRequest(reservation_id="a", request_id="b")),
            CODE.INVALID_ARGUMENT,
            "reservation_id",
        ),
        (r.Get(pb.GetRequest(reservation_id="nobody")), CODE.NOT_FOUND, "reservation_id"),
        (r.Get(pb.GetRequest(request_id="nobody")), CODE.NOT_FOUND, "request_id"),
        (r.Get(pb.GetRequest(request_id="a/b")), CODE.INVALID_ARGUMENT, "request_id"),
        (r.Cancel(pb.CancelRequest()), CODE.INVALID_ARGUMENT, "reservation_id"),
        (r.Cancel(pb.CancelRequest(reservation_id="x")), CODE.NOT_FOUND, "reservation_id"),
        (r.List(pb.ListRequest(page_size=0)), CODE.INVALID_ARGUMENT, "page_size"),
        (r.List(pb.ListRequest(page_size=1001)), CODE.INVALID_ARGUMENT, "page_size"),
        (r.List(pb.ListRequest(page_token="x")), CODE.INVALID_ARGUMENT, "page_token"),
        (r.List(pb.ListRequest(states=[99])), CODE.INVALID_ARGUMENT, "states"),  # type: ignore[list-item]
        (
            r.Modify(pb.ModifyRequest(request_id="m", reservation_id="x", bandwidth_bps=1)),
            CODE.NOT_FOUND,
            "reservation_id",
        ),
        (
            r.Modify(pb.ModifyRequest(request_id="", reservation_id="x", bandwidth_bps=1)),
            CODE.INVALID_ARGUMENT,
            "request_id",
        ),
        (r.Plan(w.request(-1)), CODE.INVALID_ARGUMENT, "bandwidth_bps"),
        (
            t.Register(topology_pb2.RegisterRequest(domain="a b", target="x:1")),
            CODE.INVALID_ARGUMENT,
            "domain",
        ),
        (
            t.Register(topology_pb2.RegisterRequest(domain="a", target="x")),
            CODE.INVALID_ARGUMENT,
            "target",
        ),
        (t.Unregister(topology_pb2.UnregisterRequest(domain="a")), CODE.NOT_FOUND, "domain"),
        (
            t.Availability(
                topology_pb2.AvailabilityRequest(
                    ingress_stp="m1:west", egress_stp="m1:east", window=window
                )
            ),
            CODE.INVALID_ARGUMENT,
            "window.end_s",
        ),
        (
            t.Availability(
                topology_pb2.AvailabilityRequest(ingress_stp="m1:west", egress_stp="no:where")
            ),
            CODE.NOT_FOUND,
            "egress_stp",
        ),
    ):
        await refused(call, code, field)
    assert await w.held() == {}


async def test_watching_what_is_not_there_ends_with_a_status(w: World) -> None:
    async def drain(request: pb.WatchRequest) -> None:
        async for _ in w.reservations.Watch(request):
            pass

    unknown = pb.WatchRequest(reservation_id="nobody")
    await refused(drain(unknown), CODE.NOT_FOUND, "reservation_id")
    all_decided = pb.WatchRequest(until_decided=True)
    await refused(drain(all_decided), CODE.INVALID_ARGUMENT, "reservation_id")


async def test_more_negotiations_than_it_takes_are_refused_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1), negotiations_max=2) as made:
        outcomes = await asyncio.gather(
            *(made.reserve(1 * G) for _ in range(12)), return_exceptions=True
        )
        errors = [item for item in outcomes if isinstance(item, grpc.aio.AioRpcError)]
        assert errors
        assert {error.code() for error in errors} == {CODE.RESOURCE_EXHAUSTED}
        assert any(isinstance(item, pb.ReservationRecord) for item in outcomes)
        later = await made.reserve(1 * G)
        assert later.state == pb.RESERVATION_STATE_COMMITTED


async def test_a_message_that_is_too_large_is_refused(w: World) -> None:
    huge = w.request(1 * G, description="x" * (5 << 20))
    await refused(w.reservations.Reserve(huge), CODE.RESOURCE_EXHAUSTED)


async def test_a_finished_reservation_cannot_be_changed(w: World) -> None:
    record = await w.reserve(1 * G)
    await w.cancel(record.reservation_id)
    change = pb.ModifyRequest(
        request_id="late", reservation_id=record.reservation_id, bandwidth_bps=2 * G
    )
    await refused(w.reservations.Modify(change), CODE.FAILED_PRECONDITION, "CANCELLED")
    failed = await w.reserve(900 * G)
    assert failed.state == pb.RESERVATION_STATE_FAILED
    again = pb.CancelRequest(reservation_id=failed.reservation_id)
    await refused(w.reservations.Cancel(again), CODE.FAILED_PRECONDITION, "FAILED")


async def test_a_request_id_serves_one_kind_of_request(w: World) -> None:
    record = await w.reserve(1 * G)
    change = pb.ModifyRequest(
        request_id=record.criteria.request_id,
        reservation_id=record.reservation_id,
        bandwidth_bps=2 * G,
    )
    await refused(w.reservations.Modify(change), CODE.ALREADY_EXISTS, "request_id")


async def test_health_and_reflection_are_served_by_orchestrator_and_agents(w: World) -> None:
    for target, service in (
        (w.target, "braid.v1.Reservations"),
        (w.target, "braid.v1.Topology"),
        (w.agents["m1"].address, "braid.v1.DomainAgent"),
    ):
        async with grpc.aio.insecure_channel(target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

        def names(target: str = target) -> list[str]:
            with grpc.insecure_channel(target) as channel:
                database = ProtoReflectionDescriptorDatabase(channel)
                return list(database.get_services())

        assert service in await asyncio.to_thread(names)
