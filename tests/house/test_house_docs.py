"""The documents are true where a machine can tell: links, names of code, dependencies, changes."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest
from house import ROOT, project_files, toml

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_NAME = re.compile(
    r"`((?:substrate|embedding|rdl|protocol|runtime|orchestrator|agents|braid)\.[\w.]+)`"
)
CHANGE_KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def documents() -> list[Path]:
    """The Markdown files of the project."""
    return [path for path in project_files() if path.suffix == ".md"]


def anchors(text: str) -> set[str]:
    """The fragments under which the headings of a Markdown text can be reached."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(document: Path) -> list[str]:
    """The relative links of a document that lead nowhere."""
    broken = []
    for link in LINK.findall(document.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (fragment and fragment not in anchors(target.read_text())):
            broken.append(link)
    return broken


def test_every_relative_link_leads_somewhere() -> None:
    found = {path.name: links for path in documents() if (links := broken_links(path))}
    assert found == {}


def test_a_broken_link_and_a_broken_fragment_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Two words, here\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#two-words-here) [c](https://example.org) [d](#page)\n"
        "[e](none.md) [f](other.md#nowhere)\n# Page\n"
    )
    assert broken_links(page) == ["none.md", "other.md#nowhere"]


def resolve(name: str) -> object:
    """What a dotted name stands for. Raises AttributeError or ImportError."""
    pieces = name.split(".")
    for count in range(len(pieces), 0, -1):
        try:
            found: object = importlib.import_module(".".join(pieces[:count]))
        except ModuleNotFoundError:
            continue
        return reduce(_member, pieces[count:], found)
    raise ImportError(name)


def _member(owner: object, name: str) -> object:
    if name in getattr(owner, "__annotations__", {}):
        return owner.__annotations__[name]
    return getattr(owner, name)


def test_every_name_of_code_in_the_glossary_exists() -> None:
    names = CODE_NAME.findall((ROOT / "docs" / "glossary.md").read_text())
    assert len(names) > 40
    missing = []
    for name in names:
        try:
            resolve(name)
        except (AttributeError, ImportError):
            missing.append(name)
    assert missing == []


def test_a_name_that_does_not_exist_is_not_resolved() -> None:
    assert resolve("substrate.model.Port.aliases") is not None
    with pytest.raises(AttributeError):
        resolve("substrate.model.Port.colour")
    with pytest.raises(ImportError):
        resolve("nowhere.at.all")


def test_the_glossary_explains_each_word_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text().partition("## Words of the field")[0]
    rows = re.findall(r"^\| (?!word|-)([^|]+?) \|", text, re.M)
    words = [word for row in rows for word in row.split(", ")]
    assert sorted(words) == sorted(set(words))


def distribution(requirement: str) -> str:
    """The name in a requirement such as "psycopg[binary]>=3.2"."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return name.group()


@pytest.mark.parametrize(
    ("heading", "project", "extra"),
    [
        ("The client library", "braid/pyproject.toml", None),
        ("The services", "pyproject.toml", None),
        ("Simulations", "pyproject.toml", "simulations"),
        ("Dask", "pyproject.toml", "dask"),
        ("Traces", "pyproject.toml", "telemetry"),
    ],
)
def test_dependencies_are_those_that_the_document_justifies(
    heading: str, project: str, extra: str | None
) -> None:
    metadata = toml(project)["project"]
    wanted = metadata["optional-dependencies"][extra] if extra else metadata["dependencies"]
    text = (ROOT / "docs" / "dependencies.md").read_text()
    section = next(s for s in re.split(r"^## ", text, flags=re.M) if s.startswith(heading))
    rows = re.findall(r"^\| ([\w-]+) \| (\S.*) \|$", section, re.M)
    listed = [name for name, _ in rows if name not in ("distribution", "---")]
    assert listed == sorted(distribution(requirement) for requirement in wanted)


def test_the_changelog_keeps_its_format() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.+)$", text, re.M)
    assert text.startswith("# Changelog\n")
    assert releases[0] == "[Unreleased]"
    for release in releases[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", release), release
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= CHANGE_KINDS


def test_every_make_target_that_a_document_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == targets
    named = set()
    for path in documents():
        for line in re.findall(r"(?:^|`)make ([a-z ]+?)(?:`|$)", path.read_text(), re.MULTILINE):
            named |= set(line.split())
    assert {"setup", "demo", "test", "check"} <= named <= targets


def test_continuous_integration_ends_with_the_tests() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make")] == [
        "make setup",
        "make check",
        "make test",
    ]
