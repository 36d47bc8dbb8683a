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
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from protocol.messages import Offer
from substrate.calendar import Direction, Resource
from substrate.model import Directionality, Domain, Profile, Refusal, Segment, Window
from substrate.values import dataclass
from substrate.vlans import VlanSet

# json.dumps would make an encoder each time.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


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
        claims = [(*claim.resource, claim.bandwidth_bps) for claim in self.claims]
        stored = {"claims": claims, "labels": self.labels, "detail": self.detail}
        return _to_json(stored | {"joint": True} if joint else stored)

    @classmethod
    def from_json(cls, text: str) -> Placement:
        """The inverse of to_json."""
        stored = json.loads(text)
        claims = tuple(
            Claim(Resource(name, Direction(direction)), bps)
            for name, direction, bps in stored["claims"]
        )
        labels = tuple((str(stp), int(vlan)) for stp, vlan in stored["labels"])
        return cls(claims, labels, stored["detail"])


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
