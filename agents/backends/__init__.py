"""What stands behind an agent; ``open_backend`` makes one from its settings."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from agents.backends.base import Backend
from agents.backends.child import ChildBackend
from agents.backends.cloud import ProviderBackend
from agents.backends.config import (
    ChildDomainConfig,
    DomainConfig,
    PipDomainConfig,
    WanDomainConfig,
)
from agents.backends.exchange import ExchangeBackend
from agents.backends.wan import WanBackend
from runtime.settings import SettingsError, validate

__all__ = ["Backend", "open_backend"]


def _site(config: PipDomainConfig) -> Backend:
    if config.cloud is None:
        return ExchangeBackend(config)
    return ProviderBackend(config, config.cloud)


def open_backend(settings: Mapping[str, Any]) -> Backend:
    """The backend that ``settings["backend"]`` names: wan, sdx, pip, child, or a third party's.

    That is "package.module:factory", called with the whole mapping. Raises SettingsError.
    """
    values = dict(settings)
    kind = values.get("backend")
    source = str(values.get("domain", "backend"))
    builtin: dict[str, Callable[[], Backend]] = {
        "wan": lambda: WanBackend(validate(WanDomainConfig, values, source)),
        "sdx": lambda: ExchangeBackend(validate(DomainConfig, values, source)),
        "pip": lambda: _site(validate(PipDomainConfig, values, source)),
        "child": lambda: ChildBackend(validate(ChildDomainConfig, values, source)),
    }
    if isinstance(kind, str) and kind in builtin:
        return builtin[kind]()
    module, colon, factory = str(kind or "").partition(":")
    if not colon:
        possible = ", ".join([*builtin, "package.module:factory"])
        raise SettingsError(f"{source}: backend: given {kind!r}, possible: {possible}")
    try:
        make: Callable[[Mapping[str, Any]], Backend] = getattr(
            importlib.import_module(module), factory
        )
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"{source}: backend: {kind} cannot be loaded: {error}") from error
    if not callable(make):
        raise SettingsError(f"{source}: backend: {kind} cannot be called")
    return make(values)
