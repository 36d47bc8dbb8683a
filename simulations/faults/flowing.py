"""Whether circuits are on the devices: what users have now passes, and nothing else is configured.

Read from the devices of switches and WANs alone. Hosts and switches inside providers are looked at
by :mod:`simulations.faults.devices`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

from agents.backends.base import Backend
from agents.backends.devices import MemoryDevice
from agents.backends.exchange import ExchangeBackend
from agents.backends.switch import MemorySwitch
from agents.backends.wan import WanBackend
from agents.values import Key
from orchestrator.records import Reservation, State
from simulations.faults.joined import CLOUD
from simulations.faults.words import short
from substrate.model import Hop, Path, Window

Way = tuple[str, int, str, int]
"""From an STP and VLAN to another."""
Ways = Mapping[str, Collection[Way]]
"""What is configured, by the names of parts."""
CONNECT = re.compile(r"connect (\S+) vlan (\d+) ->.* (\S+) vlan (\d+) at \d+ bit/s")


def ways_of(backend: Backend) -> Ways:
    """What a domain's devices do now."""
    if isinstance(backend, ExchangeBackend):
        switch = backend.switch
        assert isinstance(switch, MemorySwitch)
        return {
            name: [(r.in_port, r.in_vlan, r.out_port, r.out_vlan) for r in rules]
            for name, rules in switch._rules.items()
        }
    assert isinstance(backend, WanBackend)
    device = backend._device
    assert isinstance(device, MemoryDevice)
    return {name: [_connected(line) for line in lines] for name, lines in device.lines.items()}


@lru_cache(4096)
def _connected(line: str) -> Way:
    found = CONNECT.fullmatch(line)
    assert found is not None
    ingress, vlan, egress, other = found.groups()
    return ingress, int(vlan), egress, int(other)


def strangers(ways: Ways, is_right: Callable[[Key], bool]) -> list[str]:
    """What is configured of parts that are not ``is_right``: that nobody is promised now."""
    return [
        f"configures {'/'.join(map(short, name.split('/')))}, which nobody was promised now"
        for name in sorted(ways)
        if not is_right(_key(name))
    ]


def _key(name: str) -> Key:
    transaction_id, _, part_id = name.partition("/")
    return transaction_id, part_id


def unflowing(record: Reservation, now_s: int, ways: Mapping[str, Ways]) -> str:
    """Where a circuit that users have now does not pass; empty when it does.

    ``ways``: of each domain. While it migrates all old paths pass, or all new ones.
    """
    if record.state is not State.COMMITTED:
        return ""
    sets: dict[Window, list[Path]] = {}
    for path in record.paths:
        window = path.window or record.criteria.window
        if window.start_s <= now_s < window.end_s:
            sets.setdefault(window, []).append(path)
    stuck = [_stuck(paths, record.transaction_id, ways) for paths in sets.values()]
    return stuck[0] if stuck and all(stuck) else ""


def _stuck(paths: Iterable[Path], transaction_id: str, ways: Mapping[str, Ways]) -> str:
    for hop in (hop for path in paths for hop in path.hops):
        if CLOUD in (hop.ingress_stp.partition(":")[2], hop.egress_stp.partition(":")[2]):
            continue
        if not any(
            _way(hop) in found
            for name, found in ways[hop.domain].items()
            if name.partition("/")[0] == transaction_id
        ):
            return f"does not pass from {hop.ingress_stp} to {hop.egress_stp}"
    return ""


def _way(hop: Hop) -> Way:
    return hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan
