"""What users do when nobody answers, and what they may find in the end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, cast

import grpc
import pytest

from braid.v1 import reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)
from runtime.errors import invalid
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.plan import Item
from simulations.faults.rpc import Services, rpc_error
from simulations.faults.users import CALL_TIMEOUT_S, Circuit, Found, Users
from simulations.faults.wire import Wire

COMMITTED = pb.RESERVATION_STATE_COMMITTED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
FAILED = pb.RESERVATION_STATE_FAILED
G = 10**9
RESERVE = Item("reserve", "a", word="60 3600 7200 5")


class Answers(ReservationsServicer):
    """An instance that answers as it is told to: a state, or an error."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.answers: list[Any] = []
        self.reservation_id = "r"

    async def answer(self, method: str, request: Any) -> pb.ReservationRecord:
        self.log.append(f"{self.name} {method} {request.request_id}".strip())
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        record = pb.ReservationRecord(reservation_id=self.reservation_id, state=found)
        if method == "Modify":
            record.modified = True
        return record

    async def Reserve(self, request: Any, context: Any) -> pb.ReservationRecord:
        return await self.answer("Reserve", request)

    async def Modify(self, request: Any, context: Any) -> pb.ReservationRecord:
        return await self.answer("Modify", request)

    async def Cancel(self, request: Any, context: Any) -> pb.ReservationRecord:
        self.log.append(f"{self.name} Cancel {request.reservation_id}")
        found = self.answers.pop(0)
        return pb.ReservationRecord(reservation_id=self.reservation_id, state=found)


class World:
    """Users and two instances, "a" and "b"."""

    def __init__(self) -> None:
        self.loop = FaultLoop(1)
        self.log: list[str] = []
        self.found: list[str] = []
        self.wire = Wire(self.loop, "s", {}, lambda _: None, None, self.fail)
        made: Any = Answers
        self.instances: dict[str, Answers] = {name: made(name, self.log) for name in "ab"}
        self.processes = {name: Process(self.loop, name) for name in "ab"}
        for name, instance in self.instances.items():
            services = Services()
            add_ReservationsServicer_to_server(instance, cast(grpc.aio.Server, services))
            self.wire.serve(name, self.processes[name], services)
        self.users = Users(
            self.wire,
            lambda first: (first, "b" if first == "a" else "a"),
            self.found.append,
            lambda _text: None,
        )

    def fail(self, error: BaseException) -> None:
        raise error

    def run(self, *items: Item) -> None:
        async def main() -> None:
            for item in items:
                await Process(self.loop, "users").spawn(self.users.ask(item))

        self.finish(main())

    def finish(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.loop.run_until_complete(work)
        finally:
            self.loop.close()


def test_an_answer_is_remembered() -> None:
    world = World()
    world.instances["a"].answers = [COMMITTED]
    world.run(RESERVE)
    circuit = world.users.circuits[0]
    assert (circuit.reservation_id, circuit.gbps, circuit.told) == ("r", 60, "COMMITTED")
    assert world.users.busy == 0
    assert world.log == ["a Reserve reserve-0"]


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_who_does_not_know_asks_the_other_instance_for_the_same(code: grpc.StatusCode) -> None:
    world = World()
    world.instances["a"].answers = [rpc_error(code, "not now")]
    world.instances["b"].answers = [FAILED]
    world.run(RESERVE)
    assert world.log == ["a Reserve reserve-0", "b Reserve reserve-0"]
    assert world.users.circuits[0].told == "FAILED"


def test_a_call_that_nobody_answers_is_given_up_in_time() -> None:
    world = World()
    world.processes["a"].pause()
    world.instances["b"].answers = [COMMITTED]
    world.run(RESERVE)
    assert world.log == ["b Reserve reserve-0"]
    assert CALL_TIMEOUT_S <= world.loop.time() < CALL_TIMEOUT_S + 2


def test_a_request_that_is_refused_is_not_made_again() -> None:
    world = World()
    world.instances["a"].answers = [invalid("bandwidth_bps", 0, "more")]
    world.run(RESERVE, Item("cancel", "a"), Item("modify", "a", word="10"))
    assert world.log == ["a Reserve reserve-0"]
    assert world.users.circuits[0].told == ""
    assert world.users.contradicted({}) == []


def test_one_request_makes_one_reservation() -> None:
    world = World()
    for name in "ab":
        world.instances[name].reservation_id = f"r{name}"
    world.instances["a"].answers, world.instances["b"].answers = [COMMITTED], [CANCELLED]
    world.run(RESERVE, Item("cancel", "b"))
    assert world.found == ["user 0: one request made two reservations"]


def test_changes_are_asked_for_and_remembered() -> None:
    world = World()
    world.instances["a"].answers = [COMMITTED]
    world.instances["b"].answers = [COMMITTED, CANCELLED]
    world.run(RESERVE, Item("modify", "b", word="90"), Item("cancel", "b"))
    circuit = world.users.circuits[0]
    assert circuit.wishes == {90: "yes"}
    assert circuit.cancelled
    assert world.log == ["a Reserve reserve-0", "b Modify modify-0-0", "b Cancel r"]


def test_migrations_are_asked_for_with_their_time_and_remembered() -> None:
    world = World()
    world.instances["a"].answers = [COMMITTED] * 3
    world.run(RESERVE, Item("migrate", "a", word="m1 5000"), Item("migrate", "a", word="m2"))
    assert world.users.circuits[0].moves == {"m1": "yes", "m2": "yes"}
    assert world.log[1:] == ["a Modify migrate-0-0"] * 2


def test_cloudnets_are_asked_for_changed_and_remembered() -> None:
    world = World()
    world.instances["a"].answers = [COMMITTED] * 3
    world.run(
        Item("cloudnet", "a", word="3 9 5 a:2:4@west b:1:1 a-b:20"),
        Item("remodel", "a", at_ms=7, word="a:4:4"),
        Item("remodel", "a", at_ms=9, word="a:4:4 c:1:1"),
    )
    circuit = world.users.circuits[0]
    assert (circuit.net, circuit.told) == ("a:2:4@west b:1:1 a-b:20", "COMMITTED")
    assert circuit.nets == {"a:4:4": "yes", "a:4:4 c:1:1": "yes"}
    assert world.log == ["a Reserve reserve-0", "a Modify remodel-0-7", "a Modify remodel-0-9"]


# What may be so in the end ------------------------------------------------------------------------


def contradicted(
    circuit: Circuit, state: str, gbps: int = 60, avoids: tuple[str, ...] = (), net: str = ""
) -> list[str]:
    world = World()
    world.loop.close()
    circuit.reservation_id = "r"
    world.users.circuits[3] = circuit
    return world.users.contradicted({"r": Found(state, gbps, avoids, net)})


@pytest.mark.parametrize(
    ("told", "cancelled", "possible"),
    [
        ("COMMITTED", False, {"COMMITTED", "ENDED"}),
        ("COMMITTED", True, {"COMMITTED", "ENDED", "CANCELLED"}),
        ("FAILED", False, {"FAILED"}),
        ("CANCELLED", True, {"CANCELLED"}),
        ("NEGOTIATING", False, {"COMMITTED", "FAILED", "ENDED"}),
    ],
)
def test_what_was_told_is_so(told: str, cancelled: bool, possible: set[str]) -> None:
    for state in ("NEGOTIATING", "COMMITTED", "FAILED", "CANCELLED", "ENDED", "nothing"):
        circuit = Circuit(gbps=60, told=told, cancelled=cancelled)
        expected = [] if state in possible else [f"user 3 was told {told}, it is {state}"]
        assert contradicted(circuit, state) == expected


def test_a_reservation_that_is_gone_contradicts() -> None:
    world = World()
    world.loop.close()
    world.users.circuits[0] = Circuit("r", 60, "COMMITTED")
    assert world.users.contradicted({}) == ["user 0 was told COMMITTED, it is nothing"]


@pytest.mark.parametrize(
    ("wishes", "possible"),
    [
        ({}, {60}),
        ({90: "yes"}, {90}),
        ({90: "no"}, {60}),
        ({90: ""}, {60, 90}),
        ({90: "yes", 10: ""}, {90, 10}),
    ],
)
def test_the_bandwidth_is_one_that_was_confirmed_or_is_unknown(
    wishes: dict[int, str], possible: set[int]
) -> None:
    for gbps in (10, 60, 90):
        circuit = Circuit(gbps=60, told="COMMITTED", wishes=dict(wishes))
        expected = [] if gbps in possible else [f"user 3 has {gbps} Gb/s, told otherwise"]
        assert contradicted(circuit, "COMMITTED", gbps) == expected


def test_a_volume_that_may_make_room_may_get_another_rate() -> None:
    circuit = Circuit(gbps=60, told="COMMITTED", rate_may_change=True)
    assert contradicted(circuit, "COMMITTED", 90) == []


@pytest.mark.parametrize(
    ("moves", "possible"),
    [
        ({}, {()}),
        ({"m1": ""}, {(), ("m1",)}),
        ({"m1": "no"}, {()}),
        ({"m1": "yes"}, {("m1",)}),
        ({"m1": "yes", "m2": ""}, {("m1",), ("m2",)}),
    ],
)
def test_a_circuit_lies_where_its_user_was_told(
    moves: dict[str, str], possible: set[tuple[str, ...]]
) -> None:
    for avoids in ((), ("m1",), ("m2",)):
        circuit = Circuit(gbps=60, told="COMMITTED", moves=moves)
        told = f"user 3 avoids {', '.join(avoids) or 'nobody'}, told otherwise"
        expected = [] if avoids in possible else [told]
        assert contradicted(circuit, "COMMITTED", avoids=avoids) == expected


@pytest.mark.parametrize(
    ("nets", "possible"),
    [
        ({}, {"a:2:4"}),
        ({"a:4:4": "yes"}, {"a:4:4"}),
        ({"a:4:4": "no"}, {"a:2:4"}),
        ({"a:4:4": ""}, {"a:2:4", "a:4:4"}),
        ({"a:4:4": "yes", "b:1:1": ""}, {"a:4:4", "b:1:1"}),
    ],
)
def test_a_cloudnet_is_the_old_or_the_new_one(nets: dict[str, str], possible: set[str]) -> None:
    for net in ("a:2:4", "a:4:4", "b:1:1"):
        circuit = Circuit(told="COMMITTED", net="a:2:4", nets=nets)
        expected = [] if net in possible else [f"user 3 has {net}, told otherwise"]
        assert contradicted(circuit, "COMMITTED", gbps=0, net=net) == expected
