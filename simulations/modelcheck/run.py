"""All scenarios of a bound and all weaker variants, spread over processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulations.modelcheck.explore import Explored, Explorer, StatesExceededError
from simulations.modelcheck.scenarios import FULL, chosen
from simulations.modelcheck.weaker import WEAKER, search
from simulations.pool import spread

SEEDED = "seeded"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all scenarios, and of all weaker variants (``seeded``; none: not searched)."""

    explored: tuple[Explored, ...]
    seeded: tuple[Explored, ...]

    @property
    def states(self) -> int:
        """Of all scenarios; those of weaker variants do not count."""
        return sum(explored.states for explored in self.explored)

    @property
    def violations(self) -> tuple[Explored, ...]:
        """The scenarios in which something is broken."""
        return tuple(explored for explored in self.explored if explored.violation is not None)

    @property
    def missed(self) -> tuple[str, ...]:
        """The weaker variants in which nothing was found."""
        return tuple(each.scenario for each in self.seeded if each.violation is None)

    @property
    def passed(self) -> bool:
        """Whether all is well: no violation, and every weaker variant is caught."""
        return not self.violations and not self.missed


def check(
    bound: str, only: str | None, seeded: bool, jobs: int, done: Callable[[], None] = lambda: None
) -> Report:
    """Searches; ``done`` is called after each scenario and variant. Raises UnknownScenarioError."""
    names = [scenario.name for scenario in chosen(bound, only)]
    variants = list(WEAKER) if seeded else []
    tasks = [("", name) for name in reversed(names)]  # the long ones first
    tasks += [(SEEDED, name) for name in variants]
    found = dict(zip(tasks, spread(_search, tasks, jobs, done), strict=True))
    return Report(
        tuple(found["", name] for name in names),
        tuple(found[SEEDED, name] for name in variants),
    )


def count(bound: str, only: str | None, seeded: bool) -> int:
    """How many searches these are. Raises UnknownScenarioError."""
    return len(chosen(bound, only)) + (len(WEAKER) if seeded else 0)


def _search(task: tuple[str, str]) -> Explored:
    kind, name = task
    if kind != SEEDED:
        return Explorer(FULL[name]).explore()
    try:
        return search(WEAKER[name])
    except StatesExceededError as exceeded:
        return Explored(name, exceeded.states, 0.0, None)
