"""What messages change, and their answers: decided one by one, made durable together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from agents import hand
from agents.parts import Parts
from agents.peers import Sender
from agents.values import Decision, Key, Record
from protocol import participant
from protocol.messages import PartMessage, Phase, ReservationPrep, ReservationResp
from protocol.participant import Admit, Part, answer_to
from runtime.database import StorageError
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Step:
    """What becomes of a message: its answer (None: silence), and the part as it is to be.

    ``changes``: there is something to be written before it is answered.
    """

    key: Key
    message: PartMessage
    answer: ReservationResp | None
    before: Record | None
    part: Part | None
    decisions: Sequence[Decision] = ()
    changes: bool = False


def key_of(message: PartMessage) -> Key:
    """The part that a message is about."""
    return (message.transaction_id, message.part_id)


def step_of(
    parts: Parts,
    sender: Sender,
    key: Key,
    message: PartMessage,
    epoch: int,
    admit: Admit | None = None,
) -> Step:
    """What a message is to change; takes capacity in memory. The caller has the turn of ``key``,
    the part that it is about.

    ``admit``: what it is admitted by; None: ``parts.admit``.
    """
    before = parts.records.get(key)
    known = None if before is None else before.part
    prep = message if isinstance(message, ReservationPrep) else None
    if known is not None and known.prep is not None:
        prep = known.prep
    if prep is not None and prep.orchestrator_id != sender.orchestrator_id:
        refusal = Refusal(RefusalKind.POLICY, "the part is another orchestrator's")
        answer = answer_to(message, False, refusal, epoch)
        return Step(key, message, _named(parts, answer), before, known)
    part, response = participant.step(
        known, message, parts.clock.now_ms(), admit or parts.admit, parts.rules, epoch
    )
    decisions: tuple[Decision, ...] = ()
    if known is not None and known.heuristic and part is not None:
        decisions = hand.contradicted(parts, known, message)
        part = hand.confirmed(part, message)
    changes = bool(decisions) or (part is not None and _differs(known, part))
    if response is not None and response.refusal is not None:
        response = _named(parts, response)
    return Step(key, message, response, before, part, decisions, changes)


async def store_all(parts: Parts, epoch: int, steps: Sequence[Step]) -> None:
    """Makes what they change durable, all or none; where that fails, their answers say so."""
    changes = [(step.before, step.part) for step in steps if step.part is not None]
    decisions = [decision for step in steps for decision in step.decisions]
    try:
        await parts.advance(*changes, decisions=decisions)
    except StorageError as error:
        for step in steps:
            part = "/".join(step.key)
            _log.warning("part not stored", part=part, error=str(error))
            step.answer = _unavailable(parts, epoch, step.message)


def _differs(known: Part | None, part: Part) -> bool:
    if known is None or known is part:
        return known is None
    # What it is differs before all else, mostly.
    return part.state is not known.state or part != known


def _named(parts: Parts, answer: ReservationResp) -> ReservationResp:
    if answer.refusal is None or answer.refusal.domain:
        return answer
    return replace(answer, refusal=replace(answer.refusal, domain=parts.book.domain.name))


def _unavailable(parts: Parts, epoch: int, message: PartMessage) -> ReservationResp | None:
    """A hold that cannot be written is none; to a decision there is no answer but done."""
    if not isinstance(message, ReservationPrep):
        return None
    name = parts.book.domain.name
    refusal = Refusal(RefusalKind.UNAVAILABLE, f"{name} cannot write now", name)
    return ReservationResp(
        message.transaction_id, message.part_id, Phase.PREP, False, refusal, epoch
    )
