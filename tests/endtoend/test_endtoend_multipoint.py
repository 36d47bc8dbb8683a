"""One reservation that joins several sites, over real gRPC, databases, agents and processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from world import G, World, agent, eventually, port, world

from braid.client import Client
from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2
from commands.main import app
from commands.processes import World as Processes

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
ENDS = ["east:host", "south:host"]
SITES = ("west", "east", "south")


def trio(**kinds: dict[str, Any]) -> list[dict[str, Any]]:
    """West, east and south, joined by two domains; south only by a thin link to each."""
    thin = {"south": "40G"}
    sites = [
        agent(
            site,
            "pip",
            [
                port("host", capacity="1000G"),
                *(port(m, f"{m}:{site}", thin.get(site, "100G")) for m in ("m1", "m2")),
            ],
        )
        for site in SITES
    ]
    middles = [
        agent(
            name,
            "wan",
            [port(site, f"{site}:{name}", thin.get(site, "100G")) for site in SITES],
            **kinds.get(name, {}),
        )
        for name in ("m1", "m2")
    ]
    return [*sites, *middles]


def carried(record: pb.ReservationRecord) -> dict[str, int]:
    total: Counter[str] = Counter()
    for path in record.paths:
        total[path.hops[-1].egress_stp] += path.bandwidth_bps // G
    return dict(total)


async def test_three_sites_are_joined_activated_and_given_back(tmp_path: Path) -> None:
    async with world(tmp_path, trio()) as w:
        record = await w.reserve(60 * G, more_destinations=ENDS[1:], start_in_s=1, duration_s=3600)
        assert record.state == COMMITTED, record.refusals
        assert carried(record) == dict.fromkeys(ENDS, 60)
        # South has two thin links: its leg is split, the other one is not.
        ways = Counter(path.hops[-1].egress_stp for path in record.paths)
        assert ways == {"east:host": 1, "south:host": 2}
        assert await w.held() == dict.fromkeys([*SITES, "m1", "m2"], 1)

        async def active() -> bool:
            found = await w.get(record.reservation_id)
            return bool(found.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE)

        await eventually(active)
        for name in w.agents:
            (holding,) = await w.holdings(name)
            assert holding.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE
            assert holding.rules
        assert (await w.cancel(record.reservation_id)).state == CANCELLED
        await w.nothing_held()


async def test_where_one_leg_is_refused_nothing_is_held(tmp_path: Path) -> None:
    async with world(tmp_path, trio()) as w:
        record = await w.reserve(90 * G, more_destinations=ENDS[1:])
        assert record.state == FAILED
        assert record.refusals[-1].reason.startswith("to south:host: 90 Gb/s was asked for")
        assert record.refusals[-1].available_bps == 80 * G
        assert await w.held() == {}


async def test_where_a_blind_domain_refuses_one_leg_nothing_stays_held(tmp_path: Path) -> None:
    # Inside m1 there is less than its ports say, and it does not tell.
    thin = {
        "nodes": ["n", "s"],
        "port_nodes": {"west": "n", "east": "n", "south": "s"},
        "links": [{"a": "n", "b": "s", "capacity": "5G", "latency_us": 10}],
    }
    blind = {"visible": False, "wan": thin}
    async with world(tmp_path, trio(m1=blind, m2=blind)) as w:
        record = await w.reserve(20 * G, more_destinations=ENDS[1:])
        assert record.state == FAILED
        assert any("south:host" in refusal.reason for refusal in record.refusals)
        await w.nothing_held()
        fits = await w.reserve(4 * G, more_destinations=ENDS[1:])
        assert fits.state == COMMITTED


async def test_what_joins_three_sites_outlives_its_orchestrator(tmp_path: Path) -> None:
    async with world(tmp_path, trio()) as w:
        record = await w.reserve(30 * G, more_destinations=ENDS[1:])
        await w.stop_orchestrator()
        await w.start_orchestrator()
        await w.all_up()
        assert await w.get(record.reservation_id) == record
        change = pb.ModifyRequest(
            request_id="c-1", reservation_id=record.reservation_id, bandwidth_bps=50 * G
        )
        changed = await w.reservations.Modify(change, timeout=60)
        assert changed.modified
        assert carried(changed) == dict.fromkeys(ENDS, 50)
        change.request_id, change.bandwidth_bps = "c-2", 95 * G
        refused = await w.reservations.Modify(change, timeout=60)
        assert not refused.modified
        assert carried(refused) == dict.fromkeys(ENDS, 50)
        await w.cancel(record.reservation_id)
        await w.nothing_held()


async def test_the_client_tells_each_leg_apart(tmp_path: Path) -> None:
    async with world(tmp_path, trio()) as w:

        def use() -> None:
            with (
                Client(w.target, insecure=True) as client,
                client.circuit(
                    "west:host", ENDS[0], "50G", more_destinations=ENDS[1:], duration="1h",
                    wait_active_s=20,
                ) as circuit,
            ):  # fmt: skip
                assert [leg.destination for leg in circuit.legs] == ENDS
                assert [len(leg.paths) for leg in circuit.legs] == [1, 2]
                assert [leg.parallel_streams for leg in circuit.legs] == [2, 4]
                assert circuit.parallel_streams == 6
                hub = [leg.source_vlans for leg in circuit.legs]
                assert all(len(vlans) == 1 for vlans in hub)
                assert hub[0] != hub[1]

        await asyncio.to_thread(use)
        await w.nothing_held()


async def braid(made: World, *arguments: str) -> Result:
    environment = {"BRAID_TARGET": made.target, "BRAID_INSECURE": "1", "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)


async def test_the_command_joins_sites_and_shows_them_by_destination(tmp_path: Path) -> None:
    async with world(tmp_path, trio()) as w:
        asked = ("west:host", ENDS[0], "50G", "--to", ENDS[1], "--start", "+1h")
        plan = await braid(w, "plan", *asked)
        assert plan.exit_code == 0, plan.output
        assert "A circuit of its own leads to each of 2 destinations." in plan.stdout
        assert "south:host: Split over 2 paths: use 4 parallel streams" in plan.stdout
        assert await w.held() == {}
        reserved = await braid(w, "reserve", *asked)
        assert reserved.exit_code == 0, reserved.output
        assert "50 Gb/s to each" in reserved.stdout
        lines = [line.split()[:3] for line in reserved.stdout.splitlines()]
        assert ["east:host", "1", "50"] in lines
        assert ["south:host", "1", "25"] in lines
        listed = await braid(w, "list")
        assert "east:host and 1 more" in listed.stdout
        record = json.loads((await braid(w, "list", "--json")).stdout)["reservations"][0]
        assert record["criteria"]["more_destinations"] == ENDS[1:]
        twice = await braid(w, "reserve", *asked, "--to", ENDS[0])
        assert twice.exit_code == 2
        assert "more_destinations[1]" in twice.output
        assert (await braid(w, "cancel", record["reservation_id"])).exit_code == 0
        no = await braid(w, "reserve", *asked[:2], "90G", *asked[3:])
        assert no.exit_code == 3
        assert "to south:host: 90 Gb/s was asked for, about 80 Gb/s fits" in no.stdout
        assert "80 Gb/s to each instead of 90 Gb/s" in no.stdout


@pytest.mark.timeout(300)
def test_processes_of_their_own_join_four_sites_or_none(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start()
        sites = ["siteb:dtn", "sitec:dtn", "sited:dtn"]
        with Client(processes.target, insecure=True) as client:
            while any(d.state != topology_pb2.DOMAIN_STATE_UP for d in client.topology().domains):
                time.sleep(0.1)
            wish: dict[str, Any] = {"more_destinations": sites[1:], "duration": "1h"}
            with client.circuit("sitea:dtn", sites[0], "60G", wait_active_s=60, **wish) as circuit:
                assert carried(circuit.record) == dict.fromkeys(sites, 60)
                name = circuit.reservation_id
                active = client.get(name)
                states = {part.data_plane for part in active.parts}
                assert states == {common_pb2.DATA_PLANE_STATE_ACTIVE}
                refused = client.reserve("sitea:dtn", sites[0], "20G", **wish)
                assert refused.state == FAILED
                assert refused.parts == []
                assert "beside" in refused.refusals[-1].reason
            deadline = time.monotonic() + 60
            while not all(part.released for part in client.get(name).parts):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            # All room is there again.
            whole = client.reserve("sitea:dtn", sites[0], "66G", **wish)
            assert whole.state == COMMITTED, whole.refusals
