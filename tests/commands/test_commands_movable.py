"""``--movable``, and what would be moved or was."""

from __future__ import annotations

import json

import pytest
from bending_world import (
    HOUR_S,
    PHASES,
    ROUTE,
    START_S,
    G,
    cells,
    path,
    request,
    shown,
    window,
)
from faked import braid

from braid.units import format_time
from braid.v1 import reservations_pb2 as pb
from commands import views
from commands.words import window_text
from tests.braid.fake_orchestrator import FakeOrchestrator

EXACT = request(10 * G, window(0, 2))
MOVES = (
    pb.Move(reservation_id="r7", window=window(0, 2), paths=[path(5 * G, network="renet2")]),
    pb.Move(reservation_id="r8", window=window(0, 12), paths=PHASES),
)
PLAN = pb.PlanResponse(
    feasible=True, paths=[path(10 * G)], window=window(0, 2), bandwidth_bps=10 * G, moves=MOVES
)


@pytest.mark.parametrize("command", ["plan", "reserve"])
@pytest.mark.parametrize(("words", "movable"), [(["--movable"], True), ([], False)])
def test_a_circuit_is_movable_where_it_is_said(
    target: str, fake: FakeOrchestrator, command: str, words: list[str], movable: bool
) -> None:
    result = braid(target, command, *ROUTE, "10G", *words)
    assert result.exit_code == 0, result.output
    (asked,) = fake.asked_of(pb.Reservation)
    assert asked.movable is movable


def test_a_plan_shows_what_would_be_moved_when_to_and_where(
    target: str, fake: FakeOrchestrator
) -> None:
    lines = cells(shown(views.plan_view(PLAN, EXACT)))
    first = lines.index(["What would be moved for it:"]) + 2
    times = [format_time(START_S + hours * HOUR_S) for hours in (0, 6)]
    assert lines[first : first + 4] == [
        ["r7", times[0], "2h", "5 Gb/s", "sitea > renet2 > sited"],
        ["r8", times[0], "4h", "5 Gb/s", "sitea > renet1 > sited"],
        ["2 Gb/s", "sitea > renet2 > sited"],
        [times[1], "6h", "10 Gb/s", "sitea > renet1 > sited"],
    ]
    fake.granted = PLAN
    told = json.loads(braid(target, "plan", *ROUTE, "10G", "--json").stdout)
    assert [one["reservation_id"] for one in told["moves"]] == ["r7", "r8"]
    assert told["moves"][0]["paths"][0]["bandwidth_bps"] == str(5 * G)


def test_a_plan_that_moves_nothing_does_not_speak_of_it() -> None:
    plain = pb.PlanResponse(feasible=True, paths=[path(10 * G)], window=window(0, 2))
    assert "moved for it" not in shown(views.plan_view(plain, EXACT))


def test_show_tells_that_a_circuit_is_movable(target: str, fake: FakeOrchestrator) -> None:
    for words in ((), ("--movable",)):
        assert braid(target, "reserve", *ROUTE, "10G", *words).exit_code == 0
    fixed, movable = (braid(target, "show", name).stdout for name in ("r1", "r2"))
    assert "movable" not in fixed
    assert ["movable", "until it starts"] in [
        line.split(maxsplit=1) for line in map(str.rstrip, movable.splitlines())
    ]


def test_show_tells_that_of_a_volume_what_lies_ahead_is_movable() -> None:
    asked = pb.Reservation(movable=True, flexibility=pb.Flexibility(volume_bytes=10**12))
    record = pb.ReservationRecord(criteria=pb.Reservation(movable=True), asked=asked)
    assert "what lies ahead" in shown(views.record_view(record))
    record.modified = True
    assert "until it starts" in shown(views.record_view(record))


def test_watch_tells_in_one_line_where_a_circuit_was_moved(
    target: str, fake: FakeOrchestrator
) -> None:
    braid(target, "reserve", *ROUTE, "10G", "--movable")
    moved = pb.Moved(version=2, window=window(0, 2), paths=MOVES[0].paths)
    fake.note(fake.records["r1"], moved=moved)
    result = braid(target, "watch", "r1", "--until-decided")
    assert result.stdout.splitlines()[-1] == (
        f"moved to let another in (version 2), {window_text(window(0, 2))}: "
        "5 Gb/s over sitea > renet2 > sited"
    )
