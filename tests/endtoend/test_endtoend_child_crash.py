"""The agent before a child orchestrator as a process, killed with SIGKILL at bad moments.

What it asked for at the child and does not hold must not stay there.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import yaml
from levels import below_vnp, circuits, overlay, reseller, vnp_reseller
from world import G, World, eventually, line, world

from agents.metadata import ORCHESTRATOR_ID_KEY
from braid.v1 import agent_pb2, reservations_pb2 as pb
from braid.v1.agent_pb2_grpc import DomainAgentStub
from protocol.codec import to_agent_to_pb, to_orchestrator_from_pb
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    Release,
    ReservationPrep,
    ReservationResp,
    ToAgent,
)
from rdl.codec import graph_from_pb
from substrate.model import Segment, Window

CANCELLED = pb.RESERVATION_STATE_CANCELLED


@dataclass
class Agent:
    """``braid agent`` in a process of its own, and this test as its orchestrator."""

    folder: Path
    config: dict[str, Any]

    @property
    def database(self) -> Path:
        return self.folder / "m1.db"

    async def start(self) -> None:
        values = {
            **self.config,
            "listen": "127.0.0.1:0",
            "insecure": True,
            "database": f"sqlite:///{self.database}",
        }
        path = self.folder / "m1.yaml"
        path.write_text(yaml.safe_dump(values))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "commands.main", "agent", str(path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 60))
        self._open = AsyncExitStack()
        channel = await self._open.enter_async_context(grpc.aio.insecure_channel(line["listening"]))
        stub: Any = DomainAgentStub(channel)
        self._call = stub.Negotiate(metadata=((ORCHESTRATOR_ID_KEY, "above"),))

    async def send(self, message: ToAgent) -> None:
        await self._call.write(agent_pb2.OrchestratorFrame(messages=[to_agent_to_pb(message)]))

    async def ask(self, message: ToAgent) -> ReservationResp:
        await self.send(message)
        while True:
            frame = await asyncio.wait_for(self._call.read(), 60)
            for answer in map(to_orchestrator_from_pb, frame.messages):
                if not isinstance(answer, Inquire):
                    assert isinstance(answer, ReservationResp)
                    return answer

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()
        await self._open.aclose()

    async def restart(self) -> None:
        await self.kill()
        await self.start()


@asynccontextmanager
async def below(folder: Path, *, vnodes: bool = False) -> AsyncIterator[tuple[Agent, World]]:
    (folder / "lower").mkdir()
    configs = below_vnp() if vnodes else line(3)
    async with world(folder / "lower", configs, orchestrator_id="lower") as lower:
        make = vnp_reseller if vnodes else reseller
        agent = Agent(folder, make(lower.target))
        await agent.start()
        try:
            yield agent, lower
        finally:
            if agent.process.returncode is None:
                await agent.kill()


def part(name: str = "t1", vlan: int = 100) -> ReservationPrep:
    start_s = int(time.time()) + 3600
    segment = Segment("s1", "m1:west", vlan, "m1:east", vlan, 10 * G)
    window, deadline_ms = Window(start_s, start_s + 3600), (start_s - 3000) * 1000
    return ReservationPrep(name, "p1", f"r-{name}", 1, (segment,), window, "above", deadline_ms)


async def nothing_below(lower: World) -> None:
    async def none() -> bool:
        return not await circuits(lower)

    await eventually(none)
    await lower.nothing_held()


async def test_a_part_that_was_held_when_the_agent_died_is_still_held_and_can_be_given_up(
    tmp_path: Path,
) -> None:
    async with below(tmp_path) as (agent, lower):
        assert (await agent.ask(part())).ok
        await agent.restart()
        assert (await agent.ask(part())).ok, "the same part again is answered the same"
        assert len(await circuits(lower)) == 1
        assert (await agent.ask(Abort("t1", "p1"))).ok
        await nothing_below(lower)


async def test_what_the_child_reserved_before_the_hold_was_durable_does_not_stay(
    tmp_path: Path,
) -> None:
    async with below(tmp_path) as (agent, lower):
        with closing(sqlite3.connect(agent.database, isolation_level=None)) as busy:
            busy.execute("BEGIN IMMEDIATE")
            await agent.send(part())
            await eventually(lambda: circuits(lower, pb.RESERVATION_STATE_COMMITTED))
            await agent.kill()
            busy.execute("ROLLBACK")
        await agent.start()
        # That its orchestrator connects tells the agent that it has not forgotten more.
        assert (await agent.ask(Abort("other", "p1"))).ok
        await nothing_below(lower)


async def test_a_part_asked_for_again_after_the_agent_died_over_it_is_held_once(
    tmp_path: Path,
) -> None:
    async with below(tmp_path) as (agent, lower):
        prep = part()
        with closing(sqlite3.connect(agent.database, isolation_level=None)) as busy:
            busy.execute("BEGIN IMMEDIATE")
            await agent.send(prep)
            await eventually(lambda: circuits(lower, pb.RESERVATION_STATE_COMMITTED))
            await agent.kill()
            busy.execute("ROLLBACK")
        await agent.start()
        assert (await agent.ask(prep)).ok
        assert (await agent.ask(Commit("t1", "p1"))).ok
        (kept,) = await circuits(lower, pb.RESERVATION_STATE_COMMITTED)
        await agent.restart()
        assert (await agent.ask(Abort("other", "p1"))).ok
        await asyncio.sleep(0.5)
        assert [c.reservation_id for c in await circuits(lower)] == [kept.reservation_id]


async def test_what_was_given_up_while_the_child_was_away_is_given_back_after_a_kill(
    tmp_path: Path,
) -> None:
    async with below(tmp_path) as (agent, lower):
        assert (await agent.ask(part())).ok
        lower.extra["listen"] = lower.target
        await lower.stop_orchestrator()
        assert (await agent.ask(Abort("t1", "p1"))).ok
        await agent.kill()
        await lower.start_orchestrator()
        await lower.all_up()
        assert await circuits(lower)
        await agent.start()
        assert (await agent.ask(Abort("other", "p1"))).ok
        await nothing_below(lower)


async def test_kills_at_any_moment_leave_what_is_held_above_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with below(tmp_path) as (agent, lower):
        for number, pause_s in enumerate((0.0, 0.005, 0.01, 0.02, 0.04, 0.08)):
            await agent.send(part(f"t{number}", 100 + number))
            await asyncio.sleep(pause_s)
            await agent.restart()
        answers = [await agent.ask(part(f"t{n}", 100 + n)) for n in range(6)]
        for answer in answers[::2]:
            await agent.ask(Abort(answer.transaction_id, "p1"))
        wanted = {f"r-{a.transaction_id}" for a in answers[1::2] if a.ok}
        assert wanted

        async def as_above() -> bool:
            return {c.criteria.description for c in await circuits(lower)} == wanted

        await eventually(as_above)


def version(number: int, cores: dict[str, int], *vlinks: tuple[str, str]) -> ReservationPrep:
    """A version of a CloudNet that has begun."""
    now_s = int(time.time())
    window, deadline_ms = Window(now_s - 1, now_s + 3600), (now_s + 600) * 1000
    graph = overlay(cores, *vlinks).SerializeToString(deterministic=True)
    name = f"v{number}"
    return ReservationPrep(name, "p1", "net", number, (), window, "above", deadline_ms, graph=graph)


async def has(lower: World, *cores: tuple[str, int]) -> None:
    """Waits until the child has one CloudNet with just these VNodes."""

    async def is_so() -> bool:
        found = [graph_from_pb(c.criteria.cloudnet.graph) for c in await circuits(lower)]
        amounts = [(n.id, str(n.resources[0].amount)) for graph in found for n in graph.nodes]
        return len(found) == 1 and amounts == [(n, f"{k} core{'s' * (k > 1)}") for n, k in cores]

    await eventually(is_so)


async def test_a_change_of_vnodes_that_was_not_durable_when_the_agent_died_is_taken_back(
    tmp_path: Path,
) -> None:
    async with below(tmp_path, vnodes=True) as (agent, lower):
        assert (await agent.ask(version(1, {"a": 4, "b": 2}, ("a", "b")))).ok
        assert (await agent.ask(Commit("v1", "p1"))).ok
        (before,) = await circuits(lower)
        with closing(sqlite3.connect(agent.database, isolation_level=None)) as busy:
            busy.execute("BEGIN IMMEDIATE")
            await agent.send(version(2, {"a": 1, "c": 3}))
            await has(lower, ("a", 4), ("b", 2), ("c", 3))
            await agent.kill()
            busy.execute("ROLLBACK")
        await agent.start()
        assert (await agent.ask(Abort("other", "p1"))).ok
        await has(lower, ("a", 4), ("b", 2))
        (after,) = await circuits(lower)
        assert after.reservation_id == before.reservation_id


async def test_kills_at_any_moment_of_changes_of_vnodes_leave_the_version_that_stands(
    tmp_path: Path,
) -> None:
    async with below(tmp_path, vnodes=True) as (agent, lower):
        assert (await agent.ask(version(1, {"a": 1, "b": 8}))).ok
        assert (await agent.ask(Commit("v1", "p1"))).ok
        for number, pause_s in enumerate((0.01, 0.03, 0.1), start=2):
            prep = version(number, {"a": number, "b": 8 - number})
            await agent.send(prep)
            await asyncio.sleep(pause_s)
            await agent.restart()
            if number % 2:
                assert (await agent.ask(Abort(prep.transaction_id, "p1"))).ok
                continue
            assert (await agent.ask(prep)).ok
            assert (await agent.ask(Commit(prep.transaction_id, "p1"))).ok
            old = f"v{number - 2 if number > 2 else 1}"
            await agent.send(Release(old, "p1"))
            await agent.restart()
            assert (await agent.ask(Release(old, "p1"))).ok
        await has(lower, ("a", 4), ("b", 4))
