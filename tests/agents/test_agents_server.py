"""The agent over real sockets and real databases."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from agent_wire import TIMEOUT_S, Orchestrator, connected, settings_of, soon
from agent_world import GBPS, MBPS, config
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import Connection

from agents.server import SERVICE_NAME
from agents.settings import RunningAgent, open_agent, run_agent
from agents.store import DatabaseStore
from braid.v1 import agent_pb2, common_pb2, topology_pb2, topology_pb2_grpc
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    Phase,
    Release,
    ReqOffers,
    ReservationResp,
    SendOffers,
)
from runtime.server import open_channel, serving
from runtime.settings import ListenSettings, SettingsError
from substrate.model import RefusalKind, Window

if TYPE_CHECKING:
    from braid.v1.agent_pb2_grpc import DomainAgentAsyncStub as Stub


@asynccontextmanager
async def agent_at(database: str, **changes: Any) -> AsyncIterator[tuple[RunningAgent, Stub]]:
    async with (
        open_agent(settings_of(database, **changes)) as running,
        connected(running.address) as stub,
    ):
        yield running, stub


async def heard(
    stub: Stub, transaction_id: str, state: common_pb2.DataPlaneState.ValueType
) -> agent_pb2.DomainEvent:
    """Waits until Watch tells that the data plane of a part is in ``state``."""
    events = stub.Watch(agent_pb2.WatchDomainRequest())
    async with asyncio.timeout(TIMEOUT_S):
        async for event in events:
            if (event.transaction_id, event.state) == (transaction_id, state):
                events.cancel()
                return event
    raise AssertionError("the stream has ended")


async def describe(stub: Stub) -> agent_pb2.DescribeResponse:
    answer = await stub.Describe(agent_pb2.DescribeRequest())
    assert isinstance(answer, agent_pb2.DescribeResponse)
    return answer


def _any(value: Any) -> Any:
    """For stubs whose types know nothing of asyncio."""
    return value


# --- Negotiate ----------------------------------------------------------------------------------


async def test_a_part_lives_from_prepare_to_release_each_message_delivered_twice(
    database_url: str,
) -> None:
    async with agent_at(database_url) as (running, stub):
        me = Orchestrator(stub, "me")
        epoch = running.agent.epoch
        for message, phase in (
            (soon(), Phase.PREP),
            (Commit("t1", "p1"), Phase.COMMIT),
            (Release("t1", "p1"), Phase.RELEASE),
        ):
            wanted = ReservationResp("t1", "p1", phase, True, None, epoch)
            assert [await me.ask(message), await me.ask(message)] == [wanted, wanted]
        assert (await me.ask(soon("t2", bandwidth_bps=GBPS, reservation_id="r2"))).ok


async def test_abort_before_prepare_and_commit_of_the_unknown(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        assert (await me.ask(Abort("t1", "p1"))).ok
        late = await me.ask(soon("t1"))
        assert not late.ok
        assert late.refusal is not None
        assert (late.refusal.kind, late.refusal.domain) == (RefusalKind.TOMBSTONE, "renet1")
        assert not (await me.ask(Commit("t9", "p1"))).ok


@pytest.mark.parametrize("trial", range(5))
async def test_sixteen_prepares_at_once_hold_exactly_one(database_url: str, trial: int) -> None:
    async with agent_at(database_url) as (_, stub):
        people = [Orchestrator(stub, f"o{number}") for number in range(16)]
        for number, person in enumerate(people):
            name = f"n{number}"
            await person.send(
                soon(name, reservation_id=name, vlan=100 + number, orchestrator_id=f"o{number}")
            )
        answers = [await person.next() for person in people]
        held = [a for a in answers if isinstance(a, ReservationResp) and a.ok]
        refused = [a.refusal for a in answers if isinstance(a, ReservationResp) and not a.ok]
        assert len(held) == 1
        assert {r.kind for r in refused if r} == {RefusalKind.BANDWIDTH}
        assert {r.available_bps for r in refused if r} == {400 * MBPS}


async def test_sixteen_prepares_of_one_vlan_hold_exactly_one(database_url: str) -> None:
    async with agent_at(database_url) as (_, stub):
        me = Orchestrator(stub, "me")
        await me.send(
            *(soon(f"n{n}", reservation_id=f"n{n}", bandwidth_bps=1, vlan=150) for n in range(16))
        )
        answers = [await me.next() for _ in range(16)]
        assert [a.ok for a in answers if isinstance(a, ReservationResp)].count(True) == 1


async def test_answers_queue_into_few_frames(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        for batch in range(4):
            await me.send(*(Abort(f"t{batch}-{n}", "p1") for n in range(500)))
        answers = [await me.next() for _ in range(2000)]
        assert all(isinstance(a, ReservationResp) and a.ok for a in answers)
        assert len(me.frames) < 200
        assert max(me.frames) <= 512


async def test_offers_come_back_over_the_wire(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        window = Window(int(time.time()) + 100, int(time.time()) + 200)
        await me.send(ReqOffers("q1", window, (("renet1:west", "renet1:east"),), GBPS))
        answer = await me.next()
    assert isinstance(answer, SendOffers)
    assert [offer.profile[0].bandwidth_bps for offer in answer.offers] == [GBPS]
    assert {port.stp for port in answer.ports} == {"renet1:west", "renet1:east"}


@pytest.mark.parametrize("name", [None, "", "a b", "x" * 129, "../etc"])
async def test_a_stream_must_say_whose_it_is(sqlite_url: str, name: str | None) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, name)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await me.next()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "metadata braid-orchestrator-id: given" in (caught.value.details() or "")


async def test_a_new_stream_replaces_the_older_one_of_the_same_orchestrator(
    sqlite_url: str,
) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        older = Orchestrator(stub, "me")
        assert (await older.ask(soon())).ok
        newer = Orchestrator(stub, "me")
        assert (await newer.ask(Commit("t1", "p1"))).ok
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await older.next()
        assert caught.value.code() is grpc.StatusCode.ABORTED
        assert (await newer.ask(Release("t1", "p1"))).ok


async def test_malformed_messages_are_refused_and_the_stream_goes_on(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        odd = agent_pb2.ReservationPrep(transaction_id="t1", part_id="p1", reservation_id="r")
        rude = agent_pb2.Abort(transaction_id="t/../1\x00", part_id="p1")
        query = agent_pb2.ReqOffers(query_id="q7")
        await me.send_raw(
            [
                agent_pb2.OrchestratorMessage(),
                agent_pb2.OrchestratorMessage(reservation_prep=odd),
                agent_pb2.OrchestratorMessage(abort=rude),
                agent_pb2.OrchestratorMessage(req_offers=query),
            ]
        )
        answers = [await me.next() for _ in range(3)]
        assert isinstance(answers[0], ReservationResp)
        assert isinstance(answers[1], ReservationResp)
        assert answers[0].refusal is not None
        assert answers[0].refusal.reason.startswith("malformed: segments: given none")
        assert answers[1].phase is Phase.ABORT
        assert answers[1].refusal is not None
        assert "transaction_id" in answers[1].refusal.reason
        assert answers[2] == SendOffers("q7", "renet1", (), ())
        assert (await me.ask(soon())).ok


async def test_an_orchestrator_that_has_no_more_to_say_gets_its_last_answers(
    sqlite_url: str,
) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        await me.send(*(Abort(f"t{n}", "p1") for n in range(100)))
        await me.call.done_writing()
        answers = [await me.next() for _ in range(100)]
        assert len(answers) == 100
        assert await me.call.read() is grpc.aio.EOF
        assert await me.call.code() is grpc.StatusCode.OK


async def test_an_inquiry_goes_to_any_instance_of_its_orchestrator_and_to_no_other(
    sqlite_url: str,
) -> None:
    async with agent_at(sqlite_url, inquire_after_s=1) as (_, stub):
        one, two = (Orchestrator(stub, "me", instance=f"i{number}") for number in (1, 2))
        other = Orchestrator(stub, "a-stranger")
        assert (await one.ask(soon())).ok
        assert (await two.ask(Abort("t0", "p1"))).ok
        assert (await other.ask(Abort("t0", "p2"))).ok
        await one.end()
        assert await two.next() == Inquire("t1", "p1", "r1")
        await two.end()
        await asyncio.sleep(4.5)
        assert await other.ask(Abort("t0", "p3")) == ReservationResp(
            "t0", "p3", Phase.ABORT, True, None, (await describe(stub)).agent_epoch
        )


# --- the other calls ----------------------------------------------------------------------------


async def test_describe_tells_the_domain_its_epoch_and_its_time(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (running, stub):
        told = await stub.Describe(agent_pb2.DescribeRequest())
    assert told.domain.name == "renet1"
    assert [port.stp for port in told.domain.ports] == [
        "renet1:west",
        "renet1:east",
        "renet1:user",
    ]
    assert told.agent_epoch == running.agent.epoch > 0
    assert abs(told.now_ms - time.time() * 1000) < 60_000


async def test_holdings_come_in_pages(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        for number in range(5):
            name = f"t{number}"
            assert (
                await me.ask(soon(name, reservation_id=name, bandwidth_bps=1, vlan=100 + number))
            ).ok
        await me.ask(Commit("t2", "p1"))
        pages, token = [], ""
        while True:
            request = agent_pb2.HoldingsRequest(page_size=2, page_token=token)
            page = await stub.Holdings(request)
            pages.append([holding.transaction_id for holding in page.holdings])
            token = page.next_page_token
            if not token:
                break
        assert pages == [["t0", "t1"], ["t2", "t3"], ["t4"]]
        await heard(stub, "t2", common_pb2.DATA_PLANE_STATE_ACTIVE)
        whole = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        states = [holding.state for holding in whole]
        assert states.count(agent_pb2.HOLDING_STATE_COMMITTED) == 1
        active = whole[2]
        assert active.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE
        assert len(active.rules) > 0
        assert list(whole[0].rules) == []
        assert active.segments[0].ingress_stp == "renet1:west"


@pytest.mark.parametrize(
    "request_",
    [{"page_size": 0}, {"page_size": 1001}, {"page_token": "%%"}, {"page_token": "W10="}],
)
async def test_a_wrong_page_is_explained(sqlite_url: str, request_: dict[str, Any]) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError, match=f"{next(iter(request_))}: given") as caught:
            await stub.Holdings(agent_pb2.HoldingsRequest(**request_))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_circuit_is_on_and_off_at_its_times_and_watchers_hear_it(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        start_s = int(time.time()) + 2
        assert (await me.ask(soon(start_s=start_s, duration_s=2))).ok
        assert (await me.ask(Commit("t1", "p1"))).ok
        events = stub.Watch(agent_pb2.WatchDomainRequest())
        told = []
        for _ in range(3):
            event = await asyncio.wait_for(events.read(), TIMEOUT_S)
            assert isinstance(event, agent_pb2.DomainEvent)
            told.append((event.state, time.time()))
        events.cancel()
    assert [state for state, _ in told] == [
        common_pb2.DATA_PLANE_STATE_SCHEDULED,
        common_pb2.DATA_PLANE_STATE_ACTIVE,
        common_pb2.DATA_PLANE_STATE_RELEASED,
    ]
    assert 0 <= told[1][1] - start_s < 1.5
    assert 0 <= told[2][1] - (start_s + 2) < 1.5


async def test_health_and_reflection_answer(sqlite_url: str) -> None:
    async with (
        agent_at(sqlite_url) as (running, _),
        open_channel(running.address, insecure=True) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(_any(channel))
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE_NAME)
        call = reflection.ServerReflectionInfo(iter([request]))
        described = await call.read()
        assert b"ReservationPrep" in described.file_descriptor_response.file_descriptor_proto[0]


# --- failures -----------------------------------------------------------------------------------


async def test_a_full_disk_refuses_and_recovers(sqlite_url: str) -> None:
    def limit_pages(pages: int | None) -> Any:
        def run(connection: Connection) -> None:
            limit = pages or connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}")

        return run

    async with agent_at(sqlite_url) as (running, stub):
        me = Orchestrator(stub, "me")
        assert (await me.ask(soon("t0", bandwidth_bps=1, vlan=199))).ok
        store = running.agent._store
        assert isinstance(store, DatabaseStore)
        await store._database.write(limit_pages(None))
        answers = [
            await me.ask(soon(f"t{n}", reservation_id=f"r{n}", bandwidth_bps=1, vlan=100 + n))
            for n in range(1, 60)
        ]
        held = [answer.transaction_id for answer in answers if answer.ok]
        refusals = [answer.refusal for answer in answers if answer.refusal is not None]
        assert {refusal.kind for refusal in refusals} == {RefusalKind.UNAVAILABLE}
        await store._database.write(limit_pages(1_000_000))
        assert (await me.ask(soon("whole", reservation_id="whole", vlan=198))).ok
        held_now = await stub.Holdings(agent_pb2.HoldingsRequest())
        names = {holding.transaction_id for holding in held_now.holdings}
        assert names == {"t0", "whole", *held}
    async with agent_at(sqlite_url) as (_, stub):
        held_then = await stub.Holdings(agent_pb2.HoldingsRequest())
        assert {holding.transaction_id for holding in held_then.holdings} == names


async def test_a_restart_on_the_same_database_keeps_holds_and_timers(database_url: str) -> None:
    start_s = int(time.time()) + 3
    async with agent_at(database_url, inquire_after_s=1) as (_, stub):
        me = Orchestrator(stub, "me")
        assert (await me.ask(soon("t1", start_s=start_s, duration_s=60))).ok
        assert (await me.ask(Commit("t1", "p1"))).ok
        assert (await me.ask(soon("t2", reservation_id="r2", vlan=101, bandwidth_bps=1))).ok
    async with agent_at(database_url, inquire_after_s=1) as (_, stub):
        me = Orchestrator(stub, "me")
        more = await me.ask(soon("t3", reservation_id="r3", vlan=102, start_s=start_s))
        assert not more.ok
        assert await me.next() == Inquire("t2", "p1", "r2")
        await heard(stub, "t1", common_pb2.DATA_PLANE_STATE_ACTIVE)
        assert time.time() >= start_s


RUN = """
import asyncio, json, sys
from agents.settings import agent_settings, run_agent
values = json.loads(sys.argv[1])
asyncio.run(run_agent(agent_settings(values, "test"), lambda r: print(r.address, flush=True)))
"""


@asynccontextmanager
async def process_at(database: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Stub]]:
    values = {**config(), "listen": "127.0.0.1:0", "insecure": True, "database": database}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, json.dumps(values), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S)
        async with connected(line.decode().strip()) as stub:
            yield process, stub
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_what_was_answered_survives_kill_9(database_url: str) -> None:
    start_s = int(time.time()) + 3600
    async with process_at(database_url) as (process, stub):
        me = Orchestrator(stub, "me")
        epoch = (await stub.Describe(agent_pb2.DescribeRequest())).agent_epoch
        parts = [
            soon(f"t{n}", reservation_id=f"r{n}", bandwidth_bps=1, vlan=100 + n, start_s=start_s)
            for n in range(50)
        ]
        await me.send(*parts)
        answered = [await me.next() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    async with process_at(database_url) as (process, stub):
        holdings = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        kept = {holding.transaction_id for holding in holdings}
        assert kept >= {a.transaction_id for a in answered if isinstance(a, ReservationResp)}
        assert (await stub.Describe(agent_pb2.DescribeRequest())).agent_epoch == epoch
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0


async def test_a_second_agent_on_the_same_database_ends_the_first(sqlite_url: str) -> None:
    addresses: asyncio.Queue[RunningAgent] = asyncio.Queue()
    first = asyncio.create_task(run_agent(settings_of(sqlite_url), addresses.put_nowait))
    running = await asyncio.wait_for(addresses.get(), TIMEOUT_S)
    async with connected(running.address) as stub, agent_at(sqlite_url) as (_, second):
        me = Orchestrator(stub, "me")
        refused = await me.ask(soon())
        assert refused.refusal is not None
        assert refused.refusal.kind is RefusalKind.UNAVAILABLE
        with pytest.raises(SettingsError, match="one agent per database"):
            await asyncio.wait_for(first, TIMEOUT_S)
        assert (await Orchestrator(second, "me").ask(soon())).ok


# --- joining ------------------------------------------------------------------------------------


class Orchestrators(topology_pb2_grpc.TopologyServicer):
    """Refuses once, then takes domains in."""

    def __init__(self) -> None:
        self.refusals = 1
        self.joined: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def Get(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    Availability = Aggregate = Unregister = Get

    async def Register(self, request: Any, context: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        self.joined.put_nowait((request.domain, request.target))
        return topology_pb2.RegisterResponse()


async def test_an_agent_joins_its_orchestrator_and_tries_until_it_is_there(
    sqlite_url: str,
) -> None:
    topology = Orchestrators()

    def add(server: grpc.aio.Server) -> None:
        topology_pb2_grpc.add_TopologyServicer_to_server(topology, server)

    listen = ListenSettings(listen="127.0.0.1:0", insecure=True)
    async with (
        serving(listen, {"braid.v1.Topology": add}) as orchestrator,
        agent_at(sqlite_url, join=[orchestrator.address]) as (running, _),
    ):
        joined = await asyncio.wait_for(topology.joined.get(), TIMEOUT_S)
        assert joined == ("renet1", running.address)


async def test_an_agent_tells_the_address_that_it_was_told_to_tell(
    sqlite_url: str, tmp_path: Path
) -> None:
    topology = Orchestrators()
    topology.refusals = 0

    def add(server: grpc.aio.Server) -> None:
        topology_pb2_grpc.add_TopologyServicer_to_server(topology, server)

    listen = ListenSettings(listen=f"unix:{tmp_path / 'o'}", insecure=True)
    changes = {"join": [listen.listen], "advertise": "renet1.example:7101"}
    async with (
        serving(listen, {"braid.v1.Topology": add}),
        agent_at(sqlite_url, **changes),
    ):
        joined = await asyncio.wait_for(topology.joined.get(), TIMEOUT_S)
        assert joined == ("renet1", "renet1.example:7101")
