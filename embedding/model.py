"""What is mapped on what: a substrate, a request, and where the one fits on the other.

Values without behaviour, checked when they are made. Amounts of one resource share any unit,
bandwidths too; both are 0 or more. Links and VLinks carry their bandwidth both ways.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

Amounts = Mapping[str, float]
"""Of resources by name, such as ``{"cpu": 8, "memory": 64}``."""


class ModelError(ValueError):
    """A value that contradicts itself; the text names what, what was given, what is possible."""


@dataclass(frozen=True, slots=True)
class Host:
    """Runs VNodes. ``price``: of one unit of any amount; ``power``: of being on at all.

    ``prices``: instead, of one unit of each amount by its name, 0 where it is not said.
    """

    name: str
    amounts: Amounts
    price: float = 1.0
    power: float = 1.0
    prices: Amounts | None = None

    def price_of(self, amount: str) -> float:
        """Of one unit of the amount of that name."""
        return self.price if self.prices is None else self.prices.get(amount, 0.0)


@dataclass(frozen=True, slots=True)
class Link:
    """Joins two hosts or switches; ``price``: of a unit of bandwidth. ``name``: "a--b" if empty."""

    a: str
    b: str
    bandwidth: float
    price: float = 1.0
    name: str = ""

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or f"{self.a}--{self.b}"


@dataclass(frozen=True, slots=True)
class Substrate:
    """Hosts, switches (which run nothing) and links. Raises ModelError."""

    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    switches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*(host.name for host in self.hosts), *self.switches]
        _check_names("host or switch", names)
        for host in self.hosts:
            _check_amounts(f"host {host.name}", host.amounts)
            _check_amounts(f"host {host.name}", {"price": host.price, "power": host.power})
            _check_amounts(f"host {host.name}: prices", host.prices or {})
        _check_names("link", [link.label for link in self.links])
        known = set(names)
        for link in self.links:
            _check_ends(f"link {link.label}", link.a, link.b, known)
            amounts = {"bandwidth": link.bandwidth, "price": link.price}
            _check_amounts(f"link {link.label}", amounts)


@dataclass(frozen=True, slots=True)
class VNode:
    """Asks for amounts on one host; ``hosts``: the only ones it may run on, if not all.

    ``move_cost``: of running it on another host than now, for the objective ``migration``.
    """

    name: str
    amounts: Amounts
    hosts: frozenset[str] | None = None
    move_cost: float = 1.0


@dataclass(frozen=True, slots=True)
class VLink:
    """Asks for bandwidth between two VNodes, on one path unless it is ``splittable``.

    VNodes on one host need no path between them.
    """

    a: str
    b: str
    bandwidth: float
    splittable: bool = False
    name: str = ""

    @property
    def label(self) -> str:
        """Its name; "a--b" if it was given none."""
        return self.name or f"{self.a}--{self.b}"


@dataclass(frozen=True, slots=True)
class Request:
    """VNodes and VLinks. Raises ModelError.

    ``shares_hosts``: whether VNodes may run on one host; ``apart``: pairs that never do.
    """

    vnodes: tuple[VNode, ...]
    vlinks: tuple[VLink, ...]
    shares_hosts: bool = False
    apart: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.vnodes:
            raise ModelError("vnodes: given none, needed is at least one")
        names = [vnode.name for vnode in self.vnodes]
        _check_names("VNode", names)
        for vnode in self.vnodes:
            _check_amounts(f"VNode {vnode.name}", vnode.amounts)
            _check_amounts(f"VNode {vnode.name}", {"move_cost": vnode.move_cost})
        _check_names("VLink", [vlink.label for vlink in self.vlinks])
        known = set(names)
        for vlink in self.vlinks:
            _check_ends(f"VLink {vlink.label}", vlink.a, vlink.b, known)
            _check_amounts(f"VLink {vlink.label}", {"bandwidth": vlink.bandwidth})
        for a, b in self.apart:
            _check_ends(f"apart {a}, {b}", a, b, known)


@dataclass(frozen=True, slots=True)
class Share:
    """A path from the host of ``VLink.a`` to that of ``VLink.b``, and what goes over it.

    ``links``: labels in this order, none twice.
    """

    links: tuple[str, ...]
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Embedding:
    """Where a request is: a host per VNode, and shares per VLink (none where both ends meet)."""

    hosts: Mapping[str, str]
    paths: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)


def _check_names(kind: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if not name:
            raise ModelError(f"{kind}: the name is empty")
        if count > 1:
            raise ModelError(f"{kind} {name}: is there {count} times, names are given once")


def _check_ends(what: str, a: str, b: str, known: set[str]) -> None:
    for end in (a, b):
        if end not in known:
            raise ModelError(f"{what}: there is no {end}")
    if a == b:
        raise ModelError(f"{what}: both ends are {a}")


def _check_amounts(what: str, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        if not (math.isfinite(amount) and amount >= 0):
            raise ModelError(f"{what}: {name}: given {amount:g}, possible: 0 or more, and finite")


def resources_of(*owners: Iterable[Host | VNode]) -> tuple[str, ...]:
    """The names of all resources, sorted."""
    return tuple(sorted({name for owner in chain(*owners) for name in owner.amounts}))
