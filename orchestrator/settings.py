"""The settings of ``braid serve``: one frozen object, from a YAML file and the command line."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from orchestrator.bargain import Patience
from orchestrator.bounds import Bounds
from orchestrator.engine import Limits
from orchestrator.validation import NAME
from runtime.clock import RandomIds
from runtime.settings import ListenSettings, LogSettings, Strict, read_yaml, validate
from substrate.tolls import Tariff


class DomainTarget(Strict):
    """A domain to connect to at start, and the gRPC target of its agent."""

    domain: str = Field(pattern=f"^{NAME.pattern}$")
    target: str = Field(min_length=1, max_length=512)


class OrchestratorSettings(ListenSettings):
    """Everything that ``braid serve`` can be told; see docs/configuration.md."""

    orchestrator_id: str = Field(default="braid", pattern=f"^{NAME.pattern}$")
    listen: str = "127.0.0.1:7000"
    database: str = "sqlite:///braid.db"
    instance_id: str | None = Field(default=None, pattern=f"^{NAME.pattern}$")
    lease_s: float = Field(default=3.0, ge=0.5, le=300)
    drain_timeout_s: float = Field(default=10.0, ge=0, le=600)
    domains: tuple[DomainTarget, ...] = ()
    offers_timeout_s: float = Field(default=2.0, gt=0, le=60)
    offers_reuse_s: float = Field(default=2.0, ge=0, le=60)
    prepare_timeout_s: float = Field(default=5.0, gt=0, le=300)
    negotiations_max: int = Field(default=1000, ge=1, le=100_000)
    explanations_max: int = Field(default=2, ge=0, le=100)
    moves_max: int = Field(default=4, ge=0, le=64)
    toll_max_link_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    toll_link_s_per_tb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    carry_timeout_s: float = Field(default=600.0, ge=1, le=86_400)
    carry_rounds: int = Field(default=8, ge=0, le=1000)
    window_max_s: int = Field(default=366 * 86_400, ge=1)
    horizon_s: int = Field(default=2 * 366 * 86_400, ge=1)
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _lists_each_domain_once(self) -> OrchestratorSettings:
        names = [item.domain for item in self.domains]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"domains: '{name}' is listed more than once")
        return self

    def instance(self) -> str:
        """The name of this instance: as given, or by where it runs and listens."""
        if self.instance_id is not None:
            return self.instance_id
        if self.listen.endswith(":0"):
            return RandomIds().new()
        return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{socket.gethostname()}-{self.listen}")[:128]

    def limits(self) -> Limits:
        """As the engine wants them."""
        patience = Patience(offers_s=self.offers_timeout_s, prepare_s=self.prepare_timeout_s)
        return Limits(
            negotiations_max=self.negotiations_max,
            patience=patience,
            offers_reuse_ms=round(self.offers_reuse_s * 1000),
            explanations_max=self.explanations_max,
            bounds=self.bounds(),
            moves_max=self.moves_max,
            carry_ms=round(self.carry_timeout_s * 1000),
            tariff=self.tariff(),
            carry_rounds=self.carry_rounds,
        )

    def tariff(self) -> Tariff | None:
        """What a request may take from others; None: anything."""
        if self.toll_max_link_s is None and self.toll_link_s_per_tb is None:
            return None
        return Tariff(self.toll_max_link_s or 0.0, self.toll_link_s_per_tb or 0.0)

    def bounds(self) -> Bounds:
        """As the validation wants them."""
        return Bounds(window_max_s=self.window_max_s, horizon_s=self.horizon_s)


def load_settings(
    path: Path | None = None, overrides: dict[str, Any] | None = None
) -> OrchestratorSettings:
    """Reads a YAML file (None: no file) and lays overrides over it. Raises SettingsError."""
    document = read_yaml(path) if path is not None else {}
    source = str(path) if path is not None else "command line"
    return validate(OrchestratorSettings, {**document, **(overrides or {})}, source)
