"""``braid.v1.Doubts`` of an orchestrator: parts whose domains have not done what was decided.

Any instance shows all and settles any: it reads the store, and takes over what it changes.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any, Protocol

from grpc import StatusCode
from grpc.aio import ServicerContext

from braid.v1 import doubts_pb2 as pb
from braid.v1.doubts_pb2_grpc import DoubtsServicer
from orchestrator.hand import HandOrder, NotInDoubtError, UnknownPartError
from orchestrator.link import Status
from orchestrator.ports import ConflictError, Doubt, DoubtMark
from orchestrator.records import HandDecision
from orchestrator.service import Orchestrator
from orchestrator.validation import REQUEST_ID
from orchestrator.work import TooManyError
from protocol.coordinator import MESSAGE, PartStatus, possible_settlements
from runtime.errors import RequestError, full, invalid

Context = ServicerContext[Any, Any]
PAGE_DEFAULT = 100
PAGE_MAX = 1000
DECISIONS_MAX = 100
OLDER_THAN_S = 10
"""What is awaited for less time than this is usual, not in doubt."""
OLDER_THAN_MAX_S = 10**9
OPERATOR_MAX = 128
TOKEN_MAX = 1000
REASON_MAX = 256
BEGINNING: DoubtMark = (-1, "", "")
SETTLEMENTS = {True: pb.SETTLEMENT_COMMIT, False: pb.SETTLEMENT_GIVE_UP}


class Connections(Protocol):
    """Who knows which domains can be reached."""

    def status(self, name: str) -> Status | None:
        """What is known of a domain's agent now; None when it has left."""


class DoubtsService(DoubtsServicer):
    """What each call promises is in doubts.proto."""

    def __init__(self, orchestrator: Orchestrator, connections: Connections) -> None:
        self._orchestrator, self._connections = orchestrator, connections

    async def List(self, request: pb.ListDoubtsRequest, context: Context) -> pb.ListDoubtsResponse:
        size = request.page_size if request.HasField("page_size") else PAGE_DEFAULT
        if not 1 <= size <= PAGE_MAX:
            raise invalid("page_size", size, f"1 to {PAGE_MAX}")
        older_s = request.older_than_s if request.HasField("older_than_s") else OLDER_THAN_S
        if not 0 <= older_s <= OLDER_THAN_MAX_S:
            raise invalid("older_than_s", older_s, f"0 to {OLDER_THAN_MAX_S}")
        engine = self._orchestrator.engine
        until_ms = engine.now_ms() - older_s * 1000
        found = await engine.store.doubts(until_ms, _mark_of(request.page_token), size + 1)
        page = found[:size]
        decisions = await engine.store.hand_decisions("", DECISIONS_MAX)
        return pb.ListDoubtsResponse(
            doubts=[self._doubt(doubt) for doubt in page],
            decisions=[_decision_to_pb(decision) for decision in decisions],
            next_page_token=_token_of(page[-1]) if len(found) > size else "",
        )

    async def Settle(self, request: pb.SettleRequest, context: Context) -> pb.SettleResponse:
        order = _order(request)
        try:
            decision = await self._orchestrator.hand.settle(order)
        except UnknownPartError:
            possible = "a transaction_id and part_id as listed"
            given = f"{order.transaction_id}/{order.part_id}"
            raise RequestError(StatusCode.NOT_FOUND, "part_id", given, possible) from None
        except NotInDoubtError as error:
            field = "settlement" if error.in_doubt else "part_id"
            word = pb.Settlement.Name(request.settlement).removeprefix("SETTLEMENT_")
            given = word if error.in_doubt else order.part_id
            raise RequestError(StatusCode.FAILED_PRECONDITION, field, given, str(error)) from None
        except ConflictError:
            possible = "to ask again: something else happened to it at the same moment"
            raise RequestError(StatusCode.ABORTED, "part_id", order.part_id, possible) from None
        except TooManyError as error:
            raise full(error.what, error.limit) from None
        return pb.SettleResponse(decision=_decision_to_pb(decision))

    def _doubt(self, doubt: Doubt) -> pb.Doubt:
        part = doubt.part
        broken = part.status is PartStatus.NACKED
        attempts = self._attempts(doubt)
        return pb.Doubt(
            transaction_id=part.prep.transaction_id,
            part_id=part.part_id,
            reservation_id=doubt.reservation_id,
            domain=part.domain,
            orchestrator_id=self._orchestrator.engine.orchestrator_id,
            state="BROKEN" if broken else part.status.name,
            reason=self._reason(doubt, attempts),
            since_ms=doubt.since_ms,
            attempts=attempts,
            possible=[SETTLEMENTS[commit] for commit in possible_settlements(part.status)],
        )

    def _attempts(self, doubt: Doubt) -> int:
        """How often this instance has asked; 0 when another one does."""
        prep = doubt.part.prep
        transaction = self._orchestrator.engine.transactions.get(prep.transaction_id)
        parts = transaction.parts if transaction is not None else ()
        return next((part.attempts for part in parts if part.part_id == prep.part_id), 0)

    def _reason(self, doubt: Doubt, attempts: int) -> str:
        """One plain sentence, from what this instance knows of the domain."""
        part = doubt.part
        if part.status is PartStatus.NACKED:
            refusal = part.refusal.reason if part.refusal is not None else "no reason given"
            return f"the domain does not hold what the user was promised: {refusal}"
        status = self._connections.status(part.domain)
        if status is None:
            return "the domain has left: this orchestrator does not know its agent any more"
        if not status.up:
            return f"its agent is down since {_shown(status.since_ms)}: {status.reason}"
        if self._orchestrator.reports.reconciling.waits(part.domain):
            return "its agent was restored from a backup and recovers what it held"
        message = MESSAGE[part.status].__name__
        if attempts == 0:
            return f"its agent is up but has not acknowledged the {message}"
        times = "once" if attempts == 1 else f"{attempts} times"
        return f"its agent is up but has not acknowledged the {message}, sent {times}"


def _order(request: pb.SettleRequest) -> HandOrder:
    """A request as it may be carried out. Raises RequestError."""
    for name in ("transaction_id", "part_id"):
        given = getattr(request, name)
        if not REQUEST_ID.fullmatch(given):
            raise invalid(name, given, "1 to 128 characters of [A-Za-z0-9._:-]")
    if request.settlement not in SETTLEMENTS.values():
        raise invalid("settlement", request.settlement, "COMMIT (1) or GIVE_UP (2)")
    for name, least, most in (("operator", 1, OPERATOR_MAX), ("reason", 1, REASON_MAX)):
        given = getattr(request, name)
        if not (least <= len(given) <= most and given.isprintable() and given.strip() == given):
            raise invalid(name, given, f"{least} to {most} printable characters")
    return HandOrder(
        request.transaction_id,
        request.part_id,
        request.settlement == pb.SETTLEMENT_COMMIT,
        request.operator,
        request.reason,
    )


def _decision_to_pb(decision: HandDecision) -> pb.HeuristicDecision:
    return pb.HeuristicDecision(
        transaction_id=decision.transaction_id,
        part_id=decision.part_id,
        reservation_id=decision.reservation_id,
        domain=decision.domain,
        settlement=SETTLEMENTS[decision.commit],
        operator=decision.operator,
        reason=decision.reason,
        at_ms=decision.at_ms,
        contradicted=decision.contradicted,
    )


def _token_of(doubt: Doubt) -> str:
    return base64.urlsafe_b64encode(json.dumps(doubt.mark).encode()).decode()


def _mark_of(token: str) -> DoubtMark:
    """Raises RequestError."""
    if not token:
        return BEGINNING
    try:
        if len(token) > TOKEN_MAX:
            raise ValueError(token)
        since_ms, transaction_id, part_id = json.loads(base64.urlsafe_b64decode(token))
        known = isinstance(since_ms, int) and 0 <= since_ms < 2**62
        if not known or not all(REQUEST_ID.fullmatch(each) for each in (transaction_id, part_id)):
            raise ValueError(token)
    except (ValueError, TypeError, binascii.Error):
        raise invalid("page_token", token, "a next_page_token as answered") from None
    return (since_ms, transaction_id, part_id)


def _shown(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
