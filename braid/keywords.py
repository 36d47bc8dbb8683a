"""Which keyword of the client says which field of the wire, so that errors name what was written.

The only such table: the command's options are named after the keywords (commands.spelling).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from braid.v1 import reservations_pb2 as pb

T = TypeVar("T")
Text = TypeVar("Text", str, str | float)

GROUPS = ("flexibility.", "constraints.")
"""Messages within a Reservation whose fields are keywords beside all others."""
UNLIKE = {
    "accept": "token",
    "bandwidth_bps": "bandwidth",
    "cloudnet.anew": "anew",
    "cloudnet.exits": "exits",
    "cloudnet.objective": "objective",
    "cloudnet.placing": "at",
    "constraints.avoid_domains": "avoid",
    "constraints.max_latency_spread_us": "max_latency_spread",
    "constraints.max_latency_us": "max_latency",
    "constraints.min_share_bps": "min_share",
    "constraints.remaining_bps": "remaining",
    "constraints.via_domains": "via",
    "directionality": "unidirectional",
    "end_s": "end",
    "flexibility.duration_s": "duration",
    "flexibility.least_bandwidth_bps": "at_least",
    "flexibility.volume_bytes": "volume",
    "negotiation_timeout_s": "timeout_s",
    "switch_s": "at",
    "window.start_s": "start",
}
"""Keywords that are not called as the field is."""
END = "window.end_s"
_INDEX = re.compile(r"\[\d+\]")
_FIELD = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
_SHORT = {field.rpartition(".")[2]: keyword for field, keyword in UNLIKE.items()}


def keywords_of(field: str, asked: Message | None) -> tuple[str, ...]:
    """The keywords that may have said this field of a request; empty where it is within another.

    More than one where the request does not tell which of them it was.
    """
    if not isinstance(asked, pb.Reservation | pb.ModifyRequest):
        return ()
    if field == END and isinstance(asked, pb.Reservation):
        return _ends(asked)
    name = _INDEX.sub("", field)
    known = next((each for each in UNLIKE if f"{name}.".startswith(f"{each}.")), None)
    if known is not None:
        return (UNLIKE[known],)
    for group in GROUPS:
        name = name.removeprefix(group)
    return (name,) if name and "." not in name else ()


def _ends(asked: pb.Reservation) -> tuple[str, ...]:
    if asked.flexibility.HasField("volume_bytes"):
        return ("deadline",)
    return ("window",) if asked.flexibility.HasField("duration_s") else ("end", "duration")


def named(keywords: Sequence[str], field: str) -> str:
    """What was written, and the field that it became where that is called otherwise."""
    written = " or ".join(keywords)
    name = _INDEX.sub("", field)
    if written.strip("-").replace("-", "_").lower() != name:
        return f"{written} ({field})"
    return written + field.removeprefix(name)


def in_keywords(text: str, spell: Callable[[str], str] = str) -> str:
    """A text about fields, such as what is possible, with keywords in their place."""
    return _FIELD.sub(lambda found: _spelled(found[0], spell), text)


def _spelled(field: str, spell: Callable[[str], str]) -> str:
    return spell(_SHORT.get(field, field))


class WishError(ValueError):
    """Arguments that do not go together; ``keywords``: which, in the order of the text.

    ``text`` has a pair of braces for each.
    """

    def __init__(self, text: str, *keywords: str) -> None:
        super().__init__(text.format(*keywords))
        self.text, self.keywords = text, keywords

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The same with other names for the keywords."""
        return self.text.format(*map(spell, self.keywords))


def read(keyword: str, parse: Callable[[Text], T], text: Text) -> T:
    """What ``parse`` makes of what a keyword was given. Raises WishError in place of ValueError."""
    try:
        return parse(text)
    except ValueError as error:
        said = str(error).replace("{", "{{").replace("}", "}}")
        raise WishError(f"{{}}: {said}", keyword) from error


def unknown(keyword: str, given: str, possible: Iterable[str]) -> WishError:
    """Of a word that is none of those that are possible."""
    said = given.replace("{", "{{").replace("}", "}}")
    return WishError(f"{{}}: given '{said}', possible: {', '.join(possible)}", keyword)


def names(keyword: str, given: Iterable[str]) -> list[str]:
    """Several texts. Raises TypeError for a single one, of which each letter would be taken."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{keyword}: given {given!r}, possible: a list, such as [{given!r}]")
    return list(given)
