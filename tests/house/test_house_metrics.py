"""docs/metrics.md has every metric, and the dashboard asks for no other, nor for labels unknown."""

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


WORDS = {"by", "le", "sum", "max", "rate", "instance", "histogram_quantile"}
"""What an expression may say besides: Prometheus's own words and labels."""


def documented() -> dict[str, set[str]]:
    """Metrics, and the labels of each."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(braid_\w+)` \|([^|]*)\|", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def families(registry: Any) -> Iterator[tuple[str, set[str]]]:
    """Metrics, and the labels of what each tells now."""
    for family in registry.collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        yield family.name + ("_total" if family.type == "counter" else ""), labels


@pytest.fixture
async def told(tmp_path: Any) -> dict[str, set[str]]:
    """The metrics of an orchestrator and of an agent."""
    settings = OrchestratorSettings(
        listen="127.0.0.1:0", insecure=True, database=f"sqlite:///{tmp_path}/o.db"
    )
    async with running(settings) as it:
        found = dict(families(it.instance.engine.meter.registry))
    values = {**DOMAIN, "database": f"sqlite:///{tmp_path}/a.db"}
    async with open_agent(agent_settings(values, "test")) as agent:
        return found | dict(families(agent.agent.meter.registry))


async def test_every_metric_is_documented_and_no_other(told: dict[str, set[str]]) -> None:
    ours, said = {name for name in told if name.startswith("braid_")}, documented()
    assert set(said) == ours
    for name in ours:
        assert told[name] <= said[name]


async def test_the_dashboard_asks_for_what_there_is(told: dict[str, set[str]]) -> None:
    dashboard = json.loads((ROOT / "deploy" / "dashboard.json").read_text())
    said = documented()
    for target in (target for panel in dashboard["panels"] for target in panel["targets"]):
        asked = re.sub(r"\"[^\"]*\"|\[\w+\]", "", target["expr"])
        names = set(re.findall(r"\b(?:braid|process)_\w+", asked))
        metrics = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
        assert metrics
        assert metrics <= set(told)
        labels = set().union(*(said.get(name, set()) for name in metrics))
        assert set(re.findall(r"\b[a-z]\w*", asked)) - names <= labels | WORDS
        legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert legend <= labels | {"instance"}
        grouped = re.search(r"by \(([^)]*)\)", asked)
        if grouped:
            assert legend <= set(re.findall(r"\w+", grouped[1]))


def test_panels_do_not_lie_on_one_another() -> None:
    dashboard = json.loads((ROOT / "deploy" / "dashboard.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
