"""What the checker says of VNodes that stop: nothing while a clock that is ahead says they may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.backends.hosts.port import VNodeName
from agents.values import DataPlane, Record
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from simulations.faults import hosted
from simulations.faults.hosted import Hosted
from substrate.model import Window

NAME = VNodeName("1", "a")
END_MS = 1_000_000


class Scene:
    """A provider that runs VNode ``a`` until ``END_MS``."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.guest: object | None = object()
        self.clock = SimpleNamespace(ms=END_MS - 1000)
        self.clock.now_ms = lambda: self.clock.ms
        memory = SimpleNamespace(records={})
        self.party = SimpleNamespace(
            name="west",
            embedder=object(),
            lasting=True,
            clock=self.clock,
            database=SimpleNamespace(memory=memory),
        )
        found = lambda _embedder: {} if self.guest is None else {NAME: self.guest}  # noqa: E731
        patch.setattr(hosted, "guests", found)
        patch.setattr(hosted, "running", lambda _embedder: {})
        patch.setattr(hosted, "names_of", lambda _record: [NAME])
        self.hosted = Hosted(cast(Any, self.party))
        prep = ReservationPrep("t", "p", "1", 1, (), Window(0, END_MS // 1000), "braid", 0)
        self.record = Record(Part("t", "p", PartState.COMMITTED, prep), DataPlane())

    def look(self) -> list[str]:
        return list(self.hosted.problems([self.record]))

    def begin_anew(self) -> None:
        self.guest = object()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(monkeypatch)
    assert made.look() == []
    return made


def test_what_stops_was_interrupted(scene: Scene) -> None:
    scene.guest = None
    assert scene.look() == ["west interrupts 1:a"]


def test_what_begins_anew_was_interrupted(scene: Scene) -> None:
    scene.begin_anew()
    assert scene.look() == ["west interrupts 1:a"]


def test_a_clock_that_is_a_little_ahead_excuses_nothing(scene: Scene) -> None:
    scene.clock.ms += 999
    scene.begin_anew()
    assert scene.look() == ["west interrupts 1:a"]


@pytest.mark.parametrize("down", [True, False])
def test_what_is_over_by_a_clock_that_is_ahead_may_stop(scene: Scene, down: bool) -> None:
    scene.clock.ms += 1000
    scene.guest = None
    embedder, scene.party.embedder = scene.party.embedder, None if down else object()
    assert scene.hosted.watches
    assert scene.look() == []
    scene.clock.ms -= 1000
    scene.party.embedder = embedder
    scene.begin_anew()
    assert scene.look() == []
    scene.guest = None
    assert scene.look() == ["west interrupts 1:a"]
