"""Makes the planned faults in time happen, and ends them all when it is time to heal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from simulations.faults.disks import AgentDatabase
from simulations.faults.draw import COUNTED, REQUESTS
from simulations.faults.lanes import Link
from simulations.faults.parties import AgentParty, Life
from simulations.faults.plan import Item

if TYPE_CHECKING:
    from simulations.faults.stage import Stage

Undo = Callable[[], None]
NOTICED_MS = 6000
"""A process that is stopped for longer has its connections broken by the others."""


class Mischief:
    """The faults of one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lasting: dict[int, Undo] = {}
        self._number = 0
        self._backups: dict[tuple[str, int], AgentDatabase] = {}
        self._acts: dict[str, Callable[[Item], Undo | None]] = {
            "crash": self._crash,
            "twin": self._twin,
            "pause": self._pause,
            "cut": self._cut,
            "reset": self._reset,
            "slow": self._slow,
            "full": self._full,
            "gone": self._gone,
            "skew": self._skew,
            "lie": self._lie,
            "restore": self._restore,
        }

    def begin(self) -> None:
        """Sets the times of all that is planned."""
        for item in self._stage.schedule.items:
            if item.kind in REQUESTS or item.kind in COUNTED:
                continue
            self._later(item.at_ms, partial(self._act, item))
            if item.kind == "restore":
                self._later(item.number, partial(self._back_up, item))

    def heal(self) -> None:
        """All faults are over, whatever was planned."""
        stage = self._stage
        stage.wire.planned.clear()
        stage.wire.snaps.clear()
        stage.writes.heal()
        for number in sorted(self._lasting):
            self._end(number)
        for name in sorted({**stage.agents, **stage.instances}):
            stage.party(name).start()

    def _act(self, item: Item) -> None:
        stage = self._stage
        undo = self._acts[item.kind](item)
        stage.count(item.kind)
        stage.note(f"fault: {item.kind} {item.who} for {item.for_ms} ms {item.number} {item.word}")
        if undo is not None:
            self._number += 1
            number = self._number
            self._lasting[number] = undo
            self._later(item.for_ms, lambda: self._end(number))

    def _end(self, number: int) -> None:
        undo = self._lasting.pop(number, None)
        if undo is not None:
            undo()

    def _later(self, after_ms: int, act: Callable[[], None]) -> None:
        stage = self._stage
        stage.loop.call_later(after_ms / 1000, act, context=stage.wire.context)

    def _links(self, who: str) -> list[Link]:
        wire = self._stage.wire
        client, arrow, server = who.partition(">")
        return [wire.link(client, server)] if arrow else wire.links_of(who)

    def _crash(self, item: Item) -> Undo:
        party = self._stage.party(item.who)
        party.down += 1
        party.kill()

        def again() -> None:
            party.down -= 1
            party.start()

        return again

    def _twin(self, item: Item) -> None:
        self._stage.party(item.who).start(twin=True)

    def _pause(self, item: Item) -> Undo:
        lives = list(self._stage.party(item.who).lives)
        for life in lives:
            life.process.pause()
        if item.for_ms > NOTICED_MS:
            self._later(NOTICED_MS, lambda: self._break(lives))

        def go_on() -> None:
            for life in lives:
                life.process.resume()

        return go_on

    def _break(self, lives: list[Life]) -> None:
        for life in lives:
            self._stage.wire.drop_calls(life.process)

    def _cut(self, item: Item) -> Undo:
        wire, links = self._stage.wire, self._links(item.who)
        for link in links:
            wire.cut(link)

        def mend() -> None:
            for link in links:
                wire.mend(link)

        return mend

    def _reset(self, item: Item) -> None:
        for link in self._links(item.who):
            self._stage.wire.reset(link)

    def _slow(self, item: Item) -> Undo:
        party, links = self._stage.party(item.who), self._links(item.who)
        party.slow_down(item.number)
        for link in links:
            link.slow = item.number

        def hurry() -> None:
            party.slow_down(1)
            for link in links:
                link.slow = 1

        return hurry

    def _full(self, item: Item) -> Undo:
        return self._stage.writes.fill(item.who)

    def _gone(self, item: Item) -> Undo:
        return self._stage.writes.lose(item.who)

    def _skew(self, item: Item) -> Undo:
        clock, look = self._stage.party(item.who).clock, self._stage.checker.look_at_hosts
        look(item.who)
        clock.skew_ms += item.number

        def right() -> None:
            look(item.who)
            clock.skew_ms -= item.number

        return right

    def _lie(self, item: Item) -> Undo:
        party = self._agent(item)
        party.truth = item.number

        def honest() -> None:
            party.truth = 100

        return honest

    def _back_up(self, item: Item) -> None:
        self._backups[(item.who, item.number)] = self._agent(item).database.copy()

    def _restore(self, item: Item) -> Undo | None:
        """The database is replaced by a copy, once its process is down."""
        stage, party = self._stage, self._agent(item)
        backup = self._backups.get((item.who, item.number))
        if backup is None or backup.memory.life is None:
            return None
        silent = item.word == "silent" and self._would_be_noticed(item.who, backup)
        again = self._crash(item)
        party.database = backup.copy()
        party.restored = not silent
        stage.checker.restored(item.who)
        return again

    def _would_be_noticed(self, domain: str, backup: AgentDatabase) -> bool:
        """Whether every orchestrator has met a later life than that which made the backup."""
        life = backup.memory.life
        assert life is not None
        for memory in self._stage.memories.values():
            met = memory._met.get(domain)
            if met is None or (met.epoch, met.boot) <= (life.epoch, life.boot):
                return False
        return True

    def _agent(self, item: Item) -> AgentParty:
        return self._stage.agents[item.who]
