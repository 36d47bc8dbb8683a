"""gRPC in memory: what arrives, when, how often, and what breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

import grpc
import pytest
from grpc.aio import AioRpcError
from grpc_status import rpc_status

from braid.v1 import agent_pb2 as pb, cloudnets_pb2
from braid.v1.agent_pb2_grpc import (
    DomainAgentServicer,
    DomainAgentStub,
    add_DomainAgentServicer_to_server,
)
from braid.v1.cloudnets_pb2_grpc import (
    CloudNetsServicer,
    CloudNetsStub,
    add_CloudNetsServicer_to_server,
)
from runtime.errors import invalid, request_error_of
from simulations.faults.lanes import MessageFault, Planned
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.rpc import Call, Services
from simulations.faults.wire import KEEPALIVE_S, Wire


class Echo(DomainAgentServicer):
    """Answers every message with a SendOffers that has its query_id."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def Describe(self, request: Any, context: Any) -> pb.DescribeResponse:
        return pb.DescribeResponse(agent_epoch=7)

    async def Holdings(self, request: Any, context: Any) -> pb.HoldingsResponse:
        raise invalid("page_size", request.page_size, "1 to 1000")

    def Watch(self, request: Any, context: Any) -> AsyncIterator[pb.DomainEvent]:
        raise NotImplementedError

    async def Negotiate(self, frames: Any, context: Any) -> AsyncIterator[pb.AgentFrame]:
        await context.send_initial_metadata(())
        async for frame in frames:
            for message in frame.messages:
                query_id = message.req_offers.query_id
                self.heard.append(query_id)
                if query_id == "stop":
                    await context.abort(grpc.StatusCode.ABORTED, "as asked")
                answer = pb.SendOffers(query_id=query_id)
                yield pb.AgentFrame(messages=[pb.AgentMessage(send_offers=answer)])


class World:
    """An instance "a" and a domain "m1"."""

    def __init__(self, planned: Planned | None = None) -> None:
        self.loop = FaultLoop(1)
        self.errors: list[BaseException] = []
        self.counts: list[str] = []
        self.wire = Wire(
            self.loop, "s", planned or {}, self.counts.append, None, self.errors.append
        )
        self.agent, self.instance = Process(self.loop, "m1"), Process(self.loop, "a")
        self.echo = Echo()
        self.serve()
        channel = cast(grpc.aio.Channel, self.wire.channel("a", "m1"))
        self.stub: Any = DomainAgentStub(channel)
        self.link = self.wire.link("a", "m1")

    def serve(self) -> None:
        services = Services()
        add_DomainAgentServicer_to_server(self.echo, cast(grpc.aio.Server, services))
        self.wire.serve("m1", self.agent, services)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            return await self.instance.spawn(work)

        try:
            return self.loop.run_until_complete(main())
        finally:
            self.loop.close()


def frame(*ids: str) -> pb.OrchestratorFrame:
    messages = [pb.OrchestratorMessage(req_offers=pb.ReqOffers(query_id=i)) for i in ids]
    return pb.OrchestratorFrame(messages=messages)


class Talk:
    """A Negotiate stream from the instance's side."""

    def __init__(self, world: World) -> None:
        self.queue: asyncio.Queue[pb.OrchestratorFrame] = asyncio.Queue()
        self.call: Call = world.stub.Negotiate(self._frames(), metadata=())
        self.answers: list[str] = []
        self.error: AioRpcError | None = None
        self.reading = asyncio.create_task(self._read())

    async def _frames(self) -> AsyncIterator[pb.OrchestratorFrame]:
        while True:
            yield await self.queue.get()

    async def _read(self) -> None:
        try:
            async for answer in self.call:
                self.answers += [m.send_offers.query_id for m in answer.messages]
        except AioRpcError as error:
            self.error = error


def test_a_unary_call_is_answered_after_a_moment() -> None:
    world = World()

    async def work() -> None:
        answer = await world.stub.Describe(pb.DescribeRequest(), timeout=5)
        assert answer.agent_epoch == 7
        assert 0 < world.loop.time() < 1

    world.run(work())


def test_errors_of_a_servicer_are_statuses() -> None:
    world = World()

    async def work() -> None:
        with pytest.raises(AioRpcError) as caught:
            await world.stub.Holdings(pb.HoldingsRequest(page_size=0))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "page_size" in str(caught.value.details())
        talk = Talk(world)
        await talk.call.initial_metadata()
        talk.queue.put_nowait(frame("stop"))
        await talk.reading
        assert talk.error is not None
        assert talk.error.code() is grpc.StatusCode.ABORTED

    world.run(work())
    assert world.errors == []


def test_nobody_there_is_unavailable() -> None:
    world = World()

    async def work() -> None:
        world.agent.kill()
        world.wire.gone(world.agent)
        with pytest.raises(AioRpcError) as caught:
            await world.stub.Describe(pb.DescribeRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    world.run(work())


def test_messages_of_a_stream_arrive_in_order() -> None:
    world = World()

    async def work() -> None:
        talk = Talk(world)
        for number in range(50):
            talk.queue.put_nowait(frame(str(number)))
        await asyncio.sleep(60)
        assert talk.answers == [str(number) for number in range(50)]

    world.run(work())


def test_messages_are_lost_doubled_and_late_as_planned() -> None:
    world = World(
        {
            ("a>m1", 2): MessageFault(None, copy=False),
            ("a>m1", 3): MessageFault(1.0, copy=True),
            ("a>m1", 4): MessageFault(2.0, copy=False),
            ("m1>a", 1): MessageFault(None, copy=False),
        }
    )

    async def work() -> None:
        talk = Talk(world)
        talk.queue.put_nowait(frame("1", "2", "3", "4", "5"))
        await asyncio.sleep(30)
        assert world.echo.heard == ["1", "3", "5", "3", "4"]
        assert talk.answers == ["3", "5", "3", "4"]
        assert sorted(world.counts) == ["doubled", "late", "lost", "lost"]
        assert world.wire.late == 0

    world.run(work())


def test_a_late_message_arrives_in_the_next_session() -> None:
    world = World({("a>m1", 1): MessageFault(5.0, copy=False)})

    async def work() -> None:
        first = Talk(world)
        first.queue.put_nowait(frame("1"))
        await asyncio.sleep(1)
        world.wire.reset(world.link)
        await first.reading
        assert first.error is not None
        second = Talk(world)
        await asyncio.sleep(10)
        assert world.echo.heard == ["1"]
        assert second.answers == ["1"]

    world.run(work())


def test_a_short_cut_only_delays() -> None:
    world = World()

    async def work() -> None:
        talk = Talk(world)
        await talk.call.initial_metadata()
        world.wire.cut(world.link)
        talk.queue.put_nowait(frame("1"))
        await asyncio.sleep(KEEPALIVE_S / 2)
        assert world.echo.heard == []
        world.wire.mend(world.link)
        await asyncio.sleep(1)
        assert talk.answers == ["1"]

    world.run(work())


def test_a_long_cut_is_noticed_and_loses_what_is_under_way() -> None:
    world = World()

    async def work() -> None:
        talk = Talk(world)
        await talk.call.initial_metadata()
        world.wire.cut(world.link)
        talk.queue.put_nowait(frame("1"))
        await talk.reading
        assert talk.error is not None
        assert talk.error.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(AioRpcError) as caught:
            await world.stub.Describe(pb.DescribeRequest(), timeout=1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        world.wire.mend(world.link)
        await asyncio.sleep(5)
        assert world.echo.heard == []

    world.run(work())


def test_a_call_that_its_client_cancels_ends_at_the_server() -> None:
    world = World()

    async def work() -> None:
        talk = Talk(world)
        await talk.call.initial_metadata()
        talk.call.cancel()
        await asyncio.sleep(1)
        assert talk.reading.done()
        assert world.link.calls == {}

    world.run(work())
    assert world.errors == []


def test_a_slow_link_takes_longer() -> None:
    def took_s(factor: float) -> float:
        world = World()
        world.link.slow = factor

        async def work() -> float:
            await world.stub.Describe(pb.DescribeRequest())
            return world.loop.time()

        return float(world.run(work()))

    assert took_s(50) > 10 * took_s(1)


def test_who_dies_leaves_the_address_to_its_twin() -> None:
    world = World()
    first, second = world.agent, Process(world.loop, "m1 again")

    async def asked() -> str:
        try:
            answer = await world.stub.Describe(pb.DescribeRequest(), timeout=5)
        except AioRpcError as error:
            return error.code().name
        return str(answer.agent_epoch)

    async def work() -> None:
        world.agent = second
        world.serve()
        assert await asked() == "7"
        first.pause()
        assert await asked() == "7"
        second.kill()
        world.wire.gone(second)
        first.resume()
        assert await asked() == "7"
        first.kill()
        world.wire.gone(first)
        assert await asked() == "UNAVAILABLE"

    world.run(work())


def test_a_stream_that_is_not_taken_fails_where_it_is_waited_for() -> None:
    world = World()

    async def work() -> None:
        world.agent.pause()
        talk = Talk(world)
        taken = asyncio.create_task(talk.call.initial_metadata())
        await asyncio.sleep(1)
        assert not taken.done()
        world.wire.reset(world.link)
        with pytest.raises(AioRpcError) as caught:
            await taken
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await talk.reading

    world.run(work())


def test_what_a_servicer_breaks_with_is_heard() -> None:
    world = World()

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    async def work() -> None:
        world.echo.Describe = broken  # type: ignore[method-assign, assignment]
        world.serve()
        with pytest.raises(AioRpcError) as caught:
            await world.stub.Describe(pb.DescribeRequest(), timeout=2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    world.run(work())
    assert [type(error) for error in world.errors] == [ZeroDivisionError]


def test_messages_are_copies() -> None:
    world = World()

    async def work() -> None:
        talk = Talk(world)
        sent = frame("before")
        talk.queue.put_nowait(sent)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sent.messages[0].req_offers.query_id = "after"
        await asyncio.sleep(5)
        assert talk.answers == ["before"]

    world.run(work())


# Calls about VNodes: written request by request, and broken at one of them ------------------------


class Takes(CloudNetsServicer):
    """Takes what comes after it has said so; of nothing it says that there is none."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.over = 0

    async def Import(self, requests: Any, context: Any) -> cloudnets_pb2.ImportResponse:
        first = await anext(aiter(requests))
        if not first.vnode:
            raise invalid("vnode", "", "a name")
        await context.send_initial_metadata((("said", first.vnode),))
        try:
            async for request in requests:
                self.taken.append(request.data)
        finally:
            self.over += 1
        return cloudnets_pb2.ImportResponse()

    async def Export(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for piece in (b"1", b"2"):
            yield cloudnets_pb2.ExportResponse(data=piece)


class CloudWorld(World):
    def __init__(self, snaps: dict[tuple[str, int], str] | None = None) -> None:
        super().__init__()
        self.wire.snaps |= snaps or {}
        self.takes = Takes()  # type: ignore[abstract]
        services = Services()
        add_CloudNetsServicer_to_server(self.takes, cast(grpc.aio.Server, services))
        self.wire.serve("m1", self.agent, services)
        self.crashed: list[Process] = []
        self.wire.crash = self.crashed.append
        self.cloud: Any = CloudNetsStub(cast(grpc.aio.Channel, self.wire.channel("a", "m1")))


def test_requests_are_written_and_the_answer_is_awaited() -> None:
    world = CloudWorld()

    async def work() -> None:
        call = world.cloud.Import()
        await call.write(cloudnets_pb2.ImportRequest(vnode="v"))
        assert dict(await call.initial_metadata()) == {"said": "v"}
        for piece in (b"1", b"2"):
            await call.write(cloudnets_pb2.ImportRequest(data=piece))
        await call.done_writing()
        assert not call.done()
        assert await call == cloudnets_pb2.ImportResponse()
        assert call.done()
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(cloudnets_pb2.ImportRequest())
        assert world.takes.taken == [b"1", b"2"]

    world.run(work())


def test_answers_are_read_until_there_are_no_more() -> None:
    world = CloudWorld()

    async def work() -> None:
        call = world.cloud.Export(cloudnets_pb2.ExportRequest())
        found = [await call.read() for _ in range(3)]
        assert [each.data for each in found[:2]] == [b"1", b"2"]
        assert not found[2]

    world.run(work())


def test_a_refusal_is_told_with_all_that_it_says_and_nothing_was_said_before() -> None:
    world = CloudWorld()

    async def work() -> None:
        call = world.cloud.Import()
        await call.write(cloudnets_pb2.ImportRequest())
        assert not list(await call.initial_metadata())
        with pytest.raises(AioRpcError) as caught:
            await call
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        assert status is not None
        error = request_error_of(status)
        assert error is not None
        assert (error.field, error.possible) == ("vnode", "a name")

    world.run(work())


def test_who_gives_up_is_not_served_any_more() -> None:
    world = CloudWorld()

    async def work() -> None:
        call = world.cloud.Import()
        await call.write(cloudnets_pb2.ImportRequest(vnode="v"))
        await call.initial_metadata()
        call.cancel()
        await asyncio.sleep(1)
        assert call.done()
        assert world.takes.over == 1
        assert world.wire.link("a", "m1").calls == {}

    world.run(work())


@pytest.mark.parametrize(
    ("lane", "word", "taken"),
    [
        ("a>m1", "before", []),
        ("a>m1", "after", [b"1"]),
        ("a>m1", "crash", [b"1"]),
        ("m1>a", "before", [b"1", b"2"]),
    ],
)
def test_the_connection_breaks_at_a_message(lane: str, word: str, taken: list[bytes]) -> None:
    world = CloudWorld({(lane, 2 if lane == "a>m1" else 1): word})

    async def pour(call: Any) -> None:
        await call.write(cloudnets_pb2.ImportRequest(vnode="v"))
        for piece in (b"1", b"2"):
            await asyncio.sleep(1)
            if not call.done():
                await call.write(cloudnets_pb2.ImportRequest(data=piece))
        await call.done_writing()
        await call

    async def work() -> None:
        with pytest.raises(AioRpcError) as caught:
            await pour(world.cloud.Import())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert world.takes.taken == taken
        assert world.counts == ["snap"]
        assert world.crashed == ([world.agent] if word == "crash" else [])

    world.run(work())
