"""Networks for loaded simulations: Abilene, and whatever can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_simulations_commands import topology

from runtime.settings import SettingsError
from simulations.importer import read_any_topology, write_topology
from simulations.loaded.world import Link, World, abilene, read_world

TOPOLOGIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "topologies"


def test_abilene_has_11_nodes_and_14_links_and_is_connected() -> None:
    world = abilene()
    assert len(world.nodes) == 11
    assert len(world.links) == 14
    assert world.total_bps == 14 * world.unit_bps
    degrees = [sum(node in (link.a, link.b) for link in world.links) for node in world.nodes]
    assert sorted(degrees) == [2] * 5 + [3] * 6


def test_every_link_has_a_port_at_both_ends_and_every_node_one_for_hosts() -> None:
    world = World("pair", (Link("a", "b", 10), Link("b", "a", 20)))
    a, b = world.configs()
    assert [port["name"] for port in a["ports"]] == ["host", "link0", "link1"]
    assert [port.get("remote") for port in b["ports"]] == [None, "a:link0", "a:link1"]
    assert [port["capacity"] for port in b["ports"][1:]] == [10, 20]
    assert world.unit_bps == 10


def test_a_published_topology_and_what_was_imported_of_it_are_the_same(tmp_path: Path) -> None:
    file = topology(tmp_path)
    write_topology(read_any_topology(file), tmp_path / "out", insecure=True)
    published, imported = read_world(file), read_world(tmp_path / "out")
    assert published.links == imported.links == (Link("p", "q", 10 * 10**9),)
    assert (published.name, imported.name) == ("topology", "out")


def agent(folder: Path, name: str, *remotes: str, capacity: str = "10G") -> None:
    """The settings of a domain with a port towards each of these others."""
    ports: list[dict[str, Any]] = [
        {"name": other, "remote": f"{other}:{name}", "capacity": capacity, "vlans": "2-9"}
        for other in remotes
    ]
    values = {"domain": name, "backend": "wan", "ports": ports}
    own = {"listen": "127.0.0.1:0", "database": "sqlite:///x.db", "insecure": True}
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / f"{name}.yaml").write_text(yaml.safe_dump({**values, **own}))


def test_the_largest_connected_part_is_taken_and_the_lesser_capacity(tmp_path: Path) -> None:
    agent(tmp_path, "a", "b")
    agent(tmp_path, "b", "a", "nobody")
    agent(tmp_path, "c", "d")
    agent(tmp_path, "d", "c", "e", capacity="4G")
    agent(tmp_path, "e", "d")
    links = read_world(tmp_path).links
    assert links == (Link("c", "d", 4 * 10**9), Link("d", "e", 4 * 10**9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("[]", "holds no JSON object"),
        ('{"nodes": 1}', "is not a topology in one of the formats"),
        ('{"devices": [], "adjcies": []}', "holds no link between two domains"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    file = tmp_path / "x.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=problem):
        read_world(file)


def test_an_empty_folder_says_why(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no link"):
        read_world(tmp_path)


@pytest.mark.parametrize("name", ["esnet/topology.json", "atlanticwave-sdx/sdx.json"])
def test_published_topologies_are_read(name: str) -> None:
    file = TOPOLOGIES / name
    if not file.exists():
        pytest.skip(f"the published topology ../shared/data/topologies/{name} is not there")
    world = read_world(file)
    assert len(world.nodes) >= 3
    assert len(json.dumps(world.configs())) > 0
