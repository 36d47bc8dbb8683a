"""Several instances of one orchestrator, as processes on one PostgreSQL, and how they end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from instances import STATES, Instance, Instances, instances
from world import G

from braid.v1 import reservations_pb2 as pb, topology_pb2

COMMITTED, CANCELLED = STATES.RESERVATION_STATE_COMMITTED, STATES.RESERVATION_STATE_CANCELLED
DECIDED_WITHIN_S = 30.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def many(tmp_path: Path, postgres_url: str) -> AsyncIterator[Instances]:
    async with instances(tmp_path, postgres_url) as made:
        yield made


async def two(many: Instances, **settings: Any) -> tuple[Instance, Instance]:
    return await many.start("a", **settings), await many.start("b", **settings)


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    code: grpc.StatusCode = caught.value.code()
    return code


def spent(since: float, what: str) -> float:
    seconds = time.monotonic() - since
    print(f"{what}: {seconds:.2f} s")
    return seconds


# Any instance takes any request -----------------------------------------------------------------


async def test_a_reservation_is_seen_changed_and_cancelled_at_the_other(many: Instances) -> None:
    a, b = await two(many)
    made = await a.reserve(many.world.request(10 * G))
    assert made.state == COMMITTED
    assert await b.get(made.reservation_id) == made
    assert [
        r.reservation_id for r in (await b.reservations.List(pb.ListRequest())).reservations
    ] == [made.reservation_id]

    changed = await b.modify(made.reservation_id, "change-at-b", 20 * G)
    assert (changed.modified, changed.version) == (True, 2)
    again = await a.modify(made.reservation_id, "change-at-a", 30 * G)
    assert (again.modified, again.version) == (True, 3)
    assert await a.modify(made.reservation_id, "change-at-b", 20 * G) == changed
    assert (await b.get(made.reservation_id)).version == 3
    await many.settled_on(made.reservation_id)

    assert (await b.cancel(made.reservation_id)).state == CANCELLED
    assert (await a.get(made.reservation_id)).state == CANCELLED
    await many.world.nothing_held()


async def test_a_request_is_known_at_the_other_also_while_it_is_negotiated(many: Instances) -> None:
    a, b = await two(many)
    request = many.world.request(10 * G)
    many.gate.close()
    first = asyncio.create_task(a.reserve(request))
    await many.gate.reached()
    second = asyncio.create_task(b.reserve(request))
    other = many.world.request(20 * G)
    other.request_id = request.request_id
    assert await code_of(b.reserve(other)) == grpc.StatusCode.ALREADY_EXISTS
    await asyncio.sleep(0.5)
    assert not second.done()
    many.gate.open()
    record = await first
    assert record.state == COMMITTED
    assert await second == record
    assert await b.reserve(request) == record
    await many.settled_on(record.reservation_id)


async def test_a_watch_at_the_other_gets_every_event_in_order(many: Instances) -> None:
    a, b = await two(many)
    request = many.world.request(150 * G, detach=True)
    many.gate.close()
    begun = await a.reserve(request)
    await many.gate.reached()
    watching = asyncio.create_task(b.events(begun.reservation_id))
    await asyncio.sleep(0.5)
    many.gate.open()
    seen = await watching
    assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})
    assert seen == (await a.events(begun.reservation_id))[: len(seen)]
    kinds = [event.WhichOneof("kind") for event in seen]
    assert kinds[0] == "state_changed"
    assert kinds.count("prepare_sent") == 1
    assert kinds.count("decided") == 1
    assert (await b.get(begun.reservation_id)).state == COMMITTED


async def test_a_domain_that_registers_at_one_is_connected_by_both(many: Instances) -> None:
    a, b = [await many.start(name, domains=False) for name in ("a", "b")]
    for name, agent in many.world.agents.items():
        await a.topology.Register(topology_pb2.RegisterRequest(domain=name, target=agent.address))
    await many.connected(b)
    assert (await b.reserve(many.world.request(10 * G))).state == COMMITTED
    await many.connected(a)


# One is killed ----------------------------------------------------------------------------------


async def test_what_a_killed_instance_negotiated_is_decided_by_the_other(many: Instances) -> None:
    a, b = await two(many)
    request = many.world.request(150 * G)
    many.gate.close()
    asked = asyncio.create_task(a.reserve(request))
    await many.gate.reached()
    await a.kill()
    since = time.monotonic()
    many.gate.open()
    assert await code_of(asked) == grpc.StatusCode.UNAVAILABLE
    record = await b.reserve(request)
    assert spent(since, "decided by the other after kill -9") < DECIDED_WITHIN_S
    assert record.state == COMMITTED
    assert (await b.get(request_id=request.request_id)) == record
    await many.settled_on(record.reservation_id)
    await b.cancel(record.reservation_id)
    await many.world.nothing_held()


async def test_a_modify_that_a_killed_instance_negotiated_is_decided_by_the_other(
    many: Instances,
) -> None:
    a, b = await two(many)
    record = await a.reserve(many.world.request(10 * G))
    many.gate.close()
    asked = asyncio.create_task(a.modify(record.reservation_id, "change", 40 * G))
    await many.gate.reached()
    await a.kill()
    since = time.monotonic()
    many.gate.open()
    assert await code_of(asked) == grpc.StatusCode.UNAVAILABLE
    changed = await b.modify(record.reservation_id, "change", 40 * G)
    assert spent(since, "Modify decided by the other after kill -9") < DECIDED_WITHIN_S
    assert (changed.state, changed.modified, changed.version) == (COMMITTED, True, 2)
    await many.settled_on(record.reservation_id)
    await b.cancel(record.reservation_id)
    await many.world.nothing_held()


# One stops in order -----------------------------------------------------------------------------


async def test_sigterm_finishes_what_is_in_progress_and_takes_nothing_new(many: Instances) -> None:
    a, b = await two(many)
    many.gate.close()
    asked = asyncio.create_task(a.reserve(many.world.request(10 * G)))
    await many.gate.reached()
    health = a.health()
    assert await anext(health) == health_pb2.HealthCheckResponse.SERVING
    a.signal(signal.SIGTERM)
    assert await anext(health) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert not asked.done()
    refused = many.world.request(10 * G)
    assert await code_of(a.reserve(refused)) == grpc.StatusCode.UNAVAILABLE
    await asyncio.sleep(1.5)
    assert await code_of(a.reserve(refused)) == grpc.StatusCode.UNAVAILABLE
    a.signal(signal.SIGTERM)
    many.gate.open()
    record = await asked
    assert record.state == COMMITTED
    assert await a.ended() == 0
    assert await b.get(record.reservation_id) == record
    assert (await b.reserve(refused)).state == COMMITTED


async def test_what_a_stopping_instance_cannot_finish_is_handed_over_at_once(
    many: Instances,
) -> None:
    a, b = await two(many, lease_s=15.0, drain_timeout_s=0.5)
    request = many.world.request(10 * G)
    many.gate.close()
    asked = asyncio.create_task(a.reserve(request))
    await many.gate.reached()
    watching = asyncio.create_task(a.events(""))
    a.signal(signal.SIGTERM)
    assert await code_of(asked) == grpc.StatusCode.UNAVAILABLE
    assert await code_of(watching) == grpc.StatusCode.UNAVAILABLE
    assert await a.ended(within_s=8) == 0
    since = time.monotonic()
    many.gate.open()
    record = await b.reserve(request)
    assert spent(since, "decided by the other after SIGTERM") < 8
    assert record.state == COMMITTED
    await many.settled_on(record.reservation_id)


# One sleeps -------------------------------------------------------------------------------------


async def test_an_instance_that_slept_through_its_lease_says_and_does_nothing_wrong(
    many: Instances,
) -> None:
    a, b = await two(many)
    kept = await a.reserve(many.world.request(10 * G))
    request = many.world.request(20 * G)
    many.gate.close()
    asked = asyncio.create_task(a.reserve(request))
    await many.gate.reached()
    a.signal(signal.SIGSTOP)
    many.gate.open()
    since = time.monotonic()
    record = await b.reserve(request)
    spent(since, "decided by the other after SIGSTOP")
    assert record.state == COMMITTED
    changed = await b.modify(kept.reservation_id, "change", 30 * G)
    assert changed.modified

    a.signal(signal.SIGCONT)
    assert await asked == record
    assert (await a.get(kept.reservation_id)).version == 2
    await many.settled_on(kept.reservation_id, record.reservation_id)
    await asyncio.sleep(3)
    assert await b.get(kept.reservation_id) == await a.get(kept.reservation_id)
    await many.settled_on(kept.reservation_id, record.reservation_id)

    more = await a.reserve(many.world.request(5 * G))
    assert more.state == COMMITTED
    assert (await a.modify(kept.reservation_id, "change-2", 15 * G)).version == 3
    for item in (kept, record, more):
        await a.cancel(item.reservation_id)
    await many.world.nothing_held()


# Too many ---------------------------------------------------------------------------------------


async def test_a_second_process_of_the_same_name_ends_the_first(many: Instances) -> None:
    first = await many.start("a")
    record = await first.reserve(many.world.request(10 * G))
    second = await many.start("a")
    assert await first.ended() == 2
    told = first.stderr.splitlines()[-1]
    assert told == (
        "braid: instance_id: another process runs as 'a' on this database: give each its own"
    )
    assert (await second.cancel(record.reservation_id)).state == CANCELLED
    await many.world.nothing_held()


async def test_of_two_processes_on_one_sqlite_file_the_newer_wins(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with instances(tmp_path, sqlite_url) as many:
        first = await many.start("a")
        record = await first.reserve(many.world.request(10 * G))
        second = await many.start("b")
        assert await first.ended() == 2
        assert first.stderr.splitlines()[-1] == (
            "braid: database: another process has taken this file over: several instances need"
            " PostgreSQL"
        )
        assert (await second.cancel(record.reservation_id)).state == CANCELLED
        await many.world.nothing_held()
