"""Circuits that may be moved, as the client library asks for them and uses them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from client_world import ROUTE, Either
from fake_orchestrator import FakeOrchestrator, path

from braid import requests
from braid.v1 import reservations_pb2 as pb

G = 10**9
ELSEWHERE = path("renet2", 10 * G, [0])


class MovingOrchestrator(FakeOrchestrator):
    """Moves what is movable while its user waits for it."""

    def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.ReservationRecord:
        record = super().Get(request, context)
        if record.criteria.movable:
            del record.paths[:]
            record.paths.append(ELSEWHERE)
        return record


@pytest.fixture
def fake() -> FakeOrchestrator:
    return MovingOrchestrator()


def asked(**wishes: Any) -> pb.Reservation:
    return requests.reservation(*ROUTE, "10G", duration="1h", **wishes)


def test_a_circuit_stays_where_it_is_unless_its_owner_allows_more() -> None:
    assert not asked().movable
    assert asked(movable=True).movable


async def test_every_call_can_allow_it(client: Either, fake: FakeOrchestrator) -> None:
    allowed: dict[str, Any] = {"duration": "1h", "movable": True}
    await client("plan", *ROUTE, "10G", **allowed)
    await client("reserve", *ROUTE, "10G", **allowed)
    await client.hold("10G", **allowed)
    assert [one.movable for one in fake.asked_of(pb.Reservation)] == [True] * 3
    (outcome,) = await client.many([asked(movable=True)])
    assert outcome.record is not None
    assert outcome.record.criteria.movable


@pytest.mark.parametrize(("movable", "network"), [(True, "renet2"), (False, "renet1")])
async def test_a_circuit_that_was_moved_before_it_began_tells_the_paths_that_it_has(
    client: Either, fake: FakeOrchestrator, movable: bool, network: str
) -> None:
    fake.active_after_gets = 1
    circuit = await client.hold("10G", duration="1h", movable=movable, wait_active_s=20)
    assert [hop.domain for hop in circuit.paths[0].hops] == ["sitea", network, "sited"]
