"""Hosts in memory: they run the state machine of every VNode, and a little machine inside it.

They forget all when the agent ends; then their VNodes are made again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import Enum

from agents.backends.base import DeviceError
from agents.backends.hosts.guest import PROMPT, Guest, Terminal
from agents.backends.hosts.memory_state import (
    COPIES,
    FORMAT,
    State,
    added,
    difference,
    files_of,
    in_pieces,
    mark_of,
)
from agents.backends.hosts.port import (
    CONSOLE_CHUNK_BYTES,
    Carried,
    Condition,
    Copy,
    HostSpec,
    NoRoomError,
    PowerState,
    VNodeName,
    VNodeSpec,
)
from runtime.clock import Clock
from substrate.values import dataclass

UNREAD_MAX_BYTES = 1 << 18
"""When a console has that much to read, who types waits."""


class Event(Enum):
    """What happens to a VNode."""

    DEFINE = "be defined"
    PREPARE = "be prepared"
    READY = "be ready"
    START = "start"
    STOP = "stop"
    PAUSE = "be paused"
    CYCLE = "be power-cycled"
    FAIL = "fail"
    REMOVE = "be removed"


TRANSITIONS: Mapping[tuple[PowerState, Event], PowerState] = {
    (PowerState.GONE, Event.DEFINE): PowerState.DEFINED,
    (PowerState.GONE, Event.REMOVE): PowerState.GONE,
    (PowerState.DEFINED, Event.PREPARE): PowerState.PREPARING,
    (PowerState.DEFINED, Event.REMOVE): PowerState.GONE,
    (PowerState.PREPARING, Event.PREPARE): PowerState.PREPARING,
    (PowerState.PREPARING, Event.READY): PowerState.STOPPED,
    (PowerState.PREPARING, Event.FAIL): PowerState.FAILED,
    (PowerState.PREPARING, Event.REMOVE): PowerState.GONE,
    (PowerState.RUNNING, Event.START): PowerState.RUNNING,
    (PowerState.RUNNING, Event.STOP): PowerState.STOPPED,
    (PowerState.RUNNING, Event.PAUSE): PowerState.PAUSED,
    (PowerState.RUNNING, Event.CYCLE): PowerState.RUNNING,
    (PowerState.RUNNING, Event.FAIL): PowerState.FAILED,
    (PowerState.RUNNING, Event.REMOVE): PowerState.GONE,
    (PowerState.PAUSED, Event.START): PowerState.RUNNING,
    (PowerState.PAUSED, Event.STOP): PowerState.STOPPED,
    (PowerState.PAUSED, Event.PAUSE): PowerState.PAUSED,
    (PowerState.PAUSED, Event.CYCLE): PowerState.RUNNING,
    (PowerState.PAUSED, Event.REMOVE): PowerState.GONE,
    (PowerState.STOPPED, Event.START): PowerState.RUNNING,
    (PowerState.STOPPED, Event.STOP): PowerState.STOPPED,
    (PowerState.STOPPED, Event.CYCLE): PowerState.RUNNING,
    (PowerState.STOPPED, Event.REMOVE): PowerState.GONE,
    (PowerState.FAILED, Event.PREPARE): PowerState.PREPARING,
    (PowerState.FAILED, Event.STOP): PowerState.STOPPED,
    (PowerState.FAILED, Event.REMOVE): PowerState.GONE,
}
"""The state machine of a VNode; what is not here cannot happen."""


@dataclass(slots=True, eq=False)
class _VNode:
    """``guest``: what it runs, also while it is paused; ``disk``: whether it has one, with
    ``files``; ``copied``: the last copy of it, with its mark."""

    spec: VNodeSpec
    state: PowerState = PowerState.GONE
    reason: str = ""
    disk: bool = False
    files: dict[str, str] = field(default_factory=dict)
    guest: Guest | None = None
    lines: list[MemoryConsole] = field(default_factory=list)
    copied: tuple[str, State] = ("", State({}))

    def take(self, event: Event, reason: str = "") -> None:
        """Raises DeviceError for what the table does not know."""
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise DeviceError(f"{self.spec.name} is {self.state.value} and cannot {event.value}")
        self.state, self.reason = after, reason

    def revive(self) -> None:
        """What has failed while it ran may run again."""
        if self.state is PowerState.FAILED and self.disk:
            self.take(Event.STOP)

    def hang_up(self) -> None:
        """Ends all that ran in it."""
        self.guest = None
        for line in self.lines:
            line.end()
        self.lines.clear()


class MemoryHosts:
    """The hosts that it is told. ``image_s``: how long it takes to copy an image to a host.

    ``broken``: hosts that refuse everything, and why.
    """

    def __init__(self, hosts: Iterable[HostSpec], clock: Clock, image_s: float = 0.0) -> None:
        self.broken: dict[str, str] = {}
        self._hosts = {host.name: host for host in hosts}
        self._vnodes: dict[str, dict[VNodeName, _VNode]] = {name: {} for name in self._hosts}
        self._kept: dict[tuple[str, VNodeName], tuple[str, State]] = {}
        self._images: set[tuple[str, str]] = set()
        self._clock, self._image_s = clock, image_s

    async def ensure(self, host: str, vnode: VNodeSpec) -> None:
        vnodes = self._on(host)
        self._check_room(host, vnode)
        known = vnodes.get(vnode.name)
        if known is None:
            known = _VNode(vnode)
            known.take(Event.DEFINE)
            vnodes[vnode.name] = known
        known.spec = vnode
        if known.guest is not None:
            known.guest.vnode = vnode
        if not known.disk:
            await self._make_disk(host, known)

    async def _make_disk(self, host: str, vnode: _VNode) -> None:
        vnode.take(Event.PREPARE)
        if (host, vnode.spec.image) not in self._images:
            await asyncio.sleep(self._image_s)
        if self.broken.get(host):
            vnode.take(Event.FAIL, f"host {host}: {self.broken[host]}")
            raise DeviceError(vnode.reason)
        if self._vnodes[host].get(vnode.spec.name) is not vnode:
            raise DeviceError(f"{vnode.spec.name} was removed while it was made")
        vnode.disk = True
        vnode.take(Event.READY)

    async def start(self, host: str, name: VNodeName) -> None:
        vnode = self._get(host, name)
        vnode.revive()
        vnode.take(Event.START)
        if vnode.guest is None:
            vnode.guest = Guest(vnode.spec, self._clock.now_ms(), vnode.files)
        vnode.guest.resume(self._clock.now_ms())
        for line in vnode.lines:
            line.wake()

    async def pause(self, host: str, name: VNodeName) -> None:
        """Its time stands still too; who types waits."""
        vnode = self._get(host, name)
        if vnode.guest is not None and vnode.state is not PowerState.FAILED:
            vnode.take(Event.PAUSE)
            vnode.guest.pause(self._clock.now_ms())

    async def stop(self, host: str, name: VNodeName) -> None:
        vnode = self._get(host, name)
        vnode.take(Event.STOP)
        vnode.hang_up()

    async def cycle(self, host: str, name: VNodeName) -> None:
        vnode = self._get(host, name)
        vnode.revive()
        vnode.take(Event.CYCLE)
        vnode.hang_up()
        vnode.guest = Guest(vnode.spec, self._clock.now_ms(), vnode.files)

    async def remove(self, host: str, name: VNodeName) -> None:
        vnode = self._on(host).pop(name, None)
        self._kept.pop((host, name), None)
        if vnode is not None:
            vnode.take(Event.REMOVE)
            vnode.hang_up()

    async def migrate(self, source: str, target: str, vnode: VNodeSpec) -> None:
        """Live: what runs in it does not notice, and its consoles stay open."""
        moving = self._on(source).get(vnode.name)
        if moving is None or source == target:
            await self.ensure(target, vnode)
            return
        there = self._on(target)
        self._check_room(target, vnode)
        there[vnode.name] = self._on(source).pop(vnode.name)
        await self.ensure(target, vnode)

    async def export(self, host: str, name: VNodeName) -> Carried:
        """Its files; what runs in it ends with it."""
        vnode = self._get(host, name)
        if vnode.guest is not None or not vnode.disk:
            raise DeviceError(f"{name} is {vnode.state.value}: only what is stopped is exported")
        return Carried(FORMAT, in_pieces(json.dumps(vnode.files).encode()))

    async def import_(self, host: str, vnode: VNodeSpec, carried: Carried) -> None:
        self._replace(host, vnode, await files_of(vnode, carried))

    async def copy(self, host: str, name: VNodeName, since: str) -> Copy:
        """Its files, and what its machine knows."""
        vnode, now_ms = self._get(host, name), self._clock.now_ms()
        if not vnode.disk:
            raise DeviceError(f"{name} is {vnode.state.value}: it has no disk yet")
        guest = vnode.guest if vnode.state is not PowerState.FAILED else None
        state = State(dict(vnode.files))
        if guest is not None:
            memory = dict(guest.memory)
            state = State(state.files, memory, guest.ran_ms(now_ms), guest.heard)
        mark, before = vnode.copied
        known = bool(since) and since == mark
        data = difference(before if known else State({}), state)
        vnode.copied = mark_of(state), state
        return Copy(COPIES, vnode.copied[0], since if known else "", state.runs, in_pieces(data))

    async def keep(self, host: str, vnode: VNodeSpec, copy: Copy) -> None:
        self._on(host)
        mark, before = self._kept.get((host, vnode.name), ("", State({})))
        if copy.since and copy.since != mark:
            raise DeviceError(f"{vnode.name}: the copy that this one builds on is not kept here")
        state = await added(vnode, before if copy.since else State({}), copy)
        self._on(host)
        self._kept[host, vnode.name] = copy.mark, state

    async def kept(self, host: str, name: VNodeName) -> str:
        self._on(host)
        return self._kept.get((host, name), ("", None))[0]

    async def make(self, host: str, vnode: VNodeSpec) -> None:
        self._on(host)
        if (host, vnode.name) not in self._kept:
            raise DeviceError(f"nothing is kept for {vnode.name} on host {host}")
        _, state = self._kept[host, vnode.name]
        made = self._replace(host, vnode, dict(state.files))
        if state.memory is not None:
            now_ms = self._clock.now_ms()
            made.guest = guest = Guest(vnode, now_ms - state.ran_ms, made.files)
            guest.memory, guest.heard = dict(state.memory), state.heard
            guest.pause(now_ms)
            made.take(Event.START)
            made.take(Event.PAUSE)

    def _replace(self, host: str, vnode: VNodeSpec, files: dict[str, str]) -> _VNode:
        """A stopped one with these files, in place of one that does not run."""
        there = self._on(host)
        known = there.get(vnode.name)
        if known is not None and known.state is PowerState.RUNNING:
            raise DeviceError(f"{vnode.name} runs on host {host}: only what is stopped is replaced")
        self._check_room(host, vnode)
        made = _VNode(vnode, disk=True, files=files)
        for event in (Event.DEFINE, Event.PREPARE, Event.READY):
            made.take(event)
        there[vnode.name] = made
        self._kept.pop((host, vnode.name), None)
        if known is not None:
            known.hang_up()
        return made

    async def condition(self, host: str, name: VNodeName) -> Condition:
        vnode = self._on(host).get(name)
        return Condition(vnode.state, vnode.reason) if vnode else Condition(PowerState.GONE)

    async def found(self, host: str) -> Mapping[VNodeName, Condition]:
        return {
            name: Condition(vnode.state, vnode.reason) for name, vnode in self._on(host).items()
        }

    async def console(self, host: str, name: VNodeName) -> MemoryConsole:
        vnode = self._get(host, name)
        if vnode.guest is None or vnode.state is PowerState.PAUSED:
            raise DeviceError(f"{name} is {vnode.state.value}: only what runs has a console")
        line = MemoryConsole(self, vnode, vnode.guest.banner())
        vnode.lines.append(line)
        return line

    async def prepare(self, host: str, image: str) -> None:
        self._on(host)
        if (host, image) not in self._images:
            await asyncio.sleep(self._image_s)
            self._images.add((host, image))

    async def discard(self, host: str, image: str) -> None:
        self._on(host)
        self._images.discard((host, image))

    def answer(self, vnode: _VNode, line: str) -> str:
        """What a VNode says to a line, after which it may not run any more."""
        if vnode.guest is None:
            return ""
        said = vnode.guest.answer(line, self._clock.now_ms())
        if said.halts or said.fails:
            vnode.take(Event.FAIL if said.fails else Event.STOP, said.fails)
        return said.text

    def _on(self, host: str) -> dict[VNodeName, _VNode]:
        """What a host runs. Raises DeviceError."""
        if host not in self._vnodes:
            raise DeviceError(f"there is no host {host}; there are: {', '.join(self._hosts)}")
        if self.broken.get(host):
            raise DeviceError(f"host {host}: {self.broken[host]}")
        return self._vnodes[host]

    def _get(self, host: str, name: VNodeName) -> _VNode:
        vnode = self._on(host).get(name)
        if vnode is None:
            raise DeviceError(f"{name} is not on host {host}")
        return vnode

    def _check_room(self, host: str, vnode: VNodeSpec) -> None:
        """A host keeps account of its own: who places VNodes may err."""
        spec = self._hosts[host]
        others = [v.spec for name, v in self._vnodes[host].items() if name != vnode.name]
        for what, has, taken, wanted in (
            ("mcores", spec.mcores, sum(v.mcores for v in others), vnode.mcores),
            ("bytes of memory", spec.memory_bytes, sum(v.memory_bytes for v in others),
             vnode.memory_bytes),
            ("bytes of disk", spec.disk_bytes, sum(v.disk_bytes for v in others),
             vnode.disk_bytes),
        ):  # fmt: skip
            if taken + wanted > has:
                raise NoRoomError(
                    f"host {host} has {has - taken} {what} free, {vnode.name} needs {wanted}"
                )


class MemoryConsole:
    """A line to a VNode on a host in memory; it stays open while that migrates."""

    def __init__(self, hosts: MemoryHosts, vnode: _VNode, banner: str) -> None:
        self._hosts, self._vnode = hosts, vnode
        self._terminal = Terminal()
        self._unread = bytearray()
        self._changed = asyncio.Event()
        self._over = False
        self._show(banner)

    async def read(self) -> bytes:
        """See :class:`agents.backends.hosts.port.Console`."""
        await self._until(lambda: bool(self._unread))
        data = bytes(self._unread[:CONSOLE_CHUNK_BYTES])
        del self._unread[:CONSOLE_CHUNK_BYTES]
        self._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        """See :class:`agents.backends.hosts.port.Console`."""
        for piece in self._terminal.typed(data):
            await self._until(lambda: len(self._unread) < UNREAD_MAX_BYTES and not self._paused)
            if self._over:
                return
            if isinstance(piece, bytes):
                self._show(piece.decode("utf-8", "replace"))
                continue
            text = self._hosts.answer(self._vnode, piece)
            self._show(f"{text}\r\n" if text else "")
            if self._vnode.state is PowerState.RUNNING:
                self._show(PROMPT)
            else:
                self._vnode.hang_up()

    async def close(self) -> None:
        """See :class:`agents.backends.hosts.port.Console`."""
        self.end()
        if self in self._vnode.lines:
            self._vnode.lines.remove(self)

    def end(self) -> None:
        """Nothing more is said or heard; what is unread can still be read."""
        self._over = True
        self._changed.set()

    def wake(self) -> None:
        """What runs in it may go on: who types waits no more."""
        self._changed.set()

    @property
    def _paused(self) -> bool:
        return self._vnode.state is PowerState.PAUSED

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Waits for ``ready``, or for the end."""
        while not (ready() or self._over):
            self._changed.clear()
            await self._changed.wait()

    def _show(self, text: str) -> None:
        self._unread += text.encode()
        self._changed.set()
