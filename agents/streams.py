"""The Negotiate streams of an agent: who is connected, and what waits to be written to each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from grpc import StatusCode

from agents.peers import Sender
from braid.v1 import agent_pb2
from protocol.codec import fill_to_orchestrator
from protocol.messages import Inquire, Reconciled, ToOrchestrator
from runtime.errors import RequestError

FRAME_MESSAGES = 512
FRAME_BYTES = 2 << 20
QUEUE_LIMIT = 8192
QUEUE_BYTES_LIMIT = 64 << 20
STREAMS_LIMIT = 64
EPOCHS_LIMIT = 10_000

_log = structlog.get_logger(__name__)


class Stream:
    """What waits to be written to one instance of an orchestrator, batched as it has queued.

    ``ending``: why it ends, if not in order.
    """

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.ending: RequestError | None = None
        # Only the last one is still added to. Messages are written where they are sent: to put one
        # into another copies it.
        self._frames: deque[_Filling] = deque()
        self._messages = self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._finished = False

    @property
    def full(self) -> bool:
        """Whether its reader must wait before it takes more work in."""
        return self._messages >= QUEUE_LIMIT or self._bytes >= QUEUE_BYTES_LIMIT

    def put(self, message: ToOrchestrator, must: bool = False) -> bool:
        """Queues an answer; False when there is no room for it, not even for one that ``must``.

        Readers wait while :attr:`full`, so that few answers find no room.
        """
        waiting = self._messages
        if waiting >= QUEUE_LIMIT or self._bytes >= QUEUE_BYTES_LIMIT:
            factor = 4 if must else 2
            if waiting >= factor * QUEUE_LIMIT or self._bytes >= factor * QUEUE_BYTES_LIMIT:
                return False
        last = self._frames[-1] if self._frames else self._begin()
        if last.count == FRAME_MESSAGES:
            last = self._begin()
        added = last.messages.add()
        fill_to_orchestrator(added, message)
        size = added.ByteSize()
        if last.count and last.size + size > FRAME_BYTES:
            last.messages.pop()
            last = self._begin()
            last.messages.append(added)
        last.count += 1
        last.size += size
        self._messages, self._bytes = waiting + 1, self._bytes + size
        if not waiting:
            self._filled.set()
        if waiting + 1 >= QUEUE_LIMIT or self._bytes >= QUEUE_BYTES_LIMIT:
            self._drained.clear()
        return True

    def finish(self) -> None:
        """Lets :meth:`frames` end once the queue is empty."""
        self._finished = True
        self._filled.set()
        self._drained.set()

    def end(self, why: RequestError) -> None:
        """Lets :meth:`frames` end at once."""
        self.ending = self.ending or why
        self.finish()

    async def drained(self) -> None:
        """Waits until the queue is no longer full."""
        await self._drained.wait()

    async def frames(self) -> AsyncIterator[agent_pb2.AgentFrame]:
        """What has queued, as few frames as possible, until :meth:`finish`."""
        while self.ending is None:
            if self._frames:
                yield self._next_frame()
            elif self._finished:
                return
            else:
                self._filled.clear()
                await self._filled.wait()

    def _begin(self) -> _Filling:
        frame = agent_pb2.AgentFrame()
        self._frames.append(_Filling(frame, frame.messages))
        return self._frames[-1]

    def _next_frame(self) -> agent_pb2.AgentFrame:
        first = self._frames.popleft()
        self._messages -= first.count
        self._bytes -= first.size
        if not self.full:
            self._drained.set()
        return first.frame


@dataclass(slots=True)
class _Filling:
    """A frame that is being filled: its messages, how many, and their bytes."""

    frame: agent_pb2.AgentFrame
    messages: Any
    count: int = 0
    size: int = 0


class Streams:
    """At most one stream per instance of an orchestrator: a new one replaces the older."""

    def __init__(self) -> None:
        self._streams: dict[Sender, Stream] = {}
        self._epochs: dict[Sender, int] = {}
        self._turn = 0

    def open(self, sender: Sender, instance_epoch: int = 0) -> Stream:
        """A new stream; the one before, if any, is told to end.

        Raises RequestError: FAILED_PRECONDITION when a later life of the instance was here,
        RESOURCE_EXHAUSTED when there are too many.
        """
        newest = self._epochs.get(sender, 0)
        if instance_epoch < newest:
            possible = f"{newest} or more: a later life of this instance was here"
            raise RequestError(
                StatusCode.FAILED_PRECONDITION,
                "metadata braid-instance-epoch",
                instance_epoch,
                possible,
            )
        older = self._streams.pop(sender, None)
        if older is not None:
            older.end(
                _error(StatusCode.ABORTED, sender, "one stream at a time: a newer one is here")
            )
        elif len(self._streams) >= STREAMS_LIMIT:
            possible = f"at most {STREAMS_LIMIT} streams at one time"
            raise _error(StatusCode.RESOURCE_EXHAUSTED, sender, possible)
        self._remember(sender, instance_epoch)
        stream = self._streams[sender] = Stream(sender)
        return stream

    def close(self, stream: Stream) -> None:
        """Forgets a stream, unless a newer one has its place."""
        if self._streams.get(stream.sender) is stream:
            del self._streams[stream.sender]

    def finish(self) -> None:
        """Lets every stream end once what it has queued is written."""
        for stream in list(self._streams.values()):
            stream.finish()

    def restart(self) -> None:
        """Ends every stream at once: everybody must describe the agent again."""
        for stream in list(self._streams.values()):
            stream.end(describe_again(stream.sender.orchestrator_id))

    def connected(self, orchestrator_id: str) -> int:
        """How many instances of an orchestrator are there."""
        return sum(sender.orchestrator_id == orchestrator_id for sender in self._streams)

    def send(self, sender: Sender, message: ToOrchestrator) -> None:
        """Queues a message for an instance, an Inquire for any of its orchestrator in turn.

        What cannot be sent is dropped: orchestrators ask again, and so do inquiries.
        """
        if isinstance(message, Inquire):
            stream = self._next_of(sender)
            sent = stream is not None and not stream.full and stream.put(message)
        else:
            stream = self._streams.get(sender)
            sent = stream is not None and stream.put(message, isinstance(message, Reconciled))
        if not sent:
            _log.debug("message dropped", to=sender, kind=type(message).__name__)

    def _next_of(self, sender: Sender) -> Stream | None:
        """The stream of the next instance in turn that has room."""
        name = sender.orchestrator_id
        streams = [s for who, s in sorted(self._streams.items()) if who.orchestrator_id == name]
        with_room = [stream for stream in streams if not stream.full] or streams
        self._turn += 1
        return with_room[self._turn % len(with_room)] if with_room else None

    def _remember(self, sender: Sender, instance_epoch: int) -> None:
        self._epochs.pop(sender, None)
        self._epochs[sender] = instance_epoch
        if len(self._epochs) > EPOCHS_LIMIT:
            del self._epochs[next(iter(self._epochs))]


def describe_again(given: str) -> RequestError:
    """What an orchestrator hears when the agent's epoch was raised."""
    return RequestError(
        StatusCode.FAILED_PRECONDITION,
        "metadata braid-agent-seen",
        given,
        "describe the agent again: its database was an old copy, and its epoch is raised",
    )


def _error(code: StatusCode, sender: Sender, possible: str) -> RequestError:
    return RequestError(code, "metadata braid-instance-id", sender.instance_id, possible)
