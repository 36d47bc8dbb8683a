"""Random reservations, changes, cancels and outages: never too much, and nothing left over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings, strategies as st
from simulated import START_S, G, assert_nothing_held, circuit, diamond, virtual

from orchestrator.records import Reservation, State
from simulations.gateway import Message
from simulations.network import Network, build_network
from substrate.model import Strategy, Window

MIDDLE = ("m1", "m2", "m3")


@dataclass(frozen=True)
class Reserve:
    gbps: int
    hour: int
    hours: int
    strategy: Strategy
    more: tuple[str, ...]
    """Other destinations, beside east."""


@dataclass(frozen=True)
class Modify:
    which: int
    gbps: int


@dataclass(frozen=True)
class Cancel:
    which: int


@dataclass(frozen=True)
class Toggle:
    """The domain goes down, or comes up again."""

    domain: str


@dataclass(frozen=True)
class Restart:
    domain: str


Step = Reserve | Modify | Cancel | Toggle | Restart
STEPS = st.lists(
    st.one_of(
        st.builds(
            Reserve,
            st.integers(1, 320),
            st.integers(0, 2),
            st.integers(1, 2),
            st.sampled_from(Strategy),
            st.sampled_from([(), (), ("south:host",), ("south:host", "north:host")]),
        ),
        st.builds(Modify, st.integers(0, 5), st.integers(1, 320)),
        st.builds(Cancel, st.integers(0, 5)),
        st.builds(Toggle, st.sampled_from(MIDDLE)),
        st.builds(Restart, st.sampled_from((*MIDDLE, "west"))),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, blind=st.sets(st.sampled_from(MIDDLE)), lost=st.sets(st.integers(0, 400)))
def test_whatever_happens_nothing_is_lost_or_held_twice(
    steps: list[Step], blind: set[str], lost: set[int]
) -> None:
    sent = 0

    def lossy(domain: str, message: Message) -> Iterable[float]:
        nonlocal sent
        sent += 1
        if sent in lost:
            return ()
        return (0.0, 0.3) if sent % 7 == 0 else (0.0,)

    virtual(_play)(steps, tuple(sorted(blind)), lossy)


async def _play(steps: list[Step], blind: tuple[str, ...], lossy: object) -> None:
    configs = diamond(3, blind=blind, ends=("west", "east", "south", "north"))
    async with await build_network(configs, passage=lossy) as network:  # type: ignore[arg-type]
        ids: list[str] = []
        away: set[str] = set()
        for step in steps:
            await _do(network, step, ids, away)
            await _check(network, ids)
        network.up(*away)
        for reservation_id in ids:
            if (await network.orchestrator.get(reservation_id)).state is State.COMMITTED:
                await network.cancel(reservation_id)
        await asyncio.sleep(900)
        assert_nothing_held(network)


async def _do(network: Network, step: Step, ids: list[str], away: set[str]) -> None:
    match step:
        case Reserve(gbps, hour, hours, strategy, more):
            window = Window(START_S + 3600 * hour, START_S + 3600 * (hour + hours))
            asked = circuit(gbps, window=window, strategy=strategy, more_destinations=more)
            record = await network.reserve(asked)
            ids.append(record.reservation_id)
        case Modify(which, gbps) if which < len(ids):
            record = await network.orchestrator.get(ids[which])
            if record.state is State.COMMITTED:
                after = await network.modify(ids[which], bandwidth_bps=gbps * G)
                assert after.criteria.bandwidth_bps == (
                    gbps * G if after.modified else record.criteria.bandwidth_bps
                )
        case Cancel(which) if which < len(ids):
            record = await network.orchestrator.get(ids[which])
            if record.state is State.COMMITTED:
                await network.cancel(ids[which])
        case Toggle(domain):
            (network.up if domain in away else network.down)(domain)
            away ^= {domain}
        case Restart(domain) if domain not in away:
            await network.restart(domain)


async def _check(network: Network, ids: list[str]) -> None:
    """What users were told is held, and no link carries more than it can."""
    records = [await network.orchestrator.get(reservation_id) for reservation_id in ids]
    standing = [record for record in records if record.state is State.COMMITTED]
    held = {
        (record.part.transaction_id, name)
        for name, records_ in network.held().items()
        for record in records_
    }
    for record in standing:
        for part in record.parts:
            assert (record.transaction_id, part.domain) in held
        for stp in record.criteria.destinations:
            own = [path for path in record.paths if path.hops[-1].egress_stp == stp]
            assert sum(path.bandwidth_bps for path in own) == record.criteria.bandwidth_bps
    for name in MIDDLE:
        for hour in range(4):
            assert _used_bps(standing, name, START_S + 3600 * hour) <= 100 * G


def _used_bps(records: list[Reservation], domain: str, at_s: int) -> int:
    return sum(
        path.bandwidth_bps
        for record in records
        if record.criteria.window.start_s <= at_s < record.criteria.window.end_s
        for path in record.paths
        if domain in {hop.domain for hop in path.hops}
    )
