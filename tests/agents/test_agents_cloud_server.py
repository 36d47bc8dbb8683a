"""braid.v1.CloudNets of an agent, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from agent_wire import TIMEOUT_S, Orchestrator, connected
from cloud_world import GIB, cloud_config, graph

from agents.settings import agent_settings, open_agent
from braid.v1 import cloudnets_pb2 as pb, cloudnets_pb2_grpc
from protocol.messages import Commit, ReservationPrep
from rdl.codec import from_bytes
from runtime.server import open_channel
from substrate.model import Window

STOP = pb.POWER_ACTION_STOP
NET = graph({"a": 2, "b": 2}, [("a", "b")], apart=["a", "b"])


@asynccontextmanager
async def serving(database: str, *, later_s: int = 0) -> AsyncIterator[Any]:
    """The stub of an agent that has NET as r1, from now on or later."""
    own = {"listen": "127.0.0.1:0", "insecure": True, "database": database}
    async with (
        open_agent(agent_settings({**cloud_config(), **own}, "test")) as running,
        connected(running.address) as stub,
        open_channel(running.address, insecure=True) as channel,
    ):
        me = await Orchestrator(stub, "me").up()
        now_s = int(time.time())
        window = Window(now_s + later_s, now_s + later_s + 3600)
        prep = ReservationPrep(
            "t1", "p1", "r1", 1, (), window, "me", (now_s + 600) * 1000, graph=NET
        )
        answer = await me.ask(prep)
        assert answer.ok, answer
        assert (await me.ask(Commit("t1", "p1"))).ok
        cloud: Any = cloudnets_pb2_grpc.CloudNetsStub(channel)
        yield cloud
        await me.end()


async def states(cloud: Any) -> dict[str, int]:
    shown = await cloud.Show(pb.ShowCloudNetRequest(reservation_id="r1"))
    return {vnode.vnode: vnode.state for vnode in shown.vnodes}


async def running(cloud: Any) -> dict[str, str]:
    """Waits until all runs; the host of each VNode."""
    async with asyncio.timeout(TIMEOUT_S):
        while set((await states(cloud)).values()) != {pb.POWER_STATE_RUNNING}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    shown = await cloud.Show(pb.ShowCloudNetRequest(reservation_id="r1"))
    return {vnode.vnode: vnode.host for vnode in shown.vnodes}


async def error(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def dial(cloud: Any, vnode: str = "a", data: bytes = b"") -> Any:
    call = cloud.Console()
    await call.write(pb.ConsoleInput(reservation_id="r1", vnode=vnode, data=data))
    return call


async def heard(call: Any, until: bytes) -> bytes:
    text = b""
    async with asyncio.timeout(TIMEOUT_S):
        while until not in text:
            message = await call.read()
            assert message is not grpc.aio.EOF, text
            text += message.data
    return text


async def test_show_tells_states_hosts_and_what_was_completed(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        hosts = await running(cloud)
        assert len(set(hosts.values())) == 2
        shown = await cloud.Show(pb.ShowCloudNetRequest(reservation_id="r1"))
        assert {vnode.domain for vnode in shown.vnodes} == {"berlin"}
        completed = from_bytes(shown.completed.SerializeToString(deterministic=True))
        assert {node.id for node in completed.nodes} == {"a", "b"}


async def test_power_stops_starts_and_cycles(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await running(cloud)
        for action, vnodes, expected in (
            (STOP, ["a"], pb.POWER_STATE_STOPPED),
            (pb.POWER_ACTION_START, [], pb.POWER_STATE_RUNNING),
            (pb.POWER_ACTION_CYCLE, ["a"], pb.POWER_STATE_RUNNING),
        ):
            request = pb.PowerRequest(reservation_id="r1", action=action, vnodes=vnodes)
            answer = await cloud.Power(request)
            assert {v.vnode: v.state for v in answer.vnodes}["a"] == expected
            assert await states(cloud) == {"a": expected, "b": pb.POWER_STATE_RUNNING}


async def test_a_console_carries_bytes_both_ways_until_the_vnode_stops(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await running(cloud)
        call = await dial(cloud)
        assert b"a (debian) of r1" in await heard(call, b"$ ")
        await call.write(pb.ConsoleInput(data=b"echo one"))
        await call.write(pb.ConsoleInput(data=b" two\r"))
        assert await heard(call, b"\r\n$ ") == b"echo one two\r\none two\r\n$ "
        other = await dial(cloud, "b", b"id\r")
        assert b"r1:b" in await heard(other, b"r1:b")
        stop = pb.PowerRequest(reservation_id="r1", action=STOP, vnodes=["a"])
        await cloud.Power(stop)
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
        await other.done_writing()
        async with asyncio.timeout(TIMEOUT_S):
            while await other.read() is not grpc.aio.EOF:
                pass
        assert await other.code() is grpc.StatusCode.OK


async def test_what_was_typed_before_the_end_is_answered(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await running(cloud)
        inputs = [pb.ConsoleInput(reservation_id="r1", vnode="a", data=b"hostname\rid\r")]
        found = b"".join([m.data async for m in cloud.Console(iter(inputs))])
        assert b"hostname\r\na\r\n$ id\r\nr1:a\r\n$ " in found


async def test_a_console_stays_open_while_its_vnode_migrates(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        hosts = await running(cloud)
        call = await dial(cloud)
        await heard(call, b"$ ")
        free = min({"h1", "h2", "h3"} - set(hosts.values()))
        moved = await cloud.Migrate(pb.MigrateRequest(reservation_id="r1", vnode="a", host=free))
        move = pb.VNodeMove(
            reservation_id="r1", vnode="a", source=hosts["a"], target=free, cost=2 * GIB
        )
        assert list(moved.moves) == [move]
        assert (await running(cloud))["a"] == free
        await call.write(pb.ConsoleInput(data=b"id\r"))
        assert b"r1:a" in await heard(call, b"r1:a")
        call.cancel()


async def test_what_if_and_what_then_is_done(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await running(cloud)
        answer = await cloud.WhatIf(pb.WhatIfRequest(domain="berlin", free_share=0.3))
        assert (answer.freed, answer.hosts, answer.wanted) == (1, 3, 1)
        assert (answer.cost, len(answer.moves)) == (0, 0), "one host is empty already"
        done = await cloud.Migrate(pb.MigrateRequest(free_share=0.3))
        assert list(done.moves) == list(answer.moves)


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (pb.ShowCloudNetRequest(reservation_id="r9"), "NOT_FOUND", "reservation_id: given 'r9'"),
        (pb.ShowCloudNetRequest(reservation_id="a/b"), "INVALID_ARGUMENT", "reservation_id"),
        (pb.PowerRequest(reservation_id="r1"), "INVALID_ARGUMENT", "action"),
        (pb.PowerRequest(reservation_id="r1", action=STOP, vnodes=["z"]), "NOT_FOUND", "vnode"),
        (
            pb.PowerRequest(reservation_id="r1", action=STOP, vnodes=[""]),
            "INVALID_ARGUMENT",
            "vnodes",
        ),
        (pb.WhatIfRequest(free_share=1.0), "INVALID_ARGUMENT", "free_share"),
        (pb.WhatIfRequest(free_share=float("nan")), "INVALID_ARGUMENT", "free_share"),
        (pb.WhatIfRequest(free_share=0.1, domain="munich"), "NOT_FOUND", "domain"),
        (pb.MigrateRequest(free_share=-1), "INVALID_ARGUMENT", "free_share"),
        (pb.MigrateRequest(free_share=0.2, host="h1"), "INVALID_ARGUMENT", "host"),
        (pb.MigrateRequest(reservation_id="r1", vnode="a"), "INVALID_ARGUMENT", "host"),
        (pb.MigrateRequest(reservation_id="r1", vnode="a", host="h9"), "NOT_FOUND", "such as h1"),
        (
            pb.MigrateRequest(reservation_id="r1", vnode="a", domain="munich"),
            "INVALID_ARGUMENT",
            "only at an orchestrator",
        ),
        (
            pb.MigrateRequest(reservation_id="r1", vnode="a", host="h1", free_share=0.5),
            "INVALID_ARGUMENT",
            "free_share",
        ),
    ],
)
async def test_wrong_requests_get_their_code_and_field(
    sqlite_url: str, request_: Any, code: str, text: str
) -> None:
    async with serving(sqlite_url) as cloud:
        name = type(request_).__name__.removesuffix("Request").replace("ShowCloudNet", "Show")
        found, details = await error(getattr(cloud, name)(request_))
        assert (found.name, text in details) == (code, True), details


async def test_consoles_of_what_is_not_there_or_does_not_run_are_refused(sqlite_url: str) -> None:
    async with serving(sqlite_url) as cloud:
        await running(cloud)
        await cloud.Power(pb.PowerRequest(reservation_id="r1", action=STOP))
        for vnode, code in (
            ("a", "FAILED_PRECONDITION"),
            ("z", "NOT_FOUND"),
            ("", "INVALID_ARGUMENT"),
        ):
            call = await dial(cloud, vnode)
            found, _ = await error(call.read())
            assert found.name == code
        silent = cloud.Console()
        await silent.done_writing()
        assert (await error(silent.read()))[0].name == "INVALID_ARGUMENT"


async def test_before_its_window_it_is_defined_and_nothing_can_be_done(sqlite_url: str) -> None:
    async with serving(sqlite_url, later_s=600) as cloud:
        assert set((await states(cloud)).values()) == {pb.POWER_STATE_DEFINED}
        stop = pb.PowerRequest(reservation_id="r1", action=STOP)
        found, details = await error(cloud.Power(stop))
        assert (found.name, "has begun" in details) == ("FAILED_PRECONDITION", True)
