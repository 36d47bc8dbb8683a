"""What the tests of the house share: where the tree is, and which files belong to it."""

from __future__ import annotations

import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def project_files() -> tuple[Path, ...]:
    """The files that are, or would be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in sorted(listed.splitlines()) if (path := ROOT / name).is_file())


def toml(name: str) -> dict[str, Any]:
    """A TOML file of the project."""
    return tomllib.loads((ROOT / name).read_text())
