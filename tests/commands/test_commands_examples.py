"""Each example of docs/rdl says of itself whether the demo's world takes it, or why nobody does."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudnet_world import EXAMPLES
from faked import braid

from braid.client import Client
from commands.demo import wait_until_up
from commands.processes import World

README = Path(__file__).parents[2] / "README.md"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
TAKEN = "# In the demo's world `braid cloudnet create` takes it."
REFUSED = re.compile(r"# `braid cloudnet create` refuses it: [^`]*`([^`]+)`")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo's orchestrator, with all providers that the demo has in the end."""
    with World(tmp_path_factory.mktemp("demo")) as world:
        world.start()
        with Client(world.target, insecure=True) as client:
            client.register("reseller", world.start_below())
            wait_until_up(client, len(world.agents))
        yield world.target


def last_line(name: str) -> str:
    return (EXAMPLES / f"{name}.yaml").read_text().splitlines()[-1]


def readme_block(language: str, containing: str) -> str:
    """The block of code in the README that has this text."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.M | re.S)
    (found,) = (block for block in blocks if containing in block)
    return found


def test_what_the_readme_shows_works_in_its_order(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(README.parent)
    lines = readme_block("", "braid topology show").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    assert commands[0][0] == "export"
    assert commands[-1] == ["braid", "watch"]
    for command in commands[1:-1]:
        done = braid(target, *command[1:])
        assert done.exit_code == 0, done.output
    sample = readme_block("python", "client.circuit").replace("127.0.0.1:PORT", target)
    exec(compile(sample, "README.md", "exec"), {})
    assert capsys.readouterr().out == "4 streams over 2 paths\n"
    with Client(target, insecure=True) as client:
        for record in client.list(["committed"]).reservations:
            client.cancel(record.reservation_id)


def test_every_example_says_one_or_the_other() -> None:
    taken = [name for name in NAMES if last_line(name) == TAKEN]
    assert [name for name in NAMES if REFUSED.match(last_line(name))] == [
        name for name in NAMES if name not in taken
    ]
    assert {"pair", "apart", "replicas", "same-architecture"} <= set(taken)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_created_or_is_refused_as_it_says(target: str, name: str) -> None:
    file = str(EXAMPLES / f"{name}.yaml")
    done = braid(target, "cloudnet", "create", file, "--duration", "10m", "--wait", "--json")
    refused = REFUSED.match(last_line(name))
    if refused is not None:
        assert done.exit_code == 2
        assert refused[1] in done.stderr
        return
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["data_plane"] == "DATA_PLANE_STATE_ACTIVE"
    given_back = braid(target, "cloudnet", "delete", record["reservation_id"])
    assert given_back.exit_code == 0, given_back.output


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("elements: {}", ":4:1: elements: given 'no node', possible: one node or more"),
        (
            "elements: {a: {attribute: /node/host/pip}}",
            ":4:16: elements.a.attribute: given '/node/host/pip', possible: what a VNode is;",
        ),
    ],
)
def test_what_an_orchestrator_refuses_in_a_file_is_told_with_line_and_column(
    target: str, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(f"rdl: 1\nname: net\nlayer: overlay\n{text}\n")
    for command in ("plan", "create"):
        done = braid(target, "cloudnet", command, str(file))
        assert done.exit_code == 2, done.output
        assert f"{file}{told}" in done.stderr


def test_what_is_wrong_beside_the_file_is_told_without_a_line(target: str) -> None:
    file = str(EXAMPLES / "pair.yaml")
    done = braid(target, "cloudnet", "plan", file, "--start", "+100000d")
    assert done.exit_code == 2, done.output
    told = "braid: --end or --duration (window.end_s): given 2300-"
    assert done.stderr.startswith(told), done.stderr
