"""CloudNets over both clients: what is asked, consoles, and what does not go together."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from client_world import Either
from fake_cloudnets import PROVIDERS, FakeVnp, eventually, serving

from braid import cloudnets, retries
from braid.client import AsyncClient, Client, InvalidRequest, NotFound, Unreachable
from braid.consoles import WAITING
from braid.v1 import cloudnets_pb2 as cn, rdl_pb2, reservations_pb2 as pb

CLIENT_PAGE = Path(__file__).parents[2] / "docs" / "client.md"
GRAPH = rdl_pb2.Graph(
    name="pair",
    layer=rdl_pb2.GRAPH_LAYER_OVERLAY,
    elements=[
        rdl_pb2.NetworkElement(id="left", attribute="/node/host/generic"),
        rdl_pb2.NetworkElement(id="right", attribute="/node/host/generic"),
        rdl_pb2.NetworkElement(id="wire", attribute="/link/generic"),
    ],
    interfaces=[
        rdl_pb2.NetworkInterface(id="a", attribute="/interface/generic", joins=["left", "wire"]),
        rdl_pb2.NetworkInterface(id="b", attribute="/interface/generic", joins=["right", "wire"]),
    ],
)


@pytest.fixture
def fake() -> FakeVnp:
    return FakeVnp()


@pytest.fixture
def target(fake: FakeVnp) -> Iterator[str]:
    with serving(fake, fake.cloudnets) as address:
        yield address


@pytest.fixture
async def running(client: Either) -> str:
    """The id of a CloudNet of two VNodes."""
    record = await client("create_cloudnet", GRAPH, duration="2h")
    return str(record.reservation_id)


async def test_a_cloudnet_is_planned_created_and_modified(client: Either, fake: FakeVnp) -> None:
    wishes = {"start": 2_000_000_000, "duration": "2h", "objective": "load", "avoid": ["renet2"]}
    wishes |= {"via": ["renet1"], "max_latency": "20ms"}
    plan = await client("plan_cloudnet", GRAPH, at={"left": "zurich"}, **wishes)
    assert [(each.vnode, each.domain) for each in plan.vnodes] == [
        ("left", "zurich"),
        ("right", PROVIDERS[1]),
    ]
    data = GRAPH.SerializeToString()
    record = await client("create_cloudnet", data, request_id="mine", timeout_s=9, **wishes)
    assert record.state == pb.RESERVATION_STATE_COMMITTED
    changed = await client(
        "modify", record.reservation_id, cloudnet=cloudnets.cloudnet(GRAPH, objective="energy")
    )
    assert (changed.version, changed.criteria.cloudnet.objective) == (2, "energy")
    planned, created = fake.asked_of(pb.Reservation)
    assert planned.cloudnet.placing == [pb.VNodePlacement(vnode="left", domain="zurich")]
    assert planned.request_id != created.request_id == "mine"
    assert created.cloudnet == pb.CloudNet(graph=GRAPH, objective="load")
    assert (created.window.start_s, created.window.end_s) == (2_000_000_000, 2_000_007_200)
    assert (created.source, created.bandwidth_bps) == ("", 0)
    assert created.constraints == pb.Constraints(
        avoid_domains=["renet2"], via_domains=["renet1"], max_latency_us=20_000
    )
    assert created.negotiation_timeout_s == 9


async def test_vnodes_are_switched_moved_and_told_of(
    client: Either, fake: FakeVnp, running: str
) -> None:
    state = await client("power", running, "stop", ["left"])
    assert [each.state for each in state.vnodes] == [cn.POWER_STATE_STOPPED, cn.POWER_STATE_RUNNING]
    await client("power", running, "cycle")
    assert (await client("show_cloudnet", running)).completed.name == "pair"
    moved = await client("migrate", running, "left", host="sn113")
    assert moved.moves[0].target == "sn113"
    await client("migrate", running, "left", domain="zurich", request_id="mine", anew=True)
    await client("what_if", "20%", "berlin")
    await client("free_hosts", 0.2, "berlin")
    stop, cycle = fake.asked_of(cn.PowerRequest)
    assert (stop.action, list(stop.vnodes)) == (cn.POWER_ACTION_STOP, ["left"])
    assert (cycle.action, list(cycle.vnodes)) == (cn.POWER_ACTION_CYCLE, [])
    assert fake.asked_of(cn.WhatIfRequest) == [cn.WhatIfRequest(domain="berlin", free_share=0.2)]
    host, provider, freed = fake.asked_of(cn.MigrateRequest)
    assert (host.anew, provider.anew) == (False, True)
    assert (host.vnode, host.host, host.domain) == ("left", "sn113", "")
    assert (provider.host, provider.domain, provider.request_id) == ("", "zurich", "mine")
    assert (freed.reservation_id, freed.domain, freed.free_share) == ("", "berlin", 0.2)
    assert freed.request_id


async def talk(client: Either, running: str, *said: bytes, vnode: str = "left") -> bytes:
    """Everything that a console says until it ends."""
    if isinstance(client.client, AsyncClient):
        async with client.client.console(running, vnode) as console:
            for data in said:
                await console.write(data)
            return b"".join([data async for data in console])
    return await asyncio.to_thread(_talk, client.client, running, said, vnode)


def _talk(client: Client, running: str, said: Any, vnode: str) -> bytes:
    with client.console(running, vnode) as console:
        for data in said:
            console.write(data)
        return b"".join(console)


async def test_a_console_carries_bytes_both_ways_until_it_ends(
    client: Either, fake: FakeVnp, running: str
) -> None:
    heard = await talk(client, running, b"up", b"time\n", b"\xff\x00\n", b"exit\n")
    assert heard == b"left: uptime\r\nleft: \xff\x00\r\n"
    assert fake.cloudnets.consoles == [(running, "left")]


async def test_much_at_once_goes_in_pieces_and_whole(
    client: Either, fake: FakeVnp, running: str
) -> None:
    fake.cloudnets.silent = True
    much = b"x" * (5 << 20)
    assert await talk(client, running, much, b"\nexit\n") == b""
    assert fake.cloudnets.heard == much + b"\nexit\n"


@pytest.mark.parametrize(
    ("vnode", "said", "kind", "text"),
    [
        ("nobody", b"", NotFound, "vnode: given 'nobody'"),
        ("left", b"break\n", Unreachable, "left is away"),
    ],
)
async def test_a_console_that_is_lost_says_why(
    client: Either, running: str, vnode: str, said: bytes, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        await talk(client, running, said, vnode=vnode)


async def test_a_console_that_is_refused_says_why_however_much_is_typed(
    client: Either, running: str
) -> None:
    for _ in range(40):
        with pytest.raises(NotFound):
            await talk(client, running, *[b"uptime\n"] * 8, vnode="nobody")


async def test_closing_a_console_ends_whoever_listens(
    client: Either, fake: FakeVnp, running: str
) -> None:
    if isinstance(client.client, AsyncClient):
        async with client.client.console(running, "left") as console:
            asyncio.get_running_loop().call_later(0.1, console.close)
            assert [data async for data in console] == []
    else:
        with client.client.console(running, "left") as blocking:
            threading.Timer(0.1, blocking.close).start()
            assert await asyncio.to_thread(list, blocking) == []
    eventually(fake.cloudnets.console_ended.is_set)


async def test_writing_to_a_console_that_has_ended_does_nothing(
    client: Either, running: str
) -> None:
    if isinstance(client.client, AsyncClient):
        async with client.client.console(running, "nobody") as console:
            with contextlib.suppress(NotFound):
                [_ async for _ in console]
            for _ in range(4 * WAITING):
                await console.write(b"x")
        return
    with client.client.console(running, "nobody") as blocking:
        with pytest.raises(NotFound):
            list(blocking)
        for _ in range(4 * WAITING):
            await asyncio.to_thread(blocking.write, b"x")


def test_what_takes_long_gets_time() -> None:
    assert retries.call_timeout(cn.MigrateRequest(), 30) == 600
    assert retries.call_timeout(cn.PowerRequest(), 30) == 600
    assert retries.call_timeout(cn.ShowCloudNetRequest(), 30) == 30


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: cloudnets.reservation(GRAPH), "either when it ends or how long"),
        (lambda: cloudnets.reservation(GRAPH, end="+2h", duration="2h"), "either when it ends"),
        (lambda: cloudnets.reservation(b"\xff", duration="2h"), "graph: given bytes"),
        (lambda: cloudnets.power("c1", "explode"), "possible: start, stop, cycle"),
        (lambda: cloudnets.what_if("120%"), "not a share"),
        (lambda: cloudnets.free_hosts("much"), "not a share"),
        (lambda: cloudnets.migrate("c1", "left"), "either the host or the provider"),
        (lambda: cloudnets.migrate("c1", "left", host="a", domain="b"), "either the host"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_asked(call: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


async def test_an_error_of_the_service_is_one_of_the_client(client: Either, fake: FakeVnp) -> None:
    with pytest.raises(NotFound, match="given 'c9'"):
        await client("show_cloudnet", "c9")
    fake.fail(grpc.StatusCode.INVALID_ARGUMENT, "vnodes: given 'x'")
    with pytest.raises(InvalidRequest) as caught:
        await client("power", "c9", "start", ["x"])
    assert caught.value.field == "vnodes"


def test_the_documented_example_runs(
    fake: FakeVnp, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = CLIENT_PAGE.read_text().partition("\n## CloudNets\n")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.+?)```", section, re.DOTALL)
    (tmp_path / "pair.pb").write_bytes(GRAPH.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with Client(target, insecure=True) as client:
        exec(example, {"client": client})
    (record,) = fake.records.values()
    assert record.state == pb.RESERVATION_STATE_CANCELLED
    assert record.criteria.cloudnet.objective == "energy"
    assert fake.cloudnets.heard == b"uptime\n"
