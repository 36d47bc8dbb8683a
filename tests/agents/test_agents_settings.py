"""An agent's settings file: every mistake is named, with the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from agent_world import config

from agents.settings import AgentSettings, load_settings
from runtime.settings import SettingsError

WHOLE = {
    **config(),
    "listen": "127.0.0.1:7101",
    "insecure": True,
    "database": "sqlite:///renet1.db",
    "inquire_after_s": 7,
    "join": ["127.0.0.1:7000"],
    "log": {"format": "console"},
}


def load(tmp_path: Path, **changes: object) -> AgentSettings:
    values = {key: value for key, value in {**WHOLE, **changes}.items() if value is not None}
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(values))
    return load_settings(path)


def test_a_whole_file_is_read_and_split_from_the_backends_part(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.listen, settings.inquire_after_s) == ("127.0.0.1:7101", 7)
    assert settings.join == ("127.0.0.1:7000",)
    assert settings.log.format == "console"
    assert settings.backend == config()


def test_what_may_be_left_out_has_a_default(tmp_path: Path) -> None:
    settings = load(tmp_path, inquire_after_s=None, join=None, log=None)
    assert (settings.inquire_after_s, settings.join, settings.log.format) == (5, (), "json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"database": None}, "database: is missing"),
        ({"insecure": None}, "tls is missing: possible are"),
        ({"inquire_after_s": 0}, "inquire_after_s: Input should be greater than or equal to 1"),
        ({"inquire_after_s": "soon"}, "inquire_after_s: "),
        ({"log": {"format": "xml"}}, "log.format: "),
        ({"log": {"file": "x"}}, "log.file: is not a setting"),
        ({"join": "127.0.0.1:7000"}, "join: "),
        ({"listen": "0.0.0.0:7101"}, "join needs advertise: nobody can connect to 0.0.0.0:7101"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'agent.yaml'}: {message}")
