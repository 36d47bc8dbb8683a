"""A thousand circuits over published topologies, held and given back: nothing is left anywhere.

The files are not part of the project: they are read from ``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from simulated import START_S, G, assert_nothing_held, virtual

from orchestrator.negotiation import Failure
from orchestrator.records import State
from simulations.importer import read_topology
from simulations.network import Network, build_network
from substrate.model import Criteria, Window
from substrate.topology import Topology

TOPOLOGIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "topologies"
REAL = [
    pytest.param("esnet", "esnet/topology.json", id="esnet"),
    pytest.param("atlanticwave", "atlanticwave-sdx/sdx.json", id="atlanticwave"),
]
CIRCUITS = 1000


def real(name: str) -> Path:
    file = TOPOLOGIES / name
    if not file.exists():
        pytest.skip(f"the published topology ../shared/data/topologies/{name} is not there")
    return file


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("format_", "name"), REAL)
def test_a_thousand_feasible_circuits_are_held_and_given_back(format_: str, name: str) -> None:
    imported = read_topology(format_, real(name))

    @virtual
    async def scenario() -> None:
        async with await build_network(imported.domains, keep_events=False) as network:
            ids = [await _reserve(network, wish) async for wish in _feasible(network)]
            assert len(ids) == len(set(ids)) == CIRCUITS
            # In every circuit's first and last domain something is held.
            assert sum(len(parts) for parts in network.held().values()) >= CIRCUITS
            for reservation_id in ids:
                gone = await network.cancel(reservation_id)
                assert gone.state is State.CANCELLED
            await asyncio.sleep(5)
            assert_nothing_held(network)

    scenario()


async def _feasible(network: Network) -> AsyncIterator[Criteria]:
    """Random circuits between users' ports that a plan says would fit at this moment."""
    random, found = Random(2026), 0
    topology = network.gateway.topology()
    users = _user_ports(topology)
    while found < CIRCUITS:
        source, destination = random.sample(users, 2)
        start_s = START_S + 900 * random.randrange(96)
        window = Window(start_s, start_s + 900 * random.randint(1, 16))
        criteria = Criteria(source, destination, random.randint(1, 50) * G // 10, window)
        if not isinstance(await network.orchestrator.plan(criteria, 30), Failure):
            found += 1
            yield criteria


async def _reserve(network: Network, criteria: Criteria) -> str:
    record = await network.reserve(criteria)
    assert record.state is State.COMMITTED, (criteria, record.refusals)
    assert sum(path.bandwidth_bps for path in record.paths) == criteria.bandwidth_bps
    return record.reservation_id


def _user_ports(topology: Topology) -> list[str]:
    return [
        port.stp
        for domain in topology.domains.values()
        for port in domain.ports
        if port.remote_stp is None
    ]


def test_esnet_has_the_size_that_was_counted_in_its_file() -> None:
    imported = read_topology("esnet", real("esnet/topology.json"))
    ports = [port for domain in imported.domains for port in domain["ports"]]
    assert len(imported.domains) == 80
    # 253 adjacencies, one of which leads to a port that is not in the file.
    assert sum("remote" in port for port in ports) == 2 * 252
    left_out = {reason: len(names) for reason, names in imported.remarks}
    assert left_out == {
        "link left out: a port of it is not in the file": 1,
        "port left out: it has no reservable VLAN (untagged)": 54,
        "port left out: it is neither linked nor an EDGE port": 1,
    }
    assert len(ports) == 1209 - 54 - 1 - 1


def test_the_union_of_exchanges_has_three_domains_and_three_links_between_them() -> None:
    imported = read_topology("atlanticwave", real("atlanticwave-sdx/sdx.json"))
    assert [domain["domain"] for domain in imported.domains] == [
        "amlight.net",
        "sax.net",
        "zaoxi.net",
    ]
    ports = [port for domain in imported.domains for port in domain["ports"]]
    assert sum("remote" in port for port in ports) == 2 * 3
    assert {port["latency_us"] for port in ports if "remote" in port} == {10_000}
    assert sum(len(domain["wan"]["links"]) for domain in imported.domains) == 14 - 3


@pytest.mark.parametrize("name", ["amlight", "sax", "zaoxi", "amlight_link_failure"])
def test_each_exchange_alone_can_be_imported(name: str) -> None:
    imported = read_topology("atlanticwave", real(f"atlanticwave-sdx/{name}.json"))
    (domain,) = imported.domains
    assert domain["wan"]["links"]
    down = dict(imported.remarks).get("link left out: it is down", ())
    assert len(down) == (1 if name == "amlight_link_failure" else 0)
