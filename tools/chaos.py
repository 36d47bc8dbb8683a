"""Kills the processes of a whole Braid, again and again, and checks that it keeps its word.

Two orchestrator instances on one PostgreSQL, five agents on SQLite, users who reserve, modify and
cancel. Every acknowledged reservation must be kept, none held twice, and everything resolved 30 s
after the last kill. Exits with 1 otherwise, and leaves settings, databases and logs behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.chaos_run import INSTANCES_MAX, Wishes, chaos
from tools.chaos_world import WorldError


def main() -> None:
    """Runs and reports."""
    given, wishes = _given()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="braid-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    # As Ctrl-C: no process of the world may stay behind.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sound = False
    try:
        report = asyncio.run(chaos(wishes, folder))
        sound = report.sound
        print(json.dumps(report.counts()) if given.json else report.text())
    except WorldError as error:
        print(error, file=sys.stderr)
    finally:
        if not sound or given.folder:
            print(f"settings, databases and logs are in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    sys.exit(0 if sound else 1)


def _given() -> tuple[argparse.Namespace, Wishes]:
    default = Wishes()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=default.kills, help="how many SIGKILLs")
    parser.add_argument("--seed", type=int, default=default.seed, help="of all that is random")
    parser.add_argument("--instances", type=int, default=default.instances, help="orchestrators")
    parser.add_argument("--users", type=int, default=default.users, help="who ask side by side")
    parser.add_argument("--pace", type=float, default=default.pace_s, help="seconds per strike")
    parser.add_argument(
        "--quiet", type=float, default=default.quiet_s, help="least seconds after the last kill"
    )
    parser.add_argument(
        "--folder", type=_new_folder, help="a folder to be made, which is kept in any case"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if not 1 <= given.instances <= INSTANCES_MAX:
        parser.error(f"--instances: given {given.instances}, possible: 1 to {INSTANCES_MAX}")
    wishes = Wishes(
        kills=given.kills,
        seed=given.seed,
        instances=given.instances,
        users=given.users,
        pace_s=given.pace,
        quiet_s=given.quiet,
    )
    return given, wishes


def _new_folder(text: str) -> Path:
    folder = Path(text).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise argparse.ArgumentTypeError(f"{folder} is not empty")
    return folder


if __name__ == "__main__":
    main()
