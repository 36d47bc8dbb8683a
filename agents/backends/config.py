"""The backend's part of an agent's settings file; see docs/configuration.md."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from agents.backends.hosts.plugins import HostingSettings
from braid.units import parse_bandwidth
from runtime.settings import Strict, TlsSettings
from substrate.model import Domain, Port
from substrate.vlans import VlanSet

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
STP = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

LONGEST_S = 366 * 86_400
"""No window that an orchestrator takes is longer, unless it was set otherwise."""
OWNER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"


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


ARCHITECTURE, LOCATION = "/feature/architecture", "/feature/location"
Tells = Annotated[str, Field(pattern=r"^/feature(/[A-Za-z0-9._-]+)+$", max_length=128)]
CLOUD_PORT = "cloud"
"""Behind it are the hosts of a domain that runs VNodes."""


class CloudConfig(HostingSettings):
    """The inside of a pip domain that runs VNodes; see docs/configuration.md.

    ``substrate``: a file, or the description itself, which has more than one line. ``vlans``: those
    of the cloud's port; None: of all but VLAN 1 those that every link inside takes.
    """

    substrate: str = Field(min_length=1)
    port_nodes: dict[str, str]
    vlans: Vlans | None = None
    objective: Literal["load", "cost", "energy", "migration"] = "load"
    tells: tuple[Tells, ...] = (ARCHITECTURE, LOCATION)
    time_limit_s: float = Field(default=1.0, ge=0, le=60)


class PipDomainConfig(DomainConfig):
    """A pip domain; without ``cloud`` it has no hosts."""

    cloud: CloudConfig | None = None

    @model_validator(mode="after")
    def _places_each_port(self) -> PipDomainConfig:
        if self.cloud is not None:
            ports = {port.name for port in self.ports}
            if CLOUD_PORT in ports:
                raise ValueError(f"ports: '{CLOUD_PORT}' is the name of the port of the hosts")
            if ports != set(self.cloud.port_nodes):
                wrong = sorted(ports ^ set(self.cloud.port_nodes))
                raise ValueError(
                    f"cloud.port_nodes: must name each port once; see {', '.join(wrong)}"
                )
        return self


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


class ChildConfig(Strict):
    """A child orchestrator, and which of its STPs are the ports of this domain.

    ``target``: ``host:port`` or ``unix:path``; exactly one of ``tls`` and ``insecure``.
    ``port_stps``: of each port the STP there. ``owner``: under which name the child knows what is
    this domain's; absent: the domain's. ``timeout_s``: how long the child is waited for.
    ``runs_vnodes``: whether the child has providers, whose hosts are this domain's then.
    """

    target: str = Field(min_length=1, max_length=512)
    tls: TlsSettings | None = None
    insecure: StrictBool = False
    port_stps: dict[str, str]
    owner: str | None = Field(default=None, pattern=OWNER)
    timeout_s: float = Field(default=4.0, ge=1, le=300)
    runs_vnodes: StrictBool = False

    @model_validator(mode="after")
    def _says_how_it_is_secured(self) -> ChildConfig:
        if (self.tls is None) is not self.insecure:
            raise ValueError("exactly one of tls and insecure: true must be given")
        return self


class ChildDomainConfig(DomainConfig):
    """A domain that is a child orchestrator with domains of its own; blind unless it says so.

    Its circuits keep one rate: the child would have to hold the largest of all phases throughout.
    """

    visible: bool = False
    least_phase_s: int = Field(default=LONGEST_S, ge=0)
    swaps_labels: bool = False
    child: ChildConfig

    @property
    def owner(self) -> str:
        """Under which name the child knows what is this domain's."""
        return self.child.owner or self.domain

    @model_validator(mode="after")
    def _leads_each_port_to_one_stp(self) -> ChildDomainConfig:
        ports, stps = {port.name for port in self.ports}, self.child.port_stps
        if ports != set(stps):
            wrong = ", ".join(sorted(ports ^ set(stps)))
            raise ValueError(f"child.port_stps: must name each port once; see {wrong}")
        for stp in stps.values():
            if list(stps.values()).count(stp) > 1:
                raise ValueError(f"child.port_stps: '{stp}' is given for more than one port")
        if self.child.runs_vnodes and CLOUD_PORT in ports:
            raise ValueError(f"ports: '{CLOUD_PORT}' is the port of the VNodes")
        if not re.fullmatch(OWNER, self.owner):
            raise ValueError("child.owner: is needed where the domain's name is over 48 characters")
        return self
