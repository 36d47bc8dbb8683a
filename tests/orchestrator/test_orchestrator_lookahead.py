"""Looking ahead: what domains offer over a span, and what is assumed of those that tell nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from networks import G, diamond

from orchestrator.lookahead import Ahead, look_ahead
from orchestrator.negotiation import Bargain, Question
from protocol.messages import Offer, SendOffers
from substrate.model import Criteria, Refusal, Step, Window
from substrate.options import Pair
from substrate.routes import candidate_routes
from substrate.topology import Topology

SPAN = Window(1000, 2000)


class Domains:
    """A Bargain whose domains offer 60 Gb/s, but for those that are silent."""

    def __init__(self, silent: str = "") -> None:
        self._silent = silent
        self.asked: list[str] = []

    def remembered(self, domain: str, pairs: frozenset[Pair], window: Window) -> None:
        """Nothing was told before."""

    async def ask(
        self, wanted: Mapping[str, frozenset[Pair]], window: Window, aggregate: bool = False
    ) -> dict[str, SendOffers | None]:
        self.asked += wanted
        profile = (Step(window.start_s, 60 * G),)
        return {
            name: None
            if name == self._silent
            else SendOffers("", name, tuple(Offer("", *pair, profile) for pair in pairs), ())
            for name, pairs in wanted.items()
        }


class Finder:
    between = staticmethod(candidate_routes)


async def look(topology: Topology, domains: Domains) -> Ahead | Refusal:
    wish = Criteria("west:host", "east:host", 50 * G, SPAN)
    question = Question(wish, 10**12, topology, cast(Any, Finder()))
    return await look_ahead(question, SPAN, cast(Bargain, domains))


async def test_of_a_blind_domain_its_ports_alone_limit_until_it_refuses() -> None:
    domains = Domains()
    ahead = await look(diamond(blind=frozenset({"m1"}), middle=1), domains)
    assert isinstance(ahead, Ahead)
    assert "m1" not in domains.asked
    assert ahead.search.fits(50 * G, SPAN)
    way, refused = ("m1:west", "m1:east"), Window(1000, 1500)
    known = ahead.search.forecast.capped([(way, refused, 20 * G)])
    assert known.within(refused).caps[way] == 20 * G
    assert known.within(Window(1500, 2000)).caps[way] == 100 * G


async def test_who_does_not_answer_is_left_out() -> None:
    ahead = await look(diamond(middle=2), Domains(silent="m1"))
    assert isinstance(ahead, Ahead)
    assert {name for route in ahead.search.routes for name in route.domains} == {
        "west",
        "m2",
        "east",
    }
    assert isinstance(await look(diamond(middle=1), Domains(silent="m1")), Refusal)
