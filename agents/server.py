"""The D-O interface (paper 003, section 3.3.1) over gRPC: ``braid.v1.DomainAgent``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

import grpc
import structlog
from grpc.aio import ServicerContext

from agents.agent import Agent
from agents.cloud_server import CloudNetsServicer, cloud_service
from agents.doubts import DOUBTS_NAME, DoubtsServicer
from agents.metadata import ID_SHAPE, Caller, are_ids, caller_of, is_id
from agents.peers import RestoredError
from agents.rows import prep_to_bytes
from agents.streams import Stream, Streams, describe_again
from agents.values import Key, Record
from agents.watchers import FellBehindError
from braid.v1 import agent_pb2, agent_pb2_grpc, doubts_pb2_grpc
from protocol.codec import (
    CodecError,
    data_plane_to_pb,
    domain_to_pb,
    segment_to_pb,
    to_agent_from_pb,
    window_to_pb,
)
from protocol.messages import (
    Claims,
    Phase,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
    ToAgent,
)
from protocol.participant import PartState
from runtime.clock import Clock
from runtime.errors import RequestError, invalid
from runtime.remembered import Remembered
from runtime.server import Add
from substrate.model import Refusal, RefusalKind, Window

SERVICE_NAME: Final = agent_pb2.DESCRIPTOR.services_by_name["DomainAgent"].full_name
PAGE_LIMIT = 1000
IN_FLIGHT_LIMIT = 2048
TOGETHER_LIMIT = 512
"""Messages whose work begins, and whose changes are written, at once."""
END_MAX_S = 1 << 33
"""In the year 2242."""
DURATION_MAX_S = 4 * 366 * 86_400
CLAIMS_EXPECTED_S = 20.0
_PHASES = {
    "reservation_prep": Phase.PREP,
    "commit": Phase.COMMIT,
    "abort": Phase.ABORT,
    "release": Phase.RELEASE,
}
_HOLDING_STATES = {
    PartState.HELD: agent_pb2.HOLDING_STATE_HELD,
    PartState.COMMITTED: agent_pb2.HOLDING_STATE_COMMITTED,
}

_log = structlog.get_logger(__name__)


def service(agent: Agent, streams: Streams, clock: Clock) -> dict[str, Add]:
    """The services of an agent, as :class:`runtime.server.GrpcServer` takes them."""
    servicer = DomainAgentServicer(agent, streams, clock)
    doubts = DoubtsServicer(agent, streams, clock)
    agent.recovery.raised = streams.restart
    cloudnets = agent.remote.cloudnets() if agent.remote is not None else None
    if agent.clouds is not None:
        cloudnets = CloudNetsServicer(agent.clouds, agent.domain.name)
    clouds = {} if cloudnets is None else cloud_service(cloudnets)
    return {
        SERVICE_NAME: partial(agent_pb2_grpc.add_DomainAgentServicer_to_server, servicer),
        DOUBTS_NAME: partial(doubts_pb2_grpc.add_DoubtsServicer_to_server, doubts),
        **clouds,
    }


class DomainAgentServicer(agent_pb2_grpc.DomainAgentServicer):
    """Lets orchestrators speak to ``agent``, whose answers go through ``streams``."""

    def __init__(self, agent: Agent, streams: Streams, clock: Clock) -> None:
        self._agent = agent
        self._streams = streams
        self._clock = clock
        self._described = Remembered(domain_to_pb, 1)

    async def Describe(
        self,
        request: agent_pb2.DescribeRequest,
        context: ServicerContext[agent_pb2.DescribeRequest, agent_pb2.DescribeResponse],
    ) -> agent_pb2.DescribeResponse:
        """Who this domain is, and what time it is here."""
        return agent_pb2.DescribeResponse(
            domain=self._described(self._agent.domain),
            agent_epoch=self._agent.epoch,
            now_ms=self._clock.now_ms(),
            recovering=self._agent.recovering,
            boot=self._agent.life.boot,
            incarnation=self._agent.life.incarnation,
        )

    async def Negotiate(
        self,
        request_iterator: AsyncIterator[agent_pb2.OrchestratorFrame],
        context: ServicerContext[agent_pb2.OrchestratorFrame, agent_pb2.AgentFrame],
    ) -> AsyncIterator[agent_pb2.AgentFrame]:
        """Takes frames in and gives answers out, until the orchestrator has no more to say."""
        caller = _caller(context)
        sender = caller.sender
        try:
            await self._agent.greet(caller.seen, sender.orchestrator_id)
        except RestoredError as error:
            raise describe_again(str(caller.seen)) from error
        stream = self._streams.open(sender, caller.instance_epoch)
        log = _log.bind(orchestrator=sender.orchestrator_id, instance=sender.instance_id)
        reader = asyncio.create_task(self._read(request_iterator, stream))
        reminder = asyncio.create_task(self._remind(stream))
        try:
            # Tells the orchestrator that the stream is taken, before there is an answer to send.
            await context.send_initial_metadata(())
            log.info("orchestrator connected", epoch=caller.instance_epoch)
            async for frame in stream.frames():
                yield frame
        finally:
            self._streams.close(stream)
            reader.cancel()
            reminder.cancel()
            await asyncio.gather(reader, reminder, return_exceptions=True)
            log.info("orchestrator disconnected", ending=str(stream.ending or ""))
        if stream.ending is not None:
            raise stream.ending

    async def Holdings(
        self,
        request: agent_pb2.HoldingsRequest,
        context: ServicerContext[agent_pb2.HoldingsRequest, agent_pb2.HoldingsResponse],
    ) -> agent_pb2.HoldingsResponse:
        """A page of what is held, in the order of (transaction_id, part_id)."""
        size = request.page_size if request.HasField("page_size") else PAGE_LIMIT
        if not 1 <= size <= PAGE_LIMIT:
            raise invalid("page_size", size, f"1 to {PAGE_LIMIT}")
        records = self._agent.holdings(_key_of(request.page_token), size + 1)
        page = records[:size]
        return agent_pb2.HoldingsResponse(
            holdings=[self._holding(record) for record in page],
            next_page_token=_token_of(page[-1].key) if len(records) > size else "",
            agent_epoch=self._agent.epoch,
        )

    async def Watch(
        self,
        request: agent_pb2.WatchDomainRequest,
        context: ServicerContext[agent_pb2.WatchDomainRequest, agent_pb2.DomainEvent],
    ) -> AsyncIterator[agent_pb2.DomainEvent]:
        """The data plane of every live part, then each change."""
        watcher = self._agent.watch()
        try:
            async for record in watcher:
                yield _event(record)
        except FellBehindError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        finally:
            watcher.close()

    async def _read(
        self, frames: AsyncIterator[agent_pb2.OrchestratorFrame], stream: Stream
    ) -> None:
        """Starts the work of every message; waits while too much is under way or unsent."""
        work: dict[asyncio.Task[None], int] = {}
        try:
            async for frame in frames:
                for at in range(0, len(frame.messages), TOGETHER_LIMIT):
                    messages = frame.messages[at : at + TOGETHER_LIMIT]
                    await stream.drained()
                    while sum(work.values()) + len(messages) > IN_FLIGHT_LIMIT:
                        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                    self._begin(messages, stream, work)
            if work:
                # Not gather: that would cancel the work of others with this reader.
                await asyncio.wait(work)
        finally:
            stream.finish()

    async def _remind(self, stream: Stream) -> None:
        """Ends a stream that brings no claims: described just before the epoch was raised."""
        while True:
            await asyncio.sleep(CLAIMS_EXPECTED_S)
            if self._agent.recovery.misses(stream.sender):
                stream.end(describe_again(stream.sender.orchestrator_id))

    def _begin(
        self,
        messages: Sequence[agent_pb2.OrchestratorMessage],
        stream: Stream,
        work: dict[asyncio.Task[None], int],
    ) -> None:
        """Starts the work of messages that came together; of how many each task of ``work`` is."""
        read = [self._understood(message, stream) for message in messages]
        known = [message for message in read if message is not None]
        task = self._agent.receive(stream.sender, *known)
        if task is not None:
            work[task] = len(known)
            task.add_done_callback(lambda done: _done(done, work))

    def _understood(self, message: agent_pb2.OrchestratorMessage, stream: Stream) -> ToAgent | None:
        """A message as a value; a malformed one is refused."""
        name = stream.sender.orchestrator_id
        try:
            read = _checked(to_agent_from_pb(message), name)
            if isinstance(read, ReservationPrep) and not read.graph:
                # It is stored as it came: a graph has its canonical bytes.
                prep_to_bytes.know(read, message.SerializeToString())
            return read
        except CodecError as error:
            _log.warning("malformed message", orchestrator=name, error=str(error))
            answer = self._refused(message, str(error))
            if answer is not None:
                stream.put(answer)
            return None

    def _refused(
        self, message: agent_pb2.OrchestratorMessage, reason: str
    ) -> SendOffers | ReservationResp | None:
        """The answer to a malformed message, when it says what it belongs to."""
        kind = message.WhichOneof("kind")
        name = self._agent.domain.name
        if kind is None or kind == "claims":
            return None
        if kind == "req_offers":
            return SendOffers(message.req_offers.query_id, name, (), ())
        body: Any = getattr(message, kind)
        refusal = Refusal(RefusalKind.POLICY, f"malformed: {reason}", name)
        return ReservationResp(
            body.transaction_id, body.part_id, _PHASES[kind], False, refusal, self._agent.epoch
        )

    def _holding(self, record: Record) -> agent_pb2.Holding:
        part, prep = record.part, record.part.prep
        assert prep is not None
        return agent_pb2.Holding(
            transaction_id=part.transaction_id,
            part_id=part.part_id,
            reservation_id=prep.reservation_id,
            state=_HOLDING_STATES[part.state],
            segments=[segment_to_pb(segment) for segment in prep.segments],
            window=window_to_pb(prep.window),
            data_plane=data_plane_to_pb(record.data_plane.state),
            rules=self._agent.rules_of(record),
            orchestrator_id=prep.orchestrator_id,
        )


def _done(task: asyncio.Task[None], work: dict[asyncio.Task[None], int]) -> None:
    del work[task]
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("messages not handled", exc_info=error)


def _checked(message: ToAgent, orchestrator_id: str) -> ToAgent:
    """``message``, if its ids may be stored and it speaks for nobody else. Raises CodecError."""
    if isinstance(message, ReservationPrep):
        _check_prep(message, orchestrator_id)
    elif isinstance(message, ReqOffers):
        _check_window(message.window)
    elif isinstance(message, Claims):
        _check_id("claims_id", message.claims_id)
        for claim in message.claims:
            _check_prep(claim.prep, orchestrator_id)
    elif not are_ids(message.part_id, message.transaction_id):
        _check_id("part_id", message.part_id)
        _check_id("transaction_id", message.transaction_id)
    return message


def _check_prep(prep: ReservationPrep, orchestrator_id: str) -> None:
    if not are_ids(prep.orchestrator_id, prep.part_id, prep.reservation_id, prep.transaction_id):
        for field in ("orchestrator_id", "part_id", "reservation_id", "transaction_id"):
            _check_id(field, getattr(prep, field))
    if prep.traceparent:
        _check_id("traceparent", prep.traceparent)
    _check_window(prep.window)
    if prep.orchestrator_id != orchestrator_id:
        raise CodecError("orchestrator_id", repr(prep.orchestrator_id), f"'{orchestrator_id}'")


def _check_window(window: Window) -> None:
    """Calendars divide time: a window of a million years would keep them busy for as long."""
    if not 0 <= window.start_s < END_MAX_S or window.end_s > END_MAX_S:
        given, possible = f"{window.start_s} to {window.end_s}", f"0 to {END_MAX_S}"
        raise CodecError("window", given, possible)
    if window.duration_s > DURATION_MAX_S:
        raise CodecError("window", f"{window.duration_s} s", f"at most {DURATION_MAX_S} s")


def _check_id(field: str, given: str) -> None:
    if not is_id(given):
        raise CodecError(field, repr(given[:200]), ID_SHAPE)


def _event(record: Record) -> agent_pb2.DomainEvent:
    part, data_plane = record.part, record.data_plane
    return agent_pb2.DomainEvent(
        transaction_id=part.transaction_id,
        part_id=part.part_id,
        reservation_id=part.prep.reservation_id if part.prep else "",
        state=data_plane_to_pb(data_plane.state),
        reason=data_plane.reason,
        at_ms=data_plane.changed_ms,
    )


def _caller(context: ServicerContext[Any, Any]) -> Caller:
    return caller_of(dict(context.invocation_metadata() or ()))


def _token_of(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _key_of(token: str) -> Key | None:
    if not token:
        return None
    try:
        transaction_id, part_id = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, binascii.Error) as error:
        raise RequestError(
            grpc.StatusCode.INVALID_ARGUMENT, "page_token", token, "a next_page_token as answered"
        ) from error
    return str(transaction_id), str(part_id)
