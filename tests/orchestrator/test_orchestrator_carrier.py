"""Carrying over gRPC: what is passed on between agents, and what becomes of their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode

from braid.v1 import cloudnets_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer, add_CloudNetsServicer_to_server
from orchestrator.carrier import GrpcCarrier
from orchestrator.link import Status
from orchestrator.ports import Ahead, Brought, NotCarriedError
from runtime.errors import RequestError
from runtime.server import open_channel, serving
from runtime.settings import ListenSettings

INSECURE = ListenSettings(listen="127.0.0.1:0", insecure=True)
ODD = RequestError(StatusCode.FAILED_PRECONDITION, "vnode", "b", "one that is not odd")
BUSY = RequestError(StatusCode.UNAVAILABLE, "vnode", "b", "later: secret-1 is on fire")
ABSENT = RequestError(StatusCode.NOT_FOUND, "vnode", "b", "one that is here")
PIECES = [b"x" * (1 << 18)] * 40 + [b"end"]


@dataclass
class Agent(CloudNetsServicer):
    """``fails``: what each call ends with; ``hangs``: it does not go on after the first message;
    ``spoils``: what an import ends with once all is there; ``keeps``: it knows of copies.
    """

    fails: Exception | None = None
    spoils: Exception | None = None
    exports: int = 0
    hangs: bool = False
    keeps: bool = True
    still_ms: int | None = None
    since: list[str] = field(default_factory=list)
    heard: list[pb.ImportRequest] = field(default_factory=list)
    asked: list[tuple[str, str, list[str]]] = field(default_factory=list)
    errands: list[int] = field(default_factory=list)
    begun: list[bool] = field(default_factory=list)

    async def Export(self, request: pb.ExportRequest, context: Any) -> Any:
        self.exports += 1
        self.since.append(request.since)
        self.errands.append(request.errand)
        copy = request.carry in (pb.CARRY_AHEAD, pb.CARRY_LIVE)
        mark: dict[str, Any] = {"mark": "m2", "since": "m1", "memory": True} if copy else {}
        yield pb.ExportResponse(format="odd/1", off=not copy, still_ms=self.still_ms, **mark)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fails is not None:
            raise self.fails
        for piece in PIECES:
            yield pb.ExportResponse(data=piece)
        yield pb.ExportResponse(digest=b"digest")

    async def Import(self, request_iterator: Any, context: Any) -> pb.ImportResponse:
        self.heard.append(await anext(aiter(request_iterator)))
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fails is not None:
            raise self.fails
        kept = (("braid-kept", "m1"),) if self.keeps else ()
        await context.send_initial_metadata((("braid-ready", "1"), *kept))
        async for message in request_iterator:
            self.heard.append(message)
        if self.spoils is not None:
            raise self.spoils
        return pb.ImportResponse()

    async def Begin(self, request: pb.CarriedRequest, context: Any) -> pb.CarriedResponse:
        self.begun.append(request.begun)
        return self._noted("begin", request)

    async def PutBack(self, request: pb.CarriedRequest, context: Any) -> pb.CarriedResponse:
        return self._noted("put_back", request)

    def _noted(self, what: str, request: pb.CarriedRequest) -> pb.CarriedResponse:
        if self.fails is not None:
            raise self.fails
        self.asked.append((what, request.reservation_id, list(request.vnodes)))
        self.errands.append(request.errand)
        return pb.CarriedResponse()


@dataclass
class World:
    """Two agents, and how these are reached."""

    munich: Agent
    zurich: Agent
    targets: dict[str, str]
    away: set[str] = field(default_factory=set)
    stall_s: float = 30.0

    def status(self, name: str) -> Status | None:
        if name not in self.targets:
            return None
        up = name not in self.away
        return Status(name, self.targets[name], None, up, "" if up else "no answer", 0)

    def channel(self, name: str) -> grpc.aio.Channel:
        return open_channel(self.targets[name], insecure=True)

    @property
    def carrier(self) -> GrpcCarrier:
        return GrpcCarrier(self, self.stall_s, {"r1": 7}.__getitem__)

    async def carry(
        self, source: str = "munich", target: str = "zurich", live: bool = False
    ) -> Brought:
        async with asyncio.timeout(60):
            return await self.carrier.carry("r1", "b", source, target, live=live)

    async def ahead(self) -> Ahead:
        async with asyncio.timeout(60):
            return await self.carrier.ahead("r1", "b", "munich", "zurich")


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        it = World(Agent(), Agent(), {})  # type: ignore[abstract]
        for name, agent in (("munich", it.munich), ("zurich", it.zurich)):
            add = partial(add_CloudNetsServicer_to_server, agent)
            services = {"braid.v1.CloudNets": add}
            server = await stack.enter_async_context(serving(INSECURE, services, 0.0))
            it.targets[name] = server.address
        it.targets["old"] = (await stack.enter_async_context(serving(INSECURE, {}, 0.0))).address
        yield it


async def failing(work: Any) -> NotCarriedError:
    with pytest.raises(NotCarriedError) as caught:
        await work
    return caught.value


async def test_everything_is_passed_on_in_order() -> None:
    async with running() as it:
        await it.carry()
        first, second, *rest = it.zurich.heard
        cold = pb.CARRY_COLD
        assert first == pb.ImportRequest(reservation_id="r1", vnode="b", carry=cold, errand=7)
        assert second == pb.ImportRequest(format="odd/1", off=True)
        assert [message.data for message in rest[:-1]] == PIECES
        assert rest[-1].digest == b"digest"


async def test_copies_go_on_top_of_what_is_kept_where_they_go() -> None:
    async with running() as it:
        size = sum(map(len, PIECES))
        assert await it.ahead() == Ahead(size)
        it.munich.still_ms = 700
        assert await it.ahead() == Ahead(size, still=True)
        assert await it.carry(live=True) == Brought(live=True, still_ms=700, size=size)
        assert await it.carry() == Brought(off=True, still_ms=700, size=size)
        assert it.munich.since == ["m1", "m1", "m1", "m1"]
        told = pb.ImportRequest(format="odd/1", mark="m2", since="m1", memory=True)
        assert it.zurich.heard.count(told) == 3
        firsts = [message.carry for message in it.zurich.heard if message.vnode]
        assert firsts == [pb.CARRY_AHEAD, pb.CARRY_AHEAD, pb.CARRY_LIVE, pb.CARRY_COLD]


async def test_from_who_knows_of_no_copies_none_is_asked_for() -> None:
    async with running() as it:
        it.zurich.keeps = False
        for work in (it.ahead(), it.carry(live=True)):
            error = await failing(work)
            assert (error.final, str(error)) == (True, "zurich takes no copies of VNodes")
        assert it.munich.exports == 0
        await it.carry()


@pytest.mark.parametrize(("wrong", "final"), [(ODD, True), (BUSY, False), (ABSENT, True)])
@pytest.mark.parametrize("who", ["munich", "zurich"])
async def test_who_refuses_is_named_and_whether_that_is_final(
    who: str, wrong: RequestError, final: bool
) -> None:
    async with running() as it:
        getattr(it, who).fails = wrong
        error = await failing(it.carry())
        assert error.final is final
        assert str(error).startswith(f"{who} says: possible is ")
        assert "secret-1" not in str(error)
        getattr(it, who).fails = None
        await it.carry()


async def test_who_is_not_awaited_is_left_alone_where_it_is() -> None:
    async with running() as it:
        it.zurich.fails = ODD
        assert (await failing(it.carry())).final
        assert it.munich.exports == 0


async def test_what_is_refused_once_all_is_there_is_told() -> None:
    async with running() as it:
        it.zurich.spoils = ODD
        assert (await failing(it.carry())).final


@pytest.mark.parametrize("who", ["munich", "zurich"])
async def test_a_bug_of_an_agent_is_tried_again(who: str) -> None:
    async with running() as it:
        getattr(it, who).fails = KeyError("secret-1")
        error = await failing(it.carry())
        assert (error.final, "secret-1" in str(error)) == (False, False)


@pytest.mark.parametrize("who", ["munich", "zurich"])
async def test_who_does_not_go_on_is_left_and_may_be_tried_again(who: str) -> None:
    async with running() as it:
        getattr(it, who).hangs, it.stall_s = True, 0.3
        error = await failing(it.carry())
        assert (error.final, str(error)) == (False, f"{who} did not go on within 0.3 s")


async def test_who_is_away_may_come_back_and_who_cannot_carry_never_will() -> None:
    async with running() as it:
        it.away.add("zurich")
        error = await failing(it.carry())
        assert (error.final, str(error)) == (False, "zurich cannot be reached (no answer)")
        error = await failing(it.carry(target="bern"))
        assert (error.final, str(error)) == (False, "bern cannot be reached (it has left)")
        error = await failing(it.carry("old", "munich"))
        assert (error.final, str(error)) == (True, "old cannot carry VNodes")
        it.targets["munich"] = "127.0.0.1:1"
        it.away.clear()
        assert not (await failing(it.carry("munich", "zurich"))).final
        assert not (await failing(it.carry("zurich", "munich"))).final


async def test_begin_and_put_back_name_the_vnode_and_what_is_not_known_yet_begins_later() -> None:
    async with running() as it:
        await it.carrier.begin("r1", "b", "zurich")
        await it.carrier.put_back("r1", "b", "zurich")
        assert it.zurich.asked == [("begin", "r1", ["b"]), ("put_back", "r1", ["b"])]
        await it.carrier.begin("r1", "b", "zurich", begun=True)
        assert it.zurich.begun == [False, True]
        it.zurich.fails = ABSENT
        assert not (await failing(it.carrier.begin("r1", "b", "zurich"))).final
        # Who carries none awaits none.
        await it.carrier.begin("r1", "b", "old")
        assert (await failing(it.carrier.put_back("r1", "b", "zurich"))).final
        it.zurich.fails = ODD
        assert (await failing(it.carrier.begin("r1", "b", "zurich"))).final
        it.away.add("zurich")
        assert not (await failing(it.carrier.begin("r1", "b", "zurich"))).final


async def test_sources_hear_on_which_errand_a_vnode_is_carried_and_put_back() -> None:
    async with running() as it:
        await it.ahead()
        await it.carry(live=True)
        await it.carrier.put_back("r1", "b", "munich")
        assert it.munich.errands == [7, 7, 7]
