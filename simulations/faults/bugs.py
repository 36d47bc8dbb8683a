"""The shipped code with one mistake each, to see whether the simulation finds it.

Every one breaks a rule of the design (section 5) in a way that tests of single parts may miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any

from agents import provisioner, recovery
from agents.backends.base import Free, Partial, Placement
from agents.backends.cloud import ProviderBackend
from agents.backends.hosts.embedder import Embedder
from agents.book import Book
from agents.ledger import Ledger
from agents.parts import Change, Parts
from agents.values import Decision as Settled, Key, Life, Record
from cloudnets.mapped import Mapped
from orchestrator.engine import Engine
from orchestrator.memory import MemoryStore
from orchestrator.ports import LostError, StaleEpochError
from orchestrator.transactions import Transactions
from protocol import coordinator, participant
from protocol.coordinator import Decision, PartStatus, Transaction
from protocol.messages import Inquire, ReservationPrep
from protocol.participant import Admitted, Part, PartState, Rules
from runtime.database import StorageError
from simulations.faults.bugs_carried import CARRIED
from simulations.faults.bugs_changes import CHANGES
from simulations.faults.patching import Bug, patched
from substrate.calendar import CalendarError
from substrate.model import Refusal

IMPATIENT_MS = 3000


def answers_early() -> AbstractContextManager[None]:
    """The agent does not wait for its write."""
    save = Ledger.save

    async def started(
        self: Ledger,
        records: Sequence[Record],
        fresh: Collection[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Settled] = (),
    ) -> None:
        async def rest() -> None:
            with suppress(StorageError):
                await save(self, records, fresh, life, decisions)

        task = asyncio.get_running_loop().create_task(rest())
        # Only so that it is not collected while it waits.
        self.__dict__.setdefault("_writing", []).append(task)

    return patched(Ledger, "save", started)


def drops_holds() -> AbstractContextManager[None]:
    """The agent gives a hold back by its own timer."""
    tick = participant.tick

    def impatient(part: Part, now_ms: int, rules: Rules) -> tuple[Part, Inquire | None]:
        if part.state is PartState.HELD and now_ms > part.changed_ms + IMPATIENT_MS:
            after = replace(part, state=PartState.ABORTED, changed_ms=now_ms, inquire_at_ms=None)
            return after, None
        return tick(part, now_ms, rules)

    return patched(participant, "tick", impatient)


@contextmanager
def checks_first() -> Iterator[None]:
    """The agent checks capacity before its write and takes it after it."""
    advance = Parts.advance

    def only_check(
        self: Book, prep: ReservationPrep, advice: object = None, now_s: int = 0
    ) -> Admitted | Refusal:
        outcome = self._placed(prep, advice, now_s)
        return outcome if isinstance(outcome, Refusal) else Admitted(outcome.to_json())

    async def then_take(self: Parts, *changes: Change, **more: Any) -> None:
        await advance(self, *changes, **more)
        for before, part in changes:
            fresh = before is None and participant.holds(part.state)
            if fresh and part.prep is not None:
                with suppress(CalendarError):
                    self.book.restore(part.prep, part.mapping)

    with patched(Book, "admit", only_check), patched(Parts, "advance", then_take):
        yield


def takes_at_once() -> AbstractContextManager[None]:
    """An agent that was restored takes new holds before it knows what it holds."""
    return patched(participant, "WHILE_RECOVERING", {})


def trusts_its_copy() -> AbstractContextManager[None]:
    """An agent does not notice that its database is an old copy."""
    return patched(recovery, "is_old_copy", lambda _life, _seen: False)


def ignores_fences() -> AbstractContextManager[None]:
    """An instance writes what another one owns."""
    check = MemoryStore._check

    def lenient(self: MemoryStore, changes: Any, fence: int) -> None:
        with suppress(LostError):
            check(self, changes, fence)

    return patched(MemoryStore, "_check", lenient)


def ignores_epochs() -> AbstractContextManager[None]:
    """Success may rest on what a domain said before it was restored."""
    check = MemoryStore._check

    def lenient(self: MemoryStore, changes: Any, fence: int) -> None:
        with suppress(StaleEpochError):
            check(self, changes, fence)

    return patched(MemoryStore, "_check", lenient)


def answers_unwritten() -> AbstractContextManager[None]:
    """An inquiry about what is undecided is answered with Abort that is not written."""
    inquired = Transactions.inquired

    async def hasty(self: Transactions, domain: str, inquire: Inquire) -> None:
        found = await self._find(inquire.transaction_id)
        if found is None or found.decision is Decision.UNDECIDED:
            self._gateway.send(domain, coordinator.answer_unknown(inquire))
        else:
            await inquired(self, domain, inquire)

    return patched(Transactions, "inquired", hasty)


@contextmanager
def forgets_commits() -> Iterator[None]:
    """A commit is forgotten before the acknowledgements: asked, the orchestrator presumes abort."""
    find, commit = Transactions._find, Engine.commit

    async def forgetful(self: Transactions, transaction_id: str) -> Transaction | None:
        found = await find(self, transaction_id)
        return None if found is not None and found.decision is Decision.COMMIT else found

    async def unrepeated(self: Engine, live: Any, transaction_id: str, *more: Any) -> bool:
        decided = await commit(self, live, transaction_id, *more)
        self.transactions.forget(transaction_id)
        return decided

    with patched(Transactions, "_find", forgetful), patched(Engine, "commit", unrepeated):
        yield


def tells_early() -> AbstractContextManager[None]:
    """Success is told before domains that may drop their holds have acknowledged."""
    return patched(coordinator, "_may_tell", lambda tx: tx.decision is Decision.COMMIT)


def releases_once() -> AbstractContextManager[None]:
    """A release is not sent again."""
    waiting = coordinator.WAITING - {PartStatus.RELEASING}

    retry = coordinator._retry

    def tired(tx: Transaction, now_ms: int) -> coordinator.Step:
        before = coordinator.WAITING
        coordinator.WAITING = waiting
        try:
            return retry(tx, now_ms)
        finally:
            coordinator.WAITING = before

    return patched(coordinator, "_retry", tired)


def frees_early() -> AbstractContextManager[None]:
    """The agent gives capacity back before that is durable."""
    advance = Parts.advance

    async def generous(self: Parts, *changes: Change, **more: Any) -> None:
        for before, part in changes:
            if before is not None and before.live and not participant.holds(part.state):
                self.book.free(*before.key)
        await advance(self, *changes, **more)

    return patched(Parts, "advance", generous)


def forgets_memory() -> AbstractContextManager[None]:
    """A provider does not claim the memory that VNodes take."""
    place_graph = ProviderBackend.place_graph

    def forgetful(self: ProviderBackend, partial: Partial, free: Free) -> Placement | Refusal:
        placed = place_graph(self, partial, free)
        if isinstance(placed, Refusal):
            return placed
        kept = [c for c in placed.claims if not c.resource.name.endswith("/resource/memory")]
        return replace(placed, claims=tuple(kept))

    return patched(ProviderBackend, "place_graph", forgetful)


def sweeps_all() -> AbstractContextManager[None]:
    """With the old version of a CloudNet those VNodes go, too, that the new one keeps."""

    async def sweep(self: Embedder, mapped: Mapped) -> None:
        claims = self._newest_first(mapped)
        await self.fabric.arrange(mapped.reservation_id, claims, mapped)
        for vnode in mapped.vnodes:
            await self._remove(mapped, vnode)

    return patched(Embedder, "_drop", sweep)


def runs_holds() -> AbstractContextManager[None]:
    """A provider runs the VNodes of what is only held."""

    def hasty(
        records: Iterable[Record], now_s: int, configured: Container[Key] = ()
    ) -> Record | None:
        live = [r for r in records if r.live and r.part.prep is not None]
        now = [r for r in live if r.part.prep and r.part.prep.window.start_s <= now_s]
        return max(
            now, key=lambda r: (r.part.prep.version if r.part.prep else 0, r.key), default=None
        )

    return patched(provisioner, "in_force", hasty)


BUGS: dict[str, Bug] = {
    "answers-early": Bug("rules 1, 10: answers before it is durable", answers_early),
    "drops-holds": Bug("rule 1: releases a hold alone", drops_holds),
    "answers-unwritten": Bug("rule 2: answers ABORT without writing it", answers_unwritten),
    "ignores-fences": Bug("rule 3: writes what another instance owns", ignores_fences),
    "tells-early": Bug("rule 4: tells success before all acknowledgements", tells_early),
    "forgets-commits": Bug("rule 6: forgets before the acknowledgements", forgets_commits),
    "releases-once": Bug("rule 6: does not repeat a release", releases_once),
    "takes-at-once": Bug("rule 7: takes holds while recovering", takes_at_once),
    "trusts-its-copy": Bug("rule 7: does not notice an old copy", trusts_its_copy),
    "ignores-epochs": Bug("rule 7: relies on what was said before a restore", ignores_epochs),
    "checks-first": Bug("rule 9: checks and takes apart", checks_first),
    "frees-early": Bug("rule 10: gives back before it is durable", frees_early),
    "forgets-memory": Bug("rule 9: does not count what VNodes take", forgets_memory),
    "sweeps-all": Bug("rule 1: takes away what the new version keeps", sweeps_all),
    "runs-holds": Bug("rule 1: runs what is only held", runs_holds),
    **CHANGES,
    **CARRIED,
}
"""By name."""
