"""How parts are, as the rows of transactions say it, and as they come from older databases."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, strategies as st
from sqlalchemy import text
from test_orchestrator_owning import committed_tx
from test_orchestrator_store import PART, creation

from orchestrator.part_states import (
    PartState,
    line_after,
    lines_of,
    states_of,
    to_text,
    was_refused,
)
from orchestrator.ports import Changes
from orchestrator.store import open_store
from protocol.coordinator import CoordinatorPart, PartStatus
from runtime import schema
from runtime.database import open_engine
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

IDS = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), min_size=1)
PARTS = st.builds(
    replace,
    st.just(PART),
    part_id=IDS,
    status=st.sampled_from(PartStatus),
    epoch=st.integers(0, 2**62),
    refusal=st.sampled_from([None, Refusal(RefusalKind.UNAVAILABLE, "away", "m1")]),
)


@given(st.lists(PARTS, unique_by=lambda part: part.part_id), st.integers(0, 2**62))
def test_states_are_read_as_they_were_written(parts: list[CoordinatorPart], at_ms: int) -> None:
    lines = {part.part_id: line_after(None, part, at_ms) for part in parts}
    assert lines_of(to_text(lines)) == lines
    assert states_of(to_text(lines)) == {
        part.part_id: PartState(part.status, part.epoch, at_ms) for part in parts
    }
    assert [was_refused(line) for line in lines.values()] == [bool(part.refusal) for part in parts]


def test_only_another_status_is_newer() -> None:
    was = line_after(None, PART, 10)
    assert line_after(was, replace(PART, epoch=3), 20)[2] == "10"
    assert line_after(was, replace(PART, status=PartStatus.HELD), 20)[2] == "20"


# Databases whose parts told their states themselves ----------------------------------------------


def rows(url: str, table: str) -> list[dict[str, Any]]:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))]
    engine.dispose()
    return sorted(found, key=str)


async def written(url: str, status: PartStatus, at_ms: int) -> None:
    store = open_store(url)
    await store.save(creation(1))
    await store.save(creation(2))
    transaction = committed_tx(epoch=7, status=status)
    await store.save(Changes(transactions=(transaction,), at_ms=at_ms))
    await store.close()


def test_what_is_in_doubt_is_so_in_every_version_of_the_tables(database_url: str) -> None:
    """Down to the tables of before, and up again."""
    schema.upgrade(database_url, "orchestrator")
    for status in (PartStatus.NACKED, PartStatus.COMMITTING):
        asyncio.run(written(database_url, status, 77))
        before = rows(database_url, "reservation_transaction")
        schema.downgrade(database_url, "orchestrator", "orchestrator_0003")
        (part,) = rows(database_url, "reservation_part")
        assert (part["agent_epoch"], part["since_ms"]) == (7, 77)
        schema.upgrade(database_url, "orchestrator")
        assert rows(database_url, "reservation_transaction") == before

        async def told() -> Any:
            store = open_store(database_url)
            found = await store.doubts(100, (-1, "", ""), 10), await store.transaction("tx-2")
            await store.close()
            return found

        (doubt,), other = asyncio.run(told())
        assert (doubt.part.status, doubt.part.epoch, doubt.since_ms) == (status, 7, 77)
        assert other is not None
        assert other.parts == ()
        schema.downgrade(database_url, "orchestrator")
        schema.upgrade(database_url, "orchestrator")
