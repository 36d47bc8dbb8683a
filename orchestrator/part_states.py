"""What the row of a transaction says of its parts: all about them that changes often.

What a part was asked for is written once, in a row of its own; then each step of a transaction
writes one row, however many parts it has. A line for each part, as text: several times cheaper to
write and to read than a message, and people can read it. Who writes leaves it text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from protocol.coordinator import CoordinatorPart, PartStatus
from substrate.values import dataclass

STATUSES = {
    PartStatus.PREPARING: 0,
    PartStatus.HELD: 1,
    PartStatus.REFUSED: 2,
    PartStatus.COMMITTING: 3,
    PartStatus.COMMITTED: 4,
    PartStatus.NACKED: 5,
    PartStatus.ABORTING: 6,
    PartStatus.ABORTED: 7,
    PartStatus.RELEASING: 8,
    PartStatus.RELEASED: 9,
}

Line = tuple[str, str, str, str, str]
"""Of a part: status, epoch, since when, whether refused, id."""

_TEXT_OF = {status: str(number) for status, number in STATUSES.items()}
_STATUS_OF = {text: status for status, text in _TEXT_OF.items()}
_REFUSED = {False: "0", True: "1"}
_LINES = re.compile("([0-9]) ([0-9]+) ([0-9]+) ([01]) (.+)")


@dataclass(frozen=True, slots=True)
class PartState:
    """``since_ms``: when it got this status."""

    status: PartStatus
    epoch: int
    since_ms: int


def line_after(was: Line | None, part: CoordinatorPart, at_ms: int) -> Line:
    """The part is so now; ``at_ms`` counts where its status is new."""
    status = _TEXT_OF[part.status]
    since = was[2] if was is not None and was[0] == status else str(at_ms)
    return status, str(part.epoch), since, _REFUSED[part.refusal is not None], part.part_id


def was_refused(line: Line) -> bool:
    """Whether the row of the part says why it was refused."""
    return line[3] == _REFUSED[True]


def is_broken(lines: Mapping[str, Line]) -> bool:
    """Whether a domain said no to what was committed; if it was (see coordinator.in_doubt)."""
    return _NACKED in [line[0] for line in lines.values()]


def lines_of(text: str | None) -> dict[str, Line]:
    """By the ids of the parts; None: there are none."""
    return {line[4]: line for line in _LINES.findall(text)} if text is not None else {}


def to_text(lines: Mapping[str, Line]) -> str | None:
    """The inverse of lines_of."""
    return "\n".join(map(" ".join, lines.values())) if lines else None


def states_of(text: str | None) -> dict[str, PartState]:
    """What a stored text says, by the ids of the parts."""
    return {
        part_id: PartState(_STATUS_OF[status], int(epoch), int(since_ms))
        for status, epoch, since_ms, _, part_id in lines_of(text).values()
    }


_NACKED = _TEXT_OF[PartStatus.NACKED]
