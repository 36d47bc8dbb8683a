"""How a circuit whose request bent looks, and a refusal that helps."""

from __future__ import annotations

from typing import Any

import pytest
from bending_world import (
    ALTERNATIVES,
    BOTTLENECKS,
    MOVE,
    PHASES,
    TB,
    G,
    cells,
    path,
    request,
    shown,
    window,
)
from hypothesis import given, strategies as st

from braid.v1 import common_pb2, reservations_pb2 as pb
from commands import views
from commands.views_paths import by_phase, moved_bytes
from commands.views_refused import refused_rows
from commands.words import phase_text, rate_text, volume_text, when_text, window_text

PLAN = pb.PlanResponse(feasible=True, paths=PHASES, window=window(0, 12), bandwidth_bps=10 * G)


def text_of(answer: pb.ReservationRecord | pb.PlanResponse) -> str:
    return "".join(shown(row) for row in refused_rows(answer))


def test_a_plan_with_phases_shows_each_with_its_time_its_paths_and_what_it_moves() -> None:
    lines = cells(shown(views.plan_view(PLAN, MOVE)))
    head = next(n for n, line in enumerate(lines) if line[0] == "phase")
    first, second, third = lines[head + 1 : head + 4]
    assert first[0] == "1"
    assert first[2:7] == ["4h", "12.6 TB", "1", "5 Gb/s", "24 ms"]
    assert second == ["2", "2 Gb/s", "24 ms", "[1999] sitea [399] renet2 [399] sited [1999]"]
    assert third[0] == "2"
    assert third[2:6] == ["6h", "27 TB", "1", "10 Gb/s"]


def test_what_was_asked_is_beside_what_was_granted() -> None:
    lines = {line[0]: line[1:] for line in cells(shown(views.plan_view(PLAN, MOVE)))}
    assert lines["bandwidth"] == ["up to 10 Gb/s", "asked: as fast as the ports"]
    granted, asked = window_text(window(0, 12)), window_text(window(0, 14))
    assert lines["window"] == [granted, f"asked: {asked}"]
    assert lines["volume"] == ["39.6 TB", "asked: 39.6 TB"]


def test_a_circuit_somewhere_in_a_window_has_no_phases_and_no_volume() -> None:
    wanted = request(10 * G, window(0, 12), duration_s=7200, least_bandwidth_bps=2 * G)
    plan = pb.PlanResponse(
        feasible=True, paths=[path(4 * G)], window=window(3, 2), bandwidth_bps=4 * G
    )
    text = shown(views.plan_view(plan, wanted))
    lines = {line[0]: line[1:] for line in cells(text)}
    assert lines["bandwidth"] == ["4 Gb/s", "asked: 2 Gb/s to 10 Gb/s"]
    assert lines["window"][1] == f"asked: 2h within {window_text(window(0, 12))}"
    assert "phase" not in text
    assert "volume" not in lines


def test_an_exact_plan_says_nothing_of_what_was_asked() -> None:
    plan = pb.PlanResponse(feasible=True, paths=[path(G)], window=window(0, 2), bandwidth_bps=G)
    assert "asked" not in shown(views.plan_view(plan, request(G, window(0, 2))))


def record(**fields: Any) -> pb.ReservationRecord:
    values = {"reservation_id": "r1", "criteria": MOVE, "asked": MOVE, **fields}
    return pb.ReservationRecord(**values)


def test_a_record_that_bent_shows_both_and_one_that_is_not_granted_only_what_was_asked() -> None:
    granted = record(
        state=pb.RESERVATION_STATE_COMMITTED,
        criteria=request(10 * G, window(0, 12)),
        paths=PHASES,
    )
    lines = {line[0]: line[1:] for line in cells(shown(views.record_view(granted)))}
    assert lines["bandwidth"] == ["up to 10 Gb/s", "asked: as fast as the ports"]
    assert lines["volume"] == ["39.6 TB", "asked: 39.6 TB"]
    negotiated = record(state=pb.RESERVATION_STATE_NEGOTIATING)
    text = shown(views.record_view(negotiated))
    lines = {line[0]: line[1:] for line in cells(text)}
    assert lines["bandwidth"] == ["as fast as the ports"]
    assert lines["volume"] == ["39.6 TB"]
    assert "asked:" not in text


def test_a_domain_with_a_part_in_each_phase_is_named_once() -> None:
    parts = [pb.DomainPart(domain="m1", window=window(hour, 1)) for hour in (0, 2)]
    cancelled = record(state=pb.RESERVATION_STATE_CANCELLED, parts=parts)
    assert "m1: told, no answer yet" in shown(views.record_view(cancelled))
    for part in parts:
        part.reason = "no power"
    failed = record(state=pb.RESERVATION_STATE_COMMITTED, parts=parts)
    assert shown(views.record_view(failed)).count("m1: no power") == 1


def test_a_list_shows_the_volume_where_no_rate_is_granted_yet() -> None:
    fast = record(reservation_id="r2", criteria=request(10 * G, window(0, 12)))
    lines = {line[0]: line for line in cells(shown(views.list_view([record(), fast])))}
    assert "39.6 TB" in lines["r1"]
    assert "10 Gb/s" in lines["r2"]


def test_a_planned_event_of_a_cloudnet_within_its_providers_says_so() -> None:
    event = pb.ReservationEvent(planned=pb.Planned(round=2))
    assert views.event_text(event) == "plan 2: no circuits between domains"


def test_a_planned_event_tells_when_each_path_is_there() -> None:
    planned = pb.Planned(round=1, paths=[path(G), path(2 * G, window(0, 4))])
    text = views.event_text(pb.ReservationEvent(planned=planned))
    exact, phased = text.split("; ")
    assert exact == "plan 1: 1 Gb/s over sitea > renet1 > sited"
    assert phased.startswith("2 Gb/s over sitea > renet1 > sited from 20")
    assert phased.endswith(" for 4h")


def test_a_refusal_shows_where_there_is_too_little_how_much_and_when() -> None:
    text = text_of(pb.PlanResponse(bottlenecks=BOTTLENECKS))
    lines = {line[0]: line[1:] for line in cells(text)}
    assert lines["renet1"] == ["renet1:to-rn3", "40 Gb/s", window_text(window(0.5, 1))]
    assert lines["sited"] == ["sited:dtn", "no VLAN"]


def test_each_alternative_says_what_changes_how_much_when_and_how_to_take_it() -> None:
    for answer in (
        pb.PlanResponse(alternatives=ALTERNATIVES),
        pb.ReservationRecord(alternatives=ALTERNATIVES),
    ):
        lines = text_of(answer).splitlines()
        assert lines[1] == "1. 140 Gb/s instead of 300 Gb/s, at the time that was asked for."
        assert f"140 Gb/s, {window_text(window(0, 2))}; can be accepted until 20" in lines[2]
        assert lines[3] == "   braid reserve --accept q7Xw-2fLk9"
        assert "270 TB, 8 phases at most, at most 200 Gb/s, " in lines[8]
        assert [line for line in lines if "least change" in line] == [
            "2. It begins 3h later. (the least change)"
        ]


def test_a_command_to_accept_can_be_pasted_into_a_shell() -> None:
    assert "   braid reserve --accept 'a b'\n" in text_of(
        pb.PlanResponse(alternatives=ALTERNATIVES)
    )


def test_a_refusal_that_knows_no_more_says_no_more() -> None:
    refused = pb.PlanResponse(refusals=[common_pb2.Refusal(reason="too much")])
    assert text_of(refused) == "no: too much\n"


@pytest.mark.parametrize("odd", ["a [/] b", "[red]", "\\["])
def test_no_text_of_a_refusal_is_taken_for_markup(odd: str) -> None:
    place = pb.Bottleneck(domain=odd, resource=odd)
    other = pb.Alternative(text=odd, token=odd, request=request(G, window(0, 1)))
    text = text_of(pb.PlanResponse(bottlenecks=[place], alternatives=[other]))
    assert text.count(odd) == 4


@pytest.mark.parametrize(
    ("wanted", "rate", "volume"),
    [
        (request(G, window(0, 1)), "1 Gb/s", ""),
        (request(G, window(0, 1), least_bandwidth_bps=1000), "1 kb/s to 1 Gb/s", ""),
        (request(0, window(0, 1), volume_bytes=TB), "as fast as the ports", "1 TB"),
        (
            request(G, window(0, 1), volume_bytes=TB, max_phases=2),
            "at most 1 Gb/s",
            "1 TB, 2 phases at most",
        ),
        (
            request(0, window(0, 1), volume_bytes=TB, soonest=True),
            "as fast as the ports",
            "1 TB, soonest",
        ),
    ],
)
def test_a_request_in_words(wanted: pb.Reservation, rate: str, volume: str) -> None:
    assert (rate_text(wanted), volume_text(wanted)) == (rate, volume)
    assert when_text(wanted) == window_text(wanted.window)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "any"),
        ({"least_phase_s": 300}, "5m"),
        ({"least_rate_bps": G}, "1 Gb/s"),
        ({"least_phase_s": 300, "least_rate_bps": G}, "5m, 1 Gb/s"),
    ],
)
def test_the_least_phase_of_a_domain(fields: dict[str, int], text: str) -> None:
    assert phase_text(common_pb2.Domain(**fields)) == text  # type: ignore[arg-type]


WINDOWS = st.builds(window, st.integers(0, 5), st.integers(1, 5)) | st.none()


@given(st.lists(st.builds(path, st.integers(1, G), WINDOWS)))
def test_every_path_is_in_one_phase_and_counts_once(paths: list[pb.Path]) -> None:
    whole = window(0, 10)
    phases = by_phase(paths, whole)
    assert sum(len(together) for _, together in phases) == len(paths)
    starts = [(when.start_s, when.end_s) for when, _ in phases]
    assert starts == sorted(set(starts))
    lasting = [p.window if p.HasField("window") else whole for p in paths]
    bits = sum(p.bandwidth_bps * (w.end_s - w.start_s) for p, w in zip(paths, lasting, strict=True))
    assert moved_bytes(paths, whole) == bits // 8
