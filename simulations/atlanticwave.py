"""Topologies of AtlanticWave-SDX (github.com/atlanticwave-sdx/datamodel): an exchange, or several.

Nodes have ports, links join two ports; bandwidths are Mb/s, latencies milliseconds. The domain is
the fourth piece of a node's id, ``urn:sdx:node:amlight.net:B1``. Links between nodes of one domain
are its inside, links between domains are inter-domain links. Exchanges translate VLANs.

The published files tell little of the ports where users attach. With ``add_user_ports`` a node that
has none gets one.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from runtime.settings import SettingsError, validate
from simulations.draft import Draft, DraftLink, DraftPort, Imported, Names
from substrate.vlans import VlanSet

MBPS = 1_000_000
US_PER_MS = 1_000
DOWN = {"down", "disabled", "maintenance", "error"}
USER_PORT = "user"


class _Thing(BaseModel):
    id: str = Field(min_length=1)
    status: str | None = None
    state: str | None = None

    @property
    def is_down(self) -> bool:
        return bool({self.status, self.state} & DOWN)


class _Port(_Thing):
    label_range: tuple[str, ...] = ()

    @field_validator("label_range", mode="before")
    @classmethod
    def _is_list(cls, value: Any) -> Any:
        return [str(item) for item in value] if isinstance(value, list) else value or ()

    @field_validator("label_range")
    @classmethod
    def _are_ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        VlanSet.parse(",".join(value))
        return value

    @property
    def vlans(self) -> VlanSet:
        return VlanSet.parse(",".join(self.label_range))


class _Node(_Thing):
    ports: tuple[_Port, ...]


class _Link(_Thing):
    ports: tuple[str, str]
    bandwidth_mbps: float = Field(alias="bandwidth", ge=0)
    latency_ms: float = Field(alias="latency", default=0, ge=0)

    @field_validator("ports", mode="before")
    @classmethod
    def _are_ids(cls, value: Any) -> Any:
        """A port is written as its id, or as an object with one."""
        if isinstance(value, list):
            return [item.get("id") if isinstance(item, dict) else item for item in value]
        return value

    @property
    def bandwidth_bps(self) -> int:
        return int(self.bandwidth_mbps * MBPS)

    @property
    def latency_us(self) -> int:
        return round(self.latency_ms * US_PER_MS)


class _Topology(BaseModel):
    nodes: tuple[_Node, ...]
    links: tuple[_Link, ...]
    link_failure: tuple[_Link, ...] = ()


def looks_like_atlanticwave(document: dict[str, Any]) -> bool:
    """Whether a JSON object could be such a file."""
    return "nodes" in document and "links" in document


def import_atlanticwave(
    document: dict[str, Any], source: str, *, add_user_ports: bool = True
) -> Imported:
    """The topology as domains; ``source`` names the file in errors. Raises SettingsError."""
    importer = _Importer(validate(_Topology, document, source), source)
    return importer.run(add_user_ports)


class _Importer:
    def __init__(self, topology: _Topology, source: str) -> None:
        self._topology, self._source = topology, source
        self._draft = Draft()
        self._domains = Names()
        self._nodes: dict[str, Names] = {}
        self._names: dict[str, Names] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._ports: dict[str, _Port] = {}
        self._down: set[str] = set()
        self._linked: set[str] = set()
        for node in topology.nodes:
            self._take(node)

    def run(self, add_user_ports: bool) -> Imported:
        """Links first: ports that are left over are for users."""
        failed = {link.id for link in self._topology.link_failure}
        for link in self._topology.links:
            taken = self._linked.intersection(link.ports)
            self._linked.update(link.ports)
            if taken:
                self._draft.remark("link left out: a port of it has another link", link.id)
            elif link.id in failed or link.is_down:
                self._draft.remark("link left out: it is down", link.id)
            elif link.bandwidth_bps == 0:
                self._draft.remark("link left out: it has no bandwidth", link.id)
            else:
                self._link(link)
        for node in self._topology.nodes:
            self._user_ports(node, add_user_ports)
        return self._draft.finish()

    def _take(self, node: _Node) -> None:
        foreign = _pieces(node.id, self._source)
        domain = self._domain(foreign[0])
        name = self._nodes.setdefault(domain, Names()).of("-".join(foreign[1:]))
        if name in self._draft.domain(domain).nodes:
            raise SettingsError(f"{self._source}: nodes: '{node.id}' is there twice")
        self._draft.domain(domain).nodes.append(name)
        for port in node.ports:
            if port.id in self._ports:
                raise SettingsError(f"{self._source}: nodes: port '{port.id}' is there twice")
            self._ports[port.id], self._places[port.id] = port, (domain, name)
            if port.is_down or node.is_down:
                self._down.add(port.id)

    def _link(self, link: _Link) -> None:
        known = [urn for urn in link.ports if urn in self._ports]
        inner = len({self._domain_of(urn) for urn in link.ports}) == 1
        if not known or (inner and len(known) < 2):
            self._draft.remark("link left out: a port of it is not in the file", link.id)
        elif self._down.intersection(known):
            self._draft.remark("link left out: a port of it is down", link.id)
        elif not inner:
            self._outer_link(link, known)
        elif self._places[known[0]] == self._places[known[1]]:
            self._draft.remark("link left out: both ends are on one node", link.id)
        else:
            (domain, a), (_, b) = (self._places[urn] for urn in known)
            inside = DraftLink(a, b, link.bandwidth_bps, link.latency_us)
            self._draft.domain(domain).links.append(inside)

    def _outer_link(self, link: _Link, known: list[str]) -> None:
        for urn in known:
            (remote,) = (other for other in link.ports if other != urn)
            port = DraftPort(
                name=self._port_name(urn),
                capacity_bps=link.bandwidth_bps,
                vlans=self._ports[urn].vlans,
                alias=urn,
                remote=f"{self._domain_of(remote)}:{self._port_name(remote)}",
                latency_us=link.latency_us,
                node=self._places[urn][1],
            )
            self._add(self._domain_of(urn), port)

    def _user_ports(self, node: _Node, add: bool) -> None:
        """Ports without a link, as fast as the fastest link of their node."""
        own = {port.id for port in node.ports}
        rates = [
            link.bandwidth_bps for link in self._topology.links if own.intersection(link.ports)
        ]
        fastest_bps = max(rates, default=0)
        free = [port for port in node.ports if port.id not in self._linked]
        for port in free:
            domain, place = self._places[port.id]
            if port.id in self._down:
                self._draft.remark("port left out: it is down", port.id)
            elif fastest_bps == 0:
                self._draft.remark("port left out: nothing tells how fast it is", port.id)
            else:
                name = self._port_name(port.id)
                self._add(domain, DraftPort(name, fastest_bps, port.vlans, port.id, node=place))
        if add and not free and fastest_bps > 0:
            self._add_user_port(node, fastest_bps)

    def _add_user_port(self, node: _Node, bandwidth_bps: int) -> None:
        domain, place = self._places[node.ports[0].id]
        name = self._names[domain].of(f"{place}-{USER_PORT}")
        vlans = VlanSet()
        for port in node.ports:
            vlans = vlans | port.vlans
        self._draft.remark("port added: its node has none for users", f"{domain}:{name}")
        self._add(domain, DraftPort(name, bandwidth_bps, vlans, alias="", node=place))

    def _add(self, domain: str, port: DraftPort) -> None:
        if port.vlans:
            self._draft.domain(domain).ports.append(port)
        else:
            self._draft.remark("port left out: it has no VLAN", port.alias or port.name)

    def _domain_of(self, urn: str) -> str:
        """A port belongs to its node's domain; one that is not in the file says it in its id."""
        place = self._places.get(urn)
        return place[0] if place else self._domain(_pieces(urn, self._source)[0])

    def _domain(self, foreign: str) -> str:
        name = self._domains.of(foreign)
        self._names.setdefault(name, Names())
        return name

    def _port_name(self, urn: str) -> str:
        return self._names[self._domain_of(urn)].of("-".join(_pieces(urn, self._source)[1:]))


def _pieces(urn: str, source: str) -> list[str]:
    """What follows ``urn:sdx:node:`` or ``urn:sdx:port:``: the domain, and the name within it."""
    pieces = urn.split(":")
    if len(pieces) < 5 or pieces[:2] != ["urn", "sdx"]:
        raise SettingsError(
            f"{source}: '{urn}' is not an id such as urn:sdx:node:amlight.net:B1 or"
            " urn:sdx:port:amlight.net:B1:3"
        )
    return pieces[3:]
