"""Settings files are read strictly, and every mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.settings import (
    ListenSettings,
    LogSettings,
    SettingsError,
    parse_yaml,
    read_yaml,
    validate,
)


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("listen: 127.0.0.1:7101\nports:\n  - {name: a, vlans: 100-199}\n")
    assert read_yaml(path) == {
        "listen": "127.0.0.1:7101",
        "ports": [{"name": "a", "vlans": "100-199"}],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "s: line 2: aliases"),
        ("a: !!python/object:os.system 1\n", "s: line 1: tags"),
        ("a: 1\nb: 2\na: 3\n", "s: line 3: 'a' is given twice"),
        ("b:\n  - {c: 1, c: 2}\n", "s: line 2: 'c' is given twice"),
        ("- 1\n- 2\n", "s: must be a mapping"),
        ("", "s: must be a mapping"),
        ("a: [1\n", "s: is not valid YAML"),
        ("a: 2020-13-45\n", "s: is not valid YAML"),
        ("? [1, 2]\n: 3\n", "s: line 1: a key must be a plain word"),
        ("a: " + "[" * 30 + "]" * 30, "s: line 1: is nested over 20 deep"),
        ("a: " + "[" * 100_000, "s: line 1: is nested over 20 deep"),
    ],
)
def test_what_yaml_should_not_be_used_for_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_yaml(text, "s")
    assert str(caught.value).startswith(message)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(SettingsError, match=r"latin\.yaml: is not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_text("a: " + "x" * (1 << 20))
    with pytest.raises(SettingsError, match=r"large\.yaml: is larger than 1048576 bytes"):
        read_yaml(tmp_path / "large.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"listen": ":0", "insecure": True, "tsl": 1}, "f: tsl: is not a setting"),
        ({"insecure": True}, "f: listen: is missing"),
        ({"listen": 3, "insecure": True}, "f: listen: Input should be a valid string; given 3"),
        ({"listen": ":0"}, "f: tls is missing: possible are"),
        (
            {"listen": ":0", "insecure": True, "tls": {"certificate": "c", "key": "k"}},
            "f: both tls and insecure: true are given",
        ),
        ({"listen": ":0", "tls": {"certificate": "c"}}, "f: tls.key: is missing"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validate(ListenSettings, values, "f")
    assert str(caught.value).startswith(message)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        validate(LogSettings, {"format": "xml", "level": "loud", "file": "x"}, "f")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["format", "level", "file"]
    assert "'json' or 'console'; given 'xml'" in lines[0]
