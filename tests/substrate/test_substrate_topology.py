"""Which links exist, and what names mean."""

from __future__ import annotations

import dataclasses

from hypothesis import given, strategies as st
from substrate_world import G, Link, network

from substrate.model import Domain, Port
from substrate.topology import InterDomainLink, Topology
from substrate.vlans import VlanSet

SOME = VlanSet.of(1, 2)


def domain(name: str, *ports: Port) -> Domain:
    return Domain(name, True, "wan", ports)


def port(stp: str, remote_stp: str | None = None, *aliases: str, **more: int) -> Port:
    values = {"capacity_bps": 10 * G, "latency_us": 0, **more}
    return Port(stp, vlans=SOME, remote_stp=remote_stp, aliases=aliases, **values)


def test_a_link_needs_two_ports_that_name_each_other() -> None:
    both = Topology([domain("a", port("a:1", "b:1")), domain("b", port("b:1", "a:1"))])
    assert [(link.a_stp, link.b_stp) for link in both.links] == [("a:1", "b:1")]
    one_sided = Topology([domain("a", port("a:1", "b:1")), domain("b", port("b:1", "c:1"))])
    assert one_sided.links == ()
    silent = Topology([domain("a", port("a:1", "b:1")), domain("b", port("b:1"))])
    assert silent.links == ()
    assert Topology([domain("a", port("a:1", "b:1"))]).links == ()
    assert Topology([domain("a", port("a:1", "a:1"))]).links == ()


def test_a_link_has_the_lesser_capacity_and_the_greater_latency() -> None:
    topology = Topology(
        [
            domain("b", port("b:1", "a:1", capacity_bps=5 * G, latency_us=7)),
            domain("a", port("a:1", "b:1", capacity_bps=8 * G, latency_us=3)),
        ]
    )
    link = InterDomainLink("a:1", "b:1", 5 * G, 7)
    assert topology.links == (link,)
    assert topology.link_at("a:1") == topology.link_at("b:1") == link
    assert link.other("a:1") == "b:1"
    assert link.other("b:1") == "a:1"
    assert topology.link_at("a:2") is None


def test_names_resolve_to_stps() -> None:
    topology = Topology(
        [
            domain("a", port("a:1", None, "urn:a", "both"), port("a:2", None, "urn:b", "urn:b")),
            domain("b", port("b:1", None, "both", "a:1")),
        ]
    )
    assert topology.resolve("a:1") == "a:1", "an STP is never another's alias"
    assert topology.resolve("urn:a") == "a:1"
    assert topology.resolve("urn:b") == "a:2"
    assert topology.resolve("both") is None, "ambiguous"
    assert topology.resolve("nobody") is None
    assert topology.port("urn:a") is None
    assert topology.port("b:1") == port("b:1", None, "both", "a:1")


def test_a_domain_that_is_added_again_is_replaced() -> None:
    old = network([Link("a", "b"), Link("b", "c")])
    changed = dataclasses.replace(old.domains["b"], ports=())
    new = old.with_domain(changed)
    assert new.domains["b"].ports == ()
    assert new.links == ()
    assert len(old.links) == 2, "the old one stays as it was"
    assert new.with_domain(old.domains["b"]).links == old.links


def test_without_a_domain_its_links_are_gone() -> None:
    topology = network([Link("a", "b"), Link("b", "c"), Link("a", "c")])
    left = topology.without("b")
    assert list(left.domains) == ["a", "c"]
    assert [(link.a_stp, link.b_stp) for link in left.links] == [("a:to-c", "c:to-a")]
    assert topology.without("nobody").links == topology.links


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_domains_does_not_matter(names: list[str]) -> None:
    links = [Link("a", "b"), Link("b", "c"), Link("c", "d"), Link("a", "d")]
    plain = network(links)
    shuffled = Topology(plain.domains[name] for name in names)
    assert list(shuffled.domains) == sorted(names)
    assert shuffled.links == plain.links
