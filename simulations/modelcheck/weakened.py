"""What weaker variants put in the place of a rule, an entry of a table or a function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from protocol import coordinator, participant, reconciliation
from protocol.messages import (
    Claim,
    Commit,
    Inquire,
    PartMessage,
    ReservationResp,
)
from protocol.participant import Admit, Part, PartState, Rules
from protocol.transaction import Decision, Transaction
from simulations.modelcheck import office as offices, orchestrators, useless
from simulations.modelcheck.domain import Domain, Site
from simulations.modelcheck.instances import Done, Instances
from simulations.modelcheck.office import Office, Record
from simulations.modelcheck.orchestrators import Choice, Orchestrator
from simulations.modelcheck.words import Move
from simulations.modelcheck.world import (
    FIRST_EPOCH,
    Message,
    TimeUp,
)


@contextmanager
def patched(*places: tuple[Any, str, Any]) -> Iterator[None]:
    """Other things in the place of attributes, for the length of the block."""
    with ExitStack() as undo:
        for owner, name, value in places:
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


@contextmanager
def entry(table: dict[Any, Any], key: Any, value: Any) -> Iterator[None]:
    """Another entry of a table, or none (None), for the length of the block."""
    before = table[key]
    if value is None:
        del table[key]
    else:
        table[key] = value
    try:
        yield
    finally:
        table[key] = before


def _impatient(self: Domain, site: Site) -> Rules:
    return Rules(hold_timeout_s=1, recovering=site.recovering)


def own_timer() -> AbstractContextManager[None]:
    """The domain drops holds, and its orchestrator does not know."""
    return patched((Domain, "rules", _impatient))


def with_skew() -> AbstractContextManager[None]:
    """Holds expire only once the coordinator's clock says so, and it decides only before that."""
    expiries, hears, choices = Domain.expiries, Domain.hears, Orchestrator.choices

    def heard(self: Domain, site: Site, bit: int) -> list[Move[Site]]:
        if isinstance(self._world.mail.messages[bit], TimeUp):
            return expiries(self, site)
        return hears(self, site, bit)

    def timed(self: Orchestrator, office: Office) -> Iterator[Choice]:
        yield from choices(self, office)
        if not office.late:
            sent = 0
            for name in self.world.names:
                sent |= self.world.mail.to_domain(name, FIRST_EPOCH, TimeUp(name))
            after = office._replace(late=True)
            yield "the clocks come to expiry minus skew", lambda: (after, sent)

    return patched(
        (Domain, "rules", _impatient),
        (Domain, "expiries", lambda self, site: []),
        (Domain, "hears", heard),
        (Orchestrator, "choices", timed),
        (orchestrators, "may_commit", lambda office: not office.late),
    )


def answers_unwritten() -> AbstractContextManager[None]:
    """Abort is said of what is undecided, and can still be committed."""
    inquired = Instances.inquired

    def weak(self: Instances, office: Office, i: int, inquire: Inquire) -> Done:
        row = office.rows[self._slot_of[inquire.transaction_id]]
        if row is not None and row.decision is Decision.UNDECIDED:
            answer = coordinator.answer_unknown(inquire)
            outbound = (coordinator.Outbound(inquire.part_id, answer),)
            return office, self.post(office, i, outbound)
        return inquired(self, office, i, inquire)

    return patched((Instances, "inquired", weak))


def forgets_commit() -> AbstractContextManager[None]:
    """A commit that was told is forgotten at once, by the instances and by the database."""
    choices, stored = Orchestrator.choices, offices.stored

    def forgetful(self: Orchestrator, office: Office) -> Iterator[Choice]:
        yield from choices(self, office)
        for slot in self.slots:
            row = office.rows[slot.number]
            if row is not None and row.told:
                after = office
                for i in range(self.instances.count):
                    after = offices.remember(after, i, slot.number, None)
                words = f"all forget {slot.transaction_id}"
                yield words, lambda after=after: (after, 0)  # type: ignore[misc]

    def gone(office: Office, slot: int) -> Transaction | None:
        row = stored(office, slot)
        return None if row is not None and row.told else row

    return patched((Orchestrator, "choices", forgetful), (offices, "stored", gone))


def absent(
    *kinds: type[PartMessage],
) -> AbstractContextManager[None]:
    """Such messages for parts that a domain does not know: yes, and nothing is written."""
    hear = Domain.hear

    def weak(self: Domain, site: Site, message: PartMessage) -> tuple[Site, ReservationResp | None]:
        if isinstance(message, kinds) and site.parts[self._at[message.transaction_id]] is None:
            return site, participant.answer_to(message, True, None, site.epoch)
        return hear(self, site, message)

    return patched((Domain, "hear", weak))


def no_fence() -> AbstractContextManager[None]:
    """Nobody looks whose reservation it is, nor whether it is decided."""
    return patched(
        (offices, "check_owner", lambda office, i, reservation: None),
        (orchestrators, "check_owner", lambda office, i, reservation: None),
        (offices, "check_undecided", lambda office, slot: None),
    )


def commits_unfenced() -> AbstractContextManager[None]:
    """Nobody looks whose reservation it is when a COMMIT is written, and nowhere else."""
    written = Instances._written

    def weak(
        self: Instances,
        office: Office,
        i: int,
        slot: int,
        before: Transaction,
        after: Transaction,
        record: Record | None,
    ) -> Office:
        if before.decision is Decision.UNDECIDED and after.decision is Decision.COMMIT:
            i = office.records[self.slots[slot].reservation].owner
        return written(self, office, i, slot, before, after, record)

    return patched(
        (Instances, "_written", weak),
        (orchestrators, "check_owner", lambda office, i, reservation: None),
    )


def no_recovery() -> AbstractContextManager[None]:
    """A restored domain goes on as if nothing had happened; it is only told what is claimed."""

    def rules(self: Domain, site: Site) -> Rules:
        return Rules(hold_timeout_s=1 if self.spec.expires else None)

    return patched((Domain, "rules", rules))


def told_early() -> AbstractContextManager[None]:
    """Success is told with the decision, whatever the domains do with their holds."""
    return patched((coordinator, "_may_tell", lambda tx: tx.decision is Decision.COMMIT))


def old_answers() -> AbstractContextManager[None]:
    """What a domain said before it was restored counts as if it had been said since."""
    hear = Instances.hear

    def weak(self: Instances, office: Office, i: int, message: Message) -> Done:
        if isinstance(message, ReservationResp):
            epoch = office.met[self.world.names.index(message.part_id)]
            message = replace(message, agent_epoch=epoch)
        return hear(self, office, i, message)

    return patched(
        (Instances, "hear", weak), (useless, "outdated", lambda world, known, slot, part_id: 0)
    )


def commits_recovering() -> AbstractContextManager[None]:
    """As if :data:`participant.WHILE_RECOVERING` said nothing of it."""
    return entry(participant.WHILE_RECOVERING, (PartState.HELD, Commit), None)


def refuses_expired() -> AbstractContextManager[None]:
    """As if :data:`participant.WHILE_RECOVERING` said nothing of it."""
    return entry(participant.WHILE_RECOVERING, (PartState.EXPIRED, Commit), None)


def stays_expired() -> AbstractContextManager[None]:
    """What was told is not taken up where the backup's hold has expired."""
    adopt = reconciliation.adopt

    def weak(
        part: Part | None, claim: Claim, now_ms: int, admit: Admit, agent_epoch: int
    ) -> tuple[Part, ReservationResp]:
        told = claim.told and (part is None or part.state is not PartState.EXPIRED)
        return adopt(part, replace(claim, told=told), now_ms, admit, agent_epoch)

    return patched((reconciliation, "adopt", weak))


def old_refusals() -> AbstractContextManager[None]:
    """Only success is checked against the epochs, not its undoing."""
    relied_on = coordinator.relied_on

    def weak(tx: Transaction) -> tuple[coordinator.CoordinatorPart, ...]:
        return () if tx.decision is Decision.UNDO else relied_on(tx)

    return patched((coordinator, "relied_on", weak))


def no_epochs() -> AbstractContextManager[None]:
    """Neither success nor its undoing is checked against the epochs of the domains."""
    return patched((offices, "check_epochs", lambda office, slot, after, names: None))


def untold_first() -> AbstractContextManager[None]:
    """Holds that no user was told of keep their room."""
    return patched((reconciliation, "yielding", lambda parts, claims: ()))


def keeps_unclaimed() -> AbstractContextManager[None]:
    """What the backup holds stays."""
    return patched((reconciliation, "unclaimed", lambda parts, claims, now_ms: ()))


def any_order() -> AbstractContextManager[None]:
    """Claims are taken up as they come."""
    return patched((reconciliation, "in_order", lambda claims, now_ms: tuple(claims)))


def no_room() -> AbstractContextManager[None]:
    """Nobody looks whether there is room."""
    admitted = participant.Admitted("")
    return patched((Domain, "_admit_at", lambda self, site: lambda prep: admitted))


def cancels_one() -> AbstractContextManager[None]:
    """A cancel gives back the version in force, and leaves the one that it replaced."""
    cancel = Instances.cancel

    def weak(self: Instances, office: Office, i: int, reservation: int) -> Done:
        record = office.records[reservation]
        for slot in self._slots_by_reservation()[reservation]:
            if slot.number not in (record.in_force, record.change):
                office = offices.remember(office, i, slot.number, None)
        return cancel(self, office, i, reservation)

    return patched((Instances, "cancel", weak))


def no_undo() -> AbstractContextManager[None]:
    """A refused Commit leaves the others committed."""
    return patched((coordinator, "_undo", lambda tx, now_ms: (tx, ())))


def commits_incomplete() -> AbstractContextManager[None]:
    """COMMIT is decided while not every part is held."""
    return patched((Transaction, "all_held", property(lambda tx: bool(tx.parts))))
