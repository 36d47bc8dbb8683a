"""Images that are on hosts before a VNode needs them (paper 002, section 4.2.2: *clipd*)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import structlog

from agents.backends.base import DeviceError
from agents.backends.hosts.plugins import Hosts

Place = tuple[str, str]
"""(host, image)."""

_log = structlog.get_logger(__name__)


class Images:
    """At most ``most`` images over all hosts; the one not used for longest goes first.

    ``hits`` and ``misses``: how often a VNode found its image, and did not.
    """

    def __init__(self, hosts: Hosts, most: int) -> None:
        self._hosts, self._most = hosts, most
        self._ready: OrderedDict[Place, None] = OrderedDict()
        self.hits = self.misses = 0

    def used(self, host: str, image: str) -> None:
        """A VNode is made of it there."""
        if (host, image) in self._ready:
            self._ready.move_to_end((host, image))
            self.hits += 1
        else:
            self.misses += 1

    async def fill(self, places: Iterable[Place]) -> None:
        """Prepares what will be needed, the soonest first; never drops one of them for another.

        What cannot be prepared now is left to who needs it.
        """
        wanted = list(dict.fromkeys(places))[: self._most]
        for place in wanted:
            if place in self._ready:
                self._ready.move_to_end(place)
        for host, image in wanted:
            if (host, image) not in self._ready:
                await self._prepare(host, image)

    async def _prepare(self, host: str, image: str) -> None:
        try:
            while len(self._ready) >= self._most:
                (old_host, old), _ = self._ready.popitem(last=False)
                await self._hosts.plugin(old_host).discard(old_host, old)
            await self._hosts.plugin(host).prepare(host, image)
        except DeviceError as error:
            _log.info("image not prepared", host=host, image=image, reason=str(error))
        else:
            self._ready[host, image] = None

    def ready(self) -> tuple[Place, ...]:
        """Those that are there, the next to go first."""
        return tuple(self._ready)
