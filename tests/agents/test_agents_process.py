"""``braid agent`` as a process: files that it must not touch, kill -9, and a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from agent_wire import TIMEOUT_S, Orchestrator, connected, soon
from agent_world import config

from braid.v1 import agent_pb2, common_pb2
from protocol.messages import Abort, Commit, ReservationResp
from substrate.model import RefusalKind

if TYPE_CHECKING:
    from braid.v1.agent_pb2_grpc import DomainAgentAsyncStub as Stub

ACTIVE, RELEASED = common_pb2.DATA_PLANE_STATE_ACTIVE, common_pb2.DATA_PLANE_STATE_RELEASED


@dataclass
class Command:
    """``braid agent`` on a database, as a child process."""

    folder: Path
    database: str

    def line(self, *options: str, **changes: Any) -> list[str]:
        values = {"listen": "127.0.0.1:0", "insecure": True, "database": self.database}
        path = self.folder / "agent.yaml"
        path.write_text(yaml.safe_dump({**config(), **values, "inquire_after_s": 1, **changes}))
        return [sys.executable, "-m", "commands.main", "agent", str(path), *options]

    def fails(self, **changes: Any) -> tuple[int, str]:
        """The exit code of an agent that must not start, and what it says."""
        done = subprocess.run(
            self.line(**changes), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    @asynccontextmanager
    async def running(
        self, *options: str
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, Stub]]:
        process = await asyncio.create_subprocess_exec(
            *self.line(*options), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            async with connected(json.loads(line)["listening"]) as stub:
                yield process, stub
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, f"sqlite:///{tmp_path / 'agent.db'}")


async def used(command: Command) -> None:
    """Lets an agent write something, and end in order."""
    async with command.running() as (process, stub):
        me = Orchestrator(stub, "me")
        for number in range(30):
            name = f"t{number}"
            await me.ask(soon(name, reservation_id=name, bandwidth_bps=1, vlan=100 + number))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0


def content(folder: Path) -> dict[str, bytes]:
    """Every file with the database's name and what is in it."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("agent.db*"))}


# --- files that are refused -----------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "no database":
        data[:] = b"Dear diary, " * 1000
    elif how == "overwritten":
        data[4096 : 3 * 4096] = os.urandom(2 * 4096)
    elif how == "foreign":
        path.unlink()
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
            other.commit()
        return
    elif how == "newer":
        with closing(sqlite3.connect(path)) as newer:
            newer.execute("UPDATE braid_version_agent SET version_num = 'agent_9999'")
            newer.commit()
        return
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "is damaged"),
        ("overwritten", "is damaged"),
        ("no database", "is not an SQLite database"),
        ("foreign", "tables that are not Braid's (bookmarks)"),
        ("newer", "a newer version made it"),
    ],
)
async def test_a_spoilt_file_is_refused_at_start_and_left_as_it_is(
    command: Command, how: str, reason: str
) -> None:
    await used(command)
    path = command.folder / "agent.db"
    spoil(path, how)
    before = content(command.folder)
    code, said = await asyncio.to_thread(command.fails)
    assert code != 0
    assert reason in said
    assert "Traceback" not in said
    assert content(command.folder) == before


async def test_another_domains_file_is_refused_at_start_and_left_as_it_is(
    command: Command,
) -> None:
    await used(command)
    before = content(command.folder)
    code, said = await asyncio.to_thread(lambda: command.fails(domain="renet2"))
    assert code != 0
    assert "belongs to the domain 'renet1', not to 'renet2'" in said
    assert content(command.folder) == before
    async with command.running() as (_, stub):
        assert len((await stub.Holdings(agent_pb2.HoldingsRequest())).holdings) == 30


# --- kill -9 ------------------------------------------------------------------------------------


async def data_plane(stub: Stub, transaction_id: str, wanted: int) -> float:
    """Waits for a state; the seconds that it took."""
    began = time.monotonic()
    events = stub.Watch(agent_pb2.WatchDomainRequest())
    async with asyncio.timeout(TIMEOUT_S):
        async for event in events:
            if (event.transaction_id, event.state) == (transaction_id, wanted):
                events.cancel()
                break
    return time.monotonic() - began


async def test_what_comes_due_while_it_is_dead_happens_at_once_when_it_is_back(
    command: Command,
) -> None:
    async with command.running() as (process, stub):
        now_s = int(time.time())
        me = Orchestrator(stub, "me")
        for number, (start_s, duration_s) in enumerate([(0, 8), (7, 3600)]):
            name = f"t{number}"
            prep = soon(name, reservation_id=name, bandwidth_bps=1, vlan=100 + number,
                        start_s=now_s + start_s, duration_s=duration_s)  # fmt: skip
            assert (await me.ask(prep)).ok
            assert (await me.ask(Commit(name, "p1"))).ok
        assert (await me.ask(soon("t2", reservation_id="t2", bandwidth_bps=1, vlan=102))).ok
        await data_plane(stub, "t0", ACTIVE)
        await command.kill(process)
    await asyncio.sleep(max(0.0, now_s + 9 - time.time()))
    async with command.running() as (process, stub):
        ended, began = await asyncio.gather(
            data_plane(stub, "t0", RELEASED), data_plane(stub, "t1", ACTIVE)
        )
        assert max(ended, began) < 3
        me = Orchestrator(stub, "me")
        asked = await me.next()
        assert getattr(asked, "transaction_id", "") == "t2"
        assert (await me.ask(Abort("t2", "p1"))).ok
        await command.kill(process)
    async with command.running() as (_, stub):
        held = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        assert [holding.transaction_id for holding in held] == ["t0", "t1"]
        assert held[0].data_plane == RELEASED


async def test_what_was_answered_before_kill_9_is_there_after_it(command: Command) -> None:
    kept: set[str] = set()
    for life in range(4):
        async with command.running() as (process, stub):
            holdings = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
            assert kept <= {holding.transaction_id for holding in holdings}
            me = Orchestrator(stub, "me")
            for number in range(20):
                name = f"t{life}-{number}"
                vlan = 100 + 20 * life + number
                await me.send(soon(name, reservation_id=name, bandwidth_bps=1, vlan=vlan))
            for _ in range(5 * life):
                answer = await me.next()
                if isinstance(answer, ReservationResp) and answer.ok:
                    kept.add(answer.transaction_id)
            await command.kill(process)
    assert kept


async def test_a_recovery_that_is_killed_is_still_one(command: Command) -> None:
    await used(command)
    async with command.running("--restored") as (process, stub):
        first = await stub.Describe(agent_pb2.DescribeRequest())
        assert first.recovering
        await command.kill(process)
    async with command.running() as (_, stub):
        second = await stub.Describe(agent_pb2.DescribeRequest())
        assert second.recovering
        assert (second.agent_epoch, second.boot) == (first.agent_epoch, first.boot + 1)


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small filesystem")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small filesystem cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_refuses_new_holds_and_works_again_without_a_hand(
    small_disk: Path, tmp_path: Path
) -> None:
    command = Command(tmp_path, f"sqlite:///{small_disk / 'agent.db'}")
    async with command.running() as (process, stub):
        me = Orchestrator(stub, "me")
        assert (await me.ask(soon("t0", bandwidth_bps=1, vlan=199))).ok
        assert (await me.ask(Commit("t0", "p1"))).ok
        assert (await me.ask(soon("t1", reservation_id="t1", bandwidth_bps=1, vlan=198))).ok
        await data_plane(stub, "t0", ACTIVE)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        answers = [
            await me.ask(soon(f"x{n}", reservation_id=f"x{n}", bandwidth_bps=1, vlan=100 + n % 90))
            for n in range(90)
        ]
        refusals = [answer.refusal.kind for answer in answers if answer.refusal is not None]
        assert refusals
        assert set(refusals) == {RefusalKind.UNAVAILABLE}
        held = {answer.transaction_id for answer in answers if answer.ok}
        holdings = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        assert {h.transaction_id for h in holdings} == {"t0", "t1", *held}
        assert holdings[0].data_plane == ACTIVE

        ballast.unlink()
        assert (await me.ask(Commit("t1", "p1"))).ok
        assert (await me.ask(soon("t2", reservation_id="t2", bandwidth_bps=1, vlan=197))).ok
        await command.kill(process)
    async with command.running() as (_, stub):
        holdings = (await stub.Holdings(agent_pb2.HoldingsRequest())).holdings
        assert {h.transaction_id for h in holdings} == {"t0", "t1", "t2", *held}
