"""Starts the demo's world as processes, and takes every one of them down again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from commands.context import UNEXPECTED, fail

STOP_TIMEOUT_S = 10
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class World:
    """The domains of ``commands/world`` on loopback, in processes of their own.

    ``agents``: domain → address; ``target``: the orchestrator's. Leaving the block stops them all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self.agents: dict[str, str] = {}
        self.target = ""

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts every agent, side by side, then the orchestrator."""
        names = []
        for entry in sorted(files("commands").joinpath("world").iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".yaml"):
                settings = _settings("world", entry.name.removesuffix(".yaml"))
                names.append(settings["domain"])
                self._spawn(settings["domain"], "agent", self._write(settings["domain"], settings))
        for name in names:
            self.agents[name] = self._address(name)
        domains = [{"domain": name, "target": self.agents[name]} for name in names]
        config = self._write("orchestrator", {"orchestrator_id": "demo", "domains": domains})
        self._spawn("orchestrator", "serve", "--config", config)
        self.target = self._address("orchestrator")

    def start_below(self) -> str:
        """Starts what is in ``commands/world_below``: a provider, an orchestrator of its own, and
        the agent for which that one is a domain's inside. The address of that agent.
        """
        depot, reseller = (_settings("world_below", name) for name in ("depot", "reseller"))
        self._spawn("depot", "agent", self._write("depot", depot))
        domains = [{"domain": "depot", "target": self._address("depot")}]
        config = self._write("below", {"orchestrator_id": "below", "domains": domains})
        self._spawn("below", "serve", "--config", config)
        reseller["child"]["target"] = self._address("below")
        self._spawn("reseller", "agent", self._write("reseller", reseller))
        self.agents["reseller"] = self._address("reseller")
        return self.agents["reseller"]

    def wait(self) -> None:
        """Until Ctrl-C; says so and ends when the orchestrator ends by itself."""
        try:
            status = self._processes["orchestrator"].wait()
        except KeyboardInterrupt:
            return
        last = (self._folder / "orchestrator.log").read_text().splitlines()[-5:]
        fail("\n".join([f"the orchestrator has ended with status {status}", *last]), UNEXPECTED)

    def stop(self) -> None:
        """Asks all to stop, then makes them."""
        with _undisturbed():
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                try:
                    process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        stream.close()

    def _write(self, name: str, settings: dict[str, Any]) -> str:
        """Settings for this machine: any free port, a database in the demo's folder."""
        path = self._folder / f"{name}.yaml"
        local = {
            "listen": "127.0.0.1:0",
            "insecure": True,
            "database": f"sqlite:///{self._folder / name}.db",
        }
        path.write_text(yaml.safe_dump({**settings, **local}))
        return str(path)

    def _spawn(self, name: str, *arguments: str) -> None:
        # A signal between the start of a process and its place in the table would orphan it.
        with (self._folder / f"{name}.log").open("w") as log, _undisturbed():
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "commands.main", *arguments, "--until-stdin-closes"],
                # Nothing is written there: it closes when this process ends, however it does.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C in the terminal is for the demo, which then stops these in order.
                start_new_session=True,
            )

    def _address(self, name: str) -> str:
        """The first line that a process prints."""
        stdout = self._processes[name].stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            log = (self._folder / f"{name}.log").read_text()
            fail(f"{name} did not start:\n{log}", UNEXPECTED)
        address: str = json.loads(line)["listening"]
        return address


def _settings(folder: str, name: str) -> dict[str, Any]:
    text = files("commands").joinpath(folder, f"{name}.yaml").read_text()
    settings: dict[str, Any] = yaml.safe_load(text)
    return settings


@contextmanager
def terminating() -> Iterator[None]:
    """Makes SIGTERM, or a terminal that closes, unwind the block like Ctrl-C does.

    So processes that were started in it are stopped.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Puts off the signals that end the demo until the block is done."""
    came: list[int] = []
    with _handling(lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    before = [signal.signal(number, handler) for number in ENDINGS]
    try:
        yield
    finally:
        for number, earlier in zip(ENDINGS, before, strict=True):
            signal.signal(number, earlier)
