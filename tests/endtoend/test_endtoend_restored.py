"""An agent comes back with an old copy of its database, over real gRPC (rule 7 of the design)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from world import G, World, diamond, eventually, world

from braid.v1 import reservations_pb2 as pb


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


async def restore(w: World, name: str, backup: Path) -> None:
    database = w.folder / f"{name}.db"
    await w.stop_agent(name)
    for left in w.folder.glob(f"{name}.db*"):
        left.unlink()
    copy(backup, database)
    await w.start_agent(name)


async def held(w: World, name: str) -> set[tuple[str, int]]:
    return {(h.reservation_id, h.state) for h in await w.holdings(name)}


@pytest.mark.parametrize("life", ["the same life", "an earlier life"])
async def test_an_old_copy_is_found_out_and_holds_again_what_users_were_told(
    tmp_path: Path, life: str
) -> None:
    async with world(tmp_path, diamond(1)) as w:
        given_back = await w.reserve(40 * G)
        backup = tmp_path / "backup"
        copy(tmp_path / "m1.db", backup)
        if life == "an earlier life":
            await w.stop_agent("m1")
            await w.start_agent("m1")
            await w.all_up()
        await w.cancel(given_back.reservation_id)
        await w.nothing_held()
        # More than fits beside what the copy remembers.
        kept = await w.reserve(90 * G)
        assert kept.state == pb.RESERVATION_STATE_COMMITTED
        epoch = w.agents["m1"].agent.epoch
        await restore(w, "m1", backup)

        async def reconciled() -> bool:
            return await held(w, "m1") == {(kept.reservation_id, 2)} and not (
                w.agents["m1"].agent.recovering
            )

        await eventually(reconciled)
        assert w.agents["m1"].agent.epoch > epoch
        await w.all_up()
        refused = await w.reserve(20 * G)
        assert refused.state == pb.RESERVATION_STATE_FAILED
        await w.cancel(kept.reservation_id)
        await w.nothing_held()
