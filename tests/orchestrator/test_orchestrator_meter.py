"""What Prometheus is told of domains that are not there, and of decisions not confirmed yet."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from orchestrated import One, Orchestrated, sites, virtual, wanted
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from braid.v1 import reservations_pb2 as pb
from orchestrator import main
from orchestrator.engine import Engine
from orchestrator.settings import DomainTarget, OrchestratorSettings
from protocol.messages import Commit, ReqOffers
from simulations.gateway import Message


def told(engine: Engine) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(
            generate_latest(engine.meter.registry).decode()
        )
        for sample in family.samples
    }


async def watched(world: Orchestrated) -> One:
    """An instance of which Prometheus is told, as of one that serves."""
    one = await world.start()
    one.engine.meter.watch(one.engine)
    return one


def oldest_s(one: One) -> float:
    return told(one.engine)["braid_in_doubt_oldest_seconds",]


async def test_a_domain_that_was_never_reached_is_told_as_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "READY_S", 0.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        far = DomainTarget(domain="far", target=f"127.0.0.1:{nobody.getsockname()[1]}")
        settings = OrchestratorSettings(
            listen="127.0.0.1:0",
            insecure=True,
            database=f"sqlite:///{tmp_path}/o.db",
            domains=(far,),
        )
        async with main.running(settings) as it:
            assert told(it.instance.engine)["braid_domain_up", "far"] == 0


@virtual
async def test_how_long_a_decision_has_waited_for_a_domain_is_told() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await watched(world)
        assert oldest_s(one) == 0
        lost = {"all": True}
        world.delay = lambda domain, message: (
            None if lost["all"] and isinstance(message, Commit) and domain == "m1" else 0.0
        )
        record = await one.reserve(wanted(1, "r1"))
        assert record.state == pb.RESERVATION_STATE_COMMITTED
        before_s = oldest_s(one)
        await asyncio.sleep(20)
        assert oldest_s(one) == pytest.approx(before_s + 20, abs=1)
        await one.reserve(wanted(1, "r2"))
        assert oldest_s(one) == pytest.approx(before_s + 20, abs=2)
        # Who takes it up after a crash does not know since when.
        await world.kill("a")
        one = await watched(world)
        assert 0 <= oldest_s(one) < 15
        lost["all"] = False
        await asyncio.sleep(120)
        assert oldest_s(one) == 0


@virtual
async def test_what_is_given_back_is_in_doubt_since_then_and_not_since_it_was_decided() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await watched(world)
        record = await one.reserve(wanted(1, "r1"))
        await asyncio.sleep(300)
        assert oldest_s(one) == 0
        world.delay = lambda domain, message: None
        await one.cancel(record.reservation_id)
        await asyncio.sleep(10)
        assert 9 < oldest_s(one) < 20


@virtual
async def test_a_domain_that_is_silent_is_told_as_left_out_though_it_is_connected() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await watched(world)
        assert told(one.engine)["braid_domain_left_out", "m1"] == 0

        def silent(domain: str, message: Message) -> float | None:
            return None if domain == "m1" and isinstance(message, ReqOffers) else 0.0

        world.delay = silent
        for hours in range(3):
            asked = wanted(1, f"r{hours}")
            asked.window.start_s += 86_400 * 40 * hours
            asked.window.end_s += 86_400 * 40 * hours
            await one.reserve(asked)
        found = told(one.engine)
        assert (found["braid_domain_up", "m1"], found["braid_domain_left_out", "m1"]) == (1, 1)
        assert found["braid_domain_left_out", "m2"] == 0


@virtual
async def test_states_are_told_before_the_first_reservation_comes_to_them() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await watched(world)
        states = ("committed", "failed", "cancelled", "ended")
        assert [told(one.engine)["braid_reservations_total", state] for state in states] == [0] * 4
        await one.reserve(wanted(1, "r1"))
        assert told(one.engine)["braid_reservations_total", "committed"] == 1
