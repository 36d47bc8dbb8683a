"""A schedule: a world, what users ask, and every fault, drawn up front; see docs/simulations.md.

All of it is data, so that a schedule can be written to a file, repeated, and made shorter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

ORCHESTRATOR, RIVAL = "braid", "rival"
INSTANCES = ("a", "b")
RIVAL_INSTANCE = "r"
"""The one instance of another orchestrator, with a database of its own, over the same agents."""


class PlanError(ValueError):
    """A file that does not hold a schedule."""


@dataclass(frozen=True, slots=True)
class World:
    """Sites west and east, joined by parallel domains m1, m2, … of ``capacity_gbps`` each.

    ``blind`` ones make no offers, ``expiring`` ones drop holds after ``hold_timeout_s``. With
    ``rival`` a second orchestrator shares the agents.
    """

    middle: int = 2
    blind: tuple[str, ...] = ()
    expiring: tuple[str, ...] = ()
    hold_timeout_s: int = 10
    capacity_gbps: int = 100
    lease_ms: int = 3000
    rival: bool = False

    @property
    def domains(self) -> tuple[str, ...]:
        """All of them."""
        return ("east", *(f"m{i}" for i in range(1, self.middle + 1)), "west")

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
    """The inverse of to_json. Raises PlanError."""
    try:
        found = json.loads(text)
        world: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found["world"].items()
        }
        items = tuple(Item(**item) for item in found["items"])
        return Schedule(str(found["seed"]), World(**world), items)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"not a schedule: {error}") from error


def _values(given: Any) -> dict[str, Any]:
    return {name: getattr(given, name) for name in given.__slots__}


def _less(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != usual[name]}
