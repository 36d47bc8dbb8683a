"""The port between an agent and what stands behind it: all that a backend must do.

    describe    what the domain shows of itself
    capacities  what can be held: per port, link and direction
    place       how segments would lie in the domain, and what they would take (pure)
    offers      what the domain could carry between two STPs (pure; visible domains)
    provision   configure the devices for a part in force
    withdraw    exactly undo that
    rules       what is configured, for people

A backend never keeps account of time or of others: the agent's book does, and checks what ``place``
claims against its own calendar. docs/backends.md shows a complete one.

A domain that runs VNodes (CloudNets, paper 002) has a :class:`CloudBackend`. A domain whose parts
are held by somebody else, who must be asked, has a :class:`RemoteBackend`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer
from protocol.messages import Offer, ReservationPrep
from substrate.calendar import Direction, Resource
from substrate.model import Directionality, Domain, Profile, Refusal, Segment, Window
from substrate.values import dataclass
from substrate.vlans import VlanSet

NAMES_MAX = 16_384
"""Names whose JSON is remembered: few occur in most placements."""
PLACEMENTS_MAX = 256
"""Placements that are remembered as they are read."""

to_json = json.JSONEncoder().encode
"""As ``json.dumps``, a few calls sooner. Of a text it takes one."""
name_to_json = lru_cache(NAMES_MAX)(to_json)
"""The same, remembered: for names of STPs and links."""


class DeviceError(Exception):
    """A device did not do what it was told; the text says why and reaches the user."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Bandwidth that a part takes of one resource, more than 0."""

    resource: Resource
    bandwidth_bps: int


@dataclass(frozen=True, slots=True)
class Placement:
    """How a part lies in the domain: what it takes, and the backend's own notes in ``detail``."""

    claims: tuple[Claim, ...]
    labels: tuple[tuple[str, int], ...]
    detail: str = ""

    def to_json(self, joint: bool = False) -> str:
        """The form in which it is stored; ``joint``: of a part that is decided with others."""
        # JSON's encoder is made anew for what is not a text: it takes longer than all of this.
        claims = ",".join([f"{_beginning(c.resource)}{c.bandwidth_bps}]" for c in self.claims])
        labels = ",".join([f"[{name_to_json(stp)},{vlan}]" for stp, vlan in self.labels])
        end = ',"joint":true}' if joint else "}"
        return f'{{"claims":[{claims}],"labels":[{labels}],"detail":{to_json(self.detail)}{end}'

    @classmethod
    def from_json(cls, text: str) -> Placement:
        """The inverse of to_json."""
        return _placement(text)


@lru_cache(PLACEMENTS_MAX)
def _placement(text: str) -> Placement:
    """Each part's is read several times within moments."""
    stored = json.loads(text)
    claims = tuple(
        Claim(Resource(name, Direction(direction)), bps)
        for name, direction, bps in stored["claims"]
    )
    labels = tuple((str(stp), int(vlan)) for stp, vlan in stored["labels"])
    return Placement(claims, labels, stored["detail"])


@lru_cache(NAMES_MAX)
def _beginning(resource: Resource) -> str:
    """Of the JSON of a claim on it."""
    return f"[{to_json(resource.name)},{to_json(resource.direction)},"


class Free(Protocol):
    """What is free during a window, as the requesting reservation sees it.

    Its own other parts do not count against it: they are alternatives (docs/decisions/0004).
    """

    def free_bps(self, resource: Resource) -> int:
        """Free during the whole window."""

    def profile(self, resource: Resource) -> Profile:
        """Free over the window, or less where that changes often: for offers."""

    def at_least_bps(self, resource: Resource) -> int:
        """What is certainly free during the whole window: for searching among many links, of which
        ``free_bps`` is then asked of those chosen."""

    def free_vlans(self, stp: str) -> VlanSet:
        """VLANs of a port that are free during the whole window."""


class Backend(Protocol):
    """See the module."""

    def describe(self) -> Domain:
        """The domain as others see it; does not change while the agent runs."""

    def capacities(self) -> Mapping[Resource, int]:
        """Every resource that ``place`` may claim, in bit/s."""

    def place(self, segments: Sequence[Segment], window: Window, free: Free) -> Placement | Refusal:
        """Where the segments would lie, all together. Pure.

        The book has checked before that the STPs exist and the VLANs belong to them and are free.
        """

    def offers(
        self,
        pairs: Sequence[tuple[str, str]],
        window: Window,
        directionality: Directionality,
        free: Free,
    ) -> tuple[Offer, ...]:
        """At most one offer per pair; a pair that cannot be joined gets none. Pure.

        The book fills in ``token`` and ``valid_until_ms``.
        """

    async def provision(self, key: str, placement: Placement) -> None:
        """Configures the devices for the part ``key``. Idempotent. Raises DeviceError."""

    async def withdraw(self, key: str, placement: Placement) -> None:
        """Removes exactly what ``provision`` configured. Idempotent. Raises DeviceError."""

    def rules(self, placement: Placement) -> tuple[str, ...]:
        """What ``provision`` configures, one readable line each."""


@runtime_checkable
class StandingBackend(Backend, Protocol):
    """A backend on whose devices older versions stay as they are, beside the one in force."""

    def stands_by(self, key: str, placement: Placement) -> None:
        """Notes a part that is not provisioned now, but perhaps was in an earlier life.

        Called before what is newer is provisioned, and what is older withdrawn, of the newest part
        first. Idempotent.
        """


@dataclass(frozen=True, slots=True)
class Partial:
    """A partial graph that is to be embedded, and the segments that lead its VLinks further.

    ``present``: how an earlier version of the same reservation lies here; what stays should not
    move. ``advice``: what ``consult`` found for this part, if it was asked. ``awaits``: VNodes that
    are carried here, and are not made before that. ``runs``: what is present may be running now.
    """

    reservation_id: str
    version: int
    graph: bytes
    segments: tuple[Segment, ...]
    window: Window
    present: Placement | None = None
    advice: object = None
    awaits: tuple[str, ...] = ()
    runs: bool = False


class CloudBackend(Backend, Protocol):
    """A backend that runs VNodes. Its resources are amounts of any unit, not only bandwidths.

    Of a resource that has no direction only ``Direction.IN`` is claimed.
    """

    def aggregate(self, free: Free) -> bytes:
        """What is free for VNodes, a sum per type: a graph in canonical bytes (rdl). Pure."""

    async def consult(self, partial: Partial, free: Free) -> object:
        """Thinks longer about a part than ``place_graph`` may; its answer is the ``advice``.

        ``free`` must not be used after the first await: it is a moment's.
        """

    def place_graph(self, partial: Partial, free: Free) -> Placement | Refusal:
        """Where the partial graph and the segments would lie, all together. Pure, some ms at most.

        Labels at the cloud STP that it picks itself stand in ``Placement.labels``.
        """


@runtime_checkable
class RecallingBackend(CloudBackend, Protocol):
    """One whose hosts outlive it, and know what they have."""

    async def look(self) -> None:
        """Finds out what hosts have, of those that answer soon."""

    def seen(self, partial: Partial, free: Free) -> Placement | None:
        """What VNodes of a part take that may run here already, where they were seen, and nothing
        else of it. None: there are none, or there is not that much."""

    def recall(self, partial: Partial, free: Free) -> object:
        """Advice for a part that may run here already, though nothing is known of it: to leave its
        VNodes where they were seen. None: there are none, or not all can stay."""


@runtime_checkable
class RemoteBackend(Backend, Protocol):
    """A backend that must ask elsewhere before a part is held, and says there when it is not.

    All goes by reservation, as the live parts of one are alternatives: elsewhere the most that any
    of them needs is to be held. Calls for one reservation come one after the other.
    """

    async def hold(self, prep: ReservationPrep, parts: Sequence[ReservationPrep]) -> Refusal | None:
        """Holds elsewhere what a part needs, or says why not, at ``deadline_ms`` at the latest.

        ``parts``: all of its reservation that are live or asked for, with itself. The same part
        again gives the same answer. What may be held in vain is given back by the next ``tidy``.
        """

    async def tidy(self, reservation_id: str, parts: Sequence[ReservationPrep]) -> None:
        """Gives back what none of these parts needs, all of its reservation that are live.

        Idempotent. Raises DeviceError when it must be tried again.
        """

    async def kept(self, orchestrator_ids: Collection[str]) -> Collection[str]:
        """Reservations for which anything is held elsewhere that these orchestrators asked for.

        Raises DeviceError.
        """

    def cloudnets(self) -> CloudNetsServicer | None:
        """What answers for VNodes that run elsewhere; None: there are none."""

    async def aggregated(self, window: Window, reservation_id: str) -> bytes:
        """As ``CloudBackend.aggregate``, where VNodes are elsewhere; what is held there for that
        reservation counts as free. Raises DeviceError."""

    async def follow(self, disturbed: Callable[[str], None]) -> None:
        """Tells of reservations that may not be carried as they were, until it is cancelled.

        These are provisioned anew, which may then fail and say why.
        """
