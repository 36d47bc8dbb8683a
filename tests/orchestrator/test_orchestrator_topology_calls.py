"""What braid.v1.Topology answers: availability, and domains that join, move and leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode
from networks import G
from orchestrated import NO_CONTEXT, NOW_S, One, Orchestrated, refused, sites, virtual, wanted
from providers_world import CORES, HOSTS, cloudnet, requested, world

from braid.v1 import common_pb2, topology_pb2 as pb
from orchestrator import topology_server
from orchestrator.breaker import Signal
from orchestrator.domains import GrpcGateway
from orchestrator.engine import Engine, Limits
from orchestrator.link import Status
from orchestrator.memory import MemoryStore
from orchestrator.service import Orchestrator
from orchestrator.topology_server import TopologyService
from protocol.messages import ReqOffers
from rdl.codec import graph_from_pb
from runtime.clock import RandomIds, SystemClock
from runtime.errors import RequestError
from substrate.topology import Topology

NOBODY = "127.0.0.1:1"
"""Where nobody listens."""


class Known:
    """A gateway as TopologyService asks it, over one of a simulation."""

    def __init__(self, one: One) -> None:
        self._one = one

    def known(self) -> Topology:
        return self._one.gateway.known()

    def status(self, name: str) -> Status | None:
        return next((each for each in self.statuses() if each.name == name), None)

    def statuses(self) -> tuple[Status, ...]:
        up = self._one.gateway.topology().domains
        return tuple(
            Status(name, f"{name}:1", domain, name in up, "" if name in up else "cut off", 7)
            for name, domain in self.known().domains.items()
        )


def service_of(one: One) -> TopologyService:
    known: Any = Known(one)
    return TopologyService(one.engine, known)


def question(**fields: Any) -> pb.AvailabilityRequest:
    window = common_pb2.Window(start_s=NOW_S + 3600, end_s=NOW_S + 7200)
    values: dict[str, Any] = {"ingress_stp": "m1:west", "egress_stp": "m1:east", "window": window}
    return pb.AvailabilityRequest(**{**values, **fields})


@virtual
async def test_what_is_free_is_what_is_left_beside_reservations() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        service = service_of(one)
        before = await service.Availability(question(), NO_CONTEXT)
        assert [step.bandwidth_bps for step in before.profile] == [100 * G]
        assert [(r.first, r.last) for r in before.ingress_vlans] == [(100, 199)]
        middle = common_pb2.Window(start_s=NOW_S + 4000, end_s=NOW_S + 5000)
        await one.reserve(wanted(30, window=middle))
        after = await service.Availability(question(), NO_CONTEXT)
        steps = [(step.start_s - NOW_S, step.bandwidth_bps // G) for step in after.profile]
        assert steps == [(3600, 100), (4000, 70), (5000, 100)]
        assert sum(r.last - r.first + 1 for r in after.ingress_vlans) == 99
        assert world.held()["m1"]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"ingress_stp": "nowhere:x"}, StatusCode.NOT_FOUND, "ingress_stp"),
        ({"egress_stp": ""}, StatusCode.NOT_FOUND, "egress_stp"),
        ({"egress_stp": "m1:west"}, StatusCode.INVALID_ARGUMENT, "egress_stp"),
        ({"egress_stp": "west:m1"}, StatusCode.INVALID_ARGUMENT, "egress_stp"),
        (
            {"ingress_stp": "m2:west", "egress_stp": "m2:east"},
            StatusCode.FAILED_PRECONDITION,
            "ingress_stp",
        ),
        (
            {"window": common_pb2.Window(start_s=NOW_S, end_s=NOW_S)},
            StatusCode.INVALID_ARGUMENT,
            "window.end_s",
        ),
        ({"window": None}, StatusCode.INVALID_ARGUMENT, "window.end_s"),
        (
            {"window": common_pb2.Window(start_s=NOW_S, end_s=NOW_S + 366 * 86_400 + 1)},
            StatusCode.OUT_OF_RANGE,
            "window",
        ),
    ],
)
@virtual
async def test_a_question_that_has_no_answer_names_its_field(
    fields: dict[str, Any], code: StatusCode, field: str
) -> None:
    async with Orchestrated(sites("m1", "m2", blind="m2")) as world:
        service = service_of(await world.start())
        error = await refused(service.Availability(question(**fields), NO_CONTEXT), code, field)
        assert error.possible


@pytest.mark.parametrize("silent", [True, False])
@virtual
async def test_a_domain_that_does_not_answer_is_named(silent: bool) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        if silent:
            world.delay = lambda domain, message: None if isinstance(message, ReqOffers) else 0.0
        else:
            one.gateway.down("m1")
        call = service_of(one).Availability(question(), NO_CONTEXT)
        error = await refused(call, StatusCode.UNAVAILABLE, "ingress_stp")
        assert error.possible == "m1 does not answer"


@virtual
async def test_the_answer_shows_links_domains_and_how_well_they_answer() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        service = service_of(one)
        one.gateway.down("m2")
        for _ in range(3):
            one.engine.breakers.hear("m1", Signal.NOT_OFFERED)
        answer = await service.Get(pb.GetTopologyRequest(), NO_CONTEXT)
        shown = {status.domain.name: status for status in answer.domains}
        assert sorted(shown) == ["east", "m1", "m2", "west"]
        assert (shown["m2"].state, shown["m2"].reason) == (pb.DOMAIN_STATE_DOWN, "cut off")
        assert shown["m1"].state == pb.DOMAIN_STATE_UP
        assert (shown["m1"].breaker, shown["m1"].silences) == (pb.BREAKER_STATE_OPEN, 3)
        assert shown["m1"].retry_at_ms == world.clock.now_ms() + 5_000
        assert (shown["west"].breaker, shown["west"].silences) == (pb.BREAKER_STATE_CLOSED, 0)
        assert not shown["west"].HasField("retry_at_ms")
        # Links of domains that are down are known all the same.
        pairs = {tuple(sorted((link.a_stp, link.b_stp))) for link in answer.links}
        assert ("m2:west", "west:m2") in pairs
        assert len(pairs) == 4


# Joining and leaving ------------------------------------------------------------------------------


async def told(
    service: TopologyService, name: str = "all", length_s: int = 3600, own: str = ""
) -> Any:
    """What the providers have together from an hour from now: amounts by type, in base units."""
    window = common_pb2.Window(start_s=NOW_S + 3600, end_s=NOW_S + 3600 + length_s)
    request = pb.AggregateRequest(name=name, window=window, reservation_id=own)
    graph = graph_from_pb((await service.Aggregate(request, NO_CONTEXT)).aggregate)
    (node,) = graph.elements
    assert node.id == name
    return {r.attribute: r.amount.value for r in node.resources if r.amount is not None}


@virtual
async def test_all_providers_together_tell_a_sum_per_type_and_less_while_it_is_reserved() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        service = service_of(one)
        before = await told(service)
        assert before["/resource/cpu"] == 3 * HOSTS * CORES * 1000
        net = cloudnet({"a": 2, "b": 3}, (), at={"a": "berlin", "b": "zurich"})
        record = await one.reserve(requested(net))
        after = await told(service)
        assert after["/resource/cpu"] == before["/resource/cpu"] - 5000
        # Whose it is may use it again.
        assert await told(service, own=record.reservation_id) == before
        assert await told(service, own="nobody's") == after


@virtual
async def test_without_providers_there_is_nothing_to_tell() -> None:
    async with Orchestrated(sites("m1")) as it:
        one = await it.start()
        await refused(told(service_of(one)), StatusCode.UNAVAILABLE, "name")


@virtual
async def test_a_sum_needs_a_name_and_a_window() -> None:
    async with Orchestrated(world()) as it:
        service = service_of(await it.start())
        await refused(told(service, "a:b"), StatusCode.INVALID_ARGUMENT, "name")
        await refused(told(service, length_s=0), StatusCode.INVALID_ARGUMENT, "window.end_s")


class Joining:
    """A service whose domains are nowhere to be reached."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        clock = SystemClock()
        self.gateway = GrpcGateway("o", "i", grpc.aio.insecure_channel, clock)
        self.engine = Engine("o", self.store, self.gateway, clock, RandomIds(), Limits())
        Orchestrator(self.engine)
        self.service = TopologyService(self.engine, self.gateway)

    async def register(self, domain: str, target: str = NOBODY) -> pb.RegisterResponse:
        request = pb.RegisterRequest(domain=domain, target=target)
        return await self.service.Register(request, NO_CONTEXT)

    async def unregister(self, domain: str) -> pb.UnregisterResponse:
        return await self.service.Unregister(pb.UnregisterRequest(domain=domain), NO_CONTEXT)


@pytest.fixture
async def joining(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Joining]:
    monkeypatch.setattr(topology_server, "JOIN_WAIT_S", 0.1)
    made = Joining()
    yield made
    await made.engine.stop()
    await made.gateway.stop()


async def test_a_domain_that_joins_is_registered_though_it_does_not_answer(
    joining: Joining,
) -> None:
    for _ in range(2):
        status = (await joining.register("far")).status
        assert (status.domain.name, status.state) == ("far", pb.DOMAIN_STATE_DOWN)
        assert status.target == NOBODY
        assert await joining.store.targets() == {"far": NOBODY}
    assert len((await joining.service.Get(pb.GetTopologyRequest(), NO_CONTEXT)).domains) == 1


async def test_a_domain_that_joins_elsewhere_has_moved(joining: Joining) -> None:
    await joining.register("far")
    status = (await joining.register("far", "127.0.0.1:2")).status
    assert status.target == "127.0.0.1:2"
    assert await joining.store.targets() == {"far": "127.0.0.1:2"}


async def test_who_left_is_not_known_any_more(joining: Joining) -> None:
    await joining.register("far")
    await joining.register("near")
    await joining.unregister("far")
    assert await joining.store.targets() == {"near": NOBODY}
    error = await refused(joining.unregister("far"), StatusCode.NOT_FOUND, "domain")
    assert error.possible == "a known domain: near"
    await joining.unregister("near")
    error = await refused(joining.unregister("near"), StatusCode.NOT_FOUND, "domain")
    assert error.possible == "a known domain: none"


async def test_a_domain_that_leaves_while_its_joining_is_waited_for_is_no_bug(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology_server, "JOIN_WAIT_S", 10)
    call = asyncio.create_task(joining.register("far"))
    while joining.gateway.status("far") is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await joining.unregister("far")
    async with asyncio.timeout(60):
        with pytest.raises(RequestError) as caught:
            await call
    assert caught.value.field == "domain"
    assert await joining.store.targets() == {}


@pytest.mark.parametrize(
    "name", ["", ".", "-a", "a..b", "a b", "a/b", "a:b", "ü", "a" * 129, "a\n"]
)
async def test_a_name_that_is_none_joins_nothing(joining: Joining, name: str) -> None:
    await refused(joining.register(name), StatusCode.INVALID_ARGUMENT, "domain")
    assert await joining.store.targets() == {}


@pytest.mark.parametrize(
    "target",
    [
        "",
        "host",
        "host:",
        ":7",
        "a b:7",
        "host:port",
        "http://x:7",
        "x:7\n",
        "x:0",
        "x:65536",
        "x" * 512,
    ],
)
async def test_a_target_that_is_none_joins_nothing(joining: Joining, target: str) -> None:
    await refused(joining.register("far", target), StatusCode.INVALID_ARGUMENT, "target")
    assert await joining.store.targets() == {}


@pytest.mark.parametrize("target", ["host:7", "[::1]:7", "unix:/run/x", "dns:///a.b:7", "dns:a:7"])
async def test_every_form_of_a_target_joins(joining: Joining, target: str) -> None:
    assert (await joining.register("far", target)).status.target == target
