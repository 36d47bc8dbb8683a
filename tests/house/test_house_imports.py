"""The contracts of import-linter hold, and each of them would notice a violation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT

from tools import budget

LINT = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs all contracts over the packages in ``folder``."""
    return subprocess.run(
        [LINT, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in budget.PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_tree_keeps_all_contracts(copied_tree: Path) -> None:
    done = lint(copied_tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("substrate/bad.py", "import protocol.messages", "Imports point down"),
        ("substrate/bad.py", "import embedding.model", "Imports point down"),
        ("embedding/bad.py", "import protocol.messages", "Imports point down"),
        ("protocol/bad.py", "import embedding.model", "Imports point down"),
        ("runtime/bad.py", "import orchestrator.records", "Imports point down"),
        ("orchestrator/bad.py", "import agents", "Imports point down"),
        ("agents/bad.py", "import orchestrator", "Imports point down"),
        ("simulations/bad.py", "import commands", "Imports point down"),
        ("braid/bad.py", "import substrate.model", "The client library stands alone"),
        ("agents/bad.py", "import braid.client", "Only commands and simulations are clients"),
        ("agents/backends/bad.py", "import braid.client", "Only commands and simulations are"),
        ("substrate/bad.py", "import braid.v1.common_pb2", "The substrate knows nothing"),
        ("substrate/bad.py", "import random", "The core does no I/O"),
        ("embedding/bad.py", "import time", "The core does no I/O"),
        ("embedding/bad.py", "import random", "The core does no I/O"),
        ("embedding/bad.py", "import braid.v1.common_pb2", "The substrate knows nothing"),
        ("protocol/bad.py", "import time", "The core does no I/O"),
        ("protocol/bad.py", "import asyncio", "The core does no I/O"),
        ("protocol/bad.py", "from datetime import datetime", "The core does no I/O"),
        ("rdl/bad.py", "import protocol.messages", "Imports point down"),
        ("substrate/bad.py", "import rdl.model", "Imports point down"),
        ("braid/bad.py", "import rdl.model", "The client library stands alone"),
        ("rdl/bad.py", "import braid.client", "Only commands and simulations are clients"),
        ("rdl/bad.py", "import random", "The description language reads YAML"),
        ("rdl/bad.py", "from pathlib import Path", "The description language reads YAML"),
    ],
)
def test_a_violation_is_noticed(
    copied_tree: Path, module: str, statement: str, contract: str
) -> None:
    bad = copied_tree / module
    bad.write_text(f"{statement}\n")
    try:
        done = lint(copied_tree)
    finally:
        bad.unlink()
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), done.stdout
