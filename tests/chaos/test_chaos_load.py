"""The users of the chaos run: they ask until they get an answer, and remember what they heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc
import pytest
from chaos_fakes import Answer, FakeReservations, serving

from braid.v1 import common_pb2, reservations_pb2 as pb
from tools.chaos_load import LIVE_MAX, Instances, Ledger, User

COMMITTED = pb.RESERVATION_STATE_COMMITTED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
FAILED = pb.RESERVATION_STATE_FAILED


def answer(
    state: pb.ReservationState.ValueType = COMMITTED,
    version: int = 1,
    modified: bool | None = None,
    reservation_id: str = "r1",
) -> pb.ReservationRecord:
    return pb.ReservationRecord(
        reservation_id=reservation_id, state=state, version=version, modified=modified
    )


class Scene:
    """One user, the instances that it may ask, and what it has heard."""

    def __init__(self, fakes: list[FakeReservations], targets: list[str]) -> None:
        self.ledger = Ledger()
        self.fakes = fakes
        self.instances = Instances(targets, self.ledger)
        self.user = User("u0", self.ledger, self.instances, "a seed")

    def requests(self) -> list[object]:
        return [request for fake in self.fakes for request in fake.requests]

    async def reserve_then(self, what: str) -> bool:
        """Reserves, and then modifies or cancels that."""
        await self.user._reserve()
        (item,) = self.user._mine
        done = self.user._modify if what == "modify" else self.user._cancel
        return await done(item)


@asynccontextmanager
async def scene(*answers: Iterable[Answer]) -> AsyncIterator[Scene]:
    fakes = [FakeReservations(each) for each in answers]
    async with serving(*fakes) as targets:
        made = Scene(fakes, targets)
        yield made
        await made.instances.close()


async def test_what_got_no_answer_is_asked_again_elsewhere_under_the_same_id() -> None:
    gone = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    async with scene([grpc.StatusCode.ABORTED, answer()], gone) as s:
        assert await s.user._reserve()
        requests = s.requests()
        assert len(requests) == 4
        assert all(request == requests[0] for request in requests)
        assert s.ledger.heard == {"committed": 1}
        assert s.ledger.errors.total() == 3
        assert s.ledger.violations == []


async def test_a_committed_reservation_is_a_promise_until_something_new_is_heard() -> None:
    async with scene([answer(), answer(CANCELLED)]) as s:
        await s.user._reserve()
        before = s.ledger.promised()
        assert before == {"u0-1": 1}
        assert s.ledger.kept(before) == [answer()]
        (item,) = s.user._mine
        item.busy = True
        assert s.ledger.kept(before) == []
        await s.user._cancel(item)
        assert s.ledger.promised() == {}
        assert s.ledger.kept(before) == []
        assert s.user._mine == []


async def test_a_promise_changed_meanwhile_does_not_count_as_kept() -> None:
    async with scene([answer(), answer(version=2, modified=True)]) as s:
        await s.user._reserve()
        before = s.ledger.promised()
        assert await s.user._modify(s.user._mine[0])
        assert s.ledger.kept(before) == []
        assert s.ledger.kept(s.ledger.promised()) == [answer(version=2, modified=True)]


async def test_a_refusal_is_an_answer() -> None:
    refused = answer(FAILED)
    refused.refusals.add(kind=common_pb2.REFUSAL_KIND_BANDWIDTH)
    async with scene([refused]) as s:
        assert not await s.user._reserve()
        assert s.ledger.heard == {"failed": 1}
        assert s.ledger.refusals == {"bandwidth": 1}
        assert s.ledger.promised() == {}
        assert s.ledger.violations == []


async def test_a_request_that_was_never_recorded_is_no_violation() -> None:
    async with scene([grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL]) as s:
        assert not await s.user._reserve()
        assert s.ledger.violations == []
        assert s.ledger.turned_away == {"Reserve NOT_FOUND": 1}
        assert not s.ledger.errors
        assert not await s.user._reserve()
        assert s.ledger.violations == [
            "Reserve of request u0-2 answered INTERNAL: as the test wishes"
        ]


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        ("modify", answer(version=2, modified=False)),
        ("modify", answer(version=1, modified=True)),
        ("modify", answer(version=1)),
        ("modify", answer(FAILED, version=1, modified=False)),
        ("modify", grpc.StatusCode.FAILED_PRECONDITION),
        ("cancel", answer(COMMITTED)),
        ("cancel", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_an_answer_that_breaks_a_promise_is_a_violation(what: str, wrong: Answer) -> None:
    async with scene([answer(), wrong]) as s:
        await s.reserve_then(what)
        assert len(s.ledger.violations) == 1
        assert "of request u0-1 answered" in s.ledger.violations[0]


@pytest.mark.parametrize("state", [pb.RESERVATION_STATE_NEGOTIATING, CANCELLED])
async def test_a_reserve_is_answered_with_a_decision(state: pb.ReservationState.ValueType) -> None:
    async with scene([answer(state)]) as s:
        await s.user._reserve()
        assert len(s.ledger.violations) == 1


async def test_a_user_never_has_more_than_a_few_reservations() -> None:
    async with scene() as s:
        state: dict[str, int] = {}

        async def call(method: str, message: object, _: object) -> pb.ReservationRecord:
            if isinstance(message, pb.Reservation):
                state[message.request_id] = 1
                return answer(reservation_id=message.request_id)
            assert isinstance(message, pb.ModifyRequest | pb.CancelRequest)
            if method == "Cancel":
                del state[message.reservation_id]
                return answer(CANCELLED)
            state[message.reservation_id] += 1
            version = state[message.reservation_id]
            return answer(COMMITTED, version, True, message.reservation_id)

        s.instances.call = call  # type: ignore[method-assign,assignment]
        for _ in range(300):
            await s.user._next()
            assert len(state) <= LIVE_MAX
        assert s.ledger.violations == []
        assert min(s.ledger.heard[name] for name in ("committed", "modified", "cancelled")) > 20


async def test_a_user_finishes_what_it_has_begun() -> None:
    async with scene([grpc.StatusCode.UNAVAILABLE, answer()]) as s:
        stopping = asyncio.Event()
        running = asyncio.create_task(s.user.run(stopping))
        await s.fakes[0].asked.wait()
        stopping.set()
        await running
        assert s.ledger.heard == {"committed": 1}


def test_the_same_seed_wishes_for_the_same() -> None:
    def wishes(seed: str) -> list[tuple[int, int, int]]:
        user = User("u0", Ledger(), Instances([], Ledger()), seed)
        made = [user._request() for _ in range(20)]
        return [
            (m.bandwidth_bps, m.directionality, m.window.end_s - m.window.start_s) for m in made
        ]

    assert wishes("1/0") == wishes("1/0")
    assert wishes("1/0") != wishes("1/1")
