"""Parts in doubt, settled by an operator's hand when their domain's word does not come.

Such a decision is heuristic: it is recorded, and marked when the domain's own word, once it comes,
says otherwise. A domain that returns hears what its part must hear, as if it had asked: what it may
still hold of a part that was given up is given back then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from orchestrator.engine import Engine
from orchestrator.events import settled_by_hand_event
from orchestrator.owner import Owner
from orchestrator.ports import Changes, ConflictError, Doubt, Holdings, LostError
from orchestrator.records import HandDecision
from protocol.coordinator import (
    CoordinatorPart,
    PartStatus,
    SettledByHand,
    Transaction,
    contradicts,
    possible_settlements,
)
from protocol.messages import Inquire, Phase, ReservationResp
from runtime.database import StorageError
from substrate.values import dataclass

log = structlog.get_logger()

ATTEMPTS = 3
TOLD_AGAIN_MAX = 1000

Moved = Callable[[Transaction], Awaitable[None]]
"""What follows for the record when a part has moved on."""


@dataclass(frozen=True, slots=True)
class HandOrder:
    """What an operator wants done with a part, and why."""

    transaction_id: str
    part_id: str
    commit: bool
    operator: str
    reason: str


class UnknownPartError(Exception):
    """No such transaction, or no such part of it."""


class NotInDoubtError(Exception):
    """The part cannot be settled by hand, or not in this way; the text says what is possible.

    ``in_doubt``: it can be, in another way.
    """

    def __init__(self, possible: str, in_doubt: bool) -> None:
        super().__init__(possible)
        self.in_doubt = in_doubt


class Hand:
    """Settles one part at a time; ``moved`` is told of what an order changed."""

    def __init__(self, engine: Engine, owner: Owner, moved: Moved) -> None:
        self._engine, self._owner, self._moved = engine, owner, moved
        self._turn = asyncio.Lock()

    async def settle(self, order: HandOrder) -> HandDecision:
        """Does it durably and records it; again: what was recorded. Goes on without its caller.

        Raises UnknownPartError, NotInDoubtError, ConflictError when something else keeps happening
        to the part, and StorageError.
        """
        return await self._engine.detached(self._settle(order))

    async def _settle(self, order: HandOrder) -> HandDecision:
        store = self._engine.store
        async with self._turn:
            for _ in range(ATTEMPTS):
                doubt = await store.doubt(order.transaction_id, order.part_id)
                recorded = await store.hand_decision(order.transaction_id, order.part_id)
                if doubt is None or order.commit not in possible_settlements(doubt.part.status):
                    if recorded is not None and recorded.commit is order.commit:
                        return recorded
                    raise await self._refusal(order, doubt, recorded)
                try:
                    return await self._carry_out(order, doubt)
                except ValueError:
                    # Its domain has answered at this moment.
                    continue
                except LostError:
                    self._engine.lose(doubt.reservation_id)
        raise ConflictError(order.transaction_id)

    async def _carry_out(self, order: HandOrder, doubt: Doubt) -> HandDecision:
        """Raises LostError, ValueError, StorageError."""
        engine = self._engine
        await self._own(doubt.reservation_id, order.transaction_id)
        decision = HandDecision(
            transaction_id=order.transaction_id,
            part_id=order.part_id,
            reservation_id=doubt.reservation_id,
            domain=doubt.part.domain,
            commit=order.commit,
            operator=order.operator,
            reason=order.reason,
            at_ms=engine.now_ms(),
        )
        transaction = await engine.transactions.apply(
            order.transaction_id,
            SettledByHand(order.part_id, order.commit),
            lambda _tx: Changes(hand=decision, events=(settled_by_hand_event(decision),)),
        )
        log.warning("part settled by hand", **_shown(decision), reason=decision.reason)
        await self._moved(transaction)
        return decision

    async def _own(self, reservation_id: str, transaction_id: str) -> None:
        """Takes the reservation over, unless its transaction is live here. Raises LostError."""
        if self._engine.transactions.get(transaction_id) is not None:
            return
        self._engine.lose(reservation_id)
        # Of a reservation that is final, only its transactions are taken up.
        with suppress(LostError):
            await self._owner.take_one(reservation_id)
        if self._engine.transactions.get(transaction_id) is None:
            raise LostError(reservation_id)

    async def _refusal(
        self, order: HandOrder, doubt: Doubt | None, recorded: HandDecision | None
    ) -> Exception:
        if doubt is not None:
            words = [word_of(commit) for commit in possible_settlements(doubt.part.status)]
            text = f"{' or '.join(words)} of a part that is {doubt.part.status.name}"
            return NotInDoubtError(text, in_doubt=True)
        if recorded is not None:
            text = f"{word_of(recorded.commit)}, as {recorded.operator} decided before"
            return NotInDoubtError(text, in_doubt=True)
        part = await self._part(order.transaction_id, order.part_id)
        if part is None:
            return UnknownPartError(order.part_id)
        return NotInDoubtError(f"a part in doubt; this one is {part.status.name}", in_doubt=False)

    # What domains say and hear --------------------------------------------------------------------

    async def heard(self, domain: str, word: ReservationResp | Inquire) -> None:
        """Marks a decision that the domain's own word contradicts. Raises StorageError."""
        if isinstance(word, ReservationResp) and not self.is_odd(word):
            return
        store = self._engine.store
        decision = await store.hand_decision(word.transaction_id, word.part_id)
        if decision is None or decision.contradicted or decision.domain != domain:
            return
        part = await self._part(word.transaction_id, word.part_id)
        if part is None or not contradicts(part.status, decision.commit, word):
            return
        await self._contradicted(decision)

    async def meet(self, domain: str, holdings: Holdings) -> None:
        """The domain is there again: marks what was given up and it still holds.

        Raises StorageError.
        """
        given_up = [each for each in await self._open(domain) if not each.commit]
        held = await holdings() if given_up else frozenset()
        for decision in given_up:
            if (decision.transaction_id, decision.part_id) in held:
                await self._contradicted(decision)

    async def returned(self, domain: str) -> None:
        """The domain can be reached: it hears its word of what was settled without it."""
        try:
            for each in await self._open(domain):
                inquire = Inquire(each.transaction_id, each.part_id, each.reservation_id)
                await self._engine.transactions.inquired(domain, inquire)
        except StorageError as error:
            log.warning("decisions by hand cannot be read", domain=domain, error=str(error))

    async def _open(self, domain: str) -> list[HandDecision]:
        """Decisions about parts whose window is not over: what their domain does still matters."""
        found = []
        for decision in await self._engine.store.hand_decisions(domain, TOLD_AGAIN_MAX):
            part = await self._part(decision.transaction_id, decision.part_id)
            if part is not None and part.prep.window.end_s * 1000 > self._engine.now_ms():
                found.append(decision)
        return found

    async def _contradicted(self, decision: HandDecision) -> None:
        if await self._engine.store.contradict(decision):
            said = "it holds nothing" if decision.commit else "it holds the part"
            log.warning("a domain contradicts a decision by hand", said=said, **_shown(decision))

    def is_odd(self, response: ReservationResp) -> bool:
        """Whether the answer may be one that no live transaction waits for: seldom."""
        if response.phase is not Phase.COMMIT:
            return False
        live = self._engine.transactions.get(response.transaction_id)
        for part in live.parts if live is not None else ():
            if part.part_id == response.part_id:
                expected = PartStatus.COMMITTED if response.ok else PartStatus.NACKED
                return part.status not in (PartStatus.COMMITTING, expected)
        return True

    async def _part(self, transaction_id: str, part_id: str) -> CoordinatorPart | None:
        engine = self._engine
        found = engine.transactions.get(transaction_id)
        return _part_of(found or await engine.store.transaction(transaction_id), part_id)


def word_of(commit: bool) -> str:
    """As in doubts.proto."""
    return "COMMIT" if commit else "GIVE_UP"


def _part_of(transaction: Transaction | None, part_id: str) -> CoordinatorPart | None:
    parts = transaction.parts if transaction is not None else ()
    return next((part for part in parts if part.part_id == part_id), None)


def _shown(decision: HandDecision) -> dict[str, str]:
    return {
        "transaction_id": decision.transaction_id,
        "part_id": decision.part_id,
        "domain": decision.domain,
        "decision": word_of(decision.commit),
        "operator": decision.operator,
    }
