"""States as numbers: each step of a party is worked out once and then looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from simulations.modelcheck.words import Move
from simulations.modelcheck.world import bits_of

S = TypeVar("S")
Step = tuple[int, int, int]
"""The number of the state after a step, what is sent, and what can have no effect any more."""


class Party(Protocol[S]):
    """An orchestrator or a domain."""

    def start(self) -> S: ...

    def alone(self, state: S) -> list[Move[S]]: ...

    def hears(self, state: S, bit: int) -> list[Move[S]]: ...

    def dead(self, state: S) -> int: ...

    def problem(self, state: S) -> str | None: ...

    def show(self, state: S) -> str: ...


class Numbered(Generic[S]):
    """A party whose states are numbers, with all its steps that were worked out."""

    def __init__(self, party: Party[S], inbox: int) -> None:
        self.party, self.inbox = party, inbox
        self.states: list[S] = []
        self.dead: list[int] = []
        self.problems: list[str | None] = []
        self.steps: dict[tuple[int, int], tuple[Step, ...]] = {}
        self._numbers: dict[S, int] = {}
        self._known: dict[tuple[int, int], tuple[tuple[str, Step], ...]] = {}

    def start(self) -> int:
        """The number of the state in which it starts."""
        return self.number(self.party.start())

    def number(self, state: S) -> int:
        """The number of a state."""
        known = self._numbers.get(state)
        if known is not None:
            return known
        self._numbers[state] = number = len(self.states)
        self.states.append(state)
        self.dead.append(self.party.dead(state))
        self.problems.append(self.party.problem(state))
        return number

    def work_out(self, key: tuple[int, int]) -> tuple[Step, ...]:
        """All steps from a state with these messages. Raises BrokenError."""
        number, inbox = key
        steps = {(to, sent): gone for _, (to, sent, gone) in self.words(number, inbox)}
        found = tuple((to, sent, gone) for (to, sent), gone in steps.items())
        self.steps[key] = found
        return found

    def words(self, number: int, inbox: int) -> Iterator[tuple[str, Step]]:
        """All steps from a state with these messages, in words. Raises BrokenError."""
        yield from self._moves(number, 0)
        for bit in bits_of(inbox):
            yield from self._moves(number, bit)

    def _moves(self, number: int, bit: int) -> tuple[tuple[str, Step], ...]:
        """What one message makes possible, or what is possible without any (0)."""
        known = self._known.get((number, bit))
        if known is None:
            state = self.states[number]
            moves = self.party.hears(state, bit) if bit else self.party.alone(state)
            found = []
            for words, after, sent in moves:
                to = self.number(after)
                found.append((words, (to, sent, self.dead[to])))
            self._known[number, bit] = known = tuple(found)
        return known
