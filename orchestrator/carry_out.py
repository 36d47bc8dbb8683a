"""A Modify that takes VNodes to other providers: what they have is carried, then they run there.

    committed ──all carried──▶ changed, told ──all begun──▶ the old version is released
        └──one cannot be──▶ put back ──▶ unchanged, told; the new version is released

How they are carried: orchestrator.errand. Nothing is remembered of how far it is: every step may be
done again, and after a crash all are (docs/decisions/0026-carried-vnodes.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from orchestrator.book import Live
from orchestrator.carried import now_running
from orchestrator.carrying import Carry, awaited, carries, sources
from orchestrator.engine import Engine
from orchestrator.errand import PAUSE_MAX_S, PAUSE_S, Errand, Outcome, refusal, tried
from orchestrator.ports import Carrier, LostError, NotCarriedError
from orchestrator.records import Reservation, State
from protocol.coordinator import Decision, Transaction
from runtime.database import StorageError
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

log = structlog.get_logger()

RESUMED_MS = 30_000
"""For how long it is tried in any case, however long ago it began."""


async def carry_all(
    engine: Engine, old_id: str, new: Transaction, since_ms: int, going: Callable[[], bool]
) -> Outcome:
    """Carries what the new version awaits, while ``going()``; why it could not, where it could not.

    Then all is put back that was to be carried.
    """
    old = engine.transactions.get(old_id)
    if not awaited(new):
        return Outcome()
    wanted = carries(old, new) if old is not None else ()
    if not wanted or engine.carrier is None:
        reason = "what its VNodes have cannot be carried: the version before is not known any more"
        return Outcome((Refusal(RefusalKind.UNAVAILABLE, reason),))
    until_ms = max(since_ms + engine.limits.carry_ms, engine.now_ms() + RESUMED_MS)
    errand = Errand(engine, engine.carrier, new, going, until_ms)
    outcome = await errand.carry(wanted)
    if not outcome.refusals:
        return outcome
    return Outcome(outcome.refusals + await errand.put_back(wanted))


async def begin_all(engine: Engine, old_id: str, new_id: str) -> None:
    """Lets run what was carried, until all runs or nothing stands by for it any more."""
    old, new = engine.transactions.get(old_id), engine.transactions.get(new_id)
    if old is None or new is None or engine.carrier is None:
        return
    wanted = carries(old, new) if _stands_by(old) else ()
    left, since_ms, pause_s, told = list(wanted), engine.now_ms(), PAUSE_S, False
    begun_ms: dict[str, int] = {}
    while left or begun_ms:
        # All of them: a provider that was restored meanwhile does not know what has begun.
        due = [each for each in wanted if _has_it(engine, each, new)] if left else []
        work = (_begin(engine, engine.carrier, each, new) for each in due)
        both = list(zip(due, await asyncio.gather(*work), strict=True))
        begun_ms = {each.vnode: engine.now_ms() for each, reason in both if not reason} | begun_ms
        left, reasons = [each for each, reason in both if reason], [reason for _, reason in both]
        if await _tell_begun(engine, new.reservation_id, begun_ms):
            begun_ms = {}
        late = engine.now_ms() - since_ms >= engine.limits.carry_ms
        if left and late and not told:
            told = await _tell(engine, new, _waiting(left, [r for r in reasons if r]))
        if left or begun_ms:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        now = engine.transactions.get(old_id)
        if now is None or not _stands_by(now):
            return
    if told:
        await _tell(engine, new, ())


def begin_again(engine: Engine, live: Live, domain: str = "") -> None:
    """Lets VNodes run, once more where a domain may not know that they began: it was restored from
    a copy of before that. ``domain``: only there; empty: anywhere.

    All of them: an earlier version may have brought one, of which nothing is remembered.
    """
    if engine.carrier is None or live.record.version == 1:
        return
    for part in live.record.parts:
        for vnode in part.vnodes if domain in ("", part.domain) else ():
            engine.spawn(_begin_once_more(engine, engine.carrier, live, vnode, part.domain))


async def _begin_once_more(
    engine: Engine, carrier: Carrier, live: Live, vnode: str, domain: str
) -> None:
    """For as long as it takes, while the version in force has it there."""
    name = live.record.reservation_id

    def going() -> bool:
        record = live.record
        return not live.lost and record.state is State.COMMITTED and _is_at(record, vnode, domain)

    async def begin() -> None:
        if live.record.change is not None:
            # What that brings must not begin before it is decided.
            raise NotCarriedError("a change of it is under way", final=False)
        begun = not _any_stands_by(engine, live.record)
        try:
            await carrier.begin(name, vnode, domain, begun=begun)
        except NotCarriedError as error:
            # What stands by may have it; once nothing does it is made anew.
            raise NotCarriedError(str(error), final=error.final and begun) from error

    error = await tried(begin, going)
    if error is not None:
        log.info("not begun", reservation=name, vnode=vnode, domain=domain, reason=str(error))


async def _begin(engine: Engine, carrier: Carrier, each: Carry, new: Transaction) -> str:
    """Why it does not run yet. What has arrived and was lost by its hosts is carried once more:
    its source has it still."""
    try:
        await carrier.begin(new.reservation_id, each.vnode, each.target)
        return ""
    except NotCarriedError as error:
        known = engine.book.get(new.reservation_id) is not None
        if not error.final or not known or not _has_it(engine, each, new):
            return str(error)
    lost = True
    for source in sources(_standing_by(engine, new), new, each):
        try:
            await _carry_once_more(engine, carrier, replace(each, source=source), new)
            lost = False
            break
        except NotCarriedError as error:
            if not error.lost:
                return str(error)
    # Where hosts at all ends have lost it nobody has more than its image.
    if not _has_it(engine, each, new):
        return "a later version has it elsewhere"
    try:
        await carrier.begin(new.reservation_id, each.vnode, each.target, begun=lost)
        return ""
    except NotCarriedError as error:
        return str(error)


def _has_it(engine: Engine, each: Carry, new: Transaction) -> bool:
    """Whether the version in force has it there. A later one may have taken it elsewhere, and one
    that is not decided may await it here again."""
    live = engine.book.get(new.reservation_id)
    if live is None:
        return True
    return _is_at(live.record, each.vnode, each.target)


def _is_at(record: Reservation, vnode: str, domain: str) -> bool:
    return any(part.domain == domain and vnode in part.vnodes for part in record.parts)


async def _carry_once_more(engine: Engine, carrier: Carrier, each: Carry, new: Transaction) -> None:
    """Its source stands still already: paused, or stopped."""
    way = new.reservation_id, each.vnode, each.source, each.target
    if engine.limits.carry_rounds:
        try:
            await carrier.carry(*way, live=True)
            return
        except NotCarriedError as error:
            if not error.final:
                raise
    await carrier.carry(*way, live=False)


def _waiting(left: Sequence[Carry], reasons: Sequence[str]) -> tuple[Refusal, ...]:
    return tuple(
        refusal(
            each,
            each.target,
            f"VNode {each.vnode} does not run at {each.target} yet: {why}; what it had stands by at"
            f" {each.source} until it does",
        )
        for each, why in zip(left, reasons, strict=True)
    )


async def _tell(engine: Engine, new: Transaction, refusals: tuple[Refusal, ...]) -> bool:
    """Writes into the record why VNodes do not run yet; False: try again."""

    def change(record: Reservation) -> Reservation:
        if record.transaction_id != new.transaction_id:
            return record
        return replace(record, refusals=refusals)

    return await _written(engine, new.reservation_id, change)


async def _tell_begun(engine: Engine, reservation_id: str, begun_ms: Mapping[str, int]) -> bool:
    """Writes into the record for how long VNodes stood still that run now; False: try again."""

    def change(record: Reservation) -> Reservation:
        if record.state is not State.COMMITTED:
            return record
        return replace(record, carried=now_running(record.carried, begun_ms))

    # Whose record is not here is told of by whoever has it.
    here = engine.book.get(reservation_id) is not None
    return not (here and begun_ms) or await _written(engine, reservation_id, change)


async def _written(
    engine: Engine, reservation_id: str, change: Callable[[Reservation], Reservation]
) -> bool:
    """Makes a record so; False: try again."""
    live = engine.book.get(reservation_id)
    if live is None:
        return False
    try:
        async with live.turn():
            after = change(live.record)
            if after != live.record:
                await engine.store_record(live, replace(after, updated_ms=engine.now_ms()))
    except (StorageError, LostError):
        return False
    return True


def _stands_by(transaction: Transaction) -> bool:
    return transaction.decision is Decision.COMMIT and not transaction.given_back


def _any_stands_by(engine: Engine, record: Reservation) -> bool:
    """Whether a version that was replaced is held still, as until all of the next one has begun."""
    standing_by = _standing_by(engine, record)
    return any(it.transaction_id != record.transaction_id for it in standing_by)


def _standing_by(engine: Engine, of: Reservation | Transaction) -> list[Transaction]:
    """Versions of a reservation that are not given back."""
    return [it for it in engine.transactions.versions(of.reservation_id) if _stands_by(it)]
