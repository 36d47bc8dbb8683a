"""How a domain that was restored from a backup finds out what it holds (design, section 5, rule 7).

The backup may have forgotten promises and remember others that are long given back. Once every
orchestrator has said what it claims, the domain, in this order and in one durable write: drops
what nobody claims, takes up what users were told (what has begun first, what seems to be over
last), then the rest as far as there is room. Pure: the caller gives back the capacity of what is
dropped and of what yields before it adopts, and answers afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.messages import Claim, Commit, ReservationPrep, ReservationResp
from protocol.participant import (
    Admit,
    Admitted,
    Part,
    PartState,
    answer_to,
    holds,
)
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

DROPPED = {PartState.HELD: PartState.ABORTED, PartState.COMMITTED: PartState.RELEASED}
"""What becomes of a part that no orchestrator claims: nobody was promised it, or no longer."""


def unclaimed(parts: Iterable[Part], claims: Iterable[Claim], now_ms: int) -> tuple[Part, ...]:
    """The parts to give up, as they are afterwards."""
    wanted = {(claim.prep.transaction_id, claim.prep.part_id) for claim in claims}
    return tuple(
        replace(part, state=DROPPED[part.state], changed_ms=now_ms, inquire_at_ms=None)
        for part in parts
        if holds(part.state) and (part.transaction_id, part.part_id) not in wanted
    )


def yielding(parts: Iterable[Part], claims: Iterable[Claim]) -> tuple[Part, ...]:
    """Holds that are claimed, but of which no user was told: their room is free for what was told.

    Such a hold may have expired since the backup, and its room be promised to others.
    """
    untold = {
        (claim.prep.transaction_id, claim.prep.part_id) for claim in _once(claims) if not claim.told
    }
    return tuple(
        part
        for part in parts
        if part.state is PartState.HELD and (part.transaction_id, part.part_id) in untold
    )


def in_order(claims: Iterable[Claim], now_ms: int) -> tuple[Claim, ...]:
    """Each part once: what users were told first, and of that what goes on, then what is to come.

    What goes on may be on devices, and should stay there as it is.
    """

    def place(claim: Claim) -> tuple[bool, bool, bool, int, str, str]:
        prep, told = claim.prep, claim.told
        over, coming = is_over(prep, now_ms), not has_begun(prep, now_ms)
        # A version has from those before it what of its VNodes is awaited still.
        return (not told, over, coming, prep.version, prep.transaction_id, prep.part_id)

    return tuple(sorted(_once(claims), key=place))


def is_over(prep: ReservationPrep, now_ms: int) -> bool:
    """Whether nothing is to be carried any more, if the clock is right."""
    return prep.window.end_s * 1000 <= now_ms


def has_begun(prep: ReservationPrep, now_ms: int) -> bool:
    """Whether something is to be carried by now, if the clock is right."""
    return prep.window.start_s * 1000 <= now_ms


def adopt(
    part: Part | None, claim: Claim, now_ms: int, admit: Admit, agent_epoch: int
) -> tuple[Part, ReservationResp]:
    """A claimed part as it is afterwards, and what its orchestrator hears, as to a Commit."""
    prep = claim.prep
    if part is None:
        absent = Part(prep.transaction_id, prep.part_id, PartState.ABORTED, prep)
        part = _taken_up(absent, prep, now_ms, admit)
    elif part.state is PartState.HELD and not claim.told:
        part = _taken_up(part, prep, now_ms, admit)
    elif part.state is PartState.EXPIRED and claim.told:
        # It expired in the backup only: success is told of no hold that expires.
        part = _taken_up(part, prep, now_ms, admit)
    elif part.state is PartState.HELD:
        part = replace(part, state=PartState.COMMITTED, changed_ms=now_ms, inquire_at_ms=None)
    ok = part.state is PartState.COMMITTED
    refusal = part.refusal
    if not ok and refusal is None:
        reason = f"claimed, but {part.state.name} here"
        refusal = Refusal(RefusalKind.TOMBSTONE, reason)
    commit = Commit(prep.transaction_id, prep.part_id)
    return part, answer_to(commit, ok, None if ok else refusal, agent_epoch)


def _once(claims: Iterable[Claim]) -> Iterable[Claim]:
    """Each part once: told, if any claim of it says so."""
    by_key: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        key = (claim.prep.transaction_id, claim.prep.part_id)
        if key not in by_key or claim.told:
            by_key[key] = claim
    return by_key.values()


def _taken_up(part: Part, prep: ReservationPrep, now_ms: int, admit: Admit) -> Part:
    outcome = admit(prep)
    part = replace(part, state=PartState.ABORTED, changed_ms=now_ms, inquire_at_ms=None)
    if isinstance(outcome, Admitted):
        return replace(part, state=PartState.COMMITTED, mapping=outcome.mapping)
    return replace(part, refusal=outcome)
