"""A domain that is a child orchestrator: its settings, and what its parts need of the child."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from agent_world import ManualClock
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.backends.base import DeviceError
from agents.backends.child import ChildBackend
from agents.backends.child.circuits import (
    Circuit,
    Ends,
    Inner,
    Names,
    Need,
    Ports,
    Target,
    needed,
    refusal_of,
    seen,
    tag,
)
from agents.backends.child.view import IN_FLIGHT_MS
from agents.backends.config import ChildDomainConfig
from agents.backends.conformance import check_admission, check_description, check_offers
from agents.book import Book
from braid.errors import BraidError, Conflict, DeadlinePassed, InvalidRequest, Unreachable
from braid.v1 import common_pb2, reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)
from protocol.messages import ReservationPrep
from protocol.participant import Admitted
from runtime.server import GrpcServer
from runtime.settings import ListenSettings, SettingsError, TlsSettings, validate
from substrate.model import Directionality, Refusal, RefusalKind, Segment, Shortage, Window
from substrate.values import replace

PORTS = Ports({"m1:west": "d1:host", "m1:east": "d3:host"}, "m1:cloud")
ENDS = Ends("d1:host", 100, "d3:host", 100)


def settings(**changes: Any) -> dict[str, Any]:
    stps = {"west": "d1:host", "east": "d3:host"}
    child = {"target": "127.0.0.1:1", "insecure": True, "port_stps": stps}
    ports = [{"name": n, "capacity": "10G", "vlans": "100-199"} for n in ("west", "east")]
    return {
        "domain": "m1",
        "backend": "child",
        "ports": ports,
        "child": {**child, **changes.pop("child", {})},
        **changes,
    }


WINDOW = Window(100, 200)
ENDINGS = {"certificate": "pem", "key": "key"}


def part(
    name: str = "t1", bandwidth_bps: int = 10, window: Window = WINDOW, vlan: int = 100
) -> ReservationPrep:
    segment = Segment("s1", "m1:west", vlan, "m1:east", vlan, bandwidth_bps)
    return ReservationPrep(name, "p1", "r1", 1, (segment,), window, "above", 0)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"child": {"port_stps": {"west": "d1:host"}}}, "see east"),
        ({"child": {"port_stps": {"west": "d1:host", "east": "d1:host"}}}, "more than one port"),
        ({"child": {"insecure": False}}, "exactly one of tls and insecure"),
        ({"child": {"timeout_s": 0}}, "timeout_s"),
        ({"child": {"owner": "a:b"}}, "owner"),
        ({"domain": "d" * 49}, "child.owner"),
        ({"child": {"tls": {"certificate": "no", "key": "no"}, "insecure": False}}, "be read"),
    ],
)
def test_settings_that_cannot_be_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_backend(settings(**changes))


def test_it_is_blind_unless_it_says_otherwise() -> None:
    assert not open_backend(settings()).describe().visible
    assert open_backend(settings(visible=True)).describe().visible


@pytest.mark.parametrize("visible", [True, False])
def test_in_its_books_it_is_a_domain_like_any_other(visible: bool) -> None:
    backend = open_backend(settings(visible=visible))
    check_description(backend)
    check_admission(backend)
    check_offers(backend)


# --- what parts need ----------------------------------------------------------------------------

windows = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda w: Window(w[0], w[0] + w[1]))
parts = st.lists(
    st.builds(part, st.just("t1"), st.integers(1, 9), windows, st.integers(100, 101)), max_size=6
)


@given(parts, windows)
def test_what_is_needed_covers_every_part_that_overlaps_and_no_more_than_they_do(
    found: list[ReservationPrep], window: Window
) -> None:
    need = needed(found, PORTS, ENDS.tag, window)
    same = [p for p in found if p.segments[0].ingress_vlan == 100]
    touched = [p for p in same if p.window.overlaps(window)]
    if not touched:
        assert need is None
        return
    assert need is not None
    inside = [p for p in same if p.window.overlaps(need.window)]
    assert all(p in inside for p in touched)
    assert need.window.start_s == min(p.window.start_s for p in inside)
    assert need.window.end_s == max(p.window.end_s for p in inside)
    assert need.bandwidth_bps == max(p.segments[0].bandwidth_bps for p in inside)


@given(parts)
def test_parts_of_one_circuit_agree_on_what_they_need(found: list[ReservationPrep]) -> None:
    same = [p for p in found if p.segments[0].ingress_vlan == 100]
    needs = [needed(found, PORTS, ENDS.tag, p.window) for p in same]
    for need in needs:
        assert need is not None
        for other in needs:
            assert other is not None
            assert other == need or not other.window.overlaps(need.window)


def test_what_carries_some_flows_of_many_is_not_spread_again() -> None:
    some = replace(part().segments[0], flow_slots=(0, 1), slot_count=4)
    spread = replace(part(), segments=(some,))
    need = needed([spread], PORTS, ENDS.tag, spread.window)
    assert need is not None
    assert need.single_path
    whole = needed([part()], PORTS, ENDS.tag, spread.window)
    assert whole is not None
    assert not whole.single_path


def test_ends_differ_by_vlan_and_direction() -> None:
    segment = part().segments[0]
    one_way = replace(segment, directionality=Directionality.UNIDIRECTIONAL)
    other = replace(segment, egress_vlan=101)
    tags = {PORTS.ends(s).tag for s in (segment, one_way, other)}
    assert len(tags) == 3


def inner(graph: bytes = b"graph", port: str = "m1:west", vlan: int = 100) -> ReservationPrep:
    """A part with a VLink that leaves, and another that only passes."""
    leaves = Segment("a-far", port, vlan, "m1:cloud", 7, 10)
    passes = Segment("s2", "m1:west", 101, "m1:east", 101, 10)
    return replace(part(), segments=(leaves, passes), graph=graph)


def test_a_partial_graph_is_a_cloudnet_of_the_child_that_leaves_where_its_segments_do() -> None:
    (circuit, segment), (cloudnet, nothing) = PORTS.things(inner())
    assert isinstance(circuit, Ends)
    assert segment is not None
    assert (segment.segment_id, nothing) == ("s2", None)
    assert cloudnet == Inner(b"graph", (("a-far", ("d1:host", 100)),), "r1")
    turned = replace(inner(), segments=(Segment("a-far", "m1:cloud", 7, "m1:west", 100, 10),))
    assert PORTS.things(turned)[-1][0] == cloudnet


def test_a_cloudnet_is_the_same_in_all_versions_of_one_reservation() -> None:
    versions = (inner(), inner(b"other"), inner(port="m1:east"), inner(vlan=101))
    assert len({PORTS.things(each)[-1][0].tag for each in versions}) == 1
    assert len({PORTS.things(each)[-1][0] for each in versions}) == 4
    another = replace(inner(), reservation_id="r2")
    assert PORTS.things(another)[-1][0].tag != PORTS.things(inner())[-1][0].tag
    other_inside = Segment("a-far", "m1:west", 100, "m1:cloud", 8, 10)
    same = replace(inner(), segments=(other_inside, inner().segments[1]))
    assert PORTS.things(same)[-1] == PORTS.things(inner())[-1]


def test_vnodes_are_needed_for_as_long_as_any_part_with_them_lasts_and_no_bandwidth() -> None:
    thing = PORTS.things(inner())[-1][0]
    assert isinstance(thing, Inner)
    later = replace(inner(), window=Window(150, 300))
    need = needed([inner(), later, part()], PORTS, thing.tag, WINDOW)
    assert need == Need(Window(100, 300), 0, False, (thing,))


def test_versions_are_needed_in_their_order_each_once() -> None:
    versions = [
        replace(inner(graph), version=version, transaction_id=f"t{9 - version}")
        for version, graph in ((3, b"c"), (1, b"a"), (2, b"b"), (4, b"a"))
    ]
    thing = PORTS.things(inner())[-1][0]
    need = needed(versions, PORTS, thing.tag, WINDOW)
    assert need is not None
    assert [each.graph for each in need.inners] == [b"a", b"b", b"c"]


def test_a_domain_with_vnodes_has_a_port_for_them_that_circuits_do_not_reach() -> None:
    backend = open_backend(settings(child={"runs_vnodes": True}))
    domain = backend.describe()
    assert domain.cloud_stp == "m1:cloud"
    port = domain.port("m1:cloud")
    assert port is not None
    assert str(port.vlans) == "100-199"
    assert not open_backend(settings()).describe().cloud_stp
    to_cloud = replace(part(), segments=(Segment("s1", "m1:west", 100, "m1:cloud", 100, 10),))
    assert isinstance(Book(backend).admit(to_cloud), Refusal)
    assert isinstance(Book(backend).admit(part()), Admitted)


def test_no_port_of_a_domain_with_vnodes_has_the_name_of_theirs() -> None:
    ports = [{"name": n, "capacity": "10G", "vlans": "100"} for n in ("west", "cloud")]
    stps = {"west": "d1:host", "cloud": "d3:host"}
    with pytest.raises(SettingsError, match="cloud"):
        open_backend(settings(ports=ports, child={"runs_vnodes": True, "port_stps": stps}))


# --- what the child has -------------------------------------------------------------------------


def record(request_id: str, **changes: Any) -> pb.ReservationRecord:
    criteria = pb.Reservation(
        request_id=request_id,
        description="r1",
        bandwidth_bps=10,
        window=common_pb2.Window(start_s=100, end_s=200),
    )
    values = {"state": pb.RESERVATION_STATE_COMMITTED, "updated_ms": 5, **changes}
    return pb.ReservationRecord(reservation_id="c1", criteria=criteria, **values)


def test_a_circuit_is_known_again_by_its_name_and_only_its_owners() -> None:
    name = Names("m1").request_id(part(), ENDS, 0)
    assert len(name) <= 128
    circuit = Names("m1").circuit(record(name))
    assert circuit is not None
    assert (circuit.reservation_id, circuit.asker) == ("r1", tag("above"))
    assert circuit.serves(ENDS.tag, Window(150, 160))
    assert not circuit.serves(ENDS.tag, Window(200, 300))
    assert Names("m").circuit(record(name)) is None
    assert Names("m1").circuit(record("m1.b:" + name)) is None


def test_names_are_the_same_for_the_same_part_and_differ_otherwise() -> None:
    names = Names("m1")
    other_end = replace(ENDS, destination_vlan=101)
    found = [
        names.request_id(part(), ENDS, 0),
        names.request_id(part("t2"), ENDS, 0),
        names.request_id(part(), other_end, 0),
        names.request_id(part(), ENDS, 1),
        names.request_id(replace(part(), orchestrator_id="other"), ENDS, 0),
    ]
    assert len(set(found)) == len(found)
    assert names.request_id(part(bandwidth_bps=11), ENDS, 0) == found[0]


@pytest.mark.parametrize(
    ("need", "covered"),
    [
        (Need(Window(100, 200), 10), True),
        (Need(Window(120, 130), 1), True),
        (Need(Window(99, 200), 10), False),
        (Need(Window(100, 201), 10), False),
        (Need(Window(100, 200), 11), False),
    ],
)
def test_a_circuit_covers_what_is_no_longer_and_no_wider(need: Need, covered: bool) -> None:
    circuit = Names("m1").circuit(record("m1:a:b:c"))
    assert circuit is not None
    assert circuit.covers(need) is covered


def test_an_older_view_of_a_circuit_does_not_replace_a_later_one() -> None:
    later = Names("m1").circuit(record("m1:a:b:c"))
    assert isinstance(later, Circuit)
    older = replace(later, updated_ms=4, bandwidth_bps=1)
    assert seen({"c1": later}, older) == later
    assert seen({"c1": older}, later) == later
    assert seen({}, older) == older


@pytest.mark.parametrize(
    ("state", "data_plane", "live", "active", "gone"),
    [
        (pb.RESERVATION_STATE_NEGOTIATING, 0, True, False, False),
        (pb.RESERVATION_STATE_COMMITTED, common_pb2.DATA_PLANE_STATE_ACTIVE, True, True, False),
        (pb.RESERVATION_STATE_CANCELLED, common_pb2.DATA_PLANE_STATE_ACTIVE, False, False, False),
        (pb.RESERVATION_STATE_CANCELLED, common_pb2.DATA_PLANE_STATE_RELEASED, False, False, True),
        (pb.RESERVATION_STATE_FAILED, 0, False, False, True),
    ],
)
def test_a_circuit_is_gone_once_it_is_neither_held_nor_configured(
    state: Any, data_plane: Any, live: bool, active: bool, gone: bool
) -> None:
    circuit = Names("m1").circuit(record("m1:a:b:c", state=state, data_plane=data_plane))
    assert circuit is not None
    assert (circuit.live, circuit.active, circuit.gone) == (live, active, gone)


# --- what the parent is told --------------------------------------------------------------------


def refused(kind: Any, resource: str = "", largest: int | None = None) -> pb.ReservationRecord:
    said = common_pb2.Refusal(kind=kind, resource=resource, reason="d2 is full", domain="d2")
    found = pb.ReservationRecord(state=pb.RESERVATION_STATE_FAILED, refusals=[said])
    if largest is not None:
        request = pb.Reservation(bandwidth_bps=largest)
        kind = pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH
        found.alternatives.add(kind=kind, request=request)
    return found


def test_a_refusal_tells_the_most_that_would_be_possible_and_names_ports_of_the_domain() -> None:
    segment = part().segments[0]
    full = refusal_of(
        refused(common_pb2.REFUSAL_KIND_BANDWIDTH, "d2:left", 7), segment, PORTS, True
    )
    assert (full.kind, full.available_bps) == (RefusalKind.BANDWIDTH, 7)
    assert (full.resource, full.segment_id) == ("", "s1")
    taken = refusal_of(refused(common_pb2.REFUSAL_KIND_LABEL, "d3:host"), segment, PORTS, True)
    assert (taken.kind, taken.resource) == (RefusalKind.LABEL, "m1:east")
    inside = refusal_of(refused(common_pb2.REFUSAL_KIND_LABEL, "d2:left"), segment, PORTS, True)
    assert (inside.kind, inside.resource) == (RefusalKind.LABEL, "m1:west")


def test_a_domain_that_is_away_at_the_child_does_not_hide_what_the_refusal_is_about() -> None:
    segment = part().segments[0]
    away = refused(common_pb2.REFUSAL_KIND_UNAVAILABLE).refusals[0]
    full = refused(common_pb2.REFUSAL_KIND_BANDWIDTH, "d2:left", 7)
    taken = refused(common_pb2.REFUSAL_KIND_LABEL, "d3:host")
    for said in (full, taken):
        alone = refusal_of(said, segment, PORTS, True)
        said.refusals.insert(0, away)
        assert refusal_of(said, segment, PORTS, True) == alone


def test_what_takes_too_much_from_others_at_the_child_is_too_much_bandwidth() -> None:
    segment = part().segments[0]
    dear = refusal_of(refused(common_pb2.REFUSAL_KIND_TOLL, "", 7), segment, PORTS, True)
    assert (dear.kind, dear.available_bps) == (RefusalKind.BANDWIDTH, 7)


def test_a_blind_domain_tells_no_reason_of_the_child() -> None:
    segment = part().segments[0]
    for kind in (common_pb2.REFUSAL_KIND_NO_PATH, common_pb2.REFUSAL_KIND_BANDWIDTH):
        assert "d2" in str(refusal_of(refused(kind), segment, PORTS, True))
        assert "d2" not in str(refusal_of(refused(kind), segment, PORTS, False))


def lacking(kind: Any) -> pb.ReservationRecord:
    """What a child says that could not place VNodes at d2."""
    said = common_pb2.Refusal(
        kind=kind,
        resource="/resource/cpu",
        reason="d2 is full",
        where="d2",
        short=1000,
        asked=4000,
        elements=["a", "b"],
        shortages=[common_pb2.Shortage(resource="/resource/cpu", where="d2", short=1000)],
    )
    return pb.ReservationRecord(state=pb.RESERVATION_STATE_FAILED, refusals=[said])


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (common_pb2.REFUSAL_KIND_RESOURCE, RefusalKind.RESOURCE),
        (common_pb2.REFUSAL_KIND_FEATURE, RefusalKind.FEATURE),
    ],
)
def test_what_vnodes_lack_is_told_by_a_visible_domain_but_not_at_which_provider(
    kind: Any, told: RefusalKind
) -> None:
    refusal = refusal_of(lacking(kind), None, PORTS, True)
    assert (refusal.kind, refusal.resource) == (told, "/resource/cpu")
    assert (refusal.short, refusal.asked, refusal.elements) == (1000, 4000, ("a", "b"))
    assert refusal.where == ""
    assert refusal.shortages == (Shortage("/resource/cpu", "", 1000),)
    blind = refusal_of(lacking(kind), None, PORTS, False)
    assert blind == Refusal(told, "it cannot be carried behind this domain")


def test_what_may_work_another_time_is_unavailable() -> None:
    segment = part().segments[0]
    for said in (refused(common_pb2.REFUSAL_KIND_TIMEOUT), pb.ReservationRecord()):
        assert refusal_of(said, segment, PORTS, True).kind is RefusalKind.UNAVAILABLE


# --- changes whose answers are lost -------------------------------------------------------------


class Hesitant:
    """A client of a child that answers no change before it may, and then as it is told."""

    def __init__(self) -> None:
        self.may, self.error = asyncio.Event(), BraidError("lost")

    async def modify(self, child_id: str, **changes: Any) -> pb.ReservationRecord:
        await self.may.wait()
        raise self.error


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (None, True),
        (Unreachable("gone"), True),
        (DeadlinePassed("late"), True),
        (Conflict("busy"), False),
        (InvalidRequest("no"), False),
    ],
)
async def test_a_change_may_still_be_made_only_if_its_answer_is_lost_and_not_for_ever(
    error: BraidError | None, lost: bool
) -> None:
    backend, clock = ChildBackend(validate(ChildDomainConfig, settings(), "m1")), ManualClock()
    view, client = backend._child, Hesitant()
    view._clock = clock
    view._opened = client  # type: ignore[assignment]
    circuit = Names("m1").circuit(record("m1:a:b:c"))
    assert circuit is not None
    asked = [asyncio.create_task(view.modified(circuit, Target(1, 200), 4)) for _ in range(2)]
    await asyncio.sleep(0)
    assert not view.unsettled("r1"), "what is waited for is no obstacle to what comes with it"
    if error is None:
        for task in asked:
            task.cancel()
    else:
        client.error = error
        client.may.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert view.unsettled("r1") is lost
    assert not view.unsettled("r2")
    clock.time_ms += IN_FLIGHT_MS + 3_999
    assert view.unsettled("r1") is lost
    clock.time_ms += 1
    assert not view.unsettled("r1")


# --- how the child is reached -------------------------------------------------------------------


class Nothing(ReservationsServicer):
    """An orchestrator that has no reservations."""

    async def List(self, request: Any, context: Any) -> pb.ListResponse:
        return pb.ListResponse()

    async def Get(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def Watch(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def ReserveMany(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    Plan = Reserve = Modify = Cancel = Get


@pytest.mark.parametrize(("name", "known"), [("good", True), ("other", False)])
async def test_the_child_is_asked_over_tls_with_the_certificate_that_is_set(
    certificates: Path, name: str, known: bool
) -> None:
    authority = certificates / "ca.pem"
    own = {"certificate": certificates / "good.pem", "key": certificates / "good.key"}
    listen = ListenSettings(listen="127.0.0.1:0", tls=TlsSettings(client_ca=authority, **own))
    service = pb.DESCRIPTOR.services_by_name["Reservations"].full_name
    server = GrpcServer(listen, {service: partial(add_ReservationsServicer_to_server, Nothing())})
    await server.start()
    shown = {kind: str(certificates / f"{name}.{end}") for kind, end in ENDINGS.items()}
    tls = {**shown, "server_ca": str(authority)}
    child = {"target": server.address, "insecure": False, "tls": tls}
    backend = open_backend(settings(child=child))
    assert isinstance(backend, ChildBackend)
    following = asyncio.create_task(backend.follow(lambda reservation_id: None))
    try:
        if known:
            assert not await backend.kept(["above"])
        else:
            with pytest.raises(DeviceError, match="UNAVAILABLE"):
                await backend.kept(["above"])
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await server.stop()
