"""braid serve and braid agent: which settings they run with, and how they end when they cannot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from commands import agency, serving
from commands.main import app
from orchestrator.settings import OrchestratorSettings
from orchestrator.store import open_store
from runtime.database import StorageError, WrongDatabaseError
from runtime.schema import SchemaError, upgrade
from runtime.server import ListenError
from runtime.settings import SettingsError

ADDRESS = "127.0.0.1:7777"


def braid(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that the orchestrator was run with; it says where it listens, and ends."""
    found: list[Any] = []

    async def run(settings: OrchestratorSettings, started: Callable[[str], None]) -> None:
        found.append(settings)
        started(ADDRESS)

    monkeypatch.setattr(serving, "run_orchestrator", run)
    return found


def written(tmp_path: Path, **settings: Any) -> str:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def test_whoever_starts_it_reads_where_it_listens_in_the_first_line(ran: list[Any]) -> None:
    done = braid("serve", "--insecure")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[0]) == {
        "listening": ADDRESS,
        "service": "braid.v1.Reservations",
    }


def test_what_the_command_line_says_goes_before_the_file(ran: list[Any], tmp_path: Path) -> None:
    path = written(
        tmp_path,
        listen="127.0.0.1:1",
        database="sqlite:///a.db",
        insecure=True,
        lease_s=9,
        domains=[{"domain": "old", "target": "x:1"}],
    )
    done = braid(
        *("serve", "--config", path, "--listen", "127.0.0.1:2", "--database", "sqlite:///b.db"),
        *("--instance-id", "me", "--domain", "m1=h1:7101", "--domain", "m2=unix:/run/x=y"),
    )
    assert done.exit_code == 0, done.output
    (settings,) = ran
    assert (settings.listen, settings.database) == ("127.0.0.1:2", "sqlite:///b.db")
    assert (settings.instance(), settings.lease_s, settings.insecure) == ("me", 9, True)
    assert [(item.domain, item.target) for item in settings.domains] == [
        ("m1", "h1:7101"),
        ("m2", "unix:/run/x=y"),
    ]


def test_what_the_command_line_does_not_say_is_the_files(ran: list[Any], tmp_path: Path) -> None:
    path = written(tmp_path, insecure=True, domains=[{"domain": "m1", "target": "x:1"}])
    assert braid("serve", "--config", path).exit_code == 0
    (settings,) = ran
    assert settings.insecure
    assert [item.domain for item in settings.domains] == ["m1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--domain", "m1"], "--domain: given 'm1', possible: name=host:port"),
        (["--domain", "a b=x:1"], "domains"),
        (["--domain", "m1="], "target"),
        (["--domain", "m1=x:1", "--domain", "m1=x:2"], "'m1' is listed more than once"),
        (["--instance-id", "a b"], "instance_id"),
        (["--instance-id", ""], "instance_id"),
        (["--config", "/nowhere/at/all.yaml"], "/nowhere/at/all.yaml"),
        ([], "insecure"),
    ],
)
def test_wrong_settings_are_told_by_name_before_anything_runs(
    ran: list[Any], arguments: list[str], text: str
) -> None:
    insecure = ["--insecure"] if arguments else []
    done = braid("serve", *insecure, *arguments)
    assert done.exit_code == 2
    assert text in done.stderr
    assert done.stderr.startswith("braid: ")
    assert ran == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lease_s": 0.1}, "lease_s"),
        ({"drain_timeout_s": -1}, "drain_timeout_s"),
        ({"negotiations_max": 0}, "negotiations_max"),
        ({"offers_timeout_s": 0}, "offers_timeout_s"),
        ({"orchestrator_id": "a/b"}, "orchestrator_id"),
        ({"window_max_s": "long"}, "window_max_s"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"domains": [{"domain": "m1"}]}, "target"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(
    ran: list[Any], tmp_path: Path, settings: dict[str, Any], text: str
) -> None:
    path = written(tmp_path, insecure=True, **settings)
    done = braid("serve", "--config", path)
    assert done.exit_code == 2
    assert text in done.stderr
    assert path in done.stderr
    assert ran == []


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (SettingsError("instance_id: another process runs as 'me'"), 2),
        (SchemaError("the database is of a newer version"), 1),
        (WrongDatabaseError("this is another domain's database"), 1),
        (ListenError("127.0.0.1:7000 is in use"), 1),
        (StorageError("no way to the database"), 1),
    ],
)
def test_a_service_that_cannot_run_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, exit_code: int
) -> None:
    async def run(*_arguments: Any) -> None:
        raise error

    monkeypatch.setattr(serving, "run_orchestrator", run)
    done = braid("serve", "--insecure")
    assert (done.exit_code, done.stderr) == (exit_code, f"braid: {error}\n")
    assert done.stdout == ""


def test_another_orchestrators_file_is_refused_untouched(sqlite_url: str) -> None:
    upgrade(sqlite_url, "orchestrator")

    async def belongs() -> None:
        store = open_store(sqlite_url)
        await store.belong("other")
        await store.close()

    asyncio.run(belongs())
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    content = file.read_bytes()
    done = braid("serve", "--insecure", "--listen", "127.0.0.1:0", "--database", sqlite_url)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "braid: the database belongs to the orchestrator 'other', not to 'braid': give another one"
    )
    assert done.stdout == ""
    assert file.read_bytes() == content


def test_an_agent_that_was_restored_is_started_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []

    async def run(_settings: Any, _started: Any, restored: bool) -> None:
        asked.append(restored)

    monkeypatch.setattr(agency, "run_agent", run)
    port = {"name": "host", "capacity": "10G", "vlans": "100-199"}
    path = written(
        tmp_path,
        domain="m1",
        backend="wan",
        insecure=True,
        listen="127.0.0.1:0",
        database="sqlite:///m1.db",
        ports=[port],
    )
    for more in ([], ["--restored"]):
        done = braid("agent", path, *more)
        assert done.exit_code == 0, done.output
    assert asked == [False, True]


@pytest.mark.parametrize("text", ["", "[]", "a: [", "domain: m1\n", "domain: 7\nbackend: no\n"])
def test_an_agents_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    done = braid("agent", str(path))
    assert done.exit_code == 2
    assert str(path) in done.stderr


def test_an_instance_without_a_name_is_called_after_where_it_runs() -> None:
    fixed = OrchestratorSettings(listen="127.0.0.1:7000", insecure=True)
    assert fixed.instance() == fixed.instance()
    assert fixed.instance().endswith("-127.0.0.1-7000")
    another = OrchestratorSettings(listen="127.0.0.1:7001", insecure=True)
    assert another.instance() != fixed.instance()
    # Nothing else tells two of them on any free port apart.
    free = OrchestratorSettings(listen="127.0.0.1:0", insecure=True)
    assert free.instance() != free.instance()
