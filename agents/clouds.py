"""CloudNets that are committed here: their power, consoles, and moves inside the provider.

What a user or an operator wants of one is part of its record: it is written before it is done, so
that a restart finds it (paper 002, sections 4.2 and 5.5). A move holds the new place beside the old
one until it is written; from then on the devices follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol, cast

import structlog
from grpc import StatusCode

from agents.backends.base import CloudBackend, DeviceError, Free, Partial, Placement
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.images import Images
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import Condition, Console, PowerState, VNodeName
from agents.book import Book
from agents.carrying import Carrying, explained, must_be_here, must_stay
from agents.imaging import Imaging
from agents.in_force import in_force
from agents.parts import Parts
from agents.remaps import Remaps, Spawn, no
from agents.tasks import outliving
from agents.values import Key, Record
from cloudnets.freeing import Freed, Move, Tenant, bytes_of, moved, plan_freeing
from cloudnets.mapped import Mapped
from cloudnets.partials import Refused
from cloudnets.underlay import Underlay
from protocol.messages import ReservationPrep
from protocol.participant import PartState
from runtime.apart import Apart
from runtime.errors import RequestError, invalid
from substrate.model import DataPlaneState, Refusal
from substrate.values import dataclass, replace

_log = structlog.get_logger(__name__)

_STATES = {PowerState.GONE: "not made yet"}
"""What is said of a VNode that does not run, where that is not the word for its state."""


class Hosting(CloudBackend, Protocol):
    """A cloud backend whose hosts are its own."""

    embedder: Embedder
    underlay: Underlay
    cloud_stp: str
    hosting: HostingSettings
    apart: Apart


@dataclass(frozen=True, slots=True)
class Shown:
    """A CloudNet here, and what each VNode is doing."""

    mapped: Mapped
    conditions: Mapping[str, Condition]


class Clouds:
    """What is asked of CloudNets at one provider. All methods raise RequestError."""

    def __init__(self, parts: Parts, backend: Hosting, spawn: Spawn) -> None:
        self._parts, self._backend, self._spawn = parts, backend, spawn
        self._remaps = Remaps(parts, spawn)
        self.carrying = Carrying(parts, backend.embedder, self._remaps, spawn)
        self.imaging = Imaging(parts, backend.embedder, backend.hosting.prepare_ahead_s)

    @property
    def images(self) -> Images:
        """Those that are on hosts before they are needed."""
        return self._backend.embedder.images

    @property
    def rebalance_ms(self) -> int:
        """How often :meth:`rebalance` is due."""
        return self._backend.hosting.rebalance_s * 1000

    def stop(self) -> None:
        """Waits for nothing more."""
        self._remaps.stop()
        self.imaging.stop()

    async def sweep(self) -> bool:
        """Takes away VNodes that no live part has; only after recovery nobody else knows of any.

        False: it must be tried again.
        """
        return await self._backend.embedder.sweep(self._kept)

    async def show(self, reservation_id: str) -> Shown:
        """What is known of it now; one that has not begun is only defined."""
        record = self._committed(reservation_id)
        mapped = self._mapped(record)
        return Shown(mapped, explained(mapped, await self._backend.embedder.conditions(mapped)))

    async def switch(self, reservation_id: str, vnodes: Sequence[str], *, off: bool) -> None:
        """Stops VNodes, or starts them; none named: all. Durable.

        What is being carried away and is started is at home again.
        """
        record = self._in_force(reservation_id)
        names = self._named(record, vnodes)
        must_be_here(self._mapped(record), vnodes)
        live = [part.key for part in self._parts.records.parts_of(reservation_id) if part.live]
        for key in sorted(live, key=lambda key: key != record.key):
            await outliving(self._spawn(self._switch_part(key, names, off=off)))
        await self._carried_out(record)

    async def cycle(self, reservation_id: str, vnodes: Sequence[str]) -> None:
        """Power-cycles VNodes that their user has not stopped; none named: all of these."""
        record = self._in_force(reservation_id)
        mapped = self._mapped(record)
        names = [n for n in self._named(record, vnodes) if vnodes or n not in mapped.still]
        must_stay(mapped, vnodes)
        for name in names:
            if name in mapped.off:
                possible = "VNodes that were not stopped: start it"
                raise RequestError(StatusCode.FAILED_PRECONDITION, "vnodes", name, possible)
        embedder = self._backend.embedder
        work = asyncio.gather(*(embedder.cycle(mapped, name) for name in names))
        try:
            await asyncio.shield(work)
        except DeviceError as error:
            raise _unavailable("vnodes", ", ".join(names), str(error)) from error

    async def console(self, reservation_id: str, vnode: str) -> Console:
        """Opens the console of a VNode that runs."""
        record = self._in_force(reservation_id)
        self._named(record, [vnode])
        embedder = self._backend.embedder
        try:
            return await embedder.console(VNodeName(reservation_id, vnode))
        except DeviceError as error:
            # Users hear of no hosts; the log is the operator's.
            _log.info("no console", reservation=reservation_id, vnode=vnode, reason=str(error))
            state = (await embedder.conditions(self._mapped(record)))[vnode].state
            if state is PowerState.RUNNING:
                raise _unavailable("vnode", vnode, "its console cannot be opened") from error
            possible = f"one that runs: it is {_STATES.get(state, state.value)}"
            code = StatusCode.FAILED_PRECONDITION
            raise RequestError(code, "vnode", vnode, possible) from error

    async def migrate(self, reservation_id: str, vnode: str, host: str) -> tuple[Move, ...]:
        """Moves one VNode to a host; the others stay, their VLinks may take other ways.

        Nothing moves that is to be there already.
        """
        record = self._in_force(reservation_id)
        self._named(record, [vnode])
        if host not in self._backend.underlay.hosts:
            possible = ", ".join(sorted(self._backend.underlay.hosts)[:20])
            raise RequestError(StatusCode.NOT_FOUND, "host", host, f"such as {possible}")
        mapped = self._mapped(record)
        before = mapped.vnode(vnode)
        assert before is not None
        must_stay(mapped, [vnode])
        if before.host == host:
            await self._carried_out(record)
            return ()
        move = Move(reservation_id, vnode, before.host, host, bytes_of(mapped, vnode))
        refusal = await outliving(self._spawn(self._move(record.key, {vnode: host})))
        if refusal is not None:
            why = refusal.inside or refusal.reason
            raise RequestError(
                StatusCode.FAILED_PRECONDITION, "host", host, f"a host with room: {why}"
            )
        await self._carried_out(record)
        return (move,)

    async def what_if(self, share: float) -> Freed:
        """What it would take to free that share of hosts, as far as all that is known ahead."""
        if not 0 < share < 1:
            raise invalid("free_share", share, "above 0 and below 1")
        backend, tenants = self._backend, self._tenants()
        try:
            return await backend.apart(
                partial(plan_freeing, backend.underlay, tenants, backend.cloud_stp, share)
            )
        except Refused as error:
            # An orchestrator passes the answer on to users; the log is the operator's.
            _log.warning("hosts cannot be freed", reason=str(error))
            possible = f"nothing now: {error.refusal.reason}"
            code = StatusCode.FAILED_PRECONDITION
            raise RequestError(code, "free_share", share, possible) from error

    async def free(self, share: float) -> Freed:
        """Does what :meth:`what_if` answers now, CloudNet by CloudNet: each moves whole or not.

        Those moves and hosts are told with which it was done: others may have taken the room
        meanwhile.
        """
        return await self._done(await self.what_if(share))

    async def rebalance(self) -> tuple[Move, ...]:
        """Frees by itself what it should, if that is worth what it costs and no device is busy."""
        wanted = self._backend.hosting
        if not wanted.free_share or self._parts.provisioner.busy():
            return ()
        planned = await self.what_if(wanted.free_share)
        if not planned.emptied or planned.cost_bytes > wanted.free_bytes_max * planned.emptied:
            return ()
        _log.info("freeing hosts", hosts=planned.hosts, moves=len(planned.moves))
        return (await self._done(planned)).moves

    async def _done(self, planned: Freed) -> Freed:
        """Carries it out, as far as that is possible now."""
        targets = dict(planned.targets())
        done: set[str] = set()
        while targets:
            moving = [r for r in targets if await self._moved_whole(r, targets[r])]
            if not moving:
                break
            # What had no room may have it now that others have moved.
            done |= set(moving)
            targets = {r: some for r, some in targets.items() if r not in done}
        for reservation_id in sorted(done):
            await self._parts.provisioner.settled(reservation_id)
        moves = tuple(move for move in planned.moves if move.reservation_id in done)
        taken = {move.source for move in planned.moves if move.reservation_id not in done}
        hosts = tuple(host for host in planned.hosts if host not in taken)
        return replace(planned, moves=moves, hosts=hosts)

    async def _moved_whole(self, reservation_id: str, targets: Mapping[str, str]) -> bool:
        record = _current(self._parts.records.parts_of(reservation_id), self._now_s())
        if record is None:
            return False
        return await outliving(self._spawn(self._move(record.key, targets))) is None

    async def _move(self, key: Key, targets: Mapping[str, str]) -> Refusal | None:
        def place(record: Record, prep: ReservationPrep, free: Free) -> Placement | Refusal:
            mapped = moved(self._mapped(record), targets)
            wanted = replace(self._placement(record), detail=mapped.to_json())
            found = self._backend.place_graph(_partial(prep, wanted), free)
            if isinstance(found, Refusal):
                return found
            placed = {v.id: v.host for v in Mapped.from_json(found.detail).vnodes}
            elsewhere = [v.id for v in mapped.vnodes if placed.get(v.id) != v.host]
            if elsewhere:
                reason = f"there is none for {', '.join(elsewhere)} while the others stay"
                return no(reason)
            return found

        return await self._remaps.remap(key, place)

    async def _switch_part(self, key: Key, names: Sequence[str], *, off: bool) -> None:
        def place(record: Record, prep: ReservationPrep, free: Free) -> Placement | Refusal:
            placement, mapped = self._placement(record), self._mapped(record)
            mine = [name for name in names if mapped.vnode(name) is not None]
            after = mapped.switched(mine, off=off)
            after = after if off else after.staying(mine)
            return replace(placement, detail=after.to_json())

        refusal = await self._remaps.remap(key, place)
        if refusal is not None:
            raise _unavailable("reservation_id", "/".join(key), refusal.reason)

    async def _carried_out(self, record: Record) -> None:
        """Waits until the devices are as the record says."""
        prep = record.part.prep
        assert prep is not None
        await self._parts.provisioner.settled(prep.reservation_id)
        now = self._parts.records.get(record.key)
        if now is not None and now.data_plane.state is DataPlaneState.FAILED:
            raise _unavailable("reservation_id", prep.reservation_id, now.data_plane.reason)

    def _kept(self, reservation_id: str) -> set[str] | None:
        """The VNodes of all live parts of a reservation; None while it is not known which are."""
        if self._parts.rules.recovering:
            return None
        records = self._parts.records.parts_of(reservation_id)
        mine = [record for record in records if record.live and record.has_vnodes]
        return {vnode.id for record in mine for vnode in self._mapped(record).vnodes}

    def _tenants(self) -> list[Tenant]:
        """All parts that hold VNodes now or will. What is being decided on must stay."""
        records, now_s = self._parts.records, self._now_s()
        keys = list(records.live_keys())
        found = []
        for reservation_id in dict.fromkeys(_reservation(records.get(key)) for key in keys):
            mine = [part for part in records.parts_of(reservation_id) if part.live]
            current = _current(mine, now_s)
            for part in mine:
                prep = part.part.prep
                if prep is not None and prep.graph and prep.window.end_s > now_s:
                    mapped = self._mapped(part)
                    carried = mapped.awaits or mapped.leaves
                    fixed = len(mine) > 1 or part is not current or bool(carried)
                    found.append(Tenant(mapped, prep.segments, fixed))
        return found

    def _committed(self, reservation_id: str) -> Record:
        """The part in force now, or the one that will be."""
        records = self._parts.records.parts_of(reservation_id)
        if not any(record.has_vnodes for record in records):
            possible = f"a CloudNet with VNodes at {self._parts.book.domain.name}"
            raise RequestError(StatusCode.NOT_FOUND, "reservation_id", reservation_id, possible)
        record = _current(records, self._now_s())
        if record is None:
            possible = "one that is committed, and not over"
            raise RequestError(
                StatusCode.FAILED_PRECONDITION, "reservation_id", reservation_id, possible
            )
        return record

    def _in_force(self, reservation_id: str) -> Record:
        record = self._committed(reservation_id)
        prep = record.part.prep
        assert prep is not None
        if in_force(self._parts.records.parts_of(reservation_id), self._now_s()) is None:
            left_s = prep.window.start_s - self._now_s()
            raise RequestError(
                StatusCode.FAILED_PRECONDITION,
                "reservation_id",
                reservation_id,
                f"one whose window has begun; this one begins in {left_s} s",
                retry_after_s=float(left_s),
            )
        return record

    def _named(self, record: Record, vnodes: Sequence[str]) -> list[str]:
        known = [vnode.id for vnode in self._mapped(record).vnodes]
        for name in vnodes:
            if name not in known:
                possible = ", ".join(known)
                raise RequestError(StatusCode.NOT_FOUND, "vnode", name, possible)
        return list(dict.fromkeys(vnodes)) or known

    def _placement(self, record: Record) -> Placement:
        return self._parts.book.placement(record.part.mapping)

    def _mapped(self, record: Record) -> Mapped:
        return Mapped.from_json(self._placement(record).detail)

    def _now_s(self) -> int:
        return self._parts.clock.now_ms() // 1000


def hosting(book: Book) -> Hosting | None:
    """The backend, of a domain that runs VNodes on hosts of its own."""
    has_hosts = isinstance(getattr(book.backend, "embedder", None), Embedder)
    return cast(Hosting, book.backend) if book.cloud is not None and has_hosts else None


def _current(records: Sequence[Record], now_s: int) -> Record | None:
    """The committed part with VNodes that is in force, or will be next."""
    now = in_force(records, now_s)
    if now is not None:
        return now if now.has_vnodes else None
    coming = [
        record
        for record in records
        if record.has_vnodes
        and record.part.state is PartState.COMMITTED
        and record.part.prep is not None
        and record.part.prep.window.start_s > now_s
    ]
    return max(coming, key=lambda r: r.part.prep.version if r.part.prep else 0, default=None)


def _partial(prep: ReservationPrep, present: Placement) -> Partial:
    part = prep.reservation_id, prep.version
    return Partial(*part, prep.graph, prep.segments, prep.window, present)


def _reservation(record: Record | None) -> str:
    prep = record.part.prep if record is not None else None
    return prep.reservation_id if prep is not None else ""


def _unavailable(field: str, given: str, reason: str) -> RequestError:
    return RequestError(StatusCode.UNAVAILABLE, field, given, f"nothing now: {reason}", 5.0)
