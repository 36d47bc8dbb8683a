"""Hosts in memory that keep what comes in waiting: a plugin for agents in processes of their own.

``folder``: what is in it says how far an import is ("importing"), and whether it may go on ("go").
Copies that go ahead are imports too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agents.backends.hosts.memory import MemoryHosts
from agents.backends.hosts.port import Carried, Copy, HostSpec, VNodeSpec
from runtime.clock import SystemClock
from substrate.values import replace


class SlowHosts(MemoryHosts):
    """See the module."""

    def __init__(self, hosts: tuple[HostSpec, ...], folder: Path) -> None:
        super().__init__(hosts, SystemClock())
        self._folder = folder

    async def import_(self, host: str, vnode: VNodeSpec, carried: Carried) -> None:
        await super().import_(host, vnode, replace(carried, data=self._slowly(carried.data)))

    async def keep(self, host: str, vnode: VNodeSpec, copy: Copy) -> None:
        await super().keep(host, vnode, replace(copy, data=self._slowly(copy.data)))

    async def _slowly(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in data:
            (self._folder / "importing").touch()
            while not (self._folder / "go").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            yield piece


def make(hosts: tuple[HostSpec, ...], options: dict[str, Any]) -> SlowHosts:
    """A factory, as settings of agents name it."""
    return SlowHosts(hosts, Path(options["folder"]))
