"""The backend's part of an agent's settings file; see docs/configuration.md."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from braid.units import parse_bandwidth
from runtime.settings import Strict
from substrate.model import Domain, Port
from substrate.vlans import VlanSet

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
STP = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


def _bandwidth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number of bit/s, or a text such as 100G")
    return parse_bandwidth(value) if isinstance(value, str) else value


def _vlans(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        VlanSet.parse(value)
    return value


Bandwidth = Annotated[int, BeforeValidator(_bandwidth), Field(gt=0, le=10**15)]
"""Bit/s, as a number or as people write it: 100G, 2.5Gb/s, 400M."""
Vlans = Annotated[str, BeforeValidator(_vlans)]
"""Ranges such as 100-199,300; empty: none."""


class PortConfig(Strict):
    """A port: ``name`` is what follows "domain:"; with ``remote`` it leads to another domain."""

    name: str = Field(pattern=NAME)
    capacity: Bandwidth
    vlans: Vlans
    remote: str | None = Field(default=None, pattern=STP)
    latency_us: int = Field(default=0, ge=0)
    aliases: tuple[str, ...] = ()


class LinkConfig(Strict):
    """A link inside a wan domain, the same capacity each way."""

    a: str = Field(pattern=NAME)
    b: str = Field(pattern=NAME)
    capacity: Bandwidth
    latency_us: int = Field(default=0, ge=0)
    name: str | None = Field(default=None, pattern=NAME)

    def called(self, number: int) -> str:
        """Its name, or one made of its nodes and its place in the list, from 1."""
        return self.name or f"{self.a}--{self.b}.{number}"


class WanConfig(Strict):
    """The inside of a wan domain. ``port_nodes`` says at which node each port sits."""

    nodes: tuple[str, ...] = Field(min_length=1)
    links: tuple[LinkConfig, ...] = ()
    port_nodes: dict[str, str]

    @model_validator(mode="after")
    def _names_known_nodes(self) -> WanConfig:
        for link in self.links:
            for node in (link.a, link.b):
                if node not in self.nodes:
                    raise ValueError(f"links: node '{node}' is not one of {', '.join(self.nodes)}")
            if link.a == link.b:
                raise ValueError(f"links: '{link.a}' is linked to itself")
        names = [link.called(number) for number, link in enumerate(self.links, start=1)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"links: '{name}' is the name of more than one")
        for port, node in self.port_nodes.items():
            if node not in self.nodes:
                raise ValueError(
                    f"port_nodes: {port} sits at '{node}', not one of {', '.join(self.nodes)}"
                )
        return self


class DomainConfig(Strict):
    """What every backend is told of its domain."""

    domain: str = Field(pattern=NAME)
    backend: str
    visible: bool = True
    hold_timeout_s: int | None = Field(default=None, ge=1)
    horizon_s: int = Field(default=0, ge=0)
    least_phase_s: int = Field(default=0, ge=0)
    least_rate: Bandwidth | None = None
    price: int = Field(default=0, ge=0)
    latency_us: int = Field(default=0, ge=0)
    ports: tuple[PortConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_each_port_once(self) -> DomainConfig:
        names = [port.name for port in self.ports]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"ports: '{name}' is listed more than once")
        if ".." in self.domain or any(".." in name for name in names):
            raise ValueError("domain, ports: a name must not have '..'")
        return self

    def describe(self, *, swaps_labels: bool, splits: bool) -> Domain:
        """As other domains see it."""
        ports = tuple(
            Port(
                stp=f"{self.domain}:{port.name}",
                capacity_bps=port.capacity,
                vlans=VlanSet.parse(port.vlans),
                remote_stp=port.remote,
                latency_us=port.latency_us,
                aliases=port.aliases,
            )
            for port in self.ports
        )
        return Domain(
            name=self.domain,
            visible=self.visible,
            backend=self.backend,
            ports=ports,
            swaps_labels=swaps_labels,
            splits=splits,
            horizon_s=self.horizon_s,
            hold_timeout_s=self.hold_timeout_s,
            least_phase_s=self.least_phase_s,
            least_rate_bps=self.least_rate or 0,
        )


class WanDomainConfig(DomainConfig):
    """A wan domain; without ``wan`` it is a single node."""

    swaps_labels: bool = False
    wan: WanConfig | None = None

    @model_validator(mode="after")
    def _places_each_port(self) -> WanDomainConfig:
        if self.wan is not None:
            ports = {port.name for port in self.ports}
            if ports != set(self.wan.port_nodes):
                wrong = sorted(ports ^ set(self.wan.port_nodes))
                raise ValueError(
                    f"wan.port_nodes: must name each port once; see {', '.join(wrong)}"
                )
        return self
