"""A start finds the same, however many processes read, and however much is read at once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from agent_world import NOW_S, prep
from hypothesis import given, strategies as st
from sqlalchemy import Connection

from agents import loading, sayings
from agents.asleep import Asleep, number_of, record_of
from agents.backends.base import Claim, Placement
from agents.intake import Intake
from agents.loading import load_parts
from agents.rows import PARTS, prep_to_bytes, record_to_row, replacing_part
from agents.store import PART_COLUMNS
from agents.values import DataPlane, Record
from protocol.participant import Part, PartState
from runtime import schema
from runtime.database import open_engine
from runtime.statements import insert_rows
from substrate.calendar import Direction, Resource
from substrate.model import DataPlaneState

NOW_MS = NOW_S * 1000
STPS = ("renet1:west", "renet1:east")
Row = tuple[Any, ...]

placements = st.builds(
    Placement,
    st.lists(
        st.builds(
            Claim,
            st.builds(Resource, st.sampled_from(STPS), st.sampled_from(Direction)),
            st.integers(1, 3),
        ),
        max_size=3,
    ).map(tuple),
    st.lists(st.tuples(st.sampled_from(STPS), st.integers(1, 3)), max_size=3).map(tuple),
    st.sampled_from(["", ',"labels":[["x",1]]']),
)
states = st.sampled_from(
    [
        (PartState.COMMITTED, DataPlaneState.SCHEDULED),
        (PartState.COMMITTED, DataPlaneState.ACTIVE),
        (PartState.RELEASED, DataPlaneState.RELEASED),
        (PartState.HELD, DataPlaneState.SCHEDULED),
    ]
)


def row(
    number: int,
    state: tuple[PartState, DataPlaneState] = (PartState.COMMITTED, DataPlaneState.SCHEDULED),
    placement: Placement = Placement((), ()),  # noqa: B008
    begins: int = 100,
    reservation: int | None = None,
) -> Row:
    reservation_id = f"r{number if reservation is None else reservation}"
    asked = prep(
        f"transaction{number // 2}",
        f"p{number}",
        reservation_id=reservation_id,
        start_s=NOW_S + begins,
        end_s=NOW_S + begins + 50,
    )
    key = (asked.transaction_id, asked.part_id)
    part = Part(*key, state[0], asked, placement.to_json(), changed_ms=NOW_MS)
    return record_to_row(Record(part, DataPlane(state[1], "", NOW_MS)), prep_to_bytes(asked))


parts = st.lists(
    st.tuples(states, placements, st.sampled_from([-100, -10, 0, 1, 9]), st.integers(0, 9)),
    max_size=12,
).map(lambda drawn: [row(number, *each) for number, each in enumerate(drawn)])


def keys(rows: list[Any]) -> Counter[tuple[str, str]]:
    return Counter((each[0], each[1]) for each in rows)


def sleeping(rows: list[bytes]) -> Counter[tuple[str, str]]:
    return Counter(record_of(each).key for each in rows)


def content(intake: Intake) -> tuple[Any, ...]:
    """What it takes and keeps, where numbers of reservations do not matter."""
    taken, sleepers, awake = intake.taken()
    names = {number_of(each): record_of(each).key for each in sleepers.rows}
    claims = {
        thing: sorted(zip(*(column.tolist() for column in columns), strict=True))
        for thing, columns in taken.claims.items()
    }
    labels = {
        stp: sorted(
            (*rest, names[number]) for *rest, number in zip(*map(list, columns), strict=True)
        )
        for stp, columns in taken.labels.items()
    }
    assert max(names, default=0) <= taken.last_number
    every: dict[Any, list[Any]] = {**claims, **labels}
    found = {thing: rows for thing, rows in every.items() if rows}
    return found, sleeping(sleepers.rows), +sleepers.kinds, sorted(each.key for each in awake)


def expected(rows: list[Row]) -> tuple[Any, ...]:
    """The same, one by one."""
    asleep = [each for each in rows if sleeps(each)]
    of = Counter(each[2] for each in asleep if each[4] == "COMMITTED")
    found: dict[Any, list[Any]] = {}
    awake = [each for each in asleep if each[4] == "COMMITTED" and of[each[2]] > 1]
    asleep = [each for each in asleep if each not in awake]
    for each in asleep:
        if each[4] == "COMMITTED":
            placement = Placement.from_json(each[6])
            for claim in placement.claims:
                entry = (each[11], each[12], claim.bandwidth_bps)
                found.setdefault(claim.resource, []).append(entry)
            for stp, vlan in placement.labels:
                found.setdefault(stp, []).append((vlan, each[11], each[12], each[:2]))
    kinds = Counter((each[4], each[3]) for each in asleep)
    things = {thing: sorted(entries) for thing, entries in found.items()}
    return things, keys(asleep), kinds, sorted(each[:2] for each in awake)


def sleeps(each: Row) -> bool:
    planned = (each[4], each[13]) == ("COMMITTED", "SCHEDULED") and each[11] > NOW_S
    return bool(planned or (each[4] == "RELEASED" and each[12] > NOW_S))


@given(parts, st.integers(0, 12), st.integers(0, 12))
def test_what_is_read_in_pieces_is_what_is_read_one_by_one(
    rows: list[Row], first: int, second: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sayings, "TEXTS_MAX", 2)
        patch.setattr(sayings, "TOGETHER", 2)
        here, there = Intake(NOW_MS), Intake(NOW_MS, 1000)
        left = here.take(rows[:first])
        left += there.take(rows[first : first + second])
        here.join(there)
        left += here.take(rows[first + second :])
        assert keys(left) == keys([each for each in rows if not sleeps(each)])
        assert content(here) == expected(rows)


def test_rows_that_begin_alike_are_in_the_order_of_their_keys() -> None:
    intake, shelf = Intake(NOW_MS), Asleep()
    rows = [row(number) for number in (7, 3, 12, 2, 0, 13, 6)]
    assert intake.take(rows) == []
    shelf.fill(intake.taken()[1])
    found = [record_of(each).key for each in shelf.after(None)]
    assert found == sorted(each[:2] for each in rows)


@pytest.fixture
def connection(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """Of a database with many parts, of which a few are read at a time."""
    monkeypatch.setattr(loading, "MANY_ROWS", 10)
    monkeypatch.setattr(loading, "PIECE_ROWS", 4)
    monkeypatch.setattr(loading, "CHUNK_ROWS", 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    schema.upgrade(sqlite_url, "agent")
    engine = open_engine(sqlite_url)
    with engine.begin() as opened:
        insert_rows(opened, PARTS, PART_COLUMNS, ROWS, replacing_part)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


HELD = (PartState.HELD, DataPlaneState.SCHEDULED)
PLANNED = (PartState.COMMITTED, DataPlaneState.SCHEDULED)
ROWS = [row(n, HELD if n % 5 == 0 else PLANNED, reservation=n - n % 7 // 6) for n in range(50)]


def test_two_processes_find_what_one_finds(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[int] = []
    join = Intake.join

    def joins(self: Intake, other: Intake) -> None:
        joined.append(len(other.rows))
        join(self, other)

    monkeypatch.setattr(Intake, "join", joins)
    intake, left = load_parts(connection, NOW_MS)
    assert joined
    assert keys(left) == keys([each for each in ROWS if not sleeps(each)])
    assert content(intake) == expected(ROWS)


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
def test_a_second_process_that_fails_is_done_without(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    intake, left = load_parts(connection, NOW_MS)
    assert keys(left) == keys([each for each in ROWS if not sleeps(each)])
    assert content(intake) == expected(ROWS)
