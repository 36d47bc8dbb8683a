"""A Modify that takes VNodes to other providers: what they have is carried, then they begin there.

    committed ──all carried──▶ changed, told ──all begun──▶ the old version is released
        └──one cannot be──▶ put back ──▶ unchanged, told; the new version is released

Nothing is remembered of how far it is: every step may be done again, and after a crash all are
(docs/decisions/0026-carried-vnodes.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog

from orchestrator.carrying import Carry, awaited, carries
from orchestrator.engine import Engine
from orchestrator.ports import Carrier, LostError, NotCarriedError
from protocol.coordinator import Decision, Transaction
from runtime.database import StorageError
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

log = structlog.get_logger()

Work = Callable[[], Awaitable[None]]
Tried = Callable[[Work], Awaitable[str]]
"""Does it until it is done; else why not."""

PAUSE_S = 1.0
PAUSE_MAX_S = 5.0
PUT_BACK_MS = 60_000
"""For how long a source is looked for whose VNode stands still for nothing."""
RESUMED_MS = 30_000
"""For how long it is tried in any case, however long ago it began."""


async def carry_all(
    engine: Engine, old_id: str, new: Transaction, since_ms: int, going: Callable[[], bool]
) -> tuple[Refusal, ...]:
    """Carries what the new version awaits, while ``going()``; why it could not, where it could not.

    Then all is put back that was to be carried.
    """
    old = engine.transactions.get(old_id)
    if not awaited(new):
        return ()
    wanted = carries(old, new) if old is not None else ()
    if not wanted or engine.carrier is None:
        reason = "what its VNodes have cannot be carried: the version before is not known any more"
        return (Refusal(RefusalKind.UNAVAILABLE, reason),)
    until_ms = max(since_ms + engine.limits.carry_ms, engine.now_ms() + RESUMED_MS)
    tried, carrier = partial(_tried, engine, going, until_ms), engine.carrier
    refusals = await _refusals(_carry(carrier, each, new, tried) for each in wanted)
    if not refusals:
        return ()
    tried = partial(_tried, engine, going, engine.now_ms() + PUT_BACK_MS)
    return refusals + await _refusals(_put_back(carrier, each, new, tried) for each in wanted)


async def begin_all(engine: Engine, old_id: str, new_id: str) -> None:
    """Lets run what was carried, until all runs or nothing stands by for it any more."""
    old, new = engine.transactions.get(old_id), engine.transactions.get(new_id)
    if old is None or new is None or engine.carrier is None:
        return
    left = list(carries(old, new)) if _stands_by(old) else []
    since_ms, pause_s, told = engine.now_ms(), PAUSE_S, False
    while left:
        reasons = [await _begin(engine.carrier, each, new) for each in left]
        left = [each for each, reason in zip(left, reasons, strict=True) if reason]
        late = engine.now_ms() - since_ms >= engine.limits.carry_ms
        if left and late and not told:
            told = await _tell(engine, new, _waiting(left, [r for r in reasons if r]))
        if left:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        now = engine.transactions.get(old_id)
        if now is None or not _stands_by(now):
            return
    if told:
        await _tell(engine, new, ())


async def _refusals(work: Iterable[Awaitable[Refusal | None]]) -> tuple[Refusal, ...]:
    """What could not be done of work that is done at once."""
    return tuple(outcome for outcome in await asyncio.gather(*work) if outcome is not None)


async def _carry(carrier: Carrier, each: Carry, new: Transaction, tried: Tried) -> Refusal | None:
    """Why it could not be carried; None: it was, or nobody wants it any more."""
    why = await tried(
        lambda: carrier.carry(new.reservation_id, each.vnode, each.source, each.target)
    )
    if not why:
        return None
    log.warning("VNode not carried", reservation=new.reservation_id, carry=each, reason=why)
    reason = (
        f"what VNode {each.vnode} has could not be carried from {each.source} to {each.target}:"
        f" {why}; possible: to leave it at {each.source}, or to say that it begins anew"
    )
    return _refusal(each, each.source, reason)


async def _put_back(
    carrier: Carrier, each: Carry, new: Transaction, tried: Tried
) -> Refusal | None:
    """What must be known where that could not be done."""
    why = await tried(lambda: carrier.put_back(new.reservation_id, each.vnode, each.source))
    if not why:
        return None
    log.error("VNode not put back", reservation=new.reservation_id, carry=each, reason=why)
    reason = (
        f"VNode {each.vnode} may stand still at {each.source}, which could not be told that it"
        f" stays: {why}; start it there once it can be reached"
    )
    return _refusal(each, each.source, reason)


def _refusal(each: Carry, domain: str, reason: str) -> Refusal:
    return Refusal(RefusalKind.UNAVAILABLE, reason, domain, elements=(each.vnode,))


async def _tried(engine: Engine, going: Callable[[], bool], until_ms: int, work: Work) -> str:
    """Why it was not done at last; empty: it was, or nobody wants it any more."""
    pause_s = PAUSE_S
    while going():
        try:
            await work()
            return ""
        except NotCarriedError as error:
            if error.final or engine.now_ms() >= until_ms:
                return str(error)
            log.info("tried again", reason=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
    return ""


async def _begin(carrier: Carrier, each: Carry, new: Transaction) -> str:
    """Why it does not run yet. What has arrived and was lost by its hosts is carried once more:
    its source has it still."""
    try:
        await carrier.begin(new.reservation_id, each.vnode, each.target)
        return ""
    except NotCarriedError as error:
        if not error.final:
            return str(error)
    try:
        await carrier.carry(new.reservation_id, each.vnode, each.source, each.target)
        await carrier.begin(new.reservation_id, each.vnode, each.target)
        return ""
    except NotCarriedError as error:
        return str(error)


def _waiting(left: Sequence[Carry], reasons: Sequence[str]) -> tuple[Refusal, ...]:
    return tuple(
        _refusal(
            each,
            each.target,
            f"VNode {each.vnode} does not run at {each.target} yet: {why}; what it had stands by at"
            f" {each.source} until it does",
        )
        for each, why in zip(left, reasons, strict=True)
    )


async def _tell(engine: Engine, new: Transaction, refusals: tuple[Refusal, ...]) -> bool:
    """Writes into the record why VNodes do not run yet; False: try again."""
    live = engine.book.get(new.reservation_id)
    if live is None:
        return False
    try:
        async with live.turn():
            if live.record.transaction_id == new.transaction_id:
                now_ms = engine.now_ms()
                record = replace(live.record, refusals=refusals, updated_ms=now_ms)
                await engine.store_record(live, record)
    except (StorageError, LostError):
        return False
    return True


def _stands_by(transaction: Transaction) -> bool:
    return transaction.decision is Decision.COMMIT and not transaction.given_back
