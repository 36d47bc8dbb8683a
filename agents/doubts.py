"""``braid.v1.Doubts`` of an agent: holds whose decision has not come, and decisions by hand."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Final

from grpc.aio import ServicerContext

from agents.agent import Agent
from agents.hand import Order, in_doubt
from agents.metadata import ID_SHAPE, is_id
from agents.streams import Streams
from agents.values import Decision, Key, Record, Settlement
from braid.v1 import doubts_pb2 as pb, doubts_pb2_grpc
from protocol import participant
from runtime.clock import Clock
from runtime.errors import invalid

DOUBTS_NAME: Final = pb.DESCRIPTOR.services_by_name["Doubts"].full_name
TOKEN_MAX = 1000
PAGE_LIMIT = 1000
PAGE_USUAL = 100
DECISIONS_LIMIT = 100
OPERATOR_LIMIT = 128
REASON_LIMIT = 256


class DoubtsServicer(doubts_pb2_grpc.DoubtsServicer):
    """Lets operators see and settle what is in doubt at ``agent``."""

    def __init__(self, agent: Agent, streams: Streams, clock: Clock) -> None:
        self._agent = agent
        self._streams = streams
        self._clock = clock

    async def List(
        self,
        request: pb.ListDoubtsRequest,
        context: ServicerContext[pb.ListDoubtsRequest, pb.ListDoubtsResponse],
    ) -> pb.ListDoubtsResponse:
        """Holds that have asked in vain, oldest first."""
        size = request.page_size if request.HasField("page_size") else PAGE_USUAL
        if not 1 <= size <= PAGE_LIMIT:
            raise invalid("page_size", size, f"1 to {PAGE_LIMIT}")
        if request.older_than_s < 0:
            raise invalid("older_than_s", request.older_than_s, "0 or more")
        after = _mark_of(request.page_token)
        until_ms = self._clock.now_ms() - request.older_than_s * 1000
        found = sorted(
            (record for record in self._agent.parts.records.awake() if in_doubt(record)),
            key=_mark,
        )
        listed = [r for r in found if r.part.changed_ms <= until_ms and _mark(r) > after]
        page = listed[:size]
        return pb.ListDoubtsResponse(
            doubts=[self._doubt(record) for record in page],
            decisions=self._decisions(),
            next_page_token=_token_of(page[-1]) if len(listed) > size else "",
        )

    async def Settle(
        self,
        request: pb.SettleRequest,
        context: ServicerContext[pb.SettleRequest, pb.SettleResponse],
    ) -> pb.SettleResponse:
        """Commits a hold or gives it up, without the coordinator's word."""
        decision = await self._agent.settle(_order(request))
        return pb.SettleResponse(decision=self._decision(decision))

    def _doubt(self, record: Record) -> pb.Doubt:
        part, prep = record.part, record.part.prep
        assert prep is not None
        return pb.Doubt(
            transaction_id=part.transaction_id,
            part_id=part.part_id,
            reservation_id=prep.reservation_id,
            domain=self._agent.domain.name,
            orchestrator_id=prep.orchestrator_id,
            state=part.state.name,
            reason=self._reason(record),
            since_ms=part.changed_ms,
            attempts=part.inquiries,
            possible=[pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP],
        )

    def _reason(self, record: Record) -> str:
        part, prep = record.part, record.part.prep
        assert prep is not None
        last_ms = participant.last_inquiry_ms(part, self._agent.parts.rules)
        at = "" if last_ms is None else f", last at {_shown(last_ms)}"
        there = self._streams.connected(prep.orchestrator_id)
        state = "is connected" if there else "is not connected"
        times = "once" if part.inquiries == 1 else f"{part.inquiries} times"
        return f"{prep.orchestrator_id} was asked {times}{at}, and {state}"

    def _decisions(self) -> list[pb.HeuristicDecision]:
        decisions = sorted(
            self._agent.parts.decisions.values(), key=lambda d: (d.at_ms, d.key), reverse=True
        )
        return [self._decision(decision) for decision in decisions[:DECISIONS_LIMIT]]

    def _decision(self, decision: Decision) -> pb.HeuristicDecision:
        return pb.HeuristicDecision(
            transaction_id=decision.transaction_id,
            part_id=decision.part_id,
            reservation_id=decision.reservation_id,
            domain=self._agent.domain.name,
            settlement=pb.Settlement.ValueType(decision.settlement.value),
            operator=decision.operator,
            reason=decision.reason,
            at_ms=decision.at_ms,
            contradicted=decision.contradicted,
        )


def _order(request: pb.SettleRequest) -> Order:
    """A request as it may be carried out. Raises RequestError."""
    for name in ("transaction_id", "part_id"):
        given = getattr(request, name)
        if not is_id(given):
            raise invalid(name, given, ID_SHAPE)
    if request.settlement not in (pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP):
        raise invalid("settlement", request.settlement, "COMMIT (1) or GIVE_UP (2)")
    for name, least, most in (("operator", 1, OPERATOR_LIMIT), ("reason", 1, REASON_LIMIT)):
        given = getattr(request, name)
        if not (least <= len(given) <= most and given.isprintable() and given.strip() == given):
            raise invalid(name, given, f"{least} to {most} printable characters")
    key = (request.transaction_id, request.part_id)
    return Order(key, Settlement(request.settlement), request.operator, request.reason)


def _mark(record: Record) -> tuple[int, Key]:
    return (record.part.changed_ms, record.key)


def _token_of(record: Record) -> str:
    changed_ms, key = _mark(record)
    return base64.urlsafe_b64encode(json.dumps([changed_ms, *key]).encode()).decode()


def _mark_of(token: str) -> tuple[int, Key]:
    if not token:
        return (-1, ("", ""))
    try:
        if len(token) > TOKEN_MAX:
            raise ValueError(token)
        changed_ms, transaction_id, part_id = json.loads(base64.urlsafe_b64decode(token))
        return (int(changed_ms), (str(transaction_id), str(part_id)))
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise invalid("page_token", token, "a next_page_token as answered") from error


def _shown(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
