"""A Modify: a new version is negotiated while the old one stands; old or new, never neither."""

from __future__ import annotations

from functools import partial

from orchestrator.book import Live
from orchestrator.carry_out import begin_all, carry_all
from orchestrator.carrying import added, awaited, comes_back, leftover
from orchestrator.engine import Engine
from orchestrator.errand import Outcome
from orchestrator.explaining import explained, let_go
from orchestrator.negotiation import Failure, Question
from orchestrator.outcomes import stands, store_outcome, why_not
from orchestrator.ports import Changes
from orchestrator.records import Reservation, changed, unchanged, with_change_grant
from protocol.coordinator import PartStatus, ReleaseAll, Transaction
from runtime import telemetry
from substrate.model import Criteria, DataPlaneState, Refusal, RefusalKind
from substrate.values import replace

SETTLE_BEFORE_RELEASE_S = 10.0
"""How long all acknowledgements are waited for before the old version is given back."""
MADE = frozenset({DataPlaneState.ACTIVE, DataPlaneState.FAILED})
"""What a domain says of what it has begun to make."""


@telemetry.traced("Modify")
async def negotiate_next(engine: Engine, live: Live) -> None:
    """Negotiates ``live.record.change`` and decides it."""
    record, change = live.record, live.record.change
    if change is None:
        return
    question = engine.question(
        change.criteria, change.asked_ms + change.timeout_s * 1000, record.plan()
    )
    question = replace(question, begun=any(part.data_plane in MADE for part in record.parts))
    new_id, old_id = change.transaction_id, record.transaction_id
    if _wants_more(record.criteria, change.criteria):
        question = replace(question, tariff=engine.limits.tariff)
    outcome = await _leftovers(engine, record, question) or await engine.negotiate(
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
            told = transaction.told_success and not awaited(transaction)
            return changed(planned, now_ms) if told else planned

        if not await engine.commit(live, new_id, word, unchanged):
            return
    await await_next(engine, live, old_id, new_id)


async def _leftovers(engine: Engine, record: Reservation, question: Question) -> Failure | None:
    """Waits until what earlier versions had by the names of new VNodes is gone; why not.

    Else two would run by one name, or the new one would find what the old one has.
    """
    names = added(question)
    wait_s = (question.deadline_ms - engine.now_ms()) / 2000
    versions = engine.transactions.versions(record.reservation_id) if names else []
    for old_id in [it.transaction_id for it in versions if leftover(names, it)]:
        if old_id == record.transaction_id or engine.transactions.get(old_id) is None:
            continue
        old = await engine.transactions.wait(old_id, lambda it: not leftover(names, it), wait_s)
        if found := leftover(names, old):
            return Failure(tuple(_still_there(name, at) for name, at in sorted(found.items())))
    return None


def _still_there(vnode: str, domain: str) -> Refusal:
    reason = f"elements.{vnode}: one of that name is still being taken away there; ask again"
    reason += " later, or give it another name"
    return Refusal(RefusalKind.UNAVAILABLE, reason, domain, elements=(vnode,))


async def await_next(engine: Engine, live: Live, old_id: str, new_id: str) -> None:
    """Puts the new version in force when success may be told, and what its VNodes have is where it
    is to be; then gives the old one back."""
    transaction = await engine.verdict(new_id)
    done = Outcome()
    if stands(transaction) and _pending(live.record, new_id):
        since_ms = live.record.updated_ms
        if awaited(transaction):
            await _set_out(engine, live, new_id)

        def going() -> bool:
            return not live.lost and _pending(live.record, new_id)

        done = await carry_all(engine, old_id, transaction, since_ms, going)
        transaction = engine.transactions.get(new_id) or transaction
    async with live.turn():
        if _pending(live.record, new_id):
            now_ms = engine.now_ms()
            if done.refusals and stands(transaction):
                stays = unchanged(live.record, done.refusals, now_ms)
                await engine.persist(lambda: engine.withdraw(live, new_id, stays), live)
                live.set(stays)
                return
            if not stands(transaction):
                refused = unchanged(live.record, why_not(transaction), now_ms)
                await store_outcome(engine, live, transaction, refused)
                return
            await engine.store_record(live, changed(live.record, now_ms, done.carried))
        if live.record.transaction_id != new_id:
            return
        engine.book.watch_end(live.record)
    old = engine.transactions.get(old_id)
    if awaited(transaction) or (old is not None and _older(engine, old)):
        # It lasts as long as a provider is away.
        engine.spawn(give_back(engine, old_id, new_id))
    else:
        await give_back(engine, old_id, new_id)


async def _set_out(engine: Engine, live: Live, new_id: str) -> None:
    """A new errand: what one before it still asks of sources, they refuse. Raises LostError."""
    async with live.turn():
        if _pending(live.record, new_id):
            record = replace(live.record, errands=live.record.errands + 1)
            await engine.persist(lambda: engine.save(Changes(reservation=record)), live)
            live.set(record)


async def give_back(engine: Engine, old_id: str, new_id: str) -> None:
    """Releases a superseded version, once the new one is in force wherever that can be heard of,
    VNodes run that were carried, and none of an older one would run again."""
    if engine.transactions.get(new_id) is not None:
        await engine.transactions.wait(new_id, _all_committed, SETTLE_BEFORE_RELEASE_S)
        await begin_all(engine, old_id, new_id)
    old = engine.transactions.get(old_id)
    while old is not None and (older := _older(engine, old)):
        await engine.transactions.wait(older[0], partial(_stays_away, old), None)
        # A provider that was restored meanwhile may have lost what had begun.
        await begin_all(engine, old_id, new_id)
        old = engine.transactions.get(old_id)
    if old is not None:
        await engine.persist(lambda: engine.transactions.apply(old_id, ReleaseAll()))


def _older(engine: Engine, old: Transaction) -> list[str]:
    """Versions that would be in force again where that one is released."""
    versions = engine.transactions.versions(old.reservation_id)
    return [it.transaction_id for it in versions if comes_back(it, old)]


def _stays_away(version: Transaction, older: Transaction) -> bool:
    return not comes_back(older, version)


def _wants_more(before: Criteria, after: Criteria) -> bool:
    """Whether it may take more from others than it does; other paths it may have at any toll."""
    return after.bandwidth_bps > before.bandwidth_bps or after.window.end_s > before.window.end_s


def _pending(record: Reservation, transaction_id: str) -> bool:
    return record.change is not None and record.change.transaction_id == transaction_id


def _all_committed(transaction: Transaction) -> bool:
    return all(part.status is not PartStatus.COMMITTING for part in transaction.parts)
