"""Settings that services share, and how a settings file is read.

A settings file is YAML, read strictly: no aliases, no tags, no duplicate keys, bounded size and
depth. Every mistake is a :class:`SettingsError` that names the file, the field and what is
possible.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

SIZE_LIMIT = 1 << 20
DEPTH_LIMIT = 20

M = TypeVar("M", bound=BaseModel)


class SettingsError(Exception):
    """A settings file that cannot be used; the text says where and what is possible."""


class Strict(BaseModel):
    """Frozen, and a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsSettings(Strict):
    """Mutual TLS: PEM files of this party, and the authorities that it believes.

    ``client_ca``: who must have signed the certificates of those who call us; absent: nobody has to
    show one. ``server_ca``: who must have signed those of the servers that we call; absent: as
    ``client_ca``, or else the authorities that gRPC brings along.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    server_ca: Path | None = None


class TelemetrySettings(Strict):
    """Where traces go: ``endpoint``: an OTLP collector, ``http://host:4317`` or ``https://…``.

    ``share``: of the requests that are traced, 0 to 1; an agent traces what its orchestrator does.
    """

    endpoint: str = Field(pattern=r"^https?://\S+$")
    share: float = Field(default=1.0, ge=0, le=1)


class ListenSettings(Strict):
    """Where a service listens: ``host:port`` (port 0: any that is free) or ``unix:path``.

    Exactly one of ``tls`` and ``insecure: true`` must be said. ``calls_max`` and ``streams_max``:
    how many calls with one answer, and with a stream of them, may be in progress at once.
    ``metrics``: host:port where Prometheus reads; absent: nowhere. ``telemetry``: where traces go;
    absent: nowhere.
    """

    listen: str
    tls: TlsSettings | None = None
    insecure: StrictBool = False
    calls_max: int = Field(default=4000, ge=1, le=1_000_000)
    streams_max: int = Field(default=1000, ge=1, le=1_000_000)
    metrics: str | None = Field(default=None, pattern=r"^[^:\s]+:[0-9]{1,5}$")
    telemetry: TelemetrySettings | None = None

    @model_validator(mode="after")
    def _says_how_it_is_secured(self) -> ListenSettings:
        if self.tls is None and not self.insecure:
            raise ValueError(
                "tls is missing: possible are tls: {certificate, key, client_ca}, or insecure: true"
                " on a network where anybody may do anything"
            )
        if self.tls is not None and self.insecure:
            raise ValueError("both tls and insecure: true are given: possible is one of them")
        return self


class LogSettings(Strict):
    """How a service logs, always on standard error."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a settings file holds. Raises SettingsError."""
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise SettingsError(f"{path}: is larger than {SIZE_LIMIT} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Reads YAML that is one mapping; ``source`` names it in errors. Raises SettingsError."""
    try:
        _refuse_aliases(text, source)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, MappingNode):
            raise SettingsError(f"{source}: must be a mapping of settings to values")
        _check(root, source)
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{source}: is not valid YAML: {_flat(error)}") from error
    assert isinstance(loaded, dict)
    return loaded


def validate(model: type[M], values: dict[str, Any], source: str) -> M:
    """``values`` as ``model``. Raises SettingsError, one line for each field that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_line(problem, source) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _line(problem: Any, source: str) -> str:
    field = ".".join(str(piece) for piece in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not a setting"
    elif problem["type"] == "missing":
        message = "is missing"
    elif field:
        message = f"{message}; given {problem['input']!r}"
    return f"{source}: {field}: {message}" if field else f"{source}: {message}"


def _refuse_aliases(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise SettingsError(f"{source}: line {_at(event)}: aliases (*name) are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise SettingsError(f"{source}: line {_at(event)}: is nested over {DEPTH_LIMIT} deep")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise SettingsError(f"{source}: line {_at(event)}: tags ({tag}) are not allowed")


def _check(node: Node, source: str) -> None:
    if isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise SettingsError(f"{source}: line {_at(key)}: a key must be a plain word")
            if key.value in seen:
                raise SettingsError(f"{source}: line {_at(key)}: '{key.value}' is given twice")
            seen.add(key.value)
            _check(value, source)
    elif isinstance(node, CollectionNode):
        for value in node.value:
            _check(value, source)


def _at(marked: Any) -> int:
    return int(marked.start_mark.line) + 1


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split())
