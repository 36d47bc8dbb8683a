"""The agent's book: what the domain has promised, and the one place where it promises more.

The memory is the authority, the database its log (design, section 8). All live parts of one
reservation are alternatives: what counts is, at each instant, the most that any of them needs
(docs/decisions/0004).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from agents.backends.base import Backend, CloudBackend, Partial, Placement
from agents.backends.claims import add_up, labels_of, over_claimed
from agents.calendars import calendars_of
from agents.counting import Counting
from agents.discretion import discreet, without_inside
from agents.free import FreeFor
from agents.offered import port_uses, stamp
from agents.swaps import unsplit, untranslated
from agents.together import Held, Key, LivePart, Owed
from agents.usage import Taken
from protocol.messages import Joint, PortOffer, ReqOffers, ReservationPrep, SendOffers
from protocol.participant import Admitted
from substrate.calendar import CalendarError, Resource
from substrate.label_calendar import NOBODY
from substrate.model import (
    Profile,
    Refusal,
    RefusalKind,
    Step,
    Window,
    least_profile,
)
from substrate.values import replace
from substrate.vlans import VlanSet

OFFER_VALID_MS = 10_000
BEGINS_SOON_S = 60
"""What begins so soon, or before its hold ends, may run before a version that is to follow it is
committed."""


class Book:
    """Admission check and hold in one go; everything else is bookkeeping.

    Of a reservation that sleeps the calendars know, and nothing else here. ``wake`` is called
    before one is looked at: to :meth:`awaken` it, if it does.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.domain = backend.describe()
        self.cloud = cast(CloudBackend, backend) if self.domain.cloud_stp else None
        """The backend, of a domain that runs VNodes."""
        self.calendar, self.labels = calendars_of(backend)
        self.wake: Callable[[str], None] = lambda reservation_id: None
        self.changed: Callable[[Window], None] = lambda window: None
        """Hears when what is free within a window changes."""
        self._ports = {port.stp: port for port in self.domain.ports}
        self._held: dict[str, Held] = {}
        self._counting = Counting(self._held)
        self._joints = self._counting.joints
        self._owner: dict[Key, str] = {}
        self._last_number = 0

    def admit(
        self, prep: ReservationPrep, advice: object = None, now_s: int | None = None
    ) -> Admitted | Refusal:
        """Holds the part, or says why not; a part that is held already is held once.

        A blind domain only says yes or no: its refusals tell neither amounts nor its inside.
        ``advice``: what the backend has thought of it before: a Refusal is the answer. ``now_s``:
        what has begun by then, or soon will, may run; None: nothing does.
        """
        key = (prep.transaction_id, prep.part_id)
        self._wake_for(prep)
        if key in self._owner:
            placement = self._held[self._owner[key]].parts[key].placement
            return Admitted(placement.to_json(prep.joint is not None))
        outcome = advice if isinstance(advice, Refusal) else self._placed(prep, advice, now_s)
        if isinstance(outcome, Refusal):
            named = replace(outcome, domain=self.domain.name)
            return named if self.domain.visible else discreet(named, self.domain)
        # What lies alone was checked against all others; of alternatives the envelope was not.
        alone = prep.reservation_id not in self._held and prep.joint is None
        self._hold(prep, outcome, checked=alone)
        return Admitted(outcome.to_json(prep.joint is not None))

    def look(self, prep: ReservationPrep) -> Admitted | Refusal:
        """What ``admit`` would say now of a part without a graph; takes nothing."""
        self._wake_for(prep)
        if (prep.transaction_id, prep.part_id) in self._owner:
            return Admitted("")
        outcome = self._placed(prep, None, None)
        return outcome if isinstance(outcome, Refusal) else Admitted("")

    def restore(self, prep: ReservationPrep, mapping: str) -> None:
        """Holds what the log says is held, at start. Raises CalendarError where that cannot be."""
        key = (prep.transaction_id, prep.part_id)
        self._wake_for(prep)
        if key in self._owner:
            return
        placement = Placement.from_json(mapping)
        for claim in placement.claims:
            if claim.resource not in self.calendar.capacities:
                raise CalendarError(f"{claim.resource.name} is not a resource of this domain")
        self._hold(prep, placement)

    def _wake_for(self, prep: ReservationPrep) -> None:
        self.wake(prep.reservation_id)
        for reservation_id, _ in prep.joint.members if prep.joint is not None else ():
            self.wake(reservation_id)

    def fill(self, taken: Taken) -> None:
        """Holds, at start, what many parts take that sleep.

        Raises CalendarError where that cannot be; nothing changes then.
        """
        calendar, labels = calendars_of(self.backend)
        for resource, columns in taken.claims.items():
            if resource not in calendar.capacities:
                raise CalendarError(f"{resource.name} is not a resource of this domain")
            calendar.fill(resource, *columns)
        for stp, (vlans, starts_s, ends_s, numbers) in taken.labels.items():
            labels.fill(stp, vlans, starts_s, ends_s, numbers)
        self.calendar, self.labels = calendar, labels
        self._last_number = taken.last_number

    def lull(self, reservation_id: str) -> int:
        """Keeps nothing of a reservation but what it takes; its number, 0 where it has no part."""
        held = self._held.pop(reservation_id, None)
        if held is None:
            return 0
        for key, part in held.parts.items():
            del self._owner[key]
            if part.joint is not None:
                self._joints.remove(key, part.joint)
        self._joints.turned(reservation_id)
        return held.number

    def is_joint(self, reservation_id: str) -> bool:
        """Whether it counts together with others: then it must stay awake."""
        held = self._held.get(reservation_id)
        return held is not None and bool(held.joint_id)

    def awaken(self, prep: ReservationPrep, mapping: str, number: int) -> None:
        """A live part of a reservation that slept, which has that number; takes nothing."""
        held = self._held.setdefault(prep.reservation_id, Held(number))
        self._note(prep, Placement.from_json(mapping), held)
        held.count(alone=True)

    def keys(self, reservation_id: str) -> set[Key]:
        """The parts of a reservation that is awake."""
        held = self._held.get(reservation_id)
        return set(held.parts) if held is not None else set()

    def free(self, transaction_id: str, part_id: str) -> None:
        """Gives a part back, which is awake; one that is not held is none of our business."""
        key = (transaction_id, part_id)
        reservation_id = self._owner.pop(key, None)
        if reservation_id is None:
            return
        held = self._held[reservation_id]
        first = held.least_version
        part = held.remove(key)
        if part.joint is not None:
            self._joints.remove(key, part.joint)
        if held.least_version != first:
            self._joints.turned(reservation_id)
        for stp, vlan in part.placement.labels:
            self.labels.give(stp, vlan, part.window, held.number)
        self._counting.reckon(self.calendar, reservation_id, part)
        self.changed(part.window)

    def remap(
        self, prep: ReservationPrep, place: Callable[[FreeFor], Placement | Refusal]
    ) -> Placement | Refusal:
        """Holds what ``place`` finds for a live part, given what is free for it.

        Beside what the part has: until :meth:`remapped` the two are alternatives.
        """
        free = FreeFor(self, prep.reservation_id, prep.window, self._counting.owed(prep))
        if self.is_joint(prep.reservation_id) or _beside(prep)[1] in self._owner:
            reason = f"{prep.reservation_id} is being moved"
            return Refusal(RefusalKind.UNAVAILABLE, reason, resource=prep.reservation_id)
        placement = place(free)
        if not isinstance(placement, Refusal):
            placement = self._verified(prep, placement, free)
        if not isinstance(placement, Refusal):
            self._hold(_beside(prep)[0], placement)
        return placement

    def remapped(self, prep: ReservationPrep, *, done: bool) -> None:
        """Keeps only what was held last for the part, or (not ``done``) only what it had before."""
        key, (_, beside) = (prep.transaction_id, prep.part_id), _beside(prep)
        if not done or key not in self._owner:
            self.free(*beside)
            return
        self.free(*key)
        parts = self._held[prep.reservation_id].parts
        parts[key] = parts.pop(beside)
        self._owner[key] = self._owner.pop(beside)

    def placement(self, mapping: str) -> Placement:
        """What a part's ``mapping`` says."""
        return Placement.from_json(mapping)

    def offers(self, request: ReqOffers, now_ms: int, valid_ms: int = OFFER_VALID_MS) -> SendOffers:
        """What the domain could carry; pairs of ports that it does not have get no offer."""
        mine = dict.fromkeys((request.reservation_id, *request.moved))
        for reservation_id in mine:
            self.wake(reservation_id)
        owed = Owed(tuple(usage for one in mine for usage in self._counting.alone(one)))
        free = FreeFor(
            self, request.reservation_id, request.window, owed, ports_apart=request.follow
        )
        known = {port.stp for port in self.domain.ports}
        pairs = [pair for pair in request.pairs if set(pair) <= known]
        offers = self.backend.offers(pairs, request.window, request.directionality, free)
        until_ms = now_ms + valid_ms
        stamped = tuple(
            [stamp(o, f"{request.query_id}.{i}", until_ms) for i, o in enumerate(offers)]
        )
        ports = tuple(
            PortOffer(stp, self._port_profile(stp, resources, free), free.free_vlans(stp))
            for stp, resources in sorted(port_uses(pairs, request.directionality).items())
        )
        aggregate = self.cloud.aggregate(free) if self.cloud and request.aggregate else b""
        return SendOffers(request.query_id, self.domain.name, stamped, ports, aggregate=aggregate)

    def is_empty(self) -> bool:
        """Whether nothing is held: no part, no bandwidth, no label."""
        return not self._owner and self.calendar.is_empty() and self.labels.is_empty()

    def free_vlans(self, stp: str, window: Window, reservation_id: str) -> VlanSet:
        """VLANs that no other reservation has at any instant of the window, if it is awake."""
        held = self._held.get(reservation_id)
        if held is None:
            return self.labels.free_vlans(stp, window)
        parts = held.parts.values()
        own = {vlan for part in parts for at, vlan in part.placement.labels if at == stp}
        return self.labels.free_vlans(stp, window, held.number, own)

    def partial(
        self, prep: ReservationPrep, advice: object = None, now_s: int | None = None
    ) -> tuple[Partial, FreeFor]:
        """What a backend is asked of a part that has a graph, and what is free for it now."""
        self._wake_for(prep)
        held = self._held.get(prep.reservation_id)
        parts = held.parts.values() if held is not None else ()
        before = [part for part in parts if part.version < prep.version]
        present = max(before, key=lambda part: part.version, default=None)
        partial = Partial(
            prep.reservation_id,
            prep.version,
            prep.graph,
            prep.segments,
            prep.window,
            present.placement if present is not None else None,
            advice,
            prep.awaits,
            runs=now_s is not None and _begins_soon(prep, now_s),
        )
        return partial, FreeFor(self, prep.reservation_id, prep.window, self._counting.owed(prep))

    def _placed(
        self, prep: ReservationPrep, advice: object, now_s: int | None
    ) -> Placement | Refusal:
        wrong = self._wrong(prep)
        if wrong is not None:
            return wrong
        if prep.graph:
            if self.cloud is None:
                reason = f"{self.domain.name} runs no VNodes"
                return Refusal(RefusalKind.TOPOLOGY, reason, resource=self.domain.name)
            partial, free = self.partial(prep, advice, now_s)
            placement = self.cloud.place_graph(partial, free)
        else:
            free = FreeFor(self, prep.reservation_id, prep.window, self._counting.owed(prep))
            placement = self.backend.place(prep.segments, prep.window, free)
        if isinstance(placement, Refusal):
            return placement
        outcome = self._verified(prep, placement, free)
        if isinstance(outcome, Refusal) and prep.graph:
            return without_inside(outcome, self.domain)
        return outcome

    def _verified(
        self, prep: ReservationPrep, placement: Placement, free: FreeFor
    ) -> Placement | Refusal:
        """The placement as it can be held: one claim per resource, every VLAN of the segments.

        A backend may be anyone's: what it claims is checked like a stranger's word.
        """
        for claim in placement.claims:
            if claim.bandwidth_bps < 0:
                reason = f"{claim.resource.name} is claimed with {claim.bandwidth_bps} bit/s"
                return Refusal(RefusalKind.TOPOLOGY, reason, resource=claim.resource.name)
        amounts = {claim.resource: claim.bandwidth_bps for claim in placement.claims}
        claims = placement.claims
        if len(amounts) < len(claims) or 0 in amounts.values():
            claims = add_up((c.resource, c.bandwidth_bps) for c in claims if c.bandwidth_bps)
        refusal = over_claimed(claims, free, self.calendar.capacities)
        if refusal is not None:
            return refusal
        own = labels_of(prep.segments)
        if claims is placement.claims and placement.labels == own:
            return placement
        for stp, vlan in sorted(set(placement.labels) - set(own)):
            wrong = self._wrong_label(stp, vlan, prep)
            if wrong is not None:
                return wrong
        return Placement(claims, tuple(sorted({*own, *placement.labels})), placement.detail)

    def _wrong(self, prep: ReservationPrep) -> Refusal | None:
        """An unknown STP, a VLAN that is not the port's, or one that another holds; a joint that
        may not be."""
        if prep.joint is not None:
            wrong = self._wrong_joint(prep.joint, prep.orchestrator_id)
            if wrong is not None:
                return wrong
        for segment in prep.segments:
            wrong = self._wrong_label(segment.ingress_stp, segment.ingress_vlan, prep)
            if wrong is None:
                wrong = self._wrong_label(segment.egress_stp, segment.egress_vlan, prep)
            if wrong is not None:
                return replace(wrong, segment_id=segment.segment_id)
        return untranslated(self.domain, prep.segments) or unsplit(self.domain, prep.segments)

    def _wrong_joint(self, joint: Joint, orchestrator_id: str) -> Refusal | None:
        """Somebody else's reservation, or one that is being moved for another already."""
        for member in self._joints.members(joint):
            parts = self._held[member].parts.values()
            if any(part.orchestrator_id != orchestrator_id for part in parts):
                reason = f"{member} is another orchestrator's"
                return Refusal(RefusalKind.POLICY, reason, resource=member)
        busy = self._joints.busy(joint)
        if busy:
            return Refusal(RefusalKind.UNAVAILABLE, f"{busy} is being moved", resource=busy)
        return None

    def _wrong_label(self, stp: str, vlan: int, prep: ReservationPrep) -> Refusal | None:
        port = self._ports.get(stp)
        if port is None:
            reason = f"{self.domain.name} has no STP {stp}"
            return Refusal(RefusalKind.TOPOLOGY, reason, resource=stp)
        if vlan not in port.vlans:
            reason = f"VLAN {vlan} is not one of {stp}: {port.vlans or 'none'}"
            return Refusal(RefusalKind.LABEL, reason, resource=stp)
        held = self._held.get(prep.reservation_id)
        number = NOBODY if held is None else held.number
        if self.labels.holder(stp, vlan, prep.window, number) is not None:
            reason = f"VLAN {vlan} at {stp} is taken during the window"
            return Refusal(RefusalKind.LABEL, reason, resource=stp)
        return None

    def _hold(self, prep: ReservationPrep, placement: Placement, checked: bool = False) -> None:
        held = self._held.get(prep.reservation_id)
        if held is None:
            self._last_number += 1
            held = self._held[prep.reservation_id] = Held(self._last_number)
        part = self._note(prep, placement, held)
        take = self.labels.take_checked if checked else self.labels.take
        for stp, vlan in placement.labels:
            take(stp, vlan, prep.window, held.number)
        self._counting.reckon(self.calendar, prep.reservation_id, part, checked)
        self.changed(prep.window)

    def _note(self, prep: ReservationPrep, placement: Placement, held: Held) -> LivePart:
        key, part = (prep.transaction_id, prep.part_id), LivePart.of(prep, placement)
        first = held.least_version
        held.add(key, part)
        self._owner[key] = prep.reservation_id
        if prep.joint is not None:
            self._joints.add(key, prep.joint)
        if held.least_version != first:
            self._joints.turned(prep.reservation_id)
        return part

    def _port_profile(self, stp: str, resources: Iterable[Resource], free: FreeFor) -> Profile:
        profiles = [free.outline(r) for r in resources if r in self.calendar.capacities]
        if profiles:
            return least_profile(profiles)
        # The backend does not count ports: then only their own capacity limits them.
        port = self.domain.port(stp)
        return (Step(free.window.start_s, port.capacity_bps if port is not None else 0),)


def _beside(prep: ReservationPrep) -> tuple[ReservationPrep, Key]:
    """The part under another key, for what it is to have."""
    # No part is called so: ids have no space.
    other = replace(prep, part_id=f"{prep.part_id} anew", joint=None)
    return other, (other.transaction_id, other.part_id)


def _begins_soon(prep: ReservationPrep, now_s: int) -> bool:
    """Whether it may run before the version that ``prep`` is of is committed."""
    soon_ms = max((now_s + BEGINS_SOON_S) * 1000, prep.deadline_ms)
    return prep.window.start_s * 1000 <= soon_ms
