"""What waits for an orchestrator is written in few frames, and never without bound."""

from __future__ import annotations

import asyncio

from agents.streams import FRAME_BYTES, FRAME_MESSAGES, QUEUE_LIMIT, Stream, Streams
from braid.v1 import agent_pb2
from protocol.messages import Inquire, Phase, ReservationResp


def answer(number: int = 0, size: int = 0) -> agent_pb2.AgentMessage:
    response = agent_pb2.ReservationResp(transaction_id=f"t{number}", part_id="p" * size)
    return agent_pb2.AgentMessage(reservation_resp=response)


async def frames_of(stream: Stream) -> list[agent_pb2.AgentFrame]:
    stream.finish()
    return [frame async for frame in stream.frames()]


async def test_a_frame_takes_what_has_queued_in_order_up_to_its_limit() -> None:
    stream = Stream("me")
    for number in range(2 * FRAME_MESSAGES + 1):
        stream.put(answer(number))
    frames = await frames_of(stream)
    assert [len(frame.messages) for frame in frames] == [FRAME_MESSAGES, FRAME_MESSAGES, 1]
    ids = [m.reservation_resp.transaction_id for frame in frames for m in frame.messages]
    assert ids == [f"t{number}" for number in range(2 * FRAME_MESSAGES + 1)]


async def test_a_frame_is_bounded_in_bytes() -> None:
    stream = Stream("me")
    for number in range(5):
        stream.put(answer(number, FRAME_BYTES // 2 - 1000))
    frames = await frames_of(stream)
    assert [len(frame.messages) for frame in frames] == [2, 2, 1]
    assert all(frame.ByteSize() <= FRAME_BYTES for frame in frames)


async def test_a_reader_waits_while_too_much_is_unsent() -> None:
    stream = Stream("me")
    for number in range(QUEUE_LIMIT):
        assert not stream.full
        stream.put(answer(number))
    assert stream.full
    waiting = asyncio.create_task(stream.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(stream.frames())
    await asyncio.wait_for(waiting, 5)


async def test_a_replaced_stream_ends_at_once_and_does_not_take_the_newers_place() -> None:
    streams = Streams()
    older = streams.open("me")
    older.put(answer())
    newer = streams.open("me")
    assert [frame async for frame in older.frames()] == []
    streams.close(older)
    streams.send("me", ReservationResp("t1", "p1", Phase.PREP, True))
    assert len(await frames_of(newer)) == 1


async def test_answers_without_a_stream_are_dropped_and_never_told_to_others() -> None:
    streams = Streams()
    other = streams.open("other")
    streams.send("me", ReservationResp("t1", "p1", Phase.PREP, True))
    assert await frames_of(other) == []


async def test_inquiries_do_not_overfill_a_queue() -> None:
    streams = Streams()
    stream = streams.open("me")
    for number in range(QUEUE_LIMIT + 100):
        streams.send("elsewhere", Inquire(f"t{number}", "p1", "r1"))
    frames = await frames_of(stream)
    assert sum(len(frame.messages) for frame in frames) == QUEUE_LIMIT
