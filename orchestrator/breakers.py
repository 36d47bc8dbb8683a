"""The breakers of all domains, and which of them a negotiation may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from orchestrator.breaker import CLOSED, Breaker, BreakerState, Signal, step
from orchestrator.cloudnet_answers import proof_of_none
from orchestrator.finder import RouteFinder
from orchestrator.negotiation import Failure, Question
from orchestrator.ports import Gateway
from runtime.clock import Clock
from substrate.labels import Plan
from substrate.model import Criteria, Refusal, RefusalKind
from substrate.topology import Topology
from substrate.values import replace

log = structlog.get_logger()

T = TypeVar("T")

VIEWS_MAX = 64
LEFT_OUT_MAX = 16
"""So many domains that were left out are named one by one; of more is told how many."""


@dataclass(slots=True)
class _View:
    """A topology without some domains, and the routes that it is known to have."""

    topology: Topology
    finder: RouteFinder


class Breakers:
    """Hears how domains answer, and keeps silent ones out of negotiations.

    The same topology object is given out as long as the gateway's and the breakers stay the same.
    """

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway, self._clock = gateway, clock
        # Only those that have something to remember.
        self._breakers: dict[str, Breaker] = {}
        self._trials: dict[str, int] = {}
        self._trial = 0
        self._base = Topology([])
        self._views: dict[frozenset[str], _View] = {}
        self._known = _View(self._base, RouteFinder())

    def of(self, domain: str) -> Breaker:
        """The domain's breaker as it is now."""
        return self._breakers.get(domain, CLOSED)

    def hear(self, domain: str, signal: Signal) -> None:
        """How the domain answered, or did not."""
        before = self.of(domain)
        if before is CLOSED and signal is Signal.HELD:
            # As it should be: for every part.
            return
        after = step(before, signal, self._clock.now_ms())
        if after is before or after == before:
            return
        if after == CLOSED:
            self._breakers.pop(domain, None)
        else:
            self._breakers[domain] = after
        if after.state is not BreakerState.TRIED:
            self._trials.pop(domain, None)
        if BreakerState.OPEN in (before.state, after.state) or after.state is BreakerState.CLOSED:
            self._tell(domain, before, after)

    def due(self) -> tuple[str, ...]:
        """The domains whose cool-down is over; each is to be asked whether it is there."""
        found = []
        for domain in sorted(self._breakers):
            was = self.of(domain).state
            self.hear(domain, Signal.DUE)
            if self.of(domain).state is not was:
                found.append(domain)
        return tuple(found)

    def question(
        self, criteria: Criteria, deadline_ms: int, finder: RouteFinder, in_force: Plan | None
    ) -> Question:
        """What is negotiated, over the domains that are up and not left out.

        The first question that could use a READY domain gets it, and is its trial: call ``ended``.
        ``finder``: what to use while no domain is left out.
        """
        base = self._gateway.topology()
        out = self._left_out(base)
        if not out:
            return Question(criteria, deadline_ms, base, finder, in_force)
        ready = frozenset(d for d in out if self.of(d).state is BreakerState.READY)
        tried = self._on_routes(criteria, self._view(base, out - ready), ready)
        view = self._view(base, out - tried)
        question = Question(criteria, deadline_ms, view.topology, view.finder, in_force)
        if not tried:
            return question
        self._trial += 1
        for domain in sorted(tried):
            self.hear(domain, Signal.TAKEN)
            self._trials[domain] = self._trial
        return replace(question, trial=self._trial)

    def ended(self, question: Question) -> None:
        """The negotiation is over: what it was to try and did not is another one's to try."""
        for domain, trial in list(self._trials.items()):
            if trial == question.trial:
                self.hear(domain, Signal.RETURNED)

    def explained(self, question: Question, outcome: T | Failure) -> T | Failure:
        """A failure that also names the domains which were silent or away and might have helped."""
        if not isinstance(outcome, Failure):
            return outcome
        base, criteria = self._gateway.topology(), question.criteria
        out = self._left_out(base).union(self._gateway.known().domains.keys() - base.domains.keys())
        out -= question.topology.domains.keys() | frozenset(criteria.constraints.avoid_domains)
        if not out:
            return outcome
        missed = self._on_routes(criteria, self._whole(), out)
        refusals = (*self._refusals(sorted(missed)), *outcome.refusals)
        proof = outcome.proof
        if missed and proof is not None:
            proof = proof_of_none(proven=False)
        return replace(outcome, refusals=refusals, proof=proof)

    def _left_out(self, base: Topology) -> frozenset[str]:
        return frozenset(
            domain
            for domain, breaker in self._breakers.items()
            if breaker.state is not BreakerState.CLOSED and domain in base.domains
        )

    def _view(self, base: Topology, out: frozenset[str]) -> _View:
        if base is not self._base or len(self._views) >= VIEWS_MAX:
            self._base, self._views = base, {}
        if out not in self._views:
            kept = [d for name, d in base.domains.items() if name not in out]
            self._views[out] = _View(Topology(kept), RouteFinder())
        return self._views[out]

    def _whole(self) -> _View:
        """With all domains, also those that are away."""
        known = self._gateway.known()
        if known is not self._known.topology:
            self._known = _View(known, RouteFinder())
        return self._known

    def _on_routes(self, criteria: Criteria, view: _View, domains: Iterable[str]) -> frozenset[str]:
        """Those of the domains which the routes of these criteria cross; of a CloudNet, all."""
        wanted = frozenset(domains)
        if not wanted or criteria.cloudnet is not None:
            return wanted
        routes = view.finder.to_all(view.topology, criteria)
        return wanted & {c.domain for route in routes for c in route.crossings}

    def _refusals(self, domains: Sequence[str]) -> Iterator[Refusal]:
        """A CloudNet may miss all that are away: its answer is written down, and must be short."""
        yield from map(self._refusal, domains[:LEFT_OUT_MAX])
        if more := len(domains[LEFT_OUT_MAX:]):
            yield Refusal(RefusalKind.UNAVAILABLE, f"left out, too, are {more} more")

    def _refusal(self, domain: str) -> Refusal:
        if domain not in self._gateway.topology().domains:
            reason = f"{domain} is left out: it cannot be reached"
            return Refusal(RefusalKind.UNAVAILABLE, reason, domain=domain)
        breaker = self.of(domain)
        left_s = max(0.0, (breaker.retry_at_ms - self._clock.now_ms()) / 1000)
        again = f"in {left_s:.0f} s" if left_s >= 0.5 else "now"
        reason = (
            f"{domain} is left out: it did not answer {breaker.silences} times in a row; "
            f"it is tried again {again}"
        )
        return Refusal(RefusalKind.UNAVAILABLE, reason, domain=domain)

    def _tell(self, domain: str, before: Breaker, after: Breaker) -> None:
        if after.state is BreakerState.OPEN:
            log.warning(
                "domain is silent, left out", domain=domain, silences=after.silences,
                cooldown_s=after.cooldown_ms / 1000,
            )  # fmt: skip
        elif after.state is BreakerState.CLOSED and before.state is not BreakerState.CLOSED:
            log.info("domain answers again", domain=domain)
