"""The braid command against a running world: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from world import G, World, agent, diamond, eventually, port, world

from braid.v1 import reservations_pb2 as pb
from commands.main import app

ROUTE = ("west:host", "east:host")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, diamond()) as made:
        yield made


async def braid(made: World, *arguments: str) -> Result:
    """Runs the command in a thread, as a user would beside the service."""
    environment = {"BRAID_TARGET": made.target, "BRAID_INSECURE": "1"}
    runner = CliRunner()
    return await asyncio.to_thread(runner.invoke, app, list(arguments), env=environment)


async def as_json(made: World, *arguments: str, code: int = 0) -> Any:
    result = await braid(made, *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout.splitlines()[-1])


async def reserved(made: World, bandwidth: str = "10G", *more: str) -> str:
    record = await as_json(made, "reserve", *ROUTE, bandwidth, "--start", "+1h", *more)
    return str(record["reservation_id"])


async def test_reserve_shows_the_negotiation_and_the_split(running: World) -> None:
    result = await braid(
        running, "reserve", *ROUTE, "150G", "--start", "+1h", "--duration", "2h",
        "--description", "tonight",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for word in (
        "ReqOffers to",
        "SendOffers from m1: up to 100 Gb/s",
        "ReservationPrep to",
        "m2 holds its part",
        "decision: COMMIT",
        "committed",
        "150 Gb/s",
        "(2h)",
        "tonight",
        "Split over 2 paths: use 4 parallel streams",
    ):
        assert word in result.stdout, word
    lines = result.stdout.splitlines()
    held = next(i for i, line in enumerate(lines) if "m1 holds" in line)
    decided = next(i for i, line in enumerate(lines) if "decision" in line)
    assert held < decided


async def test_a_refusal_has_its_reason_and_exit_code_3(running: World) -> None:
    result = await braid(running, "reserve", *ROUTE, "300G", "--start", "+1h")
    assert result.exit_code == 3
    assert "300 Gb/s was asked for, about 200 Gb/s fits" in result.stdout
    record = await as_json(running, "reserve", *ROUTE, "300G", "--start", "+1h", code=3)
    assert record["state"] == "RESERVATION_STATE_FAILED"
    assert record["refusals"][0]["available_bps"] == str(200 * G)


async def test_plan_holds_nothing(running: World) -> None:
    result = await braid(running, "plan", *ROUTE, "150G", "--start", "+1h")
    assert result.exit_code == 0
    assert "west" in result.stdout
    refused = await as_json(running, "plan", *ROUTE, "300G", "--start", "+1h", code=3)
    assert not refused["feasible"]
    assert await running.held() == {}


async def test_a_movable_circuit_makes_room_as_the_plan_said(tmp_path: Path) -> None:
    start_s = int(time.time()) + 3600
    volume = ("--volume", "80TB", "--start", str(start_s), "--deadline", str(start_s + 4 * 3600))
    wanted = (*ROUTE, "150G", "--start", str(start_s), "--duration", "30m")
    # Else the plan may rest on what was offered before.
    async with world(tmp_path, diamond(), offers_reuse_s=0) as made:
        movable = (await as_json(made, "reserve", *ROUTE, *volume, "--movable"))["reservation_id"]

        async def settled() -> bool:
            # Nothing is moved before every domain has acknowledged it.
            return (await braid(made, "plan", *wanted)).exit_code == 0

        await eventually(settled)
        plan = await as_json(made, "plan", *wanted)
        assert [move["reservation_id"] for move in plan["moves"]] == [movable]
        assert (await braid(made, "reserve", *wanted)).exit_code == 0
        watched = await braid(made, "watch", movable, "--until-decided")
        assert "moved to let another in (version 2)" in watched.stdout
        shown = await as_json(made, "show", movable)
        assert shown["criteria"]["movable"]
        assert shown["version"] == 2


async def test_list_show_modify_cancel(running: World) -> None:
    reservation_id = await reserved(running)
    listed = await braid(running, "list", "--state", "committed", "--limit", "5")
    assert reservation_id in listed.stdout
    none = await as_json(running, "list", "--state", "failed")
    assert none["reservations"] == []
    shown = await braid(running, "show", reservation_id)
    assert "10 Gb/s" in shown.stdout
    changed = await as_json(
        running, "modify", reservation_id, "--bandwidth", "20G", "--duration", "3h"
    )
    assert changed["modified"]
    assert changed["criteria"]["bandwidth_bps"] == str(20 * G)
    window = changed["criteria"]["window"]
    assert int(window["end_s"]) - int(window["start_s"]) == 3 * 3600
    gone = await braid(running, "cancel", reservation_id)
    assert gone.exit_code == 0
    assert "cancelled" in gone.stdout
    await running.nothing_held()


async def test_watch_prints_a_line_or_an_object_per_event(running: World) -> None:
    reservation_id = await reserved(running)
    lines = await braid(running, "watch", reservation_id, "--until-decided")
    assert lines.exit_code == 0
    assert "state: committed" in lines.stdout
    objects = await braid(running, "watch", reservation_id, "--until-decided", "--json")
    events = [json.loads(line) for line in objects.stdout.splitlines()]
    assert {event["reservation_id"] for event in events} == {reservation_id}
    last = events[-1]["sequence"]
    rest = await braid(
        running, "watch", reservation_id, "--until-decided", "--json", "--after", str(int(last) - 1)
    )
    sequences = [int(json.loads(line)["sequence"]) for line in rest.stdout.splitlines()]
    assert sequences[0] == int(last)


async def test_detach_does_not_wait(running: World) -> None:
    record = await as_json(running, "reserve", *ROUTE, "10G", "--start", "+1h", "--detach")
    assert record["state"] == "RESERVATION_STATE_NEGOTIATING"

    async def committed() -> bool:
        return bool((await running.get(record["reservation_id"])).state == 2)

    await eventually(committed)


async def test_every_wish_reaches_the_orchestrator(running: World) -> None:
    record = await as_json(
        running, "reserve", *ROUTE, "10G", "--start", "+1h", "--end", "+2h",
        "--strategy", "full_offers", "--max-paths", "2", "--min-share", "1G",
        "--max-latency", "80ms", "--max-spread", "10ms", "--max-domains", "5", "--via", "m2",
        "--avoid", "m1", "--source-vlans", "150-160", "--destination-vlans", "170",
        "--unidirectional", "--movable", "--request-id", "mine-1", "--timeout", "20",
    )  # fmt: skip
    criteria = record["criteria"]
    assert criteria["request_id"] == "mine-1"
    assert criteria["strategy"] == "STRATEGY_FULL_OFFERS"
    assert criteria["movable"]
    assert criteria["directionality"] == "DIRECTIONALITY_UNIDIRECTIONAL"
    assert criteria["constraints"]["via_domains"] == ["m2"]
    assert criteria["constraints"]["max_latency_spread_us"] == "10000"
    hops = record["paths"][0]["hops"]
    assert 150 <= hops[0]["ingress_vlan"] <= 160
    assert hops[-1]["egress_vlan"] == 170
    assert hops[1]["domain"] == "m2"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["reserve", *ROUTE, "fast"], 2, "not a bandwidth"),
        (["reserve", *ROUTE, "10G", "--start", "yesterday-ish"], 2, "not a time"),
        (["reserve", *ROUTE, "10G", "--strategy", "hope"], 2, "possible: auto"),
        (["reserve", *ROUTE, "10G", "--end", "+1h", "--duration", "1h"], 2, "either"),
        (["reserve", "west:host", "west:host", "10G"], 2, "DESTINATION"),
        (["reserve", *ROUTE, "2000G"], 2, "bandwidth_bps"),
        (["reserve", *ROUTE, "10G", "--max-paths", "99"], 2, "constraints.max_paths"),
        (["reserve", "atlantis:host", "east:host", "10G"], 4, "atlantis"),
        (["show", "no-such-id"], 4, "no-such-id"),
        (["cancel", "no-such-id"], 4, "no-such-id"),
        (["modify", "no-such-id", "--bandwidth", "1G"], 4, "no-such-id"),
        (["list", "--state", "happy"], 2, "possible: negotiating"),
        (["topology", "leave", "nowhere"], 4, "nowhere"),
        (["topology", "join", "new", "not-a-target"], 2, "target"),
        (["topology", "join", "new", "127.0.0.1:1"], 5, "down"),
        (["topology", "availability", "m1:west", "m2:east"], 2, "egress_stp"),
        (["reserve", *ROUTE], 2, "either the bandwidth, or the volume"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
async def test_wrong_usage_has_its_exit_code_and_names_the_matter(
    running: World, arguments: list[str], code: int, word: str
) -> None:
    result = await braid(running, *arguments)
    assert result.exit_code == code, result.output
    assert word in result.output


async def test_conflicts_have_exit_code_6(running: World) -> None:
    await reserved(running, "10G", "--request-id", "same", "--duration", "1h")
    other = await braid(running, "reserve", *ROUTE, "11G", "--start", "+1h", "--request-id", "same")
    assert other.exit_code == 6
    reservation_id = await reserved(running)
    await braid(running, "cancel", reservation_id)
    late = await braid(running, "modify", reservation_id, "--bandwidth", "1G")
    assert late.exit_code == 6
    assert "CANCELLED" in late.output


async def test_a_refused_modify_has_exit_code_3_and_the_old_one_stands(running: World) -> None:
    reservation_id = await reserved(running, "150G")
    result = await braid(running, "modify", reservation_id, "--bandwidth", "400G")
    assert result.exit_code == 3
    assert "150 Gb/s" in result.stdout


async def test_nobody_there_has_exit_code_5() -> None:
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["list", "--target", "127.0.0.1:1", "--insecure"]
    )
    assert result.exit_code == 5


async def test_topology_shows_domains_and_what_is_free(running: World) -> None:
    shown = await braid(running, "topology", "show")
    for word in ("m1", "up", "visible", "west:host", "100 Gb/s"):
        assert word in shown.stdout
    free = await braid(running, "topology", "availability", "m1:west", "m1:east")
    assert "100 Gb/s" in free.stdout
    assert "VLANs free: 100-199 in" in free.stdout


async def test_domains_join_and_leave(running: World) -> None:
    running.configs["isle"] = agent("isle", "pip", [port("host")])
    await running.start_agent("isle")
    joined = await braid(running, "topology", "join", "isle", running.agents["isle"].address)
    assert "isle is up" in joined.stdout
    assert (await braid(running, "topology", "leave", "isle")).exit_code == 0
    names = await as_json(running, "topology", "show")
    assert "isle" not in [status["domain"]["name"] for status in names["domains"]]


async def test_health_tells_whether_a_server_is_ready(running: World) -> None:
    ready = await asyncio.to_thread(CliRunner().invoke, app, ["health", running.target])
    assert ready.exit_code == 0
    away = await asyncio.to_thread(
        CliRunner().invoke, app, ["health", "127.0.0.1:1", "--timeout", "0.5"]
    )
    assert away.exit_code == 1


async def test_the_client_library_holds_a_circuit_for_a_block(running: World) -> None:
    from braid.client import AsyncClient, CircuitRefused, Client, NotFound

    async with AsyncClient(running.target, insecure=True) as client:
        wishes = {"start": "+1s", "duration": "1h"}
        async with client.circuit(*ROUTE, "150G", wait_active_s=15, **wishes) as circuit:
            assert circuit.parallel_streams == 4
            assert len(circuit.paths) == 2
            assert len(circuit.source_vlans) == len(circuit.destination_vlans) == 1
            record = await client.get(circuit.reservation_id)
            assert record.data_plane == 2
        await running.nothing_held()
        with pytest.raises(CircuitRefused, match="fits") as caught:
            async with client.circuit(*ROUTE, "300G", start="+1h", duration="1h"):
                raise AssertionError("never entered")
        assert caught.value.refusals
        with pytest.raises(RuntimeError, match="mine"):
            async with client.circuit(*ROUTE, "1G", start="+1h", duration="1h"):
                raise RuntimeError("mine")
        await running.nothing_held()
        with pytest.raises(NotFound):
            await client.get("nothing")

    def blocking() -> int:
        with (
            Client(running.target, insecure=True) as sync,
            sync.circuit(*ROUTE, "10G", start="+1h", duration="1h") as circuit,
        ):
            decided = list(sync.watch(circuit.reservation_id, until_decided=True))
            states = [event.state_changed.state for event in decided]
            assert pb.RESERVATION_STATE_COMMITTED in states
            return circuit.parallel_streams

    assert await asyncio.to_thread(blocking) == 2
    await running.nothing_held()
