"""An orchestrator and domains as processes: Braid's, or the naive ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

G = 10**9
DOMAINS = ("d1", "d2", "d3", "d4")
SOURCE, DESTINATION = "d1:a", "d4:b"
HOT = "d2"
"""The domain that is given live reservations."""
CAPACITY_BPS = 100_000 * G
ERRORS_MAX = 1000
SETTLE_S, SETTLE_MAX_S = 0.5, 60.0
PATIENCE = {"offers_timeout_s": 60, "prepare_timeout_s": 300}
"""A slow agent is measured, not left out."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def chain(hot_bps: int = CAPACITY_BPS) -> dict[str, dict[str, Any]]:
    """Settings of four domains in a row: two sites, and two networks between them.

    ``hot_bps``: the capacity of the link between the networks.
    """
    found = {}
    for number, name in enumerate(DOMAINS):
        before = f"{DOMAINS[number - 1]}:b" if number else None
        after = f"{DOMAINS[number + 1]}:a" if number + 1 < len(DOMAINS) else None
        backend = "pip" if None in (before, after) else "wan"
        ports = [port("a", before), port("b", after)]
        if name == HOT:
            ports[1]["capacity"] = hot_bps
        found[name] = {"domain": name, "backend": backend, "ports": ports, "visible": True}
    return found


def port(name: str, remote: str | None, capacity_bps: int = CAPACITY_BPS) -> dict[str, Any]:
    """Settings of a port; ``remote``: what it is linked to, None: users."""
    values: dict[str, Any] = {"name": name, "capacity": capacity_bps, "vlans": "1-4094"}
    return {**values, "remote": remote} if remote else values


class BrokenError(Exception):
    """A scenario cannot be measured; the text says why."""


@dataclass
class World:
    """Processes, the orchestrator's address last. ``cpu_s`` is what all of them have used."""

    folder: Path
    fsync_ms: float = 0.0
    target: str = ""
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def agent(self, settings: Mapping[str, Any]) -> str:
        """Braid's agent for a domain; its address."""
        name = settings["domain"]
        return self.start("commands.main", "agent", self._write(name, dict(settings)))

    def orchestrator(self, targets: Mapping[str, str], **settings: Any) -> None:
        """Braid's orchestrator for these domains and the addresses of their agents.

        It takes the place of one that runs.
        """
        if self.target:
            before = self._processes.pop()
            before.kill()
            before.wait()
        domains = [{"domain": name, "target": target} for name, target in targets.items()]
        config = self._write("orchestrator", {"domains": domains, **PATIENCE, **settings})
        self.target = self.start("commands.main", "serve", "--config", config)

    def braid(self, domains: Mapping[str, Mapping[str, Any]]) -> None:
        """Braid's orchestrator, and an agent per domain."""
        self.orchestrator({name: self.agent(values) for name, values in domains.items()})

    def naive(self) -> None:
        """The naive ones, in a chain."""
        agents = [
            f"{name}={self.start('benchmarks.naive.agent', self.database(name))}"
            for name in DOMAINS
        ]
        database = self.database("orchestrator")
        self.target = self.start("benchmarks.naive.orchestrator", database, *agents)

    def start(self, module: str, *arguments: str) -> str:
        """One more process; its address."""
        command = [module, *arguments]
        if self.fsync_ms:
            command = ["benchmarks.slow_disk", str(self.fsync_ms), *command]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "errors.log").open("a"),
            text=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BrokenError(f"{module} did not start:\n{self.errors()}")
        return str(json.loads(line)["listening"])

    def errors(self) -> str:
        """What the processes have complained of last."""
        path = self.folder / "errors.log"
        return path.read_text()[-ERRORS_MAX:] if path.exists() else ""

    def cpu_s(self) -> list[float]:
        """Seconds of processor time of each process, in the order in which they were started."""
        return [cpu_s_of(process.pid) for process in self._processes]

    def settle(self, timeout_s: float = SETTLE_MAX_S) -> None:
        """Waits until nobody has anything left to do: what follows a start is not measured."""
        deadline_s = time.monotonic() + timeout_s
        busy_s = SETTLE_S
        while busy_s > SETTLE_S / 10 and time.monotonic() < deadline_s:
            before_s = sum(self.cpu_s())
            time.sleep(SETTLE_S)
            busy_s = sum(self.cpu_s()) - before_s

    def stop(self) -> None:
        """Ends all of them."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def database(self, name: str) -> str:
        """The URL of a process's database."""
        return f"sqlite:///{self.folder / name}.db"

    def _write(self, name: str, values: dict[str, Any]) -> str:
        path = self.folder / f"{name}.yaml"
        common = {"listen": "127.0.0.1:0", "insecure": True, "log": {"level": "warning"}}
        path.write_text(yaml.safe_dump({"database": self.database(name), **common, **values}))
        return str(path)


@contextmanager
def world(folder: Path, variant: str = "", fsync_ms: float = 0.0) -> Iterator[World]:
    """A running world; ``variant``: "naive" or one of Braid's; none: of nothing, yet."""
    folder.mkdir(parents=True, exist_ok=True)
    made = World(folder, fsync_ms)
    try:
        if variant == "naive":
            made.naive()
        elif variant:
            made.braid(chain())
        yield made
    finally:
        made.stop()


def cpu_s_of(pid: int) -> float:
    """User and system time; fields 14 and 15 of proc(5), counted behind the command's name."""
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
