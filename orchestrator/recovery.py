"""What a new owner takes up: undecided is aborted and tried again, decided is finished.

The owner before may have died, may have been cut off, or may just have been asked less: whatever it
still does, the fence of the store stops it (design, section 5, rules 2 and 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

from orchestrator.book import Live
from orchestrator.engine import Engine, OvertakenError
from orchestrator.modifying import await_next, give_back, negotiate_next
from orchestrator.ports import Changes, LostError, Unfinished
from orchestrator.records import Reservation, stayed
from orchestrator.reserving import await_first, negotiate_first
from protocol.coordinator import Decide, Decision, EpochRaised, Transaction, begin
from substrate.values import replace

log = structlog.get_logger()

TEND_AGAIN_S = 1.0


async def adopt(engine: Engine, unfinished: Unfinished) -> list[Live]:
    """Takes up what this instance owns now.

    Returns the reservations that ``resume`` must go on with, once domains are there to ask. What
    cannot be written now is in doubt: see Engine.on_doubt.
    """
    lives = [engine.book.adopt(record) for record in unfinished.reservations]
    for transaction in unfinished.transactions:
        engine.transactions.adopt(transaction)
    # The records are there before anything is awaited: an answer that comes now must find that
    # somebody needs its transaction. Nobody has their turn before the transactions are settled.
    async with AsyncExitStack() as turns:
        for live in lives:
            await turns.enter_async_context(live.lock)
        await asyncio.gather(
            *(_settle(engine, transaction, unfinished) for transaction in unfinished.transactions),
            return_exceptions=True,
        )
    committed: dict[str, list[str]] = {}
    for transaction in unfinished.transactions:
        if transaction.decision is Decision.COMMIT:
            ids = committed.setdefault(transaction.reservation_id, [])
            ids.append(transaction.transaction_id)
    for record in unfinished.reservations:
        _release_superseded(engine, record, committed.get(record.reservation_id, []))
    return [live for live in lives if not live.record.decided]


async def resume(engine: Engine, live: Live) -> None:
    """Goes on with what was being negotiated, or not yet told. Raises StorageError, LostError."""
    async with live.turn():
        record = live.record
        if record.decided or live.lost:
            return
        pending = record.change.transaction_id if record.change else record.transaction_id
        transaction = engine.transactions.get(pending)
        if transaction is not None and transaction.decision is Decision.UNDECIDED:
            transaction = await engine.transactions.apply(pending, Decide(commit=False))
        if transaction is None or transaction.decision is Decision.ABORT:
            if record.change is not None and record.change.moves_for:
                # Who it was to make room for is negotiated anew, perhaps without it.
                await engine.store_record(live, stayed(record, engine.now_ms()))
                return
            await _begin_again(engine, live)
            transaction = None
    if transaction is None:
        await (negotiate_next if record.change else negotiate_first)(engine, live)
    elif record.change:
        await await_next(engine, live, live.record.transaction_id, pending)
    else:
        await await_first(engine, live)


async def tend(engine: Engine, live: Live, work: Coroutine[Any, Any, None]) -> None:
    """Sees to it that a negotiation ends, whatever breaks in it: it is taken up again."""
    while True:
        try:
            await work
            return
        except LostError:
            return
        except OvertakenError:
            log.info("a hold was lost, negotiating again", reservation=live.record.reservation_id)
        except Exception:
            log.exception("negotiation broke", reservation_id=live.record.reservation_id)
            await asyncio.sleep(TEND_AGAIN_S)
        work = resume(engine, live)


async def _begin_again(engine: Engine, live: Live) -> None:
    record = live.record
    if record.change is not None:
        fresh = begin(engine.ids.new(), record.reservation_id, record.version + 1)
        change = replace(record.change, transaction_id=fresh.transaction_id)
        record = replace(record, change=change)
    else:
        fresh = begin(engine.ids.new(), record.reservation_id, record.version)
        record = replace(record, transaction_id=fresh.transaction_id)
    await engine.save(Changes(reservation=record, transactions=(fresh,)))
    if live.lost:
        raise LostError(record.reservation_id)
    engine.transactions.adopt(fresh)
    live.set(record)


async def _settle(engine: Engine, transaction: Transaction, unfinished: Unfinished) -> None:
    """Undecided is aborted, in writing, and what was said before a restore does not count."""
    transaction_id = transaction.transaction_id
    if transaction.decision is Decision.UNDECIDED:
        await engine.transactions.apply(transaction_id, Decide(commit=False))
        return
    for domain in sorted({part.domain for part in transaction.parts}):
        epoch = unfinished.epochs.get(domain, 0)
        if any(part.domain == domain and part.epoch < epoch for part in transaction.parts):
            await engine.transactions.apply(transaction_id, EpochRaised(domain, epoch))


def _release_superseded(engine: Engine, record: Reservation, committed: list[str]) -> None:
    """Gives back old versions whose successor was committed just before a crash."""
    keep = {record.transaction_id, record.change.transaction_id if record.change else ""}
    for transaction_id in committed:
        if transaction_id not in keep:
            engine.spawn(give_back(engine, transaction_id, record.transaction_id))
