"""The embedding component of a provider: what placements say is made so (paper 002, section 5.5).

Several placements of one reservation may be provisioned at once: while it is modified, the new
version is made before the old one is taken away. What both have on one host keeps running; what
runs on another host moves there. The last one provisioned says where things are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import structlog

from agents.backends.base import DeviceError, Placement
from agents.backends.hosts.fabric import Fabric, Wiring, rules_of
from agents.backends.hosts.images import Images, Place
from agents.backends.hosts.plugins import HostingSettings, Hosts, open_switches
from agents.backends.hosts.port import (
    Carried,
    CarryingPlugin,
    Condition,
    Console,
    Copy,
    HostSpec,
    LiveCarryingPlugin,
    NeverError,
    PowerState,
    VNodeName,
)
from agents.backends.hosts.specs import least_of, left_by, lines_of, spec_of
from agents.turns import Turns
from cloudnets.mapped import Mapped, MappedVNode
from runtime.clock import Clock

_log = structlog.get_logger(__name__)

LOOK_S = 10.0
"""For how long a host is waited for that is to tell what it has, where others wait for that."""


class Embedder:
    """Makes, moves and removes VNodes and VLinks. All methods belong to one event loop."""

    def __init__(self, hosts: Hosts, fabric: Fabric, images_max: int = 100) -> None:
        self.hosts, self.fabric = hosts, fabric
        self.images = Images(hosts, images_max)
        self._turns = Turns()
        # Per reservation its placements by key, the last one provisioned last.
        self._claims: dict[str, dict[str, Mapped]] = {}
        # Where each VNode is, and where else something of it may be.
        self._at: dict[VNodeName, str] = {}
        self._also: dict[VNodeName, set[str]] = {}
        # Those that have no more than their image had when they were made.
        self._blank: set[VNodeName] = set()
        self._unseen = set(hosts.specs)

    async def provision(self, key: str, placement: Placement) -> None:
        """Makes what a placement says; idempotent. Raises DeviceError.

        What is to be ``still`` is made, and left stopped; all else runs. What is awaited is not
        made. What the same key, or nobody any more, has is taken away last.
        """
        mapped = Mapped.from_json(placement.detail)
        async with self._turns.turn(mapped.reservation_id):
            claims = self._claims.setdefault(mapped.reservation_id, {})
            before = claims.pop(key, None)
            claims[key] = mapped
            await self._look()
            new = [vnode for vnode in mapped.vnodes if self._is_new(mapped, vnode)]
            absent = {vnode.id for vnode in new} & set(mapped.awaits)
            here = [vnode for vnode in mapped.vnodes if vnode.id not in absent]
            await self._make_all(mapped, [vnode for vnode in new if vnode in here])
            await self._bring_all(mapped, here)
            await self.fabric.arrange(mapped.reservation_id, self._newest_first(mapped))
            await _all(self._switch(mapped, vnode) for vnode in here)
            if before is not None:
                await self._drop(before)

    async def withdraw(self, key: str, placement: Placement) -> None:
        """Takes away what no other placement of its reservation has. Idempotent.

        Raises DeviceError.
        """
        mapped = Mapped.from_json(placement.detail)
        async with self._turns.turn(mapped.reservation_id):
            claims = self._claims.get(mapped.reservation_id, {})
            claims.pop(key, None)
            if not claims:
                self._claims.pop(mapped.reservation_id, None)
            await self._look()
            await self._drop(mapped)

    def stands_by(self, key: str, placement: Placement) -> None:
        """Notes what a version has that is not provisioned in this life: nothing of it is made, and
        nothing that an earlier life made of it goes while others are provisioned or withdrawn."""
        mapped = Mapped.from_json(placement.detail)
        claims = self._claims.setdefault(mapped.reservation_id, {})
        if key not in claims:
            newer = dict(claims)
            claims.clear()
            claims.update({key: mapped, **newer})

    async def sweep(self, kept: Callable[[str], Collection[str] | None]) -> bool:
        """Takes away VNodes of which nobody knows, as after the database was an old copy.

        ``kept``: those of a reservation that are to stay beside what is provisioned; None: nobody
        can tell now. False: a host did not do it, so it must be tried again.
        """
        done, strays = True, dict[str, list[tuple[str, VNodeName]]]()
        for host in sorted(self.hosts.specs):
            try:
                for name in sorted(await self.hosts.plugin(host).found(host)):
                    strays.setdefault(name.reservation_id, []).append((host, name))
            except DeviceError as error:
                _log.warning("host not swept", host=host, reason=str(error))
                done = False
        for reservation_id, found in sorted(strays.items()):
            async with self._turns.turn(reservation_id):
                try:
                    await self._sweep_one(reservation_id, found, kept(reservation_id))
                except DeviceError as error:
                    _log.warning("VNodes not swept", reservation=reservation_id, reason=str(error))
                    done = False
        return done

    def rules(self, placement: Placement) -> tuple[str, ...]:
        """What is made, one readable line each."""
        mapped = Mapped.from_json(placement.detail)
        vnodes = lines_of(mapped)
        try:
            along = rules_of(mapped, self.fabric.wiring)
        except DeviceError as error:
            return (*vnodes, str(error))
        vlinks = [f"{node}: {rule}" for node, rules in along.items() for rule in rules]
        return (*vnodes, *vlinks)

    async def conditions(self, mapped: Mapped) -> Mapping[str, Condition]:
        """What each VNode of it is doing; GONE where it has not been made."""
        names = [VNodeName(mapped.reservation_id, vnode.id) for vnode in mapped.vnodes]
        found = await asyncio.gather(*(self._condition(name) for name in names))
        return {name.vnode: condition for name, condition in zip(names, found, strict=True)}

    async def cycle(self, mapped: Mapped, vnode: str) -> None:
        """Power-cycles one. Raises DeviceError."""
        name = VNodeName(mapped.reservation_id, vnode)
        async with self._turns.turn(mapped.reservation_id):
            host = self._host_of(name)
            await self.hosts.plugin(host).cycle(host, name)

    async def console(self, name: VNodeName) -> Console:
        """Opens the console of a VNode, wherever it runs. Raises DeviceError."""
        host = self._host_of(name)
        return await self.hosts.plugin(host).console(host, name)

    def carries(self, host: str) -> bool:
        """Whether VNodes can be carried to and from a host. Raises DeviceError."""
        return isinstance(self.hosts.plugin(host), CarryingPlugin)

    def carries_live(self, host: str) -> bool:
        """Whether that goes with what they have in memory. Raises DeviceError."""
        return isinstance(self.hosts.plugin(host), LiveCarryingPlugin)

    async def look(self) -> None:
        """Finds out what hosts have from before, of those that answer within LOOK_S."""

        async def one(host: str) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_at(host)

        await asyncio.gather(*map(one, sorted(self._unseen)))

    def whereabouts(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        """The hosts of those that were seen on any."""
        return {name: self._at[name] for name in names if name in self._at}

    async def is_there(self, name: VNodeName) -> bool:
        """Whether a VNode is on its host, all of it. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            await self._look()
        host = self._at.get(name)
        if host is None:
            if self._unseen:
                unseen = ", ".join(sorted(self._unseen))
                raise DeviceError(f"{name} may be on hosts that do not answer: {unseen}")
            return False
        condition = await self.hosts.plugin(host).condition(host, name)
        return condition.state is not PowerState.GONE

    async def has_arrived(self, name: VNodeName) -> bool:
        """Whether a VNode is there that was brought, and not one that was made here in its stead,
        as by a provider that did not remember that it is awaited. Raises DeviceError."""
        return await self.is_there(name) and name not in self._blank

    async def export(self, name: VNodeName) -> Carried:
        """Stops a VNode, and what it has then. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            host = self._host_of(name)
            plugin = self._carrying(host)
            await plugin.stop(host, name)
            return await plugin.export(host, name)

    async def import_(self, mapped: Mapped, vnode: MappedVNode, carried: Carried) -> None:
        """Makes a VNode that is awaited of what was exported, and leaves it stopped.

        Raises DeviceError.
        """
        spec, plugin = spec_of(mapped, vnode), self._carrying(vnode.host)
        # Without its turn: it may take long, and until it is there nobody touches it.
        await plugin.import_(vnode.host, spec, carried)
        await self._arrived(mapped, vnode, made=True)

    async def copy(self, name: VNodeName, since: str, *, pause: bool) -> Copy:
        """What a VNode has as it runs, or as it is paused from now on. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            host = self._host_of(name)
            plugin = self._live(host)
            if pause:
                await plugin.pause(host, name)
            return await plugin.copy(host, name, since)

    async def resume(self, name: VNodeName) -> None:
        """Lets a VNode go on that was paused, if it is there. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            host = self._at.get(name)
            if host is not None:
                await self.hosts.plugin(host).start(host, name)

    async def kept(self, host: str, name: VNodeName) -> str:
        """The mark of the copy that is kept for a VNode that is awaited. Raises DeviceError."""
        return await self._live(host).kept(host, name)

    async def keep(self, mapped: Mapped, vnode: MappedVNode, copy: Copy, *, make: bool) -> None:
        """Keeps a copy for a VNode that is awaited; the last one makes it, paused or stopped.

        Raises DeviceError.
        """
        spec, plugin = spec_of(mapped, vnode), self._live(vnode.host)
        await plugin.keep(vnode.host, spec, copy)
        if make:
            await plugin.make(vnode.host, spec)
        await self._arrived(mapped, vnode, made=make)

    async def prepare(self, soon: Iterable[Placement]) -> None:
        """Brings images to hosts, of what will begin, the soonest first."""
        places: list[Place] = [
            (vnode.host, vnode.image)
            for placement in soon
            for vnode in Mapped.from_json(placement.detail).vnodes
        ]
        await self.images.fill(places)

    async def _look(self) -> None:
        """Finds out what hosts have from before; of one that does not answer, next time."""
        for host in sorted(self._unseen):
            await self._look_at(host)

    async def _look_at(self, host: str) -> None:
        try:
            found = await self.hosts.plugin(host).found(host)
        except DeviceError as error:
            _log.warning("host not looked at", host=host, reason=str(error))
            return
        self._unseen.discard(host)
        for name in found:
            if self._at.setdefault(name, host) != host:
                self._also.setdefault(name, set()).add(host)

    def _is_new(self, mapped: Mapped, vnode: MappedVNode) -> bool:
        return VNodeName(mapped.reservation_id, vnode.id) not in self._at

    async def _make_all(self, mapped: Mapped, new: Sequence[MappedVNode]) -> None:
        """What is new comes first: if there is no room for it, nothing has moved; but where others
        are to make way for it, it comes with them."""
        try:
            await _all(self._make(mapped, vnode) for vnode in new)
        except DeviceError:
            claims = self._newest_first(mapped)
            if not {vnode.host for vnode in new} & left_by(mapped, claims, self._at):
                raise

    async def _make(self, mapped: Mapped, vnode: MappedVNode) -> None:
        spec = spec_of(mapped, vnode)
        self.images.used(vnode.host, vnode.image)
        plugin = self.hosts.plugin(vnode.host)
        # Noted first: whatever comes of it must be taken away.
        self._at[spec.name] = vnode.host
        if vnode.host not in self._unseen:
            self._blank.add(spec.name)
        await plugin.ensure(vnode.host, spec)

    async def _bring_all(self, mapped: Mapped, here: Iterable[MappedVNode]) -> None:
        """Where some must go before others have room, these come after them."""
        left, spared = list(here), False
        while left:
            work = (self._bring(mapped, vnode) for vnode in left)
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            both = list(zip(left, outcomes, strict=True))
            errors = [outcome for _, outcome in both if isinstance(outcome, BaseException)]
            final = [error for error in errors if not isinstance(error, DeviceError)]
            if final or (spared and len(errors) == len(left)):
                raise (final or errors)[0]
            if len(errors) == len(left):
                await _all(self._spare(mapped, vnode) for vnode in left)
                spared = True
            left = [vnode for vnode, outcome in both if outcome is not None]

    async def _spare(self, mapped: Mapped, vnode: MappedVNode) -> None:
        """Takes from one that is there and stays what it will not have: each of two on a full host
        may need what the other gives up."""
        least = least_of(spec_of(mapped, vnode), self._newest_first(mapped))
        condition = await self._condition(least.name)
        if self._at[least.name] == vnode.host and condition.state is not PowerState.GONE:
            with suppress(DeviceError):
                await self.hosts.plugin(vnode.host).ensure(vnode.host, least)

    async def _bring(self, mapped: Mapped, vnode: MappedVNode) -> None:
        """To its host, with what it has there."""
        spec = spec_of(mapped, vnode)
        source, target = self._at[spec.name], vnode.host
        there, here = self.hosts.plugin(source), self.hosts.plugin(target)
        if source != target:
            self._also.setdefault(spec.name, set()).add(target)
        if there is here:
            await here.migrate(source, target, spec)
        elif source != target:
            await here.ensure(target, spec)
            if vnode.id not in mapped.still:
                await here.start(target, spec.name)
        if source != target:
            self._also[spec.name].add(source)
        self._at[spec.name] = target
        for host in sorted(self._also.get(spec.name, set()) - {target}):
            await self.hosts.plugin(host).remove(host, spec.name)
        self._also.pop(spec.name, None)

    async def _switch(self, mapped: Mapped, vnode: MappedVNode) -> None:
        name = VNodeName(mapped.reservation_id, vnode.id)
        plugin = self.hosts.plugin(vnode.host)
        if vnode.id not in mapped.still:
            await plugin.start(vnode.host, name)
        elif vnode.id in mapped.keeps_memory and isinstance(plugin, LiveCarryingPlugin):
            await plugin.pause(vnode.host, name)
        else:
            await plugin.stop(vnode.host, name)

    async def _arrived(self, mapped: Mapped, vnode: MappedVNode, *, made: bool) -> None:
        """Notes where a VNode is, or takes away what has come for one that nobody wants now."""
        name, host = VNodeName(mapped.reservation_id, vnode.id), vnode.host
        async with self._turns.turn(mapped.reservation_id):
            if not any(claim.vnode(vnode.id) for claim in self._newest_first(mapped)):
                await self.hosts.plugin(host).remove(host, name)
                raise DeviceError(f"{name} was given back while it was imported")
            if made:
                self._blank.discard(name)
            if made and self._at.setdefault(name, host) != host:
                self._also.setdefault(name, set()).add(self._at[name])
                self._at[name] = host

    async def _drop(self, mapped: Mapped) -> None:
        """What is in ``mapped`` and no placement has."""
        claims = self._newest_first(mapped)
        kept = {vnode.id for claim in claims for vnode in claim.vnodes}
        await self.fabric.arrange(mapped.reservation_id, claims, mapped)
        await _all(self._remove(mapped, vnode) for vnode in mapped.vnodes if vnode.id not in kept)

    async def _sweep_one(
        self,
        reservation_id: str,
        found: Iterable[tuple[str, VNodeName]],
        kept: Collection[str] | None,
    ) -> None:
        if kept is None:
            return
        claims = [*self._claims.get(reservation_id, {}).values()][::-1]
        mine = {vnode.id for claim in claims for vnode in claim.vnodes} | set(kept)
        over = [(host, name) for host, name in found if name.vnode not in mine]
        # What is to stay and is not provisioned in this life yet keeps its VLinks until then.
        if over and (claims or not mine):
            await self.fabric.sweep(reservation_id, claims)
        for host, name in over:
            _log.warning("VNode swept away", host=host, vnode=str(name))
            await self.hosts.plugin(host).remove(host, name)
            self._forget(name)

    def _forget(self, name: VNodeName) -> None:
        self._at.pop(name, None)
        self._also.pop(name, None)
        self._blank.discard(name)

    def _newest_first(self, mapped: Mapped) -> list[Mapped]:
        return [*self._claims.get(mapped.reservation_id, {}).values()][::-1]

    async def _remove(self, mapped: Mapped, vnode: MappedVNode) -> None:
        """Where it is, and where it should have been: a host may not have been looked at."""
        name = VNodeName(mapped.reservation_id, vnode.id)
        also = self._also.get(name, set())
        for host in sorted({vnode.host, self._at.get(name, vnode.host), *also}):
            await self.hosts.plugin(host).remove(host, name)
        self._forget(name)

    async def _condition(self, name: VNodeName) -> Condition:
        host = self._at.get(name)
        if host is None:
            return Condition(PowerState.GONE)
        try:
            return await self.hosts.plugin(host).condition(host, name)
        except DeviceError as error:
            return Condition(PowerState.FAILED, str(error))

    def _carrying(self, host: str) -> CarryingPlugin:
        plugin = self.hosts.plugin(host)
        if not isinstance(plugin, CarryingPlugin):
            raise NeverError("VNodes on its host cannot be carried")
        return plugin

    def _live(self, host: str) -> LiveCarryingPlugin:
        plugin = self.hosts.plugin(host)
        if not isinstance(plugin, LiveCarryingPlugin):
            raise NeverError("VNodes on its host cannot be carried as they run")
        return plugin

    def _host_of(self, name: VNodeName) -> str:
        if name not in self._at:
            raise DeviceError(f"{name} has not been made")
        return self._at[name]


def open_embedder(
    hosts: Iterable[HostSpec],
    switches: Mapping[str, str],
    wiring: Wiring,
    settings: HostingSettings,
    clock: Clock | None = None,
) -> Embedder:
    """``switches``: their attributes by name. Raises SettingsError."""
    known = Hosts(hosts, settings.plugins, clock)
    nodes = {name: spec.attribute for name, spec in known.specs.items()} | dict(switches)
    fabric = Fabric(open_switches(nodes, settings.switches), wiring)
    return Embedder(known, fabric, settings.images_max)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Does all of it side by side, and raises the first mistake once all has ended."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
