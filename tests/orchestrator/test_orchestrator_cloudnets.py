"""CloudNets over shipped agents in virtual time (paper 002, sections 4 and 5)."""

from __future__ import annotations

import re
from pathlib import Path

from grpc import StatusCode
from orchestrated import (
    NO_CONTEXT,
    NOW_S,
    Orchestrated,
    port,
    refused,
    until,
    virtual,
    wanted,
)
from providers_world import (
    HOUR_S,
    carrier,
    cloudnet,
    partial_graph,
    placed,
    provider,
    requested,
    substrate,
    world,
)

from braid.v1 import common_pb2, reservations_pb2 as pb
from protocol.messages import ReservationPrep
from rdl.codec import graph_to_pb
from rdl.reading import read

EXAMPLES = Path(__file__).parents[2] / "docs" / "rdl"
SPREAD = {"a": "berlin", "b": "munich", "c": "zurich"}


@virtual
async def test_vnodes_at_three_providers_are_joined_over_networks_that_know_nothing_of_them() -> (
    None
):
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet(at=SPREAD)))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        assert placed(record) == SPREAD
        hops = {path.vlink: [hop.domain for hop in path.hops] for path in record.paths}
        assert hops == {
            "a-b": ["berlin", "dfn", "munich"],
            "b-c": ["munich", "dfn", "ix", "zurich"],
        }
        assert set(it.held()) == {"berlin", "munich", "zurich", "dfn", "ix"}


@virtual
async def test_vnodes_that_may_be_anywhere_go_where_no_circuit_is_needed() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet()))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        assert len(set(placed(record).values())) == 1
        assert not record.paths
        assert (record.proof.status, record.proof.gap) == ("optimal", 0)


@virtual
async def test_vnodes_go_where_their_amounts_are_cheapest_and_the_whole_price_is_told() -> None:
    prices = ", /feature/price/cpu: 0.05 /h, /feature/price/disk: 1 milli/h"
    sites = [
        provider("berlin", "dfn", features=prices),
        provider("munich", "dfn", features=", /feature/price/cpu: 0.02 /h"),
        carrier("dfn", "berlin", "munich", price=7),
    ]
    async with Orchestrated(sites) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet({"a": 2}, ())))
        assert placed(record) == {"a": "munich"}
        assert record.proof.price_micros == 40_000
        assert list(record.proof.unpriced_domains) == ["munich"], "it tells none for disks"
        at = {"a": "berlin", "b": "munich"}
        apart = requested(cloudnet(("a", "b"), [("a", "b")], at), "apart")
        plan = await one.reservations.Plan(apart, NO_CONTEXT)
        disk = round(10**10 / 2**30 * 1000)
        assert plan.proof.price_micros == 2 * 50_000 + disk + 2 * 20_000 + 7_000


@virtual
async def test_where_nobody_tells_a_price_none_is_told() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        plan = await one.reservations.Plan(requested(cloudnet(at=SPREAD)), NO_CONTEXT)
        assert plan.feasible
        assert not plan.proof.HasField("price_micros")
        assert not plan.proof.unpriced_domains


@virtual
async def test_what_is_cancelled_is_held_nowhere() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet(at=SPREAD)))
        await one.cancel(record.reservation_id)
        assert it.held() == {}


@virtual
async def test_the_same_request_twice_is_one_cloudnet() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        first = await one.reserve(requested(cloudnet(at=SPREAD)))
        again = await one.reserve(requested(cloudnet(at=SPREAD)))
        assert again.reservation_id == first.reservation_id
        assert all(len(parts) == 1 for parts in it.held().values())


@virtual
async def test_a_vnode_that_is_larger_than_any_host_is_mapped_where_one_is_large_enough() -> None:
    # Berlin has 24 cores in three hosts of 8; the only host of 12 cores is in Munich.
    net = world()
    net[1]["cloud"]["substrate"] = substrate("munich", hosts=1, cores=12)
    async with Orchestrated(net) as it:
        one = await it.start()
        plan = await one.reservations.Plan(requested(cloudnet({"big": 12}, ())), NO_CONTEXT)
        assert {each.vnode: each.domain for each in plan.vnodes} == {"big": "munich"}
        record = await one.reserve(requested(cloudnet({"big": 12}, ())))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        assert placed(record) == {"big": "munich"}
        assert set(it.held()) == {"munich"}


@virtual
async def test_a_kind_of_host_that_nobody_has_is_refused_by_plan_and_before_any_hold() -> None:
    vague = pb.CloudNet(graph=graph_to_pb(read((EXAMPLES / "vague.yaml").read_text()).graph))
    async with Orchestrated(world()) as it:
        one = await it.start()
        plan = await one.reservations.Plan(requested(vague), NO_CONTEXT)
        assert not plan.feasible
        record = await one.reserve(requested(vague))
        assert record.state == pb.RESERVATION_STATE_FAILED
        assert record.refusals == plan.refusals
        (refusal,) = record.refusals
        assert refusal.kind == common_pb2.REFUSAL_KIND_FEATURE
        assert (refusal.resource, list(refusal.elements)) == ("/node/host/server", ["right"])
        told = "(berlin, munich, zurich: right: /node/host/server does not map on its hosts: "
        assert told in refusal.reason


@virtual
async def test_more_than_all_providers_have_is_refused_with_what_is_short_and_where() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet({"big": 100}, ())))
        assert record.state == pb.RESERVATION_STATE_FAILED
        refusal = record.refusals[-1]
        assert "92 cores short at all providers" in refusal.reason
        assert refusal.kind == common_pb2.REFUSAL_KIND_RESOURCE
        assert (refusal.resource, refusal.where) == ("/resource/cpu", "all providers")
        assert (refusal.short, refusal.asked) == (92_000, 100_000)
        assert list(refusal.elements) == ["big"]
        assert it.held() == {}


@virtual
async def test_everything_that_is_short_is_told_and_stored() -> None:
    net = [provider("berlin", "dfn"), provider("munich", "dfn", cores=12)]
    async with Orchestrated([*net, carrier("dfn", "berlin", "munich")]) as it:
        one = await it.start()
        two = cloudnet({"big": 100, "large": 20}, ())
        record = await one.reserve(requested(two))
        assert [(s.where, s.short, s.asked, *s.elements) for s in record.refusals[0].shortages] == [
            ("munich", 88_000, 100_000, "big"),
            ("berlin", 92_000, 100_000, "big"),
            ("munich", 8_000, 20_000, "large"),
            ("berlin", 12_000, 20_000, "large"),
        ]
        again = await one.get(record.reservation_id)
        assert again.refusals == record.refusals


@virtual
async def test_everything_that_a_provider_lacks_is_told_with_its_own_vnodes() -> None:
    """Of its own hosts it tells no names."""
    net = [provider("berlin", "dfn", hosts=2), carrier("dfn", "berlin")]
    async with Orchestrated(net) as it:
        one = await it.start()
        # Two of 6 cores on hosts of 8; the third, and the fourth, lack something everywhere.
        record = await one.reserve(requested(cloudnet({"a": 6, "b": 5, "c": 5}, ())))
        (refusal, *_) = record.refusals
        assert refusal.domain == "berlin"
        (first, *_) = refusal.shortages
        assert (first.resource, first.short) == (refusal.resource, refusal.short)
        assert list(first.elements) == list(refusal.elements)
        assert {s.where for s in refusal.shortages} == {""}


@virtual
async def test_what_a_provider_refuses_is_told_without_its_hosts_and_links() -> None:
    net = [provider("berlin", "dfn", hosts=3), carrier("dfn", "berlin")]
    async with Orchestrated(net) as it:
        one = await it.start()
        # In sum there is enough, and for each of them; of three hosts none has room for two.
        asked = requested(cloudnet(dict.fromkeys("abcd", 6), ()))
        record = await one.reserve(asked)
        assert record.state == pb.RESERVATION_STATE_FAILED
        by_provider = [refusal for refusal in record.refusals if refusal.domain == "berlin"]
        (refusal,) = by_provider
        assert refusal.kind == common_pb2.REFUSAL_KIND_RESOURCE
        assert refusal.reason.startswith("4 cores of /resource/cpu short for ")
        assert (refusal.resource, refusal.short, refusal.asked) == ("/resource/cpu", 4000, 12_000)
        assert len(refusal.elements) == 2
        again = await one.reservations.Get(
            pb.GetRequest(reservation_id=record.reservation_id), NO_CONTEXT
        )
        assert again.refusals == record.refusals, "it is stored as it was told"
        assert not re.search(r"\b(h[123]|sw)\b", str(again))


@virtual
async def test_a_vlink_that_no_circuit_carries_is_named_with_what_is_short() -> None:
    # Inside the WAN it is thinner than the links that are known.
    net = world()
    net[3] = carrier(
        "dfn",
        "berlin",
        "munich",
        "ix",
        wan={
            "nodes": ["n", "s"],
            "links": [{"a": "n", "b": "s", "capacity": "400M"}],
            "port_nodes": {"berlin": "n", "munich": "s", "ix": "s"},
        },
    )
    async with Orchestrated(net) as it:
        one = await it.start()
        thick = cloudnet(("a", "b"), [("a", "b")], {"a": "berlin", "b": "munich"}, mbps=1000)
        plan = await one.reservations.Plan(requested(thick), NO_CONTEXT)
        refusal = plan.refusals[-1]
        assert refusal.reason.startswith("VLink a-b from berlin to munich: ")
        assert refusal.kind == common_pb2.REFUSAL_KIND_BANDWIDTH
        assert refusal.resource == "/resource/bandwidth"
        assert (refusal.short, refusal.asked) == (600 * 10**6, 10**9)
        assert refusal.where.startswith("dfn:")
        assert list(refusal.elements) == ["a-b"]


@virtual
async def test_a_provider_that_is_full_in_the_window_is_free_after_it() -> None:
    async with Orchestrated([provider("berlin", "dfn"), carrier("dfn", "berlin")]) as it:
        one = await it.start()
        all_of_it = cloudnet({f"v{i}": 8 for i in range(3)}, ())
        first = await one.reserve(requested(all_of_it, "1"))
        assert first.state == pb.RESERVATION_STATE_COMMITTED, first.refusals
        second = await one.reserve(requested(all_of_it, "2"))
        assert second.state == pb.RESERVATION_STATE_FAILED
        later = common_pb2.Window(start_s=NOW_S + 2 * HOUR_S, end_s=NOW_S + 3 * HOUR_S)
        third = await one.reserve(requested(all_of_it, "3", window=later))
        assert third.state == pb.RESERVATION_STATE_COMMITTED, third.refusals


@virtual
async def test_where_no_circuit_fits_between_two_providers_vnodes_are_mapped_anew() -> None:
    # The WAN inside is thinner than its ports: only Munich, at the same node, is well joined.
    net = world()
    net[3] = carrier(
        "dfn",
        "berlin",
        "munich",
        "ix",
        wan={
            "nodes": ["n", "s"],
            "links": [{"a": "n", "b": "s", "capacity": "100M"}],
            "port_nodes": {"berlin": "n", "munich": "n", "ix": "s"},
        },
    )
    async with Orchestrated(net) as it:
        one = await it.start()
        # Two VNodes that fill a provider each.
        pair = cloudnet({f"{x}{i}": 8 for x in "ab" for i in range(3)}, [("a0", "b0")])
        pair.placing.add(vnode="a0", domain="berlin")
        record = await one.reserve(requested(pair))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        at = placed(record)
        assert (at["a0"], at["b0"]) in {("berlin", "munich"), ("berlin", "berlin")}
        assert all("ix" not in [hop.domain for hop in path.hops] for path in record.paths)


@virtual
async def test_a_circuit_that_fits_nowhere_is_told_with_the_links_that_are_too_thin() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        thick = cloudnet(("a", "b"), [("a", "b")], {"a": "berlin", "b": "zurich"}, mbps=200_000)
        record = await one.reserve(requested(thick))
        assert record.state == pb.RESERVATION_STATE_FAILED
        refusal = record.refusals[-1]
        assert "short at berlin--dfn" in refusal.reason
        assert refusal.kind == common_pb2.REFUSAL_KIND_BANDWIDTH
        assert (refusal.resource, refusal.where) == ("/resource/bandwidth", "berlin--dfn")
        assert refusal.asked == 200 * 10**9
        assert 0 < refusal.short < refusal.asked
        assert list(refusal.elements) == ["a-b"]
        assert it.held() == {}


@virtual
async def test_a_blind_provider_tells_sums_and_takes_vnodes() -> None:
    net = [provider("berlin", "dfn", visible=False), carrier("dfn", "berlin")]
    async with Orchestrated(net) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet()))
        assert placed(record) == dict.fromkeys("abc", "berlin"), record.refusals


@virtual
async def test_vnodes_are_added_resized_and_taken_away_by_a_modify_and_the_others_stay() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet(at=SPREAD)))
        wished = cloudnet({"a": 4, "c": 2, "d": 1}, [("a", "d"), ("a", "c")])
        change = pb.ModifyRequest(
            request_id="m", reservation_id=record.reservation_id, cloudnet=wished
        )
        after = await one.reservations.Modify(change, NO_CONTEXT)
        assert after.modified, after.refusals
        assert after.version == 2
        at = placed(after)
        assert (at["a"], at["c"]) == ("berlin", "zurich")
        assert set(at) == {"a", "c", "d"}
        versions = {version for rows in it.held().values() for _, version in rows}
        assert versions == {2}


@virtual
async def test_a_modify_that_does_not_fit_leaves_the_old_version_in_force() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(cloudnet(at=SPREAD)))
        before = it.held()
        change = pb.ModifyRequest(
            request_id="m", reservation_id=record.reservation_id, cloudnet=cloudnet({"a": 99}, ())
        )
        after = await one.reservations.Modify(change, NO_CONTEXT)
        assert (after.modified, after.version, placed(after)) == (False, 1, SPREAD)
        assert after.criteria.cloudnet == record.criteria.cloudnet
        assert it.held() == before


@virtual
async def test_when_the_orchestrator_dies_amid_a_negotiation_all_is_held_or_nothing() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start("a")
        # Zurich's answer never comes while this instance lives.
        it.delay = lambda domain, message: (
            None if domain == "zurich" and isinstance(message, ReservationPrep) else 0.0
        )
        detached = await one.reserve(requested(cloudnet(at=SPREAD), detach=True))
        await until(lambda: "dfn" in it.held())
        await it.kill("a")
        it.delay = lambda domain, message: 0.0
        two = await it.start("b")
        await until(lambda: it.held() == {} or len(it.held()) == 5, 600)
        record = await two.get(detached.reservation_id)
        committed = record.state == pb.RESERVATION_STATE_COMMITTED
        assert len(it.held()) == (5 if committed else 0)


@virtual
async def test_a_cloudnet_of_a_vnp_below_another_leaves_by_the_port_that_it_is_told() -> None:
    net = world()
    net[3]["ports"].append(port("uplink"))
    async with Orchestrated(net) as it:
        one = await it.start()
        outer = pb.CloudNet(graph=partial_graph(vlan=150))
        outer.exits.add(vlink="a-far", stp="dfn:uplink", vlan=150)
        record = await one.reserve(requested(outer))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        assert set(placed(record)) == {"a"}
        (path,) = record.paths
        assert (path.vlink, path.hops[-1].egress_stp, path.hops[-1].egress_vlan) == (
            "a-far",
            "dfn:uplink",
            150,
        )


@virtual
async def test_a_circuit_does_not_end_at_a_cloud_stp() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        await refused(
            one.reserve(wanted(1, source="berlin:cloud", destination="munich:cloud")),
            StatusCode.INVALID_ARGUMENT,
            "source",
        )
