"""What the breakers of all domains say of those that a negotiation had to do without."""

from __future__ import annotations

from typing import Any

import pytest
from networks import diamond

from orchestrator.breakers import LEFT_OUT_MAX, Breakers
from orchestrator.finder import RouteFinder
from orchestrator.negotiation import Failure
from runtime.clock import SystemClock
from substrate.model import CloudNet, Criteria, Refusal, RefusalKind, Window
from substrate.topology import Topology

NO = Refusal(RefusalKind.RESOURCE, "no mapping was found")


class Gateway:
    """All domains of a diamond, of which those in the middle are away."""

    def __init__(self, middle: int) -> None:
        self._known = diamond(middle=middle)
        domains = self._known.domains
        self._up = Topology([domains["west"], domains["east"]])

    def topology(self) -> Topology:
        return self._up

    def known(self) -> Topology:
        return self._known


@pytest.mark.parametrize("away", [1, LEFT_OUT_MAX, LEFT_OUT_MAX + 1, 200])
def test_of_many_domains_that_are_away_a_cloudnet_is_told_some_and_how_many_more(away: int) -> None:
    gateway: Any = Gateway(away)
    breakers = Breakers(gateway, SystemClock())
    criteria = Criteria("", "", 0, Window(0, 60), cloudnet=CloudNet(b""))
    question = breakers.question(criteria, 0, RouteFinder(), None)
    outcome = breakers.explained(question, Failure((NO,)))
    assert isinstance(outcome, Failure)
    *told, last = outcome.refusals
    assert last == NO
    assert {refusal.kind for refusal in told} == {RefusalKind.UNAVAILABLE}
    named, more = told[:LEFT_OUT_MAX], told[LEFT_OUT_MAX:]
    names = sorted(f"m{i}" for i in range(1, away + 1))
    assert [refusal.domain for refusal in named] == names[:LEFT_OUT_MAX]
    left = away - LEFT_OUT_MAX
    assert [refusal.reason for refusal in more] == [f"left out, too, are {left} more"] * (left > 0)
