"""A Modify: a new version is negotiated while the old one stands; old or new, never neither."""

from __future__ import annotations

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.explaining import explained, let_go
from orchestrator.negotiation import Failure
from orchestrator.outcomes import stands, store_outcome, why_not
from orchestrator.records import Reservation, changed, unchanged, with_change_grant
from protocol.coordinator import PartStatus, ReleaseAll, Transaction
from runtime import telemetry

SETTLE_BEFORE_RELEASE_S = 10.0
"""How long all acknowledgements are waited for before the old version is given back."""


@telemetry.traced("Modify")
async def negotiate_next(engine: Engine, live: Live) -> None:
    """Negotiates ``live.record.change`` and decides it."""
    record, change = live.record, live.record.change
    if change is None:
        return
    question = engine.question(
        change.criteria, change.asked_ms + change.timeout_s * 1000, record.plan()
    )
    new_id, old_id = change.transaction_id, record.transaction_id
    outcome = await engine.negotiate(
        question, new_id, record.reservation_id, record.version + 1, change.switch_s
    )
    if isinstance(outcome, Failure):
        # Others may need what is still held; an explanation takes a while.
        await let_go(engine, new_id)
        outcome = await explained(engine, question, outcome, record.reservation_id)
    async with live.turn():
        if not _pending(live.record, new_id):
            return
        if isinstance(outcome, Failure):
            await engine.give_up(live, new_id, outcome, unchanged)
            return
        grant = outcome

        def word(transaction: Transaction, now_ms: int) -> Reservation:
            planned = with_change_grant(live.record, grant, now_ms)
            return changed(planned, now_ms) if transaction.told_success else planned

        if not await engine.commit(live, new_id, word, unchanged):
            return
    await await_next(engine, live, old_id, new_id)


async def await_next(engine: Engine, live: Live, old_id: str, new_id: str) -> None:
    """Puts the new version in force when success may be told; then gives the old one back."""
    transaction = await engine.verdict(new_id)
    async with live.turn():
        if _pending(live.record, new_id):
            now_ms = engine.now_ms()
            if not stands(transaction):
                refused = unchanged(live.record, why_not(transaction), now_ms)
                await store_outcome(engine, live, transaction, refused)
                return
            await engine.store_record(live, changed(live.record, now_ms))
        if live.record.transaction_id != new_id:
            return
        engine.book.watch_end(live.record)
    await give_back(engine, old_id, new_id)


async def give_back(engine: Engine, old_id: str, new_id: str) -> None:
    """Releases a superseded version, once the new one is in force wherever that can be heard of."""
    if engine.transactions.get(new_id) is not None:
        await engine.transactions.wait(new_id, _all_committed, SETTLE_BEFORE_RELEASE_S)
    if engine.transactions.get(old_id) is not None:
        await engine.persist(lambda: engine.transactions.apply(old_id, ReleaseAll()))


def _pending(record: Reservation, transaction_id: str) -> bool:
    return record.change is not None and record.change.transaction_id == transaction_id


def _all_committed(transaction: Transaction) -> bool:
    return all(part.status is not PartStatus.COMMITTING for part in transaction.parts)
