"""The U-O interface over gRPC."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext

from braid.v1 import reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import ReservationsServicer
from orchestrator import tokens
from orchestrator.bounds import Bounds
from orchestrator.explanation import Alternative, AlternativeKind, Explanation
from orchestrator.flexibility import check_accept_alone
from orchestrator.many import many
from orchestrator.ports import ConflictError, LostError
from orchestrator.records import Granted, Kind, Reservation, State
from orchestrator.service import (
    DrainingError,
    NotFoundError,
    NotNowError,
    Orchestrator,
    Order,
    RequestTakenError,
    TokenTakenError,
)
from orchestrator.tokens import Accepted
from orchestrator.validation import (
    REQUEST_ID,
    check_change,
    check_criteria,
    check_order,
    check_request_id,
    check_timeout,
    digest,
)
from orchestrator.wire import (
    plan_to_pb,
    recent_to_pb,
    record_to_pb,
    refused_plan_to_pb,
    shortened,
)
from orchestrator.work import TooManyError
from runtime.database import StorageError
from runtime.errors import RequestError, full, invalid, told
from substrate.model import Criteria

Context = ServicerContext[Any, Any]
AWAITED_AGAIN_S = 2.0
PAGE_TOKEN = re.compile("[0-9]{1,18}")
SEQUENCE_MAX = 2**63 - 1
PAGE_DEFAULT = 100
PAGE_MAX = 1000
EVENTS_PAGE = 500
DETAILS_MAX_BYTES = 4096
"""gRPC takes 8 kB of metadata, in which a status is written by base64, beside its text."""
WATCH_POLL_S = 0.25
"""How often is looked for events that other instances have written."""


class ReservationsService(ReservationsServicer):
    """``braid.v1.Reservations``; what each call promises is in reservations.proto."""

    def __init__(self, orchestrator: Orchestrator, bounds: Bounds) -> None:
        self._orchestrator = orchestrator
        self._bounds = bounds
        # Requests of streams wait for a negotiation's place; calls are told to ask again.
        self._places = asyncio.Semaphore(orchestrator.engine.limits.negotiations_max)

    async def Plan(self, request: pb.Reservation, context: Context) -> pb.PlanResponse:
        engine = self._orchestrator.engine
        known = engine.gateway.known()
        with _not_yet(engine.gateway.awaited):
            criteria = check_criteria(request, known, engine.now_ms(), self._bounds)
        return await self._plan(criteria, check_timeout(request))

    async def _plan(self, criteria: Criteria, timeout_s: int) -> pb.PlanResponse:
        outcome = await self._orchestrator.plan(criteria, timeout_s)
        if isinstance(outcome, Granted):
            return plan_to_pb(outcome)
        return refused_plan_to_pb(outcome.refusals, outcome.explanation, outcome.proof)

    async def Reserve(self, request: pb.Reservation, context: Context) -> pb.ReservationRecord:
        return await self._reserve(request)

    async def ReserveMany(
        self, request_iterator: AsyncIterator[pb.ReserveManyRequest], context: Context
    ) -> AsyncIterator[pb.ReserveManyResponse]:
        async with aclosing(many(request_iterator, self._outcome)) as responses:
            async for response in responses:
                yield response

    async def _outcome(self, request: pb.Reservation) -> pb.ReserveOutcome:
        try:
            async with self._places:
                record = await self._reserve(request)
        except Exception as error:
            status = told(error, "ReserveMany", self._orchestrator.engine.ids).SerializeToString()
            return pb.ReserveOutcome(request_id=request.request_id, status=status)
        return pb.ReserveOutcome(request_id=request.request_id, record=record)

    async def _reserve(self, request: pb.Reservation) -> pb.ReservationRecord:
        check_request_id(request.request_id)
        with _explained(request.request_id, ""):
            try:
                known = request.accept and await self._recorded(request)
                record = known or await self._begin(request)
            except (RequestError, TooManyError, DrainingError, StorageError):
                # What was a good request once may not be one now, and may be on record.
                known = await self._recorded(request)
                if known is None:
                    raise
                record = known
            if not request.detach:
                record = await self._orchestrator.decided(record.reservation_id)
        return recent_to_pb(record)

    async def _recorded(self, request: pb.Reservation) -> Reservation | None:
        return await self._orchestrator.recorded(request.request_id, digest(request))

    async def _begin(self, request: pb.Reservation) -> Reservation:
        if not request.accept:
            return await self._orchestrator.reserve(self._order(request))
        check_accept_alone(request)
        accepted, now_ms = tokens.read(request.accept), self._orchestrator.engine.now_ms()
        if accepted.expires_ms <= now_ms:
            late = self._order(request, tokens.again(accepted, now_ms // 1000))
            raise await self._fresh(late, request.accept, "has expired")
        order = self._order(request, accepted)
        try:
            return await self._orchestrator.reserve(order)
        except TokenTakenError:
            raise await self._fresh(order, request.accept, "was taken by another request") from None

    async def _fresh(self, order: Order, token: str, why: str) -> RequestError:
        """What is told instead of granting a token that is of no use any more."""
        engine = self._orchestrator.engine
        answer = await self._plan(order.criteria, order.timeout_s)
        if answer.feasible:
            again = Alternative(AlternativeKind.EARLIEST_START, order.criteria, "the same, again")
            answer = refused_plan_to_pb(
                (), Explanation(alternatives=(tokens.sign(engine.ids, engine.now_ms(), again),))
            )
        possible = f"a fresh alternative, of which the details have some: this one {why}"
        return RequestError(
            StatusCode.FAILED_PRECONDITION,
            "accept",
            token,
            possible,
            more=(shortened(answer, DETAILS_MAX_BYTES),),
        )

    async def Modify(self, request: pb.ModifyRequest, context: Context) -> pb.ReservationRecord:
        check_request_id(request.request_id)
        with _explained(request.request_id, request.reservation_id):
            record = await self._orchestrator.recorded(request.request_id, digest(request))
            if record is None:
                before = await self.record(request.reservation_id)
                record = await self._orchestrator.modify(
                    request.reservation_id, self._change(request, before)
                )
                if record.change is not None:
                    record = await self._orchestrator.changed(
                        request.reservation_id, request.request_id
                    )
                if record.modified:
                    await self._orchestrator.given_back(before.transaction_id)
            elif record.change is not None:
                record = await self._orchestrator.changed(
                    request.reservation_id, request.request_id
                )
        return record_to_pb(record)

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.ReservationRecord:
        await self.record(request.reservation_id)
        with _explained("", request.reservation_id):
            record = await self._orchestrator.cancel(request.reservation_id)
            await self._orchestrator.given_back(record.transaction_id)
        return record_to_pb(await self.record(request.reservation_id))

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.ReservationRecord:
        if bool(request.reservation_id) == bool(request.request_id):
            given = "both" if request.request_id else "neither"
            raise invalid("reservation_id", given, "reservation_id or request_id")
        if request.reservation_id:
            return record_to_pb(await self.record(request.reservation_id))
        check_request_id(request.request_id)
        try:
            return record_to_pb(await self._orchestrator.by_request(request.request_id))
        except NotFoundError:
            possible = "the request_id of an earlier Reserve or Modify"
            raise RequestError(
                StatusCode.NOT_FOUND, "request_id", request.request_id, possible
            ) from None

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        size = request.page_size if request.HasField("page_size") else PAGE_DEFAULT
        if not 1 <= size <= PAGE_MAX:
            raise invalid("page_size", size, f"1 to {PAGE_MAX}")
        if request.page_token and not PAGE_TOKEN.fullmatch(request.page_token):
            raise invalid("page_token", request.page_token, "next_page_token of a ListResponse")
        known = {state.value for state in State}
        for value in request.states:
            if value not in known:
                raise invalid("states", value, ", ".join(state.name for state in State))
        rows = await self._orchestrator.engine.store.reservations(
            frozenset(int(value) for value in request.states),
            request.page_token,
            size + 1,
            _kind(request.kind),
        )
        page = rows[:size]
        return pb.ListResponse(
            reservations=[record_to_pb(record) for _, record in page],
            next_page_token=page[-1][0] if len(rows) > size else "",
        )

    async def Watch(
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.ReservationEvent]:
        if request.until_decided and not request.reservation_id:
            raise invalid("reservation_id", "absent", "the reservation that until_decided means")
        if request.reservation_id:
            await self.record(request.reservation_id)
        engine, seen = self._orchestrator.engine, min(request.after_sequence, SEQUENCE_MAX)
        if not request.reservation_id and not seen:
            seen = await engine.store.last_event()
        with engine.hub.subscribe(request.reservation_id) as woken:
            while True:
                woken.clear()
                over = request.until_decided and (await self.record(request.reservation_id)).decided
                page = await engine.store.events(request.reservation_id, seen, EVENTS_PAGE)
                for event in page:
                    seen = event.sequence
                    yield event.to_pb()
                if over and not page:
                    return
                if not page and self._orchestrator.closed:
                    raise RequestError(
                        StatusCode.UNAVAILABLE,
                        "after_sequence",
                        seen,
                        "to go on from there at another instance: this one is shutting down",
                    )
                if not page:
                    await _woken(woken)

    def _order(self, request: pb.Reservation, accepted: Accepted | None = None) -> Order:
        engine = self._orchestrator.engine
        with _not_yet(engine.gateway.awaited):
            return check_order(
                request, engine.gateway.known(), engine.now_ms(), self._bounds, accepted
            )

    def _change(self, request: pb.ModifyRequest, record: Reservation) -> Order:
        engine = self._orchestrator.engine
        topology = engine.gateway.known()
        with _not_yet(engine.gateway.awaited):
            return check_change(request, record, topology, engine.now_ms(), self._bounds)

    async def record(self, reservation_id: str) -> Reservation:
        """The record of that id, as it is now. Raises RequestError."""
        if not reservation_id:
            raise invalid("reservation_id", reservation_id, "the id of a reservation")
        try:
            if not REQUEST_ID.fullmatch(reservation_id):
                raise NotFoundError(reservation_id)
            return await self._orchestrator.get(reservation_id)
        except NotFoundError:
            raise RequestError(
                StatusCode.NOT_FOUND, "reservation_id", reservation_id, "the id of a reservation"
            ) from None


async def _woken(woken: asyncio.Event) -> None:
    """Waits for news of this instance, or until it is time to look for those of others."""
    with suppress(TimeoutError):
        async with asyncio.timeout(WATCH_POLL_S):
            await woken.wait()


def _kind(value: int) -> Kind | None:
    """None: any. Raises RequestError."""
    if not value:
        return None
    try:
        return Kind(value)
    except ValueError:
        raise invalid("kind", value, ", ".join(kind.name for kind in Kind)) from None


@contextmanager
def _not_yet(awaited: Callable[[], frozenset[str]]) -> Iterator[None]:
    """What a domain may have that has not described itself since the start is not NOT_FOUND."""
    try:
        yield
    except RequestError as error:
        domain = str(error.raw).partition(":")[0]
        # An alias does not say whose it is.
        names = sorted(awaited() if domain == "urn" else awaited() & {domain})
        if error.code is not StatusCode.NOT_FOUND or not names:
            raise
        possible = f"to ask again: {', '.join(names)} cannot be reached since this instance started"
        raise RequestError(
            StatusCode.UNAVAILABLE, error.field, error.raw, possible, AWAITED_AGAIN_S
        ) from None


@contextmanager
def _explained(request_id: str, reservation_id: str) -> Iterator[None]:
    """Turns the service's refusals to act into statuses that name the field."""
    try:
        yield
    except RequestTakenError:
        possible = (
            "the body that was first sent with it (a time such as now is another one by now),"
            " or a new request_id"
        )
        raise RequestError(StatusCode.ALREADY_EXISTS, "request_id", request_id, possible) from None
    except NotNowError as error:
        raise RequestError(
            StatusCode.FAILED_PRECONDITION, "reservation_id", reservation_id, str(error)
        ) from None
    except TooManyError as error:
        raise full(error.what, error.limit) from None
    except DrainingError as error:
        raise RequestError(
            StatusCode.UNAVAILABLE, "request_id", request_id, f"to ask another instance: {error}"
        ) from None
    except (ConflictError, LostError):
        raise RequestError(
            StatusCode.ABORTED,
            "reservation_id",
            reservation_id,
            "to ask again: something else was decided at the same moment",
        ) from None
