"""CloudNets in schedules: their words, the providers of a world, and what is drawn."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.backends.cloud import ProviderBackend
from orchestrator.cloudnet_checks import check_cloudnet
from rdl.codec import to_bytes
from simulations.faults.domains import capacities, configs, peers
from simulations.faults.draw import draw
from simulations.faults.inside import CORES, LINK_GBPS, MEMORY_GIB, inside
from simulations.faults.nets import GIB, NET, G, Net, graph_of, net_of, read_net, to_pb
from simulations.faults.plan import Item, Schedule, World, problem_of
from substrate.calendar import Direction, Resource
from substrate.model import CloudNet
from substrate.topology import Topology

MANY = 300
WORLD = World(clouds=("east", "west"), hosts=3)
NAMES = st.sampled_from("abcdef")


@st.composite
def nets(draws: st.DrawFn) -> Net:
    vnodes = draws(
        st.dictionaries(NAMES, st.tuples(st.integers(1, 8), st.integers(1, 16)), min_size=1)
    )
    pairs = [(a, b) for a in sorted(vnodes) for b in sorted(vnodes) if a < b]
    chosen = draws(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    at = draws(st.dictionaries(st.sampled_from(sorted(vnodes)), st.sampled_from(["east", "west"])))
    return Net(vnodes, {pair: draws(st.integers(1, 50)) for pair in chosen}, at)


@given(nets())
def test_a_net_is_read_from_its_word(net: Net) -> None:
    assert re.fullmatch(NET, str(net))
    assert read_net(str(net)) == net


@given(nets())
def test_what_is_asked_for_is_told_again_by_what_is_stored(net: Net) -> None:
    stored = CloudNet(to_bytes(graph_of(net)), placing=tuple(sorted(net.at.items())))
    assert net_of(stored) == net


def test_what_is_asked_for_is_a_cloudnet_as_users_ask_for_it() -> None:
    net = read_net("a:2:4@west b:1:1 a-b:20")
    domains = {name: open_backend(config).describe() for name, config in configs(WORLD).items()}
    assert net_of(check_cloudnet(to_pb(net), Topology(domains.values()))) == net


def test_a_vnode_goes_with_its_vlinks_and_its_place() -> None:
    net = read_net("a:2:4@west b:1:1 c:1:1@east a-b:20 b-c:5")
    assert str(net.without("a")) == "b:1:1 c:1:1@east b-c:5"
    assert str(net) == "a:2:4@west b:1:1 c:1:1@east a-b:20 b-c:5"


# Providers ----------------------------------------------------------------------------------------


def test_only_sites_that_are_clouds_run_vnodes() -> None:
    backends = {name: open_backend(config) for name, config in configs(WORLD).items()}
    clouds = {name for name, backend in backends.items() if isinstance(backend, ProviderBackend)}
    assert clouds == {"east", "west"}
    assert all("cloud" not in config for config in configs(World()).values())


def test_the_checker_reckons_with_what_the_agent_is_told() -> None:
    backend = open_backend(configs(WORLD)["west"])
    told, counted = backend.capacities(), capacities(WORLD)["west"]
    for host in inside(3).hosts:
        for kind, name in (("cpu", "mcores"), ("memory", "memory"), ("disk", "disk")):
            amount = told[Resource(f"{host}/resource/{kind}", Direction.IN)]
            assert counted[f"{host} {name}"] == amount > 0
        assert counted[f"{host}-sw"] == told[Resource(f"{host}-sw", Direction.OUT)]
    assert counted["h1 mcores"] == CORES * 1000
    assert counted["h1 memory"] == MEMORY_GIB * GIB
    assert counted["h1-sw"] == LINK_GBPS * G
    for port in backend.describe().ports:
        assert counted[port.stp] == port.capacity_bps


def test_ports_are_wired_both_ways() -> None:
    wired = peers(World(middle=2, south=True))
    assert wired["west:m1"] == "m1:west"
    assert all(wired[other] == stp for stp, other in wired.items())
    assert len(wired) == 12


# What is drawn ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> list[Schedule]:
    return [draw(16, number) for number in range(MANY)]


def test_some_worlds_have_providers_and_all_of_these_are_asked_for_cloudnets(
    drawn: list[Schedule],
) -> None:
    with_clouds = [schedule for schedule in drawn if schedule.world.clouds]
    assert 0.25 < len(with_clouds) / MANY < 0.55
    for schedule in drawn:
        assert bool(schedule.of("cloudnet")) == bool(schedule.world.clouds)
        assert set(schedule.world.clouds) <= set(schedule.world.sites)
    assert {len(s.world.clouds) for s in with_clouds} == {1, 2, 3}
    assert {s.world.hosts for s in with_clouds} == {1, 2, 3}


def test_cloudnets_differ_in_all_that_matters(drawn: list[Schedule]) -> None:
    asked = [item for schedule in drawn for item in schedule.of("cloudnet")]
    wished = [read_net(item.word.split(maxsplit=3)[3]) for item in asked]
    assert {len(net.vnodes) for net in wished} == {1, 2, 3, 4}
    assert any(net.vlinks for net in wished)
    assert any(net.at for net in wished)
    assert any(not net.at for net in wished)
    ends = [tuple(map(int, item.word.split()[:2])) for item in asked]
    assert any(start < 20 < end < 60 for start, end in ends)
    assert any(start < 20 and end >= 3600 for start, end in ends)
    assert any(start >= 3600 for start, _ in ends)


def test_changes_add_take_away_and_resize_vnodes(drawn: list[Schedule]) -> None:
    how = set()
    for schedule in drawn:
        before = {i.number: i.word.split(maxsplit=3)[3] for i in schedule.of("cloudnet")}
        for item in schedule.of("remodel"):
            old, new = read_net(before[item.number]), read_net(item.word)
            before[item.number] = item.word
            more, less = new.vnodes.keys() - old.vnodes.keys(), old.vnodes.keys() - new.vnodes
            how.add("add" if more else "remove" if less else "resize")
            assert all(set(ends) <= new.vnodes.keys() for ends in new.vlinks)
            assert new.vnodes
            if old.at != new.at and not (more or less):
                how.add("place")
    assert how == {"add", "remove", "resize", "place"}


def test_requests_for_cloudnets_have_numbers_of_their_own(drawn: list[Schedule]) -> None:
    for schedule in drawn:
        numbers = [item.number for item in schedule.of("reserve", "cloudnet")]
        assert len(set(numbers)) == len(numbers)
        cancelled = {item.number for item in schedule.of("cancel", "remodel")}
        assert cancelled <= set(numbers)


@pytest.mark.parametrize(
    ("kind", "word", "fine"),
    [
        ("cloudnet", "3 3600 30 a:2:4@west b:1:1 a-b:20", True),
        ("cloudnet", "3 3600 a:2:4", False),
        ("cloudnet", "3 3600 30", False),
        ("cloudnet", "3 3600 30 a:2 b:1:1", False),
        ("remodel", "a:2:4@west", True),
        ("remodel", "a-b:20", False),
        ("remodel", "", False),
    ],
)
def test_a_word_that_says_no_cloudnet_is_refused(kind: str, word: str, fine: bool) -> None:
    assert (problem_of(Item(kind, "a", word=word), WORLD) == "") == fine
