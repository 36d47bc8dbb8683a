"""The first negotiation of a reservation, from NEGOTIATING to COMMITTED or FAILED."""

from __future__ import annotations

import structlog

from orchestrator.begun import Begun, begun as begun_with
from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.explaining import explained, let_go
from orchestrator.moving import make_room
from orchestrator.negotiation import Failure, Question, spread
from orchestrator.outcomes import stands, store_outcome, why_not
from orchestrator.records import Reservation, State, committed, failed, with_grant
from protocol.coordinator import Transaction
from runtime import telemetry
from substrate.model import Refusal
from substrate.values import replace

log = structlog.get_logger()


@telemetry.traced("Reserve")
async def negotiate_first(engine: Engine, live: Live, begun: Begun | None = None) -> None:
    """Negotiates, decides, and tells; leaves at once when the user cancelled meanwhile.

    ``begun``: the first plan was made.
    """
    record = live.record
    question = begun.question if begun is not None else _question(engine, record)
    outcome = await engine.negotiate(
        question, record.transaction_id, record.reservation_id, record.version, begun=begun
    )
    if isinstance(outcome, Failure):
        # Others may need what is still held; an explanation takes a while.
        await let_go(engine, record.transaction_id)
        let_in = await make_room(engine, live, question, outcome.refusals)
        if isinstance(let_in, Refusal):
            outcome = replace(outcome, refusals=(*outcome.refusals, let_in))
        elif let_in:
            return
        outcome = await explained(engine, question, outcome)
    async with live.turn():
        if live.record.state is not State.NEGOTIATING:
            return
        if isinstance(outcome, Failure):
            await engine.give_up(live, record.transaction_id, outcome, failed)
            return
        grant = outcome

        def word(transaction: Transaction, now_ms: int) -> Reservation:
            told = transaction.told_success
            return (committed if told else with_grant)(live.record, grant, now_ms)

        if not await engine.commit(live, record.transaction_id, word, failed):
            return
        if record.asked is not None:
            # It may end earlier than the window that it was chosen from.
            engine.book.watch_end(live.record)
    await await_first(engine, live)


async def await_first(engine: Engine, live: Live) -> None:
    """With domains that insist on expiry, success is told after every acknowledgement (rule 4)."""
    if not _awaits(live):
        return
    transaction = await engine.verdict(live.record.transaction_id)
    async with live.turn():
        if not _awaits(live):
            return
        now_ms = engine.now_ms()
        if stands(transaction):
            record = committed(live.record, live.record.granted, now_ms)
        else:
            record = failed(live.record, why_not(transaction), now_ms)
        await store_outcome(engine, live, transaction, record)
        if record.state is State.FAILED:
            engine.book.forget(record.reservation_id)


async def begin_first(engine: Engine, record: Reservation) -> Begun | None:
    """The first plan of a request that was not recorded yet; None: somebody must be asked first.

    Never waits.
    """
    limits = engine.limits
    if not limits.offers_reuse_ms or limits.tariff is not None or not _is_plain(record):
        return None
    if telemetry.on():
        # What is sent before its trace begins would be outside of it.
        return None
    question = _question(engine, record)
    if question.trial:
        engine.breakers.ended(question)
        return None
    question = spread(question, record.reservation_id)
    bargain = engine.bargain(question, record.transaction_id, record.reservation_id, record.version)
    try:
        return await begun_with(question, bargain)
    except Exception:
        # It is recorded all the same: should planning break again, that is its failure.
        log.exception("first plan broke", reservation_id=record.reservation_id)
        return None


def _is_plain(record: Reservation) -> bool:
    return record.asked is None and record.criteria.cloudnet is None


def _question(engine: Engine, record: Reservation) -> Question:
    deadline_ms = record.created_ms + record.timeout_s * 1000
    question = engine.question(record.asked or record.criteria, deadline_ms)
    if engine.limits.tariff is not None:
        question = replace(question, tariff=engine.limits.tariff)
    return question


def _awaits(live: Live) -> bool:
    return live.record.state is State.NEGOTIATING
