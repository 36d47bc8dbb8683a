"""Which reservations of a domain are decided together, and what they count for meanwhile.

A joint (protocol.messages.Joint) is decided by one word: either its members stay as they were, or
all have their next versions. So the domain needs, at each instant, the larger of two sums over all
members: without what the joint brings, and without what it replaces (docs/decisions/0021). A joint
matters as long as a part of it and one that it replaces are both live here; then its members count
together. What is neither, such as a later version, is in both sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

from agents.backends.base import Placement
from agents.sums import OUTCOMES, Outcomes
from agents.usage import Usage, envelope, greatest
from protocol.messages import Joint, ReservationPrep
from substrate.model import Window
from substrate.values import dataclass

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LivePart:
    """A live part: when, and how it lies in the domain; of which version, and decided how."""

    window: Window
    placement: Placement
    version: int
    orchestrator_id: str
    joint: Joint | None = None

    def may_stand(self, reservation_id: str, joint: Joint, *, comes: bool) -> bool:
        """Whether it may be in force if a joint that it is a member of comes, or does not."""
        if comes:
            return not joint.is_before(reservation_id, self.version)
        return self.joint is None or self.joint.joint_id != joint.joint_id

    @classmethod
    def of(cls, prep: ReservationPrep, placement: Placement) -> LivePart:
        """The part that ``prep`` asks for."""
        return cls(prep.window, placement, prep.version, prep.orchestrator_id, prep.joint)


@dataclass(slots=True)
class Held:
    """The live parts of one reservation and what they count for; ``number``: for its labels.

    ``joint_id``: of the joint that it counts in; then its own :attr:`envelope` is empty.
    """

    number: int
    parts: dict[Key, LivePart] = field(default_factory=dict)
    joint_id: str = ""
    _outcomes: dict[tuple[str, bool], tuple[Usage, ...]] = field(default_factory=dict)
    _versions: Counter[int] = field(default_factory=Counter)
    _envelope: tuple[Usage, ...] | None = ()
    """None: that of its parts, which is not found before somebody asks."""

    @property
    def envelope(self) -> tuple[Usage, ...]:
        """What is counted for it, until that is changed: whatever becomes of its parts."""
        if self._envelope is None:
            self._envelope = self.usages()
        return self._envelope

    def count(self, *, alone: bool) -> None:
        """From now on its parts as they are count for themselves, or nothing of it does."""
        self._envelope = None if alone else ()

    def add(self, key: Key, part: LivePart) -> None:
        """One more part, or another in its place."""
        if key in self.parts:
            self.remove(key)
        self._change()
        self.parts[key] = part
        self._versions[part.version] += 1

    def remove(self, key: Key) -> LivePart:
        """One less. Raises KeyError."""
        part = self.parts[key]
        self._change()
        del self.parts[key]
        self._versions[part.version] -= 1
        if not self._versions[part.version]:
            del self._versions[part.version]
        return part

    def _change(self) -> None:
        if self._envelope is None:
            self._envelope = self.usages()
        if self._outcomes:
            self._outcomes.clear()

    @property
    def least_version(self) -> int | None:
        """The first version that has a part; None: there is no part."""
        return min(self._versions, default=None)

    def around(self, window: Window) -> list[LivePart]:
        """The parts that are there at any time of a window."""
        return [part for part in self.parts.values() if part.window.overlaps(window)]

    def usages(self) -> tuple[Usage, ...]:
        """What its parts count for when they count alone."""
        return envelope((part.window, part.placement) for part in self.parts.values())

    def outcome(self, reservation_id: str, joint: Joint, *, comes: bool) -> tuple[Usage, ...]:
        """The same if the joint comes, or if it does not; found once until the parts change."""
        known = self._outcomes.get((joint.joint_id, comes))
        if known is None:
            known = self._outcomes[joint.joint_id, comes] = envelope(
                (part.window, part.placement)
                for part in self.parts.values()
                if part.may_stand(reservation_id, joint, comes=comes)
            )
        return known


class Joints:
    """The joints that live parts of a domain belong to. ``held``: all that is held, which grows.

    Most are over: what came with them stays, and what it replaced is gone. Which of them matter is
    found once, until :meth:`turned` says that it may be otherwise.
    """

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held
        self._parts: dict[str, dict[Key, Joint]] = {}
        # By member all joints, and those that matter, whose ids are these.
        self._of_member: dict[str, dict[str, Joint]] = {}
        self._active: dict[str, dict[str, Joint]] = {}
        self._mattering: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, key: Key, joint: Joint) -> None:
        """One more live part of it, which is held."""
        parts = self._parts.setdefault(joint.joint_id, {})
        parts[key] = joint
        if len(parts) == 1:
            _enter(self._of_member, joint)
            self._judge(joint)

    def remove(self, key: Key, joint: Joint) -> None:
        """One less."""
        parts = self._parts[joint.joint_id]
        del parts[key]
        if not parts:
            del self._parts[joint.joint_id]
            _leave(self._of_member, joint)
            self._judge(joint)

    def turned(self, reservation_id: str) -> None:
        """The first version that it holds is another one than before, or it holds none."""
        for joint in self._of_member.get(reservation_id, {}).values():
            self._judge(joint)

    def of(self, reservation_id: str, also: LivePart | None = None) -> Joint | None:
        """The joint that a reservation counts in; with ``also``, once it has that part too.

        None where it counts alone. Of two joints at once, which admission refuses, none counts.
        """
        found = dict(self._active.get(reservation_id, {}))
        if also is not None:
            every = dict(self._of_member.get(reservation_id, {}))
            if also.joint is not None:
                every.setdefault(also.joint.joint_id, also.joint)
                if self._is_active(also.joint):
                    found[also.joint.joint_id] = also.joint
            for joint_id, joint in every.items():
                if joint.is_before(reservation_id, also.version):
                    found[joint_id] = joint
        return next(iter(found.values())) if len(found) == 1 else None

    def busy(self, joint: Joint) -> str:
        """A member that counts in another joint already; empty: none."""
        for member, _ in joint.members:
            if self._active.get(member, {}).keys() - {joint.joint_id}:
                return member
        return ""

    def members(self, joint: Joint) -> list[str]:
        """Those that hold anything here."""
        return [member for member, _ in joint.members if member in self._held]

    def outcomes(self, joint: Joint) -> Outcomes:
        """What its members count for if it comes, and if it does not."""
        return [self._outcome(joint, comes) for comes in OUTCOMES]

    def beside(self, reservation_id: str, part: LivePart, joint: Joint) -> tuple[Usage, ...]:
        """What the other members need beside a part of one of them."""
        return greatest(
            [
                self._outcome(joint, comes, but=reservation_id)
                for comes in OUTCOMES
                if part.may_stand(reservation_id, joint, comes=comes)
            ]
        )

    def _outcome(self, joint: Joint, comes: bool, but: str = "") -> list[Usage]:
        """What all need if it comes, or does not, but one of them; not added up."""
        return [
            usage
            for member in self.members(joint)
            if member != but
            for usage in self._held[member].outcome(member, joint, comes=comes)
        ]

    def _judge(self, joint: Joint) -> None:
        matters = joint.joint_id in self._parts and self._is_active(joint)
        if matters and joint.joint_id not in self._mattering:
            self._mattering.add(joint.joint_id)
            _enter(self._active, joint)
        elif not matters and joint.joint_id in self._mattering:
            self._mattering.remove(joint.joint_id)
            _leave(self._active, joint)

    def _is_active(self, joint: Joint) -> bool:
        for member, new in joint.members:
            held = self._held.get(member)
            least = held.least_version if held is not None else None
            if least is not None and least < new:
                return True
        return False


def _enter(of_member: dict[str, dict[str, Joint]], joint: Joint) -> None:
    for reservation_id, _ in joint.members:
        of_member.setdefault(reservation_id, {})[joint.joint_id] = joint


def _leave(of_member: dict[str, dict[str, Joint]], joint: Joint) -> None:
    for reservation_id, _ in joint.members:
        joints = of_member[reservation_id]
        del joints[joint.joint_id]
        if not joints:
            del of_member[reservation_id]


@dataclass(frozen=True, slots=True)
class Owed:
    """What does not count for who asks, and is added to what is free; and what is taken off it."""

    back: tuple[Usage, ...] = ()
    off: tuple[Usage, ...] = ()

    def signed(self) -> Sequence[Usage]:
        """Both, what is taken off as less than 0."""
        if not self.off:
            return self.back
        taken = [Usage(u.resource, u.window, -u.bandwidth_bps) for u in self.off]
        return (*self.back, *taken)


NOTHING_OWED = Owed()
