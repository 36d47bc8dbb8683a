"""Records of CloudNets, on the wire and on disk: what was written is what is read."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st
from orchestrated import NO_CONTEXT, Orchestrated, noisy
from providers_world import cloudnet, graph, partial_graph, placed, requested, world
from test_orchestrator_store import creation

from braid.v1 import reservations_pb2 as pb
from cloudnets.vnp import Circuit, VnpMapping
from orchestrator.carried import CarriedVNode
from orchestrator.exits import all_circuits, exits_of, with_exits
from orchestrator.ports import Changes, Store
from orchestrator.records import (
    Change,
    Granted,
    PartView,
    Reservation,
    State,
    committed,
    granted_alone,
    with_change_grant,
)
from orchestrator.wire import (
    change_from_pb,
    change_to_pb,
    cloudnet_from_pb,
    cloudnet_to_pb,
    criteria_from_pb,
    criteria_to_pb,
    plan_to_pb,
    record_from_pb,
    record_to_pb,
)
from rdl.codec import from_bytes, graph_from_pb, to_bytes
from rdl.model import Graph, Layer, NetworkElement, NetworkInterface, Resource
from rdl.units import Amount, Unit
from substrate.labels import Plan
from substrate.model import (
    CloudNet,
    Constraints,
    Criteria,
    DataPlaneState,
    Hop,
    Path,
    Proof,
    Refusal,
    RefusalKind,
    Segment,
    Window,
)

NAMES = st.text("abz09-", min_size=1, max_size=6)
NUMBERS = st.integers(1, 10**12)
REALS = st.floats(allow_nan=False, width=64)
VLANS = st.integers(1, 4094)
STPS = st.builds(lambda domain, port: f"{domain}:{port}", NAMES, NAMES)
WINDOWS = st.builds(lambda start, length: Window(start, start + length), NUMBERS, NUMBERS)


def overlay(cores: dict[str, int], number: int) -> bytes:
    """VNodes with so many thousandths of a core each, and so many VLinks among them."""
    nodes = [
        NetworkElement(
            f"v-{name}",
            "/node/host/generic",
            (Resource("/resource/cpu", Amount(mcores, Unit.COMPUTE_MCORES)),),
        )
        for name, mcores in cores.items()
    ]
    pairs = [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]][:number]
    links = [NetworkElement(f"l-{i}", "/link/generic") for i in range(len(pairs))]
    interfaces = [
        NetworkInterface(f"i-{link.id}-{node.id}", "/interface/generic", (node.id, link.id))
        for link, pair in zip(links, pairs, strict=True)
        for node in pair
    ]
    return to_bytes(Graph("net", Layer.OVERLAY, (*nodes, *links), tuple(interfaces)))


OVERLAYS = st.builds(
    overlay,
    st.dictionaries(NAMES, st.integers(1, 10**6), min_size=1, max_size=4),
    st.integers(0, 3),
)
PROOFS = st.builds(
    Proof,
    st.sampled_from(["optimal", "feasible", "unknown"]),
    REALS,
    REALS,
    REALS,
    st.sampled_from(["whole", "pruned", "present"]),
    st.none() | st.integers(0, 10**9),
    st.lists(NAMES, max_size=2).map(tuple),
)
CLOUDNETS = st.builds(
    CloudNet,
    OVERLAYS,
    NAMES,
    st.lists(st.tuples(NAMES, NAMES)).map(lambda rows: tuple(sorted(rows))),
    st.lists(st.tuples(NAMES, STPS, VLANS)).map(lambda rows: tuple(sorted(rows))),
)
CRITERIA = st.builds(
    lambda window, cloudnet, most: Criteria(
        "", "", 0, window, constraints=Constraints(max_latency_us=most), cloudnet=cloudnet
    ),
    WINDOWS,
    CLOUDNETS,
    st.none() | st.integers(1, 10**6),
)
HOPS = st.builds(Hop, NAMES, STPS, VLANS, STPS, VLANS)
PATHS = st.builds(
    lambda bps, hops, vlink: Path(bps, 5, tuple(hops), vlink=vlink),
    NUMBERS,
    st.lists(HOPS, min_size=1, max_size=3),
    NAMES,
)
SEGMENTS = st.builds(Segment, NAMES, STPS, VLANS, STPS, VLANS, NUMBERS)
PARTS = st.builds(
    lambda domain, segments, state, vnodes: PartView(
        domain, tuple(segments), state, vnodes=tuple(sorted(vnodes))
    ),
    NAMES,
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from(DataPlaneState),
    st.sets(NAMES, max_size=4),
)
CHANGES = st.builds(
    lambda criteria, paths, parts, proof: Change(
        "c", "tx-2", criteria, 30, 3, tuple(paths), tuple(parts), proof=proof
    ),
    CRITERIA,
    st.lists(PATHS, max_size=2),
    st.lists(PARTS, max_size=2),
    st.none() | PROOFS,
)
RECORDS = st.builds(
    lambda criteria, paths, parts, proof, state, refusals, carried: Reservation(
        "res",
        "r",
        criteria,
        "tx-1",
        1,
        2,
        state=state,
        paths=tuple(paths),
        parts=tuple(parts),
        proof=proof,
        refusals=tuple(refusals),
        carried=tuple(carried),
    ),
    CRITERIA,
    st.lists(PATHS, max_size=3),
    st.lists(PARTS, max_size=3),
    st.none() | PROOFS,
    st.sampled_from(State),
    st.lists(st.builds(Refusal, st.sampled_from(RefusalKind), st.text(), NAMES), max_size=2),
    st.lists(
        st.builds(
            CarriedVNode,
            NAMES,
            NAMES,
            NAMES,
            st.booleans(),
            st.text(),
            st.none() | st.integers(0, 10**13),
            st.none() | st.integers(0, 10**9),
        ),
        max_size=2,
    ),
)


@given(CLOUDNETS)
def test_a_cloudnet_survives_the_wire(cloudnet: CloudNet) -> None:
    message = pb.CloudNet.FromString(cloudnet_to_pb(cloudnet).SerializeToString())
    assert cloudnet_from_pb(message) == cloudnet
    assert to_bytes(graph_from_pb(message.graph)) == cloudnet.graph


@given(CRITERIA)
def test_what_a_cloudnet_must_be_survives_the_wire(criteria: Criteria) -> None:
    message = pb.Reservation.FromString(criteria_to_pb(criteria).SerializeToString())
    assert criteria_from_pb(message) == criteria


@given(CHANGES)
def test_a_modify_of_a_cloudnet_survives_the_store(change: Change) -> None:
    data = change_to_pb(change).SerializeToString()
    assert change_from_pb(pb.ReservationRecord.FromString(data), "tx-2") == change


@given(RECORDS, st.none() | CHANGES)
def test_a_record_of_a_cloudnet_survives_the_store(
    record: Reservation, change: Change | None
) -> None:
    record = replace(record, change=change)
    data = record_to_pb(record).SerializeToString()
    assert record_from_pb(pb.ReservationRecord.FromString(data), "tx-1", change) == record


@given(CRITERIA, st.lists(PATHS, max_size=2), st.lists(PARTS, max_size=3), PROOFS)
def test_a_plan_tells_where_each_vnode_is_its_paths_and_its_proof(
    criteria: Criteria, paths: list[Path], parts: list[PartView], proof: Proof
) -> None:
    message = plan_to_pb(Granted(criteria, tuple(paths), tuple(parts), proof=proof))
    assert message.feasible
    told = sorted((each.vnode, each.domain) for each in message.vnodes)
    assert told == sorted((vnode, part.domain) for part in parts for vnode in part.vnodes)
    assert [path.vlink for path in message.paths] == [path.vlink for path in paths]
    assert (message.proof.objective, message.proof.proof_scope) == (proof.objective, proof.scope)
    assert not message.HasField("advice")


@given(CRITERIA, st.dictionaries(NAMES, st.sets(NAMES, min_size=1, max_size=3), max_size=3), PROOFS)
def test_what_is_granted_is_in_force_as_the_plan_it_came_from(
    criteria: Criteria, placed_at: dict[str, set[str]], proof: Proof
) -> None:
    vnodes = {domain: tuple(sorted(some)) for domain, some in sorted(placed_at.items())}
    plan = Plan((), dict.fromkeys(vnodes, ()), depends_on_blind=False, vnodes=vnodes, proof=proof)
    fresh = Reservation("res", "r", criteria, "tx-1", 1, 1)
    record = committed(fresh, granted_alone(criteria, plan), 2)
    assert record.proof == proof
    assert {part.domain: part.vnodes for part in record.parts} == vnodes
    assert record.plan().vnodes == vnodes
    change = Change("c", "tx-2", criteria, 30, 3)
    changing = with_change_grant(replace(record, change=change), granted_alone(criteria, plan), 4)
    assert changing.change is not None
    assert (changing.change.proof, changing.proof) == (proof, proof)


NET = CloudNet(
    to_bytes(graph_from_pb(graph({"a": 1, "b": 2}, [("a", "b")]))),
    "load",
    (("a", "berlin"),),
    (("a-far", "dfn:uplink", 150),),
)
PROOF = Proof("feasible", 12.5, 12.0, 0.04, "pruned", 620_000, ("ulm",))
PLAN = Plan(
    (Path(5, 7, (Hop("berlin", "berlin:cloud", 5, "berlin:dfn", 6),), vlink="a-b"),),
    {"berlin": (Segment("a-b", "berlin:cloud", 5, "berlin:dfn", 6, 5),), "munich": ()},
    depends_on_blind=False,
    vnodes={"berlin": ("a",), "munich": ("b",)},
    proof=PROOF,
)


async def test_every_store_gives_back_a_cloudnet_with_its_proof_and_vnodes(store: Store) -> None:
    made = creation(1)
    assert made.reservation is not None
    criteria = Criteria("", "", 0, Window(1000, 2000), cloudnet=NET)
    fresh = replace(made.reservation, criteria=criteria)
    await store.save(replace(made, reservation=fresh))
    record = committed(fresh, granted_alone(criteria, PLAN), 2)
    change = Change("c", "tx-c", criteria, 30, 3, proof=PROOF)
    record = replace(record, change=change)
    await store.save(Changes(reservation=record))
    again = await store.reservation(record.reservation_id)
    assert again == record
    assert again.proof == PROOF
    assert {part.domain: part.vnodes for part in again.parts} == PLAN.vnodes
    assert again.criteria.cloudnet == NET


@noisy
async def test_a_restart_between_every_two_calls_changes_nothing_that_is_told() -> None:
    async with Orchestrated(world()) as it:
        one = await it.start("a")
        net = cloudnet(at={"a": "berlin", "b": "munich", "c": "zurich"})
        before = await one.reserve(requested(net))
        for name in "bcd":
            await it.kill(chr(ord(name) - 1))
            one = await it.start(name)
            record = await one.get(before.reservation_id)
            assert record == before
            again = await one.reserve(requested(net))
            assert again.reservation_id == before.reservation_id
            assert (
                len((await one.reservations.List(pb.ListRequest(), NO_CONTEXT)).reservations) == 1
            )
        assert placed(before) == {"a": "berlin", "b": "munich", "c": "zurich"}


# Exits --------------------------------------------------------------------------------------------


def outer(*exits: tuple[str, str, int]) -> CloudNet:
    return CloudNet(to_bytes(graph_from_pb(partial_graph(150))), exits=exits)


def test_a_cloudnet_without_exits_has_none_and_its_graph_is_as_it_was() -> None:
    whole, exits = exits_of(replace(NET, exits=()))
    assert (to_bytes(whole), exits) == (NET.graph, ())


def test_an_exit_stands_at_the_stub_behind_its_transit_link() -> None:
    cloudnet = outer(("a-far", "dfn:uplink", 150))
    whole, (way_out,) = exits_of(cloudnet)
    assert to_bytes(whole) == cloudnet.graph
    assert (way_out.stub, way_out.domain, way_out.vlan) == ("pip@elsewhere", "dfn", 150)


def test_a_domain_of_an_exit_that_is_no_provider_has_nothing_and_a_provider_what_it_told() -> None:
    _, exits = exits_of(outer(("a-far", "dfn:uplink", 150)))
    berlin = from_bytes(NET.graph)
    found = with_exits({"berlin": berlin}, exits)
    assert found["berlin"] is berlin
    assert found["dfn"].elements == ()
    assert with_exits({"dfn": berlin}, exits) == {"dfn": berlin}


def test_a_vlink_that_leaves_from_its_own_provider_is_a_circuit_too() -> None:
    whole, exits = exits_of(outer(("a-far", "dfn:uplink", 150)))

    def mapped(*circuits: Circuit) -> VnpMapping:
        return VnpMapping({}, circuits, "optimal", 0.0, 0.0, 0.0, "whole", whole)

    (within,) = all_circuits(mapped(), exits)
    assert (within.vlink, within.a, within.b) == ("a-far", "dfn", "dfn")
    assert within.bandwidth_bps == 10**9
    crossing = Circuit("a-far", "berlin", "dfn", 10**9, None)
    assert all_circuits(mapped(crossing), exits) == (crossing,)
