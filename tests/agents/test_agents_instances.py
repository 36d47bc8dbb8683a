"""Over real sockets: instances of orchestrators, old copies and their recovery, doubts."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from agent_wire import TIMEOUT_S, Orchestrator, connected, settings_of, soon
from agent_world import MBPS
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import agents.server
from agents.metadata import caller_of
from agents.peers import Sender
from agents.settings import RunningAgent, agent_settings, open_agent
from agents.values import Seen
from braid.v1 import agent_pb2, doubts_pb2 as pb, doubts_pb2_grpc
from protocol.messages import (
    Abort,
    Claim,
    Claims,
    Commit,
    Inquire,
    Phase,
    Reconciled,
    ReservationPrep,
    ReservationResp,
)
from runtime.errors import RequestError
from runtime.server import open_channel
from runtime.settings import SettingsError
from substrate.model import RefusalKind

if TYPE_CHECKING:
    from braid.v1.agent_pb2_grpc import DomainAgentAsyncStub as Stub

FAILED, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT


@asynccontextmanager
async def agent_at(
    database: str, restored: bool = False, **changes: Any
) -> AsyncIterator[tuple[RunningAgent, Stub]]:
    async with (
        open_agent(settings_of(database, **changes), restored=restored) as running,
        connected(running.address) as stub,
    ):
        yield running, stub


async def describe(stub: Stub) -> agent_pb2.DescribeResponse:
    answer = await stub.Describe(agent_pb2.DescribeRequest())
    assert isinstance(answer, agent_pb2.DescribeResponse)
    return answer


def seen_in(answer: agent_pb2.DescribeResponse) -> Seen:
    return Seen(answer.agent_epoch, answer.boot, answer.incarnation)


def claims(epoch: int, *preps: ReservationPrep, claims_id: str = "c1") -> Claims:
    return Claims(epoch, claims_id, 0, 1, tuple(Claim(prep, True) for prep in preps))


def field_of(error: grpc.aio.AioRpcError) -> str:
    """The field that a status names in its details."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.metadata["field"])
    raise AssertionError(f"no details: {error}")


# --- metadata -----------------------------------------------------------------------------------

ID = {"braid-orchestrator-id": "me"}


def test_what_is_left_out_of_the_metadata_has_a_meaning() -> None:
    caller = caller_of(ID)
    assert (caller.sender, caller.instance_epoch, caller.seen) == (Sender("me", "me"), 0, None)
    whole = {
        "braid-instance-id": "i1",
        "braid-instance-epoch": "12",
        "braid-agent-seen": "3.4.a.b",
    }
    caller = caller_of({**ID, **whole})
    assert (caller.sender, caller.instance_epoch) == (Sender("me", "i1"), 12)
    assert caller.seen == Seen(3, 4, "a.b")


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("braid-instance-id", ""),
        ("braid-instance-id", "../x"),
        ("braid-instance-id", b"i1"),
        ("braid-instance-epoch", ""),
        ("braid-instance-epoch", "-1"),
        ("braid-instance-epoch", "1.0"),
        ("braid-instance-epoch", "１"),
        ("braid-instance-epoch", str(2**63)),
        ("braid-instance-epoch", "1" * 5000),
        ("braid-agent-seen", ""),
        ("braid-agent-seen", "1.2"),
        ("braid-agent-seen", "1.2."),
        ("braid-agent-seen", "1.x.abc"),
        ("braid-agent-seen", "-1.2.abc"),
        ("braid-agent-seen", "1.2.a/b"),
        ("braid-agent-seen", f"{2**63}.2.abc"),
        ("braid-agent-seen", b"\xff"),
    ],
)
def test_malformed_metadata_is_named(key: str, given: str | bytes) -> None:
    with pytest.raises(RequestError, match=f"metadata {key}: given") as caught:
        caller_of({**ID, key: given})
    assert caught.value.code is INVALID


async def test_malformed_metadata_ends_the_stream_before_it_begins(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        for me in (Orchestrator(stub, "me", seen="1.2"), Orchestrator(stub, "me", epoch="x")):
            error = await me.ending()
            assert error.code() is INVALID
            assert field_of(error).startswith("metadata braid-")


# --- instances ----------------------------------------------------------------------------------


async def test_instances_of_one_orchestrator_speak_side_by_side(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        one, two = Orchestrator(stub, "me", "i1", 1), Orchestrator(stub, "me", "i2", 2)
        assert (await one.ask(soon())).ok
        assert (await two.ask(Commit("t1", "p1"))).phase is Phase.COMMIT
        assert (await one.ask(Abort("t2", "p1"))).phase is Phase.ABORT


async def test_an_older_life_of_an_instance_does_not_come_back(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        newer = await Orchestrator(stub, "me", "i1", 8).up()
        error = await Orchestrator(stub, "me", "i1", 7).ending()
        assert (error.code(), field_of(error)) == (FAILED, "metadata braid-instance-epoch")
        assert (await newer.ask(soon())).ok
        again = Orchestrator(stub, "me", "i1", 8)
        assert (await again.ask(Commit("t1", "p1"))).ok
        assert (await newer.ending()).code() is grpc.StatusCode.ABORTED


async def test_too_many_streams_are_refused(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.streams.STREAMS_LIMIT", 2)
    async with agent_at(sqlite_url) as (_, stub):
        first = await Orchestrator(stub, "me", "i1").up()
        await Orchestrator(stub, "me", "i2").up()
        error = await Orchestrator(stub, "me", "i3").ending()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.end()
        assert (await Orchestrator(stub, "me", "i3").ask(soon())).ok


async def test_nobody_speaks_for_another_orchestrator(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (running, stub):
        me, other = Orchestrator(stub, "me"), Orchestrator(stub, "other")
        malformed = await other.ask(soon())
        assert malformed.refusal is not None
        assert malformed.refusal.reason.startswith("malformed: orchestrator_id: given 'me'")
        assert (await me.ask(soon())).ok
        for message in (Commit("t1", "p1"), Abort("t1", "p1")):
            answer = await other.ask(message)
            assert answer.refusal is not None
            assert answer.refusal.kind is RefusalKind.POLICY
            assert "me" not in answer.refusal.reason.split()
        await other.send(claims(running.agent.epoch, soon()))
        assert (await other.ask(Abort("t9", "p1"))).ok
        assert (await me.ask(Commit("t1", "p1"))).ok


# --- old copies and recovery ---------------------------------------------------------------------


async def test_describe_tells_which_life_this_is(sqlite_url: str) -> None:
    async with agent_at(sqlite_url) as (_, stub):
        first = await describe(stub)
    async with agent_at(sqlite_url) as (_, stub):
        second = await describe(stub)
    assert (first.boot, second.boot) == (1, 2)
    assert first.agent_epoch == second.agent_epoch
    assert first.incarnation != second.incarnation
    assert not first.recovering


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def test_an_agent_on_yesterdays_file_recovers_what_it_forgot(sqlite_url: str) -> None:
    path = file_of(sqlite_url)
    kept, given_back, forgotten = (
        soon(f"t{n}", reservation_id=f"r{n}", bandwidth_bps=300 * MBPS, vlan=100 + n)
        for n in range(3)
    )
    async with agent_at(sqlite_url) as (_, stub):
        me = Orchestrator(stub, "me")
        for prep in (kept, given_back):
            assert (await me.ask(prep)).ok
            assert (await me.ask(Commit(prep.transaction_id, "p1"))).ok
    shutil.copy(path, path.with_suffix(".backup"))
    async with agent_at(sqlite_url) as (_, stub):
        last = seen_in(await describe(stub))
        me = Orchestrator(stub, "me", seen=last)
        assert (await me.ask(Abort(given_back.transaction_id, "p1"))).ok is False
        assert (await me.ask(forgotten)).ok
        assert (await me.ask(Commit(forgotten.transaction_id, "p1"))).ok
    shutil.copy(path.with_suffix(".backup"), path)
    async with agent_at(sqlite_url) as (_, stub):
        told = await describe(stub)
        assert (told.agent_epoch, told.recovering) == (last.epoch, False)
        early = await Orchestrator(stub, "me", "i1").up()
        late = Orchestrator(stub, "me", "i2", seen=last)
        error = await late.ending()
        assert (error.code(), field_of(error)) == (FAILED, "metadata braid-agent-seen")
        assert (await early.ending()).code() is FAILED
        told = await describe(stub)
        assert (told.agent_epoch, told.recovering) == (last.epoch + 1, True)

        me = Orchestrator(stub, "me", "i2", seen=last)
        answer = await me.ask(soon("t9", reservation_id="r9", bandwidth_bps=1, vlan=109))
        assert answer.refusal is not None
        assert answer.refusal.kind is RefusalKind.UNAVAILABLE
        await me.send(claims(told.agent_epoch, kept, forgotten))
        answers = [await me.next() for _ in range(3)]
        assert answers == [
            ReservationResp("t0", "p1", Phase.COMMIT, True, None, told.agent_epoch),
            ReservationResp("t2", "p1", Phase.COMMIT, True, None, told.agent_epoch),
            Reconciled(told.agent_epoch, "c1"),
        ]
        assert not (await describe(stub)).recovering
    async with agent_at(sqlite_url) as (_, stub):
        held = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        assert [holding.transaction_id for holding in held] == ["t0", "t2"]


async def test_recovering_survives_restarts_and_ends_once(database_url: str) -> None:
    async with agent_at(database_url) as (_, stub):
        first = seen_in(await describe(stub))
    async with agent_at(database_url, restored=True) as (_, stub):
        second = await describe(stub)
        assert second.recovering
        assert second.agent_epoch > first.epoch
    async with agent_at(database_url) as (_, stub):
        assert (await describe(stub)).recovering
        me = Orchestrator(stub, "me", seen=first)
        await me.send(claims(second.agent_epoch, soon()))
        assert isinstance(await me.next(), ReservationResp)
        assert await me.next() == Reconciled(second.agent_epoch, "c1")
        await me.send(claims(second.agent_epoch, claims_id="c2"))
        assert await me.next() == Reconciled(second.agent_epoch, "c2")
        assert (await me.ask(Commit("t1", "p1"))).ok
    async with agent_at(database_url) as (_, stub):
        assert not (await describe(stub)).recovering


async def test_a_stream_that_brings_no_claims_is_told_to_describe_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents.server, "CLAIMS_EXPECTED_S", 0.3)
    async with agent_at(sqlite_url, restored=True) as (running, stub):
        silent = Orchestrator(stub, "me")
        error = await silent.ending()
        assert error.code() is FAILED
        me = Orchestrator(stub, "me")
        await me.send(claims(running.agent.epoch))
        assert await me.next() == Reconciled(running.agent.epoch, "c1")
        await asyncio.sleep(0.6)
        assert (await me.ask(soon())).ok


async def test_many_claims_are_answered_as_the_queue_allows(sqlite_url: str) -> None:
    preps = [
        soon(f"t{n:05}", reservation_id=f"r{n}", bandwidth_bps=1, vlan=100 + n % 100,
             start_s=int(time.time()) + 3600 * (1 + n // 100), duration_s=3600)
        for n in range(5000)
    ]  # fmt: skip
    async with agent_at(sqlite_url, restored=True) as (running, stub):
        me = Orchestrator(stub, "me")
        epoch = running.agent.epoch
        pages = [preps[n : n + 500] for n in range(0, len(preps), 500)]
        for number, page in enumerate(pages):
            found = tuple(Claim(prep, True) for prep in page)
            await me.send(Claims(epoch, "c1", number, len(pages), found))
        answers = [await me.next() for _ in range(len(preps) + 1)]
        assert all(isinstance(a, ReservationResp) and a.ok for a in answers[:-1])
        assert answers[-1] == Reconciled(epoch, "c1")


def test_the_list_of_orchestrators_is_not_empty_and_holds_ids(sqlite_url: str) -> None:
    assert settings_of(sqlite_url).orchestrators is None
    assert settings_of(sqlite_url, orchestrators=["a", "b"]).orchestrators == ("a", "b")
    for wrong in ([], ["a/b"], [""], ["a\n"]):
        with pytest.raises(SettingsError, match="orchestrators"):
            agent_settings({**settings_of(sqlite_url).backend, "listen": "127.0.0.1:0",
                            "insecure": True, "database": sqlite_url,
                            "orchestrators": wrong}, "test")  # fmt: skip


# --- doubts -------------------------------------------------------------------------------------


@asynccontextmanager
async def in_doubt(
    database: str, count: int = 1
) -> AsyncIterator[tuple[Stub, doubts_pb2_grpc.DoubtsAsyncStub]]:
    """An agent with holds t0, t1, … that have asked in vain; nobody is connected."""
    async with (
        agent_at(database, inquire_after_s=1) as (running, stub),
        open_channel(running.address, insecure=True) as channel,
    ):
        me = Orchestrator(stub, "me")
        for number in range(count):
            name = f"t{number}"
            prep = soon(name, reservation_id=f"r{number}", bandwidth_bps=1, vlan=100 + number)
            assert (await me.ask(prep)).ok
            await asyncio.sleep(0.002)
        assert isinstance(await me.next(), Inquire)
        await me.end()
        doubts: Any = doubts_pb2_grpc.DoubtsStub(channel)
        deadline = time.monotonic() + TIMEOUT_S
        while len((await doubts.List(pb.ListDoubtsRequest())).doubts) < count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        yield stub, doubts


def settle(settlement: pb.Settlement.ValueType = pb.SETTLEMENT_COMMIT, **changes: Any) -> Any:
    values = {"transaction_id": "t0", "part_id": "p1", "operator": "ada", "reason": "burned down"}
    return pb.SettleRequest(settlement=settlement, **{**values, **changes})


async def test_doubts_are_listed_with_what_is_known_of_them(sqlite_url: str) -> None:
    async with in_doubt(sqlite_url) as (_, doubts):
        answer = await doubts.List(pb.ListDoubtsRequest())
        (doubt,) = answer.doubts
        assert (doubt.transaction_id, doubt.part_id, doubt.reservation_id) == ("t0", "p1", "r0")
        assert (doubt.domain, doubt.orchestrator_id, doubt.state) == ("renet1", "me", "HELD")
        assert doubt.attempts == 1
        assert doubt.reason.startswith("me was asked once, last at 20")
        assert doubt.reason.endswith("Z, and is not connected")
        assert abs(doubt.since_ms - time.time() * 1000) < 20_000
        assert list(doubt.possible) == [pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP]
        old = await doubts.List(pb.ListDoubtsRequest(older_than_s=3600))
        assert list(old.doubts) == []


async def test_a_doubt_tells_whether_its_orchestrator_is_there(sqlite_url: str) -> None:
    async with in_doubt(sqlite_url) as (stub, doubts):
        await Orchestrator(stub, "me", "i7").up()
        (doubt,) = (await doubts.List(pb.ListDoubtsRequest())).doubts
        assert doubt.reason.endswith("and is connected")


async def test_doubts_come_in_pages_oldest_first(sqlite_url: str) -> None:
    async with in_doubt(sqlite_url, 5) as (_, doubts):
        pages, token = [], ""
        while True:
            answer = await doubts.List(pb.ListDoubtsRequest(page_size=2, page_token=token))
            pages.append([doubt.transaction_id for doubt in answer.doubts])
            token = answer.next_page_token
            if not token:
                break
        assert pages == [["t0", "t1"], ["t2", "t3"], ["t4"]]


@pytest.mark.parametrize("settlement", [pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP])
async def test_a_settlement_is_done_recorded_and_repeated(
    database_url: str, settlement: pb.Settlement.ValueType
) -> None:
    async with in_doubt(database_url) as (stub, doubts):
        decision = (await doubts.Settle(settle(settlement))).decision
        assert (decision.transaction_id, decision.domain) == ("t0", "renet1")
        assert (decision.operator, decision.reason) == ("ada", "burned down")
        assert decision.settlement == settlement
        assert (await doubts.Settle(settle(settlement, operator="eve"))).decision == decision
        other = pb.SETTLEMENT_COMMIT + pb.SETTLEMENT_GIVE_UP - settlement
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await doubts.Settle(settle(pb.Settlement.ValueType(other)))
        assert (caught.value.code(), field_of(caught.value)) == (FAILED, "settlement")
        listed = await doubts.List(pb.ListDoubtsRequest())
        assert (list(listed.doubts), list(listed.decisions)) == ([], [decision])
        me = Orchestrator(stub, "me")
        committed = settlement == pb.SETTLEMENT_COMMIT
        assert (await me.ask(Commit("t0", "p1"))).ok is committed
        listed = await doubts.List(pb.ListDoubtsRequest())
        assert listed.decisions[0].contradicted is not committed
    async with agent_at(database_url) as (running, _):
        assert len(running.agent.parts.decisions) == 1


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("transaction_id", ""),
        ("transaction_id", "t/../0"),
        ("part_id", ""),
        ("part_id", "x" * 129),
        ("settlement", 0),
        ("settlement", 3),
        ("operator", ""),
        ("operator", " "),
        ("operator", "x" * 129),
        ("operator", "a\nb"),
        ("operator", "a\u200bb"),
        ("reason", "x" * 257),
        ("reason", "a\x00b"),
    ],
)
async def test_a_malformed_settlement_names_the_field(
    sqlite_url: str, field: str, given: Any
) -> None:
    async with (
        agent_at(sqlite_url) as (running, _),
        open_channel(running.address, insecure=True) as channel,
    ):
        doubts: Any = doubts_pb2_grpc.DoubtsStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await doubts.Settle(settle(**{field: given}))
        assert (caught.value.code(), field_of(caught.value)) == (INVALID, field)


@pytest.mark.parametrize(
    "request_",
    [{"page_size": 0}, {"page_size": 1001}, {"page_token": "%"}, {"older_than_s": -1}],
)
async def test_a_malformed_list_names_the_field(sqlite_url: str, request_: dict[str, Any]) -> None:
    async with (
        agent_at(sqlite_url) as (running, _),
        open_channel(running.address, insecure=True) as channel,
    ):
        doubts: Any = doubts_pb2_grpc.DoubtsStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await doubts.List(pb.ListDoubtsRequest(**request_))
        assert (caught.value.code(), field_of(caught.value)) == (INVALID, next(iter(request_)))


async def test_what_is_not_there_or_not_in_doubt_is_not_settled(sqlite_url: str) -> None:
    async with (
        agent_at(sqlite_url) as (running, stub),
        open_channel(running.address, insecure=True) as channel,
    ):
        doubts: Any = doubts_pb2_grpc.DoubtsStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await doubts.Settle(settle())
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        me = Orchestrator(stub, "me")
        assert (await me.ask(soon("t0"))).ok
        assert (await me.ask(Commit("t0", "p1"))).ok
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await doubts.Settle(settle())
        assert caught.value.code() is FAILED
