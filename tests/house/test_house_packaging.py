"""What is installed is what is declared: locks, versions, licence and lists that must agree."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from house import ROOT, toml

from tools import budget, check_wheels

LOCKS = ("requirements.lock", "deploy/requirements.lock")
PROJECTS = ("pyproject.toml", "braid/pyproject.toml")


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions that a lock file pins for each distribution."""
    versions: dict[str, set[str]] = {}
    for line in check_wheels.pins(ROOT / lock).splitlines():
        name, _, version = line.partition(" ")[0].partition("==")
        versions.setdefault(name, set()).add(version)
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_distribution_with_hashes_and_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(entries) > 20
    assert [e.split()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e] == []
    assert "://" not in text
    assert "--index" not in text


def test_the_deployed_versions_are_the_tested_ones() -> None:
    tested, deployed = (pinned(lock) for lock in LOCKS)
    assert {name: tested.get(name) for name in deployed} == deployed


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_everything_that_the_services_declare(lock: str) -> None:
    wanted = {
        re.split(r"[\[<>=;]", r)[0] for r in toml("pyproject.toml")["project"]["dependencies"]
    }
    assert wanted - {"braid-client"} <= set(pinned(lock))


def test_pins_keep_markers_and_drop_hashes() -> None:
    pins = check_wheels.pins(ROOT / "requirements.lock")
    assert re.search(r"^numpy==[\d.]+ ; python_full_version < '3.12'$", pins, re.M)
    assert "sha256" not in pins
    assert "\\" not in pins


def test_the_generated_code_runs_with_the_oldest_protobuf_allowed() -> None:
    generated = (ROOT / "braid" / "v1" / "common_pb2.py").read_text()
    gencode = re.search(r"Protobuf Python Version: ([\d.]+)", generated)
    assert gencode is not None
    needed = tuple(map(int, gencode.group(1).split(".")))
    for project in PROJECTS:
        requirement = next(
            r for r in toml(project)["project"]["dependencies"] if r.startswith("protobuf")
        )
        bounds = re.fullmatch(r"protobuf>=([\d.]+),<(\d+)", requirement)
        assert bounds is not None, requirement
        assert tuple(map(int, bounds.group(1).split("."))) >= needed
        assert int(bounds.group(2)) == needed[0] + 2


def test_both_distributions_have_one_version_and_one_licence() -> None:
    service, client = (toml(project)["project"] for project in PROJECTS)
    assert service["version"] == client["version"]
    assert f"braid-client=={client['version']}" in service["dependencies"]
    assert service["license"] == client["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_bytes()
    assert text == (ROOT / "braid" / "LICENSE").read_bytes()
    assert b"Version 2.0, January 2004" in text


def test_every_list_of_packages_is_the_same_list() -> None:
    project = toml("pyproject.toml")["tool"]
    packages = set(project["importlinter"]["root_packages"])
    shipped = {p.removesuffix("*") for p in project["setuptools"]["packages"]["find"]["include"]}
    made = re.search(r"^PACKAGES := (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert made is not None
    assert packages == shipped | {"braid"} == set(made.group(1).split())
    assert all((ROOT / package / "__init__.py").exists() for package in packages)


def _imported(package: str) -> set[str]:
    files = [p for p in budget.code_files(ROOT) if p.is_relative_to(ROOT / package)]
    if package == "braid":
        files += sorted((ROOT / "braid" / "v1").glob("*.py"))
    names: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names |= {node.module}
    return names


def _distributions(modules: set[str]) -> set[str]:
    """The distributions that hold these modules, in normal form, without ours and the standard."""
    known = packages_distributions()
    found = set()
    for module in modules:
        top = module.partition(".")[0]
        if module.startswith("google.rpc"):
            found.add("googleapis-common-protos")
        elif module.startswith("google.protobuf"):
            found.add("protobuf")
        elif top not in sys.stdlib_module_names and top not in budget.PACKAGES:
            found |= {re.sub(r"[-_.]+", "-", name).lower() for name in known.get(top, [top])}
    return found


def test_the_services_import_what_they_declare_and_declare_what_they_import() -> None:
    metadata = toml("pyproject.toml")["project"]
    declared = {re.split(r"[\[<>=;]", r)[0] for r in metadata["dependencies"]}
    optional = metadata["optional-dependencies"]
    extras = [*optional["simulations"], *optional["dask"]]
    extra = {re.split(r"[\[<>=;]", r)[0] for r in extras}
    # One package of many distributions, with the extra `telemetry`.
    telemetry = _distributions({"opentelemetry"})
    modules = set().union(*(_imported(p) for p in budget.PACKAGES if p != "braid"))
    # The driver is named in a database's URL, not imported.
    assert _distributions(modules) - extra - telemetry == declared - {"braid-client", "psycopg"}


def test_the_client_imports_what_it_declares_and_declares_what_it_imports() -> None:
    declared = {
        re.split(r"[<>=;]", r)[0] for r in toml("braid/pyproject.toml")["project"]["dependencies"]
    }
    assert _distributions(_imported("braid")) == declared


SCRIPTS = [*sorted(ROOT.glob("tools/*.sh")), ROOT / ".ci" / "run", ROOT / "deploy" / "postgres.sh"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_run_and_stops_at_the_first_failure(script: Path) -> None:
    assert os.access(script, os.X_OK)
    shell, _, _ = script.read_text().partition("\n")
    name = re.fullmatch(r"#!/(?:usr/bin/env |bin/)(bash|sh)", shell)
    assert name is not None
    assert re.search(r"^set -eu", script.read_text(), re.MULTILINE)
    done = subprocess.run(
        [name.group(1), "-n", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
