"""What users are told of CloudNets is joined from end to end; what is not is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from embedding_case import INNER, PATHS, PEERS, VLANS, path, preps, record, with_prep

from rdl.codec import to_bytes
from simulations.faults.joined import unjoined
from simulations.faults.nets import graph_of, read_net
from substrate.model import CloudNet, Hop, Path, Window

WINDOW = Window(100, 200)


def problem(*paths: Path) -> str:
    found = paths or PATHS
    return unjoined(record(WINDOW, found), preps(WINDOW, found), PEERS)


def moved(one: Path, number: int, **changes: Any) -> Path:
    """A path with another hop."""
    hops = list(one.hops)
    hops[number] = replace(hops[number], **changes)
    return replace(one, hops=tuple(hops))


def test_all_is_well() -> None:
    assert problem() == ""


def test_a_path_either_way_round_will_do() -> None:
    hops = tuple(
        Hop(h.domain, h.egress_stp, h.egress_vlan, h.ingress_stp, h.ingress_vlan)
        for h in reversed(PATHS[0].hops)
    )
    assert problem(replace(PATHS[0], hops=hops), PATHS[1]) == ""


def test_a_vnode_at_two_providers_or_at_none() -> None:
    found = preps(WINDOW)
    twice = with_prep(found, "m1", graph=found["east"].graph)
    assert unjoined(record(WINDOW), twice, PEERS) == "VNode b is at east, m1"
    never = with_prep(found, "east", graph=b"")
    assert unjoined(record(WINDOW), never, PEERS) == "VNode b is at no provider"


def test_a_vnode_elsewhere_than_asked_or_told() -> None:
    one = record(WINDOW)
    cloudnet = one.criteria.cloudnet
    assert cloudnet is not None
    placing = (("a", "east"),)
    asked = replace(one.criteria, cloudnet=replace(cloudnet, placing=placing))
    found = unjoined(replace(one, criteria=asked), preps(WINDOW), PEERS)
    assert found == "VNode a is at west, not at east"
    told = tuple(replace(part, vnodes=()) for part in one.parts)
    found = unjoined(replace(one, parts=told), preps(WINDOW), PEERS)
    assert found == "VNode a is at west, its user reads None"


@pytest.mark.parametrize(
    ("net", "found"),
    [
        ("a:3:4 b:1:1 c:4:2 a-b:20 b-c:5", "VNode a is asked of west with another /resource/cpu"),
        ("a:2:5 b:1:1 c:4:2 a-b:20 b-c:5", "VNode a is asked of west with another /resource/mem"),
        ("a:2:4 b:1:1 a-b:20", "VNode c was not asked for"),
        ("a:2:4 b:1:1 c:4:2 a-b:20", "VLink b-c is none of it, and has a path"),
        ("a:2:4 b:1:1 c:4:2 a-b:21 b-c:5", "east is asked for VLink a-b with another"),
        ("a:2:4 b:1:1 c:4:2 a-b:20 a-c:1 b-c:5", "west does not know VLink a-c"),
    ],
)
def test_another_cloudnet_than_was_asked_for(net: str, found: str) -> None:
    one = record(WINDOW)
    asked = replace(one.criteria, cloudnet=CloudNet(to_bytes(graph_of(read_net(net)))))
    assert unjoined(replace(one, criteria=asked), preps(WINDOW), PEERS).startswith(found)


def test_a_vlink_without_a_path_or_with_two() -> None:
    assert problem(PATHS[0]) == "VLink b-c has 0 paths"
    again = replace(PATHS[1], bandwidth_bps=PATHS[1].bandwidth_bps)
    assert problem(*PATHS, again) == "VLink b-c has 2 paths"


def test_a_path_to_somewhere_else() -> None:
    astray = moved(PATHS[0], 2, egress_stp="east:host")
    assert problem(astray, PATHS[1]) == "VLink a-b leads from east:host to west:cloud"


def test_a_path_that_is_not_wired_or_changes_its_vlan_between_domains() -> None:
    changed = moved(PATHS[0], 1, ingress_vlan=103)
    words = "leaves by west:m1 with VLAN 100 and enters m1:west with 103"
    assert problem(changed, PATHS[1]) == f"VLink a-b: {words}"


def test_a_provider_that_was_told_another_segment() -> None:
    found = preps(WINDOW)
    (one, other) = found["west"].segments
    for wrong in (
        (replace(one, segment_id="s1"), other),
        (other,),
        (one, one, other),
    ):
        told = unjoined(record(WINDOW), with_prep(found, "west", segments=wrong), PEERS)
        if wrong == (other,):
            assert told == "nobody promised west:cloud to west:m1 for all of its path"
        else:
            assert told == "west has other segments of VLink a-b"


def test_a_provider_that_was_told_another_vlan_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    right = preps(WINDOW)
    monkeypatch.setitem(VLANS, "a-b", 102)
    wrong = with_prep(right, "east", graph=preps(WINDOW)["east"].graph)
    told = unjoined(record(WINDOW), wrong, PEERS)
    assert told == "east does not know that VLink a-b has VLAN 100 outside"


def test_a_hop_that_nobody_promised_for_so_long() -> None:
    short = with_prep(preps(WINDOW), "m1", window=Window(100, 199))
    told = unjoined(record(WINDOW), short, PEERS)
    assert told == "nobody promised m1:west to m1:east for all of its path"


def test_two_vlinks_with_one_vlan_at_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INNER, "b-c", INNER["a-b"])
    paths = (PATHS[0], path("b-c", "east", "west", 5))
    assert problem(*paths) == "two of its VLinks have VLAN 200 at east:cloud"
