"""How each event of a reservation's life changes its record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import G

from orchestrator.advice import advice_text
from orchestrator.records import (
    FINAL,
    Change,
    Granted,
    PartView,
    Reservation,
    State,
    cancelled,
    changed,
    committed,
    ended,
    failed,
    fold_data_plane,
    granted_alone,
    parallel_streams,
    unchanged,
    with_change_grant,
    with_data_plane,
    with_grant,
    with_released,
)
from orchestrator.wire import change_from_pb, change_to_pb, record_from_pb, record_to_pb
from substrate.labels import Plan
from substrate.model import (
    Criteria,
    DataPlaneState,
    Hop,
    Path,
    Refusal,
    RefusalKind,
    Segment,
    Window,
)

CRITERIA = Criteria("west:host", "east:host", 10 * G, Window(1000, 2000))
WIDER = replace(CRITERIA, bandwidth_bps=20 * G)
WHY = (Refusal(RefusalKind.BANDWIDTH, "full", domain="m1"),)
S, A, R, F = (
    DataPlaneState.SCHEDULED,
    DataPlaneState.ACTIVE,
    DataPlaneState.RELEASED,
    DataPlaneState.FAILED,
)


def plan(*domains: str, bps: int = 10 * G) -> Plan:
    hops = tuple(Hop(name, f"{name}:a", 100, f"{name}:b", 100) for name in domains)
    segments = {name: (Segment("s1", f"{name}:a", 100, f"{name}:b", 100, bps),) for name in domains}
    return Plan((Path(bps, 5, hops),), segments, depends_on_blind=False)


def grant(*domains: str, bps: int = 10 * G) -> Granted:
    return granted_alone(replace(CRITERIA, bandwidth_bps=bps), plan(*domains, bps=bps))


def fresh() -> Reservation:
    return Reservation("res", "r", CRITERIA, "tx-1", 1, 1)


def standing() -> Reservation:
    return committed(fresh(), grant("m1", "m2"), 2)


def changing() -> Reservation:
    change = Change("c", "tx-2", WIDER, 30, 3)
    return replace(standing(), change=change)


def test_a_new_one_is_being_negotiated() -> None:
    assert fresh().state is State.NEGOTIATING
    assert not fresh().decided


def test_commit_shows_what_each_domain_holds() -> None:
    record = standing()
    assert record.decided
    assert (record.state, record.updated_ms) == (State.COMMITTED, 2)
    assert [part.domain for part in record.parts] == ["m1", "m2"]
    assert {part.data_plane for part in record.parts} == {S}
    assert record.plan() == plan("m1", "m2")


def test_a_plan_that_may_not_be_told_yet_is_kept_but_not_in_force() -> None:
    record = with_grant(fresh(), grant("m1"), 2)
    assert record.state is State.NEGOTIATING
    assert committed(record, record.granted, 3).paths == plan("m1").paths


def test_failure_keeps_the_reasons_and_nothing_else() -> None:
    record = failed(with_grant(fresh(), grant("m1"), 2), WHY, 4)
    assert (record.state, record.refusals) == (State.FAILED, WHY)
    assert (record.paths, record.parts) == ((), ())
    assert record.state in FINAL


def test_a_change_takes_effect_as_a_new_version() -> None:
    active = with_data_plane(changing(), "m1", A, "", 4)
    record = changed(with_change_grant(active, grant("m1", "m3", bps=20 * G), 5), 6)
    assert (record.version, record.transaction_id) == (2, "tx-2")
    assert record.criteria == WIDER
    assert (record.change, record.modified, record.refusals) == (None, True, ())
    assert {part.domain: part.data_plane for part in record.parts} == {"m1": A, "m3": S}


def test_a_refused_change_leaves_the_old_version() -> None:
    record = unchanged(changing(), WHY, 5)
    assert (record.version, record.transaction_id) == (1, "tx-1")
    assert record.criteria == CRITERIA
    assert (record.change, record.modified, record.refusals) == (None, False, WHY)
    assert record.parts == standing().parts


def test_one_that_is_changing_is_not_decided() -> None:
    assert not changing().decided
    assert unchanged(changing(), WHY, 5).decided


@pytest.mark.parametrize("over", [cancelled, ended])
def test_what_is_over_is_final_and_changes_no_more(over: object) -> None:
    record = over(changing(), 9)  # type: ignore[operator]
    assert record.state in FINAL
    assert record.change is None
    assert record.paths == standing().paths


def test_a_report_of_the_data_plane_changes_its_part_only() -> None:
    record = with_data_plane(standing(), "m1", F, "burnt", 7)
    parts = {part.domain: (part.data_plane, part.reason) for part in record.parts}
    assert parts == {"m1": (F, "burnt"), "m2": (S, "")}
    assert record.updated_ms == 7


def test_the_same_report_again_changes_nothing() -> None:
    record = with_data_plane(standing(), "m1", A, "", 7)
    assert with_data_plane(record, "m1", A, "", 9) is record
    assert with_data_plane(record, "nobody", A, "", 9) is record


def test_a_release_is_noted_once() -> None:
    record = with_released(standing(), "m1", 7)
    assert [part.released for part in record.parts] == [True, False]
    assert with_released(record, "m1", 9) is record
    assert with_released(record, "nobody", 9) is record


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([], None),
        ([S], S),
        ([S, A], S),
        ([A, A], A),
        ([A, R], S),
        ([R, R], R),
        ([A, F], F),
        ([F, R], F),
    ],
)
def test_the_whole_is_a_fold_of_its_parts(
    states: list[DataPlaneState], whole: DataPlaneState | None
) -> None:
    parts = tuple(PartView(f"m{i}", (), state) for i, state in enumerate(states))
    assert fold_data_plane(parts) is whole


@pytest.mark.parametrize(
    "record",
    [
        fresh(),
        standing(),
        failed(fresh(), WHY, 3),
        with_data_plane(standing(), "m1", F, "burnt", 7),
        with_released(cancelled(standing(), 8), "m2", 9),
        replace(standing(), description="tonight", timeout_s=77, modified=False, version=4),
        replace(standing(), criteria=replace(CRITERIA, more_destinations=("x:1", "x:2"))),
    ],
    ids=lambda record: record.state.name,
)
def test_a_record_reads_back_from_its_wire_form(record: Reservation) -> None:
    assert record_from_pb(record_to_pb(record), record.transaction_id, None) == record


def test_a_change_reads_back_from_its_wire_form() -> None:
    for record in (changing(), with_change_grant(changing(), grant("m3"), 5)):
        assert record.change is not None
        wire = change_to_pb(record.change)
        assert change_from_pb(wire, record.change.transaction_id) == record.change


def test_the_wire_form_tells_more_than_the_record() -> None:
    message = record_to_pb(changing())
    assert message.modifying
    assert not message.HasField("modified")
    assert message.advice.parallel_streams == 2
    assert message.data_plane == S.value
    assert not record_to_pb(fresh()).HasField("advice")


def test_two_streams_per_path() -> None:
    one = plan("m1").paths
    assert parallel_streams(one) == 2
    assert parallel_streams(one * 3) == 6
    assert "6 parallel streams" in advice_text(one * 3)
    assert "2 parallel streams" in advice_text(one)
    assert advice_text(()) == ""


def test_streams_are_for_the_paths_that_are_there_at_the_same_time() -> None:
    path = plan("m1").paths[0]
    early, late = replace(path, window=Window(0, 60)), replace(path, window=Window(60, 90))
    assert parallel_streams((early, early, late)) == 4
    assert advice_text((early, early, late)).startswith(
        "Split over at most 2 paths at a time: use 4 parallel streams"
    )
    assert advice_text((early, late)) == ("One path at a time: use 2 parallel streams to fill it.")
    # While a circuit migrates the old path and the new one are both there.
    assert parallel_streams((early, replace(path, window=Window(30, 90)))) == 4
