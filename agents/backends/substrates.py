"""The substrate of a pip domain, and what embeds on it, from its settings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from agents.backends.config import CloudConfig, PipDomainConfig
from agents.backends.hosts.embedder import Embedder, open_embedder
from agents.backends.hosts.fabric import Wiring
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import HostSpec
from cloudnets.mapped import RESOURCES
from cloudnets.underlay import Underlay, UnderlayError
from rdl.errors import RdlError
from rdl.limits import LIMITS
from rdl.model import Graph
from rdl.reading import read
from runtime.settings import SettingsError
from substrate.vlans import ALL_VLANS, VlanSet

UNTAGGED = VlanSet.of(1)
"""What many switches take for frames without a tag."""


def open_underlay(config: PipDomainConfig, cloud: CloudConfig) -> Underlay:
    """Reads and indexes it. Raises SettingsError."""
    source = f"{config.domain}: cloud.substrate"
    graph = _graph(cloud.substrate, source)
    ports = [(f"{config.domain}:{port}", node) for port, node in cloud.port_nodes.items()]
    try:
        return _underlay(graph, tuple(ports), cloud.tells, config.domain)
    except (UnderlayError, RdlError) as error:
        raise SettingsError(f"{source}: {error}") from error


@lru_cache(16)
def _underlay(
    graph: Graph, ports: Iterable[tuple[str, str]], tells: Iterable[str], domain: str
) -> Underlay:
    """Nothing of one changes: agents that are started again in one process share it."""
    underlay = Underlay(graph, dict(ports), tells)
    underlay.aggregate(underlay.room(underlay.capacities.__getitem__), domain)
    return underlay


def embedder_of(underlay: Underlay, settings: HostingSettings) -> Embedder:
    """What makes VNodes on its hosts and VLinks on its switches. Raises SettingsError.

    A host is told to have all that it shares, too: others may have taken that, which it cannot see.
    """
    hosts = [
        HostSpec(
            name,
            host.attribute,
            *(
                sum(underlay.supplies[i].amount.value for i in underlay.serving(name, kind))
                for kind in RESOURCES
            ),
        )
        for name, host in underlay.hosts.items()
    ]
    switches = {n: node.attribute for n, node in underlay.nodes.items() if n not in underlay.hosts}
    links = {name: link.ends for name, link in underlay.links.items()}
    return open_embedder(hosts, switches, Wiring(links, underlay.port_nodes), settings)


def vlans_of(config: PipDomainConfig, cloud: CloudConfig, underlay: Underlay) -> VlanSet:
    """The VLANs of the cloud's port. Raises SettingsError where there are none."""
    if cloud.vlans is not None:
        vlans = VlanSet.parse(cloud.vlans)
    else:
        vlans = ALL_VLANS - UNTAGGED
        for some in underlay.link_vlans.values():
            vlans &= some
    if not vlans:
        reason = "the links inside have none in common" if cloud.vlans is None else "there are none"
        raise SettingsError(f"{config.domain}: cloud.vlans: {reason}; possible: such as 200-299")
    return vlans


def _graph(substrate: str, source: str) -> Graph:
    """Of a file, or of the text itself, which has more than one line."""
    text: str | bytes = substrate
    if "\n" not in substrate:
        source = f"{source}: {substrate}"
        try:
            path = Path(substrate)
            if path.stat().st_size > LIMITS.size_bytes:
                raise SettingsError(f"{source}: is larger than {LIMITS.size_bytes} bytes")
            text = path.read_bytes()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(f"{source}: cannot be read: {why}") from error
    try:
        return _read(text)
    except RdlError as error:
        raise SettingsError("\n".join(f"{source}: {each}" for each in error.mistakes)) from error


@lru_cache(16)
def _read(text: str | bytes) -> Graph:
    return read(text).graph
