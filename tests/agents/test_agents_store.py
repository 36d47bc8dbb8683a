"""Records survive in SQLite and PostgreSQL alike, and a database has one writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from operator import attrgetter

import pytest
from agent_world import NOW_S, FaultyStore, prep
from hypothesis import given, strategies as st
from sqlalchemy import Connection, delete, select, text

from agents.asleep import record_of
from agents.ledger import Ledger
from agents.rows import META, PARTS, UNDATED_MS
from agents.store import DatabaseStore, Loaded, MemoryStore, SupersededError
from agents.values import DataPlane, Decision, Life, Record, Settlement
from protocol.participant import Part, PartState
from runtime import schema
from runtime.database import Database, StorageError, WrongDatabaseError, open_engine
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


def decision(transaction_id: str = "t1") -> Decision:
    settlement = Settlement.GIVE_UP
    return Decision(transaction_id, "p1", "r1", "o1", settlement, "eve", "gone", NOW_MS)


def all_of(loaded: Loaded) -> tuple[Record, ...]:
    """The records, and those that sleep."""
    assert loaded.asleep is not None
    records = [*loaded.records, *map(record_of, loaded.asleep.rows)]
    return tuple(sorted(records, key=attrgetter("key")))


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
    await store.load("renet1", NOW_MS, "me")
    failed = replace(held("t4"), data_plane=DataPlane(DataPlaneState.FAILED, "ouch", 7))
    dated = held("t5", expires_ms=NOW_MS + 7)
    committed = {"state": PartState.COMMITTED, "inquire_at_ms": None}
    settled = held("t6", **committed, heuristic=True)
    released = replace(REFUSED, data_plane=DataPlane(DataPlaneState.RELEASED, "", 8))
    released = replace(released, part=replace(released.part, transaction_id="t7"))
    records = (held(), REFUSED, TOMBSTONE, failed, dated, settled, released)
    await store.save(records)
    assert all_of(await store.load("renet1", NOW_MS, "me")) == records


async def test_saving_again_replaces_and_forgetting_removes(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS, "me")
    await store.save([held("t1"), held("t2")])
    committed = held("t2", state=PartState.COMMITTED, inquire_at_ms=None)
    await store.save([committed], forgotten=[("t1", "p1"), ("never", "seen")])
    assert all_of(await store.load("renet1", NOW_MS, "me")) == (committed,)


async def test_many_writes_that_share_a_transaction_come_to_what_they_say_in_turn(
    store: DatabaseStore,
) -> None:
    life = (await store.load("renet1", NOW_MS, "me")).life
    plain = MemoryStore()
    writes = []
    for number in range(300):
        records = [held(f"t{key:03}", inquiries=number) for key in {number, number * 7 % 90}]
        gone = [(f"t{number * 11 % 90:03}", "p1")] if number % 3 == 0 else []
        decisions = [replace(decision(f"t{number % 5}"), reason=str(number))]
        writes.append((records, gone, replace(life, boot=number), decisions))
        await plain.save(*writes[-1])
    await asyncio.gather(*(store.save(*write) for write in writes))
    loaded = await store.load("renet1", NOW_MS, "me")
    assert loaded.records == tuple(plain.records[key] for key in sorted(plain.records))
    assert loaded.decisions == tuple(plain.decisions[key] for key in sorted(plain.decisions))
    assert loaded.life.boot == 300


async def test_what_operators_may_search_by_is_in_columns(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS, "me")
    await store.save([held()])
    row = (await store._database.read(lambda c: c.execute(select(PARTS)).mappings().all()))[0]
    assert (row["reservation_id"], row["orchestrator_id"]) == ("r1", "orchestrator-1")
    assert (row["start_s"], row["end_s"]) == (NOW_S + 100, NOW_S + 200)
    assert (row["state"], row["data_plane"]) == ("HELD", "SCHEDULED")


async def test_every_start_is_told_from_the_others(store: DatabaseStore) -> None:
    first = (await store.load("renet1", NOW_MS, "one")).life
    assert first == Life(NOW_MS, 1, "one", recovering=False, first_epoch=NOW_MS)
    second = (await store.load("renet1", NOW_MS + 5, "two")).life
    assert second == Life(NOW_MS, 2, "two", recovering=False, first_epoch=NOW_MS)


async def test_recovering_is_durable_until_it_is_over(store: DatabaseStore) -> None:
    life = (await store.load("renet1", NOW_MS, "one", restored=True)).life
    assert life.recovering
    assert (await store.load("renet1", NOW_MS, "two")).life.recovering
    record, decided = held(), decision()
    await store.save([record], life=replace(life, recovering=False), decisions=[decided])
    loaded = await store.load("renet1", NOW_MS, "three")
    assert not loaded.life.recovering
    assert (loaded.records, loaded.decisions) == ((record,), (decided,))
    marked = replace(decided, contradicted=True)
    await store.save(decisions=[marked])
    assert (await store.load("renet1", NOW_MS, "four")).decisions == (marked,)


async def test_a_life_is_written_with_the_records_or_not_at_all(store: DatabaseStore) -> None:
    life = (await store.load("renet1", NOW_MS, "one")).life

    def spoil(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE agent_decisions RENAME TO elsewhere"))

    await store._database.write(spoil)
    raised = replace(life, epoch=life.epoch + 1, recovering=True)
    with pytest.raises(StorageError):
        await store.save([held()], life=raised, decisions=[decision()])
    await store._database.write(
        lambda c: c.execute(text("ALTER TABLE elsewhere RENAME TO agent_decisions"))
    )
    loaded = await store.load("renet1", NOW_MS, "two")
    assert (loaded.life.epoch, loaded.life.recovering, loaded.records) == (life.epoch, False, ())


async def test_a_database_of_the_first_schema_is_taken_up(database_url: str) -> None:
    schema.upgrade(database_url, "agent")
    opened = DatabaseStore(Database(database_url))
    await opened.load("renet1", NOW_MS, "one")
    await opened.save([held("t1"), TOMBSTONE])
    await opened.close()
    schema.downgrade(database_url, "agent", "agent_0001")
    engine = open_engine(database_url)
    with engine.begin() as connection:
        wanted = ("boot", "incarnation", "recovering", "first_epoch")
        connection.execute(delete(META).where(META.c.key.in_(wanted)))
    engine.dispose()
    schema.upgrade(database_url, "agent")
    opened = DatabaseStore(Database(database_url))
    loaded = await opened.load("renet1", NOW_MS + 9, "two")
    await opened.close()
    assert loaded.life == Life(NOW_MS, 1, "two", recovering=False, first_epoch=NOW_MS)
    assert loaded.records == (held("t1", expires_ms=UNDATED_MS), TOMBSTONE)


async def test_the_epoch_stays_until_a_restore_raises_it(store: DatabaseStore) -> None:
    first = (await store.load("renet1", NOW_MS, "me")).life.epoch
    assert (await store.load("renet1", NOW_MS + 1, "me")).life.epoch == first == NOW_MS
    raised = (await store.load("renet1", NOW_MS, "me", restored=True)).life.epoch
    assert raised > first
    assert (await store.load("renet1", NOW_MS, "me")).life.epoch == raised


async def test_another_domain_is_refused_and_changes_nothing(store: DatabaseStore) -> None:
    await store.load("renet1", NOW_MS, "me")
    with pytest.raises(WrongDatabaseError, match="'renet1', not to 'renet2'"):
        await store.load("renet2", NOW_MS, "me")
    await store.save([held()])


async def test_a_second_agent_takes_over_and_the_first_cannot_write(
    store: DatabaseStore, database_url: str
) -> None:
    await store.load("renet1", NOW_MS, "me")
    await store.save([held("t1")])
    second = DatabaseStore(Database(database_url))
    assert len((await second.load("renet1", NOW_MS, "me")).records) == 1
    for refused in (store.save([held("t2")]), store.check_owner()):
        with pytest.raises(SupersededError, match="another agent has taken over"):
            await refused
    await second.check_owner()
    await second.save([held("t3")])
    keys = [record.key[0] for record in (await second.load("renet1", NOW_MS, "me")).records]
    assert keys == ["t1", "t3"]
    await second.close()


async def test_a_database_that_cannot_write_raises_and_keeps_nothing(
    store: DatabaseStore,
) -> None:
    await store.load("renet1", NOW_MS, "me")

    def spoil(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE agent_parts RENAME TO elsewhere"))

    await store._database.write(spoil)
    with pytest.raises(StorageError):
        await store.save([held()])


class TestLedger:
    """What a failed write may have left behind is removed by the next one."""

    async def ledger(self) -> tuple[Ledger, FaultyStore]:
        store = FaultyStore(MemoryStore())
        await store.load("renet1", NOW_MS, "me")
        return Ledger(store), store

    async def put(self, ledger: Ledger, record: Record, fresh: bool = False) -> None:
        await ledger.save([record], {record.key} if fresh else ())

    async def keys(self, store: FaultyStore) -> list[str]:
        return [record.key[0] for record in (await store.load("renet1", NOW_MS, "me")).records]

    async def test_a_fresh_row_in_doubt_is_removed(self) -> None:
        ledger, store = await self.ledger()
        store.lies = True
        with pytest.raises(StorageError):
            await self.put(ledger, held("t1"), fresh=True)
        assert await self.keys(store) == ["t1"]
        store.lies = False
        await self.put(ledger, held("t2"), fresh=True)
        assert await self.keys(store) == ["t2"]

    async def test_an_older_row_in_doubt_is_kept(self) -> None:
        ledger, store = await self.ledger()
        await self.put(ledger, held("t1"), fresh=True)
        store.lies = True
        with pytest.raises(StorageError):
            await self.put(ledger, held("t1", state=PartState.COMMITTED))
        store.lies = False
        await self.put(ledger, held("t2"), fresh=True)
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
                    await self.put(ledger, held(key), fresh=key not in acknowledged)
                except StorageError:
                    continue
                acknowledged.add(key)
            assert await self.keys(store) == sorted(acknowledged)

        asyncio.run(run())
