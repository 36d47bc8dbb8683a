"""VNodes that leave a provider and come back to it: which of the two there is meant."""

from __future__ import annotations

import asyncio

import pytest
from agent_world import ME
from cloud_world import CloudWorld, cloud_prep
from test_agents_carrying import PAIR, awaiting, typed
from test_agents_clouds import world
from test_agents_live import _b, brought, given
from test_agents_recovery import claim, claims
from test_agents_strays import told

from agents.store import MemoryStore
from runtime.errors import RequestError


async def back(w: CloudWorld) -> MemoryStore:
    """b leaves the first version on errand 1, and is there again for the third on errand 2; a
    backup from before that."""
    exported, data = await brought()
    await w.committed(cloud_prep(PAIR))
    assert isinstance(w.store, MemoryStore)
    backup = w.store.copy()
    await w.clouds.carrying.copy("r1", "b", "", 1, last=True)
    await w.committed(awaiting(transaction_id="t3", version=3))
    await w.clouds.carrying.comes("r1", "b", 2, last=True)
    await w.clouds.carrying.keep("r1", "b", given(exported, data), 2, last=True)
    return backup


async def test_what_a_restored_provider_made_anew_is_not_taken_for_what_was_brought() -> None:
    w = CloudWorld(MemoryStore(), lasting=False, orchestrators=(ME,))
    await w.start()
    w.store = await back(w)
    await w.restart(restored=True)
    # By its copy b runs there in the first version; its hosts have forgotten all.
    first, third = cloud_prep(PAIR), awaiting(transaction_id="t3", version=3)
    assert await told(w, claims(w, claim(first), claim(third))) == [True, True]
    await w.agent.parts.provisioner.settled("r1")
    with pytest.raises(RequestError, match="has arrived"):
        await w.clouds.carrying.begin("r1", ["b"])
    exported, data = await brought()
    await w.clouds.carrying.keep("r1", "b", given(exported, data), 3, last=True)
    await w.clouds.carrying.begin("r1", ["b"])
    assert "it rains" in await typed(w, "b", "read diary")
    await w.end()


async def test_what_is_given_on_does_not_run_by_a_begin_that_comes_late() -> None:
    async with world() as w:
        await back(w)
        await w.clouds.carrying.copy("r1", "b", "", 3, last=True)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await _b(w) == "paused"
        await w.clouds.carrying.put_back("r1", ["b"], 3)
        assert await _b(w) == "running"


async def test_who_has_only_just_started_does_not_say_that_nothing_is_there() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.settle()
        for moments in range(12):
            await w.crash()
            w.agent = w._new_agent()
            await w.agent.start()
            for _ in range(moments):
                await asyncio.sleep(0)
            await w.clouds.carrying.copy("r1", "b", "", 1, last=False)
