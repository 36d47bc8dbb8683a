"""Plans made of nothing but what is remembered: they are written with the request itself.

So a request for which no domain has to be asked is durable together with the parts that its domains
are asked to hold, in one write instead of two. See docs/decisions/0029-first-plan.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TypeVar

from orchestrator.bargain import LiveBargain
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import (
    Bargain,
    Failure,
    Planner,
    Progress,
    Question,
    negotiate,
    plan_for,
)
from protocol.coordinator import Prepare
from protocol.messages import SendOffers
from substrate.labels import Plan
from substrate.model import Refusal, Window
from substrate.options import Pair
from substrate.values import dataclass

T = TypeVar("T")


class _AskedError(Exception):
    """Something is not remembered, or is to be looked for at length."""


@dataclass(slots=True)
class _Remembering:
    """A :class:`Bargain` that asks nobody. ``told``: what was reported."""

    bargain: Bargain
    told: list[Progress] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.bargain.now_ms()

    def remembered(self, domain: str, pairs: frozenset[Pair], window: Window) -> SendOffers | None:
        return self.bargain.remembered(domain, pairs, window)

    def forgets(self) -> bool:
        raise _AskedError

    async def ask(self, *_args: object, **_more: object) -> Mapping[str, SendOffers | None]:
        raise _AskedError

    async def prepare(self, *_args: object, **_more: object) -> Mapping[str, None]:
        raise _AskedError

    async def drop(self, domains: frozenset[str]) -> None:
        raise _AskedError

    async def compute(self, work: Callable[[], T]) -> T:
        raise _AskedError

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)


@dataclass(frozen=True, slots=True)
class Begun:
    """A negotiation whose first plan is made, and ``parts`` of it are to be written and sent."""

    question: Question
    bargain: Bargain
    plan: Plan
    knowledge: Knowledge
    told: tuple[Progress, ...]
    parts: Prepare

    async def negotiate(self) -> Plan | Failure:
        """As :func:`orchestrator.negotiation.negotiate`, once the parts were sent."""
        for progress in self.told:
            self.bargain.tell(progress)
        return await negotiate(self.question, self.bargain, self._planner())

    def _planner(self) -> Planner:
        async def plans(
            question: Question, knowledge: Knowledge, bargain: Bargain, *, announce: bool
        ) -> tuple[Plan | Refusal, Knowledge]:
            if announce:
                return self.plan, self.knowledge
            return await plan_for(question, knowledge, bargain, announce=False)

        return plans


async def begun(question: Question, bargain: LiveBargain) -> Begun | None:
    """The first plan of ``negotiate`` for criteria that do not bend; never waits.

    None: something must be asked for first, or there is none.
    """
    remembering = _Remembering(bargain)
    try:
        plan, knowledge = await plan_for(question, Knowledge(), remembering, announce=True)
    except _AskedError:
        return None
    if not isinstance(plan, Plan):
        return None
    parts = bargain.begin(plan.segments)
    return Begun(question, bargain, plan, knowledge, tuple(remembering.told), Prepare(parts))
