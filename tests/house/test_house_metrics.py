"""docs/metrics.md has every metric, and the dashboard asks for no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from house import ROOT

from agents.settings import agent_settings, open_agent
from orchestrator.main import running
from orchestrator.settings import OrchestratorSettings

DOMAIN = {
    "domain": "d1",
    "backend": "pip",
    "listen": "127.0.0.1:0",
    "insecure": True,
    "ports": [{"name": "a", "capacity": "1G", "vlans": "1-9"}],
}


def documented() -> set[str]:
    text = (ROOT / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(braid_\w+)` \|", text, re.MULTILINE))


def names(registry: Any) -> Iterator[str]:
    for family in registry.collect():
        yield family.name + ("_total" if family.type == "counter" else "")


@pytest.fixture
async def told(tmp_path: Any) -> set[str]:
    """The metrics of an orchestrator and of an agent."""
    settings = OrchestratorSettings(
        listen="127.0.0.1:0", insecure=True, database=f"sqlite:///{tmp_path}/o.db"
    )
    async with running(settings) as it:
        found = set(names(it.instance.engine.meter.registry))
    values = {**DOMAIN, "database": f"sqlite:///{tmp_path}/a.db"}
    async with open_agent(agent_settings(values, "test")) as agent:
        return found | set(names(agent.agent.meter.registry))


async def test_every_metric_is_documented_and_no_other(told: set[str]) -> None:
    assert documented() == told


async def test_the_dashboard_asks_for_what_there_is(told: set[str]) -> None:
    dashboard = json.loads((ROOT / "deploy" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for expression in asked
        for name in re.findall(r"\bbraid_\w+", expression)
    }
    assert used <= told
