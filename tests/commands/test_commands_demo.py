"""The demo as its users see it. However it ends, it leaves no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer import Exit

from braid.client import Client, DeadlinePassed
from braid.v1 import common_pb2, reservations_pb2 as pb
from commands import demo, processes
from commands.processes import World
from tests.braid.fake_orchestrator import FakeOrchestrator, serving

ROOT = Path(__file__).resolve().parents[2]
BRAID = [sys.executable, "-m", "commands.main"]
PROCESSES = Path("/proc")


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``braid demo`` with its temporary files below ``folder``."""
    environment = {**os.environ, "TMPDIR": str(folder), "COLUMNS": "160"}
    command = [*BRAID, "demo", *arguments]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def left_behind(folder: Path) -> list[str]:
    """The processes that were told of a file below ``folder``."""
    found = []
    for entry in PROCESSES.glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


needs_proc = pytest.mark.skipif(
    not PROCESSES.is_dir(), reason="the processes of others are listed in /proc only"
)


@needs_proc
@pytest.mark.timeout(300)
def test_the_demo_ends_by_itself_and_has_split_and_refused(tmp_path: Path) -> None:
    with running(tmp_path, "--json") as process:
        stdout, stderr = process.communicate(timeout=140)
    assert process.returncode == 0, stderr
    (line,) = stdout.splitlines()
    told: dict[str, Any] = json.loads(line)
    paths = told["reservation"]["paths"]
    assert len(paths) == 2
    assert sum(int(path["bandwidth_bps"]) for path in paths) == 150 * 10**9
    assert told["reservation"]["data_plane"] == "DATA_PLANE_STATE_RELEASED"
    assert told["refused"]["state"] == "RESERVATION_STATE_FAILED"
    assert told["refused"]["refusals"][0]["reason"]
    assert told["cloudnet"]["state"] == "RESERVATION_STATE_CANCELLED"
    assert {part["domain"] for part in told["cloudnet"]["parts"] if part.get("vnodes")} == {
        "sitea",
        "siteb",
        "reseller",
    }
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@needs_proc
@pytest.mark.timeout(300)
def test_the_demo_tells_its_story_and_stays_until_it_is_interrupted(tmp_path: Path) -> None:
    with running(tmp_path, "--keep") as process:
        assert process.stdout is not None
        shown = ""
        while "braid cancel ID" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        exports = dict(re.findall(r"(BRAID_\w+)=(\S+)", shown))
        command = [*BRAID, "topology", "show"]
        environment = {**os.environ, **exports}
        asked = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        assert asked.stdout.count(" up ") == 10
        # What the reseller has is known to its own orchestrator: a provider, and that.
        assert len(left_behind(tmp_path)) == 10 + 1 + 2
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert left_behind(tmp_path) == []
    story = [
        "no single path has more than 100G",
        "ReqOffers to",
        "SendOffers from renet1: up to 100 Gb/s",
        "ReservationPrep to",
        "decision: COMMIT",
        "Split over 2 paths",
        "no: ",
        "rn1 data plane: active",
        "slots 0 of 2 -> out",
        "rn1 data plane: released",
        "at a reseller",
        "mapping      optimal",
        "data plane   active",
        "reseller  running",
        "… archive",
        "$ uptime",
        "braid cloudnet console ID left",
        "braid cloudnet migrate ID left",
    ]
    places = [shown.find(piece) for piece in story]
    assert -1 not in places, story[places.index(-1)]
    assert places == sorted(places)


@needs_proc
@pytest.mark.parametrize("started", [1, 3, 9])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_demo_that_is_stopped_takes_its_processes_along(
    tmp_path: Path, number: signal.Signals, started: int
) -> None:
    with running(tmp_path) as process:
        deadline = time.monotonic() + 30
        while len(left_behind(tmp_path)) < started:
            assert time.monotonic() < deadline
        process.send_signal(number)
        process.communicate(timeout=25)
    assert process.returncode != 0
    assert left_behind(tmp_path) == []


def test_a_signal_while_a_process_is_started_is_heard_afterwards() -> None:
    done = []

    def starting() -> None:
        with processes.terminating():
            with processes._undisturbed():
                signal.raise_signal(signal.SIGTERM)
                done.append("started")
            done.append("not heard")

    with pytest.raises(KeyboardInterrupt):
        starting()
    assert done == ["started"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@needs_proc
def test_an_agent_that_cannot_start_ends_the_demo_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = World._write

    def broken(self: World, name: str, settings: dict[str, Any]) -> str:
        return write(self, name, {**settings, "colour": "red"} if name == "rn1" else settings)

    monkeypatch.setattr(World, "_write", broken)
    with pytest.raises(Exit) as ended, World(tmp_path) as world:
        world.start()
    assert ended.value.exit_code == 1
    assert "rn1 did not start" in capsys.readouterr().err
    assert left_behind(tmp_path) == []


STARTING = """
import sys, time
from pathlib import Path
from commands.processes import World
with World(Path(sys.argv[1])) as world:
    world.start()
    print("started", flush=True)
    time.sleep(600)
"""


@needs_proc
def test_nothing_is_left_of_a_demo_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "started\n"
        assert left_behind(tmp_path) != []
        demo.kill()
    deadline_s = time.monotonic() + 60
    while left_behind(tmp_path) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert left_behind(tmp_path) == []


def test_an_orchestrator_that_ends_by_itself_ends_the_demo_with_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "orchestrator.log").write_text("the database is gone\n")
    with World(tmp_path) as world:
        world._processes["orchestrator"] = subprocess.Popen(
            [sys.executable, "-c", "raise SystemExit(3)"], text=True
        )
        with pytest.raises(Exit):
            world.wait()
    told = capsys.readouterr().err
    assert told == "braid: the orchestrator has ended with status 3\nthe database is gone\n"


def followed(tell: Callable[[FakeOrchestrator, pb.ReservationRecord], None]) -> None:
    """What the demo does when the data plane of its circuit behaves as told."""
    fake = FakeOrchestrator()
    with serving(fake) as target, Client(target, insecure=True) as client:
        client.reserve("sitea:dtn", "sited:dtn", "150G", duration="5s")
        record = fake.records["r1"]
        record.parts.extend([pb.DomainPart(domain="rn1"), pb.DomainPart(domain="sitea")])
        tell(fake, record)
        demo._watch_the_data_plane(client, World(Path()), record, Console(quiet=True))


def change(fake: FakeOrchestrator, record: pb.ReservationRecord, domain: str, state: Any) -> None:
    changed = pb.DataPlaneChanged(domain=domain, state=state, reason="the switch is on fire")
    fake.note(record, data_plane_changed=changed)


def test_a_device_that_fails_ends_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(fake: FakeOrchestrator, record: pb.ReservationRecord) -> None:
        change(fake, record, "sitea", common_pb2.DATA_PLANE_STATE_ACTIVE)
        change(fake, record, "rn1", common_pb2.DATA_PLANE_STATE_FAILED)

    with pytest.raises(Exit) as ended:
        followed(fails)
    assert ended.value.exit_code == 1
    assert "rn1 could not configure it: the switch is on fire" in capsys.readouterr().err


def test_a_circuit_of_which_nothing_is_heard_ends_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("LEAD_S", 0), ("LENGTH_S", 0), ("PATIENCE_S", 0.3)):
        monkeypatch.setattr(demo, name, value)
    with pytest.raises(DeadlinePassed):
        followed(lambda _fake, _record: None)
