"""The testbed's file says what its services need; where an engine runs, it is tried for real."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from house import ROOT

from agents.backends import open_backend
from agents.settings import load_settings as load_agent
from orchestrator.settings import OrchestratorSettings, load_settings as load_orchestrator
from runtime.server import GRACE_S

WORLD = ROOT / "commands" / "world"
BELOW = ROOT / "commands" / "world_below"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
INSTANCES = ("orchestrator-a", "orchestrator-b")
AGENTS = sorted(set(SERVICES) - {"postgres", *INSTANCES})


def mounted(service: str, inside: str) -> Path:
    """The file of the project that a service finds at ``inside``, read-only."""
    for volume in SERVICES[service]["volumes"]:
        source, target, *mode = volume.split(":")
        if target == inside:
            assert mode == ["ro"]
            return ROOT / str(source)
    raise AssertionError(f"{service} mounts nothing at {inside}")


def orchestrator() -> OrchestratorSettings:
    """The settings that the testbed's orchestrators share."""
    (path,) = {mounted(name, "/etc/braid/orchestrator.yaml") for name in INSTANCES}
    return load_orchestrator(path)


def test_the_testbed_has_nine_agents() -> None:
    assert len(AGENTS) == 9


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_health_check_and_one_network(service: str) -> None:
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert set(check) == {"test", "interval", "timeout", "retries"}
    assert list(SERVICES[service]["networks"]) == ["braid"]


@pytest.mark.parametrize("service", [*AGENTS, *INSTANCES])
def test_our_services_have_no_privileges(service: str) -> None:
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in SERVICES[service]["security_opt"]
    assert "USER braid" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_configured_as_the_file_starts_it(name: str) -> None:
    settings = load_agent(mounted(name, "/etc/braid/agent.yaml"))
    domain = open_backend(settings.backend).describe()
    assert domain.name == name
    probed = SERVICES[name]["healthcheck"]["test"][-1]
    assert settings.listen == f"0.0.0.0:{probed.rpartition(':')[2]}"
    folder = Path(settings.database.removeprefix("sqlite:///")).parent
    assert f"{name}:{folder}" in SERVICES[name]["volumes"]
    assert name in COMPOSE["volumes"]


def test_the_orchestrator_knows_every_agent_where_it_listens() -> None:
    wanted = {name: f"{name}:7100" for name in AGENTS}
    assert {domain.domain: domain.target for domain in orchestrator().domains} == wanted


@pytest.mark.parametrize("service", INSTANCES)
def test_an_orchestrator_waits_for_all_others_to_be_healthy(service: str) -> None:
    depends = SERVICES[service]["depends_on"]
    assert depends == {name: {"condition": "service_healthy"} for name in [*AGENTS, "postgres"]}


def test_both_orchestrators_are_published_on_this_machine_alone() -> None:
    port = orchestrator().listen.rpartition(":")[2]
    published = {name: SERVICES[name]["ports"] for name in SERVICES if "ports" in SERVICES[name]}
    assert published == {
        "orchestrator-a": [f"127.0.0.1:${{BRAID_PORT:-7000}}:{port}"],
        "orchestrator-b": [f"127.0.0.1:${{BRAID_PORT_B:-7001}}:{port}"],
    }


def test_both_orchestrators_answer_to_one_name() -> None:
    for name in INSTANCES:
        assert SERVICES[name]["networks"] == {"braid": {"aliases": ["orchestrator"]}}


def test_the_orchestrators_are_instances_of_one() -> None:
    def given(service: str) -> str:
        command = SERVICES[service]["command"]
        return str(command[command.index("--instance-id") + 1])

    assert orchestrator().instance_id is None
    assert [given(name) for name in INSTANCES] == ["a", "b"]


@pytest.mark.parametrize("service", INSTANCES)
def test_an_orchestrator_is_given_the_time_to_drain(service: str) -> None:
    given_s = int(SERVICES[service]["stop_grace_period"].removesuffix("s"))
    assert given_s > orchestrator().drain_timeout_s + GRACE_S


def test_the_database_is_the_one_that_the_file_starts() -> None:
    env = SERVICES["postgres"]["environment"]
    account = f"{env['POSTGRES_USER']}:{env['POSTGRES_PASSWORD']}"
    url = f"postgresql://{account}@postgres/{env['POSTGRES_DB']}"
    assert orchestrator().database == url


def test_every_link_between_the_testbeds_domains_has_two_ends_that_name_each_other() -> None:
    domains = [open_backend(load_agent(WORLD / f"{n}.yaml").backend).describe() for n in AGENTS]
    # The demo's reseller joins later, and not in the testbed.
    reseller = yaml.safe_load((BELOW / "reseller.yaml").read_text())
    joining = {f"reseller:{port['name']}": port["remote"] for port in reseller["ports"]}
    remotes = {port.stp: port.remote_stp for domain in domains for port in domain.ports} | joining
    linked = {stp: remote for stp, remote in remotes.items() if remote}
    assert linked
    assert {remotes.get(remote) for remote in linked.values()} == set(linked)
    users = {stp.partition(":")[0] for stp, remote in remotes.items() if not remote}
    assert {"sitea", "siteb", "sitec", "sited"} <= users


def test_the_testbed_is_the_demos_world() -> None:
    mounts = {mounted(name, "/etc/braid/agent.yaml") for name in AGENTS}
    assert mounts == set(WORLD.glob("*.yaml"))


def test_the_images_take_their_base_as_an_argument_and_need_no_registry_else() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert bases == {"${BASE_IMAGE}"}
    assert re.search(r"^ARG BASE_IMAGE=", dockerfile, re.MULTILINE)
    assert COMPOSE["x-service"]["build"]["args"] == {
        "BASE_IMAGE": "${BASE_IMAGE:-python:3.11-slim}"
    }


def test_images_hold_every_package_and_nothing_that_is_not_needed() -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(kept)
    assert not {"tests", "docs", ".git", ".venv"} & set(kept)


@pytest.mark.timeout(1500)
def test_a_reservation_through_the_running_testbed() -> None:
    script = ROOT / "tools" / "testbed.sh"
    found = subprocess.run([script, "--check"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"the testbed needs a container engine: {found.stderr.strip()}")
    if not os.access(ROOT / ".venv" / "bin" / "braid", os.X_OK):
        pytest.skip("the testbed's client is .venv/bin/braid: run make setup")
    environment = {**os.environ, "BRAID_PORT": "17000"}
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
