"""Weaker variants, each known to be wrong: a search that does not catch them is worth nothing.

Each replaces one entry of a table, one function or one rule for the length of a search.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from protocol.messages import Abort, Commit, Release
from simulations.modelcheck import weakened
from simulations.modelcheck.explore import Explored, Explorer
from simulations.modelcheck.scenarios import ONE, TWO, domains
from simulations.modelcheck.world import Booking, Scenario

STATES_MAX = 400_000
PutIn = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Weaker:
    """One wrong rule, and the small world in which it shows."""

    name: str
    about: str
    scenario: Scenario
    put_in: PutIn


def search(weaker: Weaker) -> Explored:
    """What the search finds; a violation means that the variant is caught.

    Raises StatesExceededError.
    """
    with weaker.put_in():
        return Explorer(weaker.scenario).explore(STATES_MAX)


def _in(
    bookings: tuple[Booking, ...],
    names: tuple[str, ...] = ONE,
    instances: int = 1,
    expires: str = "",
    restores: str = "",
    restarts: bool = True,
) -> Scenario:
    specs = domains(*names, expires=expires, restores=restores)
    return Scenario("", specs, bookings, instances, restarts)


PLAIN, CANCELLED = Booking((ONE,)), Booking((ONE,), cancel=True)
CHANGED = Booking((ONE,), change=ONE, cancel=True)
BOTH = Booking((TWO,))
RESTORED = _in((PLAIN,), instances=2, restores="m1")

_EVERY = (
    ("own-timer", "an agent drops a hold by its own timer", _in((PLAIN,)), weakened.own_timer),
    (
        "skew",
        "that, and COMMIT is decided only before expiry minus skew",
        _in((PLAIN,)),
        weakened.with_skew,
    ),
    (
        "unwritten",
        "an inquiry about an undecided transaction is answered ABORT, which is not written first",
        _in((PLAIN,)),
        weakened.answers_unwritten,
    ),
    (
        "forgotten",
        "a commit is forgotten before all have acknowledged it",
        _in((PLAIN,)),
        weakened.forgets_commit,
    ),
    (
        "tombstone",
        "an Abort or Release of an unknown part is not remembered",
        _in((PLAIN,)),
        lambda: weakened.absent(Abort, Release),
    ),
    (
        "fence",
        "a COMMIT is written by an instance that has lost its reservation",
        _in((CANCELLED,), instances=2),
        weakened.commits_unfenced,
    ),
    (
        "twice",
        "what an instance writes is checked neither against the owner nor against a decision",
        _in((PLAIN,), instances=2),
        weakened.no_fence,
    ),
    ("no-recovery", "a restored agent does not recover", RESTORED, weakened.no_recovery),
    (
        "told-early",
        "success is told before an agent that lets holds expire has acknowledged",
        _in((PLAIN,), expires="m1"),
        weakened.told_early,
    ),
    (
        "blind",
        "a Commit of an unknown transaction is acknowledged",
        _in((PLAIN,), instances=2, expires="m1", restores="m1"),
        lambda: weakened.absent(Commit),
    ),
    ("old-answers", "answers of an old epoch count", RESTORED, weakened.old_answers),
    (
        "commit-recovering",
        "a held part commits while its agent recovers",
        _in((PLAIN,), instances=2, expires="m1", restores="m1"),
        weakened.commits_recovering,
    ),
    (
        "expired-recovering",
        "a Commit is refused while its agent recovers, as the hold has expired",
        _in((PLAIN,), expires="m1", restores="m1"),
        weakened.refuses_expired,
    ),
    (
        "stays-expired",
        "what was told is not taken up where the hold of an old backup has expired",
        _in((PLAIN,), expires="m1", restores="m1"),
        weakened.stays_expired,
    ),
    (
        "old-refusals",
        "the refusals of an old epoch count when a COMMIT is undone",
        _in((PLAIN,), instances=2, expires="m1", restores="m1"),
        weakened.old_refusals,
    ),
    ("epochs", "COMMIT is decided whatever epoch the agents are in", RESTORED, weakened.no_epochs),
    (
        "yielding",
        "claims that no user was told of keep their room",
        _in((PLAIN, PLAIN), expires="m1", restores="m1", restarts=False),
        weakened.untold_first,
    ),
    (
        "order",
        "claims are taken up as they come, not what users were told first",
        _in((PLAIN, PLAIN), expires="m1", restores="m1", restarts=False),
        weakened.any_order,
    ),
    (
        "unclaimed",
        "a reconciled agent keeps what nobody claims",
        _in((CANCELLED,), restores="m1"),
        weakened.keeps_unclaimed,
    ),
    ("room", "an agent holds without looking for room", _in((PLAIN, PLAIN)), weakened.no_room),
    (
        "old-version",
        "a cancel leaves the version that a Modify has replaced",
        _in((CHANGED,)),
        weakened.cancels_one,
    ),
    (
        "no-undo",
        "a refused Commit leaves the other parts committed",
        _in((BOTH,), TWO, expires="m1"),
        weakened.no_undo,
    ),
    (
        "incomplete",
        "COMMIT is decided while not every part is held",
        _in((BOTH,), TWO),
        weakened.commits_incomplete,
    ),
)
WEAKER = {
    name: Weaker(name, about, replace(scenario, name=name), put_in)
    for name, about, scenario, put_in in _EVERY
}
