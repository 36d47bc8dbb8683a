"""Too much at once, and agents that are connected but silent: over real gRPC."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner, Result
from world import G, World, diamond, eventually, world

from braid.client import AsyncClient, Refused
from braid.v1 import reservations_pb2 as pb, topology_pb2
from commands.main import app

ROUTE = ("west:host", "east:host")
WHEN = {"start": "+1h", "duration": "1h"}


def retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    """What google.rpc.RetryInfo in the details of a failed call says."""
    call: Any = error
    status, info = rpc_status.from_call(call), error_details_pb2.RetryInfo()
    assert status is not None
    return next((info.retry_delay.ToSeconds() for d in status.details if d.Unpack(info)), None)


def silent(*_: object) -> asyncio.Task[None]:
    """Hears everything, and answers nothing."""
    return asyncio.create_task(asyncio.sleep(0))


async def test_a_full_orchestrator_says_when_to_ask_again(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1), negotiations_max=1) as made:
        outcomes = await asyncio.gather(
            *(made.reserve(1 * G) for _ in range(6)), return_exceptions=True
        )
        errors = [item for item in outcomes if isinstance(item, grpc.aio.AioRpcError)]
        assert errors
        for error in errors:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "negotiations: given 2, possible: 1 at once" in str(error.details())
            assert retry_delay_s(error) == 1
        records = [item for item in outcomes if isinstance(item, pb.ReservationRecord)]
        assert len(records) + len(errors) == len(outcomes)
        assert {record.state for record in records} == {pb.RESERVATION_STATE_COMMITTED}
        assert len((await made.reservations.List(pb.ListRequest())).reservations) == len(records)


async def test_what_is_beyond_the_bound_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(
        tmp_path, diamond(middle=1), negotiations_max=4, offers_timeout_s=30, prepare_timeout_s=30
    ) as made:
        monkeypatch.setattr(made.agents["m1"].agent, "receive", silent)
        for _ in range(4):
            await made.reserve(1 * G, detach=True)
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(made.reserve(1 * G) for _ in range(50)), return_exceptions=True
        )
        assert time.monotonic() - began < 5
        for error in outcomes:
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert retry_delay_s(error) == 1
        assert len((await made.reservations.List(pb.ListRequest())).reservations) == 4


async def test_the_client_library_asks_again_when_it_is_told_to(tmp_path: Path) -> None:
    async with (
        world(tmp_path, diamond(middle=1), negotiations_max=1) as made,
        AsyncClient(made.target, insecure=True) as client,
    ):
        began = time.monotonic()
        records = await asyncio.gather(
            *(client.reserve(*ROUTE, "1G", request_id=f"r{i}", **WHEN) for i in range(3))
        )
        assert time.monotonic() - began >= 1
        assert {record.state for record in records} == {pb.RESERVATION_STATE_COMMITTED}
        found = await client.list()
        assert len(found.reservations) == 3
        assert len({record.criteria.request_id for record in found.reservations}) == 3


async def test_calls_beyond_the_limit_are_refused_and_health_is_not(tmp_path: Path) -> None:
    async with (
        world(tmp_path, diamond(middle=1), streams_max=1) as made,
        AsyncClient(made.target, insecure=True) as client,
    ):
        watch = made.reservations.Watch(pb.WatchRequest())
        record = await client.reserve(*ROUTE, "1G", **WHEN)
        assert (await watch.read()).reservation_id == record.reservation_id
        second = made.reservations.Watch(pb.WatchRequest())
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"streams in progress.* 1 at once"
        ) as caught:
            await second.read()
        assert retry_delay_s(caught.value) == 5
        watch.cancel()
        events = client.watch(record.reservation_id, until_decided=True, timeout_s=30)
        assert [event async for event in events]


async def test_without_a_delay_the_client_does_not_ask_again(tmp_path: Path) -> None:
    async with (
        world(tmp_path, diamond(middle=1)) as made,
        AsyncClient(made.target, insecure=True) as client,
    ):
        with pytest.raises(Refused) as caught:
            await client.reserve(*ROUTE, "1G", description="x" * (5 << 20), **WHEN)
        assert caught.value.retry_after_s is None


async def topology_shown(made: World, *options: str) -> Result:
    environment = {"BRAID_TARGET": made.target, "BRAID_INSECURE": "1", "COLUMNS": "300"}
    arguments = ["topology", "show", *options]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)


async def status_of(made: World, name: str) -> topology_pb2.DomainStatus:
    answer = await made.topology.Get(topology_pb2.GetTopologyRequest())
    found: topology_pb2.DomainStatus = next(s for s in answer.domains if s.domain.name == name)
    return found


async def test_a_silent_agent_is_left_out_and_seen_to_be_until_it_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, diamond(), offers_timeout_s=3.0) as made:
        assert (await status_of(made, "m1")).breaker == topology_pb2.BREAKER_STATE_CLOSED
        monkeypatch.setattr(made.agents["m1"].agent, "receive", silent)
        took_s = []
        for _ in range(5):
            began = time.monotonic()
            record = await made.reserve(1 * G)
            took_s.append(time.monotonic() - began)
            assert record.state == pb.RESERVATION_STATE_COMMITTED
        assert min(took_s[:3]) >= 3.0
        assert max(took_s[3:]) < 3.0
        status = await status_of(made, "m1")
        assert status.state == topology_pb2.DOMAIN_STATE_UP
        assert (status.breaker, status.silences) == (topology_pb2.BREAKER_STATE_OPEN, 3)
        assert 0 < status.retry_at_ms - time.time() * 1000 <= 5000
        shown = await topology_shown(made)
        assert "silent" in shown.stdout
        assert "3 questions in a row not answered in time; asked again at" in shown.stdout
        told = json.loads((await topology_shown(made, "--json")).stdout.splitlines()[-1])
        domains = {entry["domain"]["name"]: entry for entry in told["domains"]}
        assert domains["m1"]["breaker"] == "BREAKER_STATE_OPEN"
        assert domains["m2"]["breaker"] == "BREAKER_STATE_CLOSED"
        refused = await made.reserve(150 * G)
        assert refused.state == pb.RESERVATION_STATE_FAILED
        assert refused.refusals[0].domain == "m1"
        assert "m1 is left out: it did not answer 3 times" in refused.refusals[0].reason
        monkeypatch.undo()

        async def closed() -> bool:
            status = await status_of(made, "m1")
            return status.breaker == topology_pb2.BREAKER_STATE_CLOSED

        await eventually(closed)
        assert "silent" not in (await topology_shown(made)).stdout
        assert (await made.reserve(150 * G)).state == pb.RESERVATION_STATE_COMMITTED
