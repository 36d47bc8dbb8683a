"""braid.v1.CloudNets of an orchestrator: what it asks of providers, and what it tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio
import pytest
import structlog
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, port, refused
from providers_world import HOUR_S, cloudnet, placed, requested, world

from braid.v1 import cloudnets_pb2 as pb, common_pb2, reservations_pb2 as rpb
from braid.v1.cloudnets_pb2_grpc import (
    CloudNetsServicer,
    CloudNetsStub,
    add_CloudNetsServicer_to_server,
)
from orchestrator.cloudnet_server import CloudNetsService
from orchestrator.link import Status
from runtime.errors import RequestError, invalid
from runtime.server import open_channel, serving
from runtime.settings import ListenSettings

AT = {"a": "berlin", "b": "munich", "c": "zurich"}
RUNNING, STOPPED = pb.POWER_STATE_RUNNING, pb.POWER_STATE_STOPPED
DEFINED, UNKNOWN = pb.POWER_STATE_DEFINED, pb.POWER_STATE_UNSPECIFIED
INSECURE = ListenSettings(listen="127.0.0.1:0", insecure=True)
TIMEOUT_S = 60.0
NOT_HERE = RequestError(StatusCode.NOT_FOUND, "reservation_id", "r", "a CloudNet that is here")


@dataclass
class Agent(CloudNetsServicer):
    """A provider's agent that has VNodes on ``secret-1``.

    ``fails`` and ``aborts``: what all its calls end with, the one with details, the other without.
    ``extra``: what a Show tells beside its own. Consoles say again what they hear, until "exit",
    and break at "break".
    """

    domain: str
    fails: Exception | None = None
    aborts: tuple[StatusCode, str] | None = None
    extra: tuple[pb.VNodeState, ...] = ()
    completed: bytes = b""
    asked: list[Any] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    before: Callable[[], Awaitable[object]] | None = None
    heard: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def _hear(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        if self.before is not None:
            await self.before()
        if self.fails is not None:
            raise self.fails
        if self.aborts is not None:
            await context.abort(*self.aborts)

    def _state(self, reservation_id: str) -> pb.CloudNetState:
        state = pb.CloudNetState(reservation_id=reservation_id)
        for vnode, power in self.states.items():
            state.vnodes.add(vnode=vnode, domain=self.domain, state=power, host="secret-1")
        state.vnodes.extend(self.extra)
        state.completed.MergeFromString(self.completed)
        return state

    async def Show(self, request: pb.ShowCloudNetRequest, context: Any) -> pb.CloudNetState:
        await self._hear(request, context)
        return self._state(request.reservation_id)

    async def Power(self, request: pb.PowerRequest, context: Any) -> pb.CloudNetState:
        await self._hear(request, context)
        power = STOPPED if request.action == pb.POWER_ACTION_STOP else RUNNING
        self.states.update(dict.fromkeys(request.vnodes, power))
        return self._state(request.reservation_id)

    async def Console(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.ConsoleOutput]:
        try:
            async for message in request_iterator:
                if not self.heard:
                    await self._hear(message, context)
                self.heard.append(message.data)
                if message.data == b"exit":
                    return
                if message.data == b"break":
                    raise KeyError("secret-1 is on fire")
                yield pb.ConsoleOutput(data=b"again: " + message.data)
        finally:
            self.closed.set()

    async def WhatIf(self, request: pb.WhatIfRequest, context: Any) -> pb.WhatIfResponse:
        await self._hear(request, context)
        return pb.WhatIfResponse(freed=1, hosts=3, wanted=1, moves=[self._move("x", "y")])

    async def Migrate(self, request: pb.MigrateRequest, context: Any) -> pb.MigrateResponse:
        await self._hear(request, context)
        return pb.MigrateResponse(moves=[self._move(request.reservation_id, request.vnode)])

    def _move(self, reservation_id: str, vnode: str) -> pb.VNodeMove:
        return pb.VNodeMove(
            reservation_id=reservation_id,
            vnode=vnode,
            source="secret-1",
            target="secret-2",
            cost=5,
        )


@dataclass
class World:
    """A CloudNet over three providers, and how these are reached."""

    one: One
    agents: dict[str, Agent]
    targets: dict[str, str]
    record: rpb.ReservationRecord
    window: common_pb2.Window
    away: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)

    def status(self, name: str) -> Status | None:
        domain = self.one.gateway.domain(name)
        if name in self.gone or (domain is None and name not in self.unseen):
            return None
        up = name not in self.away | self.unseen
        domain = None if name in self.unseen else domain
        return Status(name, self.targets.get(name, ""), domain, up, "" if up else "no answer", 0)

    def channel(self, name: str) -> grpc.aio.Channel:
        return open_channel(self.targets[name], insecure=True)

    @property
    def id(self) -> str:
        return self.record.reservation_id

    @property
    def service(self) -> CloudNetsService:
        return CloudNetsService(self.one.reservations, self)

    def asked(self) -> dict[str, list[Any]]:
        """What each agent was asked since the last time."""
        found = {name: list(agent.asked) for name, agent in self.agents.items() if agent.asked}
        for agent in self.agents.values():
            agent.asked.clear()
        return found

    async def show(self) -> dict[str, tuple[int, str]]:
        request = pb.ShowCloudNetRequest(reservation_id=self.id)
        state = await self.service.Show(request, NO_CONTEXT)
        assert not any(vnode.host for vnode in state.vnodes)
        return {vnode.vnode: (vnode.state, vnode.reason) for vnode in state.vnodes}

    def power(self, action: int, *vnodes: str) -> Awaitable[pb.CloudNetState]:
        request = pb.PowerRequest(reservation_id=self.id, action=action, vnodes=vnodes)  # type: ignore[arg-type]
        return self.service.Power(request, NO_CONTEXT)

    def migrate(self, **fields: Any) -> Awaitable[pb.MigrateResponse]:
        request = pb.MigrateRequest(**{"reservation_id": self.id, "request_id": "m", **fields})
        return self.service.Migrate(request, NO_CONTEXT)

    def console(self, *typed: bytes, **first: str) -> AsyncIterator[pb.ConsoleOutput]:
        async def typing() -> AsyncIterator[pb.ConsoleInput]:
            names = {"reservation_id": self.id, "vnode": "a", **first}
            yield pb.ConsoleInput(data=typed[0] if typed else b"", **names)
            for data in typed[1:]:
                yield pb.ConsoleInput(data=data)

        return self.service.Console(typing(), NO_CONTEXT)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    configs = world()
    configs[0]["ports"].append(port("user"))
    configs[0]["cloud"]["port_nodes"]["user"] = "sw"
    configs[1]["ports"].append(port("user"))
    configs[1]["cloud"]["port_nodes"]["user"] = "sw"
    async with AsyncExitStack() as stack:
        with structlog.testing.capture_logs():
            it = await stack.enter_async_context(Orchestrated(configs))
            one = await it.start()
            now_s = it.clock.now_ms() // 1000
            window = common_pb2.Window(start_s=now_s + HOUR_S, end_s=now_s + 2 * HOUR_S)
            record = await one.reserve(requested(cloudnet(at=AT), window=window))
            assert record.state == rpb.RESERVATION_STATE_COMMITTED, record.refusals
            agents, targets = {}, {}
            for vnode, name in AT.items():
                agents[name] = Agent(name, states={vnode: RUNNING})  # type: ignore[abstract]
                add = partial(add_CloudNetsServicer_to_server, agents[name])
                services = {"braid.v1.CloudNets": add}
                server = await stack.enter_async_context(serving(INSECURE, services, 0.0))
                targets[name] = server.address
            async with asyncio.timeout(TIMEOUT_S):
                yield World(one, agents, targets, record, window)


# Show ---------------------------------------------------------------------------------------------


async def test_show_tells_what_each_provider_tells_of_its_own_and_no_hosts() -> None:
    async with running() as it:
        it.agents["munich"].states["b"] = STOPPED
        assert await it.show() == {"a": (RUNNING, ""), "b": (STOPPED, ""), "c": (RUNNING, "")}
        asked = it.asked()
        assert set(asked) == set(AT.values())
        assert {each.reservation_id for some in asked.values() for each in some} == {it.id}


async def test_a_provider_that_is_away_leaves_the_others_to_be_seen() -> None:
    async with running() as it:
        it.away.add("berlin")
        it.gone.add("zurich")
        states = await it.show()
        assert states["b"] == (RUNNING, "")
        assert states["a"] == (
            UNKNOWN,
            "to ask again: its agent cannot be reached (no answer)",
        )
        assert states["c"] == (UNKNOWN, "to ask again: its agent cannot be reached (it has left)")


async def test_an_agent_that_died_a_moment_ago_has_vnodes_in_no_known_state_and_no_address() -> (
    None
):
    async with running() as it:
        it.targets["berlin"] = "127.0.0.1:1"
        state, reason = (await it.show())["a"]
        assert state == UNKNOWN
        assert "127.0.0.1" not in reason


@pytest.mark.parametrize("code", [StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION])
async def test_what_a_provider_has_not_made_yet_is_defined(code: StatusCode) -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(code, "reservation_id", it.id, "later")
        assert (await it.show())["a"] == (DEFINED, "")


@pytest.mark.parametrize(
    "bug", [KeyError("secret-1"), NotImplementedError("secret-1"), TypeError("secret-1")]
)
async def test_a_bug_of_a_provider_is_told_without_its_text(bug: Exception) -> None:
    async with running() as it:
        it.agents["berlin"].fails = bug
        assert (await it.show())["a"] == (UNKNOWN, "to ask again: it broke")


async def test_a_provider_speaks_for_its_own_vnodes_only() -> None:
    async with running() as it:
        it.agents["berlin"].extra = (
            pb.VNodeState(vnode="b", domain="munich", state=pb.POWER_STATE_FAILED, reason="dead"),
            pb.VNodeState(vnode="zoe", domain="berlin", state=RUNNING),
        )
        assert await it.show() == dict.fromkeys("abc", (RUNNING, ""))


async def test_a_vnode_of_which_its_provider_is_silent_is_shown_as_defined() -> None:
    async with running() as it:
        it.agents["berlin"].states.clear()
        assert (await it.show())["a"] == (DEFINED, "")


async def test_why_a_vnode_failed_is_told_without_the_name_of_its_host() -> None:
    async with running() as it:
        it.agents["berlin"].states.clear()
        failed = pb.VNodeState(
            vnode="a", state=pb.POWER_STATE_FAILED, reason="secret-1 is off", host="secret-1"
        )
        it.agents["berlin"].extra = (failed,)
        assert (await it.show())["a"] == (pb.POWER_STATE_FAILED, "its host is off")


@pytest.mark.parametrize("garbage", [b"", b"\n\x03net", b"\n\x03net\x10\x02\x1a\x03\n\x01a"])
async def test_a_graph_that_cannot_be_joined_is_left_out_and_states_are_told(
    garbage: bytes,
) -> None:
    async with running() as it:
        it.agents["berlin"].completed = garbage
        request = pb.ShowCloudNetRequest(reservation_id=it.id)
        state = await it.service.Show(request, NO_CONTEXT)
        assert not state.HasField("completed")
        assert len(state.vnodes) == 3


# Which reservation --------------------------------------------------------------------------------


def calls(it: World, reservation_id: str) -> list[Awaitable[object]]:
    """One call of each kind, about that reservation."""

    async def first() -> AsyncIterator[pb.ConsoleInput]:
        yield pb.ConsoleInput(reservation_id=reservation_id, vnode="a")

    start = pb.PowerRequest(reservation_id=reservation_id, action=pb.POWER_ACTION_START)
    service = it.service
    found: list[Awaitable[object]] = [
        service.Show(pb.ShowCloudNetRequest(reservation_id=reservation_id), NO_CONTEXT),
        service.Power(start, NO_CONTEXT),
        anext(service.Console(first(), NO_CONTEXT)),
    ]
    if reservation_id:
        move = pb.MigrateRequest(reservation_id=reservation_id, vnode="a", host="h")
        found.append(service.Migrate(move, NO_CONTEXT))
    return found


@pytest.mark.parametrize("reservation_id", ["nothing", "../etc", "ä" * 200])
async def test_an_id_of_nothing_is_not_found_in_any_call(reservation_id: str) -> None:
    async with running() as it:
        for call in calls(it, reservation_id):
            await refused(call, StatusCode.NOT_FOUND, "reservation_id")
        assert it.asked() == {}


async def test_no_id_is_a_wrong_one() -> None:
    async with running() as it:
        for call in calls(it, ""):
            await refused(call, StatusCode.INVALID_ARGUMENT, "reservation_id")


async def test_the_id_of_a_circuit_is_told_to_be_one() -> None:
    async with running() as it:
        request = requested(
            rpb.CloudNet(),
            "c",
            source="berlin:user",
            destination="munich:user",
            bandwidth_bps=5,
            window=it.window,
        )
        request.ClearField("cloudnet")
        circuit = await it.one.reserve(request)
        assert circuit.state == rpb.RESERVATION_STATE_COMMITTED, circuit.refusals
        for call in calls(it, circuit.reservation_id):
            error = await refused(call, StatusCode.NOT_FOUND, "reservation_id")
            assert error.possible == "the id of a CloudNet: this is a circuit"
        assert it.asked() == {}


async def test_what_is_cancelled_is_shown_empty_and_can_no_longer_be_acted_on() -> None:
    async with running() as it:
        await it.one.cancel(it.id)
        show, *others = calls(it, it.id)
        assert isinstance(await show, pb.CloudNetState)
        for call in others:
            error = await refused(call, StatusCode.FAILED_PRECONDITION, "reservation_id")
            assert error.possible == "a COMMITTED CloudNet: it is CANCELLED"


# Power --------------------------------------------------------------------------------------------


async def test_power_goes_to_the_providers_of_the_vnodes_that_are_named() -> None:
    async with running() as it:
        state = await it.power(pb.POWER_ACTION_STOP, "a", "c", "a")
        assert {v.vnode: v.state for v in state.vnodes} == {
            "a": STOPPED,
            "b": RUNNING,
            "c": STOPPED,
        }
        powered = {
            name: [list(each.vnodes) for each in some if isinstance(each, pb.PowerRequest)]
            for name, some in it.asked().items()
        }
        assert powered == {"berlin": [["a"]], "munich": [], "zurich": [["c"]]}


async def test_power_of_all_names_each_vnode_to_its_provider() -> None:
    async with running() as it:
        await it.power(pb.POWER_ACTION_CYCLE)
        for vnode, name in AT.items():
            request = it.agents[name].asked[0]
            assert (list(request.vnodes), request.action) == ([vnode], pb.POWER_ACTION_CYCLE)


@pytest.mark.parametrize("action", [0, 4, -1, 2**31 - 1])
async def test_no_action_is_none(action: int) -> None:
    async with running() as it:
        error = await refused(it.power(action), StatusCode.INVALID_ARGUMENT, "action")
        assert error.possible == "START, STOP or CYCLE"
        assert it.asked() == {}


async def test_a_vnode_that_is_none_is_told_those_that_are_and_nothing_is_done() -> None:
    async with running() as it:
        call = it.power(pb.POWER_ACTION_STOP, "a", "zoe")
        error = await refused(call, StatusCode.NOT_FOUND, "vnodes")
        assert (error.raw, error.possible) == ("zoe", "one of a, b, c")
        assert it.asked() == {}


async def test_what_a_provider_refuses_is_told_by_its_field_once_the_others_are_done() -> None:
    async with running() as it:
        done = asyncio.Event()

        async def slowly() -> None:
            await asyncio.sleep(0.2)
            done.set()

        it.agents["zurich"].before = slowly
        it.agents["berlin"].fails = RequestError(
            StatusCode.FAILED_PRECONDITION, "vnodes", "a", "VNodes that were not stopped: start it"
        )
        call = it.power(pb.POWER_ACTION_CYCLE)
        error = await refused(call, StatusCode.FAILED_PRECONDITION, "vnodes")
        assert str(error) == ("vnodes: given 'a', possible: VNodes that were not stopped: start it")
        assert done.is_set()


async def test_power_at_a_provider_that_is_away_is_unavailable() -> None:
    async with running() as it:
        it.away.add("munich")
        call = it.power(pb.POWER_ACTION_STOP, "b")
        error = await refused(call, StatusCode.UNAVAILABLE, "domain")
        assert error.raw == "munich"


# Errors of providers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.NOT_FOUND,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.ABORTED,
        StatusCode.RESOURCE_EXHAUSTED,
    ],
)
async def test_an_error_is_passed_on_with_field_given_and_possible_each_once(
    code: StatusCode,
) -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(code, "free_share", 1.5, "below 1", 7.0)
        request = pb.WhatIfRequest(domain="berlin", free_share=1.5)
        error = await refused(it.service.WhatIf(request, NO_CONTEXT), code, "free_share")
        assert str(error) == "free_share: given 1.5, possible: below 1"
        assert error.retry_after_s == 7.0


@pytest.mark.parametrize("text", ['it\'s "x"', "", "ä" * 300, "a, possible: b"])
async def test_what_was_given_is_shown_as_the_provider_has_shown_it(text: str) -> None:
    async with running() as it:
        fails = invalid("free_share", text, "another")
        it.agents["berlin"].fails = fails
        call = it.service.WhatIf(pb.WhatIfRequest(domain="berlin"), NO_CONTEXT)
        error = await refused(call, StatusCode.INVALID_ARGUMENT, "free_share")
        assert (error.given, str(error)) == (fails.given, str(fails))


async def test_an_unavailable_provider_says_so_without_its_inside() -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(
            StatusCode.UNAVAILABLE, "vnodes", "a", "nothing now: host secret-1 is on fire", 5.0
        )
        call = it.power(pb.POWER_ACTION_STOP, "a")
        error = await refused(call, StatusCode.UNAVAILABLE, "vnodes")
        assert error.possible == "to ask again: berlin cannot do it now"
        assert error.retry_after_s == 5.0


async def test_an_error_without_details_is_told_of_the_domain() -> None:
    async with running() as it:
        it.agents["berlin"].aborts = (StatusCode.FAILED_PRECONDITION, "not today")
        call = it.service.WhatIf(pb.WhatIfRequest(domain="berlin"), NO_CONTEXT)
        error = await refused(call, StatusCode.FAILED_PRECONDITION, "domain")
        assert str(error) == "domain: given 'berlin', possible: not today"


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.UNAUTHENTICATED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.DATA_LOSS,
        StatusCode.CANCELLED,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
    ],
)
async def test_what_is_between_orchestrator_and_provider_is_unavailable_to_users(
    code: StatusCode,
) -> None:
    async with running() as it:
        it.agents["berlin"].aborts = (code, "secret-1: certificate of orchestrator x not known")
        call = it.service.WhatIf(pb.WhatIfRequest(domain="berlin"), NO_CONTEXT)
        error = await refused(call, StatusCode.UNAVAILABLE, "domain")
        assert error.possible == "to ask again: it broke"


async def test_a_provider_that_does_not_answer_in_time_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.cloudnet_server.CALL_TIMEOUT_S", 0.2)
    async with running() as it:
        it.agents["berlin"].before = asyncio.Event().wait
        call = it.service.WhatIf(pb.WhatIfRequest(domain="berlin"), NO_CONTEXT)
        error = await refused(call, StatusCode.UNAVAILABLE, "domain")
        assert error.possible.startswith("to ask again: it did not answer within ")


# Consoles -----------------------------------------------------------------------------------------


async def test_a_console_is_found_by_the_vnodes_name_and_carries_both_ways() -> None:
    async with running() as it:
        said = [out.data async for out in it.console(b"one", b"two", b"exit", vnode="b")]
        assert said == [b"again: one", b"again: two"]
        first = it.agents["munich"].asked[0]
        assert (first.reservation_id, first.vnode, first.data) == (it.id, "b", b"one")
        assert it.agents["munich"].heard == [b"one", b"two", b"exit"]


async def test_a_console_ends_when_who_types_has_no_more_to_say() -> None:
    async with running() as it:
        assert [out.data async for out in it.console(b"one")] == [b"again: one"]
        await it.agents["berlin"].closed.wait()


async def test_a_console_that_its_reader_leaves_is_closed_at_the_provider() -> None:
    async with running() as it:
        forever = asyncio.Event()

        async def typing() -> AsyncIterator[pb.ConsoleInput]:
            yield pb.ConsoleInput(reservation_id=it.id, vnode="a", data=b"one")
            await forever.wait()

        output = it.service.Console(typing(), NO_CONTEXT)
        assert (await anext(output)).data == b"again: one"
        await output.aclose()  # type: ignore[attr-defined]
        await it.agents["berlin"].closed.wait()


async def test_a_console_that_breaks_is_unavailable_without_the_providers_words() -> None:
    async with running() as it:
        console = it.console(b"one", b"break")
        assert (await anext(console)).data == b"again: one"
        error = await refused(anext(console), StatusCode.UNAVAILABLE, "domain")
        assert error.possible == "to ask again: it broke"


async def test_a_console_of_what_does_not_run_is_refused_in_the_providers_words() -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(
            StatusCode.FAILED_PRECONDITION, "vnode", "a", "what runs"
        )
        call = anext(it.console(b"one"))
        error = await refused(call, StatusCode.FAILED_PRECONDITION, "vnode")
        assert str(error) == "vnode: given 'a', possible: what runs"


async def test_a_console_is_refused_so_however_much_is_typed() -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(
            StatusCode.FAILED_PRECONDITION, "vnode", "a", "what runs"
        )
        for _ in range(40):
            call = anext(it.console(b"one", b"two", b"three"))
            await refused(call, StatusCode.FAILED_PRECONDITION, "vnode")


async def test_a_console_that_ends_by_itself_ends_so_however_much_is_typed() -> None:
    async with running() as it:
        for _ in range(40):
            it.agents["berlin"].heard.clear()
            said = [out.data async for out in it.console(b"one", b"exit", *[b"more"] * 20)]
            assert said == [b"again: one"]


async def test_a_console_needs_a_first_message_that_names_a_vnode() -> None:
    async def nothing() -> AsyncIterator[pb.ConsoleInput]:
        return
        yield

    async with running() as it:
        silent = it.service.Console(nothing(), NO_CONTEXT)
        error = await refused(anext(silent), StatusCode.INVALID_ARGUMENT, "reservation_id")
        assert error.possible == "the id of a CloudNet in the first message"
        error = await refused(anext(it.console(vnode="zoe")), StatusCode.NOT_FOUND, "vnode")
        assert error.possible == "one of a, b, c"
        await refused(anext(it.console(vnode="")), StatusCode.NOT_FOUND, "vnode")
        assert it.asked() == {}


async def test_a_console_at_a_provider_that_is_away_is_unavailable() -> None:
    async with running() as it:
        it.away.add("berlin")
        await refused(anext(it.console(b"one")), StatusCode.UNAVAILABLE, "domain")


async def test_over_the_wire_a_console_ends_for_both_when_its_user_hangs_up() -> None:
    async with running() as it:
        services = {"braid.v1.CloudNets": partial(add_CloudNetsServicer_to_server, it.service)}
        async with (
            serving(INSECURE, services, 0.0) as server,
            open_channel(server.address, insecure=True) as channel,
        ):
            call: Any = CloudNetsStub(channel).Console()
            await call.write(pb.ConsoleInput(reservation_id=it.id, vnode="a", data=b"one"))
            assert (await call.read()).data == b"again: one"
            call.cancel()
            await it.agents["berlin"].closed.wait()


# WhatIf and Migrate -------------------------------------------------------------------------------


async def test_what_if_tells_moves_and_costs_of_one_provider_and_no_hosts() -> None:
    async with running() as it:
        request = pb.WhatIfRequest(domain="munich", free_share=0.2)
        answer = await it.service.WhatIf(request, NO_CONTEXT)
        assert (answer.freed, answer.hosts, answer.wanted) == (1, 3, 1)
        assert [(m.vnode, m.source, m.target, m.cost) for m in answer.moves] == [("y", "", "", 5)]
        assert it.asked() == {"munich": [request]}


@pytest.mark.parametrize("domain", ["", "nowhere", "dfn", "berlin:cloud"])
async def test_only_a_provider_can_be_asked_what_if_or_to_be_freed(domain: str) -> None:
    async with running() as it:
        request = pb.WhatIfRequest(domain=domain, free_share=0.2)
        await refused(it.service.WhatIf(request, NO_CONTEXT), StatusCode.NOT_FOUND, "domain")
        call = it.migrate(reservation_id="", domain=domain, free_share=0.2)
        await refused(call, StatusCode.NOT_FOUND, "domain")
        assert it.asked() == {}


async def test_a_domain_that_was_not_reached_yet_is_unavailable_and_not_unknown() -> None:
    async with running() as it:
        it.unseen.add("berlin")
        request = pb.WhatIfRequest(domain="berlin", free_share=0.2)
        await refused(it.service.WhatIf(request, NO_CONTEXT), StatusCode.UNAVAILABLE, "domain")


async def test_a_share_of_a_provider_is_freed_by_its_agent() -> None:
    async with running() as it:
        answer = await it.migrate(reservation_id="", domain="berlin", free_share=0.2)
        assert [(m.source, m.target) for m in answer.moves] == [("", "")]
        (request,) = it.asked()["berlin"]
        assert (request.domain, request.free_share) == ("berlin", 0.2)


@pytest.mark.parametrize("fields", [{"host": "h"}, {"vnode": "a"}])
async def test_a_vnode_is_moved_only_with_its_cloudnet(fields: dict[str, str]) -> None:
    async with running() as it:
        call = it.migrate(reservation_id="", domain="berlin", free_share=0.2, **fields)
        error = await refused(call, StatusCode.INVALID_ARGUMENT, "reservation_id")
        assert error.possible == "the CloudNet that the VNode is of"


async def test_a_share_is_freed_without_a_cloudnet() -> None:
    async with running() as it:
        call = it.migrate(vnode="a", free_share=0.2)
        await refused(call, StatusCode.INVALID_ARGUMENT, "free_share")


@pytest.mark.parametrize("domain", ["", "berlin"])
async def test_a_move_within_a_provider_is_its_agents_matter(domain: str) -> None:
    async with running() as it:
        answer = await it.migrate(vnode="a", host="secret-2", domain=domain)
        assert [(m.vnode, m.source, m.target) for m in answer.moves] == [("a", "", "")]
        (request,) = it.asked()["berlin"]
        assert (request.host, request.domain) == ("secret-2", "")


@pytest.mark.parametrize("code", [StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION])
async def test_a_host_that_will_not_do_is_refused_without_naming_those_that_are(
    code: StatusCode,
) -> None:
    async with running() as it:
        it.agents["berlin"].fails = RequestError(code, "host", "x", "such as secret-1, secret-2")
        error = await refused(it.migrate(vnode="a", host="x"), code, "host")
        assert error.possible == "a host of berlin with room: its operators know them"


async def test_another_provider_picks_the_host_itself() -> None:
    async with running() as it:
        call = it.migrate(vnode="a", host="h", domain="munich")
        await refused(call, StatusCode.INVALID_ARGUMENT, "host")


@pytest.mark.parametrize("domain", ["nowhere", "dfn"])
async def test_a_vnode_moves_to_providers_only(domain: str) -> None:
    async with running() as it:
        await refused(it.migrate(vnode="a", domain=domain), StatusCode.NOT_FOUND, "domain")
        assert (await it.one.get(it.id)).version == 1


async def test_a_vnode_that_is_none_does_not_move() -> None:
    async with running() as it:
        call = it.migrate(vnode="zoe", domain="munich")
        await refused(call, StatusCode.NOT_FOUND, "vnode")


async def test_a_vnode_moves_to_another_provider_once_however_often_it_is_asked() -> None:
    async with running() as it:
        for _ in range(3):
            answer = await it.migrate(vnode="a", domain="munich")
            assert [(m.reservation_id, m.vnode) for m in answer.moves] == [(it.id, "a")]
        record = await it.one.get(it.id)
        assert record.version == 2
        assert placed(record) == {**AT, "a": "munich"}
        assert it.asked() == {}


async def test_a_vnode_that_is_there_already_by_another_request_does_not_move() -> None:
    async with running() as it:
        answer = await it.migrate(vnode="a", domain="berlin", request_id="other")
        assert not answer.moves
        assert (await it.one.get(it.id)).version == 1


async def test_two_at_once_under_one_id_move_it_once() -> None:
    async with running() as it:
        answers = await asyncio.gather(*(it.migrate(vnode="a", domain="munich") for _ in range(2)))
        assert [len(answer.moves) for answer in answers] == [1, 1]
        assert (await it.one.get(it.id)).version == 2


async def test_a_move_without_an_id_of_the_request_names_it() -> None:
    async with running() as it:
        call = it.migrate(vnode="a", domain="munich", request_id="")
        await refused(call, StatusCode.INVALID_ARGUMENT, "request_id")


async def test_an_id_of_another_request_is_taken() -> None:
    async with running() as it:
        call = it.migrate(vnode="a", domain="munich", request_id="r")
        await refused(call, StatusCode.ALREADY_EXISTS, "request_id")


async def test_a_move_that_does_not_fit_is_refused_with_the_reason_and_all_stays() -> None:
    async with running() as it:
        # Munich has 24 cores, of which b takes 2: after this 1 is left.
        fillers = cloudnet({"x": 8, "y": 8, "z": 5}, (), dict.fromkeys("xyz", "munich"))
        full = await it.one.reserve(requested(fillers, "fillers", window=it.window))
        assert full.state == rpb.RESERVATION_STATE_COMMITTED, full.refusals
        with pytest.raises(RequestError) as caught:
            await it.migrate(vnode="a", domain="munich", request_id="move")
        error = caught.value
        assert (error.code, error.field) == (StatusCode.FAILED_PRECONDITION, "domain")
        assert error.possible.startswith("another provider; "), "anew there is no room either"
        assert placed(await it.one.get(it.id)) == AT
