"""A schedule: a world, what users ask, and every fault, drawn up front; see docs/simulations.md.

All of it is data, so that a schedule can be written to a file, repeated, and made shorter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from simulations.faults.nets import NET

T = TypeVar("T")

ORCHESTRATOR, RIVAL = "braid", "rival"
INSTANCES = ("a", "b")
RIVAL_INSTANCE = "r"
"""The one instance of another orchestrator, with a database of its own, over the same agents."""


KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("reserve", "modify", "migrate", "cancel", "accept", "gone"), ("instance",)),
    **dict.fromkeys(("cloudnet", "remodel"), ("instance",)),
    **dict.fromkeys(("lost", "late", "doubled", "snap"), ("lane",)),
    **dict.fromkeys(("write", "crash", "twin", "pause", "skew", "slow"), ("party",)),
    **dict.fromkeys(("cut", "reset"), ("party", "link")),
    **dict.fromkeys(("full", "lie", "restore"), ("domain",)),
}
"""What items there are, and whom they may concern."""

WORDS = {
    "reserve": (
        r"\d+ \d+ \d+ \d+( volume|( (slide|range))?( star)?)( via)?( survive)?( movable)?",
        "GBPS START END TIMEOUT [BEND] [star] [via] [survive] [movable]",
    ),
    "modify": (r"\d+", "GBPS"),
    "accept": (r"\d+", "NUMBER"),
    "migrate": (r"m\d+( \d+)?", "DOMAIN [SWITCH]"),
    "cloudnet": (rf"\d+ \d+ \d+ {NET}", "START END TIMEOUT VNODE:CORES:GIB[@SITE]… A-B:GBPS…"),
    "remodel": (NET, "VNODE:CORES:GIB[@SITE]… A-B:GBPS…"),
    "write": ("refused|unknown|crash before|crash after",) * 2,
    "restore": ("told|silent",) * 2,
    "snap": ("before|after|crash",) * 2,
}
"""What the word of an item must look like, if it has one, and how to say so."""


class PlanError(ValueError):
    """A file that does not hold a schedule."""


@dataclass(frozen=True, slots=True)
class World:
    """Sites west and east, joined by parallel domains m1, m2, … of ``capacity_gbps`` each.

    ``blind`` ones make no offers, ``expiring`` ones drop holds after ``hold_timeout_s``. With
    ``rival`` a second orchestrator shares the agents, with ``south`` there is a third site. Sites
    that are ``clouds`` run VNodes, on so many ``hosts`` each, which forget all when their agent
    ends, unless they are ``lasting``. When all has resolved it goes on until ``last_s``, without
    faults, so that what was asked for comes about.
    """

    middle: int = 2
    blind: tuple[str, ...] = ()
    expiring: tuple[str, ...] = ()
    hold_timeout_s: int = 10
    capacity_gbps: int = 100
    lease_ms: int = 3000
    rival: bool = False
    south: bool = False
    clouds: tuple[str, ...] = ()
    hosts: int = 2
    lasting: bool = False
    last_s: int = 0

    @property
    def sites(self) -> tuple[str, ...]:
        """Those that have a host."""
        return ("east", "west", "south") if self.south else ("east", "west")

    @property
    def domains(self) -> tuple[str, ...]:
        """All of them."""
        east, *others = self.sites
        return (east, *(f"m{i}" for i in range(1, self.middle + 1)), *others)

    @property
    def instances(self) -> tuple[str, ...]:
        """All of all orchestrators."""
        return (*INSTANCES, RIVAL_INSTANCE) if self.rival else INSTANCES

    def orchestrator_of(self, instance: str) -> str:
        """Whose instance it is."""
        return RIVAL if instance == RIVAL_INSTANCE else ORCHESTRATOR


@dataclass(frozen=True, slots=True)
class Item:
    """One request or fault: what, to whom, when (milliseconds from the start), and what it needs.

    ``number`` and ``for_ms`` mean what :mod:`simulations.faults.draw` says for the kind.
    """

    kind: str
    who: str
    at_ms: int = 0
    for_ms: int = 0
    number: int = 0
    word: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A whole run. ``seed``: of all that is not planned: delays, and who runs first."""

    seed: str
    world: World
    items: tuple[Item, ...]

    def only(self, items: Iterable[Item]) -> Schedule:
        """The same with other items."""
        return replace(self, items=tuple(items))

    def of(self, *kinds: str) -> tuple[Item, ...]:
        """The items of these kinds, in order."""
        return tuple(item for item in self.items if item.kind in kinds)


def to_json(schedule: Schedule) -> str:
    """A file's text: one item a line."""
    world = _less(_values(schedule.world), _values(World()))
    lines = ",\n".join(
        "  " + json.dumps(_less(_values(item), _values(Item("", "")))) for item in schedule.items
    )
    head = f'"seed": {json.dumps(schedule.seed)}, "world": {json.dumps(world)}'
    return f'{{{head}, "items": [\n{lines}\n]}}\n'


def from_json(text: str) -> Schedule:
    """The inverse of to_json. Raises PlanError, which names the field that is wrong."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise PlanError(f"not JSON: {error}") from error
    _must_be(found, dict, "the file")
    for name in sorted(set(found) - {"seed", "world", "items"}):
        raise PlanError(f"{name}: possible: seed, world, items")
    seed, items = found.get("seed"), found.get("items")
    _must_be(seed, str, "seed")
    _must_be(items, list, "items")
    world = _read(World, found.get("world"), "world")
    assert isinstance(items, list)
    read = tuple(_read(Item, item, f"items[{at}]") for at, item in enumerate(items))
    schedule = Schedule(str(seed), world, read)
    for at, item in enumerate(read):
        problem = problem_of(item, world)
        if problem:
            raise PlanError(f"items[{at}].{problem}")
    return schedule


def problem_of(item: Item, world: World) -> str:
    """The field of an item that this world has no meaning for, and why; empty if there is none."""
    if item.kind not in KINDS:
        return f"kind: given {item.kind!r}, possible: {', '.join(sorted(KINDS))}"
    parties = {"instance": world.instances, "domain": world.domains}
    parties["party"] = (*world.domains, *world.instances)
    links = {f"{i}>{d}" for i in world.instances for d in world.domains}
    parties["link"] = tuple(sorted(links))
    parties["lane"] = tuple(sorted(links | {">".join(link.split(">")[::-1]) for link in links}))
    possible = [who for word in KINDS[item.kind] for who in parties[word]]
    if item.who not in possible:
        return f"who: given {item.who!r}, possible: {', '.join(possible)}"
    for name in ("at_ms", "for_ms"):
        if getattr(item, name) < 0:
            return f"{name}: given {getattr(item, name)}, possible: 0 or more"
    pattern, meaning = WORDS.get(item.kind, ("", "none"))
    if not re.fullmatch(pattern, item.word):
        return f"word: given {item.word!r}, possible: {meaning}"
    return ""


def _read(kind: type[T], found: Any, where: str) -> T:
    """A dataclass from a JSON object, with the types of its defaults."""
    _must_be(found, dict, where)
    make: Any = kind
    usual = _values(make("", "") if kind is Item else make())
    values = {}
    for name, value in found.items():
        if name not in usual:
            raise PlanError(f"{where}.{name}: possible: {', '.join(usual)}")
        if isinstance(usual[name], tuple):
            _must_be(value, list, f"{where}.{name}")
            value = tuple(value)
        else:
            _must_be(value, type(usual[name]), f"{where}.{name}")
        values[name] = value
    for name in ("kind", "who") if kind is Item else ():
        if name not in values:
            raise PlanError(f"{where}.{name}: missing")
    return cast(T, make(**values))


def _must_be(value: Any, kind: type, where: str) -> None:
    if type(value) is not kind:
        word = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}.get(kind)
        raise PlanError(f"{where}: given {value!r}, possible: {word or 'true or false'}")


def _values(given: Any) -> dict[str, Any]:
    return {name: getattr(given, name) for name in given.__slots__}


def _less(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != usual[name]}
