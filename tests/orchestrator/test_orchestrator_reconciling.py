"""A domain whose database is an old copy is found out, and hears what it is held to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from test_orchestrator_owning import committed_tx
from test_orchestrator_store import creation

from orchestrator import reconciling
from orchestrator.engine import Engine, Limits
from orchestrator.memory import MemoryStore
from orchestrator.ports import AgentIdentity, Changes, ConflictError, Listener, PartKey
from orchestrator.reconciling import Reconciling
from protocol.coordinator import Answered, PartStatus, Prepare, begin, step
from protocol.messages import Claim, Claims, Phase, Reconciled, ReservationResp, ToAgent
from runtime.clock import RandomIds, SystemClock
from substrate.model import Domain
from substrate.topology import Topology

LIFE = AgentIdentity(1, 4, "i")
KEY = ("tx-1", "p-1")


@dataclass
class Gateway:
    """Domains that hear everything, are away, or have no room."""

    away: bool = False
    full: bool = False
    heard: list[ToAgent] = field(default_factory=list)

    def topology(self) -> Topology:
        return Topology([] if self.away else [Domain("m1", True, "wan", ())])

    def known(self) -> Topology:
        return Topology([])

    def states(self) -> dict[str, bool]:
        return {name: name in self.topology().domains for name in self.known().domains}

    def awaited(self) -> frozenset[str]:
        return frozenset()

    def domain(self, name: str) -> Domain | None:
        return None

    def listen(self, listener: Listener) -> None:
        pass

    def send(self, domain: str, message: ToAgent) -> bool:
        heard = not (self.away or self.full)
        if heard:
            self.heard.append(message)
        return heard


@dataclass
class Scene:
    gateway: Gateway
    store: MemoryStore
    engine: Engine
    subject: Reconciling
    held: frozenset[PartKey] = frozenset()
    asked: int = 0

    async def holdings(self) -> frozenset[PartKey]:
        self.asked += 1
        return self.held

    async def meet(self, identity: AgentIdentity) -> None:
        await self.subject.meet("m1", identity, self.holdings)

    async def promised(self, status: PartStatus = PartStatus.COMMITTED, told: bool = True) -> None:
        await self.store.save(creation(1))
        await self.store.save(Changes(transactions=(committed_tx(told, status=status),)))


@pytest.fixture
def scene() -> Scene:
    gateway, store = Gateway(), MemoryStore()
    engine = Engine("braid", store, gateway, SystemClock(), RandomIds(), Limits())
    return Scene(gateway, store, engine, Reconciling(engine))


async def until(condition: object) -> None:
    async with asyncio.timeout(60):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_domain_that_holds_what_it_said_is_met(scene: Scene) -> None:
    await scene.promised()
    scene.held = frozenset({KEY, ("other", "part")})
    await scene.meet(LIFE)
    assert await scene.subject.met("m1") == LIFE


async def test_a_domain_that_forgot_what_it_said_is_shown_a_later_life(scene: Scene) -> None:
    await scene.promised()
    with pytest.raises(ConflictError):
        await scene.meet(LIFE)
    shown = await scene.subject.met("m1")
    assert shown is not None
    assert (shown.epoch, shown.boot) == (LIFE.epoch, LIFE.boot + 1)
    assert await scene.store.met("m1") is None
    # It finds out by this, raises its epoch and recovers; then it is not asked again.
    raised = AgentIdentity(2, 4, "i", recovering=True)
    await scene.meet(raised)
    assert scene.asked == 1
    assert await scene.subject.met("m1") == raised


@pytest.mark.parametrize(
    ("status", "told"), [(PartStatus.COMMITTING, False), (PartStatus.RELEASED, True)]
)
async def test_what_a_domain_need_not_hold_is_not_missed(
    scene: Scene, status: PartStatus, told: bool
) -> None:
    await scene.promised(status, told)
    await scene.meet(LIFE)


async def test_a_domain_that_forgot_what_it_gave_back_is_shown_a_later_life(scene: Scene) -> None:
    await scene.promised(PartStatus.RELEASED)
    scene.held = frozenset({KEY, ("other", "part")})
    with pytest.raises(ConflictError):
        await scene.meet(LIFE)
    shown = await scene.subject.met("m1")
    assert shown is not None
    assert (shown.epoch, shown.boot) == (LIFE.epoch, LIFE.boot + 1)


@pytest.mark.parametrize("status", [PartStatus.COMMITTING, PartStatus.RELEASING])
async def test_what_a_domain_may_still_hold_is_no_surplus(scene: Scene, status: PartStatus) -> None:
    await scene.promised(status, told=False)
    scene.held = frozenset({KEY})
    await scene.meet(LIFE)
    assert scene.asked == 1


async def test_what_is_given_back_while_a_domain_is_asked_is_no_surplus(scene: Scene) -> None:
    await scene.promised(PartStatus.RELEASED)
    answers = [frozenset({KEY}), frozenset[PartKey]()]

    async def holdings() -> frozenset[PartKey]:
        return answers.pop(0)

    await scene.subject.meet("m1", LIFE, holdings)
    assert await scene.subject.met("m1") == LIFE


async def test_the_same_life_is_asked_once(scene: Scene) -> None:
    await scene.promised()
    scene.held = frozenset({KEY})
    await scene.meet(LIFE)
    await scene.meet(LIFE)
    assert scene.asked == 1
    await scene.meet(AgentIdentity(1, 5, "j"))
    assert scene.asked == 2


async def test_a_hold_that_an_undecided_negotiation_goes_by_is_missed_too(scene: Scene) -> None:
    parts = committed_tx().parts
    tx, _ = step(begin("tx-1", "res-1", 1), Prepare(parts), 1)
    yes = ReservationResp("tx-1", "p-1", Phase.PREP, True, None, 1)
    tx, _ = step(tx, Answered("m1", yes), 2)
    scene.engine.transactions.adopt(tx)
    with pytest.raises(ConflictError):
        await scene.meet(LIFE)


async def test_claims_are_sent_in_pages_and_again_until_the_domain_has_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "AGAIN_S", 0.02)
    await scene.promised()
    await scene.meet(AgentIdentity(2, 4, "i", recovering=True))
    scene.subject.up("m1")
    assert scene.subject.waits("m1")
    await until(lambda: len(scene.gateway.heard) >= 3)
    claims = scene.gateway.heard[0]
    assert isinstance(claims, Claims)
    assert (claims.agent_epoch, claims.page, claims.pages) == (2, 0, 1)
    assert [(c.prep.part_id, c.told) for c in claims.claims] == [("p-1", True)]
    assert len({c.claims_id for c in scene.gateway.heard if isinstance(c, Claims)}) >= 3
    scene.subject.done("m1", Reconciled(1, "late"))
    assert scene.subject.waits("m1")
    scene.subject.done("m1", Reconciled(2, claims.claims_id))
    assert not scene.subject.waits("m1")
    await scene.engine.drain()
    count = len(scene.gateway.heard)
    await asyncio.sleep(0.06)
    assert len(scene.gateway.heard) == count
    await scene.engine.stop()


async def test_an_orchestrator_that_claims_nothing_says_so(scene: Scene) -> None:
    await scene.meet(AgentIdentity(2, 4, "i", recovering=True))
    scene.subject.up("m1")
    await until(lambda: scene.gateway.heard)
    claims = scene.gateway.heard[0]
    assert isinstance(claims, Claims)
    assert (claims.pages, claims.claims) == (1, ())
    await scene.engine.stop()


async def test_many_claims_are_several_pages() -> None:
    claim = (await _one_claim(),)
    pages = reconciling._pages(claim * 450, 7, "id")
    assert [len(page.claims) for page in pages] == [200, 200, 50]
    assert [(page.page, page.pages) for page in pages] == [(0, 3), (1, 3), (2, 3)]


async def _one_claim() -> Claim:
    store = MemoryStore()
    await store.save(creation(1))
    await store.save(Changes(transactions=(committed_tx(),)))
    return (await store.claims("m1"))[0]


async def test_a_domain_that_is_away_is_not_sent_claims_until_it_returns(scene: Scene) -> None:
    scene.gateway.away = True
    await scene.meet(AgentIdentity(2, 4, "i", recovering=True))
    scene.subject.up("m1")
    await scene.engine.drain()
    assert scene.gateway.heard == []
    scene.gateway.away = False
    scene.subject.up("m1")
    await until(lambda: scene.gateway.heard)
    await scene.engine.stop()


async def test_claims_that_find_no_room_are_sent_when_there_is_some(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "AGAIN_S", 0.02)
    scene.gateway.full = True
    await scene.meet(AgentIdentity(2, 4, "i", recovering=True))
    scene.subject.up("m1")
    await asyncio.sleep(0.05)
    scene.gateway.full = False
    await until(lambda: scene.gateway.heard)
    await scene.engine.stop()


async def test_what_a_life_that_is_over_says_does_not_make_the_next_an_old_copy(
    scene: Scene,
) -> None:
    await scene.promised(PartStatus.RELEASED)
    after = AgentIdentity(1, 5, "after")
    await scene.store.meet("m1", after)
    scene.held = frozenset({KEY})
    with pytest.raises(ConflictError):
        await scene.meet(LIFE)
    assert await scene.subject.met("m1") == after
