"""Events of one reservation that are written at one time share a row, and nobody notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, cast

from hypothesis import given, strategies as st
from sqlalchemy import text

from orchestrator.event_rows import EVENT, event_rows, events_in
from orchestrator.events import Event, decided_event, settled_event
from orchestrator.ports import Changes, Store
from orchestrator.store import open_store
from runtime import schema
from runtime.database import open_engine


class Stored(NamedTuple):
    """A row."""

    sequence: int
    reservation_id: str
    at_ms: int
    body: bytes
    events: int


assert Stored._fields == EVENT

events = st.lists(
    st.builds(
        Event,
        reservation_id=st.sampled_from(["r1", "r2", "r3"]),
        at_ms=st.integers(0, 2**62),
        encoded=st.binary(max_size=300),
    ),
    max_size=30,
)


def read(rows: list[tuple[Any, ...]]) -> list[Event]:
    return [event for row in rows for event in events_in(cast(Any, Stored(*row)))]


@given(events, st.integers(0, 2**40))
def test_events_are_read_as_they_were_written_and_numbered_on(
    given: list[Event], last: int
) -> None:
    found = read(event_rows(given, last))
    assert [event.sequence for event in found] == [last + 1 + n for n in range(len(given))]
    for one in ("r1", "r2", "r3"):
        of_one = [replace(event, sequence=0) for event in found if event.reservation_id == one]
        assert of_one == [event for event in given if event.reservation_id == one]


@given(events)
def test_each_reservation_has_one_row_whose_number_is_its_last_events(given: list[Event]) -> None:
    rows = event_rows(given, 0)
    assert len(rows) == len({event.reservation_id for event in given})
    assert [row[0] for row in rows] == [read([row])[-1].sequence for row in rows]


def test_a_row_from_before_has_one_event() -> None:
    [event] = events_in(cast(Any, Stored(7, "r1", 5, b"body", 0)))
    assert event == Event("r1", 5, b"body", 7)


async def test_a_page_may_end_and_begin_within_a_row(store: Store) -> None:
    written = [settled_event("r1", f"m{number}", "COMMITTED", number) for number in range(5)]
    await store.save(Changes(events=tuple(written)))
    await store.save(Changes(events=(decided_event("r2", "ABORT", 9),)))
    numbers = [event.sequence for event in await store.events("", 0, 100)]
    assert len(numbers) == 6
    assert await store.last_event() == numbers[-1]
    for after in range(6):
        for limit in range(1, 4):
            page = await store.events("", numbers[after] - 1, limit)
            assert [event.sequence for event in page] == numbers[after : after + limit]
    of_one = await store.events("r1", numbers[1], 2)
    assert [event.body.part_settled.domain for event in of_one] == ["m2", "m3"]


async def test_an_older_version_finds_a_row_for_each_event(database_url: str) -> None:
    schema.upgrade(database_url, "orchestrator")
    store = open_store(database_url)
    written = [settled_event("r1", f"m{number}", "COMMITTED", number) for number in range(3)]
    await store.save(Changes(events=(*written, decided_event("r2", "ABORT", 9))))
    kept = await store.events("", 0, 100)
    await store.close()
    schema.downgrade(database_url, "orchestrator", "orchestrator_0004")
    engine = open_engine(database_url)
    query = "SELECT reservation_id, at_ms, body, sequence FROM reservation_event ORDER BY sequence"
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    engine.dispose()
    assert [Event(*row) for row in rows] == list(kept)
    schema.upgrade(database_url, "orchestrator")
    store = open_store(database_url)
    await store.save(Changes(events=(decided_event("r3", "ABORT", 9),)))
    assert [event.sequence for event in await store.events("", 0, 100)] == [1, 2, 3, 4, 5]
    assert (await store.events("", 0, 4)) == kept
    await store.close()
