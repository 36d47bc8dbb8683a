"""Moves others to let a refused circuit in: all of it in one decision (docs/decisions/0021).

Each reservation that is moved gets a transaction of its own, as for a Modify. All are held as one
joint, and decided together with the new circuit's in one write. Whatever fails before that write,
everything stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import structlog

from orchestrator.bargain import drop_parts
from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.events import moved_event, state_event
from orchestrator.lying import Phases
from orchestrator.modifying import give_back
from orchestrator.negotiation import Question
from orchestrator.placing import Moving, Room
from orchestrator.ports import Changes, ConflictError, LostError, StaleEpochError
from orchestrator.records import Change, State, committed, moved, stayed
from orchestrator.room import LEAD_S, find_room, is_movable, may_have_room
from protocol.coordinator import begin
from protocol.messages import Joint
from runtime import telemetry
from runtime.database import StorageError
from substrate.bending import rigid
from substrate.model import Criteria, Refusal
from substrate.values import dataclass, replace

log = structlog.get_logger()

ATTEMPTS = 2
"""A domain may have less than it offered; then it is looked for anew."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A reservation that is being moved, by this transaction."""

    moving: Moving
    transaction_id: str

    @property
    def live(self) -> Live:
        return self.moving.live

    @property
    def pending(self) -> bool:
        change = self.live.record.change
        return change is not None and change.transaction_id == self.transaction_id


@telemetry.traced("make_room")
async def make_room(
    engine: Engine, live: Live, question: Question, refusals: Sequence[Refusal]
) -> bool | Refusal:
    """Lets a reservation in that is NEGOTIATING and was refused; False: it cannot be.

    A refusal: it could be, and takes more from others than it may. Raises LostError.
    """
    if not may_have_room(engine, question, refusals):
        return False
    for _ in range(ATTEMPTS):
        if engine.now_ms() >= question.deadline_ms:
            return False
        room = await find_room(engine, question, live.record.reservation_id)
        if room is None:
            return False
        if isinstance(room, Refusal):
            return room
        if await _let_in(engine, live, question, room):
            return True
        with suppress(StorageError):
            await drop_parts(engine.transactions, live.record.transaction_id)
    return False


async def _let_in(engine: Engine, live: Live, question: Question, room: Room) -> bool:
    opened: list[_Opened] = []
    try:
        for moving in sorted(room.moves, key=lambda m: m.before.reservation_id):
            transaction_id = await _open(engine, moving, live.record.reservation_id)
            if transaction_id is None:
                return False
            opened.append(_Opened(moving, transaction_id))
        if not await _held(engine, live, question, room, opened):
            return False
        return await _decided(engine, live, room, opened)
    except LostError:
        # One of the others may be gone, or another instance's.
        if live.lost or engine.transactions.get(live.record.transaction_id) is None:
            raise
        return False
    except (ConflictError, StaleEpochError, StorageError, ValueError) as error:
        # What became of a write in doubt is read again; who is read again hears LostError.
        log.info("a circuit could not be let in", error=str(error))
        return False
    finally:
        for each in opened:
            if each.pending:
                engine.spawn(_close(engine, each))


async def _open(engine: Engine, moving: Moving, for_id: str) -> str | None:
    """Records that it may be moved; None where it is not any more what it was."""
    live = moving.live
    with suppress(LostError):
        async with live.turn():
            record, now_ms = live.record, engine.now_ms()
            if record is not moving.before or not is_movable(engine, record, now_ms):
                return None
            fresh = begin(engine.ids.new(), record.reservation_id, record.version + 1)
            change = Change(
                request_id="",
                transaction_id=fresh.transaction_id,
                criteria=moving.grant.criteria,
                timeout_s=record.timeout_s,
                asked_ms=now_ms,
                moves_for=for_id,
            )
            record = replace(record, change=change)
            await engine.save(Changes(reservation=record, transactions=(fresh,)))
            if live.lost:
                return None
            live.set(record)
        engine.transactions.adopt(fresh)
        return fresh.transaction_id
    return None


async def _close(engine: Engine, opened: _Opened) -> None:
    """It stays where it was."""
    live = opened.live
    with suppress(LostError):
        async with live.turn():
            if not opened.pending:
                return
            record = stayed(live.record, engine.now_ms())
            await engine.persist(lambda: engine.withdraw(live, opened.transaction_id, record), live)
            live.set(record)
            engine.transactions.forget_settled(opened.transaction_id)


async def _held(
    engine: Engine, live: Live, question: Question, room: Room, opened: Sequence[_Opened]
) -> bool:
    """Whether all domains hold all parts of all, for as long as it takes."""
    record = live.record
    versions = {record.reservation_id: record.version}
    versions |= {e.live.record.reservation_id: e.live.record.version + 1 for e in opened}
    joint = Joint(engine.ids.new(), tuple(sorted(versions.items()))) if opened else None

    async def hold(criteria: Criteria, phases: Phases, transaction_id: str, who: str) -> bool:
        for phase, plan in phases:
            each = replace(question, criteria=rigid(criteria, phase))
            bargain = engine.bargain(each, transaction_id, who, versions[who], joint=joint)
            answers = await bargain.prepare(plan.segments)
            if any(answer is not None for answer in answers.values()):
                return False
        return True

    held = await asyncio.gather(
        hold(room.grant.criteria, room.phases, record.transaction_id, record.reservation_id),
        *(
            hold(
                each.moving.grant.criteria,
                each.moving.phases,
                each.transaction_id,
                each.live.record.reservation_id,
            )
            for each in opened
        ),
    )
    return all(held)


async def _decided(engine: Engine, live: Live, room: Room, opened: Sequence[_Opened]) -> bool:
    """One write: all COMMIT, the new one is told, the others are what they have become."""
    before = {each.transaction_id: each.live.record.transaction_id for each in opened}
    async with AsyncExitStack() as turns:
        every = [live, *(each.live for each in opened)]
        for one in sorted(every, key=lambda one: one.record.reservation_id):
            await turns.enter_async_context(one.turn())
        now_ms = engine.now_ms()
        soon_ms = now_ms + LEAD_S * 1000 // 2
        if live.record.state is not State.NEGOTIATING or not all(
            each.pending and each.moving.since_s * 1000 > soon_ms for each in opened
        ):
            return False
        first = committed(live.record, room.grant, now_ms)
        others = [moved(each.live.record, each.moving.grant, now_ms) for each in opened]
        events = (state_event(first, now_ms), *(moved_event(one, now_ms) for one in others))
        more = Changes(reservation=first, others=tuple(others), events=events)
        ids = [first.transaction_id, *(one.transaction_id for one in others)]
        await engine.transactions.decide_together(ids, more)
        for one, record in zip(every, [first, *others], strict=True):
            one.set(record)
            engine.book.watch_end(record)
    for new_id, old_id in before.items():
        engine.spawn(give_back(engine, old_id, new_id))
    return True
