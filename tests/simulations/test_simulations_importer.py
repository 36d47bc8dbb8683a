"""Published topologies become settings that agents accept; what does not fit is told."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.settings import load_settings as load_agent
from orchestrator.settings import load_settings as load_orchestrator
from runtime.settings import SettingsError
from simulations.atlanticwave import import_atlanticwave
from simulations.draft import Imported, Names, bandwidth_text, vlans_within
from simulations.esnet import import_esnet
from simulations.importer import read_topology, write_topology
from substrate.model import Domain, Port
from substrate.topology import Topology
from substrate.vlans import VlanSet

G = 10**9


def device(urn: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {"urn": urn, "type": "ROUTER", "ports": [*ports]}


def eport(
    urn: str, mbps: int = 100_000, *, edge: bool = False, vlans: tuple[int, int] = (2, 4095)
) -> dict[str, Any]:
    return {
        "urn": urn,
        "capabilities": ["ETHERNET", "EDGE"] if edge else ["ETHERNET", "MPLS"],
        "reservableIngressBw": mbps,
        "reservableEgressBw": mbps,
        "reservableVlans": [{"floor": vlans[0], "ceiling": vlans[1]}],
    }


def adjacency(a: str, z: str) -> dict[str, Any]:
    ends = [{"device": urn.partition(":")[0], "port": urn} for urn in (a, z)]
    return {"a": ends[0], "z": ends[1], "metrics": {"MPLS": 10}}


def esnet(*devices: dict[str, Any], links: list[tuple[str, str]]) -> dict[str, Any]:
    return {"devices": [*devices], "adjcies": [adjacency(a, z) for a, z in links], "problems": []}


SMALL_ESNET = esnet(
    device(
        "aaa-cr6",
        eport("aaa-cr6:1/1/c1/1", 400_000),
        eport("aaa-cr6:2/1/c9/1", edge=True, vlans=(100, 200)),
    ),
    device("bbb-cr6", eport("bbb-cr6:1/1/c1/1"), eport("bbb-cr6:lag-20", 20_000, edge=True)),
    links=[("aaa-cr6:1/1/c1/1", "bbb-cr6:1/1/c1/1")],
)


def described(imported: Imported) -> dict[str, Domain]:
    """As the agents will describe themselves."""
    domains = [open_backend(settings).describe() for settings in imported.domains]
    return {domain.name: domain for domain in domains}


def ports(domain: Domain) -> dict[str, Port]:
    return {port.stp.partition(":")[2]: port for port in domain.ports}


def remarks(imported: Imported) -> dict[str, tuple[str, ...]]:
    return {reason.partition(":")[2].strip() or reason: names for reason, names in imported.remarks}


# ESnet --------------------------------------------------------------------------------------------


def test_devices_become_domains_and_adjacencies_links() -> None:
    imported = import_esnet(SMALL_ESNET, "small")
    domains = described(imported)
    assert list(domains) == ["aaa-cr6", "bbb-cr6"]
    topology = Topology(domains.values())
    (link,) = topology.links
    assert (link.a_stp, link.b_stp) == ("aaa-cr6:1-1-c1-1", "bbb-cr6:1-1-c1-1")
    assert link.capacity_bps == 100 * G
    assert imported.remarks == ()


def test_edge_ports_are_for_users_with_their_own_bandwidth_and_vlans() -> None:
    domains = described(import_esnet(SMALL_ESNET, "small"))
    user, lag = ports(domains["aaa-cr6"])["2-1-c9-1"], ports(domains["bbb-cr6"])["lag-20"]
    assert user.remote_stp is None
    assert (user.capacity_bps, str(user.vlans)) == (100 * G, "100-200")
    # 4095 is reserved by IEEE 802.1Q.
    assert (lag.capacity_bps, str(lag.vlans)) == (20 * G, "2-4094")


def test_ports_keep_their_urn_as_an_alias() -> None:
    topology = Topology(described(import_esnet(SMALL_ESNET, "small")).values())
    assert topology.resolve("aaa-cr6:2/1/c9/1") == "aaa-cr6:2-1-c9-1"


def test_the_lesser_direction_counts() -> None:
    document = copy.deepcopy(SMALL_ESNET)
    document["devices"][1]["ports"][1]["reservableEgressBw"] = 5_000
    assert ports(described(import_esnet(document, "x"))["bbb-cr6"])["lag-20"].capacity_bps == 5 * G


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (eport("aaa-cr6:x", 0, edge=True), "it has no reservable bandwidth"),
        (eport("aaa-cr6:x", edge=True, vlans=(0, 0)), "it has no reservable VLAN (untagged)"),
        (eport("aaa-cr6:x"), "it is neither linked nor an EDGE port"),
    ],
)
def test_a_port_that_cannot_be_used_is_left_out_and_told(port: dict[str, Any], reason: str) -> None:
    document = copy.deepcopy(SMALL_ESNET)
    document["devices"][0]["ports"].append(port)
    imported = import_esnet(document, "x")
    assert remarks(imported) == {reason: ("aaa-cr6:x",)}
    assert "x" not in ports(described(imported)["aaa-cr6"])


@pytest.mark.parametrize(
    ("a", "z", "reason"),
    [
        ("aaa-cr6:y", "ccc-cr6:y", "a port of it is not in the file"),
        ("aaa-cr6:1/1/c1/1", "bbb-cr6:y", "a port of it has another link"),
        ("aaa-cr6:y", "aaa-cr6:z", "both ends are on one device"),
        ("aaa-cr6:y", "bbb-cr6:odd", "its ends share no VLAN"),
    ],
)
def test_a_link_that_cannot_be_used_is_left_out_and_told(a: str, z: str, reason: str) -> None:
    document = copy.deepcopy(SMALL_ESNET)
    for urn in ("aaa-cr6:y", "aaa-cr6:z"):
        document["devices"][0]["ports"].append(eport(urn, vlans=(100, 199)))
    document["devices"][1]["ports"].append(eport("bbb-cr6:y"))
    document["devices"][1]["ports"].append(eport("bbb-cr6:odd", vlans=(300, 399)))
    document["adjcies"].append(adjacency(a, z))
    imported = import_esnet(document, "x")
    assert remarks(imported)[reason] == (f"{a} - {z}",)
    assert len(Topology(described(imported).values()).links) == 1


def test_a_link_over_a_port_without_bandwidth_is_left_out() -> None:
    document = copy.deepcopy(SMALL_ESNET)
    document["devices"][0]["ports"][0]["reservableIngressBw"] = 0
    imported = import_esnet(document, "x")
    assert remarks(imported) == {"it has no reservable bandwidth": ("aaa-cr6:1/1/c1/1",)}
    assert Topology(described(imported).values()).links == ()


def test_a_device_without_a_usable_port_is_left_out() -> None:
    document = copy.deepcopy(SMALL_ESNET)
    document["devices"].append(device("ccc-cr6"))
    imported = import_esnet(document, "x")
    assert remarks(imported) == {"it has no port that can be used": ("ccc-cr6",)}
    assert list(described(imported)) == ["aaa-cr6", "bbb-cr6"]


def test_ports_whose_names_become_the_same_are_kept_apart() -> None:
    document = copy.deepcopy(SMALL_ESNET)
    for urn in ("aaa-cr6:q/1", "aaa-cr6:q-1", "aaa-cr6:q 1"):
        document["devices"][0]["ports"].append(eport(urn, edge=True))
    found = ports(described(import_esnet(document, "x"))["aaa-cr6"])
    assert {"q-1", "q-1-2", "q-1-3"} <= set(found)
    assert found["q-1-2"].aliases == ("aaa-cr6:q-1",)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("devices", 0, "ports", 0, "reservableIngressBw"), -1, "reservableIngressBw"),
        (("devices", 0, "ports", 0, "reservableIngressBw"), "fast", "reservableIngressBw"),
        (("devices", 0, "urn"), "", "devices.0.urn"),
        (("devices", 1, "urn"), "aaa-cr6", "'aaa-cr6' is there twice"),
        (("devices", 1, "ports", 0, "urn"), "aaa-cr6:1/1/c1/1", "is there twice"),
        (("adjcies", 0, "a"), None, "adjcies.0.a"),
    ],
)
def test_wrong_values_in_esnet_are_named(path: tuple[Any, ...], value: Any, text: str) -> None:
    document = copy.deepcopy(SMALL_ESNET)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SettingsError, match=r"file\.json: ") as caught:
        import_esnet(document, "file.json")
    assert text in str(caught.value)


# AtlanticWave-SDX ---------------------------------------------------------------------------------


def node(domain: str, name: str, count: int, **more: Any) -> dict[str, Any]:
    made = [
        {"id": f"urn:sdx:port:{domain}:{name}:{i}", "label_range": ["100-200", "1000"], **more}
        for i in range(1, count + 1)
    ]
    return {"id": f"urn:sdx:node:{domain}:{name}", "name": name, "ports": made}


def sdx_link(name: str, a: str, b: str, **more: Any) -> dict[str, Any]:
    ends = [f"urn:sdx:port:{urn}" for urn in (a, b)]
    values = {"id": f"urn:sdx:link:{name}", "ports": ends, "bandwidth": 10_000, "latency": 5}
    return {**values, **more}


UNION: dict[str, Any] = {
    "id": "urn:sdx",
    "nodes": [
        node("north.net", "B1", 3),
        node("north.net", "B2", 2),
        node("south.net", "C1", 2),
    ],
    "links": [
        sdx_link("inner", "north.net:B1:1", "north.net:B2:1"),
        sdx_link("nni", "north.net:B1:2", "south.net:C1:1", latency=10.5, bandwidth=2500),
    ],
}


def test_nodes_of_one_domain_become_its_inside() -> None:
    imported = import_atlanticwave(UNION, "union")
    north, south = imported.domains
    assert north["wan"] == {
        "nodes": ["B1", "B2"],
        "links": [{"a": "B1", "b": "B2", "capacity": "10G", "latency_us": 5000}],
        "port_nodes": {"B1-2": "B1", "B1-3": "B1", "B2-2": "B2"},
    }
    assert south["wan"]["nodes"] == ["C1"]


def test_links_between_domains_keep_bandwidth_and_latency() -> None:
    topology = Topology(described(import_atlanticwave(UNION, "union")).values())
    (link,) = topology.links
    assert (link.a_stp, link.b_stp) == ("north.net:B1-2", "south.net:C1-1")
    assert (link.capacity_bps, link.latency_us) == (2_500_000_000, 10_500)
    assert topology.resolve("urn:sdx:port:north.net:B1:2") == "north.net:B1-2"


def test_ports_without_a_link_are_for_users_and_as_fast_as_their_node() -> None:
    domains = described(import_atlanticwave(UNION, "union"))
    north, south = ports(domains["north.net"]), ports(domains["south.net"])
    assert north["B1-3"].capacity_bps == 10 * G
    assert south["C1-2"].capacity_bps == 2_500_000_000
    assert str(north["B1-3"].vlans) == "100-200,1000"
    assert north["B1-3"].remote_stp is None


def test_a_node_without_a_port_for_users_gets_one_unless_told_not_to() -> None:
    document = copy.deepcopy(UNION)
    document["nodes"][1]["ports"].pop()
    given = import_atlanticwave(document, "union")
    assert remarks(given) == {"its node has none for users": ("north.net:B2-user",)}
    assert ports(described(given)["north.net"])["B2-user"].capacity_bps == 10 * G
    kept = import_atlanticwave(document, "union", add_user_ports=False)
    assert kept.remarks == ()
    assert "B2-user" not in ports(described(kept)["north.net"])


def test_one_exchange_alone_still_names_its_neighbours() -> None:
    document = copy.deepcopy(UNION)
    document["nodes"].pop()
    (north,) = described(import_atlanticwave(document, "north")).values()
    assert ports(north)["B1-2"].remote_stp == "south.net:C1-1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "down"}, "it is down"),
        ({"state": "maintenance"}, "it is down"),
        ({"bandwidth": 0}, "it has no bandwidth"),
        (
            {"ports": ["urn:sdx:port:a:b:1", "urn:sdx:port:c:d:1"]},
            "a port of it is not in the file",
        ),
        (
            {"ports": ["urn:sdx:port:north.net:B1:1", "urn:sdx:port:north.net:B1:3"]},
            "both ends are on one node",
        ),
        (
            {"ports": ["urn:sdx:port:north.net:B1:1", "urn:sdx:port:north.net:B9:1"]},
            "a port of it is not in the file",
        ),
    ],
)
def test_an_unusable_link_is_left_out_and_told(change: dict[str, Any], reason: str) -> None:
    document: dict[str, Any] = copy.deepcopy(UNION)
    document["links"][0] |= change
    imported = import_atlanticwave(document, "union")
    assert remarks(imported)[reason] == ("urn:sdx:link:inner",)
    assert imported.domains[0]["wan"]["links"] == []


def test_a_second_link_of_a_port_is_left_out() -> None:
    document: dict[str, Any] = copy.deepcopy(UNION)
    document["links"].append(sdx_link("more", "north.net:B1:2", "south.net:C1:2"))
    assert remarks(import_atlanticwave(document, "union", add_user_ports=False)) == {
        "a port of it has another link": ("urn:sdx:link:more",)
    }


def test_links_that_are_listed_as_failed_are_left_out() -> None:
    document: dict[str, Any] = copy.deepcopy(UNION)
    document["link_failure"] = [document["links"][1]]
    imported = import_atlanticwave(document, "union")
    assert remarks(imported)["it is down"] == ("urn:sdx:link:nni",)
    assert Topology(described(imported).values()).links == ()


def test_ports_that_are_down_or_have_no_vlan_are_left_out() -> None:
    document: dict[str, Any] = copy.deepcopy(UNION)
    document["nodes"][0]["ports"][2]["status"] = "down"
    document["nodes"][1]["ports"][1]["label_range"] = None
    told = remarks(import_atlanticwave(document, "union"))
    assert told["it is down"] == ("urn:sdx:port:north.net:B1:3",)
    assert told["it has no VLAN"] == ("urn:sdx:port:north.net:B2:2",)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("nodes", 0, "id"), "B1", "'B1' is not an id such as"),
        (("nodes", 0, "ports", 0, "id"), "urn:sdx:port:north.net:B1:2", "is there twice"),
        (("nodes", 1, "id"), "urn:sdx:node:north.net:B1", "is there twice"),
        (("nodes", 0, "ports", 0, "label_range"), ["1-9999"], "label_range"),
        (("nodes", 0, "ports", 0, "label_range"), ["high"], "'high' is not a VLAN"),
        (("links", 0, "bandwidth"), "much", "links.0.bandwidth"),
        (("links", 0, "latency"), -1, "links.0.latency"),
        (("links", 0, "ports"), ["urn:sdx:port:north.net:B1:1"], "links.0.ports"),
        (("links",), {}, "links"),
    ],
)
def test_wrong_values_in_atlanticwave_are_named(
    path: tuple[Any, ...], value: Any, text: str
) -> None:
    document: Any = copy.deepcopy(UNION)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SettingsError, match=r"file\.json: ") as caught:
        import_atlanticwave(document, "file.json")
    assert text in str(caught.value)


# Names and numbers --------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=200), unique=True, max_size=30))
def test_every_foreign_name_becomes_a_valid_one_of_its_own(foreign: list[str]) -> None:
    names = Names()
    found = [names.of(text) for text in foreign]
    assert len(set(found)) == len(foreign)
    assert [names.of(text) for text in foreign] == found
    for name in found:
        settings = {
            "domain": name,
            "backend": "wan",
            "ports": [{"name": name, "capacity": 1, "vlans": "2"}],
        }
        assert open_backend(settings).describe().name == name


@pytest.mark.parametrize(
    ("bps", "text"), [(100 * G, "100G"), (2_500_000_000, "2500M"), (1500, "1500"), (7000, "7K")]
)
def test_bandwidths_are_written_as_people_do(bps: int, text: str) -> None:
    assert bandwidth_text(bps) == text
    settings = {
        "domain": "d",
        "backend": "wan",
        "ports": [{"name": "p", "capacity": text, "vlans": "2"}],
    }
    assert open_backend(settings).describe().ports[0].capacity_bps == bps


def test_ranges_are_cut_to_what_a_vlan_can_be() -> None:
    assert vlans_within([(0, 5), (4090, 4095)]) == VlanSet.parse("1-5,4090-4094")
    assert vlans_within([(0, 0), (4095, 9999)]) == VlanSet()


# Files --------------------------------------------------------------------------------------------


def written(folder: Path, document: Any, name: str = "topology.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(document))
    return file


def test_written_settings_are_read_by_agents_and_the_orchestrator(tmp_path: Path) -> None:
    imported = read_topology("atlanticwave", written(tmp_path, UNION))
    out = tmp_path / "out"
    files = write_topology(imported, out, first_port=9000, insecure=True)
    assert [file.relative_to(out).as_posix() for file in files] == [
        "agents/north.net.yaml",
        "agents/south.net.yaml",
        "orchestrator.yaml",
    ]
    for file, settings in zip(files, imported.domains, strict=False):
        agent = load_agent(file)
        assert open_backend(agent.backend).describe() == open_backend(settings).describe()
    orchestrator = load_orchestrator(out / "orchestrator.yaml")
    assert [(item.domain, item.target) for item in orchestrator.domains] == [
        ("north.net", "127.0.0.1:9000"),
        ("south.net", "127.0.0.1:9001"),
    ]
    assert load_agent(files[1]).listen == "127.0.0.1:9001"


def test_settings_need_tls_unless_insecure_was_asked_for(tmp_path: Path) -> None:
    imported = read_topology("esnet", written(tmp_path, SMALL_ESNET))
    files = write_topology(imported, tmp_path / "out")
    with pytest.raises(SettingsError, match="tls is missing"):
        load_agent(files[0])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    imported = read_topology("esnet", written(tmp_path, SMALL_ESNET))
    before = (tmp_path / "topology.json").read_bytes()
    with pytest.raises(SettingsError, match="nothing is overwritten"):
        write_topology(imported, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["topology.json"]
    assert (tmp_path / "topology.json").read_bytes() == before
    (tmp_path / "empty").mkdir()
    assert write_topology(imported, tmp_path / "empty")


def test_ports_must_be_enough_for_all_agents(tmp_path: Path) -> None:
    imported = read_topology("esnet", written(tmp_path, SMALL_ESNET))
    with pytest.raises(SettingsError, match="possible are 1 to 65535"):
        write_topology(imported, tmp_path / "out", first_port=65_535)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    imported = read_topology("esnet", written(tmp_path, SMALL_ESNET))
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        write_topology(imported, tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("format_", "text", "problem"),
    [
        ("esnet", "devices: []", "is not JSON"),
        ("esnet", "[1, 2]", "no JSON object but a list"),
        ("esnet", json.dumps(UNION), "it looks like atlanticwave"),
        ("atlanticwave", json.dumps(SMALL_ESNET), "it looks like esnet"),
        ("atlanticwave", '{"a": 1, "b": 2}', "its keys are 'a', 'b'"),
        ("esnet", "{}", "its keys are none"),
        ("esnet", "[" * 100_000, "is not JSON"),
        ("gml", "{}", "possible are atlanticwave, esnet"),
    ],
)
def test_wrong_files_are_told_apart(tmp_path: Path, format_: str, text: str, problem: str) -> None:
    file = tmp_path / "topology.json"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_topology(format_, file)
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json: cannot be read"):
        read_topology("esnet", tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"bytes\.json: is not JSON"):
        read_topology("esnet", tmp_path / "bytes.json")
