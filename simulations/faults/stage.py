"""A schedule as it is played: the parties, what befalls them, and when it is all over."""

from __future__ import annotations

import asyncio
from collections import Counter
from math import ceil
from typing import Any

from agents.timers import RECHECK_MS
from orchestrator.link import BACKOFF_MAX_S
from orchestrator.memory import MemoryStore
from orchestrator.ports import Changes
from simulations.clock import EPOCH_MS
from simulations.faults.checker import Checker
from simulations.faults.domains import configs
from simulations.faults.draw import LAST_MS, MESSAGES, REQUESTS
from simulations.faults.lanes import MessageFault
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.mischief import Mischief
from simulations.faults.parties import AgentParty, InstanceParty, Party, Surroundings
from simulations.faults.pipeline import Writes
from simulations.faults.plan import INSTANCES, RIVAL_INSTANCE, Schedule
from simulations.faults.users import Users, found
from simulations.faults.wire import Wire
from simulations.faults.words import short

HEAL_S = LAST_MS / 1000 + 2
LOOK_FIRST_S, LOOK_LAST_S = 0.5, 10.0
"""How often is looked, after all faults are over, whether everything has resolved."""

PATIENCE_S = 300.0
"""How long that may take, beside what clocks were wrong by: retries wait for times that were."""

COUNT_S, COUNT_AFTER_S = 0.05, 1.0
"""How often VNodes write something: amid faults, and later."""

ON_ITS_WAY_S = 0.45
"""Until what was decided is on all devices: a message takes up to 0.2 s. Within the same second."""


class Stage:
    """One run. ``counts``: faults that took place, by kind; ``lines``: the trace, if wanted."""

    def __init__(self, loop: FaultLoop, schedule: Schedule, trace: bool) -> None:
        self.loop, self.schedule = loop, schedule
        self.counts: Counter[str] = Counter()
        self.lines: list[str] | None = [] if trace else None
        seed, world = schedule.seed, schedule.world
        note = self.note if trace else None
        self.wire = Wire(loop, seed, _planned(schedule), self.count, note, self.broken)
        self.wire.snaps |= {(i.who, i.number): i.word for i in schedule.of("snap")}
        self.wire.crash = self._crash_process
        written = {(i.who, i.number): i.word for i in schedule.of("write")}
        self.writes = Writes(written, self._crash_process, self.count_noted)
        around = Surroundings(loop, seed, self.wire, self.writes, self.note)
        self.memories = {
            name: MemoryStore(keep_events=False, now_ms=self.now_ms)
            for name in sorted({world.orchestrator_of(i) for i in world.instances})
        }
        self.instances, self.agents = self._instances(around), self._agents(around)
        self.checker = Checker(self.agents, self.instances, world, self.now_ms)
        self.users = Users(self.wire, self._peers, self.checker.found, self.note)
        for name in world.instances:
            # Users are cut off, too, before they have called for the first time.
            self.wire.link("users", name)
        self._users = Process(loop, "users")

    def _instances(self, around: Surroundings) -> dict[str, InstanceParty]:
        world = self.schedule.world
        return {
            name: InstanceParty(
                name,
                100 + number,
                around,
                orchestrator_id=world.orchestrator_of(name),
                domains=world.domains,
                lease_ms=world.lease_ms,
                memory=self.memories[world.orchestrator_of(name)],
                saved=self._saved,
            )
            for number, name in enumerate(world.instances)
        }

    def _agents(self, around: Surroundings) -> dict[str, AgentParty]:
        return {
            name: AgentParty(
                name,
                200 + number,
                around,
                config=config,
                orchestrators=tuple(sorted(self.memories)),
                wrote=self._wrote,
                dies=lambda: self.checker.tenants.look(),
                lasting=self.schedule.world.lasting,
            )
            for number, (name, config) in enumerate(sorted(configs(self.schedule.world).items()))
        }

    def now_ms(self) -> int:
        """The time by the world's own clock."""
        return EPOCH_MS + round(self.loop.now_s * 1000)

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self.lines is not None:
            self.lines.append(f"{self.loop.time():.6f} {text}")

    def count(self, kind: str) -> None:
        """A fault took place."""
        self.counts[kind] += 1

    def count_noted(self, text: str) -> None:
        """A fault of a write took place."""
        self.counts["write"] += 1
        self.note(text)

    def broken(self, error: BaseException) -> None:
        """The code failed with what it should not have failed with."""
        self.checker.found(f"internal error: {type(error).__name__}: {error}")

    def party(self, name: str) -> Party:
        """An instance or an agent."""
        return self.agents.get(name) or self.instances[name]

    async def play(self) -> None:
        """From the start until everything has resolved, or is not going to."""
        for name in sorted(self.agents):
            self.agents[name].start()
        for name in sorted(self.instances):
            self.instances[name].start()
        asked = {item.number for item in self.schedule.of("reserve", "accept", "cloudnet")}
        for item in self.schedule.items:
            if item.kind in REQUESTS and item.number in asked:
                self.loop.call_later(item.at_ms / 1000, self._ask, item, context=self.wire.context)
        mischief = Mischief(self)
        mischief.begin()
        if self.schedule.world.clouds:
            self._let_count()
        await asyncio.sleep(HEAL_S)
        mischief.heal()
        self.note("healed")
        pause_s = LOOK_FIRST_S
        wrong_s = sum(abs(item.number) for item in self.schedule.of("skew")) / 1000
        while self._is_unresolved() and self.loop.time() < HEAL_S + PATIENCE_S + wrong_s:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.05, LOOK_LAST_S)
        self._must_be_resolved()
        await self._go_on()
        self.note("over")

    async def _go_on(self) -> None:
        """Plays what is left, and looks amid seconds: on the second much happens at once."""
        last_s = self.schedule.world.last_s
        while self.loop.time() + 1 < last_s:
            await asyncio.sleep(int(self.loop.time()) + 1.5 - self.loop.time())
            for problem in await self._lasting(self.checker.stuck()):
                self.checker.found(f"when all is well: {problem}")
        if last_s:
            self._must_be_resolved()

    async def _lasting(self, problems: list[str]) -> list[str]:
        """Those that stay once domains have heard of what was decided a moment ago."""
        if not problems:
            return []
        await asyncio.sleep(ON_ITS_WAY_S)
        for _ in range(ceil(max(BACKOFF_MAX_S, RECHECK_MS / 1000))):
            if not (self._is_cut_off() or self._clock_was_set()):
                break
            # Whole seconds: still amid them.
            await asyncio.sleep(1)
        return [problem for problem in self.checker.stuck() if problem in problems]

    def _clock_was_set(self) -> bool:
        """Who waits for a time asks only every few seconds whether its clock was set right."""
        noticed_s = HEAL_S + RECHECK_MS / 1000
        return bool(self.schedule.of("skew")) and self.loop.time() < noticed_s

    def _is_cut_off(self) -> bool:
        """Who was cut off for long tries again after seconds."""
        return not all(party.reaches_all for party in self.instances.values())

    def _must_be_resolved(self) -> None:
        for problem in self._unresolved():
            self.checker.found(f"in the end: {problem}")

    def _is_unresolved(self) -> bool:
        under_way = bool(self.users.busy or self.wire.late)
        return under_way or bool(self.checker.undecided()) or bool(self._unresolved())

    def _unresolved(self) -> list[str]:
        if self.users.busy or self.wire.late:
            return [f"{self.users.busy} requests, {self.wire.late} messages are under way"]
        states = {
            name: found(record)
            for memory in self.memories.values()
            for name, record in memory._reservations.items()
        }
        return self.checker.unresolved() + self.users.contradicted(states)

    def _let_count(self) -> None:
        """VNodes write, again and again."""
        self.checker.tenants.look()
        after_s = COUNT_S if self.loop.time() < HEAL_S else COUNT_AFTER_S
        self.loop.call_later(after_s, self._let_count, context=self.wire.context)

    def _ask(self, item: Any) -> None:
        self._users.spawn(self.users.ask(item))

    def _peers(self, instance: str) -> tuple[str, ...]:
        if instance == RIVAL_INSTANCE:
            return (instance,)
        return (instance, *(other for other in INSTANCES if other != instance))

    def _crash_process(self, process: Process) -> None:
        for party in (*self.agents.values(), *self.instances.values()):
            for life in list(party.lives):
                if life.process is process:
                    party.kill(life)
                    self.loop.call_later(0.5, party.start, context=self.wire.context)

    def _saved(self, orchestrator_id: str, changes: Changes) -> None:
        if self.lines is not None:
            for transaction in changes.transactions:
                parts = " ".join(f"{p.domain}={p.status.name}" for p in transaction.parts)
                self.note(
                    f"{orchestrator_id} saves {short(transaction.transaction_id)}"
                    f" {transaction.decision.name}{' told' if transaction.told else ''} {parts}"
                )
            for record in changes.records:
                self.note(
                    f"{orchestrator_id} saves {short(record.reservation_id)} {record.state.name}"
                )
        self.checker.saved(orchestrator_id, changes)

    def _wrote(self, domain: str) -> None:
        if self.lines is not None:
            memory = self.agents[domain].database.memory
            parts = " ".join(
                f"{short(key[1])}={record.part.state.name}"
                for key, record in sorted(memory.records.items())
            )
            life = memory.life
            word = f"epoch {life.epoch} boot {life.boot}" if life is not None else "new"
            recovering = " recovering" if life is not None and life.recovering else ""
            self.note(f"{domain} writes {word}{recovering} {parts}")
        self.checker.wrote(domain)


def _planned(schedule: Schedule) -> dict[tuple[str, int], MessageFault]:
    found = {}
    for item in schedule.items:
        if item.kind in MESSAGES:
            late_s = None if item.kind == "lost" else item.for_ms / 1000
            found[(item.who, item.number)] = MessageFault(late_s, item.kind == "doubled")
    return found
