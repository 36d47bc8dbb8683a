"""docs/configuration.md has every setting that the code reads, and no other."""

from __future__ import annotations

import re

import pytest
from house import ROOT
from pydantic import BaseModel

from agents.backends import open_backend
from agents.backends.config import (
    ChildConfig,
    ChildDomainConfig,
    CloudConfig,
    DomainConfig,
    LinkConfig,
    PipDomainConfig,
    PortConfig,
    WanConfig,
    WanDomainConfig,
)
from agents.settings import AgentSettings, agent_settings
from orchestrator.settings import DomainTarget, OrchestratorSettings
from runtime.settings import (
    ListenSettings,
    LogSettings,
    TelemetrySettings,
    TlsSettings,
    parse_yaml,
    validate,
)

EVERY_SERVICE = {*ListenSettings.model_fields, "log"}


def fields(model: type[BaseModel], *inherited: type[BaseModel]) -> set[str]:
    """The settings of a model that the models above it do not have."""
    return set(model.model_fields) - {name for base in inherited for name in base.model_fields}


SECTIONS = {
    "Every service": EVERY_SERVICE,
    "Below `tls`": fields(TlsSettings),
    "Below `telemetry`": fields(TelemetrySettings),
    "Below `log`": fields(LogSettings),
    "The orchestrator": fields(OrchestratorSettings) - EVERY_SERVICE,
    "Below `domains`": fields(DomainTarget),
    "An agent": fields(AgentSettings) - EVERY_SERVICE - {"backend"},
    "Every backend": fields(DomainConfig),
    "Below `ports`": fields(PortConfig),
    "Only `wan`": fields(WanDomainConfig, DomainConfig),
    "Below `wan`": fields(WanConfig),
    "Below `links`": fields(LinkConfig),
    "Only `pip`": fields(PipDomainConfig, DomainConfig),
    "Below `cloud`": fields(CloudConfig),
    "Only `child`": {"visible", "least_phase_s", *fields(ChildDomainConfig, DomainConfig)},
    "Below `child`": fields(ChildConfig),
}


def documented(heading: str, text: str) -> list[str]:
    """The settings in the table below a heading, in order."""
    sections = re.split(r"^##+ ", text, flags=re.MULTILINE)
    section = next(part for part in sections if part.startswith(f"{heading}\n"))
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_has_exactly_the_settings_that_are_read(heading: str) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert sorted(documented(heading, text)) == sorted(SECTIONS[heading])


def test_no_section_with_settings_is_left_out() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    sections = re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]
    with_tables = [part.partition("\n")[0] for part in sections if "| setting |" in part]
    assert with_tables == list(SECTIONS)


def test_the_examples_can_be_read() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    orchestrator, agent = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    validate(OrchestratorSettings, parse_yaml(orchestrator, "orchestrator"), "orchestrator")
    settings = agent_settings(parse_yaml(agent, "agent"), "agent")
    assert open_backend(settings.backend).describe().name == "renet1"
