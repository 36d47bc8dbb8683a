"""Parts in doubt, settled by an operator's hand when their coordinator's word does not come.

Such a decision is heuristic: it is recorded, and marked when the coordinator's word, once it comes,
says otherwise (design, section 5, rule 1 knows no other way to end a hold).
"""

from __future__ import annotations

import structlog
from grpc import StatusCode

from agents.parts import Parts
from agents.values import Decision, Key, Record, Settlement
from protocol import participant
from protocol.messages import Abort, Commit, PartMessage, Release
from protocol.participant import Part, PartState
from runtime.errors import RequestError
from substrate.values import dataclass, replace

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done with a part, and why."""

    key: Key
    settlement: Settlement
    operator: str
    reason: str


def in_doubt(record: Record) -> bool:
    """Whether a part is held, and has asked in vain."""
    return record.part.state is PartState.HELD and record.part.inquiries > 0


def contradicts(part: Part, word: PartMessage) -> bool:
    """Whether the coordinator says otherwise than an operator did."""
    if not part.heuristic:
        return False
    if part.state is PartState.COMMITTED:
        return isinstance(word, Abort | Release)
    return part.state is PartState.ABORTED and isinstance(word, Commit)


def confirmed(part: Part, word: PartMessage) -> Part:
    """The part as it is once the coordinator has said what the operator had guessed."""
    if part.heuristic and part.state is PartState.COMMITTED and isinstance(word, Commit):
        return replace(part, heuristic=False)
    return part


def contradicted(parts: Parts, part: Part, word: PartMessage) -> tuple[Decision, ...]:
    """The decision that must now be marked, if there is one."""
    decision = parts.decisions.get((part.transaction_id, part.part_id))
    if decision is None or decision.contradicted or not contradicts(part, word):
        return ()
    _log.warning(
        "the coordinator contradicts a decision by hand",
        part="/".join(decision.key),
        settlement=decision.settlement.name,
        operator=decision.operator,
        word=type(word).__name__,
    )
    return (replace(decision, contradicted=True),)


async def settle(parts: Parts, order: Order) -> Decision:
    """Does what an operator says, durably, and records it; a second time: what was recorded.

    Raises RequestError and StorageError.
    """
    async with parts.turns.turn(order.key):
        before = parts.records.get(order.key)
        recorded = parts.decisions.get(order.key)
        if recorded is not None:
            return _repeated(recorded, order)
        record = _settleable(parts, before, order)
        part, prep = record.part, record.part.prep
        assert prep is not None
        now_ms = parts.clock.now_ms()
        decision = Decision(
            part.transaction_id,
            part.part_id,
            prep.reservation_id,
            prep.orchestrator_id,
            order.settlement,
            order.operator,
            order.reason,
            now_ms,
        )
        commit = order.settlement is Settlement.COMMIT
        after = participant.settle_by_hand(part, commit, now_ms)
        await parts.advance((record, after), decisions=(decision,))
    _log.warning(
        "part settled by hand",
        part="/".join(order.key),
        settlement=order.settlement.name,
        operator=order.operator,
        reason=order.reason,
    )
    return decision


def _repeated(recorded: Decision, order: Order) -> Decision:
    if recorded.settlement is not order.settlement:
        raise RequestError(
            StatusCode.FAILED_PRECONDITION,
            "settlement",
            order.settlement.name,
            f"{recorded.settlement.name}, as {recorded.operator} decided at {recorded.at_ms}",
        )
    return recorded


def _settleable(parts: Parts, record: Record | None, order: Order) -> Record:
    if record is None:
        possible = "a transaction_id and part_id as listed"
        given = "/".join(order.key)
        raise RequestError(StatusCode.NOT_FOUND, "part_id", given, possible)
    if parts.rules.recovering:
        raise RequestError(
            StatusCode.FAILED_PRECONDITION,
            "part_id",
            record.part.part_id,
            "nothing while the domain recovers: its orchestrators' claims settle every part",
        )
    if not in_doubt(record):
        asked = "and has not asked yet" if record.part.state is PartState.HELD else ""
        raise RequestError(
            StatusCode.FAILED_PRECONDITION,
            "part_id",
            record.part.part_id,
            f"a part in doubt; this one is {record.part.state.name} {asked}".rstrip(),
        )
    return record
