"""What the orchestrator needs from outside: the domains, and a memory that lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.events import Event
from orchestrator.records import Reservation
from protocol.coordinator import Transaction
from protocol.messages import ToAgent, ToOrchestrator
from substrate.model import DataPlaneState, Domain
from substrate.topology import Topology


@dataclass(frozen=True, slots=True)
class DataPlaneReport:
    """An agent's word about the data plane of one part (agent.proto, DomainEvent)."""

    transaction_id: str
    part_id: str
    reservation_id: str
    state: DataPlaneState
    reason: str


class Listener(Protocol):
    """Hears what domains say. Called in the event loop; must not block."""

    def on_message(self, domain: str, message: ToOrchestrator) -> None:
        """A message of the negotiation came in."""

    def on_data_plane(self, domain: str, report: DataPlaneReport) -> None:
        """The domain's data plane is in this state for a part."""

    def on_up(self, domain: str) -> None:
        """The domain is (again) there: what waits for it may be sent."""


class Gateway(Protocol):
    """The domains: gRPC in production, in memory in simulations."""

    def topology(self) -> Topology:
        """The domains that are up. The same object until something changes."""

    def known(self) -> Topology:
        """All domains that ever described themselves, up or not."""

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
class Changes:
    """What one step makes durable, all or nothing."""

    request: Request | None = None
    reservation: Reservation | None = None
    transactions: tuple[Transaction, ...] = ()
    events: tuple[Event, ...] = ()
    answers: str = ""
    """The request_id of the Modify that ``reservation`` is the answer to."""
    decides: frozenset[str] = field(default_factory=frozenset)
    """Transactions whose decision must still be UNDECIDED in the store (compare and set)."""


class ConflictError(Exception):
    """A compare-and-set was lost: someone else decided first."""


class KnownRequestError(Exception):
    """The request_id is taken; ``request`` is what was recorded."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.request_id)
        self.request = request


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a restart must take up again."""

    reservations: tuple[Reservation, ...]
    transactions: tuple[Transaction, ...]


class Store(Protocol):
    """Durable state. Raises runtime.database.StorageError when a write cannot be made durable."""

    async def save(self, changes: Changes) -> tuple[Event, ...]:
        """Writes all of it in one transaction; returns the events with their sequence numbers.

        Raises ConflictError, KnownRequestError.
        """

    async def request(self, request_id: str) -> Request | None:
        """What was recorded under a request_id."""

    async def reservation(self, reservation_id: str) -> Reservation | None:
        """One reservation, however old."""

    async def transaction(self, transaction_id: str) -> Transaction | None:
        """One transaction, however old."""

    async def reservations(
        self, states: frozenset[int], before: str, limit: int
    ) -> tuple[tuple[str, Reservation], ...]:
        """Newest first, each with its page mark; those after the mark ``before`` (empty: all)."""

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        """Events of one reservation (empty: of all) with sequence > ``after``, ascending."""

    async def unfinished(self) -> Unfinished:
        """Reservations that are not final, and transactions that are not settled."""

    async def targets(self) -> dict[str, str]:
        """Domains that registered at run time, and their gRPC targets."""

    async def set_target(self, domain: str, target: str | None) -> None:
        """Records a registration; None forgets it."""
