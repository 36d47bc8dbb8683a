"""Published topologies of real networks as settings of agents.

read_topology      a file in one of FORMATS as domains, with remarks on what did not fit
read_any_topology  the same for a file that tells its format by what is in it
write_topology     a settings file per agent, and one for the orchestrator that lists them
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from runtime.settings import SettingsError
from simulations.atlanticwave import import_atlanticwave, looks_like_atlanticwave
from simulations.draft import Imported
from simulations.esnet import import_esnet, looks_like_esnet

FILE_BYTES_MAX = 64 * 1024 * 1024
PORT_MAX = 65_535

Looks = Callable[[dict[str, Any]], bool]
LOOKS: dict[str, Looks] = {"atlanticwave": looks_like_atlanticwave, "esnet": looks_like_esnet}
FORMATS = tuple(LOOKS)


def read_topology(format_: str, file: Path, *, add_user_ports: bool = True) -> Imported:
    """The topology in ``file``; ``add_user_ports``: for atlanticwave only. Raises SettingsError."""
    if format_ not in LOOKS:
        raise SettingsError(f"format '{format_}' is not known; possible are {', '.join(FORMATS)}")
    return _imported(format_, read_json(file), file, add_user_ports)


def read_any_topology(file: Path) -> Imported:
    """The topology in ``file``, in whatever format it looks like. Raises SettingsError."""
    document = read_json(file)
    for format_, looks in LOOKS.items():
        if looks(document):
            return _imported(format_, document, file, True)
    raise SettingsError(
        f"{file}: is not a topology in one of the formats {', '.join(FORMATS)}: its keys are"
        f" {_some(list(document))}"
    )


def _imported(format_: str, document: dict[str, Any], file: Path, add_user_ports: bool) -> Imported:
    if not LOOKS[format_](document):
        others = [name for name, looks in LOOKS.items() if looks(document)]
        hint = f"it looks like {others[0]}" if others else f"its keys are {_some(list(document))}"
        raise SettingsError(f"{file}: is not a topology in the format {format_}: {hint}")
    if format_ == "esnet":
        return import_esnet(document, str(file))
    return import_atlanticwave(document, str(file), add_user_ports=add_user_ports)


def write_topology(
    imported: Imported,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    first_port: int = 7101,
    insecure: bool = False,
) -> tuple[Path, ...]:
    """Writes ``agents/DOMAIN.yaml`` for every domain and ``orchestrator.yaml`` into a new folder.

    Agents listen on ``host`` at consecutive ports. Without ``insecure`` the files still need a
    ``tls`` section. Returns what was written. Raises SettingsError.
    """
    last_port = first_port + len(imported.domains) - 1
    if not 1 <= first_port <= last_port <= PORT_MAX:
        raise SettingsError(
            f"first port {first_port}: {len(imported.domains)} agents need the ports up to"
            f" {last_port}; possible are 1 to {PORT_MAX}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder}: is there already, and nothing is overwritten")
    security = {"insecure": True} if insecure else {}
    files, targets = {}, []
    for port, domain in enumerate(imported.domains, start=first_port):
        name = domain["domain"]
        own = {"listen": f"{host}:{port}", "database": f"sqlite:///{name}.db", **security}
        files[Path("agents") / f"{name}.yaml"] = {**domain, **own}
        targets.append({"domain": name, "target": f"{host}:{port}"})
    files[Path("orchestrator.yaml")] = {**security, "domains": targets}
    try:
        (folder / "agents").mkdir(parents=True)
        for name, settings in files.items():
            text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written: {error.strerror}") from error
    return tuple(folder / name for name in files)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises SettingsError with line and column."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise SettingsError(f"{file}: is larger than {FILE_BYTES_MAX} bytes")
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{file}: holds no JSON object but a {type(document).__name__}")
    return document


def _some(keys: list[str]) -> str:
    shown = ", ".join(repr(key) for key in keys[:5]) or "none"
    return shown + (", …" if len(keys) > 5 else "")
