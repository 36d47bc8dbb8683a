"""Breadth-first search over everything that can happen in one world.

A state is the state of each party and the set of messages under way. Parties only meet through
messages, so what a party can do depends on its own state and its messages alone: every step of a
party is worked out once, numbered, and used again wherever that party is in the same state.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from itertools import pairwise

from simulations.modelcheck.domain import Domain, Site
from simulations.modelcheck.heal import Healer
from simulations.modelcheck.numbered import Numbered
from simulations.modelcheck.office import Office
from simulations.modelcheck.orchestrators import Orchestrator
from simulations.modelcheck.promises import Promises
from simulations.modelcheck.words import BrokenError
from simulations.modelcheck.world import Scenario, World

State = tuple[int, ...]
"""The number of each party's state, and the set of messages under way."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that is broken: which, and the shortest way there."""

    scenario: str
    problem: str
    trace: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        steps = [f"  {n}. {words}" for n, words in enumerate(self.trace, start=1)]
        return "\n".join([f"{self.scenario}: {self.problem}", *steps])


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of one scenario; without a violation ``states`` are all that there are."""

    scenario: str
    states: int
    seconds: float
    violation: Violation | None


class StatesExceededError(Exception):
    """A scenario has more states than it may."""

    def __init__(self, scenario: str, states: int) -> None:
        super().__init__(f"{scenario}: more than it may have, {states:,} states so far")
        self.states = states


class Explorer:
    """The search through one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = world = World(scenario)
        self.orchestrators = [Orchestrator(world, n) for n in range(scenario.orchestrators)]
        self.domains = [Domain(world, name) for name in world.names]
        to = world.mail.to
        count = len(self.orchestrators)
        self.offices: list[Numbered[Office]] = [
            Numbered(party, to[n]) for n, party in enumerate(self.orchestrators)
        ]
        self.sites: list[Numbered[Site]] = [
            Numbered(party, to[count + n]) for n, party in enumerate(self.domains)
        ]
        self.parties: list[Numbered[Office] | Numbered[Site]] = [*self.offices, *self.sites]
        self.parents: dict[State, State | None] = {}
        self._checked: set[tuple[int, ...]] = set()
        self._promises = Promises(self.offices, self.orchestrators, self.sites, self.domains)
        self._healer = Healer(self.offices, self.orchestrators, self.sites, self.domains)

    def explore(self, states_max: int | None = None) -> Explored:
        """Searches until nothing is new, or something is broken.

        Raises StatesExceededError.
        """
        began_s = time.monotonic()
        gc.disable()  # millions of tuples live to the end, and none of them is in a cycle
        try:
            violation = self._search(states_max)
        finally:
            gc.enable()
        seconds = time.monotonic() - began_s
        return Explored(self.scenario.name, len(self.parents), seconds, violation)

    def _search(self, states_max: int | None) -> Violation | None:
        start = (*[party.start() for party in self.parties], 0)
        self.parents = {start: None}
        frontier, violation = [start], self._check(start)
        while frontier and violation is None:
            frontier, violation = self._next(frontier)
            if states_max is not None and len(self.parents) > states_max:
                raise StatesExceededError(self.scenario.name, len(self.parents))
        return violation

    def _next(self, frontier: list[State]) -> tuple[list[State], Violation | None]:
        """All states one step further. The inner loop of it all: no call that can be spared."""
        parents, found = self.parents, []
        parties = [(k, p.inbox, p.steps, p.dead) for k, p in enumerate(self.parties)]
        for state in frontier:
            net, dead = state[-1], 0
            for k, _, _, deads in parties:
                dead |= deads[state[k]]
            for k, inbox, memo, _ in parties:
                key = (state[k], net & inbox)
                steps = memo.get(key)
                if steps is None:
                    try:
                        steps = self.parties[k].work_out(key)
                    except BrokenError as broken:
                        return [], self._violation(state, str(broken), told=True)
                for to, sent, gone in steps:
                    after_net = (net | sent & ~dead) & ~gone
                    after = (*state[:k], to, *state[k + 1 : -1], after_net)
                    if after not in parents:
                        parents[after] = state
                        found.append(after)
        for after in found:
            if after[:-1] not in self._checked:
                violation = self._check(after)
                if violation is not None:
                    return [], violation
        return found, None

    def _check(self, state: State) -> Violation | None:
        """Whether the promises are kept here, and whether all ends well from here."""
        parties = state[:-1]
        for k, number in enumerate(parties):
            problem = self.parties[k].problems[number]
            if problem is not None:
                return self._violation(state, problem)
        problem = self._promises.problem(parties)
        if problem is not None:
            return self._violation(state, problem)
        try:
            problem = self._healer.problem(parties)
        except BrokenError as broken:
            problem = str(broken)
        if problem is not None:
            return self._violation(state, problem, healed=True)
        self._checked.add(parties)
        return None

    def _violation(
        self, state: State, problem: str, told: bool = False, healed: bool = False
    ) -> Violation:
        """``told``: the problem is a step by itself; ``healed``: it shows in the end only."""
        path = [state]
        while (before := self.parents[path[-1]]) is not None:
            path.append(before)
        path.reverse()
        trace = [self._words(a, b) for a, b in pairwise(path)]
        if told:
            trace.append(problem)
        elif healed:
            trace.append(f"nothing fails any more; in the end: {problem}")
        return Violation(self.scenario.name, problem, tuple(trace))

    def _words(self, before: State, after: State) -> str:
        """What happened between two states."""
        for k, party in enumerate(self.parties):
            others = [n for n in range(len(self.parties)) if n != k]
            if any(before[n] != after[n] for n in others):
                continue
            dead = 0
            for n, other in enumerate(self.parties):
                dead |= other.dead[before[n]]
            for words, (to, sent, gone) in party.words(before[k], before[-1] & party.inbox):
                if to == after[k] and (before[-1] | sent & ~dead) & ~gone == after[-1]:
                    return words
        return "something"
