"""Values survive the wire; what no correct party sends is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from braid.v1 import agent_pb2, common_pb2
from protocol import codec
from protocol.codec import CodecError
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    Joint,
    Offer,
    OffersStale,
    Phase,
    PortOffer,
    Release,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
)
from substrate.model import (
    SHORTAGES_MAX,
    Constraints,
    DataPlaneState,
    Directionality,
    Domain,
    Hop,
    Path,
    Port,
    Refusal,
    RefusalKind,
    Segment,
    Shortage,
    Step,
    Window,
)
from substrate.vlans import VlanSet

names = st.text("abcxyz0189._-", min_size=1, max_size=12)
stps = st.tuples(names, names).map(":".join)
amounts = st.integers(1, 2**62)
vlans = st.integers(1, 4094)
vlan_sets = st.lists(vlans, max_size=5).map(lambda found: VlanSet.of(*found))
windows = st.tuples(st.integers(0, 2**40), st.integers(1, 2**30)).map(
    lambda w: Window(w[0], w[0] + w[1])
)
profiles = st.dictionaries(st.integers(0, 2**40), st.integers(0, 2**62), max_size=4).map(
    lambda levels: tuple(Step(at, levels[at]) for at in sorted(levels))
)
slots = st.integers(1, 64).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.sets(st.integers(0, count - 1), min_size=1).map(lambda s: tuple(sorted(s))),
    )
)
segments = st.builds(
    lambda name, a, v, b, w, bps, way, cut, token: Segment(
        name, a, v, b, w, bps, way, cut[1], cut[0], token
    ),
    names,
    stps,
    vlans,
    stps,
    vlans,
    amounts,
    st.sampled_from(Directionality),
    slots,
    st.text(max_size=5),
)
refusals = st.builds(
    Refusal,
    kind=st.sampled_from(RefusalKind),
    reason=st.text(max_size=20),
    domain=names,
    resource=st.text(max_size=10),
    segment_id=names,
    available_bps=st.none() | st.integers(0, 2**62),
    short=st.none() | st.integers(1, 2**62),
    shortages=st.lists(
        st.builds(
            Shortage,
            st.text(max_size=9),
            st.text(max_size=9),
            st.integers(1, 2**62),
            st.none() | st.integers(0, 2**62),
            st.lists(st.text(max_size=9), max_size=3).map(tuple),
        ),
        max_size=SHORTAGES_MAX,
    ).map(tuple),
    asked=st.none() | st.integers(1, 2**62),
    where=st.text(max_size=10),
    elements=st.lists(names, max_size=3).map(tuple),
)
preps = st.builds(
    ReservationPrep,
    transaction_id=names,
    part_id=names,
    reservation_id=names,
    version=st.integers(1, 2**31),
    segments=st.lists(segments, min_size=1, max_size=3).map(tuple),
    window=windows,
    orchestrator_id=names,
    deadline_ms=st.integers(0, 2**60),
)
joint_preps = st.tuples(
    preps, names, st.dictionaries(names, st.integers(1, 2**31), min_size=1)
).map(
    lambda found: replace(
        found[0],
        joint=Joint(
            found[1],
            tuple(({**found[2], found[0].reservation_id: found[0].version, "other": 2}).items()),
        ),
    )
)
to_agents = st.one_of(
    joint_preps,
    st.builds(
        ReqOffers,
        query_id=names,
        window=windows,
        pairs=st.lists(st.tuples(stps, stps), max_size=3).map(tuple),
        bandwidth_bps=amounts,
        directionality=st.sampled_from(Directionality),
        reservation_id=names,
        follow=st.booleans(),
        moved=st.lists(names, max_size=2).map(tuple),
    ),
    preps,
    st.builds(Commit, names, names),
    st.builds(Abort, names, names),
    st.builds(Release, names, names),
)
offers = st.builds(
    Offer, names, stps, stps, profiles, st.integers(0, 10**9), st.integers(0, 10**9),
    st.integers(0, 2**60),
)  # fmt: skip
to_orchestrators = st.one_of(
    st.builds(
        SendOffers,
        names,
        names,
        st.lists(offers, max_size=3).map(tuple),
        st.lists(st.builds(PortOffer, stps, profiles, vlan_sets), max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(OffersStale, st.lists(windows, max_size=3).map(tuple)),
    st.builds(
        ReservationResp,
        names,
        names,
        st.sampled_from(Phase),
        st.booleans(),
        st.none() | refusals,
        st.integers(0, 2**60),
    ),
    st.builds(Inquire, names, names, names),
)
domains = names.flatmap(
    lambda name: st.builds(
        Domain,
        name=st.just(name),
        visible=st.booleans(),
        backend=names,
        ports=st.lists(
            st.builds(
                Port,
                stp=names.map(lambda port: f"{name}:{port}"),
                capacity_bps=amounts,
                vlans=vlan_sets,
                remote_stp=st.none() | stps,
                latency_us=st.integers(0, 10**9),
                aliases=st.lists(names, max_size=2).map(tuple),
            ),
            max_size=3,
        ).map(tuple),
        swaps_labels=st.booleans(),
        splits=st.booleans(),
        horizon_s=st.integers(0, 2**40),
        hold_timeout_s=st.none() | st.integers(0, 2**40),
    )
)
paths = st.builds(
    Path,
    amounts,
    st.integers(0, 10**9),
    st.lists(st.builds(Hop, names, stps, vlans, stps, vlans), max_size=3).map(tuple),
    st.lists(st.integers(0, 63), max_size=4).map(tuple),
)
constraints = st.builds(
    Constraints,
    max_paths=st.integers(1, 16),
    min_share_bps=amounts,
    max_latency_us=st.none() | amounts,
    max_latency_spread_us=st.none() | st.integers(0, 2**62),
    max_domains=st.none() | st.integers(1, 128),
    via_domains=st.lists(names, max_size=2).map(tuple),
    avoid_domains=st.lists(names, max_size=2).map(tuple),
    ero=st.lists(stps, max_size=2).map(tuple),
    source_vlans=vlan_sets,
    destination_vlans=vlan_sets,
)


def through(message: Any) -> Any:
    """Serialised and read again."""
    return type(message).FromString(message.SerializeToString())


@given(to_agents)
def test_messages_to_agents_survive_the_wire(message: Any) -> None:
    assert codec.to_agent_from_pb(through(codec.to_agent_to_pb(message))) == message


@given(to_orchestrators)
def test_messages_to_orchestrators_survive_the_wire(message: Any) -> None:
    wire = through(codec.to_orchestrator_to_pb(message))
    assert codec.to_orchestrator_from_pb(wire) == message


@given(domains)
def test_domains_survive_the_wire(domain: Domain) -> None:
    assert codec.domain_from_pb(through(codec.domain_to_pb(domain))) == domain


@given(paths)
def test_paths_survive_the_wire(path: Path) -> None:
    assert codec.path_from_pb(through(codec.path_to_pb(path))) == path


@given(constraints)
def test_constraints_survive_the_wire(value: Constraints) -> None:
    assert codec.constraints_from_pb(through(codec.constraints_to_pb(value))) == value


@pytest.mark.parametrize("state", list(DataPlaneState))
def test_data_plane_states_survive_the_wire(state: DataPlaneState) -> None:
    assert codec.data_plane_from_pb(codec.data_plane_to_pb(state)) is state


def good_prep() -> agent_pb2.ReservationPrep:
    segment = Segment("s", "a:x", 1, "a:y", 2, 3)
    return codec.prep_to_pb(ReservationPrep("t", "p", "r", 1, (segment,), Window(0, 1), "o", 0))


def spoil(path: str, value: Any) -> Callable[[agent_pb2.ReservationPrep], None]:
    def apply(message: agent_pb2.ReservationPrep) -> None:
        target: Any = message.segments[0] if path.startswith("segment.") else message
        *parents, last = path.removeprefix("segment.").split(".")
        for name in parents:
            target = getattr(target, name)
        setattr(target, last, value)

    return apply


def join(message: agent_pb2.ReservationPrep, *members: tuple[str, int]) -> None:
    message.joint.joint_id = "j"
    for reservation_id, version in members:
        message.joint.members.add(reservation_id=reservation_id, version=version)


@pytest.mark.parametrize(
    ("field", "apply"),
    [
        ("transaction_id", spoil("transaction_id", "")),
        ("part_id", spoil("part_id", "")),
        ("reservation_id", spoil("reservation_id", "")),
        ("segments", lambda m: m.ClearField("segments")),
        ("window.end_s", spoil("window.end_s", 0)),
        ("segment.bandwidth_bps", spoil("segment.bandwidth_bps", 0)),
        ("segment.bandwidth_bps", spoil("segment.bandwidth_bps", -1)),
        ("segment.ingress_vlan", spoil("segment.ingress_vlan", 0)),
        ("segment.egress_vlan", spoil("segment.egress_vlan", 4095)),
        ("segment.slot_count", spoil("segment.slot_count", 65)),
        ("segment.slot_count", spoil("segment.slot_count", 0)),
        ("segment.flow_slots", lambda m: m.segments[0].ClearField("flow_slots")),
        ("segment.flow_slots", lambda m: m.segments[0].flow_slots.append(9)),
        ("directionality", spoil("segment.directionality", 9)),
        ("joint.joint_id", lambda m: m.joint.members.add(reservation_id="r", version=1)),
        ("joint.members", lambda m: spoil("joint.joint_id", "j")(m)),
        ("joint.members", lambda m: join(m, ("r", 1))),
        ("joint.members", lambda m: join(m, ("r", 2), ("other", 1))),
        ("joint.members", lambda m: join(m, ("r", 1), ("other", 1), ("other", 2))),
    ],
)
def test_a_malformed_prepare_names_its_field(field: str, apply: Any) -> None:
    message = good_prep()
    apply(message)
    with pytest.raises(CodecError) as caught:
        codec.prep_from_pb(message)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("field", "read"),
    [
        ("kind", lambda: codec.to_agent_from_pb(agent_pb2.OrchestratorMessage())),
        ("kind", lambda: codec.to_orchestrator_from_pb(agent_pb2.AgentMessage())),
        (
            "phase",
            lambda: codec.to_orchestrator_from_pb(
                agent_pb2.AgentMessage(
                    reservation_resp=agent_pb2.ReservationResp(transaction_id="t", part_id="p")
                )
            ),
        ),
        ("refusal.kind", lambda: codec.refusal_from_pb(common_pb2.Refusal())),
        ("data_plane", lambda: codec.data_plane_from_pb(0)),
        ("domain.visibility", lambda: codec.domain_from_pb(common_pb2.Domain(name="a"))),
        (
            "domain.ports.stp",
            lambda: codec.domain_from_pb(
                common_pb2.Domain(
                    name="a",
                    visibility=common_pb2.VISIBILITY_BLIND,
                    ports=[common_pb2.Port(stp="b:x", capacity_bps=1)],
                )
            ),
        ),
        (
            "domain.ports.capacity_bps",
            lambda: codec.domain_from_pb(
                common_pb2.Domain(
                    name="a",
                    visibility=common_pb2.VISIBILITY_BLIND,
                    ports=[common_pb2.Port(stp="a:x")],
                )
            ),
        ),
        ("vlans", lambda: codec.vlans_from_pb([common_pb2.VlanRange(first=5, last=4)])),
        (
            "profile.bandwidth_bps",
            lambda: codec.profile_from_pb([common_pb2.BandwidthStep(bandwidth_bps=-1)]),
        ),
        (
            "profile.start_s",
            lambda: codec.profile_from_pb([common_pb2.BandwidthStep(start_s=1)] * 2),
        ),
        (
            "price",
            lambda: codec.to_orchestrator_from_pb(
                agent_pb2.AgentMessage(
                    send_offers=agent_pb2.SendOffers(offers=[agent_pb2.Offer(price=-1)])
                )
            ),
        ),
    ],
)
def test_what_no_correct_party_sends_is_refused_by_name(
    field: str, read: Callable[[], Any]
) -> None:
    with pytest.raises(CodecError) as caught:
        read()
    assert caught.value.field == field


def test_an_unspecified_directionality_is_bidirectional() -> None:
    message = good_prep()
    message.segments[0].directionality = common_pb2.DIRECTIONALITY_UNSPECIFIED
    prep = codec.prep_from_pb(message)
    assert prep.segments[0].directionality is Directionality.BIDIRECTIONAL
