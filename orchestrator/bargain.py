"""How a negotiation reaches the domains: questions by the gateway, holds by the coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any, TypeVar

from orchestrator.breaker import Signal
from orchestrator.breakers import Breakers
from orchestrator.carrying import awaits
from orchestrator.meter import Meter
from orchestrator.negotiation import NO_GRAPHS, Answer, OffersCame, Progress, Segments
from orchestrator.offers import Offers, more_pairs, only
from orchestrator.ports import Gateway
from orchestrator.transactions import Transactions
from protocol.coordinator import CoordinatorPart, Decision, Drop, PartStatus, Prepare, Transaction
from protocol.messages import Joint, ReqOffers, ReservationPrep, SendOffers
from runtime import telemetry
from runtime.apart import Apart
from runtime.clock import Ids
from substrate.model import Criteria, Directionality, Refusal, RefusalKind, Window
from substrate.options import Pair
from substrate.values import dataclass, replace

T = TypeVar("T")
Asked = asyncio.Task[SendOffers | None]
"""A question that outlives whoever asks it: the offers, None when there were none in time."""
Spawn = Callable[[Coroutine[Any, Any, SendOffers | None]], Asked]
Keep = Callable[[SendOffers], object]
Together = tuple[str, Window, frozenset[Pair], Directionality]
"""What makes two questions the same: the domain, and what it is asked."""
LIVE_STATUSES = frozenset({PartStatus.PREPARING, PartStatus.HELD, PartStatus.REFUSED})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one domain is waited for; the user's own deadline comes on top."""

    offers_s: float = 2.0
    prepare_s: float = 5.0


class OpenQuestions:
    """ReqOffers that await their SendOffers."""

    def __init__(
        self,
        gateway: Gateway,
        ids: Ids,
        patience: Patience,
        breakers: Breakers,
        spawn: Spawn,
        meter: Meter,
    ) -> None:
        self._gateway, self._ids = gateway, ids
        self._patience, self._breakers = patience, breakers
        self._spawn, self._meter = spawn, meter
        self._waiting: dict[str, tuple[str, asyncio.Future[SendOffers], Keep]] = {}
        self._together: dict[Together, Asked] = {}

    async def ask(
        self,
        domain: str,
        question: ReqOffers,
        timeout_s: float,
        keep: Keep = lambda _offers: None,
    ) -> SendOffers | None:
        """The domain's offers, or None when it is down or silent for ``timeout_s``.

        ``keep`` hears the offers before any message that comes after them.
        """
        query_id = self._ids.new()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[SendOffers] = loop.create_future()
        self._waiting[query_id] = (domain, answer, keep)
        began_s = loop.time()
        try:
            if not self._gateway.send(domain, replace(question, query_id=query_id)):
                return None
            offers = await asyncio.wait_for(answer, timeout_s)
            self._breakers.hear(domain, Signal.OFFERED)
            self._meter.phase("offers", loop.time() - began_s)
            return offers
        except TimeoutError:
            # A user in a hurry says nothing about the domain.
            if timeout_s >= self._patience.offers_s:
                self._breakers.hear(domain, Signal.NOT_OFFERED)
            return None
        finally:
            del self._waiting[query_id]

    def begin(self, domain: str, question: ReqOffers, timeout_s: float) -> Asked:
        """As :meth:`ask`, in a task."""
        return self._spawn(self.ask(domain, question, timeout_s))

    def begin_for_all(self, key: Together, ask: Callable[[], ReqOffers], keep: Keep) -> Asked:
        """One question for all who would ask the same at this moment; ``keep`` hears the answer."""
        asked = self._together.get(key)
        if asked is None:
            work = self.ask(key[0], ask(), self._patience.offers_s, keep)
            asked = self._together[key] = self._spawn(work)
            asked.add_done_callback(lambda _: self._together.pop(key))
        return asked

    def answered(self, domain: str, offers: SendOffers) -> None:
        """Hands an answer to who asked; late, doubled and foreign ones are dropped."""
        waiting = self._waiting.get(offers.query_id)
        if waiting is None:
            return
        asked, answer, keep = waiting
        if asked == domain and not answer.done():
            offers = _own(domain, offers)
            keep(offers)
            answer.set_result(offers)


def _own(domain: str, offers: SendOffers) -> SendOffers:
    """Without what a domain says of others."""
    ends = f"{domain}:"
    told = tuple(o for o in offers.offers if o.ingress_stp.startswith(ends))
    ports = tuple(port for port in offers.ports if port.stp.startswith(ends))
    if offers.domain == domain and (told, ports) == (offers.offers, offers.ports):
        return offers
    return replace(offers, domain=domain, offers=told, ports=ports)


@dataclass(slots=True)
class LiveBargain:
    """The :class:`orchestrator.negotiation.Bargain` of one transaction."""

    transaction_id: str
    reservation_id: str
    version: int
    criteria: Criteria
    deadline_ms: int
    orchestrator_id: str
    gateway: Gateway
    questions: OpenQuestions
    transactions: Transactions
    now_ms: Callable[[], int]
    ids: Ids
    patience: Patience
    breakers: Breakers
    tell: Callable[[Progress], None]
    announce: Callable[[int, list[str]], None]
    meter: Meter
    apart: Apart
    offers: Offers
    anew: bool
    """Whether offers are asked for this request alone: for a Modify, whose own holds are free."""
    told: Mapping[str, SendOffers] = field(default_factory=dict)
    """What domains have told this request already, of a time that includes its window."""
    moved: tuple[str, ...] = ()
    """Reservations that may be moved: what they hold counts as free."""
    joint: Joint | None = None
    carried: Mapping[str, str] = field(default_factory=dict)
    """VNodes that are to be carried, should they leave these domains."""
    used_again: bool = False
    rounds: int = 0
    begun: Mapping[str, CoordinatorPart] = field(default_factory=dict)
    """Parts that were asked for already, of the first round."""

    def remembered(self, domain: str, pairs: frozenset[Pair], window: Window) -> SendOffers | None:
        if self.anew or self.rounds > 0:
            return None
        found = self.told.get(domain)
        if found is None:
            directionality, now_ms = self.criteria.directionality, self.now_ms()
            # A hold tells whether there still is as much; without one only the domain does.
            untaken = not self.transaction_id
            found = self.offers.find(domain, pairs, window, directionality, now_ms, untaken)
            if found is not None and self.offers.ages(domain, window, directionality, now_ms):
                self._renew(domain, pairs, window)
        self.used_again = self.used_again or found is not None
        return found

    def forgets(self) -> bool:
        forgets, self.anew, self.used_again = self.used_again, True, False
        return forgets

    async def compute(self, work: Callable[[], T]) -> T:
        return await self.apart(work)

    @telemetry.traced("offers")
    async def ask(
        self, wanted: Mapping[str, frozenset[Pair]], window: Window, aggregate: bool = False
    ) -> Mapping[str, SendOffers | None]:
        left_s = self._left_s(self.patience.offers_s)
        hurried = left_s < self.patience.offers_s
        until_s = asyncio.get_running_loop().time() + left_s
        asked = {
            name: self._begin(name, pairs, window, left_s, aggregate)
            for name, pairs in wanted.items()
        }
        found = {}
        for domain, (question, span) in asked.items():
            if not question.done():
                # A question ends by itself, but not for the sake of one of many who ask it.
                rest_s = until_s - asyncio.get_running_loop().time()
                await asyncio.wait([question], timeout=max(0.0, rest_s) if hurried else None)
            offers = question.result() if question.done() else None
            if offers is not None and span is not None:
                # It is a part of what was told of a longer time, and may say less than there is.
                self.used_again = True
                offers = only(offers, wanted[domain])
            found[domain] = offers
            self.tell(OffersCame(domain, offers, window))
        return found

    def _begin(
        self,
        domain: str,
        pairs: frozenset[Pair],
        window: Window,
        left_s: float,
        aggregate: bool,
    ) -> tuple[Asked, Window | None]:
        """The question, and what span of time it is about when it is not just the window."""
        # In later rounds the domain counts as free what it holds for this request alone.
        alone = self.anew or self.rounds > 0 or aggregate
        span = None if alone else self.offers.span(domain, window, self.now_ms())
        if span is None:
            question = self._question(pairs, window, self.reservation_id)
            question = replace(question, aggregate=True) if aggregate else question
            return self.questions.begin(domain, question, left_s), None
        return self._for_all(domain, pairs, span), span

    def _renew(self, domain: str, pairs: frozenset[Pair], window: Window) -> None:
        """Asks for those who come next."""
        span = self.offers.span(domain, window, self.now_ms())
        if span is not None:
            self._for_all(domain, pairs, span)

    def _for_all(self, domain: str, pairs: frozenset[Pair], span: Window) -> Asked:
        """A question about more than the one who asks needs, whose answer is remembered."""
        directionality = self.criteria.directionality
        pairs = self._more(domain, pairs)

        def ask() -> ReqOffers:
            return replace(self._question(pairs, span, ""), follow=True)

        def keep(offers: SendOffers) -> None:
            self.offers.keep(pairs, span, directionality, offers, self.now_ms())

        return self.questions.begin_for_all((domain, span, pairs, directionality), ask, keep)

    def _more(self, domain: str, pairs: frozenset[Pair]) -> frozenset[Pair]:
        """What else to ask, for others. One way a port's offer depends on what else is asked."""
        described = self.gateway.domain(domain)
        if described is None or self.criteria.directionality is Directionality.UNIDIRECTIONAL:
            return pairs
        return more_pairs(pairs, described)

    def _question(self, pairs: frozenset[Pair], window: Window, reservation_id: str) -> ReqOffers:
        return ReqOffers(
            query_id="",
            window=window,
            pairs=tuple(sorted(pairs)),
            bandwidth_bps=self.criteria.bandwidth_bps,
            directionality=self.criteria.directionality,
            reservation_id=reservation_id,
            traceparent=telemetry.traceparent(),
            moved=self.moved,
        )

    @telemetry.traced("prepare")
    async def prepare(
        self, wanted: Mapping[str, Segments], graphs: Mapping[str, bytes] = NO_GRAPHS
    ) -> Mapping[str, Answer]:
        self.rounds += 1
        before = self.transactions.get(self.transaction_id)
        if before is None or before.decision is not Decision.UNDECIDED:
            return {domain: _overtaken(domain) for domain in wanted}
        parts, self.begun = self.begun, {}
        if not parts:
            await self.drop(frozenset(wanted))
            parts = self._parts(wanted, graphs)
        self.announce(self.rounds, sorted(parts))
        try:
            await self.transactions.apply(self.transaction_id, Prepare(tuple(parts.values())))
        except ValueError:
            return {domain: _overtaken(domain) for domain in wanted}
        ids = {part.part_id: domain for domain, part in parts.items()}
        left_s, began_ms = self._left_s(self.patience.prepare_s), self.now_ms()
        state = await self.transactions.wait(
            self.transaction_id,
            lambda tx: tx.decision is not Decision.UNDECIDED or _all_answered(tx, ids),
            left_s,
        )
        self._judge(state, ids, patient=left_s >= self.patience.prepare_s)
        answers = _answers(state, ids, self.patience.prepare_s)
        self.meter.phase("prepare", (self.now_ms() - began_ms) / 1000)
        for domain, refusal in answers.items():
            if refusal is None:
                self.offers.took(domain, wanted[domain], self.criteria.window)
            else:
                self.offers.drop(domain)
                self.meter.refused(domain, refusal)
        refused = frozenset([domain for domain, refusal in answers.items() if refusal is not None])
        if refused:
            await self.drop(refused)
        return answers

    def begin(self, wanted: Mapping[str, Segments]) -> tuple[CoordinatorPart, ...]:
        """Parts for who writes and sends them; ``prepare`` of the same waits for their answers."""
        self.begun = self._parts(wanted, NO_GRAPHS)
        return tuple(self.begun.values())

    async def drop(self, domains: frozenset[str]) -> None:
        window = self.criteria.window
        await drop_parts(
            self.transactions,
            self.transaction_id,
            lambda part: part.domain in domains and part.prep.window == window,
        )

    def _parts(
        self, wanted: Mapping[str, Segments], graphs: Mapping[str, bytes]
    ) -> dict[str, CoordinatorPart]:
        return {
            domain: self._part(domain, segments, graphs.get(domain, b""))
            for domain, segments in wanted.items()
        }

    def _part(self, domain: str, segments: Segments, graph: bytes) -> CoordinatorPart:
        described = self.gateway.domain(domain)
        part_id = self.ids.new()
        prep = ReservationPrep(
            transaction_id=self.transaction_id,
            part_id=part_id,
            reservation_id=self.reservation_id,
            version=self.version,
            segments=segments,
            window=self.criteria.window,
            orchestrator_id=self.orchestrator_id,
            deadline_ms=self.deadline_ms,
            traceparent=telemetry.traceparent(),
            joint=self.joint,
            graph=graph,
            awaits=awaits(graph, domain, self.carried),
        )
        return CoordinatorPart(
            domain=domain,
            part_id=part_id,
            prep=prep,
            expires=described is None or described.hold_timeout_s is not None,
            status=PartStatus.PREPARING,
            refusal=None,
            sent_ms=0,
            attempts=0,
        )

    def _judge(self, state: Transaction, ids: Mapping[str, str], patient: bool) -> None:
        """Tells the breakers who answered, and who did not although there was time."""
        for part in state.parts:
            if part.part_id not in ids:
                continue
            if part.status is PartStatus.HELD or part.refusal is not None:
                self.breakers.hear(part.domain, Signal.HELD)
            elif (
                patient
                and part.status is PartStatus.PREPARING
                and state.decision is Decision.UNDECIDED
            ):
                self.breakers.hear(part.domain, Signal.NOT_HELD)

    def _left_s(self, most_s: float) -> float:
        return max(0.0, min(most_s, (self.deadline_ms - self.now_ms()) / 1000))


async def drop_parts(
    transactions: Transactions,
    transaction_id: str,
    concerns: Callable[[CoordinatorPart], bool] = lambda _part: True,
) -> None:
    """Gives up what an undecided transaction holds or asks for. Raises StorageError."""
    state = transactions.get(transaction_id)
    if state is None or state.decision is not Decision.UNDECIDED:
        return
    live = (part for part in state.parts if part.status in LIVE_STATUSES)
    ids = tuple(part.part_id for part in live if concerns(part))
    if ids:
        # Decided at this very moment, by a cancel: what is held is given back by that.
        with suppress(ValueError):
            await transactions.apply(transaction_id, Drop(ids))


def _all_answered(transaction: Transaction, ids: Mapping[str, str]) -> bool:
    for part in transaction.parts:
        if part.status is PartStatus.PREPARING and part.part_id in ids:
            return False
    return True


def _answers(
    transaction: Transaction, ids: Mapping[str, str], waited_s: float
) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    for part in transaction.parts:
        domain = ids.get(part.part_id)
        if domain is None:
            continue
        if part.status is PartStatus.HELD:
            answers[domain] = None
        elif part.status is PartStatus.PREPARING:
            reason = f"{domain} did not answer ReservationPrep within {waited_s:g} s"
            answers[domain] = Refusal(RefusalKind.TIMEOUT, reason, domain=domain)
        else:
            answers[domain] = (
                replace(part.refusal, domain=domain) if part.refusal else _overtaken(domain)
            )
    return answers


def _overtaken(domain: str) -> Refusal:
    return Refusal(
        RefusalKind.TOMBSTONE, "the request was cancelled while it was negotiated", domain=domain
    )
