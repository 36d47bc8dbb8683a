"""Builds both distributions and tries each, installed, in an empty environment.

The client library must run with grpcio and protobuf alone; the service must import whole, offer its
command and find its migrations, with the source tree out of reach.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNWANTED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "wheelhouse")

CLIENT_DISTRIBUTIONS = {"braid-client", "grpcio", "protobuf", "typing-extensions"}

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""

CLIENT_ALONE = (
    IMPORT_ALL
    + """
allowed = {"braid", "grpc", "google", "typing_extensions"} | sys.stdlib_module_names
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.builtin_module_names)
paths = {n: getattr(sys.modules[n], "__file__", None) or "" for n in loaded if n in sys.modules}
strangers = sorted(n for n, p in paths.items() if "site-packages" in p and n not in allowed)
sys.exit("braid also imports " + ", ".join(strangers) if strangers else 0)
"""
)

NEW_DATABASES = """
from runtime.schema import check, upgrade
for branch in ("orchestrator", "agent"):
    upgrade(f"sqlite:///{branch}.db", branch)
    check(f"sqlite:///{branch}.db", branch)
"""

WORLD = """
from importlib.resources import files
from agents.backends import open_backend
from agents.settings import load_settings
world = sorted(files("commands").joinpath("world").iterdir())
assert len([open_backend(load_settings(path).backend) for path in world]) == 9, world
"""

LIST = "from importlib.metadata import distributions; print(*{d.name for d in distributions()})"


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command; ends the program with it when the command fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build_wheel(source: Path, wheels: Path) -> Path:
    """The wheel of the project in ``source``, which is changed by the build."""
    python = Path(sys.executable)
    run(python, "-m", "build", "--wheel", "--no-isolation", "-o", wheels, source, cwd=source)
    return max(wheels.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime_ns)


def environment(folder: Path, constraints: Path, *wheels: Path) -> Path:
    """The interpreter of a new environment in which just these wheels are installed."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run(*pip, "-c", constraints, *wheels, cwd=folder)
    return python


def pins(lock: Path) -> str:
    """The pins of a lock file without their hashes, which pip would demand of our wheels too."""
    lines = re.findall(r"^([a-z0-9].*?) *\\?$", lock.read_text(), re.MULTILINE)
    return "\n".join(lines) + "\n"


def check_client(python: Path, folder: Path) -> None:
    """Only the declared distributions are installed, and nothing else is imported."""
    installed = set(run(python, "-I", "-c", LIST, cwd=folder).split())
    installed = {name.lower().replace("_", "-") for name in installed}
    if installed != CLIENT_DISTRIBUTIONS:
        sys.exit(f"braid-client installs {sorted(installed)}, not {sorted(CLIENT_DISTRIBUTIONS)}")
    run(python, "-I", "-c", CLIENT_ALONE, "braid", cwd=folder)


def check_service(python: Path, packages: list[str], folder: Path) -> None:
    """Everything imports, migrations and the demo's world are found, the command answers."""
    # Migrations can only be imported by alembic, which NEW_DATABASES starts.
    modules = [package for package in packages if package != "migrations"]
    run(python, "-I", "-c", IMPORT_ALL, *modules, cwd=folder)
    run(python, "-I", "-c", NEW_DATABASES, cwd=folder)
    run(python, "-I", "-c", WORLD, cwd=folder)
    run(python.parent / "braid", "--help", cwd=folder)


def main() -> None:
    """Runs all checks; exits with a message at the first that fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = [pattern.removesuffix("*") for pattern in found]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source, wheels = folder / "source", folder / "wheels"
        shutil.copytree(ROOT, source, ignore=UNWANTED)
        wheels.mkdir()
        constraints = folder / "constraints.txt"
        constraints.write_text(pins(ROOT / "deploy" / "requirements.lock"))
        client = build_wheel(source / "braid", wheels)
        service = build_wheel(source, wheels)
        shutil.rmtree(source)
        check_client(environment(folder / "client", constraints, client), folder)
        print(f"{client.name} imports alone")
        python = environment(folder / "service", constraints, client, service)
        check_service(python, packages, folder)
        print(f"{service.name} imports, makes databases, and braid answers")


if __name__ == "__main__":
    main()
