"""What a book has free for one reservation and window, as backends ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.together import Owed
from agents.usage import Usage, raised
from substrate.calendar import Resource, outlined
from substrate.model import Profile, Step, Window
from substrate.vlans import VlanSet

if TYPE_CHECKING:
    from agents.book import Book


class FreeFor:
    """The :class:`agents.backends.base.Free` of one reservation and window.

    Remembers what it looked up, so it must not outlive a change of the book. ``owed``: what does
    not count for it, and what does besides. ``ports_apart``: of ports ``profile`` only tells the
    capacity, because what they have free is told apart.
    """

    def __init__(
        self,
        book: Book,
        reservation_id: str,
        window: Window,
        owed: Owed,
        *,
        ports_apart: bool = False,
    ) -> None:
        self._book, self._reservation_id, self.window = book, reservation_id, window
        self._owed: dict[Resource, list[Usage]] = {}
        for usage in owed.signed():
            if usage.window.overlaps(window):
                self._owed.setdefault(usage.resource, []).append(usage)
        self._ports = {port.stp for port in book.domain.ports} if ports_apart else set[str]()
        self._free_bps: dict[Resource, int] = {}
        self._profiles: dict[Resource, Profile] = {}
        self._whole: dict[Resource, Profile] = {}
        self._at_least: dict[Resource, int] | None = None

    def free_bps(self, resource: Resource) -> int:
        known = self._free_bps.get(resource)
        if known is None:
            calendar = self._book.calendar
            if resource in self._owed:
                profile = self._settled(resource, calendar.profile(resource, self.window))
                known = min(step.bandwidth_bps for step in profile)
            else:
                known = calendar.free_bps(resource, self.window)
            self._free_bps[resource] = known
        return known

    def profile(self, resource: Resource) -> Profile:
        if resource.name not in self._ports:
            return self.outline(resource)
        known = self._whole.get(resource)
        if known is None:
            known = (Step(self.window.start_s, self._book.calendar.capacities[resource]),)
            self._whole[resource] = known
        return known

    def outline(self, resource: Resource) -> Profile:
        """What is free over time, or less where that is long."""
        known = self._profiles.get(resource)
        if known is None:
            calendar = self._book.calendar
            if resource in self._owed:
                # An outline before that would hide where it is free but for what is owed.
                found = self._settled(resource, calendar.detail(resource, self.window))
                # What is taken off may be more than is left where not all is told.
                found = tuple(Step(s.start_s, max(0, s.bandwidth_bps)) for s in found)
                known = outlined(found, self.window)
            else:
                known = calendar.outline(resource, self.window)
            self._profiles[resource] = known
        return known

    def at_least_bps(self, resource: Resource) -> int:
        if resource in self._owed:
            return self.free_bps(resource)
        if self._at_least is None:
            self._at_least = self._book.calendar.at_least(self.window)
        known = self._at_least.get(resource)
        return self.free_bps(resource) if known is None else known

    def _settled(self, resource: Resource, profile: Profile) -> Profile:
        return raised(profile, self._owed.get(resource, ()), self.window)

    def free_vlans(self, stp: str) -> VlanSet:
        return self._book.free_vlans(stp, self.window, self._reservation_id)
