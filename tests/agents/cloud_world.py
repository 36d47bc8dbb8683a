"""An agent of a provider with hosts of its own, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_world import ME, NOW_S, World
from cloud_site import on as on_hosts

from agents.agent import Agent
from agents.backends import open_backend
from agents.backends.cloud import ProviderBackend
from agents.backends.hosts.embedder import Embedder
from agents.book import Book
from agents.clouds import Clouds
from agents.store import Store
from cloudnets.mapped import Mapped
from protocol.messages import ReservationPrep
from rdl.codec import to_bytes
from rdl.reading import read
from substrate.model import Window

GIB = 1 << 30


def substrate(hosts: int = 3) -> str:
    """So many hosts of 8 cores and 16 GiB on one switch."""
    lines = ["rdl: 1", "name: berlin", "layer: underlay", "elements:"]
    lines += ["  s1: {attribute: /node/switch/vlan}"]
    for i in range(1, hosts + 1):
        lines += [
            f"  h{i}: {{attribute: /node/host/kvm, resources:"
            " {/resource/cpu: 8 cores, /resource/memory: 16 GiB, /resource/disk: 100 GiB}}",
            f"  l{i}: {{attribute: /link/vlan, resources: {{/resource/bandwidth: 10 Gb/s}}}}",
        ]
    lines += ["interfaces:"]
    for i in range(1, hosts + 1):
        lines += [
            f"  h{i}-0: {{attribute: /interface/ethernet, joins: [h{i}, l{i}]}}",
            f"  s1-{i}: {{attribute: /interface/ethernet, joins: [s1, l{i}]}}",
        ]
    return "\n".join(lines) + "\n"


def cloud_config(hosts: int = 3, **cloud: Any) -> dict[str, Any]:
    ports = [{"name": "east", "capacity": "10G", "vlans": "100-199", "remote": "munich:west"}]
    settings = {"substrate": substrate(hosts), "port_nodes": {"east": "s1"}, "time_limit_s": 0}
    return {"domain": "berlin", "backend": "pip", "ports": ports, "cloud": {**settings, **cloud}}


def graph(
    vnodes: Mapping[str, int], vlinks: Sequence[tuple[str, str]] = (), apart: Sequence[str] = ()
) -> bytes:
    """VNodes with so many cores and 1 GiB of memory and of disk each; pairs that are joined; and
    VNodes of which no two may be on one host."""
    lines = ["rdl: 1", "name: net", "layer: overlay", "elements:"]
    for name, cores in vnodes.items():
        lines += [
            f"  {name}: {{attribute: /node/host/generic, resources: {{/resource/cpu: {cores} cores,"
            " /resource/memory: 1 GiB, /resource/disk: 1 GiB}, features: {/feature/image: debian}}"
        ]
    for a, b in vlinks:
        lines += [
            f"  {a}-{b}: {{attribute: /link/vlan, resources: {{/resource/bandwidth: 1 Gb/s}}}}"
        ]
    lines += ["interfaces:"] if vlinks else []
    for a, b in vlinks:
        for end in (a, b):
            lines += [
                f"  {a}-{b}-{end}: {{attribute: /interface/generic, joins: [{end}, {a}-{b}]}}"
            ]
    if apart:
        lines += ["relations:", "  apart: {different: /node/host, elements: "
                  f"[{', '.join(apart)}]}}"]  # fmt: skip
    return to_bytes(read("\n".join(lines) + "\n").graph)


def cloud_prep(
    of: bytes,
    transaction_id: str = "t1",
    *,
    reservation_id: str = "r1",
    version: int = 1,
    start_s: int = NOW_S - 10,
    end_s: int = NOW_S + 10_000,
) -> ReservationPrep:
    return ReservationPrep(
        transaction_id,
        "p1",
        reservation_id,
        version,
        (),
        Window(start_s, end_s),
        ME,
        (NOW_S + 10_000) * 1000,
        graph=of,
    )


class CloudWorld(World):
    """``lasting``: hosts outlive the agent; else they forget all when it ends, as in memory."""

    def __init__(
        self,
        store: Store | None = None,
        hosts: int = 3,
        *,
        lasting: bool = False,
        orchestrators: Sequence[str] | None = None,
        **cloud: Any,
    ) -> None:
        self.cloud_config = cloud_config(hosts, **cloud)
        self.lasting = lasting
        self._kept: ProviderBackend | None = None
        super().__init__(store, orchestrators=orchestrators)

    def _new_agent(self) -> Agent:
        backend = open_backend(self.cloud_config)
        assert isinstance(backend, ProviderBackend)
        if self.lasting and self._kept is not None:
            before = self._kept.embedder
            assert isinstance(before, Embedder)
            backend.embedder = Embedder(before.hosts, before.fabric)
        self.backend = self._kept = backend
        return Agent(
            Book(backend),
            self.store,
            self.clock,
            self._send,
            recheck_ms=None,
            orchestrators=self.orchestrators,
        )

    @property
    def clouds(self) -> Clouds:
        assert self.agent.clouds is not None
        return self.agent.clouds

    @property
    def embedder(self) -> Embedder:
        assert isinstance(self.backend.embedder, Embedder)
        return self.backend.embedder

    def mapped(self, transaction_id: str = "t1") -> Mapped:
        mapping = self.record(transaction_id).part.mapping
        return Mapped.from_json(self.agent.parts.book.placement(mapping).detail)

    async def runs(self) -> dict[str, dict[str, str]]:
        """Per host that has any the VNodes that it has, and their states."""
        specs = tuple(self.embedder.hosts.specs.values())
        return {h: some for h, some in (await on_hosts(self.embedder, specs)).items() if some}

    async def end(self) -> None:
        await self.agent.stop()
