"""Figure 6b of paper 003 (section 6.1): one path against two, over two R&E networks.

Four sites at three regional networks with an exchange each; two R&E networks join the regional
ones (Figure 6a). Each R&E network has a registry: for every point-to-point connection between two
regional networks the available bandwidth of 1,000 time windows, uniform on (0, C). A request names
a window, a bandwidth, and two sites at different regional networks. It is sent through each R&E
network alone, and through both at once.

A point-to-point connection has a node and a pair of ports of its own in its R&E network, so the
registry's numbers are independent, as the paper has them. The paper's paths have five domains
(site, regional, R&E, regional, site); detours over the third regional network are ruled out.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from random import Random
from typing import Any

from orchestrator.records import Granted
from simulations.clock import run_virtual
from simulations.network import Network, build_network
from simulations.pool import spread
from simulations.schedules import (
    CAPACITY_BPS,
    VLANS,
    Wish,
    dice,
    draw_schedule,
    draw_wishes,
    fill_up,
)
from substrate.model import Constraints, Criteria, Directionality, Strategy

SITES = {"sitea": "rn1", "siteb": "rn2", "sitec": "rn2", "sited": "rn3"}
REGIONALS = ("rn1", "rn2", "rn3")
NETWORKS = ("renet1", "renet2")
PATH_DOMAINS = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """Which R&E networks may be used, and how."""

    networks: tuple[str, ...]
    strategy: Strategy


TRIALS = (
    Trial(("renet1",), Strategy.SINGLE_PATH),
    Trial(("renet2",), Strategy.SINGLE_PATH),
    Trial(NETWORKS, Strategy.FULL_OFFERS),
)


@dataclass(frozen=True, slots=True)
class PairRow:
    """One bar of the figure."""

    trial: Trial
    success_rate: float
    requests: int

    def to_dict(self) -> dict[str, Any]:
        """As in JSON and CSV."""
        count = len(self.trial.networks)
        return {
            "domains": count,
            "visible": count,
            "strategy": self.trial.strategy.name.lower(),
            "success_rate": self.success_rate,
            "requests": self.requests,
            "networks": " ".join(self.trial.networks),
        }


def simulate(
    seed: int,
    runs: int,
    requests: int,
    jobs: int = 1,
    done: Callable[[], None] = lambda: None,
) -> tuple[PairRow, ...]:
    """The figure's rows; the same for the same seed, whatever ``jobs``. ``done``: after a run."""
    counts = spread(partial(successes, seed, requests), range(runs), jobs, done)
    total = runs * requests
    return tuple(
        PairRow(trial, sum(count[i] for count in counts) / total, total)
        for i, trial in enumerate(TRIALS)
    )


def successes(seed: int, requests: int, run: int) -> tuple[int, ...]:
    """How many requests of one run succeed in each trial."""
    gc.disable()  # see success_rate
    try:
        return run_virtual(_run(seed, requests, run))
    finally:
        gc.enable()


async def _run(seed: int, requests: int, run: int) -> tuple[int, ...]:
    random = dice("two-domains", seed, run)
    async with await build_network(configs(), keep_events=False) as network:
        for name in NETWORKS:
            for a, b in combinations(REGIONALS, 2):
                fill_up(network.members[name].book, f"{a}.{b}", draw_schedule(random))
        wishes = [(wish, *draw_ends(random)) for wish in draw_wishes(random, requests)]
        return tuple([await _count(network, trial, wishes) for trial in TRIALS])


def draw_ends(random: Random) -> tuple[str, str]:
    """Two sites at different regional networks."""
    while True:
        source, destination = random.sample(sorted(SITES), 2)
        if SITES[source] != SITES[destination]:
            return source, destination


async def _count(network: Network, trial: Trial, wishes: list[tuple[Wish, str, str]]) -> int:
    one = len(trial.networks) == 1
    constraints = Constraints(
        max_paths=len(trial.networks),
        max_domains=PATH_DOMAINS,
        via_domains=trial.networks if one else (),
    )
    count = 0
    for wish, source, destination in wishes:
        criteria = Criteria(
            source=f"{source}:dtn",
            destination=f"{destination}:dtn",
            bandwidth_bps=wish.bandwidth_bps,
            window=wish.window,
            directionality=Directionality.UNIDIRECTIONAL,
            strategy=trial.strategy,
            constraints=constraints,
        )
        count += isinstance(await network.attempt(criteria), Granted)
    return count


def configs() -> list[dict[str, Any]]:
    """Figure 6a: settings of nine domains."""
    domains = [_site(name) for name in SITES]
    domains += [_regional(name) for name in REGIONALS]
    domains += [_network(name) for name in NETWORKS]
    return domains


def _port(name: str, remote: str = "", times: int = 1) -> dict[str, Any]:
    port = {"name": name, "capacity": times * CAPACITY_BPS, "vlans": VLANS}
    return {**port, "remote": remote} if remote else port


def _site(name: str) -> dict[str, Any]:
    count = len(NETWORKS)
    ports = [_port("dtn", times=count), _port("out", f"{SITES[name]}:{name}", count)]
    return {"domain": name, "backend": "pip", "ports": ports}


def _regional(name: str) -> dict[str, Any]:
    sites = [site for site, regional in SITES.items() if regional == name]
    ports = [_port(site, f"{site}:out", len(NETWORKS)) for site in sites]
    for network in NETWORKS:
        for other in REGIONALS:
            if other != name:
                ports.append(_port(f"{network}.{other}", f"{network}:{name}.{other}"))
    return {"domain": name, "backend": "sdx", "ports": ports}


def _network(name: str) -> dict[str, Any]:
    """A node per point-to-point connection, so that none can be used for another."""
    ports, port_nodes = [], {}
    for pair in combinations(REGIONALS, 2):
        for here, there in (pair, pair[::-1]):
            port = f"{here}.{there}"
            ports.append(_port(port, f"{here}:{name}.{there}"))
            port_nodes[port] = "-".join(pair)
    wan = {"nodes": sorted(set(port_nodes.values())), "port_nodes": port_nodes}
    return {"domain": name, "backend": "wan", "ports": ports, "wan": wan}
