"""Providers between which VNodes are carried, in virtual time, and what may go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrated import NO_CONTEXT, NOW_S, One, Orchestrated, until
from providers_world import HOUR_S, cloudnet, requested, world

from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.port import VNodeName
from agents.carrying import Exported
from agents.clouds import Clouds
from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.ports import Ahead, Brought, NotCarriedError
from protocol.messages import Reconciled
from runtime.errors import RequestError
from substrate.values import replace

T = TypeVar("T")
SPREAD = {"a": "berlin", "b": "munich", "c": "zurich"}
MOVED = {"a": "berlin", "b": "zurich", "c": "zurich"}
COLD_BYTES = 4711
"""What is told of a VNode that is carried cold, however large it is."""
AWAY = NotCarriedError("nobody answers", final=False)
NEVER = NotCarriedError("its disk is too odd", final=True)

Step = tuple[str, str, str]
"""What is done (ahead, carry, begin, put_back), with which VNode, at (or to) which domain."""


@dataclass
class MemoryCarrier:
    """Carries between the shipped agents of ``it``.

    ``fails``: what a step ends with before anything is done, the first of the list each time.
    ``before``: what happens before it. ``done``: all of it but copies that went ahead; these are
    in ``aheads``, with how many bytes each had. ``live``: how each was carried;
    ``begun``: whether who began was said to have begun before. ``wrong``: what must never be.
    """

    it: Orchestrated
    fails: dict[Step, list[NotCarriedError]] = field(default_factory=dict)
    before: Callable[[Step], Awaitable[None]] | None = None
    done: list[Step] = field(default_factory=list)
    aheads: list[tuple[Step, int]] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)
    begun: list[bool] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def ahead(self, reservation_id: str, vnode: str, source: str, target: str) -> Ahead:
        way, step = (reservation_id, vnode, source, target), ("ahead", vnode, target)
        exported, size = await self._do(step, lambda: self._copied(way, last=False))
        self.done.pop()
        self.aheads.append((step, size))
        return Ahead(size, exported.still_ms is not None)

    async def carry(
        self, reservation_id: str, vnode: str, source: str, target: str, *, live: bool
    ) -> Brought:
        async def work() -> tuple[Exported, int]:
            if live:
                return await self._copied((reservation_id, vnode, source, target), last=True)
            await self._at(target).carrying.must_fit(reservation_id, vnode)
            exported = await self._at(source).carrying.export(reservation_id, vnode)
            await self._at(target).carrying.import_(reservation_id, vnode, exported)
            return exported, COLD_BYTES

        exported, size = await self._do(("carry", vnode, target), work)
        self.live.append(live)
        return Brought(exported.memory, exported.off, exported.still_ms or 0, size)

    async def _copied(self, way: tuple[str, str, str, str], *, last: bool) -> tuple[Exported, int]:
        reservation_id, vnode, source, target = way
        there, here = self._at(source).carrying, self._at(target).carrying
        await here.must_fit(reservation_id, vnode)
        since = await here.kept(reservation_id, vnode)
        exported = await there.copy(reservation_id, vnode, since, last=last)
        pieces = [piece async for piece in exported.carried.data]
        again = replace(exported, carried=replace(exported.carried, data=_of(pieces)))
        await here.keep(reservation_id, vnode, again, last=last)
        return exported, sum(map(len, pieces))

    async def begin(
        self, reservation_id: str, vnode: str, domain: str, *, begun: bool = False
    ) -> None:
        async def work() -> None:
            await self._at(domain).carrying.begin(reservation_id, [vnode], begun=begun)
            self.begun.append(begun)

        await self._do(("begin", vnode, domain), work)

    async def put_back(self, reservation_id: str, vnode: str, domain: str) -> None:
        async def work() -> None:
            await self._at(domain).carrying.put_back(reservation_id, [vnode])

        await self._do(("put_back", vnode, domain), work)

    async def _do(self, step: Step, work: Callable[[], Awaitable[T]]) -> T:
        await self._runs_once_at_most(step[1])
        if self.before is not None:
            await self.before(step)
        failures = self.fails.get(step)
        if failures:
            raise failures[0] if len(failures) == 1 else failures.pop(0)
        try:
            done = await work()
        except RequestError as error:
            code = error.code.name
            raise NotCarriedError(str(error), code != "UNAVAILABLE", code == "DATA_LOSS") from error
        await self._runs_once_at_most(step[1])
        self.done.append(step)
        return done

    async def _runs_once_at_most(self, vnode: str) -> None:
        """Whatever has been done so far."""
        at = []
        for domain, agent in self.it.agents.items():
            if agent.clouds is not None:
                found = await on_hosts_of(agent.clouds)
                at += [domain for name, state in found if (name, state) == (vnode, "running")]
        if len(at) > 1:
            self.wrong.append(f"{vnode} runs at {at}")

    def _at(self, domain: str) -> Clouds:
        clouds = self.it.agents[domain].clouds
        assert clouds is not None
        return clouds


async def on_hosts_of(clouds: Clouds) -> list[tuple[str, str]]:
    """What each host of a provider has: VNodes, and what they are doing."""
    hosts, found = clouds._backend.embedder.hosts, []
    for host in hosts.specs:
        for name, condition in (await hosts.plugin(host).found(host)).items():
            found.append((name.vnode, condition.state.value))
    return found


async def _of(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@dataclass
class Carrying:
    """A CloudNet that runs, with a file on the disk of each VNode, and its orchestrator."""

    it: Orchestrated
    one: One
    carrier: MemoryCarrier
    record: pb.ReservationRecord

    @property
    def id(self) -> str:
        return self.record.reservation_id

    def clouds(self, domain: str) -> Clouds:
        clouds = self.it.agents[domain].clouds
        assert clouds is not None
        return clouds

    def net(self, at: dict[str, str]) -> pb.CloudNet:
        return cloudnet(at=at)

    async def move(
        self, at: dict[str, str] | None = None, request_id: str = "m", **fields: Any
    ) -> pb.ReservationRecord:
        net = self.net(at or MOVED)
        net.anew.extend(fields.pop("anew", ()))
        change = pb.ModifyRequest(
            reservation_id=self.id, request_id=request_id, cloudnet=net, **fields
        )
        record: pb.ReservationRecord = await self.one.reservations.Modify(change, NO_CONTEXT)
        return record

    async def get(self) -> pb.ReservationRecord:
        return await self.one.get(self.id)

    async def says(self, domain: str, vnode: str, line: str) -> str:
        """What a VNode answers."""
        console = await self.clouds(domain).console(self.id, vnode)
        said = b""
        while said.count(b"$ ") < 1:
            said += await console.read()
        await console.write(f"{line}\n".encode())
        while said.count(b"$ ") < 2:
            said += await console.read()
        await console.close()
        return said.decode()

    async def reads(self, domain: str, vnode: str) -> bool:
        """Whether a VNode runs there and has its file."""
        return f"I am {vnode}" in await self.says(domain, vnode, "read diary")

    async def states(self, domain: str) -> dict[str, str]:
        """What VNodes are doing on the hosts of a provider, of any version."""
        return dict(await on_hosts_of(self.clouds(domain)))

    async def lose(self, domain: str) -> None:
        """Its hosts forget all that they have, as hosts in memory do when their agent ends."""
        for vnode in await self.states(domain):
            await self._lose_one(domain, vnode)

    def lose_once_before(self, wanted: Step, domain: str) -> None:
        """As ``lose``, when that step is about to be done for the first time."""
        lost = False

        async def lose(step: Step) -> None:
            nonlocal lost
            if step == wanted and not lost:
                lost = True
                await self.lose(domain)

        self.carrier.before = lose

    async def move_and_die(
        self,
        at: Callable[[Step], Awaitable[bool]],
        then: Callable[[Step], Awaitable[None]] | None = None,
    ) -> None:
        """Its orchestrator dies amid a step of a move, of which ``at`` tells, and lives again.

        ``then``: what happens before the steps of that life.
        """
        reached, never = asyncio.Event(), asyncio.Event()

        async def hang(step: Step) -> None:
            if await at(step):
                reached.set()
                await never.wait()

        self.carrier.before = hang
        move = asyncio.ensure_future(self.move())
        await reached.wait()
        await self.it.kill("a")
        move.cancel()
        self.carrier.before = then
        self.one = await self.it.start("b")

    async def lose_what_came(self, domain: str, vnode: str) -> None:
        """Its hosts forget one VNode that has not begun there, and copies of it."""
        if (await self.states(domain)).get(vnode) != "running":
            await self._lose_one(domain, vnode)

    async def _lose_one(self, domain: str, vnode: str) -> None:
        embedder, name = self.clouds(domain)._backend.embedder, VNodeName(self.id, vnode)
        for host in embedder.hosts.specs:
            await embedder.hosts.plugin(host).remove(host, name)
        embedder._seen.forget(name)

    async def forgets_it_began(self, domain: str, vnode: str) -> None:
        """As one that is restored from a copy of before a VNode came, which its hosts forget."""
        carrying = self.clouds(domain).carrying
        record = carrying._having(self.id, vnode)
        await carrying._remap(record, lambda now: replace(now, awaits=(vnode,)))
        await self._lose_one(domain, vnode)
        self.reconciled(domain)

    def reconciled(self, domain: str) -> None:
        """It says that it has recovered, as it had to."""
        reconciling = self.one.instance.orchestrator.reports.reconciling
        reconciling._open[domain] = 9
        reconciling.done(domain, Reconciled(9, "c"))

    async def restart(self, domain: str) -> None:
        """Its agent ends and starts again; its hosts outlive it."""
        before = self.clouds(domain)._backend.embedder
        self.one.gateway.down(domain)
        await self.it.agents[domain].stop()
        config = next(each for each in self.it._configs if each["domain"] == domain)
        self.it.hosts = Embedder(before.hosts, before.fabric)
        self.one.gateway.up(await self.it.start_agent(config))

    async def tells(self, domain: str, vnode: str, line: str) -> str:
        """What a VNode answers, without its echo and the prompt."""
        said = await self.says(domain, vnode, line)
        return said.split("$ ")[1].partition("\r\n")[2].strip()

    async def over(self) -> None:
        """Waits until no change is under way, and all that it carried runs."""
        while True:
            await asyncio.sleep(1)
            record = await self.get()
            waits = any(
                each.HasField("since_ms") and not each.HasField("still_ms")
                for each in record.carried
            )
            if not (record.modifying or waits):
                return

    def holds(self, domain: str) -> list[int]:
        """The versions that a domain holds."""
        return sorted(version for _, version in self.it.held().get(domain, []))

    async def settled(self) -> None:
        """Waits until nothing but the version in force is held anywhere, and all of it runs."""

        def alone() -> bool:
            return all(len(self.holds(domain)) == 1 for domain in self.it.held())

        await until(alone, 600)
        await asyncio.sleep(5)


@asynccontextmanager
async def carrying(start_in_s: int = 0, **limits: Any) -> AsyncIterator[Carrying]:
    async with Orchestrated(world(), **limits) as it:
        it.carrier = carrier = MemoryCarrier(it)
        one = await it.start()
        start_s = NOW_S + start_in_s
        window = common_pb2.Window(start_s=start_s, end_s=start_s + 10 * HOUR_S)
        record = await one.reserve(requested(cloudnet(at=SPREAD), window=window))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        made = Carrying(it, one, carrier, record)
        await asyncio.sleep(1)
        for vnode, domain in SPREAD.items() if not start_in_s else ():
            await made.says(domain, vnode, f"write diary I am {vnode}")
        yield made
        assert made.carrier.wrong == []
