"""What the parts that a domain holds count for in its calendar: alone, or in a joint together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agents.backends.base import Placement
from agents.sums import OUTCOMES, Outcomes, Sums
from agents.together import NOTHING_OWED, Held, Joints, LivePart, Owed
from agents.usage import Usage, envelope
from protocol.messages import Joint, ReservationPrep
from substrate.calendar import Calendar
from substrate.model import Window


class Counting:
    """Puts into a calendar what ``held`` counts for, part by part; forgets who holds nothing more.

    A joint is added up when it begins to count and when it ends; between, only what a part changes.
    """

    def __init__(self, held: dict[str, Held]) -> None:
        self._held = held
        self.joints = Joints(held)
        self._together: dict[str, Sums] = {}

    def alone(self, reservation_id: str) -> tuple[Usage, ...]:
        """What a reservation that is awake counts for by itself; nothing while it is joint."""
        held = self._held.get(reservation_id)
        return held.envelope if held is not None else ()

    def owed(self, prep: ReservationPrep) -> Owed:
        """What does not count against a part, and what the others of its joint need beside it."""
        reservation_id, window = prep.reservation_id, prep.window
        if not self.joints and prep.joint is None:
            held = self._held.get(reservation_id)
            return NOTHING_OWED if held is None else Owed(held.envelope)
        part = LivePart.of(prep, Placement((), ()))
        joint = self.joints.of(reservation_id, part)
        if joint is None:
            return Owed(self.alone(reservation_id))
        members = self.joints.members(joint)
        ids = {self._held[member].joint_id for member in members}
        if ids == {joint.joint_id}:
            sums, held = self._together[joint.joint_id], self._held.get(reservation_id)
            own = _outcomes(held.around(window) if held else (), reservation_id, joint, window)
            may = [part.may_stand(reservation_id, joint, comes=comes) for comes in OUTCOMES]
            return Owed(sums.within(window), sums.without(own, may, window))
        back = [usage for member in members for usage in self._held[member].envelope]
        for one in sorted(ids - {""}):
            back += self._together[one].within(window)
        return Owed(tuple(back), self.joints.beside(reservation_id, part, joint))

    def reckon(
        self, calendar: Calendar, reservation_id: str, part: LivePart, checked: bool = False
    ) -> None:
        """Counts a part that has just come, or no more one that has gone.

        ``checked``: it is the only one of its reservation, and there is room for it, which is not
        looked at again.
        """
        held, joint = self._held[reservation_id], self.joints.of(reservation_id)
        if joint is None and not held.joint_id:
            before = held.envelope
            held.count(alone=True)
            if checked:
                for claim in part.placement.claims:
                    calendar.add_checked(claim.resource, part.window, claim.bandwidth_bps)
            else:
                _count(calendar, before, -1)
                _count(calendar, held.envelope, 1)
        elif joint is None or not self._changed(calendar, reservation_id, part, joint):
            self._anew(calendar, reservation_id)
        if not held.parts:
            del self._held[reservation_id]

    def _changed(
        self, calendar: Calendar, reservation_id: str, part: LivePart, joint: Joint
    ) -> bool:
        """What the part changes in the sums of its joint; False where it changes more than that."""
        held, sums = self._held[reservation_id], self._together.get(joint.joint_id)
        if sums is None:
            return False
        now = held.around(part.window)
        before = [one for one in now if one is not part]
        if len(before) == len(now):
            before.append(part)
        elif len(held.parts) == 1 and not held.joint_id:
            held.joint_id = joint.joint_id
        if held.joint_id != joint.joint_id:
            return False
        sums.members.add(reservation_id)
        old, new = (_outcomes(parts, reservation_id, joint, part.window) for parts in (before, now))
        less, more = sums.change(old, new, part.window)
        _count(calendar, less, -1)
        _count(calendar, more, 1)
        return True

    def _anew(self, calendar: Calendar, reservation_id: str) -> None:
        """All that may count otherwise than before: who counts together is not who did."""
        after = self.joints.of(reservation_id)
        concerned = {reservation_id, *(self.joints.members(after) if after is not None else ())}
        ids = {self._held[one].joint_id for one in concerned} - {""}
        # Most is as it was: only what differs is put into the calendar.
        changes: Counter[Usage] = Counter()
        for joint_id in ids:
            sums = self._together.pop(joint_id)
            concerned.update(one for one in sums.members if one in self._held)
            changes.subtract(sums.usages())
        for one in concerned:
            held = self._held[one]
            changes.subtract(held.envelope)
            held.joint_id = ""
            held.count(alone=False)
        for one in concerned:
            held, joint = self._held[one], self.joints.of(one)
            if joint is None:
                held.count(alone=True)
                changes.update(held.envelope)
                continue
            held.joint_id = joint.joint_id
            sums_of = self._together.get(joint.joint_id)
            if sums_of is None:
                sums_of = Sums(self.joints.outcomes(joint), self.joints.members(joint))
                self._together[joint.joint_id] = sums_of
                changes.update(sums_of.usages())
        _count(calendar, (-changes).elements(), -1)
        _count(calendar, (+changes).elements(), 1)


def _outcomes(
    parts: Iterable[LivePart], reservation_id: str, joint: Joint, window: Window
) -> Outcomes:
    """What parts of a member that overlap a window count for in it, in each outcome."""
    parts = tuple(parts)
    return [
        envelope(
            (_clipped(part.window, window), part.placement)
            for part in parts
            if part.may_stand(reservation_id, joint, comes=comes)
        )
        for comes in OUTCOMES
    ]


def _clipped(window: Window, within: Window) -> Window:
    return Window(max(window.start_s, within.start_s), min(window.end_s, within.end_s))


def _count(calendar: Calendar, usages: Iterable[Usage], sign: int) -> None:
    change = calendar.add if sign > 0 else calendar.remove
    for usage in usages:
        change(usage.resource, usage.window, usage.bandwidth_bps)
