"""Carrying the VNodes of one Modify: live where both ends can, else cold.

    a copy ahead ──both ends can──▶ more copies ──little left──▶ pause, the rest ──▶ carried
         │                               ▲                             │
         └──cannot──▶ stop, all of it    └──────── put back ◀──not now─┘

What is carried cold comes first: that takes long, and whoever goes live runs on meanwhile. The last
copies are made all at once, so none stands still for another. Whose last copy fails runs on where
it was until the next try (docs/decisions/0026-carried-vnodes.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import field
from typing import TypeVar

import structlog

from orchestrator.carried import CarriedVNode
from orchestrator.carrying import Carry, goes_on
from orchestrator.engine import Engine
from orchestrator.ports import Brought, Carrier, NotCarriedError
from protocol.coordinator import Transaction
from substrate.model import Refusal, RefusalKind
from substrate.values import dataclass

log = structlog.get_logger()

T = TypeVar("T")

PAUSE_S = 1.0
PAUSE_MAX_S = 5.0
PUT_BACK_MS = 60_000
"""For how long a source is looked for whose VNode stands still for nothing."""
COLD_ONLY = "its orchestrator carries none as it runs (carry_rounds: 0)"
NOT_RUNNING = "it did not run any more when it was carried"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why not all was carried; or what was. Neither: nobody wants it any more."""

    refusals: tuple[Refusal, ...] = ()
    carried: tuple[CarriedVNode, ...] = field(default=())


class Errand:
    """Carries for ``new`` until ``until_ms``, while ``going()``."""

    def __init__(
        self,
        engine: Engine,
        carrier: Carrier,
        new: Transaction,
        going: Callable[[], bool],
        until_ms: int,
    ) -> None:
        self._engine, self._carrier, self._new = engine, carrier, new
        self._going, self._until_ms = going, until_ms
        self._ahead_bytes: dict[str, int] = {}

    async def carry(self, wanted: Sequence[Carry]) -> Outcome:
        """All of them, or why not; then what stands still at its source is to be put back."""
        firsts = await _all(self._first(each) for each in wanted)
        if refusals := _refusals(firsts):
            return Outcome(refusals)
        cold = [(each, why) for each, why in zip(wanted, firsts, strict=True) if why]
        carried = await _all(self._cold(each, str(why)) for each, why in cold)
        if refusals := _refusals(carried):
            return Outcome(refusals)
        stopped = {each for each, _ in cold}
        running = [each for each in wanted if each not in stopped]
        live = await self._live(running) if running else ()
        if refusals := _refusals(live):
            return Outcome(refusals)
        every = [each for each in (*carried, *live) if isinstance(each, CarriedVNode)]
        return Outcome(carried=tuple(every) if len(every) == len(wanted) else ())

    async def put_back(self, wanted: Sequence[Carry]) -> tuple[Refusal, ...]:
        """Lets them run where they were; what must be known where that could not be done."""
        until_ms = self._engine.now_ms() + PUT_BACK_MS
        return _refusals(await _all(self._put_back(each, until_ms) for each in wanted))

    async def _first(self, each: Carry) -> Refusal | str:
        """Why a VNode is carried cold; empty: it can go live."""
        if not self._engine.limits.carry_rounds:
            return COLD_ONLY
        error = await self._ahead(each, 1)
        if error is None:
            return ""
        return str(error) if error.final else self._refused(each, error)

    async def _ahead(self, each: Carry, rounds: int) -> NotCarriedError | None:
        """Copies until little is left, or it is late. What an earlier life of its orchestrator has
        stopped runs meanwhile."""
        sizes: list[int] = []

        async def copy() -> None:
            ahead = await self._carrier.ahead(*self._of(each))
            sizes.append(ahead.size)
            self._ahead_bytes[each.vnode] = self._ahead_bytes.get(each.vnode, 0) + ahead.size
            if ahead.still and self._going():
                name = self._new.reservation_id
                await self._carrier.put_back(name, each.vnode, each.source)

        while goes_on(sizes, rounds) and self._going() and not (sizes and self._late):
            error = await self._tried(copy, self._until_ms)
            if error is not None:
                return error
        return None

    async def _cold(self, each: Carry, why: str) -> Refusal | CarriedVNode | None:
        done: list[CarriedVNode] = []

        async def work() -> None:
            done.append(await self._bring(each, why))

        error = await self._tried(work, self._until_ms)
        if error is not None:
            return self._refused(each, error)
        return done[0] if done else None

    async def _live(self, wanted: Sequence[Carry]) -> Sequence[Refusal | CarriedVNode]:
        """All at once, or what stands in the way."""
        pause_s, rounds = PAUSE_S, self._engine.limits.carry_rounds
        while self._going():
            ahead = await _all(self._ahead(each, rounds) for each in wanted)
            if wrong := self._refused_all(wanted, ahead):
                return wrong
            if not self._going():
                break
            outcomes = await _all(self._last(each) for each in wanted)
            errors = [each if isinstance(each, NotCarriedError) else None for each in outcomes]
            if not any(errors):
                return [each for each in outcomes if isinstance(each, CarriedVNode)]
            if self._late or any(error is not None and error.final for error in errors):
                return self._refused_all(wanted, errors)
            log.info("tried again", reasons=[str(error) for error in errors if error])
            await _all(self._runs_again(each, self._engine.now_ms()) for each in wanted)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        return ()

    @property
    def _late(self) -> bool:
        return self._engine.now_ms() >= self._until_ms

    async def _last(self, each: Carry) -> CarriedVNode | NotCarriedError:
        try:
            return await self._bring(each)
        except NotCarriedError as error:
            return error

    async def _bring(self, each: Carry, why_cold: str = "") -> CarriedVNode:
        """Once. Raises NotCarriedError."""
        asked_ms = self._engine.now_ms()
        brought: Brought = await self._carrier.carry(*self._of(each), live=not why_cold)
        live = brought.live and not why_cold
        return CarriedVNode(
            each.vnode,
            each.source,
            each.target,
            live,
            "" if live else why_cold or NOT_RUNNING,
            None if brought.off else asked_ms - brought.still_ms,
            ahead_bytes=self._ahead_bytes.get(each.vnode, 0),
            last_bytes=brought.size,
        )

    async def _put_back(self, each: Carry, until_ms: int) -> Refusal | None:
        error = await self._runs_again(each, until_ms)
        if error is None:
            return None
        name, why = self._new.reservation_id, str(error)
        log.error("VNode not put back", reservation=name, carry=each, reason=why)
        reason = (
            f"VNode {each.vnode} may stand still at {each.source}, which could not be told that it"
            f" stays: {why}; start it there once it can be reached"
        )
        return refusal(each, each.source, reason)

    async def _runs_again(self, each: Carry, until_ms: int) -> NotCarriedError | None:
        name = self._new.reservation_id
        return await self._tried(
            lambda: self._carrier.put_back(name, each.vnode, each.source), until_ms
        )

    async def _tried(
        self, work: Callable[[], Awaitable[None]], until_ms: int
    ) -> NotCarriedError | None:
        """Why it was not done at last; None: it was, or nobody wants it any more."""
        return await tried(work, self._going, lambda: self._engine.now_ms() >= until_ms)

    def _of(self, each: Carry) -> tuple[str, str, str, str]:
        return self._new.reservation_id, each.vnode, each.source, each.target

    def _refused(self, each: Carry, why: NotCarriedError) -> Refusal:
        name = self._new.reservation_id
        log.warning("VNode not carried", reservation=name, carry=each, reason=str(why))
        reason = (
            f"what VNode {each.vnode} has could not be carried from {each.source} to"
            f" {each.target}: {why}; possible: to leave it at {each.source}, or to say that it"
            " begins anew"
        )
        return refusal(each, each.source, reason)

    def _refused_all(
        self, wanted: Sequence[Carry], errors: Sequence[NotCarriedError | None]
    ) -> list[Refusal]:
        both = zip(wanted, errors, strict=True)
        return [self._refused(each, error) for each, error in both if error is not None]


async def tried(
    work: Callable[[], Awaitable[None]],
    going: Callable[[], bool],
    late: Callable[[], bool] = lambda: False,
) -> NotCarriedError | None:
    """Why it was not done at last; None: it was, or it is not ``going()`` any more."""
    pause_s = PAUSE_S
    while going():
        try:
            await work()
            return None
        except NotCarriedError as error:
            if error.final or late():
                return error
            log.info("tried again", reason=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
    return None


def refusal(each: Carry, domain: str, reason: str) -> Refusal:
    """Why a VNode is not where it should be, in the words of one domain."""
    return Refusal(RefusalKind.UNAVAILABLE, reason, domain, elements=(each.vnode,))


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """At once."""
    return list(await asyncio.gather(*work))


def _refusals(outcomes: Sequence[object]) -> tuple[Refusal, ...]:
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Refusal))
