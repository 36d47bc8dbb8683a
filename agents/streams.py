"""The Negotiate streams of an agent: who is connected, and what waits to be written to each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import structlog

from braid.v1 import agent_pb2
from protocol.codec import to_orchestrator_to_pb
from protocol.messages import Inquire, ToOrchestrator

FRAME_MESSAGES = 512
FRAME_BYTES = 2 << 20
QUEUE_LIMIT = 8192

_log = structlog.get_logger(__name__)


class Stream:
    """What waits to be written to one orchestrator, batched as it has queued."""

    def __init__(self, orchestrator_id: str) -> None:
        self.orchestrator_id = orchestrator_id
        self.replaced = False
        self._queue: deque[agent_pb2.AgentMessage] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._finished = False

    @property
    def full(self) -> bool:
        """Whether its reader must wait before it takes more work in."""
        return len(self._queue) >= QUEUE_LIMIT

    def put(self, message: agent_pb2.AgentMessage) -> None:
        """Queues an answer. Readers wait while :attr:`full`, which bounds the queue."""
        self._queue.append(message)
        self._filled.set()
        if self.full:
            self._drained.clear()

    def finish(self, replaced: bool = False) -> None:
        """Lets :meth:`frames` end once the queue is empty; at once when ``replaced``."""
        self._finished = True
        self.replaced = self.replaced or replaced
        self._filled.set()
        self._drained.set()

    async def drained(self) -> None:
        """Waits until the queue is no longer full."""
        await self._drained.wait()

    async def frames(self) -> AsyncIterator[agent_pb2.AgentFrame]:
        """What has queued, as few frames as possible, until :meth:`finish`."""
        while not self.replaced:
            if self._queue:
                yield self._frame()
            elif self._finished:
                return
            else:
                self._filled.clear()
                await self._filled.wait()

    def _frame(self) -> agent_pb2.AgentFrame:
        messages = [self._queue.popleft()]
        size = messages[0].ByteSize()
        while self._queue and len(messages) < FRAME_MESSAGES:
            size += self._queue[0].ByteSize()
            if size > FRAME_BYTES:
                break
            messages.append(self._queue.popleft())
        if not self.full:
            self._drained.set()
        return agent_pb2.AgentFrame(messages=messages)


class Streams:
    """At most one stream per orchestrator: a new one replaces the older."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def open(self, orchestrator_id: str) -> Stream:
        """A new stream; the one before, if any, is told to end."""
        older = self._streams.get(orchestrator_id)
        if older is not None:
            older.finish(replaced=True)
        stream = Stream(orchestrator_id)
        self._streams[orchestrator_id] = stream
        return stream

    def close(self, stream: Stream) -> None:
        """Forgets a stream, unless a newer one has its place."""
        if self._streams.get(stream.orchestrator_id) is stream:
            del self._streams[stream.orchestrator_id]

    def finish(self) -> None:
        """Lets every stream end once what it has queued is written."""
        for stream in list(self._streams.values()):
            stream.finish()

    def send(self, orchestrator_id: str, message: ToOrchestrator) -> None:
        """Queues ``message``; an Inquire goes to any orchestrator when its own is away.

        What cannot be sent is dropped: orchestrators ask again, and so do inquiries.
        """
        stream = self._streams.get(orchestrator_id)
        if isinstance(message, Inquire):
            if stream is None and self._streams:
                stream = self._streams[min(self._streams)]
            if stream is not None and stream.full:
                return
        if stream is None:
            _log.debug("message dropped", orchestrator=orchestrator_id, kind=type(message).__name__)
            return
        stream.put(to_orchestrator_to_pb(message))
