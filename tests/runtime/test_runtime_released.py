"""What a released version left behind is read and gone on with by the services of today."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import released_databases as released

from agents.agent import Agent
from agents.settings import agent_settings, open_agent
from orchestrator.instance import Instance
from orchestrator.main import running
from orchestrator.records import Reservation, State
from orchestrator.service import Order
from orchestrator.settings import OrchestratorSettings
from runtime import schema

pytestmark = pytest.mark.parametrize("revision", released.revisions("orchestrator"))
WAIT_S = 30.0


def agent_config(name: str) -> dict[str, Any]:
    """The domain as it was when the rows were written."""
    sites = {"west", "east"}
    ports: list[dict[str, Any]] = [
        {"name": other, "capacity": "100G", "vlans": "100-199", "remote": f"{other}:{name}"}
        for other in (("m1", "m2") if name in sites else ("west", "east"))
    ]
    if name in sites:
        ports.append({"name": "host", "capacity": "1000G", "vlans": "100-199"})
    return {
        "domain": name,
        "backend": "pip" if name in sites else "wan",
        "ports": ports,
        "visible": True,
        "insecure": True,
        "listen": "127.0.0.1:0",
        "inquire_after_s": 1,
    }


class Released:
    """The orchestrator and the agents of today, on the databases of a released version."""

    def __init__(self, instance: Instance, agents: dict[str, Agent]) -> None:
        self.orchestrator = instance.orchestrator
        self.agents = agents

    async def record(self, request_id: str) -> Reservation:
        return await self.orchestrator.by_request(request_id)

    async def held(self) -> dict[str, set[str]]:
        """The domains that hold something for each request, in the names of the requests."""
        names = {(await self.record(name)).reservation_id: name for name in released.REQUESTS}
        found: dict[str, set[str]] = {}
        for domain, agent in self.agents.items():
            for record in agent.holdings(None, 1000):
                assert record.part.prep is not None
                found.setdefault(names[record.part.prep.reservation_id], set()).add(domain)
        return found


@asynccontextmanager
async def opened(folder: Path, database: str, revision: str) -> AsyncIterator[Released]:
    released.restore(database, "orchestrator", revision)
    async with AsyncExitStack() as stack:
        agents, targets = {}, []
        for name in released.DOMAINS:
            url = f"sqlite:///{folder}/agent-{name}.db"
            released.restore(url, "agent", released.revisions("agent")[0], name)
            settings = agent_settings({**agent_config(name), "database": url}, name)
            running_agent = await stack.enter_async_context(open_agent(settings))
            agents[name] = running_agent.agent
            targets.append({"domain": name, "target": running_agent.address})
        values = {"listen": "127.0.0.1:0", "insecure": True, "database": database}
        today = OrchestratorSettings.model_validate({**values, "domains": targets})
        it = await stack.enter_async_context(running(today))
        yield Released(it.instance, agents)


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_the_services_take_everything_over_and_go_on(
    tmp_path: Path, database_url: str, revision: str
) -> None:
    async with opened(tmp_path, database_url, revision) as it:
        wanted = {
            "kept": {"west", "m1", "m2", "east"},
            "moved": {"west", "m1", "east"},
            "changing": {"west", "m1", "east"},
        }

        async def settled() -> bool:
            decided = [(await it.record(name)).decided for name in released.REQUESTS]
            return all(decided) and await it.held() == wanted

        await until(settled)
        records = {name: await it.record(name) for name in released.REQUESTS}
        assert {name: record.state for name, record in records.items()} == {
            "kept": State.COMMITTED,
            "moved": State.COMMITTED,
            "failed": State.FAILED,
            "gone": State.CANCELLED,
            "changing": State.COMMITTED,
            "negotiating": State.FAILED,
        }
        assert records["kept"].description == "it's split"
        assert records["moved"].version == 2

        async def told() -> bool:
            return all(part.released for part in (await it.record("gone")).parts)

        await until(told)
        changed = await it.orchestrator.by_request("change")
        assert (changed.reservation_id, changed.version) == (records["changing"].reservation_id, 1)
        for name in wanted:
            await it.orchestrator.cancel(records[name].reservation_id)

        async def nothing_held() -> bool:
            return not await it.held()

        await until(nothing_held)


async def test_what_was_released_can_be_changed_and_is_remembered(
    tmp_path: Path, database_url: str, revision: str
) -> None:
    async with opened(tmp_path, database_url, revision) as it:
        before = await it.record("moved")
        criteria = replace(before.criteria, bandwidth_bps=5 * 10**9)
        order = Order("again", "digest", criteria, 30)
        await it.orchestrator.modify(before.reservation_id, order)
        after = await it.orchestrator.decided(before.reservation_id)
        assert (after.version, after.modified, after.plan is not None) == (3, True, True)
        events = await it.orchestrator.engine.store.events(before.reservation_id, 0, 1000)
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))
        assert len(sequences) > 20


def test_agents_count_their_starts_from_what_was_released(tmp_path: Path, revision: str) -> None:
    """An agent of today keeps the epoch of a released one: it has forgotten nothing."""
    url = f"sqlite:///{tmp_path}/agent.db"
    released.restore(url, "agent", released.revisions("agent")[0], "west")
    settings = agent_settings({**agent_config("west"), "database": url}, "west")

    async def life() -> tuple[int, int, bool]:
        async with open_agent(settings) as it:
            return it.agent.epoch, it.agent.life.boot, it.agent.recovering

    first, second = asyncio.run(life()), asyncio.run(life())
    assert (first[1], second[1]) == (1, 2)
    assert first[0] == second[0]
    assert not first[2]
    schema.check(url, "agent")
