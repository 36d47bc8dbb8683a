"""Keeps what a child orchestrator holds for a reservation in step with the parts that need it."""

from __future__ import annotations

from collections.abc import Sequence

from agents.backends.base import DeviceError
from agents.backends.child.circuits import (
    Circuit,
    Inner,
    Need,
    Ports,
    Target,
    Thing,
    needed,
    refusal_of,
)
from agents.backends.child.unions import Whole, crossed, others, pins, whole_of
from agents.backends.child.view import ChildView
from braid.v1 import reservations_pb2 as pb
from protocol.messages import ReservationPrep
from rdl.errors import RdlError
from runtime.clock import Clock
from substrate.model import Refusal, RefusalKind, Segment, Window
from substrate.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for a part: a thing, for which segment (None: VNodes), and all that is needed
    of it. ``whole``: of VNodes all versions in one."""

    prep: ReservationPrep
    thing: Thing
    segment: Segment | None
    need: Need
    whole: Whole | None


class Keeper:
    """``visible``: whether the parent is told the child's reasons. Calls raise BraidError."""

    def __init__(
        self, child: ChildView, ports: Ports, clock: Clock, timeout_s: float, *, visible: bool
    ) -> None:
        self._child, self._ports, self._clock = child, ports, clock
        self._timeout_s, self._visible = timeout_s, visible

    async def secure(
        self,
        prep: ReservationPrep,
        parts: Sequence[ReservationPrep],
        thing: Thing,
        segment: Segment | None,
        wait_s: float,
    ) -> Refusal | None:
        """Makes the child hold what all parts of the reservation need of a thing."""
        try:
            asked = self._asked(prep, parts, thing, segment)
            crossing = crossed(asked.whole.inner, prep, self._ports) if asked.whole else None
            return crossing or await self._secured(asked, wait_s)
        except RdlError as error:
            return Refusal(RefusalKind.POLICY, f"VNodes behind this domain: {error}")

    def _asked(
        self,
        prep: ReservationPrep,
        parts: Sequence[ReservationPrep],
        thing: Thing,
        segment: Segment | None,
    ) -> Asked:
        need = needed(parts, self._ports, thing.tag, prep.window)
        assert need is not None
        # What has begun is asked for from now on.
        need = replace(need, window=Window(self._from_s(need.window), need.window.end_s))
        whole = _whole(need)
        return Asked(prep, whole.inner if whole else thing, segment, need, whole)

    async def _secured(self, asked: Asked, wait_s: float) -> Refusal | None:
        prep, need = asked.prep, asked.need
        for circuit in await self._standing(prep.reservation_id):
            if circuit.serves(asked.thing.tag, need.window):
                fresh = await self._child.got(circuit)
                if fresh.committed:
                    return await self._widened(fresh, asked, wait_s)
        record, made = await self._child.reserved(prep, asked.thing, need, wait_s)
        if made is not None and made.committed:
            # Perhaps in an earlier life, when less was needed.
            return await self._widened(made, asked, wait_s)
        return self._refused(record, asked)

    async def tidy(self, reservation_id: str, parts: Sequence[ReservationPrep]) -> None:
        """Gives back what is more than the parts need. Raises DeviceError."""
        kept: list[Circuit] = []
        for circuit in await self._standing(reservation_id):
            need = needed(parts, self._ports, circuit.thing, circuit.window)
            if need is None or any(self._has(other, circuit.thing, need) for other in kept):
                await self._child.cancel(circuit)
                continue
            fresh = await self._child.got(circuit)
            if fresh.live:
                kept.append(await self._fit(fresh, need))

    async def _standing(self, reservation_id: str) -> list[Circuit]:
        live = await self._child.live(reservation_id)
        return sorted(live, key=lambda circuit: circuit.standing)

    async def _widened(self, circuit: Circuit, asked: Asked, wait_s: float) -> Refusal | None:
        need, whole = asked.need, asked.whole
        if self._serves(circuit, asked):
            return None
        if need.window.start_s < circuit.window.start_s:
            reason = "what is held for it behind this domain cannot begin earlier"
            return Refusal(RefusalKind.POLICY, reason)
        changed = others(circuit, whole) if whole is not None and self._runs(circuit) else ()
        if changed:
            reason = "behind this domain VNodes that run keep their attributes and features"
            return Refusal(RefusalKind.POLICY, f"{reason}: {', '.join(changed)}", elements=changed)
        if self._child.unsettled(circuit.reservation_id):
            reason = "what was asked before may still be changed behind this domain"
            return Refusal(RefusalKind.UNAVAILABLE, reason)
        target = Target(
            max(need.bandwidth_bps, circuit.bandwidth_bps),
            max(need.window.end_s, circuit.window.end_s),
            *self._change(circuit, whole),
        )
        record, after = await self._child.modified(circuit, target, wait_s)
        served = after is not None and after.committed and self._serves(after, asked)
        return None if served else self._refused(record, asked)

    async def _fit(self, circuit: Circuit, need: Need) -> Circuit:
        """The circuit once it is what the parts need; what they need at least stays."""
        bandwidth_bps = min(need.bandwidth_bps, circuit.bandwidth_bps)
        end_s = min(need.window.end_s, circuit.window.end_s)
        whole = _whole(need)
        wanted = (bandwidth_bps, end_s, whole.inner if whole is not None else None)
        if wanted == _of(circuit) or not circuit.committed or end_s * 1000 <= self._clock.now_ms():
            return circuit
        target = Target(bandwidth_bps, end_s, *self._change(circuit, whole))
        _, after = await self._child.modified(circuit, target, self._timeout_s)
        if after is None or _of(after) != wanted:
            raise DeviceError("the child orchestrator does not take back what is not needed")
        return after

    def _change(
        self, circuit: Circuit, whole: Whole | None
    ) -> tuple[Inner | None, tuple[tuple[str, str], ...]]:
        """What its VNodes are to be, and which of them must stay where they are."""
        if whole is None or whole.inner == circuit.inner:
            return None, ()
        return whole.inner, pins(circuit, whole.inner) if self._runs(circuit) else ()

    def _runs(self, circuit: Circuit) -> bool:
        return circuit.active or circuit.window.start_s * 1000 <= self._clock.now_ms()

    def _serves(self, circuit: Circuit, asked: Asked) -> bool:
        inner = asked.whole.inner if asked.whole is not None else None
        return circuit.covers(asked.need) and circuit.inner == inner

    def _has(self, circuit: Circuit, thing: str, need: Need) -> bool:
        """Whether it is all that is needed of VNodes, so that another one is too many."""
        window = Window(self._from_s(need.window), max(need.window.end_s, self._now_s() + 1))
        whole = _whole(need)
        return (
            whole is not None
            and circuit.committed
            and circuit.thing == thing
            and circuit.inner == whole.inner
            and circuit.covers(replace(need, window=window))
        )

    def _refused(self, record: pb.ReservationRecord, asked: Asked) -> Refusal:
        refusal, whole = refusal_of(record, asked.segment, self._ports, self._visible), asked.whole
        if whole is None:
            return refusal
        shortages = (replace(s, elements=whole.named(s.elements)) for s in refusal.shortages)
        return replace(refusal, elements=whole.named(refusal.elements), shortages=tuple(shortages))

    def _from_s(self, window: Window) -> int:
        return max(window.start_s, self._now_s())

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _whole(need: Need) -> Whole | None:
    """Raises RdlError."""
    return whole_of(need.inners) if need.inners else None


def _of(circuit: Circuit) -> tuple[int, int, Inner | None]:
    return circuit.bandwidth_bps, circuit.window.end_s, circuit.inner
