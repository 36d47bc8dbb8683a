"""One agent over gRPC: a connection that is kept up, and its streams.

Messages may be lost whenever the connection breaks; the coordinator's retries and the agents'
inquiries make up for that (design, section 5).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import field
from typing import TYPE_CHECKING

import grpc
import structlog

from braid.v1 import agent_pb2 as pb
from braid.v1.agent_pb2_grpc import DomainAgentStub
from substrate.values import dataclass

if TYPE_CHECKING:
    from braid.v1.agent_pb2_grpc import DomainAgentAsyncStub
from orchestrator.ports import AgentIdentity, ConflictError, DataPlaneReport, Listener, PartKey
from orchestrator.rows import prep_bytes
from protocol.codec import (
    CodecError,
    data_plane_from_pb,
    domain_from_pb,
    fill_to_agent,
    to_orchestrator_from_pb,
)
from protocol.messages import ReservationPrep, ToAgent
from runtime.clock import Clock
from runtime.database import StorageError
from substrate.model import Domain

log = structlog.get_logger()

QUEUE_MAX = 10_000
BATCH_MESSAGES = 512
BATCH_BYTES = 2 * 1024 * 1024
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
DESCRIBE_TIMEOUT_S = 5.0
HOLDINGS_TIMEOUT_S = 30.0
SKEW_ALARM_MS = 2_000

OpenChannel = Callable[[str], grpc.aio.Channel]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opens a stream: an instance of an orchestrator, and which life of it."""

    orchestrator_id: str
    instance_id: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of an agent now; ``domain`` is its last description, also when it is down."""

    name: str
    target: str
    domain: Domain | None
    up: bool
    reason: str
    since_ms: int
    identity: AgentIdentity | None = None


class WrongDomainError(Exception):
    """The agent at this target speaks for another domain."""


class AgentLink:
    """Keeps one agent connected; ``changed`` is called after every change of ``status``."""

    def __init__(
        self,
        name: str,
        target: str,
        caller: Callable[[], Caller],
        open_channel: OpenChannel,
        clock: Clock,
        listener: Listener,
        changed: Callable[[], None],
    ) -> None:
        self.status = Status(name, target, None, False, "not connected yet", clock.now_ms())
        self._caller = caller
        self._open_channel, self._clock, self._listener = open_channel, clock, listener
        self._changed = changed
        # The last description, as it came and as it is read: it is mostly the same again.
        self._told: tuple[pb.DescribeResponse, Domain | None] = pb.DescribeResponse(), None
        self._outbox = _Outbox()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begins to connect, and goes on until ``stop``."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Closes the connection."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(self, message: ToAgent) -> bool:
        """Queues a message; False when the agent is down or its queue is full."""
        if not self.status.up or len(self._outbox.messages) >= QUEUE_MAX:
            return False
        if not self._outbox.messages:
            # Whoever waits for what these messages follow from hears of it first.
            asyncio.get_running_loop().call_soon(self._outbox.filled.set)
        self._outbox.messages.append(message)
        return True

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                await self._session()
                reason = "the agent closed the stream"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except (CodecError, WrongDomainError) as error:
                reason = str(error)
            except ConflictError:
                reason = "the agent has started anew meanwhile, or from an old database"
            except StorageError as error:
                reason = f"the orchestrator's database cannot be used: {error}"
            except Exception as error:
                log.exception("agent session broke", domain=self.status.name)
                reason = f"internal: {type(error).__name__}"
            if self.status.up:
                backoff_s = BACKOFF_FIRST_S
            self._set(up=False, reason=reason)
            if self._stopping:
                # A TaskGroup that was just ending for another reason swallows the cancellation.
                return
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _session(self) -> None:
        async with self._open_channel(self.status.target) as channel:
            stub = DomainAgentStub(channel)
            domain, identity = await self._describe(stub)
            seen = await self._listener.met(domain.name)
            self._outbox = _Outbox()
            metadata = _metadata(self._caller(), seen)
            stream = stub.Negotiate(_frames(self._outbox), metadata=metadata)
            await stream.initial_metadata()
            await self._listener.on_meet(domain.name, identity, lambda: _holdings(stub))
            self._set(up=True, reason="", domain=domain, identity=identity)
            self._listener.on_up(self.status.name)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch(stub))
                    await self._read(stream)
                    raise _SessionOver
            except* _SessionOver:
                pass
            except* Exception as ended:
                # What ended it has cancelled the rest: there is one.
                raise ended.exceptions[0] from None

    async def _describe(self, stub: DomainAgentAsyncStub) -> tuple[Domain, AgentIdentity]:
        answer: pb.DescribeResponse = await stub.Describe(
            pb.DescribeRequest(), timeout=DESCRIBE_TIMEOUT_S
        )
        before, domain = self._told
        if domain is None or before.domain != answer.domain:
            domain = domain_from_pb(answer.domain)
            self._told = answer, domain
        if domain.name != self.status.name:
            raise WrongDomainError(
                f"the agent at {self.status.target} speaks for '{domain.name}', "
                f"not for '{self.status.name}'"
            )
        skew_ms = answer.now_ms - self._clock.now_ms()
        if abs(skew_ms) > SKEW_ALARM_MS:
            log.warning("clock skew", domain=domain.name, skew_ms=skew_ms)
        identity = AgentIdentity(
            answer.agent_epoch, answer.boot, answer.incarnation, answer.recovering
        )
        return domain, identity

    async def _read(self, stream: AsyncIterable[pb.AgentFrame]) -> None:
        async for frame in stream:
            for item in frame.messages:
                try:
                    message = to_orchestrator_from_pb(item)
                except CodecError as error:
                    log.warning("message not understood", domain=self.status.name, why=str(error))
                    continue
                self._listener.on_message(self.status.name, message)

    async def _watch(self, stub: DomainAgentAsyncStub) -> None:
        events: AsyncIterable[pb.DomainEvent] = stub.Watch(pb.WatchDomainRequest())
        async for event in events:
            report = DataPlaneReport(
                transaction_id=event.transaction_id,
                part_id=event.part_id,
                reservation_id=event.reservation_id,
                state=data_plane_from_pb(event.state),
                reason=event.reason,
            )
            self._listener.on_data_plane(self.status.name, report)

    def _set(
        self,
        *,
        up: bool,
        reason: str,
        domain: Domain | None = None,
        identity: AgentIdentity | None = None,
    ) -> None:
        before = self.status
        since_ms = before.since_ms if before.up == up else self._clock.now_ms()
        self.status = Status(
            before.name,
            before.target,
            domain or before.domain,
            up,
            reason,
            since_ms,
            identity or before.identity,
        )
        if before != self.status:
            log.info("domain is up" if up else "domain is down", domain=before.name, reason=reason)
            self._changed()


@dataclass(slots=True)
class _Outbox:
    """What waits to be sent in one session."""

    messages: deque[ToAgent] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)


async def _frames(outbox: _Outbox) -> AsyncIterator[pb.OrchestratorFrame]:
    """Whatever has queued goes out as one frame (design, section 8: opportunistic batching)."""
    while True:
        await outbox.filled.wait()
        outbox.filled.clear()
        while outbox.messages:
            yield _frame(outbox.messages)


def _frame(messages: deque[ToAgent]) -> pb.OrchestratorFrame:
    """Takes off as many as one frame has room for."""
    frame, size = pb.OrchestratorFrame(), 0
    while messages and len(frame.messages) < BATCH_MESSAGES and size < BATCH_BYTES:
        item, message = frame.messages.add(), messages.popleft()
        if isinstance(message, ReservationPrep):
            item.reservation_prep.MergeFromString(prep_bytes(message))
        else:
            fill_to_agent(item, message)
        size += item.ByteSize()
    return frame


async def _holdings(stub: DomainAgentAsyncStub) -> frozenset[PartKey]:
    """All parts that the agent holds, however many pages they are."""
    found: set[PartKey] = set()
    token = ""
    while True:
        page: pb.HoldingsResponse = await stub.Holdings(
            pb.HoldingsRequest(page_token=token), timeout=HOLDINGS_TIMEOUT_S
        )
        found.update((holding.transaction_id, holding.part_id) for holding in page.holdings)
        token = page.next_page_token
        if not token:
            return frozenset(found)


def _metadata(caller: Caller, seen: AgentIdentity | None) -> tuple[tuple[str, str], ...]:
    """What agent.proto says about Negotiate's metadata."""
    found = [
        ("braid-orchestrator-id", caller.orchestrator_id),
        ("braid-instance-id", caller.instance_id),
        ("braid-instance-epoch", str(caller.epoch)),
    ]
    if seen is not None:
        found.append(("braid-agent-seen", f"{seen.epoch}.{seen.boot}.{seen.incarnation}"))
    return tuple(found)


class _SessionOver(Exception):
    """Ends the task group of a session whose stream is over."""
