"""What the orchestrator needs from outside: the domains, and a memory that lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from orchestrator.events import Event
from orchestrator.records import HandDecision, Kind, Reservation
from protocol.coordinator import CoordinatorPart, Transaction
from protocol.messages import Claim, ToAgent, ToOrchestrator
from substrate.model import DataPlaneState, Domain
from substrate.topology import Topology
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class DataPlaneReport:
    """An agent's word about the data plane of one part (agent.proto, DomainEvent)."""

    transaction_id: str
    part_id: str
    reservation_id: str
    state: DataPlaneState
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class AgentIdentity:
    """Which life of an agent this is (agent.proto, DescribeResponse)."""

    epoch: int
    boot: int = 0
    incarnation: str = ""
    recovering: bool = field(default=False, compare=False)


PartKey = tuple[str, str]
"""(transaction_id, part_id)."""
Holdings = Callable[[], Awaitable[frozenset[PartKey]]]
"""Asks an agent which parts it holds."""


def is_earlier(identity: AgentIdentity, known: AgentIdentity) -> bool:
    """Whether another life of the agent was met since, or its database is an old copy."""
    if (identity.epoch, identity.boot) == (known.epoch, known.boot):
        return identity.incarnation != known.incarnation
    return (identity.epoch, identity.boot) < (known.epoch, known.boot)


class Listener(Protocol):
    """Hears what domains say. Called in the event loop; must not block."""

    def on_message(self, domain: str, message: ToOrchestrator) -> None:
        """A message of the negotiation came in."""

    def on_data_plane(self, domain: str, report: DataPlaneReport) -> None:
        """The domain's data plane is in this state for a part."""

    async def met(self, domain: str) -> AgentIdentity | None:
        """Which life of the domain's agent any instance met last. Raises StorageError."""

    async def on_meet(self, domain: str, identity: AgentIdentity, holdings: Holdings) -> None:
        """The agent has described itself: awaited before its domain counts as up.

        Raises StorageError, and ConflictError when a later life was met meanwhile or the agent has
        forgotten what it held: connect again.
        """

    def on_up(self, domain: str) -> None:
        """The domain is (again) there: what waits for it may be sent."""


class NotCarriedError(Exception):
    """A VNode was not carried; the text says why. ``final``: nor will it be if asked again.
    ``lost``: its source has nothing of it any more."""

    def __init__(self, reason: str, final: bool, lost: bool = False) -> None:
        super().__init__(reason)
        self.final, self.lost = final, lost


@dataclass(frozen=True, slots=True)
class Ahead:
    """A copy of a VNode that went ahead of it: so many bytes; ``still``: it does not run."""

    size: int
    still: bool = False


@dataclass(frozen=True, slots=True)
class Brought:
    """A VNode that was carried: ``live``, with its memory; ``off``: its user had stopped it;
    ``still_ms``: for how long it had stood still before it was asked for; ``size``: in bytes."""

    live: bool = False
    off: bool = False
    still_ms: int = 0
    size: int = 0


class Carrier(Protocol):
    """Carries VNodes between providers. All may be done again, and raise NotCarriedError."""

    async def ahead(self, reservation_id: str, vnode: str, source: str, target: str) -> Ahead:
        """Copies what a VNode has, or has changed since it was last copied, while it runs on;
        final: one end cannot do that."""

    async def carry(
        self, reservation_id: str, vnode: str, source: str, target: str, *, live: bool
    ) -> Brought:
        """Stops a VNode at one domain, ``live``: pauses it; what it has then is at the other, where
        it waits."""

    async def begin(
        self, reservation_id: str, vnode: str, domain: str, *, begun: bool = False
    ) -> None:
        """Lets one run that has arrived; final: it has not. Nothing where none is awaited.

        ``begun``: it had begun there before; what hosts have lost of it is made anew.
        """

    async def put_back(self, reservation_id: str, vnode: str, domain: str) -> None:
        """Lets one run again that is not carried away after all."""


class Gateway(Protocol):
    """The domains: gRPC in production, in memory in simulations."""

    def topology(self) -> Topology:
        """The domains that are up. The same object until something changes."""

    def known(self) -> Topology:
        """All domains that ever described themselves, up or not."""

    def states(self) -> dict[str, bool]:
        """Whether each domain is up, also of those that never described themselves.
        Any thread may ask."""

    def awaited(self) -> frozenset[str]:
        """Domains that are to be connected and have not described themselves yet."""

    def domain(self, name: str) -> Domain | None:
        """A domain that ever described itself."""

    def send(self, domain: str, message: ToAgent) -> bool:
        """Queues a message; False when the domain is down or its queue is full (it may retry)."""

    def listen(self, listener: Listener) -> None:
        """Names the one who hears."""


@dataclass(frozen=True, slots=True)
class Request:
    """A Reserve or Modify as recorded under its ``request_id``."""

    request_id: str
    digest: str
    reservation_id: str
    answer: Reservation | None = None
    """What a Modify was answered with, once it was decided."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A part in doubt (coordinator.in_doubt), and when it got its present status."""

    reservation_id: str
    part: CoordinatorPart
    since_ms: int

    @property
    def mark(self) -> DoubtMark:
        """Where it stands in the order: oldest first."""
        return (self.since_ms, self.part.prep.transaction_id, self.part.part_id)


DoubtMark = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """What one step makes durable, all or nothing."""

    request: Request | None = None
    accepted: Request | None = None
    """An alternative that ``request`` takes, under its id; it can be taken once."""
    reservation: Reservation | None = None
    others: tuple[Reservation, ...] = ()
    """Further records, of what is decided together with ``reservation``."""
    transactions: tuple[Transaction, ...] = ()
    events: tuple[Event, ...] = ()
    answers: str = ""
    """The request_id of the Modify that ``reservation`` is the answer to."""
    decides: frozenset[str] = field(default_factory=frozenset)
    """Transactions whose decision must still be UNDECIDED in the store (compare and set)."""
    stored: frozenset[PartKey] = field(default_factory=frozenset)
    """Parts of ``transactions`` that the store has as they are: they need not be written."""
    at_ms: int = 0
    """When, for people."""
    hand: HandDecision | None = None
    """What an operator decided; it replaces an earlier decision about the same part."""

    @property
    def requests(self) -> tuple[Request, ...]:
        """Both, of those that there are: neither may be recorded already."""
        if self.request is None and self.accepted is None:
            return ()
        return tuple([each for each in (self.request, self.accepted) if each is not None])

    @property
    def records(self) -> tuple[Reservation, ...]:
        """All of them."""
        return self.others if self.reservation is None else (self.reservation, *self.others)

    @property
    def reservation_ids(self) -> frozenset[str]:
        """The reservations that it is about."""
        ids = [transaction.reservation_id for transaction in self.transactions]
        return frozenset([*ids, *[record.reservation_id for record in self.records]])


class ConflictError(Exception):
    """A compare-and-set was lost: someone else decided first."""


class LostError(Exception):
    """Another instance owns the reservation now, or it was read again: what was remembered of it
    is out of date, and has been dropped."""

    def __init__(self, reservation_id: str) -> None:
        super().__init__(f"{reservation_id} is owned by another instance")
        self.reservation_id = reservation_id


class StaleEpochError(Exception):
    """An agent was restored since it answered: its word of an earlier epoch counts no more."""

    def __init__(self, domain: str, epoch: int) -> None:
        super().__init__(f"{domain} is in epoch {epoch} now")
        self.domain, self.epoch = domain, epoch


class KnownRequestError(Exception):
    """The request_id is taken; ``request`` is what was recorded."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.request_id)
        self.request = request


REFUSED = (ConflictError, KnownRequestError, LostError, StaleEpochError)
"""What a store raises that has written nothing."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a new owner must take up; ``epochs``: of the domains concerned, as last met."""

    reservations: tuple[Reservation, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a heartbeat finds: ``lost`` reservations that others took since the last one, and have.

    Not ``alive``: the lease had run out and others may own everything. ``superseded``: because a
    newer process has the same instance_id.
    """

    alive: bool
    superseded: bool = False
    lost: tuple[str, ...] = ()


class Membership(Protocol):
    """Who of several instances owns what (design, section 5, rule 3). All raise StorageError."""

    async def register(self, instance_id: str, lease_ms: int) -> int:
        """A new life of an instance: its epoch, greater than any before. Ends its former life."""

    async def renew(self, epoch: int, instance_id: str, lease_ms: int) -> Renewal:
        """The heartbeat; also ends the lives whose lease ran out."""

    async def told_lost(self, epoch: int, reservation_ids: Sequence[str]) -> None:
        """These are known to be lost; ``renew`` need not name them again."""

    async def take(self, epoch: int, limit: int) -> Unfinished:
        """Takes at most ``limit`` unfinished reservations whose owner is gone."""

    async def take_one(self, epoch: int, reservation_id: str) -> Unfinished:
        """Takes one reservation, whoever owns it; nothing when there is none."""

    async def leave(self, epoch: int) -> None:
        """Ends a life in order: others take at once what it owned."""


class Doubts(Protocol):
    """What is in doubt, and what was decided by hand. All raise StorageError."""

    async def doubts(self, until_ms: int, after: DoubtMark, limit: int) -> tuple[Doubt, ...]:
        """Parts in doubt since ``until_ms`` or longer, of any instance, in order after a mark.

        Without those whose window has ended, and broken ones that were given up by hand.
        """

    async def doubt(self, transaction_id: str, part_id: str) -> Doubt | None:
        """One of them, however short it is in doubt."""

    async def hand_decisions(self, domain: str, limit: int) -> tuple[HandDecision, ...]:
        """Newest first; those of one domain (empty: of all)."""

    async def hand_decision(self, transaction_id: str, part_id: str) -> HandDecision | None:
        """The last decision about a part."""

    async def contradict(self, decision: HandDecision) -> bool:
        """Marks it, if it still stands; False when there was nothing to mark."""


class Store(Membership, Doubts, Protocol):
    """Durable state. Raises runtime.database.StorageError when a write cannot be made durable."""

    async def save(self, changes: Changes, fence: int = 0) -> None:
        """Writes all of it, or nothing.

        ``fence``: the epoch of the writing instance, which must own every reservation concerned;
        new ones become its own. Raises ConflictError, KnownRequestError, LostError, and
        StaleEpochError when success follows from what a domain said before it was restored.
        """

    async def met(self, domain: str) -> AgentIdentity | None:
        """The agent's life that was met last."""

    async def meet(self, domain: str, identity: AgentIdentity) -> None:
        """Records it; from now on no earlier epoch counts. Raises ConflictError (is_earlier)."""

    async def claims(self, domain: str) -> tuple[Claim, ...]:
        """What the domain is held to (rule 7), in the order of transaction and part."""

    async def relied_on(self, domain: str) -> frozenset[PartKey]:
        """Parts that the domain has said to hold, and that are not given back or over."""

    async def given_back(self, parts: frozenset[PartKey]) -> frozenset[PartKey]:
        """Those of these parts of which their domains have said that they are released."""

    async def uses(self, domain: str) -> bool:
        """Whether any reservation that is not final has a part in the domain."""

    async def last_event(self) -> int:
        """The highest sequence of any event."""

    async def request(self, request_id: str) -> Request | None:
        """What was recorded under a request_id."""

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """One reservation, however old."""

    async def transaction(self, transaction_id: str) -> Transaction | None:
        """One transaction, however old."""

    async def reservations(
        self, states: frozenset[int], before: str, limit: int, kind: Kind | None = None
    ) -> tuple[tuple[str, Reservation], ...]:
        """Newest first, each with its page mark; those after the mark ``before`` (empty: all).

        ``states``: empty: all. ``kind``: None: both.
        """

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        """Events of one reservation (empty: of all) with sequence > ``after``, ascending."""

    async def targets(self) -> dict[str, str]:
        """Domains that registered at run time, and their gRPC targets."""

    async def set_target(self, domain: str, target: str | None) -> None:
        """Records a registration; None forgets it."""
