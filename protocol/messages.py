"""The messages of the D-O interface as values (paper 003, Table 1, and what makes it safe).

Field meanings, units and ranges are those of ``protos/braid/v1/agent.proto``.
"""

from __future__ import annotations

from enum import Enum

from substrate.model import Directionality, Profile, Refusal, Segment, Window
from substrate.values import dataclass
from substrate.vlans import VlanSet


@dataclass(frozen=True, slots=True)
class ReqOffers:
    """Asks a visible domain what it could carry between pairs of STPs."""

    query_id: str
    window: Window
    pairs: tuple[tuple[str, str], ...]
    bandwidth_bps: int
    directionality: Directionality = Directionality.BIDIRECTIONAL
    reservation_id: str = ""
    traceparent: str = ""
    follow: bool = False
    moved: tuple[str, ...] = ()
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What a domain could carry between two STPs; advisory."""

    token: str
    ingress_stp: str
    egress_stp: str
    profile: Profile
    latency_us: int = 0
    price: int = 0
    valid_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class PortOffer:
    """What one port has free, over all pairs."""

    stp: str
    profile: Profile
    vlans: VlanSet


@dataclass(frozen=True, slots=True)
class SendOffers:
    """The answer to ReqOffers; empty from a blind domain.

    ``aggregate``: what is free for VNodes, a graph in canonical bytes (rdl.codec); empty: not told.
    """

    query_id: str
    domain: str
    offers: tuple[Offer, ...]
    ports: tuple[PortOffer, ...]
    followed: bool = False
    aggregate: bytes = b""


@dataclass(frozen=True, slots=True)
class OffersStale:
    """What the domain has told of these windows may be out of date."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Joint:
    """Transactions that are decided together; ``members``: each reservation's next version."""

    joint_id: str
    members: tuple[tuple[str, int], ...]

    def is_before(self, reservation_id: str, version: int) -> bool:
        """Whether a member's version is none that this brings about."""
        return any(member == reservation_id and version < new for member, new in self.members)


@dataclass(frozen=True, slots=True)
class ReservationPrep:
    """Asks a domain to hold segments, and a partial graph: all of it or nothing.

    ``graph``: in canonical bytes (rdl.codec); empty: there are only segments. ``awaits``: VNodes
    of it that are carried here from another provider, sorted.
    """

    transaction_id: str
    part_id: str
    reservation_id: str
    version: int
    segments: tuple[Segment, ...]
    window: Window
    orchestrator_id: str
    deadline_ms: int
    traceparent: str = ""
    joint: Joint | None = None
    graph: bytes = b""
    awaits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """The decision: the held part is in force."""

    transaction_id: str
    part_id: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The decision: the part is given up."""

    transaction_id: str
    part_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """A committed part is given back."""

    transaction_id: str
    part_id: str


class Phase(Enum):
    """What a ReservationResp answers; numbers as in agent.proto."""

    # Members are single objects; Enum would hash their names, in Python, at every look-up.
    __hash__ = object.__hash__

    PREP = 1
    COMMIT = 2
    ABORT = 3
    RELEASE = 4


@dataclass(frozen=True, slots=True)
class ReservationResp:
    """The answer to ReservationPrep, Commit, Abort and Release."""

    transaction_id: str
    part_id: str
    phase: Phase
    ok: bool
    refusal: Refusal | None = None
    agent_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A part whose transaction is committed; ``told``: the user has heard "success"."""

    prep: ReservationPrep
    told: bool


@dataclass(frozen=True, slots=True)
class Claims:
    """What an orchestrator holds a domain to, after that was restored from a backup (rule 7).

    One page of ``pages`` of the snapshot ``claims_id``; ``page`` counts from 0.
    """

    agent_epoch: int
    claims_id: str
    page: int
    pages: int
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The answer to Claims: the domain does not recover any more in this epoch."""

    agent_epoch: int
    claims_id: str


@dataclass(frozen=True, slots=True)
class Inquire:
    """A domain asks what became of a part that it holds."""

    transaction_id: str
    part_id: str
    reservation_id: str


PartMessage = ReservationPrep | Commit | Abort | Release
ToAgent = ReqOffers | PartMessage | Claims
ToOrchestrator = SendOffers | OffersStale | ReservationResp | Inquire | Reconciled
