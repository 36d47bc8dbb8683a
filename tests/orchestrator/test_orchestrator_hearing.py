"""Each domain speaks for itself alone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from orchestrator.bargain import OpenQuestions, Patience
from protocol.messages import Offer, PortOffer, ReqOffers, SendOffers
from substrate.model import Directionality, Step, Window
from substrate.vlans import ALL_VLANS

FREE = (Step(0, 5),)


async def test_what_a_domain_says_of_others_is_not_heard() -> None:
    asked: list[ReqOffers] = []
    kept: list[SendOffers] = []

    def send(_domain: str, question: ReqOffers) -> bool:
        asked.append(question)
        return True

    gateway: Any = SimpleNamespace(send=send)
    quiet: Any = SimpleNamespace(hear=lambda *_: None, phase=lambda *_: None)
    ids: Any = SimpleNamespace(new=lambda: "q1")
    questions = OpenQuestions(gateway, ids, Patience(), quiet, asyncio.ensure_future, quiet)
    question = ReqOffers("", Window(0, 9), (("a:1", "a:2"),), 5, Directionality.BIDIRECTIONAL)
    answer = asyncio.ensure_future(questions.ask("a", question, 5, kept.append))
    await asyncio.sleep(0)
    own, ports = Offer("", "a:1", "a:2", FREE), (PortOffer("a:1", FREE, ALL_VLANS),)
    foreign = Offer("", "b:1", "b:2", ())
    lies = SendOffers(
        asked[0].query_id, "b", (own, foreign), (*ports, PortOffer("b:1", (), ALL_VLANS))
    )
    questions.answered("a", lies)
    assert await answer == kept[0] == SendOffers("q1", "a", (own,), ports)
