"""VNodes that are carried to another provider, or from one: this provider's side.

What they have goes through the orchestrator: providers do not know one another. The source keeps
a VNode stopped or paused from its export on, copies ahead of that excepted; the destination holds
it unmade until all of it has come, and as still until it may begin
(docs/decisions/0026-carried-vnodes.md). All may be asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from grpc import StatusCode

from agents.backends.base import DeviceError, Free, Placement
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.port import (
    Carried,
    Condition,
    Copy,
    NeverError,
    PowerState,
    VNodeName,
)
from agents.in_force import version_of
from agents.parts import Parts
from agents.remaps import Remaps, Spawn
from agents.tasks import outliving
from agents.values import Record
from cloudnets.mapped import Mapped, MappedVNode
from protocol.messages import ReservationPrep
from protocol.participant import PartState
from runtime.errors import RequestError
from substrate.model import DataPlaneState, Refusal
from substrate.values import dataclass, replace

T = TypeVar("T")
AGAIN_S = 1.0
NOT_THERE = "one that is there: nothing of it is on its host"
AWAITED = "it is being carried here from another provider"
LEAVING = "it is being carried to another provider"


@dataclass(frozen=True, slots=True)
class Exported:
    """What a VNode has, and whether its user has stopped it. ``still_ms``: for how long it had
    stood still before, None: it ran. ``mark``, ``since`` and ``memory``: of a :class:`Copy`."""

    carried: Carried
    off: bool
    still_ms: int | None = None
    mark: str = ""
    since: str = ""
    memory: bool = False


class Carrying:
    """All of one provider. All methods raise RequestError: FAILED_PRECONDITION and NOT_FOUND for
    what will not be possible, DATA_LOSS where hosts have nothing of a VNode any more, UNAVAILABLE
    for what may be later."""

    def __init__(self, parts: Parts, embedder: Embedder, remaps: Remaps, spawn: Spawn) -> None:
        self._parts, self._embedder, self._remaps, self._spawn = parts, embedder, remaps, spawn

    async def export(self, reservation_id: str, vnode: str, errand: int = 0) -> Exported:
        """Stops a VNode durably, and tells what it has. Refuses what an earlier errand asks."""
        record, mapped, at = await self._there(reservation_id, vnode)
        if not self._embedder.carries(at.host):
            raise _never(vnode, "one on hosts of which VNodes can be carried away")
        now_ms = self._parts.clock.now_ms()
        await self._leaves(record, vnode, errand, now_ms, paused=False)
        name = VNodeName(reservation_id, vnode)
        carried = await self._tried(vnode, self._embedder.export(name))
        return Exported(carried, vnode in mapped.off, _stood_ms(mapped, vnode, now_ms))

    async def copy(
        self, reservation_id: str, vnode: str, since: str, errand: int = 0, *, last: bool
    ) -> Exported:
        """What a VNode has beyond the copy ``since``, as it runs; the ``last`` one pauses it,
        durably, and is refused to an earlier errand."""
        record, mapped, at = await self._there(reservation_id, vnode)
        if not self._embedder.carries_live(at.host):
            raise _never(vnode, "one on hosts of which VNodes can be carried as they run")
        if vnode in mapped.off and not last:
            raise _never(vnode, "one that runs: its user has stopped it")
        now_ms = self._parts.clock.now_ms()
        if last:
            await self._leaves(record, vnode, errand, now_ms, paused=True)
        name = VNodeName(reservation_id, vnode)
        copy = await self._tried(vnode, self._embedder.copy(name, since, pause=last))
        return Exported(
            Carried(copy.format, copy.data),
            vnode in mapped.off,
            _stood_ms(mapped, vnode, now_ms),
            copy.mark,
            copy.since,
            copy.memory,
        )

    async def _leaves(
        self, record: Record, vnode: str, errand: int, now_ms: int, *, paused: bool
    ) -> None:
        """That a VNode stands still from now on in a part that gives it away, and in such as an
        earlier errand has brought it for again: it leaves these, too, begin there who will."""
        for each in self._live(*VNodeName(_id_of(record), vnode)):
            brought = 0 < self._mapped(each).errand(vnode) < errand
            if each.key == record.key or (vnode in self._mapped(each).awaits and brought):
                await self._on_errand(
                    each, vnode, errand, lambda now: now.leaving(vnode, now_ms, paused=paused)
                )

    async def _on_errand(
        self, record: Record, vnode: str, errand: int, change: Callable[[Mapped], Mapped]
    ) -> None:
        """As :meth:`_remap`, unless a later errand has the VNode: then it is refused."""

        def change_now(now: Mapped) -> Mapped:
            return now if _is_late(now, vnode, errand) else change(now).on_errand(vnode, errand)

        await self._remap(record, change_now)
        after = self._parts.records.get(record.key)
        if after is not None and _is_late(self._mapped(after), vnode, errand):
            raise _late(vnode, errand, self._mapped(after))

    def may_come(self, reservation_id: str, vnode: str) -> tuple[Record, Mapped, MappedVNode]:
        """The part that awaits a VNode, and how that lies."""
        record = self._having(reservation_id, vnode)
        mapped = self._mapped(record)
        at = mapped.vnode(vnode)
        assert at is not None
        if vnode not in mapped.awaits:
            if self._is_to_be_awaited(reservation_id, vnode, version_of(record)):
                raise _later(vnode, "once it is committed here that it is awaited")
            raise _never(vnode, "one that is awaited: it has begun here")
        return record, mapped, at

    def _is_to_be_awaited(self, reservation_id: str, vnode: str, version: int) -> bool:
        """Whether a later version, which is only held, awaits a VNode: its COMMIT may be on its
        way."""
        return any(
            record.part.state is PartState.HELD and version_of(record) > version
            for record in self._parts.records.parts_of(reservation_id)
            if record.part.prep is not None and vnode in record.part.prep.awaits
        )

    async def comes(self, reservation_id: str, vnode: str, errand: int, *, last: bool) -> None:
        """That a VNode is about to be brought on an errand. With the ``last`` of it only this
        errand or a later one brings it from now on, durably: what an earlier one still pours in
        is of before its source was let run on."""
        record, mapped, _ = self.may_come(reservation_id, vnode)
        if last and errand:
            await self._on_errand(record, vnode, errand, lambda now: now)
        elif _is_late(mapped, vnode, errand):
            raise _late(vnode, errand, mapped)

    async def import_(
        self, reservation_id: str, vnode: str, exported: Exported, errand: int = 0
    ) -> None:
        """Makes a VNode that is awaited of what was exported, and leaves it stopped."""
        record, mapped, at = self.may_come(reservation_id, vnode)
        data = self._awaited(record, vnode, exported.carried, errand)
        carried = replace(exported.carried, data=data)
        await self._tried(vnode, self._embedder.import_(mapped, at, carried))
        await self._arrived(record, vnode, exported)

    async def must_fit(self, reservation_id: str, vnode: str) -> None:
        """That all that is to be beside a VNode that is awaited is there. What cannot be made next
        to the version that stands by, until all of this one runs, would be in its way for ever."""
        record, _, _ = self.may_come(reservation_id, vnode)
        # Before it is on the devices nobody there awaits anything.
        await self._parts.provisioner.settled(reservation_id)
        self._must_be_made(record, vnode)

    def _must_be_made(self, record: Record, vnode: str) -> None:
        """That the devices do not refuse what a part is to have, as it is now."""
        now = self._parts.records.get(record.key)
        if now is not None and now.data_plane.state is DataPlaneState.FAILED:
            raise _later(vnode, now.data_plane.reason)

    async def kept(self, reservation_id: str, vnode: str) -> str:
        """The mark of the copy that is kept here for a VNode that is awaited; empty: none."""
        _, _, at = self.may_come(reservation_id, vnode)
        if not self._embedder.carries_live(at.host):
            raise _never(
                vnode, "one that comes to hosts to which VNodes can be carried as they run"
            )
        name = VNodeName(reservation_id, vnode)
        return await self._tried(vnode, self._embedder.kept(at.host, name))

    async def keep(
        self, reservation_id: str, vnode: str, exported: Exported, errand: int = 0, *, last: bool
    ) -> None:
        """Keeps a copy for a VNode that is awaited; of the ``last`` one it is made, and waits."""
        record, mapped, at = self.may_come(reservation_id, vnode)
        copy = Copy(
            exported.carried.format,
            exported.mark,
            exported.since,
            exported.memory,
            self._awaited(record, vnode, exported.carried, errand),
        )
        await self._tried(vnode, self._embedder.keep(mapped, at, copy, make=last))
        if last:
            await self._arrived(record, vnode, exported)

    async def _arrived(self, record: Record, vnode: str, exported: Exported) -> None:
        def change(now: Mapped) -> Mapped:
            after = now.switched([vnode], off=exported.off)
            return after.pausing([vnode], paused=exported.memory)

        await self._remap(record, change)

    async def _there(self, reservation_id: str, vnode: str) -> tuple[Record, Mapped, MappedVNode]:
        """The part that is to give a VNode away, which is on its host."""
        # What has only just started may be about to make it.
        await self._parts.provisioner.settled(reservation_id)
        record, name = self._giving(reservation_id, vnode), VNodeName(reservation_id, vnode)
        mapped = self._mapped(record)
        at = mapped.vnode(vnode)
        assert at is not None
        if not await self._tried(vnode, self._embedder.is_there(name)):
            if self._is_to_come(record):
                raise _later(vnode, "once it has been made here, when its window has begun")
            raise RequestError(StatusCode.DATA_LOSS, "vnode", vnode, NOT_THERE)
        return record, mapped, at

    def _is_to_come(self, record: Record) -> bool:
        """Whether what a part has is yet to be made: its window has not begun, or just so. What a
        newer version leaves out is made no more. ``record``: as it was before anyone looked."""
        reservation_id = _id_of(record)
        committed = [
            version_of(each)
            for each in self._parts.records.parts_of(reservation_id)
            if each.part.state is PartState.COMMITTED
        ]
        coming = record.data_plane.state in (DataPlaneState.SCHEDULED, DataPlaneState.FAILED)
        return coming and version_of(record) >= max(committed, default=0)

    async def begin(
        self, reservation_id: str, vnodes: Sequence[str], *, begun: bool = False
    ) -> None:
        """Lets VNodes run that have arrived. ``begun``: they had begun here, which this provider
        may have forgotten; what its hosts have lost since then is made anew."""
        for vnode in vnodes:
            await self._begin_one(VNodeName(reservation_id, vnode), begun)

    async def _begin_one(self, name: VNodeName, begun: bool) -> None:
        records = self._live(*name)
        awaiting = self._awaiting(records, name)
        there = not awaiting or await self._tried(name.vnode, self._embedder.has_arrived(name))
        if not there and not begun:
            raise _never(name.vnode, "one that has arrived: nothing of it is here")
        if not begun and name.vnode in self._mapped(records[0]).awaits:
            await self._must_have_memory(self._mapped(records[0]), name)
        for record in awaiting:
            await self._remap(record, lambda now: now.begun([name.vnode]))
        known = {record.key for record in self._parts.records.parts_of(name.reservation_id)}
        if self._parts.book.keys(name.reservation_id) - known:
            raise _later(name.vnode, "once it is written what is asked for next")
        if self._awaiting(records, name):
            raise _later(name.vnode, "once it begins in what was asked for meanwhile, too")
        for record in awaiting or records[:1]:
            if not await self._runs(self._parts.records.get(record.key) or record, name):
                self._must_be_made(record, name.vnode)

    async def _runs(self, record: Record, name: VNodeName) -> bool:
        """Whether it runs where it is to, whatever else of the part cannot be made: what is in the
        way of that may be an older version that waits for this VNode."""
        mapped = self._mapped(record)
        found = (await self._embedder.conditions(mapped))[name.vnode]
        stopped = name.vnode in mapped.off and found.state is PowerState.STOPPED
        return name.vnode not in mapped.awaits and (found.state is PowerState.RUNNING or stopped)

    def _awaiting(self, committed: Sequence[Record], name: VNodeName) -> list[Record]:
        """The parts in which a VNode does not run yet, of the ``committed`` ones and such as only
        are held: these have the wait from them, unless they await it to be brought once more."""
        held = [
            record
            for record in self._parts.records.parts_of(name.reservation_id)
            if record.has_vnodes
            and record.part.state is PartState.HELD
            and record.part.prep is not None
            and name.vnode not in record.part.prep.awaits
        ]
        now = [self._parts.records.get(record.key) for record in (*committed, *held)]
        return [r for r in now if r is not None and r.live and name.vnode in self._mapped(r).awaits]

    async def _must_have_memory(self, mapped: Mapped, name: VNodeName) -> None:
        """That one that came with its memory has it still: else it would begin anew. One that runs
        had begun, which a provider that was restored does not know."""
        if name.vnode not in mapped.paused or name.vnode in mapped.off:
            return
        found = (await self._embedder.conditions(mapped))[name.vnode]
        if found.state not in (PowerState.PAUSED, PowerState.RUNNING):
            raise _never(name.vnode, "one that has arrived: what it had in memory is not here")

    async def put_back(self, reservation_id: str, vnodes: Sequence[str], errand: int = 0) -> None:
        """Lets VNodes run again that are not carried away after all; not for an earlier errand."""
        for vnode in vnodes:
            await self._put_one_back(VNodeName(reservation_id, vnode), errand)

    async def _put_one_back(self, name: VNodeName, errand: int) -> None:
        for record in self._live(*name):
            mapped = self._mapped(record)
            if name.vnode in mapped.leaves:
                await self._on_errand(
                    record, name.vnode, errand, lambda now: now.staying([name.vnode])
                )
            if name.vnode in set(mapped.leaves) & set(mapped.paused) - set(mapped.off):
                # A newer version without it may be in force until that is given back.
                await self._tried(name.vnode, self._embedder.resume(name))

    async def _awaited(
        self, record: Record, vnode: str, carried: Carried, errand: int
    ) -> AsyncIterator[bytes]:
        """What comes; at its end the VNode must be awaited still, not have begun meanwhile, and on
        no later errand."""
        async for piece in carried.data:
            yield piece
        now = self._parts.records.get(record.key)
        if now is None or not now.live or vnode not in self._mapped(now).awaits:
            raise NeverError("it is not awaited any more")
        if _is_late(self._mapped(now), vnode, errand):
            raise NeverError("a later errand brings it now")

    def _live(self, reservation_id: str, vnode: str) -> list[Record]:
        """The committed parts that have a VNode, the newest first; one at least."""
        if self._parts.rules.recovering:
            raise _later(vnode, "once the provider has found out what it holds")
        records = [
            record
            for record in self._parts.records.parts_of(reservation_id)
            if record.live and record.has_vnodes and self._mapped(record).vnode(vnode) is not None
        ]
        found = [record for record in records if record.part.state is PartState.COMMITTED]
        if records and not found:
            raise _later(vnode, "once it is committed here")
        if not found:
            name = self._parts.book.domain.name
            raise RequestError(StatusCode.NOT_FOUND, "vnode", vnode, f"one that is at {name}")
        return sorted(found, key=version_of, reverse=True)

    def _giving(self, reservation_id: str, vnode: str) -> Record:
        """The newest part in which it has begun; a newer one may await that it comes back. If it
        has in none, the newest."""
        records = self._live(reservation_id, vnode)
        begun = (each for each in records if vnode not in self._mapped(each).awaits)
        return next(begun, records[0])

    def _having(self, reservation_id: str, vnode: str) -> Record:
        return self._live(reservation_id, vnode)[0]

    async def _remap(self, record: Record, change: Callable[[Mapped], Mapped]) -> None:
        """Makes it durable, and waits for what the devices make of it."""

        def place(now: Record, prep: ReservationPrep, free: Free) -> Placement | Refusal:
            placement = self._parts.book.placement(now.part.mapping)
            after = change(Mapped.from_json(placement.detail))
            return replace(placement, detail=after.to_json())

        prep = record.part.prep
        assert prep is not None
        refusal = await outliving(self._spawn(self._remaps.remap(record.key, place)))
        if refusal is not None:
            raise _later(prep.reservation_id, refusal.reason)
        await self._parts.provisioner.settled(prep.reservation_id)

    async def _tried(self, vnode: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except NeverError as error:
            raise _never(vnode, str(error)) from error
        except DeviceError as error:
            raise _later(vnode, str(error)) from error

    def _mapped(self, record: Record) -> Mapped:
        return Mapped.from_json(self._parts.book.placement(record.part.mapping).detail)


def explained(mapped: Mapped, found: Mapping[str, Condition]) -> Mapping[str, Condition]:
    """Conditions, with the reason why a VNode stands still that is being carried."""
    reasons = dict.fromkeys(mapped.leaves, LEAVING) | dict.fromkeys(mapped.awaits, AWAITED)
    return {
        name: replace(condition, reason=condition.reason or reasons.get(name, ""))
        for name, condition in found.items()
    }


def must_be_here(mapped: Mapped, vnodes: Iterable[str]) -> None:
    """That none of these is being carried here. Raises RequestError."""
    for name in vnodes:
        if name in mapped.awaits:
            raise _never(name, f"one that has begun here: {AWAITED}")


def must_stay(mapped: Mapped, vnodes: Iterable[str]) -> None:
    """That none of these is being carried. Raises RequestError."""
    must_be_here(mapped, vnodes)
    for name in vnodes:
        if name in mapped.leaves:
            raise _never(name, f"one that stays here: {LEAVING}")


def _id_of(record: Record) -> str:
    return record.part.prep.reservation_id if record.part.prep else ""


def _is_late(mapped: Mapped, vnode: str, errand: int) -> bool:
    """Whether a later errand has it; one that is not known is not late."""
    return 0 < errand < mapped.errand(vnode)


def _late(vnode: str, errand: int, mapped: Mapped) -> RequestError:
    last = mapped.errand(vnode)
    possible = f"errand {last} or a later one, which carries it now; this is errand {errand}"
    return _never(vnode, possible)


def _stood_ms(mapped: Mapped, vnode: str, now_ms: int) -> int | None:
    """For how long it has stood still; None: it runs."""
    since_ms = dict(mapped.left_ms).get(vnode)
    return None if since_ms is None else max(0, now_ms - since_ms)


def _never(vnode: str, possible: str) -> RequestError:
    return RequestError(StatusCode.FAILED_PRECONDITION, "vnode", vnode, possible)


def _later(given: str, possible: str) -> RequestError:
    return RequestError(StatusCode.UNAVAILABLE, "vnode", given, f"later: {possible}", AGAIN_S)
