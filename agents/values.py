"""What an agent keeps, as values: its parts, its own identity, and what operators decided."""

from __future__ import annotations

from enum import Enum

from protocol.participant import HOLDING, Part
from substrate.model import DataPlaneState
from substrate.values import dataclass

Key = tuple[str, str]
"""(transaction_id, part_id)."""


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The state of a part on the device, why (when FAILED), and since when."""

    state: DataPlaneState = DataPlaneState.SCHEDULED
    reason: str = ""
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A part and its data plane, as stored in one row."""

    part: Part
    data_plane: DataPlane

    @property
    def key(self) -> Key:
        """The idempotence key."""
        return (self.part.transaction_id, self.part.part_id)

    @property
    def live(self) -> bool:
        """Whether the part claims capacity and labels."""
        return self.part.state in HOLDING

    @property
    def has_vnodes(self) -> bool:
        """Whether it is of a CloudNet, with VNodes here."""
        return self.part.prep is not None and bool(self.part.prep.graph)


@dataclass(frozen=True, slots=True)
class Life:
    """Which life of the agent this is, as its database says.

    ``epoch``: raised whenever the agent may have lost state. ``boot``: how often it has started on
    this database; ``incarnation``: an id of this start. ``recovering``: not yet reconciled (design,
    section 5, rule 7). ``first_epoch``: the epoch in which this database was made.
    """

    epoch: int = 0
    boot: int = 0
    incarnation: str = ""
    recovering: bool = False
    first_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """The agent's life as an orchestrator's database remembers it."""

    epoch: int
    boot: int
    incarnation: str


def is_old_copy(life: Life, seen: Seen) -> bool:
    """Whether ``seen`` shows that the agent's database has lost what the agent once wrote.

    It was seen in a later life; or in the same one by number and yet another; or in one that was
    over before this database was made: then the former one is gone. While the agent recovers the
    last of these is no news.
    """
    if seen.epoch != life.epoch:
        gone = seen.epoch < life.first_epoch and not life.recovering
        return seen.epoch > life.epoch or gone
    if seen.boot != life.boot:
        return seen.boot > life.boot
    return seen.incarnation != life.incarnation


class Settlement(Enum):
    """How an operator settles a part that is in doubt; numbers as in doubts.proto."""

    COMMIT = 1
    GIVE_UP = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """A part that an operator settled by hand; ``contradicted``: its coordinator says otherwise."""

    transaction_id: str
    part_id: str
    reservation_id: str
    orchestrator_id: str
    settlement: Settlement
    operator: str
    reason: str
    at_ms: int
    contradicted: bool = False

    @property
    def key(self) -> Key:
        """The part's key."""
        return (self.transaction_id, self.part_id)
