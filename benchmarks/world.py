"""An orchestrator and a chain of domains as processes: Braid's, or the naive ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

G = 10**9
DOMAINS = ("d1", "d2", "d3", "d4")
SOURCE, DESTINATION = "d1:a", "d4:b"
CAPACITY_BPS = 100_000 * G
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def chain() -> dict[str, dict[str, Any]]:
    """Settings of four domains in a row: two sites, and two networks between them."""
    found = {}
    for number, name in enumerate(DOMAINS):
        before = f"{DOMAINS[number - 1]}:b" if number else None
        after = f"{DOMAINS[number + 1]}:a" if number + 1 < len(DOMAINS) else None
        backend = "pip" if None in (before, after) else "wan"
        ports = [_port("a", before), _port("b", after)]
        found[name] = {"domain": name, "backend": backend, "ports": ports, "visible": True}
    return found


def _port(name: str, remote: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {"name": name, "capacity": CAPACITY_BPS, "vlans": "1-4094"}
    return {**values, "remote": remote} if remote else values


@dataclass
class World:
    """Processes, the orchestrator's address last. ``cpu_s`` is what all of them have used."""

    folder: Path
    fsync_ms: float = 0.0
    target: str = ""
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def braid(self, log_level: str = "warning") -> None:
        """Braid's orchestrator, and an agent per domain."""
        agents = []
        for name, settings in chain().items():
            common = {"listen": "127.0.0.1:0", "insecure": True, "log": {"level": log_level}}
            values = {**settings, **common, "database": self._database(name)}
            agents.append((name, self.start("commands.main", "agent", self._write(name, values))))
        domains = [{"domain": name, "target": target} for name, target in agents]
        values = {"domains": domains, "listen": "127.0.0.1:0", "insecure": True}
        values |= {"database": self._database("orchestrator"), "log": {"level": log_level}}
        config = self._write("orchestrator", values)
        self.target = self.start("commands.main", "serve", "--config", config)

    def naive(self) -> None:
        """The naive ones."""
        agents = [
            f"{name}={self.start('benchmarks.naive.agent', self._database(name))}"
            for name in DOMAINS
        ]
        database = self._database("orchestrator")
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
            raise SystemExit(f"{module} did not start:\n{self.errors()}")
        return str(json.loads(line)["listening"])

    def errors(self) -> str:
        """What the processes have complained of."""
        path = self.folder / "errors.log"
        return path.read_text() if path.exists() else ""

    def cpu_s(self) -> list[float]:
        """Seconds of processor time of each process, in the order in which they were started."""
        return [_cpu_s(process.pid) for process in self._processes]

    def stop(self) -> None:
        """Ends all of them."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _database(self, name: str) -> str:
        return f"sqlite:///{self.folder / name}.db"

    def _write(self, name: str, values: dict[str, Any]) -> str:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)


@contextmanager
def world(folder: Path, variant: str, fsync_ms: float = 0.0) -> Iterator[World]:
    """A running world; ``variant``: "naive" or one of Braid's."""
    folder.mkdir(parents=True)
    made = World(folder, fsync_ms)
    try:
        if variant == "naive":
            made.naive()
        else:
            made.braid()
        yield made
    finally:
        made.stop()


def _cpu_s(pid: int) -> float:
    """User and system time; fields 14 and 15 of proc(5), counted behind the command's name."""
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
