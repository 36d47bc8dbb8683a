"""The embedding component of a provider: what placements say is made so (paper 002, section 5.5).

Several placements of one reservation may be provisioned at once: while it is modified, the new
version is made before the old one is taken away. What both have on one host keeps running; what
runs on another host moves there. The last one provisioned says where things are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
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
    NoRoomError,
    PowerState,
    VNodeName,
    VNodeSpec,
)
from agents.backends.hosts.specs import left_by, less_of, lines_of, name_of, spec_of
from agents.backends.hosts.whereabouts import Whereabouts
from agents.turns import Turns
from cloudnets.mapped import Mapped, MappedVNode
from runtime.clock import Clock
from substrate.values import replace

_log = structlog.get_logger(__name__)


class Embedder:
    """Makes, moves and removes VNodes and VLinks. All methods belong to one event loop."""

    def __init__(self, hosts: Hosts, fabric: Fabric, images_max: int = 100) -> None:
        self.hosts, self.fabric = hosts, fabric
        self.images = Images(hosts, images_max)
        self._turns = Turns()
        # Per reservation its placements by key, the last one provisioned last.
        self._claims: dict[str, dict[str, Mapped]] = {}
        self._seen = Whereabouts(hosts)

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
            await self._seen.look()
            new = [vnode for vnode in mapped.vnodes if self._seen.is_new(name_of(mapped, vnode))]
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
            await self._seen.look()
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
        names = [name_of(mapped, vnode) for vnode in mapped.vnodes]
        found = await asyncio.gather(*(self._seen.condition(name) for name in names))
        return {name.vnode: condition for name, condition in zip(names, found, strict=True)}

    async def cycle(self, mapped: Mapped, vnode: str) -> None:
        """Power-cycles one. Raises DeviceError."""
        name = VNodeName(mapped.reservation_id, vnode)
        async with self._turns.turn(mapped.reservation_id):
            host = self._seen.host_of(name)
            await self.hosts.plugin(host).cycle(host, name)

    async def console(self, name: VNodeName) -> Console:
        """Opens the console of a VNode, wherever it runs. Raises DeviceError."""
        host = self._seen.host_of(name)
        return await self.hosts.plugin(host).console(host, name)

    def carries(self, host: str) -> bool:
        """Whether VNodes can be carried to and from a host. Raises DeviceError."""
        return isinstance(self.hosts.plugin(host), CarryingPlugin)

    def carries_live(self, host: str) -> bool:
        """Whether that goes with what they have in memory. Raises DeviceError."""
        return isinstance(self.hosts.plugin(host), LiveCarryingPlugin)

    async def look(self) -> None:
        """Finds out what hosts have from before, of those that answer soon."""
        await self._seen.look_soon()

    def whereabouts(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        """The hosts of those that were seen on any."""
        return self._seen.of(names)

    async def is_there(self, name: VNodeName) -> bool:
        """Whether a VNode is on its host, all of it. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            await self._seen.look()
        host = self._seen.at.get(name)
        if host is None:
            if self._seen.unseen:
                unseen = ", ".join(sorted(self._seen.unseen))
                raise DeviceError(f"{name} may be on hosts that do not answer: {unseen}")
            return False
        condition = await self.hosts.plugin(host).condition(host, name)
        return condition.state is not PowerState.GONE

    async def has_arrived(self, name: VNodeName) -> bool:
        """Whether a VNode is there that was brought, and not one that was made here in its stead,
        as by a provider that did not remember that it is awaited. Raises DeviceError."""
        return await self.is_there(name) and name not in self._seen.blank

    async def export(self, name: VNodeName) -> Carried:
        """Stops a VNode, and what it has then. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            host = self._seen.host_of(name)
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
            host = self._seen.host_of(name)
            plugin = self._live(host)
            if pause:
                await plugin.pause(host, name)
            return await plugin.copy(host, name, since)

    async def resume(self, name: VNodeName) -> None:
        """Lets a VNode go on that was paused, if it is there. Raises DeviceError."""
        async with self._turns.turn(name.reservation_id):
            host = self._seen.at.get(name)
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

    async def _make_all(self, mapped: Mapped, new: Sequence[MappedVNode]) -> None:
        """What is new comes first: if there is no room for it, nothing has moved; but where others
        make way for it on its host, it comes with them."""
        work = (self._make(mapped, vnode) for vnode in new)
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        at = self._seen.made(name_of(mapped, vnode) for vnode in mapped.vnodes)
        makes_way = left_by(mapped, self._newest_first(mapped), at) - self._stood_by(mapped)
        for vnode, outcome in zip(new, outcomes, strict=True):
            if isinstance(outcome, NoRoomError) and vnode.host in makes_way:
                continue
            if isinstance(outcome, BaseException):
                raise outcome

    async def _make(self, mapped: Mapped, vnode: MappedVNode) -> None:
        spec = spec_of(mapped, vnode)
        self.images.used(vnode.host, vnode.image)
        plugin = self.hosts.plugin(vnode.host)
        self._seen.makes(spec.name, vnode.host)
        await plugin.ensure(vnode.host, spec)
        self._seen.is_as(spec)

    def _stood_by(self, mapped: Mapped) -> set[str]:
        """Hosts with VNodes that ``mapped`` does without and another version has: until that is
        released they make no way."""
        claims = self._newest_first(mapped)
        names = {name_of(mapped, vnode) for claim in claims for vnode in claim.vnodes}
        names.difference_update(name_of(mapped, vnode) for vnode in mapped.vnodes)
        return set(self._seen.made(names).values())

    async def _bring_all(self, mapped: Mapped, here: Iterable[MappedVNode]) -> None:
        """Where some must go before others have room, these come after them."""
        left, spared = list(here), False
        took: list[VNodeSpec] = []
        while left:
            work = (self._bring(mapped, vnode) for vnode in left)
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            both = list(zip(left, outcomes, strict=True))
            errors = [outcome for _, outcome in both if isinstance(outcome, BaseException)]
            left = [vnode for vnode, outcome in both if outcome is not None]
            final = [error for error in errors if not isinstance(error, DeviceError)]
            if len(errors) < len(both) and not final:
                continue
            if not spared and not final and any(isinstance(e, NoRoomError) for e in errors):
                spared, took = True, await self._spare(mapped, left)
                if took:
                    continue
            await self._give_back(took, left)
            raise (final or errors)[0]

    async def _spare(self, mapped: Mapped, left: Sequence[MappedVNode]) -> list[VNodeSpec]:
        """Takes from those that stay what they will not have, where others wait for room: each of
        two on a full host may need what the other gives up. As what these were before."""
        before = []
        crowded = Counter(vnode.host for vnode in left)
        for vnode in left:
            had = self._had(mapped, vnode)
            if crowded[vnode.host] < 2 or had is None or vnode.host in self._stood_by(mapped):
                continue
            less = less_of(had, vnode)
            if less != had and await self._seen.is_whole(had.name):
                before.append(had)
                with suppress(DeviceError):
                    await self.hosts.plugin(vnode.host).ensure(vnode.host, less)
                    self._seen.is_as(less)
        return before

    async def _give_back(self, took: Iterable[VNodeSpec], left: Iterable[MappedVNode]) -> None:
        """Sets those of them that are ``left`` to what they were before."""
        over = {vnode.id for vnode in left}
        for had in took:
            if had.name.vnode in over:
                host = self._seen.host_of(had.name)
                with suppress(DeviceError):
                    await self.hosts.plugin(host).ensure(host, had)
                    self._seen.is_as(had)

    def _had(self, mapped: Mapped, vnode: MappedVNode) -> VNodeSpec | None:
        """As what a VNode is there that stays: as it was made last or, where an earlier life did
        that, as the version before says. None: it does not stay, or none says."""
        name = name_of(mapped, vnode)
        if self._seen.at.get(name) != vnode.host or name in self._seen.unmade:
            return None
        if name in self._seen.has:
            return self._seen.has[name]
        for claim in self._newest_first(mapped)[1:]:
            known = claim.vnode(vnode.id)
            if known is not None:
                disk_bytes = max(known.disk_bytes, vnode.disk_bytes)
                return replace(spec_of(claim, known), disk_bytes=disk_bytes)
        return None

    async def _bring(self, mapped: Mapped, vnode: MappedVNode) -> None:
        """To its host, with what it has there."""
        spec = spec_of(mapped, vnode)
        source, target = self._seen.at[spec.name], vnode.host
        there, here = self.hosts.plugin(source), self.hosts.plugin(target)
        also = self._seen.also
        if source != target:
            also.setdefault(spec.name, set()).add(target)
        if there is here:
            await here.migrate(source, target, spec)
        elif source != target:
            await here.ensure(target, spec)
            if vnode.id not in mapped.still:
                await here.start(target, spec.name)
        if source != target:
            also[spec.name].add(source)
        self._seen.at[spec.name] = target
        self._seen.is_as(spec)
        for host in sorted(also.get(spec.name, set()) - {target}):
            await self.hosts.plugin(host).remove(host, spec.name)
        also.pop(spec.name, None)

    async def _switch(self, mapped: Mapped, vnode: MappedVNode) -> None:
        name = name_of(mapped, vnode)
        plugin = self.hosts.plugin(vnode.host)
        if vnode.id not in mapped.still:
            await plugin.start(vnode.host, name)
        elif vnode.id in mapped.keeps_memory and isinstance(plugin, LiveCarryingPlugin):
            await plugin.pause(vnode.host, name)
        else:
            await plugin.stop(vnode.host, name)

    async def _arrived(self, mapped: Mapped, vnode: MappedVNode, *, made: bool) -> None:
        """Notes where a VNode is, or takes away what has come for one that nobody wants now."""
        name, host = name_of(mapped, vnode), vnode.host
        async with self._turns.turn(mapped.reservation_id):
            if not any(claim.vnode(vnode.id) for claim in self._newest_first(mapped)):
                await self.hosts.plugin(host).remove(host, name)
                raise DeviceError(f"{name} was given back while it was imported")
            if made:
                self._seen.came(name, host)

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
            self._seen.forget(name)

    def _newest_first(self, mapped: Mapped) -> list[Mapped]:
        return [*self._claims.get(mapped.reservation_id, {}).values()][::-1]

    async def _remove(self, mapped: Mapped, vnode: MappedVNode) -> None:
        """Where it is, and where it should have been: a host may not have been looked at."""
        name = name_of(mapped, vnode)
        also = self._seen.also.get(name, set())
        for host in sorted({vnode.host, self._seen.at.get(name, vnode.host), *also}):
            await self.hosts.plugin(host).remove(host, name)
        self._seen.forget(name)

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
