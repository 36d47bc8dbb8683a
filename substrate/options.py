"""Routes as options of a composition: what limits each of them, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import field

from substrate.model import Constraints, Criteria, Strategy
from substrate.remembered import Remembered
from substrate.routes import Route, disjoint_routes
from substrate.topology import Topology
from substrate.values import dataclass
from substrate.vlans import ALL_VLANS, EMPTY, VlanSet

Pair = tuple[str, str]
PATH = "path"
"""Names what limits a path itself; no STP is called so."""


@dataclass(frozen=True)
class Supply:
    """What is known to be free during the whole window, and what was learnt.

    ``pair_bps``: per (ingress, egress) of a visible domain; a pair without an offer cannot be used.
    A blind domain's pairs count with their ports' capacity. ``caps``: more than this was refused.
    ``down``: domains that are not to be used.
    """

    pair_bps: Mapping[Pair, int] = field(default_factory=dict)
    port_bps: Mapping[str, int] = field(default_factory=dict)
    port_vlans: Mapping[str, VlanSet] = field(default_factory=dict)
    pair_latency_us: Mapping[Pair, int] = field(default_factory=dict)
    pair_price: Mapping[Pair, int] = field(default_factory=dict)
    tokens: Mapping[Pair, str] = field(default_factory=dict)
    caps: Mapping[Pair, int] = field(default_factory=dict)
    banned_vlans: Mapping[str, VlanSet] = field(default_factory=dict)
    down: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Option:
    """A usable route: what limits it, and what it costs. ``limits``: resource → free bit/s."""

    route: Route
    limits: Mapping[str | Pair, int]
    bottleneck_bps: int
    latency_us: int
    price: int
    blind: bool


def free_vlans(route: Route, limits: Constraints, supply: Supply, topology: Topology) -> list[int]:
    """Per place of a route the VLANs (as a mask) that are free there and may be used."""
    known, banned = supply.port_vlans, supply.banned_vlans
    free = []
    for stps in route.places:
        mask = ALL_VLANS.mask
        for stp in stps:
            vlans = known.get(stp)
            if vlans is None:
                port = topology.ports.get(stp)
                vlans = port.vlans if port else EMPTY
            mask &= vlans.mask
            if stp in banned:
                mask &= ~banned[stp].mask
        free.append(mask)
    if limits.source_vlans:
        free[0] &= limits.source_vlans.mask
    if limits.destination_vlans:
        free[-1] &= limits.destination_vlans.mask
    return free


def has_vlans(route: Route, limits: Constraints, supply: Supply, topology: Topology) -> bool:
    """Whether a VLAN is left for every hop of a route."""
    free = free_vlans(route, limits, supply, topology)
    common = free[0]
    for crossing, mask in zip(route.crossings, free[1:], strict=True):
        if not common:
            return False
        common = mask if crossing.domain in topology.swapping else common & mask
    return common != 0


class Labelled(Remembered[bool]):
    """For which routes VLANs are left: remembered for all supplies that tell the same of VLANs."""

    def one(self, route: Route, limits: Constraints, supply: Supply, topology: Topology) -> bool:
        """As :func:`has_vlans`."""
        return self.all(
            (route,), limits, supply, lambda: has_vlans(route, limits, supply, topology)
        )

    def all(
        self, routes: Sequence[Route], limits: Constraints, supply: Supply, find: Callable[[], bool]
    ) -> bool:
        """Whether that is so of all of these together, as ``find`` finds it; of one topology."""
        return self.of((limits, supply.port_vlans, supply.banned_vlans, *routes), find)


class Options:
    """What is usable of some routes. Each is looked at when it must be, and once."""

    def __init__(
        self,
        criteria: Criteria,
        routes: tuple[Route, ...],
        supply: Supply,
        topology: Topology,
        labelled: Labelled | None = None,
    ) -> None:
        self._criteria, self._routes = criteria, routes
        self._supply, self._topology = supply, topology
        self._labelled = labelled or Labelled()
        self._asked = criteria.strategy is not Strategy.EQUAL_SPLITTING
        self._found: dict[int, Option | None] = {}
        blind = topology.blind
        if blind:
            # A blind domain on every route makes none of them blind.
            blind -= blind.intersection(*(route.domains for route in routes))
        self._blind = blind

    def usable(self) -> list[Option]:
        """All of them, in the order of the routes."""
        every = [self._option(i) for i in range(len(self._routes))]
        return [option for option in every if option is not None]

    def labelled(self, options: Sequence[Option]) -> list[Option]:
        """Those of them for which a VLAN is left."""
        return [option for option in options if self._has_vlans(option.route)]

    def best_alone(self) -> Option | None:
        """The best that carries it all through visible domains and has a VLAN left."""
        wanted = self._criteria.bandwidth_bps
        if self._criteria.constraints.min_share_bps > wanted:
            return None
        best = None
        for i, route in enumerate(self._routes):
            # Domains add to the latency of the links, or to the price; they never take off.
            if best and (best.latency_us, best.price) <= (route.latency_us, 0):
                continue
            option = self._option(i)
            if option is None or option.blind or option.bottleneck_bps < wanted:
                continue
            if best and (best.latency_us, best.price) <= (option.latency_us, option.price):
                continue
            if self._has_vlans(route):
                best = option
        return best

    def _has_vlans(self, route: Route) -> bool:
        return self._labelled.one(route, self._criteria.constraints, self._supply, self._topology)

    def of_bandwidth(self, criteria: Criteria) -> Options:
        """The same for criteria that differ in nothing but their bandwidth."""
        found = copy(self)
        found._criteria = criteria
        if criteria.constraints.survive:
            found._found = {}
        return found

    def _option(self, i: int) -> Option | None:
        if i not in self._found:
            option = self._look_at(self._routes[i], self._own(i))
            self._found[i] = option if option and self._keeps_limits(option) else None
        return self._found[i]

    def _own(self, i: int) -> dict[str | Pair, int]:
        """What one path may carry at most, so that enough is left without it."""
        limits = self._criteria.constraints
        if not limits.survive:
            return {}
        lost_bps = self._criteria.bandwidth_bps - limits.remaining_bps
        return {f"{PATH} {i}": max(0, lost_bps) // limits.survive}

    def _keeps_limits(self, option: Option) -> bool:
        limits = self._criteria.constraints
        most_us = limits.max_latency_us
        return option.bottleneck_bps >= max(1, limits.min_share_bps) and (
            most_us is None or option.latency_us <= most_us
        )

    def _look_at(self, route: Route, own: dict[str | Pair, int]) -> Option | None:
        supply, ports, asked = self._supply, self._topology.ports, self._asked
        limits = own
        latency_us, price, blind = route.latency_us, 0, False
        for crossing in route.crossings:
            domain, pair = crossing.domain, (crossing.ingress_stp, crossing.egress_stp)
            if domain in supply.down:
                return None
            blind = blind or domain in self._blind
            for stp in pair:
                port = ports.get(stp)
                if port is None:
                    return None
                limits[stp] = port.capacity_bps
                if stp in supply.port_bps:
                    limits[stp] = min(port.capacity_bps, supply.port_bps[stp])
            if asked and domain not in self._topology.blind:
                offer = supply.pair_bps.get(pair)
                if offer is None:
                    return None
                limits[pair] = offer
            if pair in supply.caps:
                limits[pair] = min(supply.caps[pair], limits.get(pair, supply.caps[pair]))
            latency_us += supply.pair_latency_us.get(pair, 0)
            price += supply.pair_price.get(pair, 0)
        return Option(route, limits, min(limits.values()), latency_us, price, blind)


def nearby(criteria: Criteria, options: Sequence[Option]) -> list[list[Option]]:
    """Groups within the allowed spread of latency, quickest first; all are one without a limit."""
    spread_us = criteria.constraints.max_latency_spread_us
    if spread_us is None:
        return [list(options)]
    return [
        [option for option in options if 0 <= option.latency_us - least_us <= spread_us]
        for least_us in sorted({option.latency_us for option in options})
    ]


def disjoint_options(options: Sequence[Option], most: int) -> list[Option]:
    """Options that share no inter-domain link with one before them."""
    disjoint = disjoint_routes(tuple(option.route for option in options))
    return [option for option in options if option.route in disjoint][:most]


def most_paths(criteria: Criteria) -> int:
    """How many paths a circuit may have."""
    return 1 if criteria.constraints.ero else criteria.constraints.max_paths
