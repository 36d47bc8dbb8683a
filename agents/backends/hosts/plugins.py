"""Which plugin has which host or switch: that of the longest attribute above it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import Field, model_validator

from agents.backends.base import DeviceError
from agents.backends.hosts.memory import MemoryHosts
from agents.backends.hosts.port import HostPlugin, HostSpec
from agents.backends.hosts.virt import LibvirtHosts, LibvirtOptions
from agents.backends.switch import MemorySwitch, Switch
from rdl.attributes import is_attribute, stem, within
from runtime.clock import Clock, SystemClock
from runtime.settings import SettingsError, Strict, validate

T = TypeVar("T")
Chosen = str | dict[str, Any]
"""A plugin's name, or a mapping with its name as ``plugin`` and its options beside it."""


class HostingSettings(Strict):
    """The part of ``cloud`` that says on what CloudNets are embedded, and how hosts are kept.

    ``plugins``: per attribute of hosts ``memory``, ``libvirt`` or "package.module:factory";
    ``switches``: per attribute of switches, and of hosts for their bridges, ``memory`` or a
    factory. ``images_max``: how many images are kept ready, over all hosts. ``prepare_ahead_s``:
    how long before VNodes begin their images are brought to their hosts. ``free_share``: of the
    hosts that the agent frees by itself (0: none), looking every ``rebalance_s``, if no more than
    ``free_bytes_max`` must be copied for each host that is emptied.
    """

    plugins: dict[str, Chosen] = Field(default={"/node/host": "memory"})
    switches: dict[str, Chosen] = Field(default={"/node": "memory"})
    images_max: int = Field(default=100, ge=0, le=100_000)
    prepare_ahead_s: int = Field(default=600, ge=0, le=86_400)
    free_share: float = Field(default=0.0, ge=0, lt=1)
    rebalance_s: int = Field(default=3600, ge=10, le=30 * 86_400)
    free_bytes_max: int = Field(default=1 << 40, ge=0, le=1 << 60)

    @model_validator(mode="after")
    def _are_of_attributes(self) -> HostingSettings:
        for field in ("plugins", "switches"):
            for attribute, chosen in getattr(self, field).items():
                if not is_attribute(attribute) or not within(attribute, "/node"):
                    raise ValueError(f"{field}: {attribute} is not an attribute such as /node/host")
                if isinstance(chosen, dict) and not isinstance(chosen.get("plugin"), str):
                    raise ValueError(f"{field}: {attribute}: plugin is missing")
        return self


class Hosts:
    """All hosts of a provider, each with its plugin. Raises SettingsError.

    A factory is called with its hosts (a tuple of HostSpec) and its options.
    """

    def __init__(
        self,
        hosts: Iterable[HostSpec],
        plugins: Mapping[str, Chosen],
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.specs = {host.name: host for host in hosts}
        mine: dict[str, list[HostSpec]] = {}
        for host in self.specs.values():
            mine.setdefault(_key(plugins, host.attribute, f"host {host.name}"), []).append(host)
        builtin: dict[str, Callable[[tuple[HostSpec, ...], dict[str, Any]], HostPlugin]] = {
            "memory": lambda some, options: MemoryHosts(
                some, clock, **validate(_MemoryOptions, options, "plugins").model_dump()
            ),
            "libvirt": lambda some, options: LibvirtHosts(
                some, validate(LibvirtOptions, options, "plugins")
            ),
        }
        self._plugins: dict[str, HostPlugin] = {}
        for key, some in mine.items():
            name, options = _chosen(plugins[key])
            plugin = _factory(name, builtin, "plugins", key)(tuple(some), options)
            self._plugins.update(dict.fromkeys((host.name for host in some), plugin))

    def plugin(self, host: str) -> HostPlugin:
        """That of a host. Raises DeviceError for one that is not there (any more)."""
        if host not in self._plugins:
            raise DeviceError(f"there is no host {host}; there are: {', '.join(self.specs)}")
        return self._plugins[host]


def open_switches(nodes: Mapping[str, str], switches: Mapping[str, Chosen]) -> dict[str, Switch]:
    """The switch of each node. ``nodes``: switches, and hosts for their bridges, with attributes.

    A factory is called with the name of the node and its options. Raises SettingsError.
    """
    builtin: dict[str, Callable[[str, dict[str, Any]], Switch]] = {
        "memory": lambda node, options: _memory_switch(options)
    }
    found = {}
    for node, attribute in nodes.items():
        key = _key(switches, attribute, f"node {node}")
        name, options = _chosen(switches[key])
        found[node] = _factory(name, builtin, "switches", key)(node, options)
    return found


class _MemoryOptions(Strict):
    image_s: float = Field(default=0.0, ge=0, le=60)


class _None(Strict):
    """No options."""


def _memory_switch(options: dict[str, Any]) -> Switch:
    validate(_None, options, "switches")
    return MemorySwitch()


def _key(choices: Mapping[str, Chosen], attribute: str, what: str) -> str:
    above = [key for key in choices if within(attribute, stem(key))]
    if not above:
        possible = ", ".join(choices) or "nothing"
        raise SettingsError(f"cloud: {what} is {attribute}; there are plugins for: {possible}")
    return max(above, key=lambda key: len(stem(key)))


def _chosen(chosen: Chosen) -> tuple[str, dict[str, Any]]:
    if isinstance(chosen, str):
        return chosen, {}
    return chosen["plugin"], {name: value for name, value in chosen.items() if name != "plugin"}


def _factory(name: str, builtin: Mapping[str, T], field: str, key: str) -> T:
    if name in builtin:
        return builtin[name]
    module, colon, factory = name.partition(":")
    if not colon:
        possible = ", ".join([*builtin, "package.module:factory"])
        raise SettingsError(f"cloud: {field}: {key}: given {name!r}, possible: {possible}")
    try:
        found: T = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"cloud: {field}: {key}: {name} cannot be loaded: {error}") from error
    if not callable(found):
        raise SettingsError(f"cloud: {field}: {key}: {name} cannot be called")
    return found
