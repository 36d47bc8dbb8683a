"""Domains that are connected but silent: whom they delay, and how they are used again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from simulated import assert_nothing_held, circuit, committed, diamond, shares, virtual

from orchestrator.breaker import COOLDOWN_MAX_MS, SILENCES_MAX, BreakerState
from orchestrator.negotiation import Failure
from orchestrator.records import Granted, Reservation, State
from protocol.messages import ReqOffers, ReservationPrep
from simulations.gateway import Message
from simulations.network import Network, build_network
from substrate.model import Constraints, RefusalKind

USUAL_S = 0.5
RECOVERY_S = COOLDOWN_MAX_MS / 1000 + 5


@dataclass
class Silence:
    """A passage that loses what goes to some domains: everything, or only such messages."""

    kinds: tuple[type, ...] = (object,)
    domains: set[str] = field(default_factory=set)
    lost: int = 0

    def __call__(self, domain: str, message: Message) -> Iterable[float]:
        if domain in self.domains and isinstance(message, self.kinds):
            self.lost += 1
            return ()
        return (0.0,)


async def timed(network: Network, gbps: float = 1) -> tuple[float, Reservation]:
    """How many seconds a Reserve took, and its outcome."""
    began = network.clock.now_ms()
    record = await network.reserve(circuit(gbps))
    return (network.clock.now_ms() - began) / 1000, record


def state(network: Network, domain: str = "m1") -> BreakerState:
    return network.engine.breakers.of(domain).state


@virtual
async def test_a_silent_domain_delays_the_first_requests_and_no_other() -> None:
    silence = Silence(kinds=(ReqOffers, ReservationPrep))
    async with await build_network(diamond(), passage=silence) as network:
        assert (await timed(network))[0] < USUAL_S
        silence.domains.add("m1")
        delays = []
        for _ in range(90):
            took_s, record = await timed(network)
            assert set(shares(committed(record))) == {"m2"}
            delays.append(took_s)
            await asyncio.sleep(2)
        assert [took_s for took_s in delays if took_s > USUAL_S] == delays[:SILENCES_MAX]
        assert state(network) is BreakerState.OPEN
        # The questions that find out whether it is back are few.
        assert silence.lost <= SILENCES_MAX + 7
        silence.domains.clear()
        await asyncio.sleep(RECOVERY_S)
        assert state(network) is BreakerState.CLOSED
        took_s, record = await timed(network, 100)
        assert took_s < USUAL_S
        assert "m1" in shares(committed(record))


@virtual
async def test_the_topology_stays_the_same_object_until_a_breaker_moves() -> None:
    silence = Silence(domains={"m1"})
    async with await build_network(diamond(), passage=silence) as network:
        engine = network.engine

        def seen() -> object:
            return engine.question(circuit(1), 0).topology

        assert seen() is seen() is network.gateway.topology()
        for _ in range(SILENCES_MAX):
            await network.reserve(circuit(1))
        without = engine.question(circuit(1), 0)
        assert sorted(without.topology.domains) == ["east", "m2", "west"]
        assert seen() is without.topology
        assert engine.question(circuit(2), 0).finder is without.finder
        silence.domains.clear()
        await asyncio.sleep(RECOVERY_S)
        assert seen() is network.gateway.topology()


@virtual
async def test_who_needs_a_silent_domain_is_refused_at_once_and_told_why() -> None:
    silence = Silence(domains={"m1"})
    async with await build_network(diamond(1), passage=silence) as network:
        for _ in range(SILENCES_MAX):
            took_s, record = await timed(network)
            assert took_s > USUAL_S
        took_s, record = await timed(network)
        assert took_s < USUAL_S
        assert record.state is State.FAILED
        first, *others = record.refusals
        assert (first.kind, first.domain) == (RefusalKind.UNAVAILABLE, "m1")
        assert first.reason == (
            "m1 is left out: it did not answer 3 times in a row; it is tried again in 5 s"
        )
        assert [refusal.kind for refusal in others] == [RefusalKind.NO_PATH]
        # A dry run is told the same.
        outcome = await network.orchestrator.plan(circuit(1), 30)
        assert isinstance(outcome, Failure)
        assert outcome.refusals[0].domain == "m1"
        silence.domains.clear()
        await asyncio.sleep(RECOVERY_S)
        committed((await timed(network))[1])


@virtual
async def test_only_what_could_have_helped_is_named() -> None:
    silence = Silence(domains={"m1"})
    async with await build_network(diamond(), passage=silence) as network:
        for _ in range(SILENCES_MAX):
            await network.reserve(circuit(1))
        both = await network.attempt(circuit(150))
        assert isinstance(both, Failure)
        assert both.refusals[0].domain == "m1"
        without = circuit(150, constraints=Constraints(avoid_domains=("m1",)))
        refused = await network.attempt(without)
        assert isinstance(refused, Failure)
        assert [refusal.domain for refusal in refused.refusals if refusal.domain == "m1"] == []


@pytest.mark.parametrize("blind", [(), ("m1",)], ids=["visible", "blind"])
@virtual
async def test_a_domain_that_answers_but_cannot_hold_is_tried_by_one_at_a_time(
    blind: tuple[str, ...],
) -> None:
    # As an agent whose database hangs: ReqOffers is answered from memory.
    silence = Silence(kinds=(ReservationPrep,), domains={"m1"})
    async with await build_network(diamond(1, blind=blind), passage=silence) as network:
        for _ in range(SILENCES_MAX):
            took_s, record = await timed(network)
            assert took_s > USUAL_S
            assert record.state is State.FAILED
        assert state(network) is BreakerState.OPEN
        for _ in range(2):
            await until(network, BreakerState.READY)
            before = silence.lost
            outcomes = await asyncio.gather(*(timed(network) for _ in range(20)))
            delayed = [took_s for took_s, _ in outcomes if took_s > USUAL_S]
            assert len(delayed) == 1
            assert silence.lost - before <= 3  # One part, with its repetitions.
        silence.domains.clear()
        await until(network, BreakerState.READY)
        committed((await timed(network))[1])
        assert state(network) is BreakerState.CLOSED


@virtual
async def test_a_trial_that_never_came_to_the_domain_is_another_ones() -> None:
    silence = Silence(kinds=(ReservationPrep,), domains={"m1"})
    async with await build_network(diamond(1), passage=silence) as network:
        for _ in range(SILENCES_MAX):
            await network.reserve(circuit(1))
        await until(network, BreakerState.READY)
        silence.domains.clear()
        assert isinstance(await network.orchestrator.plan(circuit(1), 30), Granted)
        assert state(network) is BreakerState.READY
        impossible = await network.attempt(circuit(500))
        assert isinstance(impossible, Failure)
        assert state(network) is BreakerState.READY
        committed(await network.reserve(circuit(1)))
        assert state(network) is BreakerState.CLOSED


@virtual
async def test_a_user_in_a_hurry_says_nothing_about_a_domain() -> None:
    silence = Silence(domains={"m1"})
    async with await build_network(diamond(1), passage=silence) as network:
        for _ in range(SILENCES_MAX * 2):
            record = await network.reserve(circuit(1), timeout_s=1)
            assert record.state is State.FAILED
        assert network.engine.breakers.of("m1").silences == 0


@virtual
async def test_a_domain_that_connects_anew_is_used_at_once() -> None:
    silence = Silence(domains={"m1"})
    async with await build_network(diamond(1), passage=silence) as network:
        for _ in range(SILENCES_MAX):
            await network.reserve(circuit(1))
        assert state(network) is BreakerState.OPEN
        silence.domains.clear()
        await network.restart("m1")
        assert state(network) is BreakerState.CLOSED
        record = committed(await network.reserve(circuit(1)))
        await network.cancel(record.reservation_id)
        await asyncio.sleep(30)
        assert_nothing_held(network)


@virtual
async def test_silence_of_one_domain_does_not_count_for_another() -> None:
    silence = Silence(kinds=(ReqOffers,), domains={"m1"})
    async with await build_network(diamond(3), passage=silence) as network:
        for _ in range(SILENCES_MAX * 3):
            committed(await network.reserve(circuit(1)))
        states = {name: state(network, name) for name in ("west", "east", "m2", "m3")}
        assert set(states.values()) == {BreakerState.CLOSED}


async def until(network: Network, wanted: BreakerState) -> None:
    """Waits until m1's breaker is in that state."""
    async with asyncio.timeout(RECOVERY_S):
        while state(network) is not wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
