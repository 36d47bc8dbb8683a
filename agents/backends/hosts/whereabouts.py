"""Which VNodes are where, as far as hosts have told and as was done in this life of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import structlog

from agents.backends.base import DeviceError
from agents.backends.hosts.plugins import Hosts
from agents.backends.hosts.port import Condition, PowerState, VNodeName, VNodeSpec

_log = structlog.get_logger(__name__)

LOOK_S = 10.0
"""For how long a host is waited for that is to tell what it has, where others wait for that."""


class Whereabouts:
    """``at``: where each VNode is, or is being made; ``also``: where else something of it may be.

    ``unmade``: those that could not be made yet, or not all of it. ``blank``: those that have no
    more than their image had when they were made. ``has``: as what each was made or set last.
    ``unseen``: hosts that have not told yet what they have from before.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self.at: dict[VNodeName, str] = {}
        self.also: dict[VNodeName, set[str]] = {}
        self.unmade: set[VNodeName] = set()
        self.blank: set[VNodeName] = set()
        self.has: dict[VNodeName, VNodeSpec] = {}
        self.unseen = set(hosts.specs)

    async def look(self) -> None:
        """Finds out what hosts have from before; of one that does not answer, next time."""
        for host in sorted(self.unseen):
            await self._look_at(host)

    async def look_soon(self) -> None:
        """The same, of those that answer within LOOK_S."""

        async def one(host: str) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_at(host)

        await asyncio.gather(*map(one, sorted(self.unseen)))

    async def _look_at(self, host: str) -> None:
        try:
            found = await self._hosts.plugin(host).found(host)
        except DeviceError as error:
            _log.warning("host not looked at", host=host, reason=str(error))
            return
        self.unseen.discard(host)
        for name in found:
            if self.at.setdefault(name, host) != host:
                self.also.setdefault(name, set()).add(host)

    def of(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        """The hosts of those that were seen on any."""
        return {name: self.at[name] for name in names if name in self.at}

    def made(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        """The same without those that could not be made yet."""
        return self.of(name for name in names if name not in self.unmade)

    def host_of(self, name: VNodeName) -> str:
        """Raises DeviceError where it is on none."""
        if name not in self.at:
            raise DeviceError(f"{name} has not been made")
        return self.at[name]

    def is_new(self, name: VNodeName) -> bool:
        """Whether it has to be made first."""
        return name not in self.at or name in self.unmade

    def makes(self, name: VNodeName, host: str) -> None:
        """It is being made there: whatever comes of it must be taken away."""
        before = self.at.get(name, host)
        if before != host:
            self.also.setdefault(name, set()).add(before)
        self.at[name] = host
        self.unmade.add(name)
        if host not in self.unseen:
            self.blank.add(name)

    def is_as(self, spec: VNodeSpec) -> None:
        """It is there, as ``spec`` says."""
        self.unmade.discard(spec.name)
        self.has[spec.name] = spec

    def came(self, name: VNodeName, host: str) -> None:
        """It was brought there."""
        self.blank.discard(name)
        self.unmade.discard(name)
        before = self.at.setdefault(name, host)
        if before != host:
            self.also.setdefault(name, set()).add(before)
            self.at[name] = host

    def forget(self, name: VNodeName) -> None:
        """It is nowhere any more."""
        self.at.pop(name, None)
        self.also.pop(name, None)
        self.has.pop(name, None)
        self.unmade.discard(name)
        self.blank.discard(name)

    async def condition(self, name: VNodeName) -> Condition:
        """What it is doing; GONE: it has not been made, FAILED: its host does not tell, too."""
        host = self.at.get(name)
        if host is None:
            return Condition(PowerState.GONE)
        try:
            return await self._hosts.plugin(host).condition(host, name)
        except DeviceError as error:
            return Condition(PowerState.FAILED, str(error))

    async def is_whole(self, name: VNodeName) -> bool:
        """Whether it is there, all of it."""
        condition = await self.condition(name)
        return condition.state in (PowerState.RUNNING, PowerState.STOPPED, PowerState.PAUSED)
