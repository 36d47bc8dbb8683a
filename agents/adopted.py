"""What comes of the claims that an agent hears while it recovers (:mod:`agents.recovery`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.parts import Change
from agents.values import Decision, Record
from protocol import participant
from protocol.messages import Claim, ReservationResp
from protocol.participant import Part, PartState


@dataclass(slots=True)
class Outcome:
    """What reconciliation comes to."""

    dropped: list[Change] = field(default_factory=list)
    yielded: list[Record] = field(default_factory=list)
    adopted: list[Change] = field(default_factory=list)
    answers: dict[str, list[ReservationResp]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a claim: the part before (None: not known), the part now, and the answer."""

    claim: Claim
    before: Record | None
    part: Part
    answer: ReservationResp
    decisions: Sequence[Decision] = ()
    moved: bool = False
    """Whether it runs, and found no room with its VNodes where they were seen."""

    @property
    def is_changed(self) -> bool:
        """Whether the part is not as it was."""
        return self.before is None or self.part != self.before.part

    @property
    def is_refused(self) -> bool:
        """Whether it has found no place, and a user was told of it."""
        # One that was given back meanwhile is claimed by words of before.
        known = self.part.state is PartState.RELEASED or not self.is_changed
        return self.claim.told and not self.answer.ok and not known

    @property
    def is_placed(self) -> bool:
        """Whether it was given a place, which it had not."""
        state = None if self.before is None else self.before.part.state
        # A hold of which nobody was told has yielded.
        yielded = state is PartState.HELD and not self.claim.told
        had = state is not None and participant.holds(state) and not yielded
        return self.part.state is PartState.COMMITTED and not had
