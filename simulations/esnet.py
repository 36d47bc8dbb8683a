"""ESnet's topology as OSCARS keeps it (github.com/esnet/oscars, ``topology.json``).

Devices have ports, adjacencies join two ports. Bandwidths are Mb/s, VLANs inclusive ranges. Every
device becomes a domain of one node, every adjacency an inter-domain link, every EDGE port outside
of an adjacency a port for users. Devices speak MPLS: VLANs may differ between a domain's two sides.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from runtime.settings import SettingsError, validate
from simulations.draft import Draft, DraftPort, Imported, Names, vlans_within
from substrate.vlans import VlanSet

MBPS = 1_000_000


class _VlanRange(BaseModel):
    floor: int
    ceiling: int


class _Port(BaseModel):
    urn: str = Field(min_length=1)
    capabilities: tuple[str, ...] = ()
    ingress_mbps: int = Field(alias="reservableIngressBw", ge=0)
    egress_mbps: int = Field(alias="reservableEgressBw", ge=0)
    ranges: tuple[_VlanRange, ...] = Field(alias="reservableVlans", default=())

    @property
    def bandwidth_bps(self) -> int:
        return min(self.ingress_mbps, self.egress_mbps) * MBPS

    @property
    def vlans(self) -> VlanSet:
        return vlans_within((item.floor, item.ceiling) for item in self.ranges)


class _Device(BaseModel):
    urn: str = Field(min_length=1)
    ports: tuple[_Port, ...]


class _End(BaseModel):
    device: str
    port: str


class _Adjacency(BaseModel):
    a: _End
    z: _End


class _Esnet(BaseModel):
    devices: tuple[_Device, ...]
    adjacencies: tuple[_Adjacency, ...] = Field(alias="adjcies")


def looks_like_esnet(document: dict[str, Any]) -> bool:
    """Whether a JSON object could be such a file."""
    return "devices" in document and "adjcies" in document


def import_esnet(document: dict[str, Any], source: str) -> Imported:
    """The topology as domains; ``source`` names the file in errors. Raises SettingsError."""
    return _Importer(validate(_Esnet, document, source), source).run()


class _Importer:
    def __init__(self, topology: _Esnet, source: str) -> None:
        self._topology, self._source = topology, source
        self._draft = Draft()
        self._domains = Names()
        self._port_names: dict[str, Names] = {}
        self._ports: dict[str, tuple[str, _Port]] = {}
        for device in topology.devices:
            if device.urn in self._port_names:
                raise SettingsError(f"{source}: devices: '{device.urn}' is there twice")
            self._port_names[device.urn] = Names()
            self._draft.domain(self._domains.of(device.urn))
            for port in device.ports:
                if port.urn in self._ports:
                    raise SettingsError(f"{source}: devices: port '{port.urn}' is there twice")
                self._ports[port.urn] = (device.urn, port)

    def run(self) -> Imported:
        """Links first: what is left over may be for users."""
        linked: set[str] = set()
        for adjacency in self._topology.adjacencies:
            linked |= self._link(adjacency, linked)
        for urn, (device, port) in self._ports.items():
            if urn in linked:
                continue
            if "EDGE" not in port.capabilities:
                self._draft.remark("port left out: it is neither linked nor an EDGE port", urn)
            elif self._is_usable(port):
                self._add(device, port, port.bandwidth_bps)
        return self._draft.finish()

    def _link(self, adjacency: _Adjacency, linked: set[str]) -> set[str]:
        """Adds an inter-domain link; returns the ports that it takes."""
        ends = [adjacency.a.port, adjacency.z.port]
        name = " - ".join(ends)
        for urn in ends:
            if urn not in self._ports:
                self._draft.remark("link left out: a port of it is not in the file", name)
                return set(ends)
            if urn in linked:
                self._draft.remark("link left out: a port of it has another link", name)
                return set(ends)
        (a_device, a), (z_device, z) = (self._ports[urn] for urn in ends)
        if a_device == z_device:
            self._draft.remark("link left out: both ends are on one device", name)
            return set(ends)
        if not all([self._is_usable(a), self._is_usable(z)]):
            return set(ends)
        if not a.vlans & z.vlans:
            self._draft.remark("link left out: its ends share no VLAN", name)
            return set(ends)
        bandwidth_bps = min(a.bandwidth_bps, z.bandwidth_bps)
        self._add(a_device, a, bandwidth_bps, remote=self._stp(z_device, z))
        self._add(z_device, z, bandwidth_bps, remote=self._stp(a_device, a))
        return set(ends)

    def _is_usable(self, port: _Port) -> bool:
        if port.bandwidth_bps == 0:
            self._draft.remark("port left out: it has no reservable bandwidth", port.urn)
        elif not port.vlans:
            self._draft.remark("port left out: it has no reservable VLAN (untagged)", port.urn)
        return port.bandwidth_bps > 0 and bool(port.vlans)

    def _add(self, device: str, port: _Port, bandwidth_bps: int, remote: str = "") -> None:
        name = self._port_name(device, port)
        draft = DraftPort(name, bandwidth_bps, port.vlans, alias=port.urn, remote=remote)
        self._draft.domain(self._domains.of(device)).ports.append(draft)

    def _port_name(self, device: str, port: _Port) -> str:
        return self._port_names[device].of(port.urn.removeprefix(f"{device}:"))

    def _stp(self, device: str, port: _Port) -> str:
        return f"{self._domains.of(device)}:{self._port_name(device, port)}"
