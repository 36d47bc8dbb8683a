"""What a world consists of: domains, reservations, and the messages that can be under way.

The network is the set of all messages ever sent. Any of them may arrive at any time, again and
again, or never: loss, doubling and reordering are all in that. Only what was sent to a domain
before it was restored does not arrive afterwards: connections do not outlive a process. A set is
one integer, a bit for each message; messages that can have no effect any more are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from protocol.messages import (
    Abort,
    Claim,
    Claims,
    Commit,
    Inquire,
    PartMessage,
    Phase,
    Release,
    ReservationPrep,
    ReservationResp,
)
from protocol.transaction import CoordinatorPart
from substrate.model import Segment, Window

NOW_MS = 0
LATER_MS = 10**8
FIRST_EPOCH = 1
INSTANCES = "AB"
WINDOW = Window(1_000_000, 2_000_000)
SNAPSHOTS_MAX = 24
"""How many different Claims one orchestrator may send to one domain in one epoch."""


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """A domain that has room for the parts of one reservation.

    ``expires``: it drops holds by itself, and says so. ``restores``: how often it may be restored
    from a backup that was taken at any time before.
    """

    name: str
    expires: bool = False
    restores: int = 0


Plans = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Booking:
    """A reservation: what is tried for it, and what its user may ask.

    ``plans``: domains; the next plan is tried at any time before the decision. ``change``: the plan
    of a Modify. ``again``: after a take-over it is negotiated once more.
    """

    plans: Plans
    change: tuple[str, ...] = ()
    again: bool = False
    cancel: bool = False
    orchestrator: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One small world, whole; ``restarts``: instances may crash and take over."""

    name: str
    domains: tuple[DomainSpec, ...]
    bookings: tuple[Booking, ...]
    instances: int = 2
    restarts: bool = True

    @property
    def orchestrators(self) -> int:
        return 1 + max(booking.orchestrator for booking in self.bookings)


@dataclass(frozen=True, slots=True)
class Slot:
    """A transaction that may come to be; ``reservation`` and ``number`` count in its orchestrator.

    ``number_of_plans`` of ``plans`` are tried one after another.
    """

    number: int
    transaction_id: str
    reservation: int
    reservation_id: str
    orchestrator: int
    plans: tuple[tuple[CoordinatorPart, ...], ...]

    @property
    def parts(self) -> dict[str, CoordinatorPart]:
        """Every part that it may have, by id."""
        return {part.part_id: part for plan in self.plans for part in plan}


@dataclass(frozen=True, slots=True)
class Described:
    """A domain tells who connects to it that it was restored, and in which epoch it is."""

    domain: str
    epoch: int


@dataclass(frozen=True, slots=True)
class TimeUp:
    """No message, but the same moment on two clocks; only a weaker variant sends it."""

    domain: str


Message = PartMessage | ReservationResp | Inquire | Claims | Described | TimeUp


class World:
    """A scenario with everything in it named.

    ``slots``, ``again`` and ``change`` are by orchestrator; the latter two give the slot of a
    reservation's second attempt and of its Modify.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.domains = {spec.name: spec for spec in scenario.domains}
        self.names = [spec.name for spec in scenario.domains]
        count = scenario.orchestrators
        self.bookings: list[list[Booking]] = [[] for _ in range(count)]
        self.slots: list[list[Slot]] = [[] for _ in range(count)]
        self.again: list[dict[int, int]] = [{} for _ in range(count)]
        self.change: list[dict[int, int]] = [{} for _ in range(count)]
        for number, booking in enumerate(scenario.bookings, start=1):
            self._add(booking, f"r{number}")
        self.mail = Mail(self)

    def component(self, domain: str) -> int:
        """The place of a domain among the parties; the orchestrators come first."""
        return self.scenario.orchestrators + self.names.index(domain)

    def every_slot(self) -> Iterator[Slot]:
        for slots in self.slots:
            yield from slots

    def slot_of(self, transaction_id: str) -> Slot:
        return next(slot for slot in self.every_slot() if slot.transaction_id == transaction_id)

    def _add(self, booking: Booking, reservation_id: str) -> None:
        orchestrator = booking.orchestrator
        bookings, slots = self.bookings[orchestrator], self.slots[orchestrator]
        reservation = len(bookings)
        bookings.append(booking)
        kinds: list[tuple[str, Plans, dict[int, int] | None]] = [("t", booking.plans, None)]
        if booking.again:
            kinds.append(("again", booking.plans[:1], self.again[orchestrator]))
        if booking.change:
            kinds.append(("change", (booking.change,), self.change[orchestrator]))
        for kind, plans, where in kinds:
            transaction_id = reservation_id.replace("r", kind)
            made = tuple(
                tuple(self._part(transaction_id, reservation_id, orchestrator, d) for d in plan)
                for plan in plans
            )
            if where is not None:
                where[reservation] = len(slots)
            slots.append(
                Slot(len(slots), transaction_id, reservation, reservation_id, orchestrator, made)
            )

    def _part(
        self, transaction_id: str, reservation_id: str, orchestrator: int, domain: str
    ) -> CoordinatorPart:
        segment = Segment("s1", f"{domain}:a", 100, f"{domain}:b", 100, 10)
        prep = ReservationPrep(
            transaction_id, domain, reservation_id, 1, (segment,), WINDOW, f"o{orchestrator}", 10**9
        )
        return CoordinatorPart(domain, domain, prep, self.domains[domain].expires)


class Mail:
    """Which bit stands for which message, and to whom it goes.

    All that can ever be sent gets its bit at once, so that one set of messages is one number.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._bits: dict[tuple[int, int, Message], int] = {}
        self.messages: dict[int, Message] = {}
        self.to = [0] * (world.scenario.orchestrators + len(world.names))
        self.answers: dict[tuple[str, str, Phase], int] = {}
        self.answers_until: dict[tuple[str, str, int], int] = {}
        self.described: dict[tuple[int, str, int], int] = {}
        self.claims: dict[tuple[str, int], int] = {}
        self.session: dict[tuple[str, int], int] = {}
        self._free: dict[tuple[int, str, int], list[int]] = {}
        self._next = 0
        for slot in world.every_slot():
            for part in slot.parts.values():
                self._announce_part(slot, part)
        for name in world.names:
            self._allot(world.component(name), TimeUp(name), FIRST_EPOCH)
        for orchestrator in range(world.scenario.orchestrators):
            for spec in world.scenario.domains:
                for epoch in range(FIRST_EPOCH + 1, FIRST_EPOCH + 1 + spec.restores):
                    self._announce_epoch(orchestrator, spec.name, epoch)

    def to_domain(self, domain: str, epoch: int, message: PartMessage | TimeUp) -> int:
        """The set of one message, sent to a domain in an epoch."""
        return self._bits[self._world.component(domain), epoch, message]

    def to_orchestrator(self, orchestrator: int, message: Message) -> int:
        """The set of one message."""
        return self._bits[orchestrator, 0, message]

    def snapshot(self, orchestrator: int, domain: str, epoch: int, claims: Iterable[Claim]) -> int:
        """The set of one Claims message."""
        message = Claims(epoch, f"o{orchestrator}", 0, 1, tuple(claims))
        to = self._world.component(domain)
        known = self._bits.get((to, epoch, message))
        if known is not None:
            return known
        bit = self._free[orchestrator, domain, epoch].pop()
        self._bits[to, epoch, message], self.messages[bit] = bit, message
        return bit

    def _announce_part(self, slot: Slot, part: CoordinatorPart) -> None:
        ids = (slot.transaction_id, part.part_id)
        to = self._world.component(part.domain)
        self._allot(slot.orchestrator, Inquire(*ids, slot.reservation_id))
        last = FIRST_EPOCH + self._world.domains[part.domain].restores
        for epoch in range(FIRST_EPOCH, last + 1):
            for message in (part.prep, Commit(*ids), Abort(*ids), Release(*ids)):
                bit = self._allot(to, message, epoch)
                known = self.session.get((part.domain, epoch), 0)
                self.session[part.domain, epoch] = known | bit
        for phase in Phase:
            self.answers[*ids, phase] = 0
            for epoch in range(FIRST_EPOCH, last + 1):
                for ok in (True, False):
                    answer = ReservationResp(*ids, phase, ok, None, epoch)
                    bit = self._allot(slot.orchestrator, answer)
                    self.answers[*ids, phase] |= bit
                    for until in range(epoch, last + 1):
                        known = self.answers_until.get((*ids, until), 0)
                        self.answers_until[*ids, until] = known | bit

    def _announce_epoch(self, orchestrator: int, domain: str, epoch: int) -> None:
        bit = self._allot(orchestrator, Described(domain, epoch))
        self.described[orchestrator, domain, epoch] = bit
        to = self._world.component(domain)
        free = [self._reserve(to) for _ in range(SNAPSHOTS_MAX)]
        self._free[orchestrator, domain, epoch] = free
        self.claims[domain, epoch] = self.claims.get((domain, epoch), 0) | sum(free)

    def _allot(self, to: int, message: Message, epoch: int = 0) -> int:
        bit = self._reserve(to)
        self._bits[to, epoch, message], self.messages[bit] = bit, message
        return bit

    def _reserve(self, to: int) -> int:
        bit = 1 << self._next
        self._next += 1
        self.to[to] |= bit
        return bit


def bits_of(mask: int) -> Iterator[int]:
    """The messages of a set, each as a set of one."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit
