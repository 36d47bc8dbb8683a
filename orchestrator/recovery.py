"""What a restart takes up: undecided is aborted and tried again, decided is finished."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.modifying import await_next, give_back, negotiate_next
from orchestrator.ports import Changes
from orchestrator.records import Reservation
from orchestrator.reserving import await_first, negotiate_first
from protocol.coordinator import Decide, Decision, Transaction, begin


async def recover(engine: Engine) -> list[Live]:
    """Takes everything up again; call it once, before domains are connected.

    Returns the reservations that ``resume`` must go on with, once domains are there to ask. Raises
    StorageError.
    """
    unfinished = await engine.store.unfinished()
    for transaction in unfinished.transactions:
        engine.transactions.adopt(transaction)
        if transaction.decision is Decision.UNDECIDED:
            await engine.transactions.apply(transaction.transaction_id, Decide(commit=False))
    waiting = []
    for record in unfinished.reservations:
        live = engine.book.adopt(record)
        _release_superseded(engine, record, unfinished.transactions)
        if not record.decided:
            waiting.append(live)
    return waiting


async def resume(engine: Engine, live: Live) -> None:
    """Goes on with what was being negotiated, or not yet told. Raises StorageError."""
    record = live.record
    pending = record.change.transaction_id if record.change else record.transaction_id
    transaction = engine.transactions.get(pending)
    if transaction is not None and transaction.decision is not Decision.ABORT:
        engine.spawn(
            await_next(engine, live, record.transaction_id, pending)
            if record.change
            else await_first(engine, live)
        )
        return
    if record.change is not None:
        fresh = begin(engine.ids.new(), record.reservation_id, record.version + 1)
        change = replace(record.change, transaction_id=fresh.transaction_id)
        record = replace(record, change=change)
    else:
        fresh = begin(engine.ids.new(), record.reservation_id, record.version)
        record = replace(record, transaction_id=fresh.transaction_id)
    await engine.save(Changes(reservation=record, transactions=(fresh,)))
    engine.transactions.adopt(fresh)
    live.set(record)
    engine.spawn(negotiate_next(engine, live) if record.change else negotiate_first(engine, live))


def _release_superseded(
    engine: Engine, record: Reservation, transactions: tuple[Transaction, ...]
) -> None:
    """Gives back old versions whose successor was committed just before a crash."""
    keep = {record.transaction_id, record.change.transaction_id if record.change else ""}
    for transaction in transactions:
        if (
            transaction.reservation_id == record.reservation_id
            and transaction.decision is Decision.COMMIT
            and transaction.transaction_id not in keep
        ):
            engine.spawn(give_back(engine, transaction.transaction_id, record.transaction_id))
