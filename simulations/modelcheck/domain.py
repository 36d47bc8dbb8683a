"""A domain of the model: the shipped participant, its room, its backups and its recovery."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from protocol import participant, reconciliation
from protocol.messages import (
    Claim,
    Claims,
    Inquire,
    PartMessage,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import Admitted, Part, PartState, Rules
from simulations.modelcheck.words import Move, said
from simulations.modelcheck.world import (
    FIRST_EPOCH,
    LATER_MS,
    NOW_MS,
    Described,
    Slot,
    TimeUp,
    World,
    bits_of,
)
from substrate.model import Refusal, RefusalKind

FULL = Refusal(RefusalKind.BANDWIDTH, "no room")
Parts = tuple[Part | None, ...]


class Site(NamedTuple):
    """All that one domain has on its disk, and ``heard``: what of claims it has collected.

    ``parts`` are in the order of :attr:`Domain.slots`; ``backup``: a copy of them.
    """

    epoch: int
    recovering: bool
    parts: Parts
    backup: Parts | None
    restores: int
    heard: tuple[tuple[Claim, ...] | None, ...]


class Domain:
    """The steps of one domain."""

    def __init__(self, world: World, name: str) -> None:
        self.name, self._world, self._mail = name, world, world.mail
        self.spec = world.domains[name]
        self.slots = [slot for slot in world.every_slot() if name in slot.parts]
        self._at = {slot.transaction_id: i for i, slot in enumerate(self.slots)}
        self._inbox = world.mail.to[world.component(name)]
        self.orchestrators = sorted({slot.orchestrator for slot in self.slots})

    def start(self) -> Site:
        """Nothing is held yet."""
        nothing = (None,) * len(self.slots)
        heard = (None,) * len(self.orchestrators)
        return Site(FIRST_EPOCH, False, nothing, None, self.spec.restores, heard)

    def rules(self, site: Site) -> Rules:
        """How the domain behaves now."""
        timeout_s = 1 if self.spec.expires else None
        return Rules(hold_timeout_s=timeout_s, recovering=site.recovering)

    def hear(self, site: Site, message: PartMessage) -> tuple[Site, ReservationResp | None]:
        """One message of the two-phase commit: written, then answered."""
        i = self._at[message.transaction_id]
        rules, admit = self.rules(site), self._admit_at(site)
        after, answer = participant.step(site.parts[i], message, NOW_MS, admit, rules, site.epoch)
        return self._with(site, i, after), answer

    def claimed(self, site: Site, message: Claims) -> tuple[Site, tuple[ReservationResp, ...]]:
        """Claims of one orchestrator; with the last of them the domain is reconciled."""
        if message.agent_epoch != site.epoch or not site.recovering:
            return site, ()
        heard = list(site.heard)
        heard[self.orchestrators.index(int(message.claims_id[1:]))] = message.claims
        site = site._replace(heard=tuple(heard))
        if None in heard:
            return site, ()
        return self.reconciled(site, [c for claims in heard for c in claims or ()])

    def reconciled(
        self, site: Site, claims: list[Claim]
    ) -> tuple[Site, tuple[ReservationResp, ...]]:
        """Drops what is not claimed, then takes up what is; one durable write."""
        known = [part for part in site.parts if part is not None]
        for part in reconciliation.unclaimed(known, claims, NOW_MS):
            site = self._with(site, self._at[part.transaction_id], part)
        yielded = {}
        for part in reconciliation.yielding(known, claims):
            i = self._at[part.transaction_id]
            yielded[i] = part
            site = self._with(site, i, None)
        answers = []
        for claim in reconciliation.in_order(claims, NOW_MS):
            i = self._at[claim.prep.transaction_id]
            before = yielded.get(i, site.parts[i])
            admit = self._admit_at(site)
            part, answer = reconciliation.adopt(before, claim, NOW_MS, admit, site.epoch)
            site = self._with(site, i, part)
            answers.append(answer)
        nothing = (None,) * len(site.heard)
        return site._replace(recovering=False, heard=nothing), tuple(answers)

    def inquiries(self, site: Site) -> list[tuple[Slot, Inquire]]:
        """What the held parts ask."""
        found = []
        for slot, part in zip(self.slots, site.parts, strict=True):
            if part is not None and part.state is PartState.HELD:
                _, inquire = participant.tick(part, NOW_MS, self.rules(site))
                if inquire is not None:
                    found.append((slot, inquire))
        return found

    def holds(self, site: Site, transaction_id: str) -> bool:
        """Whether the transaction's part counts against the domain's room."""
        part = site.parts[self._at[transaction_id]]
        return part is not None and participant.holds(part.state)

    def problem(self, site: Site) -> str | None:
        """Σ held ≤ capacity: there is room for one reservation."""
        holding = {
            part.prep.reservation_id
            for part in site.parts
            if part is not None and part.prep is not None and participant.holds(part.state)
        }
        if len(holding) > 1:
            return f"{self.name} holds {' and '.join(sorted(holding))}, it has room for one"
        return None

    def dead(self, site: Site) -> int:
        """What was sent to it in a former epoch, and claims that it will ignore for ever."""
        mask = 0
        for (name, epoch), bits in self._mail.session.items():
            if name == self.name and epoch < site.epoch:
                mask |= bits
        for (name, epoch), bits in self._mail.claims.items():
            past = epoch < site.epoch or (epoch == site.epoch and not site.recovering)
            if name == self.name and past:
                mask |= bits
        return mask

    def show(self, site: Site) -> str:
        """The domain in a few words."""
        parts = [
            f"{slot.transaction_id} {part.state.name}"
            for slot, part in zip(self.slots, site.parts, strict=True)
            if part is not None
        ]
        recovering = ", recovering" if site.recovering else ""
        return f"{self.name}: {', '.join(parts) or 'nothing'} (epoch {site.epoch}{recovering})"

    def post(self, answers: tuple[ReservationResp | None, ...]) -> int:
        """The answers as a set of messages; why it is no is left out."""
        mask = 0
        for answer in answers:
            if answer is not None:
                slot = self._world.slot_of(answer.transaction_id)
                plain = replace(answer, refusal=None)
                mask |= self._mail.to_orchestrator(slot.orchestrator, plain)
        return mask

    def take_in(self, site: Site, bit: int) -> tuple[Site, int]:
        """One message of any kind: the state after it, and the answers as a set."""
        message = self._mail.messages[bit]
        if isinstance(message, Claims):
            site, answers = self.claimed(site, message)
            return site, self.post(answers)
        assert not isinstance(message, ReservationResp | Inquire | Described | TimeUp)
        site, answer = self.hear(site, message)
        return site, self.post((answer,))

    def hears(self, site: Site, bit: int) -> list[Move[Site]]:
        """What becomes of one message."""
        after, sent = self.take_in(site, bit)
        if after == site and not sent:
            return []
        words = f"{self.name} hears {said(self._mail.messages[bit])}"
        answers = [said(self._mail.messages[answer]) for answer in bits_of(sent)]
        words += f", answers {', '.join(answers)}" if answers else ""
        if site.recovering and not after.recovering:
            words += f", and is reconciled: {self.show(after)}"
        return [(words, after, sent | self.asks(after))]

    def asks(self, site: Site) -> int:
        """The inquiries as a set of messages."""
        mask = 0
        for slot, inquire in self.inquiries(site):
            mask |= self._mail.to_orchestrator(slot.orchestrator, inquire)
        return mask

    def alone(self, site: Site) -> list[Move[Site]]:
        """What happens without any message."""
        found = self.expiries(site)
        if site.recovering and any(claims is not None for claims in site.heard):
            forgetful = site._replace(heard=(None,) * len(site.heard))
            found.append((f"{self.name} crashes", forgetful, 0))
        if site.restores:
            found += self._backups(site)
        return found

    def expiries(self, site: Site) -> list[Move[Site]]:
        """Holds that the domain may drop by its clock."""
        found, rules = [], self.rules(site)
        for i, part in enumerate(site.parts):
            if part is None or part.state is not PartState.HELD:
                continue
            after, _ = participant.tick(part, LATER_MS, rules)
            if after.state is not part.state:
                word = f"the hold of {part.transaction_id} expires at {self.name}"
                found.append((word, self._with(site, i, after), 0))
        return found

    def _backups(self, site: Site) -> list[Move[Site]]:
        if site.backup is None:
            return [(f"{self.name} is backed up", site._replace(backup=site.parts), 0)]
        found = []
        for parts in dict.fromkeys((site.backup, self._expired(site).parts)):
            # Holds may expire before anybody knows that the database is an old copy.
            heard = (None,) * len(site.heard)
            after = Site(site.epoch + 1, True, parts, None, site.restores - 1, heard)
            sent = self.asks(after)
            for orchestrator in self.orchestrators:
                described = Described(self.name, after.epoch)
                sent |= self._mail.to_orchestrator(orchestrator, described)
            word = f"{self.name} is restored from the backup: {self.show(after)}"
            found.append((word, after, sent))
        return found

    def _expired(self, site: Site) -> Site:
        """The backup, with all holds gone that go by themselves."""
        assert site.backup is not None
        after = site._replace(parts=site.backup, recovering=False)
        for i, part in enumerate(site.backup):
            if part is not None:
                after = self._with(after, i, participant.tick(part, LATER_MS, self.rules(after))[0])
        return after

    def _admit_at(self, site: Site) -> participant.Admit:
        def admit(prep: ReservationPrep) -> Admitted | Refusal:
            for part in site.parts:
                if part is None or part.prep is None or not participant.holds(part.state):
                    continue
                if part.prep.reservation_id != prep.reservation_id:
                    return FULL
            return Admitted("")

        return admit

    def _with(self, site: Site, i: int, part: Part | None) -> Site:
        if part is not None:
            expires_ms = None if part.expires_ms is None else 1
            part = replace(
                part,
                refusal=None,
                changed_ms=0,
                inquire_at_ms=None,
                inquiries=0,
                expires_ms=expires_ms,
            )
        return site._replace(parts=(*site.parts[:i], part, *site.parts[i + 1 :]))
