"""What becomes of a record once its transaction is decided."""

from __future__ import annotations

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.records import Reservation
from protocol.coordinator import Decision, Transaction
from substrate.model import Refusal, RefusalKind

WITHDRAWN = "it was withdrawn while its confirmation was awaited"


def stands(transaction: Transaction) -> bool:
    """Whether what was decided may be told. A cancel may have begun to give it back, and its
    instance have died before it wrote that in the record: then it may not."""
    return transaction.decision is Decision.COMMIT and not transaction.given_back


async def store_outcome(
    engine: Engine, live: Live, transaction: Transaction, record: Reservation
) -> None:
    """Writes what became of it; what was given back in part is given back whole, in one write."""
    if transaction.given_back:
        await engine.withdraw(live, transaction.transaction_id, record)
        live.set(record)
    else:
        await engine.store_record(live, record)


def why_not(transaction: Transaction) -> tuple[Refusal, ...]:
    """What the user hears instead."""
    return transaction.refusals or (Refusal(RefusalKind.TOMBSTONE, WITHDRAWN),)
