"""What waits for an orchestrator is written in few frames, and never without bound."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode

from agents.peers import Sender
from agents.streams import (
    FRAME_BYTES,
    FRAME_MESSAGES,
    QUEUE_BYTES_LIMIT,
    QUEUE_LIMIT,
    STREAMS_LIMIT,
    Stream,
    Streams,
)
from braid.v1 import agent_pb2
from protocol.messages import Inquire, Phase, Reconciled, ReservationResp
from runtime.errors import RequestError

ME = Sender("me", "me")
RESPONSE = ReservationResp("t1", "p1", Phase.PREP, True)


def answer(number: int = 0, size: int = 0) -> ReservationResp:
    return ReservationResp(f"t{number}", "p" * size, Phase.PREP, True)


async def frames_of(stream: Stream) -> list[agent_pb2.AgentFrame]:
    stream.finish()
    return [frame async for frame in stream.frames()]


async def test_a_frame_takes_what_has_queued_in_order_up_to_its_limit() -> None:
    stream = Stream(ME)
    for number in range(2 * FRAME_MESSAGES + 1):
        stream.put(answer(number))
    frames = await frames_of(stream)
    assert [len(frame.messages) for frame in frames] == [FRAME_MESSAGES, FRAME_MESSAGES, 1]
    ids = [m.reservation_resp.transaction_id for frame in frames for m in frame.messages]
    assert ids == [f"t{number}" for number in range(2 * FRAME_MESSAGES + 1)]


async def test_a_frame_is_bounded_in_bytes() -> None:
    stream = Stream(ME)
    for number in range(5):
        stream.put(answer(number, FRAME_BYTES // 2 - 1000))
    frames = await frames_of(stream)
    assert [len(frame.messages) for frame in frames] == [2, 2, 1]
    assert all(frame.ByteSize() <= FRAME_BYTES for frame in frames)
    ids = [m.reservation_resp.transaction_id for frame in frames for m in frame.messages]
    assert ids == [f"t{number}" for number in range(5)]


async def test_a_message_larger_than_a_frame_is_written_alone() -> None:
    stream = Stream(ME)
    for number, size in enumerate((0, FRAME_BYTES + 1, 0, 0)):
        stream.put(answer(number, size))
    assert [len(frame.messages) for frame in await frames_of(stream)] == [1, 1, 2]


async def test_a_frame_that_was_taken_is_not_added_to() -> None:
    stream = Stream(ME)
    stream.put(answer(1))
    frames = stream.frames()
    first = await anext(frames)
    stream.put(answer(2))
    assert len(first.messages) == 1
    assert [m.reservation_resp.transaction_id for m in (await anext(frames)).messages] == ["t2"]


async def test_a_reader_waits_while_too_much_is_unsent() -> None:
    stream = Stream(ME)
    for number in range(QUEUE_LIMIT):
        assert not stream.full
        stream.put(answer(number))
    assert stream.full
    waiting = asyncio.create_task(stream.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(stream.frames())
    await asyncio.wait_for(waiting, 60)


async def test_a_replaced_stream_ends_at_once_and_does_not_take_the_newers_place() -> None:
    streams = Streams()
    older = streams.open(ME)
    older.put(answer())
    newer = streams.open(ME)
    assert [frame async for frame in older.frames()] == []
    streams.close(older)
    streams.send(ME, ReservationResp("t1", "p1", Phase.PREP, True))
    assert len(await frames_of(newer)) == 1


async def test_answers_without_a_stream_are_dropped_and_never_told_to_others() -> None:
    streams = Streams()
    other = streams.open(Sender("other", "other"))
    streams.send(ME, ReservationResp("t1", "p1", Phase.PREP, True))
    assert await frames_of(other) == []


async def test_inquiries_do_not_overfill_a_queue() -> None:
    streams = Streams()
    stream = streams.open(ME)
    for number in range(QUEUE_LIMIT + 100):
        streams.send(Sender("me"), Inquire(f"t{number}", "p1", "r1"))
    frames = await frames_of(stream)
    assert sum(len(frame.messages) for frame in frames) == QUEUE_LIMIT


async def test_answers_go_to_the_instance_that_asked_and_are_dropped_when_it_is_away() -> None:
    streams = Streams()
    one, two = (streams.open(Sender("me", name)) for name in ("one", "two"))
    streams.send(Sender("me", "two"), RESPONSE)
    streams.send(Sender("me", "three"), RESPONSE)
    assert await frames_of(one) == []
    assert sum(len(frame.messages) for frame in await frames_of(two)) == 1


async def test_inquiries_go_round_the_instances_of_their_orchestrator() -> None:
    streams = Streams()
    mine = [streams.open(Sender("me", f"i{number}")) for number in range(3)]
    other = streams.open(Sender("other", "i0"))
    for number in range(9):
        streams.send(Sender("me"), Inquire(f"t{number}", "p1", "r1"))
    assert [len((await frames_of(stream))[0].messages) for stream in mine] == [3, 3, 3]
    assert await frames_of(other) == []


async def test_an_inquiry_avoids_an_instance_that_does_not_read() -> None:
    streams = Streams()
    slow, quick = streams.open(Sender("me", "slow")), streams.open(Sender("me", "quick"))
    while not slow.full:
        slow.put(answer())
    for number in range(10):
        streams.send(Sender("me"), Inquire(f"t{number}", "p1", "r1"))
    assert sum(len(frame.messages) for frame in await frames_of(quick)) == 10


async def test_a_queue_is_bounded_in_messages_and_what_must_be_told_still_fits() -> None:
    streams = Streams()
    stream = streams.open(ME)
    for _ in range(3 * QUEUE_LIMIT):
        streams.send(ME, RESPONSE)
    streams.send(ME, Reconciled(1, "c1"))
    messages = [message for frame in await frames_of(stream) for message in frame.messages]
    assert len(messages) == 2 * QUEUE_LIMIT + 1
    assert messages[-1].reconciled.claims_id == "c1"


async def test_a_queue_is_bounded_in_bytes() -> None:
    stream = Stream(ME)
    size = QUEUE_BYTES_LIMIT // 8
    put = [stream.put(answer(0, size)) for _ in range(40)]
    assert put.count(True) == 16
    assert stream.full
    await anext(stream.frames())
    assert stream.put(answer(0, size))


async def test_an_older_life_of_an_instance_is_refused_for_good() -> None:
    streams = Streams()
    first = streams.open(ME, 7)
    with pytest.raises(RequestError, match="given 6, possible: 7 or more") as caught:
        streams.open(ME, 6)
    assert caught.value.code is StatusCode.FAILED_PRECONDITION
    assert first.ending is None
    streams.close(first)
    with pytest.raises(RequestError):
        streams.open(ME, 6)
    equal = streams.open(ME, 7)
    assert equal.ending is None
    streams.open(ME, 8)
    assert equal.ending is not None
    assert equal.ending.code is StatusCode.ABORTED
    assert streams.open(Sender("other", "me"), 1).ending is None


async def test_the_number_of_streams_is_bounded() -> None:
    streams = Streams()
    opened = [streams.open(Sender("me", f"i{number}")) for number in range(STREAMS_LIMIT)]
    with pytest.raises(RequestError, match="at most 64 streams") as caught:
        streams.open(ME)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    streams.open(opened[3].sender)
    streams.close(opened[0])
    assert streams.open(ME).ending is None


async def test_when_the_epoch_is_raised_every_stream_ends_at_once() -> None:
    streams = Streams()
    mine = [streams.open(Sender("me", f"i{number}")) for number in range(3)]
    for stream in mine:
        stream.put(answer())
    streams.restart()
    for stream in mine:
        assert await frames_of(stream) == []
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.FAILED_PRECONDITION
