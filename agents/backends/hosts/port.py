"""The port between an agent and hosts: all that a plugin for hosts must do.

A plugin speaks to all hosts of its kind, which it is told by name. Everything is idempotent, and a
failure is a DeviceError with a plain reason. docs/backends.md shows a complete one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from agents.backends.base import DeviceError
from substrate.values import dataclass

CONSOLE_CHUNK_BYTES = 1 << 16
"""No piece that a console is read or written by is longer."""
CARRIED_CHUNK_BYTES = 1 << 18
"""No piece of what is carried is longer."""


class VNodeName(NamedTuple):
    """A VNode is known by its reservation and its id there."""

    reservation_id: str
    vnode: str

    def __str__(self) -> str:
        return f"{self.reservation_id}:{self.vnode}"


class PowerState(Enum):
    """As braid.v1.PowerState; ``GONE``: it is not on that host."""

    GONE = "gone"
    DEFINED = "defined"
    PREPARING = "preparing"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host of the substrate: its attribute, such as ``/node/host/kvm``, and what it has."""

    name: str
    attribute: str
    mcores: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface of a VNode: frames of its VLink carry ``vlan`` at the host's bridge."""

    vlink: str
    vlan: int


@dataclass(frozen=True, slots=True)
class VNodeSpec:
    """A VNode as it is to be made. ``image``: what it boots from; empty: the plugin's own."""

    name: VNodeName
    mcores: int
    memory_bytes: int
    disk_bytes: int
    image: str = ""
    nics: tuple[Nic, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What a VNode on a host is doing; ``reason``: why it FAILED."""

    state: PowerState
    reason: str = ""


class Console(Protocol):
    """A byte stream to and from a VNode, such as its serial line."""

    async def read(self) -> bytes:
        """What the VNode has written, at most CONSOLE_CHUNK_BYTES; b"" once the stream is over."""

    async def write(self, data: bytes) -> None:
        """Types ``data``, at most CONSOLE_CHUNK_BYTES; into the void once the stream is over."""

    async def close(self) -> None:
        """Hangs up."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a VNode has, to be made again elsewhere: bytes in pieces, at most CARRIED_CHUNK_BYTES.

    ``format``: what they mean, a word with a version, such as "memory/1".
    """

    format: str
    data: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Copy:
    """What a VNode has at one instant, on its disk and, with ``memory``, in its memory.

    ``mark``: what both ends call that copy, no two that differ alike: 1 to 128 characters of
    [A-Za-z0-9._:-], such as a digest. ``since``: the mark of the
    copy that ``data`` builds on, of which it has what has changed; empty: ``data`` has all of it.
    ``format`` and ``data``: as of :class:`Carried`.
    """

    format: str
    mark: str
    since: str
    memory: bool
    data: AsyncIterator[bytes]


class HostPlugin(Protocol):
    """See the module. All raise DeviceError."""

    async def ensure(self, host: str, vnode: VNodeSpec) -> None:
        """Makes a VNode, its disk from its image, and leaves it stopped. One that is there is given
        the amounts and interfaces of ``vnode``, running or not; its image stays.

        Raises NoRoomError where the host has no room for that: it is tried again once others of
        its CloudNet have made way, if they are to.
        """

    async def start(self, host: str, name: VNodeName) -> None:
        """Lets it run; what is paused goes on."""

    async def stop(self, host: str, name: VNodeName) -> None:
        """Ends what runs in it; its disk stays."""

    async def cycle(self, host: str, name: VNodeName) -> None:
        """Stops and starts it: afterwards it has just begun to run."""

    async def remove(self, host: str, name: VNodeName) -> None:
        """Takes all of it away."""

    async def migrate(self, source: str, target: str, vnode: VNodeSpec) -> None:
        """Moves a VNode between two hosts of this plugin, where it is as ``ensure`` would have it.

        Running ones go on running if the hosts can do that. Where it fails, it is at the source as
        before. Done already: nothing happens.
        """

    async def condition(self, host: str, name: VNodeName) -> Condition:
        """What it is doing there."""

    async def found(self, host: str) -> Mapping[VNodeName, Condition]:
        """All VNodes on a host that this plugin has made, in this life of the agent or before."""

    async def console(self, host: str, name: VNodeName) -> Console:
        """Opens the console of one that runs."""

    async def prepare(self, host: str, image: str) -> None:
        """Brings an image to a host, so that ``ensure`` need not wait for it."""

    async def discard(self, host: str, image: str) -> None:
        """Removes an image that was prepared; VNodes made of it stay."""


@runtime_checkable
class CarryingPlugin(HostPlugin, Protocol):
    """A plugin whose VNodes can be carried to hosts of another provider. Both raise DeviceError."""

    async def export(self, host: str, name: VNodeName) -> Carried:
        """What a stopped VNode has, as it is now; it stays as it is."""

    async def import_(self, host: str, vnode: VNodeSpec, carried: Carried) -> None:
        """Makes a VNode of what was exported, and leaves it stopped; in place of one that does not
        run, and of copies of it.

        It is there once all of it is, and not before. Raises NeverError for what it will never
        take: another format, or more than the VNode has room for.
        """


@runtime_checkable
class LiveCarryingPlugin(CarryingPlugin, Protocol):
    """A plugin whose VNodes can be carried with what they have in memory, mostly while they run.

    The source copies again and again what has changed, then pauses the VNode and copies the rest.
    The destination keeps each copy on top of the one before, and makes a VNode of the last. A copy
    that either end has lost costs time only: the next one is whole. All raise DeviceError.
    """

    async def pause(self, host: str, name: VNodeName) -> None:
        """Lets one that runs stand still with its memory, until ``start``; others stay as they
        are. A paused one may be stopped, cycled and removed as one that runs."""

    async def copy(self, host: str, name: VNodeName, since: str) -> Copy:
        """What it has at this instant; it runs on, or stays paused. Only what has changed since the
        copy of that mark, where the plugin still knows that; at least the last one it should."""

    async def keep(self, host: str, vnode: VNodeSpec, copy: Copy) -> None:
        """Keeps a copy for a VNode that is to come, in place of what was kept: all of it or, where
        it breaks off, what was kept. Makes nothing: ``found`` and ``condition`` do not tell of it.

        Raises NeverError as ``import_`` does, DeviceError where what it builds on is not kept.
        """

    async def kept(self, host: str, name: VNodeName) -> str:
        """The mark of the copy that is kept for it; empty: none. ``remove`` drops it."""

    async def make(self, host: str, vnode: VNodeSpec) -> None:
        """Makes a VNode of the copy that is kept for it: paused with its memory, or stopped where
        that had none; in place of one that does not run. It is there once all of it is."""


class NeverError(DeviceError):
    """A device did not do it and never will."""


class NoRoomError(DeviceError):
    """There is no room on a host beside what it has: others may make way first."""
