"""How an agent finds out that its database is an old copy, and what it then holds (rule 7).

    greeted ──its database is an old copy──▶ epoch raised, RECOVERING   (durable)
    RECOVERING ──every orchestrator has sent its claims──▶ reconciled   (one durable write)

While it recovers it takes nothing new (protocol/participant.py). What is decided is durable before
any orchestrator hears of it; a crash in between repeats everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

import structlog

from agents.adopted import Adopted, Outcome
from agents.advice import Advisor
from agents.backends.base import Placement
from agents.claims import Collected, TooManyClaimsError, sort_out
from agents.hand import confirmed, contradicted
from agents.parts import AGAIN_MS, Parts
from agents.peers import RestoredError, Send, Sender
from agents.steps import key_of
from agents.timers import Due, RecoveryDue, Timers
from agents.values import Key, Life, Record, Seen, is_old_copy
from protocol import participant, reconciliation
from protocol.messages import (
    Claim,
    Claims,
    Commit,
    Reconciled,
    Release,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import Admitted, Part, PartState, answer_to
from runtime.database import StorageError
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

THINK_MS = 60_000
"""For how long in all it is thought about what finds no place at once."""
ORDERS = 4
"""So many other orders are tried where CloudNets of which users were told find no place in one."""

BREATH = 256
"""So many claims are worked on before other tasks have their turn."""

_log = structlog.get_logger(__name__)


class Recovery:
    """Knows which life of the agent this is, and brings it back to what orchestrators hold it to.

    ``orchestrators``: whose claims it waits for; None: those of all stored parts and of those that
    say that they know the agent, or if there are none, of the first that comes. ``raised`` is
    called when the epoch was raised: everybody must describe the agent again. ``advisor``: asks
    the backend how parts with a graph may lie.
    """

    def __init__(
        self,
        parts: Parts,
        timers: Timers[Due],
        send: Send,
        orchestrators: Collection[str] | None,
        advisor: Advisor,
    ) -> None:
        self.life = Life()
        self.raised: Callable[[], None] = lambda: None
        self.over: Callable[[], None] = lambda: None
        self._parts = parts
        self._timers = timers
        self._send, self._advisor = send, advisor
        self._only = None if orchestrators is None else frozenset(orchestrators)
        self._known: set[str] = set()
        self._greeted: set[str] = set()
        self._collected = Collected()
        # The epoch that is to be written; not above the present one: none.
        self._raise_to = 0
        self._changing = asyncio.Lock()

    def take_up(self, life: Life) -> None:
        """At start, once the parts are known."""
        self.life = life
        if life.recovering:
            self._begin()

    def awaited(self) -> tuple[str, ...]:
        """Whose claims are still missing; empty when it does not recover, or waits for anybody."""
        if not self.life.recovering:
            return ()
        return tuple(sorted(self._needed() - self._collected.orchestrators()))

    def misses(self, sender: Sender) -> bool:
        """Whether an instance should have sent claims and has sent none."""
        counts = self._only is None or sender.orchestrator_id in self._only
        return self.life.recovering and counts and not self._collected.has_begun(sender)

    async def greet(self, seen: Seen | None, orchestrator_id: str = "") -> None:
        """An orchestrator is there that remembers ``seen`` of the agent (None: nothing).

        Raises RestoredError when the epoch was raised, because of this or meanwhile, and
        StorageError when it could not be: from then on nothing is admitted either way.
        """
        epoch = self.life.epoch
        if seen is not None:
            old = is_old_copy(self.life, seen)
            if orchestrator_id and (old or self.life.recovering):
                self._greeted.add(orchestrator_id)
            if old:
                self._raise_to = max(self._raise_to, seen.epoch + 1, epoch + 1)
                self._rule()
        if self._raise_to > epoch:
            await self._raise()
        if self.life.epoch != epoch:
            raise RestoredError(f"the agent's database was an old copy: epoch {self.life.epoch}")

    async def hear(self, sender: Sender, claims: Claims) -> None:
        """Takes in what an orchestrator claims; ends recovery when nothing is missing."""
        if claims.agent_epoch != self.life.epoch or self._raise_to > self.life.epoch:
            _log.info("claims of another epoch", sender=sender, epoch=claims.agent_epoch)
            return
        if not self.life.recovering:
            self._send(sender, Reconciled(claims.agent_epoch, claims.claims_id))
            return
        wrong = {claim.prep.orchestrator_id for claim in claims.claims} - {sender.orchestrator_id}
        if wrong or (self._only is not None and sender.orchestrator_id not in self._only):
            _log.warning("claims of a stranger ignored", sender=sender, claims_for=sorted(wrong))
            return
        try:
            complete = self._collected.add(sender, claims)
        except TooManyClaimsError as error:
            _log.warning("claims dropped", sender=sender, reason=str(error))
            return
        if complete:
            _log.info("claims complete", sender=sender, still_awaited=self.awaited())
            await self.attempt()

    async def look(self) -> None:
        """At start: finds out what hosts have that outlived the life before."""
        await self._advisor.look()
        if not self._parts.rules.recovering:
            self._notice()

    async def attempt(self) -> None:
        """Does what is due and was not possible before; tries again later when it still is not."""
        try:
            if self._raise_to > self.life.epoch:
                await self._raise()
            await self._finish()
        except StorageError as error:
            _log.warning("recovery not stored, will be tried again", error=str(error))
            self._again()

    def _needed(self) -> frozenset[str]:
        if self._only is not None:
            return self._only
        return frozenset(self._known | self._greeted)

    def _begin(self) -> None:
        self._collected = Collected()
        self._known = self._parts.records.orchestrators()
        self._rule()
        _log.warning(
            "recovery begins: nothing new is taken until all claims are there",
            domain=self._parts.book.domain.name,
            epoch=self.life.epoch,
            awaited=self.awaited() or "any orchestrator",
        )

    def _rule(self) -> None:
        recovering = self.life.recovering or self._raise_to > self.life.epoch
        self._parts.rules = replace(self._parts.rules, recovering=recovering)

    async def _raise(self) -> None:
        async with self._changing:
            if self._raise_to <= self.life.epoch:
                return
            life = replace(self.life, epoch=self._raise_to, recovering=True)
            try:
                await self._parts.write((), life=life)
            except StorageError:
                self._again()
                raise
            self.life = life
            self._begin()
            self.raised()

    def _again(self) -> None:
        self._timers.set(RecoveryDue(), self._parts.clock.now_ms() + AGAIN_MS)

    async def _finish(self) -> None:
        if self._is_complete():
            await self._advisor.look()
        async with self._changing, self._parts.turns.alone():
            if not self._is_complete():
                return
            senders = dict(self._collected.senders)
            outcome = await self._reconciled()
            if not self._is_complete() or self._collected.senders != senders:
                # More was claimed while it was thought about: all is worked on again.
                self._take_back(outcome)
                self._again()
                return
            life = replace(self.life, recovering=False)
            try:
                await self._parts.advance(
                    *outcome.dropped, *outcome.adopted, life=life, decisions=outcome.decisions
                )
            except StorageError:
                self._take_back(outcome)
                raise
            self._suspect(outcome)
            self.life = life
            self._greeted.clear()
            senders, self._collected = self._collected.senders, Collected()
            self._rule()
            self._parts.provisioner.recovered()
            self._notice()
        self._tell(outcome, senders)
        self.over()

    def _is_complete(self) -> bool:
        """Whether it recovers, and all claims are there."""
        missing = self.awaited() or not self._collected.orchestrators()
        return self.life.recovering and not missing and self._raise_to <= self.life.epoch

    def _suspect(self, outcome: Outcome) -> None:
        """What was taken up by claims may be on devices from before, also where it only stands by
        now: it must be taken off when it is released."""
        for _, part in outcome.adopted:
            record = self._parts.records.get((part.transaction_id, part.part_id))
            if record is not None:
                self._parts.provisioner.suspect(record)

    def _notice(self) -> None:
        """What runs on hosts has begun, also where a clock that was set back says that it has not
        and no record that it has: it must be taken off when it is released."""
        for record in [*self._parts.records.awake()]:
            if record.part.state is PartState.COMMITTED and self._is_seen(record):
                self._parts.provisioner.noticed(record)

    def _is_seen(self, record: Record) -> bool:
        """Whether hosts have VNodes of it."""
        prep = record.part.prep
        return prep is not None and self._advisor.seen(prep) is not None

    async def _reconciled(self) -> Outcome:
        """Takes and gives back capacity in memory, and says what is to be written and answered."""
        outcome, now_ms = Outcome(), self._parts.clock.now_ms()
        good, wrong = sort_out(self._collected.claims(), self._owner_of)
        for claim in wrong:
            self._refuse(outcome, claim)
        records = self._parts.records
        # Of what sleeps only that which nobody claims matters: it is given up.
        claimed = {(claim.prep.transaction_id, claim.prep.part_id) for claim in good}
        forgotten = [key for key in records.live_keys() if key not in claimed]
        for key in forgotten:
            records.get(key)
        parts = [record.part for record in records.awake()]
        for part in reconciliation.yielding(parts, good):
            before = records.get((part.transaction_id, part.part_id))
            assert before is not None
            outcome.yielded.append(before)
            self._parts.provisioner.suspect(before, seen=self._is_seen(before))
            self._parts.book.free(*before.key)
        for part in reconciliation.unclaimed(parts, good, now_ms):
            before = records.get((part.transaction_id, part.part_id))
            assert before is not None
            outcome.decisions += contradicted(self._parts, before.part, Release(*before.key))
            outcome.dropped.append((before, part))
            self._parts.provisioner.suspect(before, seen=self._is_seen(before))
            self._parts.book.free(*before.key)
        claims = list(reconciliation.in_order(good, now_ms))
        pinned = self._pinned(claims, now_ms)
        # What runs comes first: beside it there may be little choice.
        running = {claim.prep.reservation_id for claim in claims if key_of(claim.prep) in pinned}
        claims.sort(key=lambda claim: claim.prep.reservation_id not in running)
        nets: list[Adopted] = []
        async for adopted in self._adopt_each(claims, pinned, now_ms):
            if adopted.claim.prep.graph:
                nets.append(adopted)
            else:
                self._note(outcome, adopted)
        for adopted in await self._reordered(nets, now_ms):
            self._note(outcome, adopted)
        return outcome

    async def _reordered(self, nets: Sequence[Adopted], now_ms: int) -> Sequence[Adopted]:
        """The same, if all that users were told has a place, or what comes of another order: one in
        which whoever found none comes first, its versions in their order."""
        hopeless = {each.claim.prep.reservation_id for each in nets if each.moved}
        moved: set[str] = set()
        for _ in range(ORDERS):
            late = self._parts.clock.now_ms() >= now_ms + THINK_MS
            without = {each.claim.prep.reservation_id for each in nets if each.is_refused}
            if late or not (without or moved):
                break
            without |= moved
            for adopted in nets:
                if adopted.is_placed:
                    self._parts.book.free(adopted.part.transaction_id, adopted.part.part_id)
            claims = [adopted.claim for adopted in nets]
            claims.sort(key=lambda claim: claim.prep.reservation_id not in without)
            again = self._adopt_each(claims, self._pinned(claims, now_ms), now_ms)
            nets = [adopted async for adopted in again]
            # In the first order nothing else had the room of what was moved: it can have no more.
            moved = {each.claim.prep.reservation_id for each in nets if each.moved} - hopeless
        return nets

    async def _adopt_each(
        self, claims: Iterable[Claim], pinned: Collection[Key], now_ms: int
    ) -> AsyncIterator[Adopted]:
        for count, claim in enumerate(claims, 1):
            advice, pin = None, key_of(claim.prep) in pinned
            if pin:
                self._parts.book.free(*key_of(claim.prep))
                advice = self._advisor.recalled(claim.prep)
            adopted = await self._adopt(claim, now_ms, advice)
            yield replace(adopted, moved=pin and advice is None)
            if pin or not count % BREATH:
                await asyncio.sleep(0)

    def _pinned(self, claims: Iterable[Claim], now_ms: int) -> Collection[Key]:
        """Holds what VNodes take that run where they were seen, until it is their turn: nothing
        else may have their place. Of what was told, has begun and is not known."""
        pinned = set()
        for claim in claims:
            prep, key = claim.prep, key_of(claim.prep)
            # Most claims are of circuits: what is known of them is looked up once, later.
            if not (claim.told and prep.graph and reconciliation.has_begun(prep, now_ms)):
                continue
            known = self._parts.records.get(key)
            is_new = known is None or not participant.holds(known.part.state)
            seen = self._advisor.seen(prep) if is_new else None
            if seen is not None:
                self._parts.book.restore(prep, seen.to_json())
                pinned.add(key)
        return pinned

    def _take_back(self, outcome: Outcome) -> None:
        """It could not be written: what was held is held as it was."""
        for record in outcome.yielded:
            self._parts.book.free(*record.key)
        dropped = [before for before, _ in outcome.dropped if before is not None]
        for record in (*outcome.yielded, *dropped):
            self._parts.restore(record.part)

    async def _adopt(self, claim: Claim, now_ms: int, advice: object = None) -> Adopted:
        prep = claim.prep
        before = self._parts.records.get((prep.transaction_id, prep.part_id))
        known = None if before is None else before.part
        adopted = Adopted(claim, before, *self._adopted(known, claim, now_ms, advice))
        if prep.graph and adopted.is_refused and self._parts.clock.now_ms() < now_ms + THINK_MS:
            # When it was held there was time to think: what was told is worth as much again.
            advice = await self._advisor.on_graph(prep)
            adopted = Adopted(claim, before, *self._adopted(known, claim, now_ms, advice))
        if known is None:
            return adopted
        word = Commit(prep.transaction_id, prep.part_id)
        decisions = contradicted(self._parts, known, word)
        return replace(adopted, part=confirmed(adopted.part, word), decisions=decisions)

    def _note(self, outcome: Outcome, adopted: Adopted) -> None:
        claim, answer = adopted.claim, adopted.answer
        outcome.decisions += adopted.decisions
        if adopted.is_changed:
            outcome.adopted.append((adopted.before, adopted.part))
        if not answer.ok:
            outcome.refused += 1
            if claim.told and adopted.part.state is not PartState.RELEASED:
                reason = answer.refusal.reason if answer.refusal else ""
                word = Commit(claim.prep.transaction_id, claim.prep.part_id)
                _log.error("what a user was told is not held", claim=word, reason=reason)
        outcome.answers.setdefault(claim.prep.orchestrator_id, []).append(self._named(answer))

    def _adopted(
        self, known: Part | None, claim: Claim, now_ms: int, advice: object
    ) -> tuple[Part, ReservationResp]:
        def admit(prep: ReservationPrep) -> Admitted | Refusal:
            return self._admit_told(prep, advice) if claim.told else self._parts.admit(prep)

        return reconciliation.adopt(known, claim, now_ms, admit, self.life.epoch)

    def _admit_told(self, prep: ReservationPrep, advice: object) -> Admitted | Refusal:
        """What a user was told is not measured by today's policy; what is over needs no room.

        Where there is room it takes it: a clock that is ahead will be right again.
        """
        outcome = self._parts.book.admit(prep, advice)
        over = reconciliation.is_over(prep, self._parts.clock.now_ms())
        if over and isinstance(outcome, Refusal):
            return Admitted(Placement((), ()).to_json())
        return outcome

    def _refuse(self, outcome: Outcome, claim: Claim) -> None:
        commit = Commit(claim.prep.transaction_id, claim.prep.part_id)
        refusal = Refusal(RefusalKind.POLICY, "the part is another orchestrator's")
        answer = answer_to(commit, False, refusal, self.life.epoch)
        outcome.refused += 1
        outcome.answers.setdefault(claim.prep.orchestrator_id, []).append(self._named(answer))

    def _named(self, answer: ReservationResp) -> ReservationResp:
        if answer.refusal is None or answer.refusal.domain:
            return answer
        refusal = replace(answer.refusal, domain=self._parts.book.domain.name)
        return replace(answer, refusal=refusal)

    def _owner_of(self, key: Key) -> str | None:
        record = self._parts.records.get(key)
        prep = None if record is None else record.part.prep
        return None if prep is None else prep.orchestrator_id

    def _tell(self, outcome: Outcome, senders: Mapping[Sender, str]) -> None:
        _log.warning(
            "recovery is over",
            domain=self._parts.book.domain.name,
            epoch=self.life.epoch,
            dropped=len(outcome.dropped),
            adopted=sum(part.state is PartState.COMMITTED for _, part in outcome.adopted),
            refused=outcome.refused,
        )
        for sender, claims_id in senders.items():
            for answer in outcome.answers.get(sender.orchestrator_id, ()):
                self._send(sender, answer)
            self._send(sender, Reconciled(self.life.epoch, claims_id))
