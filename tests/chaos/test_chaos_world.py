"""The world of the chaos run: its settings are those of the services, its processes restart."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from agents.backends import open_backend
from agents.settings import load_settings as load_agent_settings
from orchestrator.settings import load_settings
from tools.chaos_world import (
    BLIND,
    EXPIRING,
    HOLD_TIMEOUT_S,
    Member,
    World,
    WorldError,
    capacities,
    free_ports,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "postgresql:///braid", 2, random.Random(1))


def settings_of(member: Member) -> Path:
    return Path(member.arguments[-1])


def test_every_agent_has_settings_and_capacities_as_it_describes_itself(world: World) -> None:
    assert len(world.agents) == 5
    for member in world.agents:
        settings = load_agent_settings(settings_of(member))
        domain = open_backend(settings.backend).describe()
        assert domain.name == member.name
        assert settings.listen == member.target
        found = {port.stp: port.capacity_bps for port in domain.ports}
        assert found == capacities()[member.name]
        assert domain.visible is (member.name != BLIND)
        expected_s = HOLD_TIMEOUT_S if member.name == EXPIRING else None
        assert domain.hold_timeout_s == expected_s


def test_the_instances_share_all_but_their_name_and_address(world: World) -> None:
    one, two = (load_settings(settings_of(member)) for member in world.orchestrators)
    assert one.orchestrator_id == two.orchestrator_id
    assert one.database == two.database == "postgresql:///braid"
    assert one.domains == two.domains
    assert (one.instance_id, two.instance_id) == ("a", "b")
    assert one.listen != two.listen
    assert {item.target for item in one.domains} == {agent.target for agent in world.agents}


def test_ports_are_free_and_all_different() -> None:
    found = free_ports(20, random.Random(3))
    assert len(set(found)) == 20
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", found[0]))
        taken.listen()
        assert found[0] not in free_ports(20, random.Random(3))


async def test_a_member_is_killed_and_comes_back_at_the_same_address(world: World) -> None:
    member = world.agents[0]
    await member.start()
    await world.all_up([member])
    assert member.running
    await member.kill("for the test")
    assert not member.running
    assert not member.up.is_set()
    await member.start()
    await world.all_up([member])
    await world.stop()
    assert member.died == []
    told = [line for line in member.log.read_text().splitlines() if line.startswith("---")]
    assert [line.partition(": ")[2] for line in told] == [
        "start 1",
        "for the test",
        "start 2",
        "end",
    ]


async def test_a_member_that_ends_by_itself_is_noticed(world: World, tmp_path: Path) -> None:
    member = Member("west", "127.0.0.1:1", ("agent", "missing.yaml"), tmp_path / "west.log")
    await member.start()
    with pytest.raises(WorldError, match="west ended by itself"):
        await world.all_up([member])
    assert member.died == ["west ended by itself with 2 (start 1)"]
    assert "missing.yaml" in member.log.read_text()


async def test_a_world_that_does_not_come_up_says_who_is_missing(world: World) -> None:
    for member in world.orchestrators:
        settings_of(member).write_text("listen: nowhere")
    try:
        with pytest.raises(WorldError, match=r"orchestrator-. ended by itself"):
            await world.start()
    finally:
        await world.stop()
