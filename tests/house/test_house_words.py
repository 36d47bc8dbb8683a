"""The project speaks of itself alone: no machine's paths and no registry's hosts in its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house import ROOT, project_files

FORBIDDEN = {
    "a machine's path": r"(?<![\w$}])/(work|root|home)/[\w.]",
    "a package index": r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|anaconda\.org)\b",
    "a mirror or registry": r"\b((deb|security)\.debian\.org|ghcr\.io|quay\.io|docker\.com)\b",
    "an unfinished thought": r"\b(FIXME|TODO|XXX)\b",
}


def violations(text: str) -> list[str]:
    """Each forbidden thing in the text, as "what: where"."""
    return [
        f"{what}: {match.group()}"
        for what, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, text)
    ]


def texts() -> dict[str, str]:
    """Every file of the project but this one."""
    others = (path for path in project_files() if path != Path(__file__).resolve())
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes().decode("utf-8", errors="replace")
        for path in others
    }


def test_no_file_of_the_project_holds_a_forbidden_word() -> None:
    assert {name: found for name, text in texts().items() if (found := violations(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /work/main/notes.txt",
        "cache: '/root/.cache'",
        "--index-url https://pypi.org/simple",
        "mirror http://deb.debian.org/debian",
        "# TODO later",
    ],
)
def test_forbidden_words_are_recognised(text: str) -> None:
    assert len(violations(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["GET /homework", "$state/root/x", "work/on it", "apt-get install docker.io", "/roots/a"],
)
def test_innocent_words_are_left_alone(text: str) -> None:
    assert violations(text) == []


def test_every_text_file_ends_with_a_line_feed_and_has_no_trailing_blanks() -> None:
    untidy = [
        name
        for name, text in texts().items()
        if text and not name.startswith("braid/v1/")
        if not text.endswith("\n") or re.search(r"[ \t]+$", text, re.MULTILINE)
    ]
    assert untidy == []
