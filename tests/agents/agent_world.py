"""A domain for tests: a clock that is moved by hand, devices and stores that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from agents.agent import Agent
from agents.backends import open_backend
from agents.backends.base import Backend, DeviceError, Free, Placement
from agents.book import Book
from agents.peers import Sender
from agents.store import Loaded, MemoryStore, Store
from agents.values import Decision, Key, Life, Record
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    Offer,
    Release,
    ReservationPrep,
    ReservationResp,
    ToAgent,
    ToOrchestrator,
)
from protocol.participant import Rules
from runtime.database import StorageError
from substrate.model import (
    DataPlaneState,
    Directionality,
    Domain,
    Refusal,
    RefusalKind,
    Segment,
    Window,
)

NOW_S = 1_800_000_000
GBPS = 1_000_000_000
MBPS = 1_000_000
ME = "orchestrator-1"


def config(**changes: Any) -> dict[str, Any]:
    """A domain "renet1" of one node, with three ports of 1 Gb/s and a hundred VLANs."""
    ports = [
        {"name": name, "capacity": "1G", "vlans": "100-199", "remote": remote}
        for name, remote in (("west", "rn1:east"), ("east", "rn2:west"))
    ]
    user = {"name": "user", "capacity": "1G", "vlans": "100-199"}
    return {
        "domain": "renet1",
        "backend": "wan",
        "visible": True,
        "ports": [*ports, user],
        **changes,
    }


def prep(
    transaction_id: str = "t1",
    part_id: str = "p1",
    *,
    reservation_id: str = "r1",
    version: int = 1,
    bandwidth_bps: int = 600 * MBPS,
    vlan: int = 100,
    start_s: int = NOW_S + 100,
    end_s: int = NOW_S + 200,
    ingress: str = "renet1:west",
    egress: str = "renet1:east",
    orchestrator_id: str = ME,
    deadline_ms: int = (NOW_S + 10_000) * 1000,
) -> ReservationPrep:
    segment = Segment("s1", ingress, vlan, egress, vlan, bandwidth_bps)
    return ReservationPrep(
        transaction_id,
        part_id,
        reservation_id,
        version,
        (segment,),
        Window(start_s, end_s),
        orchestrator_id,
        deadline_ms,
    )


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.time_ms = int(now_s * 1000)

    def now_ms(self) -> int:
        return self.time_ms


class Device:
    """A real backend whose device can refuse or hang; remembers what it was asked."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        self.on: set[str] = set()
        self.refuses = ""
        self.refuses_key = ""
        self.hangs = ""
        self.gate = asyncio.Event()
        self.gate.set()

    def describe(self) -> Domain:
        return self.inner.describe()

    def capacities(self) -> Any:
        return self.inner.capacities()

    def place(self, segments: Any, window: Window, free: Free) -> Placement | Refusal:
        return self.inner.place(segments, window, free)

    def offers(
        self, pairs: Any, window: Window, directionality: Directionality, free: Free
    ) -> tuple[Offer, ...]:
        return self.inner.offers(pairs, window, directionality, free)

    async def provision(self, key: str, placement: Placement) -> None:
        self.calls.append(("provision", key))
        if key == self.hangs:
            self.gate.clear()
            await self.gate.wait()
        if key == self.refuses_key:
            raise DeviceError("not this one")
        if self.refuses:
            raise DeviceError(self.refuses)
        await self.inner.provision(key, placement)
        self.on.add(key)

    async def withdraw(self, key: str, placement: Placement) -> None:
        self.calls.append(("withdraw", key))
        if self.refuses:
            raise DeviceError(self.refuses)
        await self.inner.withdraw(key, placement)
        self.on.discard(key)

    def rules(self, placement: Placement) -> tuple[str, ...]:
        return self.inner.rules(placement)


class FaultyStore:
    """A store whose writes fail, or wait, when told so."""

    def __init__(self, inner: Store | None = None) -> None:
        self.inner = inner or MemoryStore()
        self.fails = False
        # The write happens, and then it is reported as failed: a connection lost during commit.
        self.lies = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.writes = 0

    async def load(
        self, domain: str, now_ms: int, incarnation: str, restored: bool = False
    ) -> Loaded:
        return await self.inner.load(domain, now_ms, incarnation, restored)

    async def save(
        self,
        records: Sequence[Record] = (),
        forgotten: Iterable[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        self.writes += 1
        await self.gate.wait()
        if self.fails:
            raise StorageError("the disk is full")
        await self.inner.save(records, forgotten, life, decisions)
        if self.lies:
            raise StorageError("connection lost during commit")

    async def check_owner(self) -> None:
        await self.inner.check_owner()

    async def close(self) -> None:
        await self.inner.close()


class World:
    """One agent with its clock, device, store, and what it sent."""

    def __init__(
        self,
        store: Store | None = None,
        rules: Rules | None = None,
        orchestrators: Sequence[str] | None = None,
        **changes: Any,
    ) -> None:
        self.clock = ManualClock()
        self.store = store or MemoryStore()
        self.rules = rules
        self.orchestrators = orchestrators
        self.config = config(**changes)
        self.sent: list[tuple[Sender, ToOrchestrator]] = []
        self.listeners: list[asyncio.Task[None]] = []
        self.device = Device(open_backend(self.config))
        self.agent = self._new_agent()

    def _new_agent(self) -> Agent:
        book = Book(self.device)
        return Agent(
            book,
            self.store,
            self.clock,
            self._send,
            self.rules,
            recheck_ms=None,
            orchestrators=self.orchestrators,
        )

    def _send(self, to: Sender, message: ToOrchestrator) -> None:
        self.sent.append((to, message))

    async def start(self, restored: bool = False) -> World:
        await self.agent.start(restored)
        await self.settle()
        return self

    async def crash(self) -> None:
        """The process dies and another one starts; devices and the store remain."""
        self.agent.abandon()
        await self.settle()
        self.agent = self._new_agent()
        self.device.calls.clear()

    async def restart(self, restored: bool = False) -> None:
        await self.crash()
        await self.start(restored)

    async def ask(self, message: ToAgent, sender: Sender | str = ME) -> ToOrchestrator | None:
        """The answer to one message; None when there is none."""
        before = len(self.sent)
        await self.agent.handle(sender, message)
        await self.settle()
        answers = [m for _, m in self.sent[before:] if not isinstance(m, Inquire)]
        return answers[-1] if answers else None

    async def hold(self, message: ReservationPrep) -> ReservationResp:
        answer = await self.ask(message)
        assert isinstance(answer, ReservationResp)
        return answer

    async def commit(self, transaction_id: str = "t1", part_id: str = "p1") -> ReservationResp:
        answer = await self.ask(Commit(transaction_id, part_id))
        assert isinstance(answer, ReservationResp)
        return answer

    async def abort(self, transaction_id: str = "t1", part_id: str = "p1") -> ReservationResp:
        answer = await self.ask(Abort(transaction_id, part_id))
        assert isinstance(answer, ReservationResp)
        return answer

    async def release(self, transaction_id: str = "t1", part_id: str = "p1") -> ReservationResp:
        answer = await self.ask(Release(transaction_id, part_id))
        assert isinstance(answer, ReservationResp)
        return answer

    async def committed(self, message: ReservationPrep) -> None:
        held = await self.hold(message)
        assert held.ok, held
        assert (await self.commit(message.transaction_id, message.part_id)).ok

    async def at(self, second: float) -> None:
        """Moves the clock to ``NOW_S + second``, firing on the way what is due at whole seconds."""
        self.clock.time_ms = int((NOW_S + second) * 1000)
        self.agent.kick()
        await self.settle()

    async def settle(self) -> None:
        """Lets everything that can run without time passing come to rest."""
        for _ in range(50):
            await asyncio.sleep(0)

    def data_plane(self, transaction_id: str = "t1", part_id: str = "p1") -> DataPlaneState:
        return self.record(transaction_id, part_id).data_plane.state

    def record(self, transaction_id: str = "t1", part_id: str = "p1") -> Record:
        found = self.agent.parts.records.get((transaction_id, part_id))
        assert found is not None
        return found

    def inquiries(self) -> list[str]:
        return [m.part_id for _, m in self.sent if isinstance(m, Inquire)]


def refused(answer: ToOrchestrator | None) -> RefusalKind:
    assert isinstance(answer, ReservationResp)
    assert not answer.ok
    assert answer.refusal is not None
    return answer.refusal.kind


async def fits(world: World, bandwidth_bps: int, vlan: int = 199, **changes: Any) -> bool:
    """Whether another reservation of this bandwidth would be held; it is given back."""
    probe = prep("probe", f"p{len(world.sent)}", reservation_id="probe",
                 bandwidth_bps=bandwidth_bps, vlan=vlan, **changes)  # fmt: skip
    answer = await world.hold(probe)
    if answer.ok:
        await world.abort("probe", probe.part_id)
    return answer.ok
