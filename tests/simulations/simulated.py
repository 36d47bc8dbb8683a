"""What the simulations' tests share: virtual time, small networks, and what must hold after."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from orchestrator.records import Reservation, State
from simulations.clock import EPOCH_MS, run_virtual
from simulations.network import Network
from substrate.model import Criteria, Window

G = 10**9
START_S = EPOCH_MS // 1000 + 3600
WINDOW = Window(START_S, START_S + 3600)

Test = Callable[..., Coroutine[Any, Any, None]]


def virtual(test: Test) -> Callable[..., None]:
    """Runs a coroutine test in virtual time; background work that breaks fails it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with structlog.testing.capture_logs() as logs:
            run_virtual(test(*args, **kwargs))
        broken = [entry for entry in logs if entry["log_level"] in ("error", "critical")]
        assert not broken, broken

    return run


def port(name: str, remote: str = "", capacity: str = "100G", **more: Any) -> dict[str, Any]:
    values = {"name": name, "capacity": capacity, "vlans": "100-199", **more}
    return {**values, "remote": remote} if remote else values


def diamond(
    middle: int = 2,
    *,
    blind: tuple[str, ...] = (),
    expiring: tuple[str, ...] = (),
    ends: tuple[str, ...] = ("west", "east"),
) -> list[dict[str, Any]]:
    """Sites west and east, joined by parallel wan domains m1, m2, … of 100 Gb/s each."""
    names = [f"m{i}" for i in range(1, middle + 1)]
    sites = [
        {
            "domain": site,
            "backend": "pip",
            "ports": [port("host", capacity="1T"), *(port(n, f"{n}:{site}") for n in names)],
        }
        for site in ends
    ]
    return sites + [
        {
            "domain": name,
            "backend": "wan",
            "visible": name not in blind,
            "hold_timeout_s": 30 if name in expiring else None,
            "ports": [port(site, f"{site}:{name}") for site in ends],
        }
        for name in names
    ]


def circuit(gbps: float, **more: Any) -> Criteria:
    """A circuit from west to east; ``more`` replaces what it is made of."""
    values = {"source": "west:host", "destination": "east:host", "window": WINDOW, **more}
    return Criteria(bandwidth_bps=int(gbps * G), **values)


def committed(record: Reservation) -> Reservation:
    assert record.state is State.COMMITTED, record.refusals
    return record


def shares(record: Reservation) -> dict[str, float]:
    """Gb/s by the second domain of each path."""
    return {path.hops[1].domain: path.bandwidth_bps / G for path in record.paths}


def assert_nothing_held(network: Network) -> None:
    """No agent holds a part, bandwidth or a label."""
    assert network.held() == {}
    full = [name for name, member in network.members.items() if not member.book.is_empty()]
    assert full == []
    assert network.errors == []
