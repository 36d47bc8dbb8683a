"""The values that every part of Braid speaks of: windows, ports, domains, segments, paths.

All are immutable and compare by value. Times are UTC seconds, bandwidths bits per second, latencies
microseconds. Nothing here checks a user's input: that happens once, at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import field
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from substrate.values import dataclass
from substrate.vlans import EMPTY, VlanSet


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open interval of time ``[start_s, end_s)``."""

    start_s: int
    end_s: int

    @property
    def duration_s(self) -> int:
        return self.end_s - self.start_s

    def overlaps(self, other: Window) -> bool:
        return self.start_s < other.end_s and other.start_s < self.end_s


class Step(NamedTuple):
    """``bandwidth_bps`` holds from ``start_s`` until the next step of the profile."""

    start_s: int
    bandwidth_bps: int


Profile = tuple[Step, ...]
"""A step function over a window: first step at the window's start, starts strictly ascending."""


def least_bps(profile: Sequence[Step]) -> int:
    """The least level of a profile; 0 for an empty one."""
    if len(profile) == 1:
        return profile[0].bandwidth_bps
    return min((step.bandwidth_bps for step in profile), default=0)


def least_within(profile: Profile, window: Window) -> int:
    """The least level in a window, which begins no earlier than the profile; 0 without steps."""
    if len(profile) < 2:
        return profile[0].bandwidth_bps if profile else 0
    at = max(bisect_right(profile, window.start_s, key=_START) - 1, 0)
    least = profile[at].bandwidth_bps
    for step in profile[at + 1 :]:
        if step.start_s >= window.end_s:
            break
        least = min(least, step.bandwidth_bps)
    return least


_START = attrgetter("start_s")
_LEVEL = attrgetter("bandwidth_bps")


def least_profile(profiles: Sequence[Profile]) -> Profile:
    """The pointwise least of profiles over the same window; empty where one is, as 0 is free."""
    if not all(profiles):
        return ()
    if max(map(len, profiles), default=0) == 1:
        return (min([profile[0] for profile in profiles], key=_LEVEL),)
    starts = sorted({step.start_s for profile in profiles for step in profile})
    levels: list[Step] = []
    at = [0] * len(profiles)
    for start_s in starts:
        for i, profile in enumerate(profiles):
            while at[i] + 1 < len(profile) and profile[at[i] + 1].start_s <= start_s:
                at[i] += 1
        least = min(profile[here].bandwidth_bps for profile, here in zip(profiles, at, strict=True))
        if not levels or levels[-1].bandwidth_bps != least:
            levels.append(Step(start_s, least))
    return tuple(levels)


class Directionality(Enum):
    """Whether the way back is reserved too (GFD.212 calls it directionality)."""

    # Members are single objects; Enum would hash their names, in Python, at every look-up.
    __hash__ = object.__hash__

    BIDIRECTIONAL = 1
    UNIDIRECTIONAL = 2


@dataclass(frozen=True, slots=True)
class Port:
    """A domain's port as others see it. ``stp`` is "domain:port"; see common.proto."""

    stp: str
    capacity_bps: int
    vlans: VlanSet
    remote_stp: str | None = None
    latency_us: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """What a domain tells of itself; see common.proto for each field."""

    name: str
    visible: bool
    backend: str
    ports: tuple[Port, ...]
    swaps_labels: bool = False
    splits: bool = False
    horizon_s: int = 0
    hold_timeout_s: int | None = None
    least_phase_s: int = 0
    least_rate_bps: int = 0
    cloud_stp: str = ""

    def port(self, stp: str) -> Port | None:
        return next((port for port in self.ports if port.stp == stp), None)


def domain_of(stp: str) -> str:
    """The domain part of "domain:port"."""
    return stp.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """One circuit piece inside one domain; see common.proto for each field."""

    segment_id: str
    ingress_stp: str
    ingress_vlan: int
    egress_stp: str
    egress_vlan: int
    bandwidth_bps: int
    directionality: Directionality = Directionality.BIDIRECTIONAL
    flow_slots: tuple[int, ...] = (0,)
    slot_count: int = 1
    token: str = ""


class RefusalKind(Enum):
    """Why something cannot be held; numbers as in common.proto."""

    BANDWIDTH = 1
    LABEL = 2
    TOPOLOGY = 3
    POLICY = 4
    UNAVAILABLE = 5
    TOMBSTONE = 6
    TIMEOUT = 7
    NO_PATH = 8
    RESOURCE = 9
    FEATURE = 10
    TOLL = 11


SHORTAGES_MAX = 32
"""So many shortages are told at most."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """How much of what is short where; see common.proto."""

    resource: str
    where: str
    short: int
    asked: int | None = None
    elements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no" with its reason; see common.proto. What it says any stranger may hear.

    ``inside``: the same for the domain's operator, with names of its inside; empty: there is no
    more to say. It is for logs and the operator's own interface: never sent, never stored.
    """

    kind: RefusalKind
    reason: str
    domain: str = ""
    resource: str = ""
    segment_id: str = ""
    available_bps: int | None = None
    short: int | None = None
    asked: int | None = None
    where: str = ""
    elements: tuple[str, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    inside: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Hop:
    """One domain on a path, with the VLANs agreed at its two sides."""

    domain: str
    ingress_stp: str
    ingress_vlan: int
    egress_stp: str
    egress_vlan: int


@dataclass(frozen=True, slots=True)
class Path:
    """One path of a circuit from source to destination; ``flow_slots`` as in :class:`Segment`.

    ``window``: when it is there; None: as long as the circuit. ``vlink``: of a CloudNet, what it is
    a path of.
    """

    bandwidth_bps: int
    latency_us: int
    hops: tuple[Hop, ...]
    flow_slots: tuple[int, ...] = (0,)
    window: Window | None = None
    vlink: str = ""


class Strategy(Enum):
    """How bandwidth is split (paper 003, section 5.2); numbers as in reservations.proto."""

    AUTO = 1
    SINGLE_PATH = 2
    EQUAL_SPLITTING = 3
    PARTIAL_OFFERS = 4
    FULL_OFFERS = 5


class Disjointness(Enum):
    """What no two paths of a circuit share that survives losses; numbers as in the proto."""

    LINK = 1
    DOMAIN = 2


@dataclass(frozen=True, slots=True)
class Constraints:
    """The limits that a plan must keep; see reservations.proto for each field."""

    max_paths: int = 4
    min_share_bps: int = 1
    max_latency_us: int | None = None
    max_latency_spread_us: int | None = None
    max_domains: int | None = None
    via_domains: tuple[str, ...] = ()
    avoid_domains: tuple[str, ...] = ()
    ero: tuple[str, ...] = ()
    source_vlans: VlanSet = EMPTY
    destination_vlans: VlanSet = EMPTY
    survive: int = 0
    remaining_bps: int = 0
    disjoint: Disjointness = Disjointness.LINK


MAX_PHASES = 16


@dataclass(frozen=True, slots=True)
class Bend:
    """How far criteria bend; see Flexibility in reservations.proto. 0: they do not, in that way.

    ``duration_s``: so long anywhere in the window. ``least_bps``: any bandwidth from this one up to
    the criteria's. ``volume_bytes``: so much within the window, at rates up to the criteria's, in
    at most ``max_phases`` phases; then the others are 0. ``soonest``: then as soon as can be, also
    where that crowds others.
    """

    duration_s: int = 0
    least_bps: int = 0
    volume_bytes: int = 0
    max_phases: int = MAX_PHASES
    soonest: bool = False


@dataclass(frozen=True, slots=True)
class CloudNet:
    """A virtual network that is asked for (paper 002); see CloudNet in reservations.proto.

    ``graph``: its overlay in canonical bytes (rdl.codec). ``objective``: by name. ``placing``:
    VNodes with the domains that they must be at, sorted. ``exits``: VLinks of a partial graph with
    the STPs and VLANs where they leave, sorted. ``anew``: VNodes that begin anew where they change
    their provider, sorted.
    """

    graph: bytes
    objective: str = "cost"
    placing: tuple[tuple[str, str], ...] = ()
    exits: tuple[tuple[str, str, int], ...] = ()
    anew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """How good a mapping is; see MappingProof in reservations.proto."""

    status: str
    objective: float
    bound: float
    gap: float
    scope: str
    price_micros: int | None = None
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a circuit must be: two STPs, a bandwidth, a window, and limits (NSI: criteria).

    With ``bend`` the window is the time to choose from, and the bandwidth the most. With
    ``more_destinations`` the source is joined with each of them too, at the same bandwidth.
    """

    source: str
    destination: str
    bandwidth_bps: int
    window: Window
    directionality: Directionality = Directionality.BIDIRECTIONAL
    strategy: Strategy = Strategy.AUTO
    constraints: Constraints = field(default_factory=Constraints)
    bend: Bend | None = None
    movable: bool = False
    """Its owner lets it be moved; see Reservation in reservations.proto."""
    more_destinations: tuple[str, ...] = ()
    cloudnet: CloudNet | None = None
    """Then source and destination are empty, and the bandwidth is 0."""

    @property
    def destinations(self) -> tuple[str, ...]:
        """All of them, each the end of a leg (substrate.legs)."""
        return (self.destination, *self.more_destinations)


class DataPlaneState(Enum):
    """State of a part on the devices; numbers as in common.proto."""

    __hash__ = object.__hash__

    SCHEDULED = 1
    ACTIVE = 2
    RELEASED = 3
    FAILED = 4
