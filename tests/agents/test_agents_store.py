"""Records survive in SQLite and PostgreSQL alike, and a database has one writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agent_world import NOW_S, FaultyStore, prep
from hypothesis import given, strategies as st
from sqlalchemy import Connection, select, text

from agents.ledger import Ledger
from agents.store import (
    PARTS,
    DatabaseStore,
    DataPlane,
    MemoryStore,
    Record,
    SupersededError,
    WrongDatabaseError,
)
from protocol.participant import Part, PartState
from runtime import schema
from runtime.database import Database, StorageError
from substrate.model import DataPlaneState, Refusal, RefusalKind

NOW_MS = NOW_S * 1000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[DatabaseStore]:
    schema.upgrade(database_url, "agent")
    opened = DatabaseStore(Database(database_url))
    yield opened
    await opened.close()


def held(transaction_id: str = "t1", **changes: object) -> Record:
    part = Part(
        transaction_id,
        "p1",
        PartState.HELD,
        prep(transaction_id),
        '{"claims": []}',
        None,
        NOW_MS,
        NOW_MS + 5000,
        2,
    )
    return Record(replace(part, **changes), DataPlane(changed_ms=NOW_MS))  # type: ignore[arg-type]


REFUSED = held(
    "t2",
    state=PartState.REFUSED,
    mapping="",
    inquire_at_ms=None,
    refusal=Refusal(RefusalKind.LABEL, "no VLAN", "renet1", "port", "s1", 0),
)
TOMBSTONE = Record(
    Part("t3", "p1", PartState.ABORTED, changed_ms=NOW_MS),
    DataPlane(DataPlaneState.RELEASED),
)


async def test_every_kind_of_record_comes_back_as_it_was(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS)
    failed = replace(held("t4"), data_plane=DataPlane(DataPlaneState.FAILED, "ouch", 7))
    records = (held(), REFUSED, TOMBSTONE, failed)
    await store.save(records)
    assert (await store.load("renet1", NOW_MS)).records == records


async def test_saving_again_replaces_and_forgetting_removes(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS)
    await store.save([held("t1"), held("t2")])
    committed = held("t2", state=PartState.COMMITTED, inquire_at_ms=None)
    await store.save([committed], forgotten=[("t1", "p1"), ("never", "seen")])
    assert (await store.load("renet1", NOW_MS)).records == (committed,)


async def test_what_operators_may_search_by_is_in_columns(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS)
    await store.save([held()])
    row = (await store._database.read(lambda c: c.execute(select(PARTS)).mappings().all()))[0]
    assert (row["reservation_id"], row["orchestrator_id"]) == ("r1", "orchestrator-1")
    assert (row["start_s"], row["end_s"]) == (NOW_S + 100, NOW_S + 200)
    assert (row["state"], row["data_plane"]) == ("HELD", "SCHEDULED")


async def test_the_epoch_stays_until_a_restore_raises_it(store: DatabaseStore) -> None:
    first = (await store.load("renet1", NOW_MS)).epoch
    assert (await store.load("renet1", NOW_MS + 1)).epoch == first == NOW_MS
    raised = (await store.load("renet1", NOW_MS, restored=True)).epoch
    assert raised > first
    assert (await store.load("renet1", NOW_MS)).epoch == raised


async def test_another_domain_is_refused_and_changes_nothing(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS)
    with pytest.raises(WrongDatabaseError, match="'renet1', not to 'renet2'"):
        await store.load("renet2", NOW_MS)
    await store.save([held()])


async def test_a_second_agent_takes_over_and_the_first_cannot_write(
    store: DatabaseStore, database_url: str
) -> None:
    await store.load("renet1", NOW_MS)
    await store.save([held("t1")])
    second = DatabaseStore(Database(database_url))
    assert len((await second.load("renet1", NOW_MS)).records) == 1
    with pytest.raises(SupersededError, match="another agent has taken over"):
        await store.save([held("t2")])
    await second.save([held("t3")])
    keys = [record.key[0] for record in (await second.load("renet1", NOW_MS)).records]
    assert keys == ["t1", "t3"]
    await second.close()


async def test_a_database_that_cannot_write_raises_and_keeps_nothing(
    store: DatabaseStore,
) -> None:
    await store.load("renet1", NOW_MS)

    def spoil(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE agent_parts RENAME TO elsewhere"))

    await store._database.write(spoil)
    with pytest.raises(StorageError):
        await store.save([held()])


class TestLedger:
    """What a failed write may have left behind is removed by the next one."""

    async def ledger(self) -> tuple[Ledger, FaultyStore]:
        store = FaultyStore(MemoryStore())
        await store.load("renet1", NOW_MS)
        return Ledger(store), store

    async def keys(self, store: FaultyStore) -> list[str]:
        return [record.key[0] for record in (await store.load("renet1", NOW_MS)).records]

    async def test_a_fresh_row_in_doubt_is_removed(self) -> None:
        ledger, store = await self.ledger()
        store.lies = True
        with pytest.raises(StorageError):
            await ledger.save(held("t1"), fresh=True)
        assert await self.keys(store) == ["t1"]
        store.lies = False
        await ledger.save(held("t2"), fresh=True)
        assert await self.keys(store) == ["t2"]

    async def test_an_older_row_in_doubt_is_kept(self) -> None:
        ledger, store = await self.ledger()
        await ledger.save(held("t1"), fresh=True)
        store.lies = True
        with pytest.raises(StorageError):
            await ledger.save(held("t1", state=PartState.COMMITTED))
        store.lies = False
        await ledger.save(held("t2"), fresh=True)
        assert await self.keys(store) == ["t1", "t2"]

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "fails", "lies"])), max_size=12
        )
    )
    def test_after_a_write_the_store_holds_what_was_acknowledged(
        self, writes: list[tuple[str, str]]
    ) -> None:
        async def run() -> None:
            ledger, store = await self.ledger()
            acknowledged: set[str] = set()
            for key, outcome in [*writes, ("z", "ok")]:
                store.fails, store.lies = outcome == "fails", outcome == "lies"
                try:
                    await ledger.save(held(key), fresh=key not in acknowledged)
                except StorageError:
                    continue
                acknowledged.add(key)
            assert await self.keys(store) == sorted(acknowledged)

        asyncio.run(run())
