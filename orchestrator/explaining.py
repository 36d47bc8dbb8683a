"""What follows a refusal: what is held is given up, and the answer is made one that helps."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from orchestrator.bargain import drop_parts
from orchestrator.bent import lessons
from orchestrator.engine import Engine
from orchestrator.explanation import EXPLAINED, explain
from orchestrator.lookahead import HORIZON_S, look_ahead, span_of
from orchestrator.negotiation import Failure, Question
from orchestrator.tokens import sign
from runtime.database import StorageError
from substrate.model import Refusal
from substrate.values import replace


async def let_go(engine: Engine, transaction_id: str) -> None:
    """Gives up what an undecided transaction holds: others may need it."""
    # What cannot be written now is given back at the end of it.
    with suppress(StorageError):
        await drop_parts(engine.transactions, transaction_id)


async def explained(engine: Engine, question: Question, failure: Failure) -> Failure:
    """With what was in the way, and what would be granted instead; asks the domains once more."""
    refusal = next((r for r in reversed(failure.refusals) if r.kind in EXPLAINED), None)
    if refusal is None or not engine.limits.explain:
        return failure
    bargain = engine.bargain(question, anew=True)
    span = span_of(question, engine.now_ms() // 1000, HORIZON_S)
    ahead = await look_ahead(question, span, bargain)
    if isinstance(ahead, Refusal):
        return failure
    search = ahead.search
    if question.criteria.bend is None:
        learnt = lessons(failure.refusals, question)
        search = replace(search, forecast=search.forecast.capped(learnt))
    signed = partial(sign, engine.ids, engine.now_ms())
    return replace(failure, explanation=explain(search, refusal, ahead.least, signed))
