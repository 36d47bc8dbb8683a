"""braid cloudnet check: what a description is, what it leaves open, and every mistake in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from commands.main import app
from rdl.codec import from_bytes, to_bytes
from rdl.limits import LIMITS
from rdl.reading import read

EXAMPLES = Path(__file__).parents[2] / "docs" / "rdl"
PAIR, VAGUE, BERLIN = (EXAMPLES / f"{name}.yaml" for name in ("pair", "vague", "berlin"))


def check(file: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["cloudnet", "check", str(file), *map(str, options)])


def as_json(file: Path, *options: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(check(file, "--json", *options).stdout)
    return value


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    file = tmp_path / "spoilt.yaml"
    text = PAIR.read_text().replace("2 cores", "2", 1).replace("1 Gb/s", "1 GB/s")
    file.write_text(text)
    return file


def test_it_says_what_a_description_is_and_what_it_leaves_to_others() -> None:
    done = check(VAGUE)
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[:2] == [
        f"{VAGUE}: overlay 'vague': 2 nodes, 1 link, 2 interfaces",
        "left to others:",
    ]
    assert "  8:17: elements.left.resources./resource/memory: any amount; 1 GiB when nobody" in (
        done.stdout
    )
    places = [tuple(map(int, line.split(":")[:2])) for line in lines[2:]]
    assert places == sorted(places)


def test_a_substrate_leaves_nothing_to_others() -> None:
    assert check(BERLIN).stdout == (
        f"{BERLIN}: underlay 'berlin-inside': 5 nodes, 4 links, 8 interfaces, 1 shared resource\n"
    )


def test_every_mistake_is_one_line_with_its_place(spoilt: Path) -> None:
    done = check(spoilt)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{spoilt}:8:32: elements.left.resources./resource/cpu: '2' has no unit; possible: 4 cores",
        f"{spoilt}:14:38: elements.wire.resources./resource/bandwidth: '1 GB/s' is in the wrong"
        " unit; possible: 10 Gb/s",
    ]


def test_programs_get_the_same_mistakes(spoilt: Path) -> None:
    done = check(spoilt, "--json")
    assert done.exit_code == 1
    value = json.loads(done.stdout)
    assert value["file"] == str(spoilt)
    assert value["mistakes"][0] == {
        "kind": "amount",
        "field": "elements.left.resources./resource/cpu",
        "reason": "'2' has no unit; possible: 4 cores",
        "line": 8,
        "column": 32,
    }
    assert len(value["mistakes"]) == 2


def test_programs_get_what_people_read() -> None:
    value = as_json(PAIR)
    assert value["mistakes"] == []
    assert (value["name"], value["layer"]) == ("pair", "overlay")
    counts = ("nodes", "links", "interfaces", "shared", "relations")
    assert [value[name] for name in counts] == [2, 1, 2, 0, 0]
    assert value["unsaid"][0] == {
        "field": "elements.left.attribute",
        "reason": "any /node/host: which kind of node is left to others",
        "line": 7,
        "column": 5,
    }


def test_it_writes_either_form_and_reads_it_again(tmp_path: Path) -> None:
    graph = read(PAIR.read_bytes()).graph
    yaml = check(PAIR, "--as", "yaml")
    assert read(yaml.stdout).graph == graph
    message = check(PAIR, "--as", "protobuf")
    assert message.stdout_bytes == to_bytes(graph)
    stored = tmp_path / "pair.pb"
    stored.write_bytes(message.stdout_bytes)
    assert check(stored, "--as", "yaml").stdout == yaml.stdout
    assert "\n  elements.left.attribute: any /node/host" in check(stored).stdout


def test_a_message_with_a_mistake_has_a_field_and_no_line(tmp_path: Path) -> None:
    stored = tmp_path / "pair.pb"
    stored.write_bytes(to_bytes(read(PAIR.read_bytes()).graph).replace(b"/link", b"/lino"))
    done = check(stored)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{stored}: elements.wire.attribute: '/lino/generic' is not")


def test_more_nodes_than_an_orchestrator_takes_are_told_with_line_path_and_reason(
    tmp_path: Path,
) -> None:
    """Before anything is asked; RESOURCE_EXHAUSTED is what an orchestrator calls a limit."""
    many = tmp_path / "many.yaml"
    lines = [f"  n{i}: {{attribute: /node/host}}" for i in range(300)]
    many.write_text("\n".join(["rdl: 1", "name: many", "layer: overlay", "elements:", *lines]))
    reason = "elements.n256: is node 257 of 300; possible: at most 256 nodes"
    for command in ("check", "plan", "create"):
        done = CliRunner().invoke(app, ["cloudnet", command, str(many)])
        assert done.exit_code == 1
        assert done.stderr.strip() == f"{many}:261:3: {reason}"
    (mistake,) = json.loads(check(many, "--json").stdout)["mistakes"]
    assert (mistake["kind"], mistake["line"]) == ("limit", 261)


def test_what_is_unsaid_can_be_completed() -> None:
    done = check(VAGUE, "--complete", "--as", "yaml")
    assert "/resource/memory: {amount: 1 GiB, by: braid}" in done.stdout
    left = {each["field"] for each in as_json(VAGUE, "--complete")["unsaid"]}
    assert "elements.left.resources./resource/memory" not in left
    assert "elements.left.features./feature/virtualization" in left


def test_a_provider_sees_what_it_would_tell() -> None:
    done = check(BERLIN, "--aggregate", "berlin", "--as", "protobuf")
    told = from_bytes(done.stdout_bytes)
    assert told == read((EXAMPLES / "berlin-told.yaml").read_bytes()).graph


def test_it_says_where_each_node_could_be() -> None:
    done = check(PAIR, "--on", BERLIN)
    assert done.exit_code == 0
    assert done.stdout.endswith(
        "left fits on 3: sn111, sn112, sn113\nright fits on 3: sn111, sn112, sn113\n"
    )


def test_it_says_why_a_node_can_be_nowhere() -> None:
    done = check(EXAMPLES / "shop.yaml", "--on", BERLIN)
    assert done.exit_code == 3
    assert (
        "database fits nowhere:\n"
        "  c4500: /node/host/server does not map on /node/switch/cisco-4500\n"
        "  sn111, sn112: /resource/disk/ssd: has none; /resource/memory: asked 64 GiB, has 4 GiB\n"
    ) in done.stdout
    value = as_json(EXAMPLES / "shop.yaml", "--on", BERLIN)
    assert value["fits"]["database"] == []
    assert value["misfits"]["database"]["sn113"] == [
        "/node/host/server does not map on /node/host/xen"
    ]


RELATED = """\
rdl: 1
name: two
layer: overlay
elements:
  a: {attribute: /node/host/generic}
  b: {attribute: /node/host/generic, features: {/feature/architecture: %s}}
relations:
  alike: {same: /feature/architecture, elements: [a, b]}
"""


def test_it_says_which_relation_can_be_kept_and_how(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(RELATED % "any")
    done = check(file, "--on", BERLIN)
    assert done.exit_code == 0
    assert "relation alike can be kept: a x86_64, b x86_64" in done.stdout
    file.write_text(RELATED % "sparc")
    done = check(file, "--on", BERLIN)
    assert done.exit_code == 3
    assert "relation alike cannot be kept: /feature/architecture cannot be same" in done.stdout
    assert as_json(file, "--on", BERLIN)["relations_impossible"].keys() == {"alike"}


@pytest.mark.parametrize(
    ("file", "options", "reason"),
    [
        (BERLIN, ["--complete"], "--complete: is for an overlay"),
        (PAIR, ["--aggregate", "x"], "--aggregate: is for an underlay"),
        (BERLIN, ["--aggregate", "munich"], "--aggregate: elements.munich: is given twice"),
        (BERLIN, ["--aggregate", "a b"], "--aggregate: name: 'a b' is not a name"),
        (PAIR, ["--on", PAIR], "--on: possible: an overlay, on an underlay"),
        (PAIR, ["--as", "yaml", "--json"], "--as prints the description alone"),
        (PAIR, ["--as", "yaml", "--on", BERLIN], "--as prints the description alone"),
        (Path("nowhere.yaml"), [], "does not exist"),
    ],
)
def test_wrong_usage_is_told(file: Path, options: list[object], reason: str) -> None:
    done = check(file, *options)
    assert done.exit_code == 2
    assert reason in done.stderr


def test_mistakes_in_the_substrate_are_told_under_its_name(spoilt: Path) -> None:
    done = check(PAIR, "--on", spoilt)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{spoilt}:8:32: ")


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(LIMITS.size_bytes * 1000)
    done = check(file)
    assert done.exit_code == 1
    assert f"is larger than {LIMITS.size_bytes} bytes" in done.stderr
