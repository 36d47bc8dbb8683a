"""How records, plans, domains and events look: complete, and never mistaken for markup."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2
from commands import views
from commands.views_paths import path_text
from commands.views_refused import refusal_lines
from commands.words import vlans_text

G = 10**9
START_S = 1_900_000_000
WINDOW = common_pb2.Window(start_s=START_S, end_s=START_S + 5400)
EXACT = pb.Reservation(bandwidth_bps=G, window=WINDOW)


def shown(view: Any) -> str:
    screen = Console(file=StringIO(), width=200, color_system=None)
    screen.print(view)
    return str(screen.file.getvalue())  # type: ignore[attr-defined]


def hop(domain: str, first: int, last: int) -> pb.Hop:
    return pb.Hop(domain=domain, ingress_vlan=first, egress_vlan=last)


def record(**fields: Any) -> pb.ReservationRecord:
    criteria = pb.Reservation(
        source="west:host", destination="east:host", bandwidth_bps=15 * G, window=WINDOW
    )
    values = {
        "reservation_id": "res-1",
        "criteria": criteria,
        "state": pb.RESERVATION_STATE_COMMITTED,
        **fields,
    }
    return pb.ReservationRecord(**values)


def test_a_record_tells_all_that_is_so_and_nothing_that_is_not() -> None:
    plain = shown(views.record_view(record(version=1)))
    for text in ("res-1", "committed", "west:host", "east:host", "15 Gb/s", "(1h30m)"):
        assert text in plain
    for text in ("version", "description", "data plane", "a change is being negotiated"):
        assert text not in plain
    path = pb.Path(bandwidth_bps=15 * G, latency_us=1500, hops=[hop("m1", 7, 8)])
    failed = common_pb2.DATA_PLANE_STATE_FAILED
    rich = record(
        version=3,
        modifying=True,
        paths=[path],
        data_plane=failed,
        advice=pb.Advice(text="use 2 parallel streams"),
        parts=[pb.DomainPart(domain="m1", reason="no [red]power[/red]"), pb.DomainPart(domain="x")],
        refusals=[common_pb2.Refusal(domain="m2", reason="no way [/]"), common_pb2.Refusal()],
    )
    rich.criteria.description = "for [bold]Anna[/bold]"
    full = shown(views.record_view(rich))
    for text in ("version", "3", "a change is being negotiated", "failed", "[7] m1 [8]", "1.5 ms"):
        assert text in full
    for text in ("for [bold]Anna[/bold]", "m1: no [red]power[/red]", "no: m2: no way [/]"):
        assert text in full
    assert "x:" not in full.replace("[bold]", "")


def test_a_cancelled_record_tells_who_has_not_released_yet() -> None:
    parts = [pb.DomainPart(domain="m1", released=True), pb.DomainPart(domain="m2")]
    cancelled = record(state=pb.RESERVATION_STATE_CANCELLED, parts=parts)
    assert "m2: told, no answer yet" in shown(views.record_view(cancelled))
    parts[1].released = True
    cancelled = record(state=pb.RESERVATION_STATE_CANCELLED, parts=parts)
    assert "no answer" not in shown(views.record_view(cancelled))


@pytest.mark.parametrize("state", ["CANCELLED", "ENDED"])
def test_of_what_is_over_neither_use_nor_a_refused_change_is_told(state: str) -> None:
    path = pb.Path(bandwidth_bps=G, hops=[hop("m1", 7, 8)])
    terms = {
        "paths": [path],
        "advice": pb.Advice(text="use 2 parallel streams"),
        "refusals": [common_pb2.Refusal(domain="m2", reason="no way")],
    }
    live = shown(views.record_view(record(**terms)))
    assert "use 2 parallel streams" in live
    assert live.index("A change was refused, and it is as it was:") < live.index("no way")
    over = shown(views.record_view(record(state=f"RESERVATION_STATE_{state}", **terms)))
    assert "[7] m1 [8]" in over
    assert "streams" not in over
    assert "no way" not in over


def test_while_domains_release_a_cancelled_circuit_its_data_plane_is_not_told() -> None:
    terms = {"state": pb.RESERVATION_STATE_CANCELLED, "paths": [pb.Path(hops=[hop("m1", 7, 8)])]}
    parts = [pb.DomainPart(domain="m1")]
    releasing = shown(views.record_view(record(parts=parts, data_plane=1, **terms)))
    assert "m1: told, no answer yet" in releasing
    assert "data plane" not in releasing
    parts[0].released = True
    assert "released" in shown(views.record_view(record(parts=parts, data_plane=3, **terms)))
    assert "no answer" not in shown(views.record_view(record(parts=[pb.DomainPart(domain="m1")])))


def test_a_path_tells_the_vlan_on_each_side_of_every_domain() -> None:
    path = pb.Path(hops=[hop("a", 1, 2), hop("b", 2, 3), hop("c", 3, 4)])
    assert path_text(path) == "[1] a [2] b [3] c [4]"
    assert path_text(pb.Path()) == ""


def test_a_plan_that_depends_on_a_blind_domain_says_so() -> None:
    plan = pb.PlanResponse(feasible=True, paths=[pb.Path(bandwidth_bps=G)])
    assert "blind" not in shown(views.plan_view(plan, EXACT))
    plan.depends_on_blind = True
    assert "only a reservation can tell" in shown(views.plan_view(plan, EXACT))
    no = pb.PlanResponse(refusals=[common_pb2.Refusal(reason="too much")])
    assert shown(views.plan_view(no, EXACT)).split("\n")[:2] == ["it does not fit", "no: too much"]


def status(**fields: Any) -> topology_pb2.DomainStatus:
    domain = common_pb2.Domain(name="m1", visibility=common_pb2.VISIBILITY_VISIBLE, backend="wan")
    values = {"domain": domain, "state": topology_pb2.DOMAIN_STATE_UP, "target": "h:1", **fields}
    return topology_pb2.DomainStatus(**values)


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({}, "up", ""),
        ({"state": topology_pb2.DOMAIN_STATE_DOWN, "reason": "refused"}, "down", "refused"),
        (
            {"breaker": topology_pb2.BREAKER_STATE_HALF_OPEN, "silences": 3},
            "silent",
            "3 questions in a row not answered in time; tried again now",
        ),
        (
            {
                "breaker": topology_pb2.BREAKER_STATE_OPEN,
                "silences": 4,
                "retry_at_ms": START_S * 1000,
            },
            "silent",
            "4 questions in a row not answered in time; asked again at ",
        ),
        (
            {
                "state": topology_pb2.DOMAIN_STATE_DOWN,
                "breaker": topology_pb2.BREAKER_STATE_OPEN,
                "reason": "refused",
            },
            "down",
            "refused",
        ),
    ],
)
def test_a_domain_that_is_not_used_says_why(
    fields: dict[str, Any], state: str, reason: str
) -> None:
    assert views.domain_state(status(**fields)).plain == state
    assert views.domain_reason(status(**fields)).startswith(reason)


def test_the_topology_names_ports_for_users_and_leaves_out_those_between_domains() -> None:
    blind = status()
    blind.domain.visibility = common_pb2.VISIBILITY_BLIND
    blind.domain.ports.add(stp="m1:host")
    blind.domain.ports.add(stp="m1:west", remote_stp="west:m1")
    link = topology_pb2.InterDomainLink(
        a_stp="a:x", b_stp="b:y", capacity_bps=100 * G, latency_us=50
    )
    answer = topology_pb2.GetTopologyResponse(domains=[blind], links=[link])
    text = shown(views.topology_view(answer))
    assert "m1:host" in text
    assert "m1:west" not in text
    for word in ("blind", "wan", "h:1", "a:x", "b:y", "100 Gb/s", "0.05 ms"):
        assert word in text


@pytest.mark.parametrize(
    ("ranges", "text"),
    [([], "none"), ([(5, 5)], "5"), ([(1, 3), (9, 9)], "1-3,9")],
)
def test_vlans_are_shown_as_they_are_written(ranges: list[tuple[int, int]], text: str) -> None:
    found = [common_pb2.VlanRange(first=first, last=last) for first, last in ranges]
    assert vlans_text(found) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({}, ""),
        ({"state_changed": pb.StateChanged(state=pb.RESERVATION_STATE_COMMITTED, version=1)},
         "state: committed"),
        ({"state_changed": pb.StateChanged(state=pb.RESERVATION_STATE_COMMITTED, version=2)},
         "state: committed (version 2)"),
        ({"paths_found": pb.PathsFound(count=9, routes=list("abcdef"))},
         "paths: 9 candidates; a; b; c; d"),
        ({"offers_received": pb.OffersReceived(domain="m1")}, "no offers from m1: left out"),
        ({"offers_received": pb.OffersReceived(domain="m1", best_bps=0)},
         "SendOffers from m1: up to 0 b/s"),
        ({"prepare_answered": pb.PrepareAnswered(
            domain="m1", refusal=common_pb2.Refusal(reason="full"))}, "m1 refuses: full"),
        ({"settled_by_hand": pb.SettledByHand(domain="m1", decision="COMMIT", operator="jo")},
         "m1: settled by hand, commit, by jo"),
        ({"settled_by_hand": pb.SettledByHand(
            domain="m1", decision="GIVE_UP", operator="jo", reason="why")},
         "m1: settled by hand, give-up, by jo: why"),
        ({"data_plane_changed": pb.DataPlaneChanged(
            domain="m1", state=common_pb2.DATA_PLANE_STATE_FAILED, reason="no power")},
         "m1 data plane: failed (no power)"),
    ],
)  # fmt: skip
def test_an_event_is_one_line(event: dict[str, Any], text: str) -> None:
    assert views.event_text(pb.ReservationEvent(**event)) == text


def test_every_kind_of_event_has_a_line() -> None:
    oneof = pb.ReservationEvent.DESCRIPTOR.oneofs_by_name["kind"]
    for field in oneof.fields:
        event = pb.ReservationEvent()
        getattr(event, field.name).SetInParent()
        assert views.event_text(event), field.name


PRINTABLE = st.text(max_size=40).map(lambda text: "".join(c for c in text if c.isprintable()))


@given(PRINTABLE, PRINTABLE | st.sampled_from(["[/]", "[red]", "\\[", ":warning:"]))
def test_no_text_of_others_is_taken_for_markup(name: str, reason: str) -> None:
    refusal = common_pb2.Refusal(domain=name, reason=reason)
    for line in refusal_lines([refusal]):
        assert getattr(line, "plain", "").endswith(reason)
    rich = record(refusals=[refusal], parts=[pb.DomainPart(domain=name, reason=reason)])
    rich.criteria.description = reason
    shown(views.record_view(rich))


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("berlin has no room for it", "no: berlin has no room for it"),
        ("berlin is full", "no: berlin is full"),
        ("berliner hosts are full", "no: berlin: berliner hosts are full"),
        ("it is full", "no: berlin: it is full"),
    ],
)
def test_a_reason_that_begins_with_who_says_it_says_it_once(reason: str, line: str) -> None:
    (shown_,) = refusal_lines([common_pb2.Refusal(domain="berlin", reason=reason)])
    assert getattr(shown_, "plain", "") == line


@pytest.mark.parametrize("odd", ["a [/] b", "[red]", "\\["])
def test_what_an_agent_says_of_itself_is_shown_as_it_is(odd: str) -> None:
    strange = status()
    strange.domain.backend = odd
    link = topology_pb2.InterDomainLink(a_stp=f"m1:{odd}", b_stp="b:y", capacity_bps=G)
    text = shown(
        views.topology_view(topology_pb2.GetTopologyResponse(domains=[strange], links=[link]))
    )
    assert text.count(odd) == 2
