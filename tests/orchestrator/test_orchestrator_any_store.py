"""Whatever several instances do to it, a store on disk tells the same as the one in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from test_orchestrator_store import CRITERIA, GRANT, PLAN, creation

from orchestrator.memory import MemoryStore
from orchestrator.ports import (
    AgentIdentity,
    Changes,
    ConflictError,
    KnownRequestError,
    LostError,
    StaleEpochError,
    Store,
)
from orchestrator.records import HandDecision, Reservation, cancelled, committed, ended, failed
from orchestrator.store import open_store
from protocol.coordinator import (
    Answered,
    CoordinatorPart,
    Decide,
    PartStatus,
    Prepare,
    ReleaseAll,
    Transaction,
    begin,
    step,
)
from protocol.messages import Phase, ReservationPrep, ReservationResp
from runtime.schema import upgrade
from substrate.model import Window

REFUSALS = (ConflictError, KnownRequestError, LostError, StaleEpochError)
LEASE_MS = 10**9
FAR = Window(1000, 4 * 10**9)
FAR_GRANT = replace(GRANT, criteria=replace(CRITERIA, window=FAR))
NUMBERS = (1, 2, 3)
DOMAINS = ("m1", "m2")


def transaction(number: int, stage: int, epoch: int) -> Transaction:
    """tx-N with a part in each domain, so far: begun, asked, held, decided, confirmed, released."""
    name = f"tx-{number}"
    tx = begin(name, f"res-{number}", 1)
    parts = []
    for domain in DOMAINS:
        prep = ReservationPrep(
            name, f"p-{domain}", f"res-{number}", 1, PLAN.segments["m1"], FAR, "braid", 9000
        )
        status = PartStatus.PREPARING
        parts.append(CoordinatorPart(domain, prep.part_id, prep, False, status, None, 0, 0))
    steps: list[Any] = [Prepare(tuple(parts))]
    for phase in (Phase.PREP, Phase.COMMIT, Phase.RELEASE):
        steps += [
            Answered(domain, ReservationResp(name, f"p-{domain}", phase, True, None, epoch))
            for domain in DOMAINS
        ]
        if phase is not Phase.RELEASE:
            steps.append(Decide(commit=True) if phase is Phase.PREP else ReleaseAll())
    for cause in steps[:stage]:
        tx, _ = step(tx, cause, 10)
    return tx


def reservation(number: int) -> Reservation:
    made = creation(number).reservation
    assert made is not None
    return replace(made, criteria=replace(CRITERIA, window=FAR))


Act = Callable[[Store], Any]


def beginning(number: int, owner: int) -> Act:
    changes = replace(creation(number), reservation=reservation(number))
    return lambda store: store.save(changes, owner)


def writing(number: int, owner: int, stage: int, epoch: int, at_ms: int) -> Act:
    tx = transaction(number, stage, epoch)
    # The fourth step decides.
    decides = frozenset([tx.transaction_id] if stage == 4 else [])
    changes = Changes(transactions=(tx,), at_ms=at_ms, decides=decides)
    return lambda store: store.save(changes, owner)


def recording(number: int, owner: int, kind: str) -> Act:
    before = reservation(number)
    after = {
        "committed": committed(before, FAR_GRANT, 7),
        "failed": failed(before, (), 7),
        "cancelled": cancelled(committed(before, FAR_GRANT, 7), 8),
        "ended": ended(committed(before, FAR_GRANT, 7), 8),
    }[kind]
    return lambda store: store.save(Changes(reservation=after), owner)


def together(number: int, owner: int, epoch: int, at_ms: int) -> Act:
    """Two are decided in one write."""
    numbers = (number, number % 3 + 1)
    transactions = tuple(transaction(each, 4, epoch) for each in numbers)
    first, other = (committed(reservation(each), FAR_GRANT, 7) for each in numbers)
    changes = Changes(
        reservation=first,
        others=(other,),
        transactions=transactions,
        at_ms=at_ms,
        decides=frozenset(tx.transaction_id for tx in transactions),
    )
    return lambda store: store.save(changes, owner)


def deciding(number: int, domain: str, commit: bool, at_ms: int) -> Act:
    decision = HandDecision(
        f"tx-{number}", f"p-{domain}", f"res-{number}", domain, commit, "olga", "", at_ms
    )
    return lambda store: store.save(Changes(hand=decision), 0)


OWNERS = st.sampled_from([3, 3, 2, 1])
NUMBER = st.sampled_from(NUMBERS)
TIMES = st.integers(1, 50)
ACTS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just(beginning), NUMBER, OWNERS),
    st.tuples(st.just(writing), NUMBER, OWNERS, st.integers(1, 9), st.integers(1, 2), TIMES),
    st.tuples(
        st.just(recording),
        NUMBER,
        OWNERS,
        st.sampled_from(["committed", "failed", "cancelled", "ended"]),
    ),
    st.tuples(st.just(together), NUMBER, OWNERS, st.integers(1, 2), TIMES),
    st.tuples(st.just(deciding), NUMBER, st.sampled_from(DOMAINS), st.booleans(), TIMES),
    st.tuples(st.just("meet"), st.sampled_from(DOMAINS), st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.just("take_one"), OWNERS, NUMBER),
    st.tuples(st.just("take"), OWNERS),
    st.tuples(st.just("renew"), OWNERS),
    st.tuples(st.just("leave"), OWNERS),
)


async def done(store: Store, act: tuple[Any, ...]) -> Any:
    """What comes of it, or the kind of refusal."""
    name, *given_ = act
    try:
        match name:
            case "meet":
                domain, epoch, boot = given_
                return await store.meet(domain, AgentIdentity(epoch, boot, "i"))
            case "take_one":
                owner, number = given_
                return taken(await store.take_one(owner, f"res-{number}"))
            case "take":
                return taken(await store.take(given_[0], 100))
            case "renew":
                return await store.renew(given_[0], "i", LEASE_MS)
            case "leave":
                return await store.leave(given_[0])
            case _:
                await name(*given_)(store)
                return "written"
    except REFUSALS as error:
        return type(error).__name__


def taken(found: Any) -> Any:
    """Without what databases tell only of the domains concerned."""
    by_id = sorted(found.reservations, key=lambda record: record.reservation_id)
    return by_id, sorted(found.transactions, key=lambda tx: tx.transaction_id)


async def told(store: Store) -> dict[str, Any]:
    """All that a store tells."""
    answers: dict[str, Any] = {}
    for domain in DOMAINS:
        answers[f"claims of {domain}"] = await store.claims(domain)
        answers[f"relied on {domain}"] = await store.relied_on(domain)
        parts = frozenset((f"tx-{number}", f"p-{domain}") for number in NUMBERS)
        answers[f"given back {domain}"] = await store.given_back(parts | {("tx-1", "p-0")})
        answers[f"met {domain}"] = await store.met(domain)
        answers[f"by hand {domain}"] = await store.hand_decisions(domain, 10)
        for number in NUMBERS:
            key = (f"tx-{number}", f"p-{domain}")
            answers[f"doubt {key}"] = await store.doubt(*key)
    answers["doubts"] = await store.doubts(30, (-1, "", ""), 100)
    answers["later doubts"] = await store.doubts(10**12, (20, "tx-2", "p-m1"), 2)
    for number in NUMBERS:
        answers[f"reservation {number}"] = await store.reservation(f"res-{number}")
        stored = await store.transaction(f"tx-{number}")
        answers[f"transaction {number}"] = stored and replace(stored, parts=lasting(stored))
        answers[f"request {number}"] = await store.request(f"r-{number}")
    answers["list"] = [record for _, record in await store.reservations(frozenset(), "", 10)]
    return answers


def lasting(tx: Transaction) -> tuple[CoordinatorPart, ...]:
    """Without what retries count: that is not written."""
    return tuple(
        replace(part, sent_ms=0, attempts=0)
        for part in sorted(tx.parts, key=lambda part: part.part_id)
    )


def same(answer: Any) -> Any:
    """Values that are equal whatever retries have counted."""
    if isinstance(answer, Transaction):
        return replace(answer, parts=lasting(answer))
    if isinstance(answer, CoordinatorPart):
        return replace(answer, sent_ms=0, attempts=0)
    if isinstance(answer, (tuple, list)) and not hasattr(answer, "_fields"):
        return [same(item) for item in answer]
    if hasattr(answer, "since_ms") and hasattr(answer, "part"):
        return replace(answer, part=same(answer.part))
    return answer


@cache
def empty_file() -> bytes:
    """A database of the present schema."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        upgrade(f"sqlite:///{file}", "orchestrator")
        return file.read_bytes()


@pytest.mark.parametrize("at_once", [False, True])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(acts=st.lists(ACTS, max_size=25))
def test_a_file_and_memory_tell_the_same(at_once: bool, acts: list[tuple[Any, ...]]) -> None:
    """One by one, or all in one transaction of the database."""

    async def play(folder: str) -> None:
        file = Path(folder) / "braid.db"
        file.write_bytes(empty_file())
        disk, memory = open_store(f"sqlite:///{file}"), MemoryStore()
        try:
            # A file has one instance; the others are lives that are over.
            for store in (disk, memory):
                for _ in range(3):
                    await store.register("i", LEASE_MS)
                for number in NUMBERS:
                    await beginning(number, 3)(store)
            tasks = [asyncio.create_task(done(disk, act)) for act in acts if at_once]
            for i, act in enumerate(acts):
                outcome = await (tasks[i] if at_once else done(disk, act))
                assert same(outcome) == same(await done(memory, act)), act
            on_disk, in_memory = await told(disk), await told(memory)
            for question, answer in on_disk.items():
                assert same(answer) == same(in_memory[question]), question
        finally:
            await disk.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(folder))
