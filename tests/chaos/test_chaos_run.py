"""A short chaos run: real processes, killed with SIGKILL under load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.chaos_world import ROOT

KILLS = 8
RUN_S = 100


def chaos(*options: str) -> tuple[int, str, str]:
    """Exit code and output of a run, which leaves no process behind even when it hangs."""
    command = [sys.executable, "tools/chaos.py", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=RUN_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    return process.returncode, out, err


@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_kills_of_everything(tmp_path: Path) -> None:
    code, out, err = chaos(
        "--json", f"--kills={KILLS}", "--seed=7", "--users=4", "--quiet=5", f"--folder={tmp_path}"
    )
    assert code == 0, out + err
    found = json.loads(out)
    assert found["details"] == []
    assert found["kills"] == KILLS
    assert found["committed"] > 0
    assert found["violations"] == found["unresolved"] == 0


def test_a_run_without_orchestrators_is_refused() -> None:
    code, _, err = chaos("--instances=0")
    assert code == 2
    assert "--instances: given 0, possible: 1 to 26" in err
