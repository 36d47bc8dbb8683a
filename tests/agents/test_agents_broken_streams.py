"""What a stream brought is worked on to its end when it breaks; and windows without bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agent_world import ME, FaultyStore, World, prep

from agents.peers import Sender
from agents.server import DURATION_MAX_S, DomainAgentServicer
from agents.streams import Streams
from braid.v1 import agent_pb2
from protocol.codec import to_agent_to_pb
from protocol.messages import ReqOffers, ToAgent
from protocol.participant import PartState
from substrate.model import Window


async def frames(*messages: ToAgent) -> AsyncIterator[agent_pb2.OrchestratorFrame]:
    yield agent_pb2.OrchestratorFrame(messages=[to_agent_to_pb(each) for each in messages])


async def test_a_stream_that_breaks_amid_a_write_leaves_the_hold_whole() -> None:
    store = FaultyStore()
    world = await World(store).start()
    streams = Streams()
    servicer = DomainAgentServicer(world.agent, streams, world.clock)
    store.gate.clear()
    reader = asyncio.create_task(servicer._read(frames(prep()), streams.open(Sender(ME, ME))))
    await world.settle()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    store.gate.set()
    await world.settle()
    assert world.record().part.state is PartState.HELD
    assert (await world.abort()).ok
    assert world.agent.parts.book.is_empty()


FAR = 10**18


@pytest.mark.parametrize(
    "window",
    [
        Window(-1, 10),
        Window(0, FAR),
        Window(FAR, FAR + 1),
        Window(100, 101 + DURATION_MAX_S),
        Window(1_700_000_000_000, 1_700_000_003_600),
    ],
    ids=str,
)
async def test_windows_that_no_calendar_can_take_are_malformed(window: Window) -> None:
    world = await World().start()
    streams = Streams()
    servicer = DomainAgentServicer(world.agent, streams, world.clock)
    stream = streams.open(Sender(ME, ME))
    asked = ReqOffers("q", window, (("x:a", "x:b"),), 1)
    await servicer._read(frames(replace(prep(), window=window), asked), stream)
    answers = [message async for frame in stream.frames() for message in frame.messages]
    assert [answer.WhichOneof("kind") for answer in answers] == ["reservation_resp", "send_offers"]
    assert "window" in answers[0].reservation_resp.refusal.reason
    assert not answers[1].send_offers.offers
    assert world.agent.parts.book.is_empty()
