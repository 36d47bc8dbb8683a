"""A reservation as the orchestrator keeps it, and how each event of its life changes it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

from orchestrator.carried import CarriedVNode, carried_next
from orchestrator.explanation import NOTHING_TO_SAY, Explanation
from substrate.bending import Phase, rigid
from substrate.labels import Plan
from substrate.model import (
    Criteria,
    DataPlaneState,
    Path,
    Proof,
    Refusal,
    Segment,
    Window,
)
from substrate.values import dataclass, replace

STREAMS_PER_PATH = 2
"""Parallel TCP streams that fill one tunnel (paper 003, section 6.5)."""


class State(Enum):
    """Numbers as in reservations.proto."""

    # Members are single objects; Enum would hash their names, in Python, at every look-up.
    __hash__ = object.__hash__

    NEGOTIATING = 1
    COMMITTED = 2
    FAILED = 3
    CANCELLED = 4
    ENDED = 5


class Kind(Enum):
    """Numbers as in reservations.proto."""

    CIRCUIT = 1
    CLOUDNET = 2


FINAL = frozenset({State.FAILED, State.CANCELLED, State.ENDED})


@dataclass(frozen=True, slots=True)
class PartView:
    """One domain's part as the user sees it.

    ``window``: the phase that it belongs to; None: it lasts as long as the circuit. ``vnodes``: of
    a CloudNet, those that are there.
    """

    domain: str
    segments: tuple[Segment, ...]
    data_plane: DataPlaneState = DataPlaneState.SCHEDULED
    reason: str = ""
    released: bool = False
    window: Window | None = None
    vnodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """What was negotiated: rigid criteria, and what carries them."""

    criteria: Criteria
    paths: tuple[Path, ...]
    parts: tuple[PartView, ...]
    depends_on_blind: bool = False
    moves: tuple[tuple[str, Granted], ...] = ()
    """Other reservations that would be moved for it, and what they would be."""
    proof: Proof | None = None
    """Of a CloudNet: how good its mapping is."""

    @property
    def phased(self) -> bool:
        """Whether its rate changes."""
        return any(part.window is not None for part in self.parts)


@dataclass(frozen=True, slots=True)
class Change:
    """A Modify that is being negotiated."""

    request_id: str
    transaction_id: str
    criteria: Criteria
    timeout_s: int
    asked_ms: int
    paths: tuple[Path, ...] = ()
    parts: tuple[PartView, ...] = ()
    switch_s: int | None = None
    """When its paths take over; None: at once."""
    proof: Proof | None = None
    moves_for: str = ""
    """The reservation that it makes room for; then no user asked for it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """One reservation; ``transaction_id`` is the one in force, for version 1 also before that."""

    reservation_id: str
    request_id: str
    criteria: Criteria
    transaction_id: str
    created_ms: int
    updated_ms: int
    description: str = ""
    timeout_s: int = 30
    state: State = State.NEGOTIATING
    version: int = 1
    paths: tuple[Path, ...] = ()
    parts: tuple[PartView, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    change: Change | None = None
    modified: bool | None = None
    asked: Criteria | None = None
    """What was asked, where that bends: then ``criteria`` are what is granted. A Modify that takes
    effect does not bend: from then on it is None."""
    explanation: Explanation = NOTHING_TO_SAY
    proof: Proof | None = None
    """Of a CloudNet: how good its mapping is."""
    carried: tuple[CarriedVNode, ...] = ()
    """Of a CloudNet: what the version in force took to other providers."""
    errands: int = 0
    """How many times it was set out to carry VNodes: each time by one life of one instance."""

    @property
    def decided(self) -> bool:
        """Nothing is being negotiated for it."""
        return self.state is not State.NEGOTIATING and self.change is None

    @property
    def kind(self) -> Kind:
        """It never changes."""
        return Kind.CIRCUIT if self.criteria.cloudnet is None else Kind.CLOUDNET

    @property
    def to_be_released(self) -> bool:
        """Whether a domain has not told yet that nothing of it is configured any more."""
        return any(part.data_plane is not DataPlaneState.RELEASED for part in self.parts)

    @property
    def granted(self) -> Granted:
        """What was decided."""
        return Granted(self.criteria, self.paths, self.parts)

    def plan(self) -> Plan:
        """What is in force, as the planner made it; only of a circuit whose rate is constant."""
        segments = {part.domain: part.segments for part in self.parts}
        vnodes = {part.domain: part.vnodes for part in self.parts if part.vnodes}
        return Plan(self.paths, segments, False, vnodes, self.proof)


@dataclass(frozen=True, slots=True)
class HandDecision:
    """An operator's word for a part in doubt; ``commit``: as in coordinator.SettledByHand.

    ``contradicted``: the domain's own word came later and says otherwise.
    """

    transaction_id: str
    part_id: str
    reservation_id: str
    domain: str
    commit: bool
    operator: str
    reason: str
    at_ms: int
    contradicted: bool = False


def granted(criteria: Criteria, phases: Sequence[tuple[Phase, Plan]]) -> Granted:
    """What holds for these phases, in order of time, of one circuit."""
    if len(phases) == 1:
        phase, plan = phases[0]
        return Granted(
            criteria=rigid(criteria, phase),
            paths=plan.paths,
            parts=_views(plan),
            depends_on_blind=plan.depends_on_blind,
            proof=plan.proof,
        )
    window = Window(phases[0][0].window.start_s, phases[-1][0].window.end_s)
    most_bps = max(phase.bandwidth_bps for phase, _ in phases)
    return Granted(
        criteria=rigid(criteria, Phase(window, most_bps)),
        paths=tuple(replace(p, window=ph.window) for ph, plan in phases for p in plan.paths),
        parts=tuple(part for phase, plan in phases for part in _views(plan, phase.window)),
        depends_on_blind=any(plan.depends_on_blind for _, plan in phases),
    )


def granted_alone(criteria: Criteria, plan: Plan) -> Granted:
    """What holds for rigid criteria."""
    return granted(criteria, ((Phase(criteria.window, criteria.bandwidth_bps), plan),))


def committed(reservation: Reservation, grant: Granted, now_ms: int) -> Reservation:
    """The first negotiation succeeded."""
    decided = with_grant(reservation, grant, now_ms)
    return replace(decided, state=State.COMMITTED, refusals=())


def with_grant(reservation: Reservation, grant: Granted, now_ms: int) -> Reservation:
    """Decided, but success may not be told yet: some domain could still drop its hold."""
    return replace(
        reservation,
        criteria=grant.criteria,
        paths=grant.paths,
        parts=grant.parts,
        proof=grant.proof,
        updated_ms=now_ms,
    )


def failed(
    reservation: Reservation,
    refusals: tuple[Refusal, ...],
    now_ms: int,
) -> Reservation:
    """The first negotiation failed, or what it had decided was undone."""
    return replace(
        reservation,
        criteria=reservation.asked or reservation.criteria,
        state=State.FAILED,
        refusals=refusals,
        paths=(),
        parts=(),
        proof=None,
        updated_ms=now_ms,
    )


def explained(refused: Reservation, explanation: Explanation, proof: Proof | None) -> Reservation:
    """A record of a refusal, with what else is told; of a CloudNet that stands, the proof stays."""
    if explanation is not NOTHING_TO_SAY:
        refused = replace(refused, explanation=explanation)
    failed_now = refused.state is State.FAILED and proof is not None
    return replace(refused, proof=proof) if failed_now else refused


def with_change_grant(reservation: Reservation, grant: Granted, now_ms: int) -> Reservation:
    """The Modify under way is decided, but success may not be told yet."""
    assert reservation.change is not None
    change = replace(reservation.change, paths=grant.paths, parts=grant.parts, proof=grant.proof)
    return replace(reservation, change=change, updated_ms=now_ms)


def changed(
    reservation: Reservation, now_ms: int, carried: Collection[CarriedVNode] = ()
) -> Reservation:
    """The Modify under way, whose plan is known, succeeded: a new version is in force, for which
    these VNodes were ``carried``."""
    change = reservation.change
    assert change is not None
    before = {part.domain: part.data_plane for part in reservation.parts}
    start_s = change.criteria.window.start_s
    parts = tuple(
        # A later phase is not there yet, whatever was there before.
        replace(part, data_plane=before.get(part.domain, part.data_plane))
        if (part.window is None or part.window.start_s <= start_s)
        and part.data_plane is DataPlaneState.SCHEDULED
        else part
        for part in change.parts
    )
    return replace(
        reservation,
        criteria=change.criteria,
        transaction_id=change.transaction_id,
        version=reservation.version + 1,
        paths=change.paths,
        parts=parts,
        proof=change.proof,
        carried=carried_next(reservation.carried, carried),
        asked=None,
        refusals=(),
        explanation=NOTHING_TO_SAY,
        change=None,
        modified=True,
        updated_ms=now_ms,
    )


def unchanged(reservation: Reservation, refusals: tuple[Refusal, ...], now_ms: int) -> Reservation:
    """The Modify under way was refused: the old version stands."""
    return replace(
        reservation,
        refusals=refusals,
        explanation=NOTHING_TO_SAY,
        change=None,
        modified=False,
        updated_ms=now_ms,
    )


def moved(reservation: Reservation, grant: Granted, now_ms: int) -> Reservation:
    """It makes room for another one: a new version is in force that nobody asked for."""
    change = reservation.change
    assert change is not None
    change = replace(change, criteria=grant.criteria, paths=grant.paths, parts=grant.parts)
    after = changed(replace(reservation, change=change), now_ms)
    # A phase that had begun goes on in domains that have it already.
    begun = {_begins(part, reservation): part.data_plane for part in reservation.parts}
    return replace(
        after,
        parts=tuple(
            replace(part, data_plane=begun.get(_begins(part, after), DataPlaneState.SCHEDULED))
            for part in after.parts
        ),
        asked=reservation.asked,
        modified=reservation.modified,
        refusals=reservation.refusals,
    )


def _begins(part: PartView, reservation: Reservation) -> tuple[str, int]:
    return part.domain, (part.window or reservation.criteria.window).start_s


def stayed(reservation: Reservation, now_ms: int) -> Reservation:
    """It was to be moved, and is not."""
    return replace(reservation, change=None, updated_ms=now_ms)


def cancelled(reservation: Reservation, now_ms: int) -> Reservation:
    """The user gave it back."""
    return replace(reservation, state=State.CANCELLED, change=None, updated_ms=now_ms)


def ended(reservation: Reservation, now_ms: int) -> Reservation:
    """Its window is over; the agents release by their own timers."""
    return replace(reservation, state=State.ENDED, change=None, updated_ms=now_ms)


def with_data_plane(
    reservation: Reservation,
    domain: str,
    state: DataPlaneState,
    reason: str,
    now_ms: int,
    window: Window | None = None,
) -> Reservation:
    """A domain reported its data plane; the same report again changes nothing.

    ``window``: of the part that it means, where the rate changes.
    """
    parts = tuple(
        replace(part, data_plane=state, reason=reason)
        if part.domain == domain and part.window in (None, window)
        else part
        for part in reservation.parts
    )
    if parts == reservation.parts:
        return reservation
    return replace(reservation, parts=parts, updated_ms=now_ms)


def with_change_data_plane(
    reservation: Reservation, domain: str, state: DataPlaneState, reason: str, now_ms: int
) -> Reservation:
    """The same of a Modify that is decided and not told yet: its VNodes are being carried."""
    change = reservation.change
    assert change is not None
    parts = tuple(
        replace(part, data_plane=state, reason=reason) if part.domain == domain else part
        for part in change.parts
    )
    if parts == change.parts:
        return reservation
    return replace(reservation, change=replace(change, parts=parts), updated_ms=now_ms)


def with_released(
    reservation: Reservation, domain: str, now_ms: int, window: Window | None = None
) -> Reservation:
    """A domain acknowledged that it holds nothing of a part any more; ``window`` as above."""
    parts = tuple(
        replace(part, released=True)
        if part.domain == domain and part.window in (None, window)
        else part
        for part in reservation.parts
    )
    if parts == reservation.parts:
        return reservation
    return replace(reservation, parts=parts, updated_ms=now_ms)


def fold_data_plane(parts: tuple[PartView, ...]) -> DataPlaneState | None:
    """The whole: FAILED if any failed, ACTIVE or RELEASED if all are so, else SCHEDULED.

    Where the rate or the paths change, it is ACTIVE while all of one phase is.
    """
    phases: dict[Window | None, set[DataPlaneState]] = {}
    for part in parts:
        phases.setdefault(part.window, set()).add(part.data_plane)
    states = {state for found in phases.values() for state in found}
    if {DataPlaneState.ACTIVE} in phases.values() and DataPlaneState.FAILED not in states:
        return DataPlaneState.ACTIVE
    if not states:
        return None
    if DataPlaneState.FAILED in states:
        return DataPlaneState.FAILED
    return states.pop() if len(states) == 1 else DataPlaneState.SCHEDULED


def parallel_streams(paths: tuple[Path, ...]) -> int:
    """How many parallel streams fill the circuit (paper 003, section 6.5: two per tunnel)."""
    return STREAMS_PER_PATH * at_once(paths)


def at_once(paths: tuple[Path, ...]) -> int:
    """Most paths that are there at the same time."""
    windows = [path.window for path in paths if path.window is not None]
    lasting = len(paths) - len(windows)
    begins = {window.start_s for window in windows}
    return lasting + max(
        (sum(w.start_s <= begun_s < w.end_s for w in windows) for begun_s in begins), default=0
    )


def search_window(window: Window, now_s: int) -> Window:
    """The part of a window that is not over yet; at least one second."""
    start_s = max(window.start_s, now_s)
    return Window(start_s, max(window.end_s, start_s + 1))


def _views(plan: Plan, window: Window | None = None) -> tuple[PartView, ...]:
    return tuple(
        PartView(domain, plan.segments[domain], window=window, vnodes=plan.vnodes.get(domain, ()))
        for domain in sorted(plan.segments)
    )
