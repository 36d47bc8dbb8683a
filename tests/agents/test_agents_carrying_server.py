"""Export, Import, Begin and PutBack of an agent, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from agent_wire import TIMEOUT_S, Orchestrator, connected
from cloud_world import cloud_config
from test_agents_cloud_server import NET, error

from agents.settings import agent_settings, open_agent
from braid.v1 import cloudnets_pb2 as pb, cloudnets_pb2_grpc
from protocol.messages import Commit, ReservationPrep
from runtime.server import open_channel
from substrate.model import Window

DIARY = b'{"diary": "it rains"}'
INVALID, NEVER = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
LATER = grpc.StatusCode.UNAVAILABLE


@asynccontextmanager
async def serving(database: str) -> AsyncIterator[Any]:
    """The stub of an agent that has NET as r1, and as r2 but for b, which it awaits."""
    own = {"listen": "127.0.0.1:0", "insecure": True, "database": database}
    async with (
        open_agent(agent_settings({**cloud_config(), **own}, "test")) as running,
        connected(running.address) as stub,
        open_channel(running.address, insecure=True) as channel,
    ):
        me = await Orchestrator(stub, "me").up()
        now_s = int(time.time())
        window = Window(now_s, now_s + 3600)
        for i, awaits in ((1, ()), (2, ("b",))):
            prep = ReservationPrep(
                f"t{i}", "p1", f"r{i}", 1, (), window, "me", (now_s + 600) * 1000, graph=NET,
                awaits=awaits,
            )  # fmt: skip
            answer = await me.ask(prep)
            assert answer.ok, answer
            assert (await me.ask(Commit(f"t{i}", "p1"))).ok
        cloud: Any = cloudnets_pb2_grpc.CloudNetsStub(channel)
        await runs(cloud, "r1", "a", "b")
        await runs(cloud, "r2", "a")
        yield cloud
        await me.end()


async def runs(cloud: Any, reservation_id: str, *vnodes: str) -> None:
    """Waits until just these run."""

    async def now() -> set[str]:
        shown = await cloud.Show(pb.ShowCloudNetRequest(reservation_id=reservation_id))
        return {each.vnode for each in shown.vnodes if each.state == pb.POWER_STATE_RUNNING}

    async with asyncio.timeout(TIMEOUT_S):
        while await now() != set(vnodes):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def said(cloud: Any, reservation_id: str, line: bytes) -> bytes:
    """What b answers."""
    call = cloud.Console()
    await call.write(pb.ConsoleInput(reservation_id=reservation_id, vnode="b", data=line + b"\r"))
    text = b""
    async with asyncio.timeout(TIMEOUT_S):
        while text.count(b"$ ") < 2:
            text += (await call.read()).data
    call.cancel()
    return text


def first(**fields: Any) -> pb.ImportRequest:
    return pb.ImportRequest(**{"reservation_id": "r2", "vnode": "b"} | fields)


def second(**fields: Any) -> pb.ImportRequest:
    return pb.ImportRequest(**{"format": "memory/1"} | fields)


def last(data: bytes = DIARY) -> pb.ImportRequest:
    return pb.ImportRequest(digest=hashlib.sha256(data).digest())


async def test_what_one_has_another_gets_and_runs_with(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await said(cloud, "r1", b"write diary it rains")
        messages = [m async for m in cloud.Export(pb.ExportRequest(reservation_id="r1", vnode="b"))]
        assert [messages[0].format, messages[0].off] == ["memory/1", False]
        assert b"".join(m.data for m in messages) == DIARY
        assert messages[-1].digest == hashlib.sha256(DIARY).digest()
        await runs(cloud, "r1", "a")
        onward = [pb.ImportRequest(data=m.data, digest=m.digest) for m in messages[1:]]
        await cloud.Import(iter([first(), second(), *onward]))
        await runs(cloud, "r2", "a")
        await cloud.Begin(pb.CarriedRequest(reservation_id="r2", vnodes=["b"]))
        await runs(cloud, "r2", "a", "b")
        assert b"it rains" in await said(cloud, "r2", b"read diary")
        await cloud.PutBack(pb.CarriedRequest(reservation_id="r1", vnodes=["b"]))
        await runs(cloud, "r1", "a", "b")


async def copied(cloud: Any, carry: pb.Carry.ValueType, since: str = "") -> list[Any]:
    """What is told of b of r1."""
    asked = pb.ExportRequest(reservation_id="r1", vnode="b", carry=carry, since=since)
    return [message async for message in cloud.Export(asked)]


async def kept(cloud: Any, carry: pb.Carry.ValueType, messages: list[Any]) -> str:
    """Passes it on to r2; the mark of the copy that was kept there before."""
    head = messages[0]
    told = second(format=head.format, off=head.off, mark=head.mark, since=head.since,
                  memory=head.memory)  # fmt: skip
    onward = [pb.ImportRequest(data=m.data, digest=m.digest) for m in messages[1:]]
    call = cloud.Import(iter([first(carry=carry), told, *onward]))
    headers = dict(await call.initial_metadata())
    assert headers["braid-ready"] == "1"
    await call
    return str(headers["braid-kept"])


async def state(cloud: Any, reservation_id: str) -> int:
    """What b is doing."""
    shown = await cloud.Show(pb.ShowCloudNetRequest(reservation_id=reservation_id))
    found: dict[str, int] = {each.vnode: each.state for each in shown.vnodes}
    return found["b"]


async def test_copies_go_ahead_while_it_runs_and_after_the_last_it_goes_on_there(
    sqlite_url: str,
) -> None:
    async with serving(sqlite_url) as cloud:
        await said(cloud, "r1", b"write diary it rains")
        whole = await copied(cloud, pb.CARRY_AHEAD)
        assert await kept(cloud, pb.CARRY_AHEAD, whole) == ""
        await runs(cloud, "r1", "a", "b")
        await runs(cloud, "r2", "a")
        await said(cloud, "r1", b"set mood good")
        rest = await copied(cloud, pb.CARRY_LIVE, whole[0].mark)
        assert (rest[0].since, rest[0].memory) == (whole[0].mark, True)
        assert not rest[0].HasField("still_ms")
        assert (await copied(cloud, pb.CARRY_LIVE))[0].HasField("still_ms")
        assert await kept(cloud, pb.CARRY_LIVE, rest) == whole[0].mark
        paused = pb.POWER_STATE_PAUSED
        assert [await state(cloud, name) for name in ("r1", "r2")] == [paused, paused]
        await cloud.Begin(pb.CarriedRequest(reservation_id="r2", vnodes=["b"]))
        await runs(cloud, "r2", "a", "b")
        assert b"it rains" in await said(cloud, "r2", b"read diary")
        assert b"good" in await said(cloud, "r2", b"get mood")
        await cloud.PutBack(pb.CarriedRequest(reservation_id="r1", vnodes=["b"]))
        await runs(cloud, "r1", "a", "b")


@pytest.mark.parametrize(
    ("messages", "code", "text"),
    [
        ([first(carry=9)], INVALID, "COLD (1), AHEAD (2) or LIVE (3)"),
        ([first(carry=pb.CARRY_LIVE), second()], INVALID, "mark"),
        ([first(carry=pb.CARRY_AHEAD), second(mark="m")], NEVER, "comes as memory/1"),
        ([first(carry=pb.CARRY_LIVE, reservation_id="r1")], NEVER, "it has begun here"),
        (
            [
                first(carry=pb.CARRY_LIVE),
                second(format="memory-live/1", mark="m", since="another"),
                pb.ImportRequest(data=b"{}"),
            ],
            LATER,
            "is not kept here",
        ),
    ],
)
async def test_copies_that_come_in_another_way_make_nothing(
    sqlite_url: str, messages: list[pb.ImportRequest], code: grpc.StatusCode, text: str
) -> None:
    async with serving(sqlite_url) as cloud:
        given, details = await error(cloud.Import(iter(messages)))
        assert given is code, details
        assert text in details
        await runs(cloud, "r2", "a")


async def test_how_it_is_exported_must_be_said_and_since_when_as_an_id(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        for fields, text in (({"carry": 9}, "carry"), ({"carry": 2, "since": "no/id"}, "since")):
            asked = pb.ExportRequest(reservation_id="r1", vnode="b", **fields)
            code, details = await error(cloud.Export(asked).read())
            assert (code, text in details) == (INVALID, True), details
        await runs(cloud, "r1", "a", "b")


@pytest.mark.parametrize(
    ("messages", "code", "text"),
    [
        ([], INVALID, "a first message"),
        ([first(vnode="no/id")], INVALID, "vnode"),
        ([first(reservation_id="")], INVALID, "reservation_id"),
        ([first(reservation_id="r3"), last()], grpc.StatusCode.NOT_FOUND, "berlin"),
        ([first(reservation_id="r1"), last(b"")], NEVER, "it has begun here"),
        ([first()], NEVER, "comes as ,"),
        ([first(), second(format="raw")], NEVER, "comes as raw"),
        ([first(), second(), pb.ImportRequest(data=DIARY)], LATER, "broke off"),
        ([first(), second(data=DIARY), last(b"else")], LATER, "digest"),
        ([first(), second(data=b"x" * (1 << 19)), last()], INVALID, "bytes in one message"),
    ],
)
async def test_what_comes_in_another_way_makes_nothing(
    sqlite_url: str, messages: list[pb.ImportRequest], code: grpc.StatusCode, text: str
) -> None:
    async with serving(sqlite_url) as cloud:
        given, details = await error(cloud.Import(iter(messages)))
        assert given is code, details
        assert text in details
        begin = cloud.Begin(pb.CarriedRequest(reservation_id="r2", vnodes=["b"]))
        assert (await error(begin))[0] is NEVER
        await runs(cloud, "r2", "a")


async def test_which_vnodes_must_be_said_and_be_some(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        for call in (cloud.Begin, cloud.PutBack):
            for request, text in (
                (pb.CarriedRequest(reservation_id="r2"), "one or more"),
                (pb.CarriedRequest(vnodes=["b"]), "reservation_id"),
                (pb.CarriedRequest(reservation_id="r2", vnodes=["../b"]), "vnodes[0]"),
                (pb.CarriedRequest(reservation_id="r2", vnodes=["b"] * 1001), "up to 1000"),
            ):
                code, details = await error(call(request))
                assert (code, text in details) == (INVALID, True), details
        code, _ = await error(cloud.Export(pb.ExportRequest(reservation_id="r1")).read())
        assert code is INVALID
