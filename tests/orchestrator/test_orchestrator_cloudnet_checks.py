"""What a CloudNet that cannot be asked for gets: an error that names the field and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, port, refused, virtual
from providers_world import (
    carrier,
    cloudnet,
    graph,
    partial_graph,
    placed,
    provider,
    requested,
    world,
)

from braid.v1 import common_pb2, rdl_pb2, reservations_pb2 as pb
from orchestrator.cloudnet_checks import OF_CIRCUITS, OF_ENDS
from rdl.codec import graph_to_pb
from rdl.reading import read
from rdl.sizes import VLINKS_MAX, VNODES_MAX
from runtime.errors import RequestError, status_of

INVALID, EXHAUSTED = StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED
NOT_FOUND = StatusCode.NOT_FOUND
PAIR = cloudnet(("a", "b"), [("a", "b")])
VNODE = "elements.a.resources./resource/cpu"


def overlay(body: str) -> rdl_pb2.Graph:
    return graph_to_pb(read(f"rdl: 1\nname: net\nlayer: overlay\n{body}").graph)


def hosts(*names: str) -> str:
    return "elements:\n" + "".join(
        f"  {name}: {{attribute: /node/host/generic}}\n" for name in names
    )


def joined(*pairs: str) -> str:
    """Interfaces, of "a-l": one that joins a and l."""
    rows = (f"{{attribute: /interface/generic, joins: [{p.replace('-', ', ')}]}}" for p in pairs)
    return "interfaces:\n" + "".join(f"  i{i}: {row}\n" for i, row in enumerate(rows))


def changed(change: Callable[[pb.CloudNet], object], net: pb.CloudNet = PAIR) -> pb.CloudNet:
    """A copy with one thing wrong."""
    message = pb.CloudNet()
    message.CopyFrom(net)
    change(message)
    return message


def placed_by(plan: pb.PlanResponse) -> dict[str, str]:
    return {each.vnode: each.domain for each in plan.vnodes}


def element(net: pb.CloudNet, name: str) -> Any:
    return next(each for each in net.graph.elements if each.id == name)


def set_cpu(mcores: int) -> Callable[[pb.CloudNet], None]:
    def change(net: pb.CloudNet) -> None:
        amount = next(r for r in element(net, "a").resources if r.attribute == "/resource/cpu")
        amount.amount.compute_mcores = mcores

    return change


def set_attribute(name: str, attribute: str) -> Callable[[pb.CloudNet], None]:
    return lambda net: setattr(element(net, name), "attribute", attribute)


def without_unit(net: pb.CloudNet) -> None:
    next(iter(element(net, "a").resources)).amount.Clear()


def wrong_unit(net: pb.CloudNet) -> None:
    cpu = next(r for r in element(net, "a").resources if r.attribute == "/resource/cpu")
    cpu.amount.data_bytes = 5


def relate(kind: int, of: str, *names: str) -> Callable[[pb.CloudNet], None]:
    def change(net: pb.CloudNet) -> None:
        relations = net.graph.relations
        relations.add(id=f"r{len(relations)}", kind=kind, of=of, elements=names)

    return change


def both_same_and_different(net: pb.CloudNet) -> None:
    relate(rdl_pb2.RELATION_KIND_SAME, "/feature/architecture", "a", "b")(net)
    relate(rdl_pb2.RELATION_KIND_DIFFERENT, "/feature/architecture", "a", "b")(net)


def too_large(net: pb.CloudNet) -> None:
    for i in range(300):
        element(net, "a").features.add(attribute=f"/feature/image/x{i}").words.words.append("x")


WRONG_GRAPHS: dict[str, tuple[Callable[[pb.CloudNet], object], StatusCode, str, str]] = {
    "unknown attribute": (
        set_attribute("a", "/node/hots"),
        INVALID,
        "elements.a.attribute",
        "did you mean /node/host",
    ),
    "dangling interface": (
        lambda net: net.graph.interfaces[0].joins.__setitem__(0, "nobody"),
        INVALID,
        "interfaces.a-b.a.joins",
        "there is no element 'nobody'",
    ),
    "interface of three": (
        lambda net: net.graph.interfaces[0].joins.append("b"),
        INVALID,
        "interfaces.a-b.a.joins",
        "joins 3 elements",
    ),
    "link with one end": (
        lambda net: net.graph.interfaces.__delitem__(0),
        INVALID,
        "elements.a-b",
        "interfaces of the link: 1",
    ),
    "negative amount": (set_cpu(-1), INVALID, VNODE, "negative"),
    "amount of nothing": (set_cpu(0), INVALID, VNODE, "more than 0"),
    "amount over all bounds": (set_cpu(10**18 + 1), INVALID, VNODE, "over the most possible"),
    "amount without unit": (without_unit, INVALID, VNODE, "has no unit"),
    "amount in another unit": (wrong_unit, INVALID, VNODE, "in the wrong unit"),
    "relation of both kinds": (both_same_and_different, INVALID, "relations.r1", ""),
    "relation of one": (
        relate(rdl_pb2.RELATION_KIND_SAME, "/feature/architecture", "a"),
        INVALID,
        "relations.r0",
        "elements: 1",
    ),
    "relation with a stranger": (
        relate(rdl_pb2.RELATION_KIND_SAME, "/feature/architecture", "a", "zoe"),
        INVALID,
        "relations.r0.elements",
        "there is no element 'zoe'",
    ),
    "relation of no kind": (
        relate(7, "/feature/architecture", "a", "b"),
        INVALID,
        "relations.r0.kind",
        "same, different",
    ),
    "an id twice": (
        lambda net: net.graph.elements.add(id="a", attribute="/node/host/generic"),
        INVALID,
        "elements.a",
        "given twice",
    ),
    "no layer": (
        lambda net: net.graph.ClearField("layer"),
        INVALID,
        "layer",
        "underlay, overlay",
    ),
    "a name that is none": (
        lambda net: setattr(net.graph, "name", "../etc"),
        INVALID,
        "name",
        "is not a name",
    ),
    "a list over the limit": (too_large, EXHAUSTED, "elements.a.features", "300 entries"),
    "objects over the limit": (
        lambda net: [net.graph.shared.add(id=f"s{i}") for i in range(10_001)],
        INVALID,
        "shared.s0.amount",
        "has no unit",
    ),
}


@pytest.fixture
def net() -> list[dict[str, Any]]:
    """With a way out at dfn."""
    configs = world()
    configs[3]["ports"] += [port("uplink"), port("second")]
    return configs


@asynccontextmanager
async def running(configs: list[dict[str, Any]]) -> AsyncIterator[One]:
    """Which must hold nothing in the end."""
    async with Orchestrated(configs) as it:
        yield await it.start()
        assert it.held() == {}


async def error_of(one: One, net: pb.CloudNet, code: StatusCode, field: str) -> RequestError:
    """What Plan and Reserve say, which is the same."""
    dry = await refused(one.reservations.Plan(requested(net), NO_CONTEXT), code, field)
    error = await refused(one.reserve(requested(net)), code, field)
    assert str(error) == str(dry)
    status = status_of(error)
    assert status is not None
    kinds = {detail.TypeName() for detail in status.details}
    assert ("google.rpc.BadRequest" in kinds) is (code is INVALID)
    assert error.possible
    return error


@pytest.mark.parametrize("name", WRONG_GRAPHS)
def test_a_wrong_graph_is_told_by_the_field_and_the_reason(
    name: str, net: list[dict[str, Any]]
) -> None:
    @virtual
    async def run() -> None:
        change, code, field, text = WRONG_GRAPHS[name]
        async with running(net) as one:
            error = await error_of(one, changed(change), code, f"cloudnet.graph.{field}")
            assert text in f"{error.given} {error.possible}"

    run()


@virtual
async def test_all_mistakes_are_told_at_once_the_first_by_its_field() -> None:
    async with running(world()) as one:
        net = changed(set_cpu(-1), changed(set_attribute("b", "/node/hots")))
        error = await error_of(one, net, INVALID, f"cloudnet.graph.{VNODE}")
        assert error.given == "\"'-1 mcores' is negative\""
        assert error.possible.startswith("0 or more; wrong besides: elements.b.attribute: ")


@virtual
async def test_what_is_possible_is_told_once_and_in_its_place() -> None:
    async with running(world()) as one:
        net = changed(lambda net: net.graph.interfaces.__delitem__(0))
        error = await error_of(one, net, INVALID, "cloudnet.graph.elements.a-b")
        assert (error.given, error.possible) == ("'interfaces of the link: 1'", "2 or more")
        assert str(error).count("possible") == 1


@virtual
async def test_a_vlink_of_three_vnodes_is_told_that_it_joins_two_and_what_to_ask_for() -> None:
    lan = hosts("a", "b", "c") + "  lan: {attribute: /link/generic}\n"
    net = pb.CloudNet(graph=overlay(lan + joined("a-lan", "b-lan", "c-lan")))
    async with running(world()) as one:
        error = await error_of(one, net, INVALID, "cloudnet.graph.elements.lan")
        assert error.given == "'joins 3 VNodes'"
        assert error.possible.startswith("two. To join more, ask for a /node/host that forwards")


@virtual
async def test_a_vlink_with_both_ends_at_one_vnode_is_told_so() -> None:
    loop = hosts("a") + "  a-a: {attribute: /link/generic}\n"
    ends = "".join(
        f"  a-{end}: {{attribute: /interface/generic, joins: [a, a-a]}}\n" for end in ("1", "2")
    )
    net = pb.CloudNet(graph=overlay(loop + "interfaces:\n" + ends))
    async with running(world()) as one:
        error = await error_of(one, net, INVALID, "cloudnet.graph.elements.a-a")
        assert (error.given, error.possible) == ("'has both ends at a'", "two VNodes")


@virtual
async def test_what_forwards_joins_more_as_the_error_says() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        star = cloudnet(("mid", "a", "b", "c"), [("mid", x) for x in "abc"])
        record = await one.reserve(requested(star))
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals


@virtual
async def test_an_underlay_is_nothing_to_ask_for() -> None:
    text = "rdl: 1\nname: net\nlayer: underlay\nelements:\n  a: {attribute: /node/host}\n"
    async with running(world()) as one:
        error = await error_of(
            one, pb.CloudNet(graph=graph_to_pb(read(text).graph)), INVALID, "cloudnet.graph.layer"
        )
        assert (error.raw, error.possible) == ("underlay", "overlay")


@virtual
async def test_a_graph_without_nodes_is_nothing_to_ask_for() -> None:
    empty = rdl_pb2.Graph(name="net", layer=rdl_pb2.GRAPH_LAYER_OVERLAY)
    async with running(world()) as one:
        error = await error_of(one, pb.CloudNet(graph=empty), INVALID, "cloudnet.graph.elements")
        assert (error.raw, error.possible) == ("no node", "one node or more")


@virtual
async def test_a_cloudnet_without_a_graph_is_a_wrong_one() -> None:
    async with running(world()) as one:
        await error_of(one, pb.CloudNet(), INVALID, "cloudnet.graph.layer")


@virtual
async def test_too_many_vnodes_are_resource_exhausted_with_the_first_that_is_too_many() -> None:
    many = cloudnet([f"v{i:03}" for i in range(VNODES_MAX + 1)], ())
    async with running(world()) as one:
        error = await error_of(one, many, EXHAUSTED, "cloudnet.graph.elements.v256")
        assert (error.raw, error.possible) == ("is node 257 of 257", "at most 256 nodes")


@virtual
async def test_too_many_vlinks_are_resource_exhausted_with_the_first_that_is_too_many() -> None:
    names = [f"v{i:02}" for i in range(40)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]][: VLINKS_MAX + 1]
    field = f"cloudnet.graph.elements.{'-'.join(max(pairs))}"
    async with running(world()) as one:
        error = await error_of(one, cloudnet(names, pairs), EXHAUSTED, field)
        assert (error.raw, error.possible) == ("is link 513 of 513", "at most 512 links")


@virtual
async def test_an_objective_that_is_not_known_is_told_those_that_are() -> None:
    async with running(world()) as one:
        wrong = changed(lambda net: setattr(net, "objective", "fame"))
        error = await error_of(one, wrong, INVALID, "cloudnet.objective")
        assert error.possible == "cost, energy, load, migration"


@virtual
async def test_no_objective_is_the_cost_as_the_record_tells() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(PAIR))
        assert record.criteria.cloudnet.objective == "cost"


# Placing ------------------------------------------------------------------------------------------


@virtual
async def test_a_vnode_that_is_placed_must_be_one() -> None:
    async with running(world()) as one:
        wrong = cloudnet(("a", "b"), (), {"zoe": "berlin"})
        error = await error_of(one, wrong, INVALID, "cloudnet.placing[0].vnode")
        assert (error.raw, error.possible) == ("zoe", "one of a, b")


@virtual
async def test_a_vlink_is_not_placed() -> None:
    async with running(world()) as one:
        wrong = cloudnet(("a", "b"), [("a", "b")], {"a-b": "berlin"})
        await error_of(one, wrong, INVALID, "cloudnet.placing[0].vnode")


@virtual
async def test_a_vnode_is_placed_once() -> None:
    async with running(world()) as one:
        wrong = cloudnet(("a", "b"), (), {"a": "berlin"})
        wrong.placing.add(vnode="a", domain="munich")
        error = await error_of(one, wrong, INVALID, "cloudnet.placing[1].vnode")
        assert error.possible == "each VNode once"


@pytest.mark.parametrize("domain", ["nowhere", "dfn", "", "berlin:cloud"])
def test_a_vnode_is_placed_at_a_provider_and_no_other_domain(domain: str) -> None:
    @virtual
    async def run() -> None:
        async with running(world()) as one:
            wrong = cloudnet(("a", "b"), (), {"a": domain})
            error = await error_of(one, wrong, NOT_FOUND, "cloudnet.placing[0].domain")
            assert (error.raw, error.possible) == (domain, "a provider: berlin, munich, zurich")

    run()


# What belongs to circuits -------------------------------------------------------------------------

CIRCUIT_FIELDS: dict[str, Any] = {
    "source": "berlin:dfn",
    "destination": "munich:dfn",
    "bandwidth_bps": 5,
    "directionality": common_pb2.DIRECTIONALITY_BIDIRECTIONAL,
    "strategy": pb.STRATEGY_AUTO,
    "flexibility": pb.Flexibility(duration_s=60),
    "more_destinations": ["zurich:ix"],
    "movable": True,
}
END_CONSTRAINTS: dict[str, Any] = {
    "max_paths": 2,
    "min_share_bps": 5,
    "ero": ["dfn:berlin"],
    "source_vlans": [common_pb2.VlanRange(first=100, last=100)],
    "destination_vlans": [common_pb2.VlanRange(first=100, last=100)],
    "survive": 1,
    "remaining_bps": 5,
    "disjoint": pb.DISJOINTNESS_DOMAIN,
}


def test_every_field_of_circuits_is_tried_below() -> None:
    known = {field.name for field in pb.Reservation.DESCRIPTOR.fields}
    assert set(CIRCUIT_FIELDS) == set(OF_CIRCUITS) <= known
    limits = {field.name for field in pb.Constraints.DESCRIPTOR.fields}
    of_each = {
        "max_latency_us",
        "max_latency_spread_us",
        "max_domains",
        "via_domains",
        "avoid_domains",
    }
    assert set(END_CONSTRAINTS) == set(OF_ENDS) == limits - of_each


@pytest.mark.parametrize("name", CIRCUIT_FIELDS)
def test_what_only_a_circuit_has_is_refused_beside_a_cloudnet(name: str) -> None:
    @virtual
    async def run() -> None:
        async with running(world()) as one:
            request = requested(PAIR, **{name: CIRCUIT_FIELDS[name]})
            for call in (one.reservations.Plan(request, NO_CONTEXT), one.reserve(request)):
                error = await refused(call, INVALID, name)
                assert error.possible == "nothing beside cloudnet"

    run()


@pytest.mark.parametrize("name", END_CONSTRAINTS)
def test_what_only_one_circuit_can_keep_is_refused_in_all_calls(name: str) -> None:
    @virtual
    async def run() -> None:
        limits = pb.Constraints(**{name: END_CONSTRAINTS[name]})
        async with Orchestrated(world()) as it:
            one = await it.start()
            request, field = requested(PAIR, constraints=limits), f"constraints.{name}"
            await refused(one.reservations.Plan(request, NO_CONTEXT), INVALID, field)
            await refused(one.reserve(request), INVALID, field)
            record = await one.reserve(requested(PAIR))
            change = pb.ModifyRequest(
                request_id="m", reservation_id=record.reservation_id, constraints=limits
            )
            await refused(one.reservations.Modify(change, NO_CONTEXT), INVALID, field)

    run()


@virtual
@pytest.mark.parametrize("field", ["via_domains", "avoid_domains"])
async def test_a_domain_that_is_not_known_is_told_those_that_are(field: str) -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        limits = pb.Constraints()
        getattr(limits, field).append("paris")
        call = one.reservations.Plan(requested(PAIR, constraints=limits), NO_CONTEXT)
        error = await refused(call, NOT_FOUND, f"constraints.{field}")
        assert error.possible == "one of berlin, dfn, ix, munich, zurich"


@virtual
async def test_where_a_vnode_is_to_be_cannot_be_avoided() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        at_berlin, limits = cloudnet(at={"a": "berlin"}), pb.Constraints(avoid_domains=["berlin"])
        call = one.reservations.Plan(requested(at_berlin, constraints=limits), NO_CONTEXT)
        error = await refused(call, INVALID, "constraints.avoid_domains")
        assert "at which a is to be" in error.possible
        record = await one.reserve(requested(at_berlin))
        change = pb.ModifyRequest(
            request_id="m", reservation_id=record.reservation_id, constraints=limits
        )
        await refused(
            one.reservations.Modify(change, NO_CONTEXT), INVALID, "constraints.avoid_domains"
        )


@virtual
async def test_the_two_providers_that_alone_keep_the_constraints_are_found_among_many() -> None:
    others = [f"p{i}" for i in range(7)]
    large: dict[str, Any] = {"hosts": 1, "cores": 20}
    sites = [*(provider(name, "hub", **large) for name in others), carrier("hub", *others)]
    # As this way is longer, the others are thought of first.
    sites += [provider("west", "slow", **large), carrier("slow", "west", "detour")]
    sites += [provider("east", "detour", **large), carrier("detour", "slow", "east")]
    async with Orchestrated(sites) as it:
        one = await it.start()
        apart = cloudnet({"a": 20, "b": 20}, [("a", "b")])
        limits = pb.Constraints(via_domains=["detour"])
        plan = await one.reservations.Plan(requested(apart, constraints=limits), NO_CONTEXT)
        assert plan.feasible, plan.refusals
        assert {each.domain for each in plan.vnodes} == {"west", "east"}


@virtual
async def test_no_circuit_is_slower_than_is_said_for_all() -> None:
    sites = [
        provider("near", "hub", hosts=1, cores=20),
        provider("nearer", "hub", hosts=1, cores=20),
        provider("far", "hub", hosts=1, cores=20),
        carrier("hub", "near", "nearer", "far"),
    ]
    for each in sites[2]["ports"]:
        each["latency_us"] = 50_000
    async with Orchestrated(sites) as it:
        one = await it.start()
        at = {"a": "near"}
        apart = requested(cloudnet({"a": 20, "b": 20}, [("a", "b")], at))
        apart.constraints.max_latency_us = 20_000
        plan = await one.reservations.Plan(apart, NO_CONTEXT)
        assert placed_by(plan) == {"a": "near", "b": "nearer"}
        apart.cloudnet.placing.add(vnode="b", domain="far")
        plan = await one.reservations.Plan(apart, NO_CONTEXT)
        assert not plan.feasible
        (refusal,) = plan.refusals
        assert (refusal.resource, refusal.where) == ("/feature/latency", "far--near")
        assert (refusal.asked, list(refusal.elements)) == (20_000, ["a-b"])
        assert refusal.short == 50_000 - 20_000


@virtual
async def test_what_domains_add_to_the_latency_of_a_vlink_counts_and_is_told() -> None:
    inside = {
        "nodes": ["n", "s"],
        "links": [{"a": "n", "b": "s", "capacity": "10G", "latency_us": 7000}],
        "port_nodes": {"near": "n", "far": "s"},
    }
    sites = [
        provider("near", "hub"),
        provider("far", "hub"),
        carrier("hub", "near", "far", wan=inside),
    ]
    async with Orchestrated(sites) as it:
        one = await it.start()
        apart = requested(cloudnet(("a", "b"), [("a", "b")], {"a": "near", "b": "far"}))
        apart.constraints.max_latency_us = 5000
        plan = await one.reservations.Plan(apart, NO_CONTEXT)
        refusal = plan.refusals[-1]
        assert refusal.reason.startswith("VLink a-b from near to far: /feature/latency: ")
        assert "asks for 5 ms at most, and the least possible is" in refusal.reason
        assert (refusal.where, refusal.asked) == ("far--near", 5000)
        assert refusal.short == 7000 - 5000
        assert [each.short for each in refusal.shortages] == [refusal.short]


@virtual
async def test_no_vlink_crosses_a_domain_that_is_to_be_avoided() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        apart = cloudnet(("a", "b"), [("a", "b")], {"a": "berlin", "b": "munich"})
        limits = pb.Constraints(avoid_domains=["dfn"])
        record = await one.reserve(requested(apart, constraints=limits))
        assert record.state == pb.RESERVATION_STATE_FAILED
        assert it.held() == {}
        limits = pb.Constraints(avoid_domains=["berlin"])
        record = await one.reserve(requested(PAIR, "2", constraints=limits))
        assert "berlin" not in placed(record).values()


# Exits --------------------------------------------------------------------------------------------


def leaving(**exit_: Any) -> pb.CloudNet:
    net = pb.CloudNet(graph=partial_graph(vlan=150))
    net.exits.add(**{"vlink": "a-far", "stp": "dfn:uplink", "vlan": 150, **exit_})
    return net


WRONG_EXITS: dict[str, tuple[dict[str, Any], StatusCode, str, str]] = {
    "of no vlink that leaves": ({"vlink": "zoe"}, INVALID, "vlink", "once each of a-far"),
    "of the transit link": ({"vlink": "a-far@elsewhere@here"}, INVALID, "vlink", "once each of"),
    "at a port that is not known": ({"stp": "dfn:nowhere"}, NOT_FOUND, "stp", "known here"),
    "at a domain that is not known": ({"stp": "mars:up"}, NOT_FOUND, "stp", "known here"),
    "at no STP": ({"stp": ""}, NOT_FOUND, "stp", "known here"),
    "at a cloud": ({"stp": "berlin:cloud"}, INVALID, "stp", "leads to none of the domains here"),
    "between domains": ({"stp": "dfn:ix"}, INVALID, "stp", "leads to none of the domains here"),
    "on a VLAN of others": ({"vlan": 300}, INVALID, "vlan", "100-199"),
    "on no VLAN": ({"vlan": 0}, INVALID, "vlan", "100-199"),
    "on more than a VLAN": ({"vlan": 2**32 - 1}, INVALID, "vlan", "100-199"),
}


@pytest.mark.parametrize("name", WRONG_EXITS)
def test_an_exit_is_wrong(name: str, net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        fields, code, field, text = WRONG_EXITS[name]
        async with running(net) as one:
            error = await error_of(one, leaving(**fields), code, f"cloudnet.exits[0].{field}")
            assert text in error.possible
            assert error.raw == next(iter(fields.values()))

    run()


def test_an_exit_that_is_missing_is_told_by_its_vlink(net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        async with running(net) as one:
            wrong = pb.CloudNet(graph=partial_graph(vlan=150))
            error = await error_of(one, wrong, INVALID, "cloudnet.exits")
            assert error.possible.endswith(": a-far")

    run()


def test_where_a_vlink_leaves_cannot_be_avoided(net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        async with running(net) as one:
            limits = pb.Constraints(avoid_domains=["dfn"])
            call = one.reservations.Plan(requested(leaving(), constraints=limits), NO_CONTEXT)
            error = await refused(call, INVALID, "constraints.avoid_domains")
            assert "where a-far leaves" in error.possible

    run()


def test_an_exit_twice_is_one_too_many(net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        async with running(net) as one:
            wrong = leaving()
            wrong.exits.add(vlink="a-far", stp="dfn:second", vlan=151)
            await error_of(one, wrong, INVALID, "cloudnet.exits[1].vlink")

    run()


def test_an_exit_of_a_graph_that_leaves_nowhere_is_wrong(net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        async with running(net) as one:
            wrong = changed(lambda net: net.exits.add(vlink="a-b", stp="dfn:uplink", vlan=150))
            error = await error_of(one, wrong, INVALID, "cloudnet.exits[0].vlink")
            assert error.possible == "once each of none"

    run()


TWO = (
    hosts("a", "b")
    + """
  far-a: {attribute: /link/generic}
  far-b: {attribute: /link/generic}
  t-a: {attribute: /link/transit}
  t-b: {attribute: /link/transit}
  out: {attribute: /node/host/pip}
"""
    + "interfaces:\n"
    + "".join(
        f"  {x}{i}: {{attribute: /interface/generic, joins: [{ends}]}}\n"
        for x in "ab"
        for i, ends in enumerate((f"{x}, far-{x}", f"far-{x}, t-{x}", f"t-{x}, out"))
    )
)


def two(stp_a: str, vlan_a: int, stp_b: str, vlan_b: int) -> pb.CloudNet:
    """Two VLinks to one neighbour."""
    net = pb.CloudNet(graph=overlay(TWO))
    net.exits.add(vlink="far-a", stp=stp_a, vlan=vlan_a)
    net.exits.add(vlink="far-b", stp=stp_b, vlan=vlan_b)
    return net


def test_two_vlinks_do_not_leave_on_one_vlan_of_a_port(net: list[dict[str, Any]]) -> None:
    @virtual
    async def run() -> None:
        async with running(net) as one:
            wrong = two("dfn:uplink", 150, "dfn:uplink", 150)
            error = await error_of(one, wrong, INVALID, "cloudnet.exits[1].vlan")
            assert error.possible == "one for each VLink at dfn:uplink"

    run()


@pytest.mark.parametrize("second", ["dfn:uplink", "dfn:second", "ix:beyond", "berlin:beyond"])
def test_two_vlinks_to_one_neighbour_leave_where_each_is_told_to(
    second: str, net: list[dict[str, Any]]
) -> None:
    net[4]["ports"].append(port("beyond"))
    net[0]["ports"].append(port("beyond"))
    net[0]["cloud"]["port_nodes"]["beyond"] = "sw"

    @virtual
    async def run() -> None:
        async with Orchestrated(net) as it:
            one = await it.start()
            record = await one.reserve(requested(two("dfn:uplink", 150, second, 151)))
            assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
            ends = {path.vlink: path.hops[-1] for path in record.paths}
            starts = {path.vlink: path.hops[0] for path in record.paths}
            assert set(ends) == {"far-a", "far-b"}
            for vlink, stp, vlan in (("far-a", "dfn:uplink", 150), ("far-b", second, 151)):
                first, last = starts[vlink], ends[vlink]
                ways = {
                    (last.egress_stp, last.egress_vlan),
                    (first.ingress_stp, first.ingress_vlan),
                }
                assert (stp, vlan) in ways
                clouds = {first.ingress_stp, last.egress_stp} - {stp}
                assert clouds == {f"{placed(record)[vlink[-1]]}:cloud"}
            assert set(placed(record)) == {"a", "b"}

    run()


STUBS = {
    "a provider as a VNode": (
        hosts("a") + "  p: {attribute: /node/host/pip, resources: {/resource/cpu: 1 core}}\n",
        "p.attribute",
    ),
    "a stub without a transit link": (
        hosts("a")
        + "  l: {attribute: /link/generic}\n  p: {attribute: /node/host/pip}\n"
        + joined("a-l", "p-l"),
        "p.attribute",
    ),
    "a transit link between VNodes": (
        hosts("a", "b") + "  t: {attribute: /link/transit}\n" + joined("a-t", "b-t"),
        "t",
    ),
    "a VNode behind a transit link": (
        hosts("a", "b")
        + "  l: {attribute: /link/generic}\n  t: {attribute: /link/transit}\n"
        + joined("a-l", "l-t", "t-b"),
        "t",
    ),
    "a VLink that leaves at both ends": (
        "elements:\n  l: {attribute: /link/generic}\n  t: {attribute: /link/transit}\n"
        "  u: {attribute: /link/transit}\n  p: {attribute: /node/host/pip}\n"
        "  q: {attribute: /node/host/pip}\n" + joined("l-t", "l-u", "t-p", "u-q"),
        "l",
    ),
}


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_that_is_out_of_place_is_found_before_anything_is_negotiated(name: str) -> None:
    @virtual
    async def run() -> None:
        body, field = STUBS[name]
        async with running(world()) as one:
            net = pb.CloudNet(graph=overlay(body))
            await error_of(one, net, INVALID, f"cloudnet.graph.elements.{field}")

    run()


# Modify and ReserveMany ---------------------------------------------------------------------------


@virtual
async def test_a_modify_with_a_wrong_cloudnet_changes_nothing_and_names_the_field() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        record = await one.reserve(requested(PAIR))
        before = it.held()
        for wrong, code, field in (
            (changed(set_cpu(-1)), INVALID, f"cloudnet.graph.{VNODE}"),
            (cloudnet(("a",), (), {"a": "dfn"}), NOT_FOUND, "cloudnet.placing[0].domain"),
            (leaving(), NOT_FOUND, "cloudnet.exits[0].stp"),
        ):
            change = pb.ModifyRequest(
                request_id="m", reservation_id=record.reservation_id, cloudnet=wrong
            )
            await refused(one.reservations.Modify(change, NO_CONTEXT), code, field)
        assert await one.get(record.reservation_id) == record
        assert it.held() == before


@virtual
async def test_a_modify_of_one_kind_is_not_one_of_the_other() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()
        net = await one.reserve(requested(PAIR))
        for name in ("bandwidth_bps", "switch_s"):
            change = pb.ModifyRequest(request_id="m", reservation_id=net.reservation_id)
            setattr(change, name, 5)
            error = await refused(one.reservations.Modify(change, NO_CONTEXT), INVALID, name)
            assert error.possible == "cloudnet, end_s, constraints: it is of the other kind"
        nothing = pb.ModifyRequest(request_id="m", reservation_id=net.reservation_id)
        await refused(one.reservations.Modify(nothing, NO_CONTEXT), INVALID, "cloudnet")


@virtual
async def test_a_circuit_does_not_become_a_cloudnet() -> None:
    configs = world()
    for config in configs[:2]:
        config["ports"].append(port("user"))
        config["cloud"]["port_nodes"]["user"] = "sw"
    async with Orchestrated(configs) as it:
        one = await it.start()
        request = requested(PAIR, source="berlin:user", destination="munich:user", bandwidth_bps=5)
        request.ClearField("cloudnet")
        record = await one.reserve(request)
        assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
        change = pb.ModifyRequest(
            request_id="m", reservation_id=record.reservation_id, cloudnet=PAIR
        )
        await refused(one.reservations.Modify(change, NO_CONTEXT), INVALID, "cloudnet")


@virtual
async def test_of_many_at_once_only_the_wrong_one_is_refused_by_its_own_status() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start()

        async def requests() -> AsyncIterator[pb.ReserveManyRequest]:
            yield pb.ReserveManyRequest(
                reservations=[
                    requested(PAIR, "good"),
                    requested(changed(set_cpu(-1)), "wrong"),
                    requested(pb.CloudNet(graph=graph(("x",))), "small"),
                ]
            )

        outcomes = {}
        async for response in one.reservations.ReserveMany(requests(), NO_CONTEXT):
            outcomes.update({outcome.request_id: outcome for outcome in response.outcomes})
        assert {name: o.WhichOneof("outcome") for name, o in outcomes.items()} == {
            "good": "record",
            "wrong": "status",
            "small": "record",
        }
        assert VNODE.encode() in outcomes["wrong"].status
        assert len({tuple(rows) for rows in it.held().values()}) >= 1
