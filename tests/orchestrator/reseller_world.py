"""A VNP below a VNP in virtual time: shipped orchestrators and agents, and a client that suffers.

The upper one has Zurich and the reseller, behind which the lower one has Berlin and Munich at the
network dfn, whose uplink is the reseller's port.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from random import Random
from typing import Any

from grpc import StatusCode
from orchestrated import NO_CONTEXT, NOW_S, One, Orchestrated, port
from providers_world import carrier, provider

from agents.agent import Agent
from agents.backends.base import Backend
from agents.backends.child import ChildBackend
from agents.backends.config import ChildDomainConfig
from agents.backends.hosts.guest import Guest
from agents.backends.hosts.memory import MemoryHosts
from braid import cloudnets, requests
from braid.errors import KINDS, BraidError, Unreachable
from braid.v1 import reservations_pb2 as pb, topology_pb2
from orchestrator.records import Reservation, State
from orchestrator.topology_server import TopologyService
from protocol.messages import ReservationPrep
from rdl.model import Graph
from runtime.errors import RequestError
from runtime.settings import validate
from simulations.gateway import ORCHESTRATOR_ID, Message
from substrate.topology import Topology

RESELLER, ZURICH = "reseller", "zurich"


class _Known:
    """A gateway as TopologyService asks it for sums."""

    def __init__(self, one: One) -> None:
        self._one = one

    def known(self) -> Topology:
        return self._one.gateway.known()


class ChildClient:
    """What an agent calls the lower orchestrator with, if one lives. ``harm``: how much goes wrong.

    A call may not arrive, its answer may be lost, and either may be late, also when nobody waits
    for it any more. ``late_s``: the next call of a method comes so late, and is given up before.
    """

    def __init__(self, lower: Lower, dice: Random) -> None:
        self._lower, self._dice, self.harm = lower, dice, 0.0
        self.late_s: dict[str, float] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    async def list(self, states: Any, page_size: int, page_token: str) -> Any:
        message = requests.listing(states, page_size)
        return await self._call("List", message)

    async def get(self, reservation_id: str = "", *, request_id: str = "") -> Any:
        return await self._call("Get", requests.get(reservation_id, request_id=request_id))

    async def modify(self, reservation_id: str, **changes: Any) -> Any:
        return await self._call("Modify", requests.modify(reservation_id, **changes))

    async def create_cloudnet(self, graph: bytes, **wishes: Any) -> Any:
        return await self._call("Reserve", cloudnets.reservation(graph, **wishes))

    async def reserve(self, source: str, destination: str, bandwidth: int, **wishes: Any) -> Any:
        message = requests.reservation(source, destination, bandwidth, **wishes)
        return await self._call("Reserve", message)

    async def cancel(self, reservation_id: str) -> Any:
        return await self._call("Cancel", pb.CancelRequest(reservation_id=reservation_id))

    async def aggregate(self, name: str, *, start: int, duration: int, reservation_id: str) -> Any:
        message = requests.aggregate(name, start, duration, reservation_id)
        return await self._call("Aggregate", message)

    async def watch(self) -> AsyncIterator[pb.ReservationEvent]:
        one = self._one()
        try:
            async for event in one.reservations.Watch(pb.WatchRequest(), NO_CONTEXT):
                if self._lower.one is not one:
                    break
                yield event
        except RequestError as error:
            raise BraidError(str(error), error.code) from error

    async def close(self) -> None:
        """Nothing."""

    def _one(self) -> One:
        if self._lower.one is None:
            raise Unreachable("nobody listens", StatusCode.UNAVAILABLE)
        return self._lower.one

    async def _call(self, method: str, message: Any) -> Any:
        if method in self.late_s:
            late = self._done(method, message, self.late_s.pop(method))
            self._under_way.add(asyncio.create_task(late))
            raise Unreachable("the connection is lost", StatusCode.UNAVAILABLE)
        most_late_s = 6.0 if self._dice.random() < self.harm / 2 else 0.0
        await asyncio.sleep(self._dice.uniform(0, 0.02))
        if self._dice.random() < self.harm / 2:
            raise Unreachable("it did not arrive", StatusCode.UNAVAILABLE)
        work = asyncio.create_task(self._done(method, message, most_late_s * self._dice.random()))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        answer = await asyncio.shield(work)
        if self._dice.random() < self.harm:
            raise Unreachable("the answer is lost", StatusCode.UNAVAILABLE)
        return answer

    async def _done(self, method: str, message: Any, late_s: float) -> Any:
        await asyncio.sleep(self._dice.uniform(0, 0.02) + late_s)
        one = self._one()
        service: Any = one.reservations
        if isinstance(message, topology_pb2.AggregateRequest):
            known: Any = _Known(one)
            service = TopologyService(one.engine, known)
        work = asyncio.create_task(_answered(getattr(service, method)(message, NO_CONTEXT)))
        while not work.done():
            await asyncio.wait([work], timeout=0.1)
            if self._lower.one is not one:
                work.cancel()
                raise Unreachable("it died", StatusCode.UNAVAILABLE)
        return work.result()


async def _answered(call: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await call
    except RequestError as error:
        raise KINDS.get(error.code, BraidError)(str(error), error.code) from error


class Lower(Orchestrated):
    """The child orchestrator and its domains."""

    def __init__(self) -> None:
        network = carrier("dfn", "berlin", "munich")
        network["ports"].append(port("uplink"))
        super().__init__(
            [provider("berlin", "dfn", hosts=2), provider("munich", "dfn", hosts=2), network]
        )
        self.one: One | None = None

    async def live(self) -> None:
        self.one = await self.start()

    async def die(self) -> None:
        self.one = None
        with suppress(KeyError):
            await self.kill("a")

    def cloudnets(self) -> list[Reservation]:
        """What it has promised, and is not over."""
        assert self.one is not None
        book = self.one.engine.book
        found = [live.record for name in book.ids() if (live := book.get(name)) is not None]
        return [record for record in found if record.state is State.COMMITTED]

    def guests(self) -> dict[str, Guest]:
        """What runs in each VNode: the same object for as long as it is not interrupted."""
        found = {}
        for agent in self.agents.values():
            embedder = getattr(agent.parts.book.backend, "embedder", None)
            if embedder is None:
                continue
            for host in embedder.hosts.specs:
                plugin = embedder.hosts.plugin(host)
                assert isinstance(plugin, MemoryHosts)
                for name, vnode in plugin._vnodes[host].items():
                    if vnode.guest is not None:
                        found[name.vnode] = vnode.guest
        return found


class Upper(Orchestrated):
    """The parent, with the reseller's agent among its own."""

    def __init__(self, lower: Lower, dice: Random, *, visible: bool) -> None:
        child = {
            "target": "nowhere:1",
            "insecure": True,
            "runs_vnodes": True,
            "port_stps": {"zurich": "dfn:uplink"},
        }
        ports = [port("zurich", "zurich:reseller")]
        self.reseller = {"domain": RESELLER, "backend": "child", "visible": visible}
        self.reseller |= {"ports": ports, "child": child}
        super().__init__([provider("zurich", "reseller", hosts=2), self.reseller])
        self.client = ChildClient(lower, dice)

    def opened(self, config: dict[str, Any]) -> Backend:
        if config["backend"] != "child":
            return super().opened(config)
        backend = ChildBackend(validate(ChildDomainConfig, config, RESELLER), self.clock)
        client: Any = self.client
        backend._child._opened = client
        return backend

    async def revive(self, one: One) -> None:
        """Kills the reseller's agent, and starts it anew."""
        one.gateway.down(RESELLER)
        self.agents[RESELLER].abandon()
        one.gateway.up(await self.start_agent(self.reseller))

    async def start_agent(self, config: dict[str, Any]) -> Agent:
        agent = await super().start_agent(config)
        await agent.greet(None, ORCHESTRATOR_ID)
        return agent

    def parts(self) -> list[ReservationPrep]:
        """What the reseller's agent holds."""
        records = self.agents[RESELLER].holdings(None, 100)
        return [record.part.prep for record in records if record.part.prep is not None]


def mcores(graph: Graph) -> Mapping[str, int]:
    """Of each VNode."""
    return {
        node.id: sum(r.amount.value for r in node.resources if r.amount and "cpu" in r.attribute)
        for node in graph.nodes
        if node.resources
    }


def soon(request: pb.Reservation) -> pb.Reservation:
    """It begins now."""
    request.window.start_s = NOW_S + 1
    request.window.end_s = NOW_S + 7200
    return request


def lossy(dice: Random, share: float) -> Any:
    """How messages between orchestrator and agents travel: a share of them is lost, others late."""

    def delay(domain: str, message: Message) -> float | None:
        if dice.random() < share / 2:
            return None
        return dice.uniform(0.1, 4.0) if dice.random() < share else dice.uniform(0, 0.02)

    return delay
