"""Requests that bend, and the alternatives to what was refused."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from client_world import ROUTE, Either
from fake_orchestrator import FakeOrchestrator

from braid import requests
from braid.client import CircuitRefused, Conflict
from braid.v1 import common_pb2, reservations_pb2 as pb

G = 10**9
TB = 10**12
START_S = 2_000_000_000
HOUR_S = 3600


def asked(bandwidth: str | float | None = "10G", **wishes: Any) -> pb.Reservation:
    return requests.reservation(*ROUTE, bandwidth, start=START_S, **wishes)


def alternative(token: str, bandwidth_bps: int) -> pb.Alternative:
    window = common_pb2.Window(start_s=START_S, end_s=START_S + HOUR_S)
    request = pb.Reservation(
        source=ROUTE[0], destination=ROUTE[1], bandwidth_bps=bandwidth_bps, window=window
    )
    return pb.Alternative(token=token, request=request, text="less", least_change=True)


def test_an_exact_request_does_not_bend() -> None:
    assert not asked(duration="2h").HasField("flexibility")
    assert not asked(end=START_S + 1).HasField("flexibility")


@pytest.mark.parametrize("window", ["12h", 12 * HOUR_S, START_S + 12 * HOUR_S])
def test_a_duration_may_lie_anywhere_in_a_window(window: str | int) -> None:
    message = asked(duration="2h", window=window)
    assert message.window == common_pb2.Window(start_s=START_S, end_s=START_S + 12 * HOUR_S)
    assert message.flexibility == pb.Flexibility(duration_s=2 * HOUR_S)


@pytest.mark.parametrize("when", [{"duration": "2h"}, {"end": START_S + 2 * HOUR_S}])
def test_less_bandwidth_may_do_at_a_fixed_time(when: dict[str, Any]) -> None:
    message = asked(at_least="2G", **when)
    assert message.bandwidth_bps == 10 * G
    assert message.window.end_s == START_S + 2 * HOUR_S
    assert message.flexibility == pb.Flexibility(least_bandwidth_bps=2 * G)


def test_a_request_may_bend_in_time_and_in_bandwidth() -> None:
    message = asked(at_least="2G", duration="2h", window="12h")
    wanted = pb.Flexibility(least_bandwidth_bps=2 * G, duration_s=2 * HOUR_S)
    assert message.flexibility == wanted


@pytest.mark.parametrize(("bandwidth", "bandwidth_bps"), [(None, 0), ("10G", 10 * G)])
def test_a_volume_is_moved_by_its_deadline_as_fast_as_is_allowed(
    bandwidth: str | None, bandwidth_bps: int
) -> None:
    message = asked(bandwidth, volume="40TB", deadline=START_S + HOUR_S)
    assert message.bandwidth_bps == bandwidth_bps
    assert message.window == common_pb2.Window(start_s=START_S, end_s=START_S + HOUR_S)
    assert message.flexibility == pb.Flexibility(volume_bytes=40 * TB)
    few = asked(volume=7, deadline=START_S + HOUR_S, max_phases=3)
    assert few.flexibility == pb.Flexibility(volume_bytes=7, max_phases=3)
    fast = asked(volume=7, deadline=START_S + HOUR_S, soonest=True)
    assert fast.flexibility == pb.Flexibility(volume_bytes=7, soonest=True)


VOLUME = {"volume": "1TB", "deadline": START_S + HOUR_S}


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({**VOLUME, "duration": "1h"}, "volume: not together with duration"),
        ({**VOLUME, "end": "+1h"}, "volume: not together with end"),
        ({**VOLUME, "window": "1h"}, "volume: not together with window"),
        ({**VOLUME, "at_least": "1G"}, "volume: not together with at_least"),
        ({"volume": "1TB"}, "volume: only together with deadline"),
        ({"volume": "1TB", "duration": "1h"}, "volume: not together with duration"),
        ({"deadline": "+1h", "duration": "1h"}, "deadline: only together with volume"),
        ({"max_phases": 2, "duration": "1h"}, "max_phases: only together with volume"),
        ({"soonest": True, "duration": "1h"}, "soonest: only together with volume"),
        ({"window": "12h"}, "window: only together with duration"),
        ({"window": "12h", "end": "+1h"}, "window: not together with end"),
        ({"window": "12h", "end": "+1h", "duration": "1h"}, "window: not together with end"),
        ({"at_least": "1G"}, "say either when it ends or how long it lasts"),
        ({"window": "late", "duration": "1h"}, "neither a duration nor a time"),
        ({"volume": "40Tb", "deadline": "+1h"}, "is not a volume"),
        ({"volume": "1TB", "deadline": "soon"}, "is not a time"),
    ],
)
def test_words_that_do_not_go_together_are_named(wishes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        asked(**wishes)


def test_only_a_volume_does_without_a_bandwidth() -> None:
    with pytest.raises(ValueError, match="either the bandwidth, or the volume and its deadline"):
        asked(None, duration="1h")


def test_an_acceptance_says_nothing_but_the_token_and_how_to_answer() -> None:
    message = requests.acceptance("t1", description="d", request_id="r", timeout_s=9, detach=True)
    assert message == pb.Reservation(
        accept="t1", description="d", request_id="r", negotiation_timeout_s=9, detach=True
    )
    assert requests.acceptance("t1").request_id
    with pytest.raises(ValueError, match="token: given '', possible"):
        requests.acceptance("")


async def test_every_call_takes_the_wishes_of_a_request_that_bends(
    client: Either, fake: FakeOrchestrator
) -> None:
    bends: dict[str, Any] = {"at_least": "2G", "duration": "2h", "window": "12h", "start": START_S}
    await client("plan", *ROUTE, "10G", **bends)
    await client("reserve", *ROUTE, "10G", **bends)
    await client.hold("10G", **bends)
    (outcome,) = await client.many([asked(at_least="2G", duration="2h", window="12h")])
    assert outcome.record is not None
    assert outcome.record.criteria.flexibility.duration_s == 2 * HOUR_S
    planned, *rest = fake.asked_of(pb.Reservation)
    assert [one.flexibility for one in rest] == [planned.flexibility] * 2
    await client("plan", *ROUTE, volume="1TB", deadline=START_S + HOUR_S)
    assert fake.asked_of(pb.Reservation)[-1].flexibility.volume_bytes == TB


async def test_the_first_alternative_to_a_refused_circuit_can_be_accepted(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.bottlenecks = [pb.Bottleneck(domain="renet1", resource="renet1:to-rn3", free_bps=G)]
    fake.alternatives = [alternative("t1", 200 * G), alternative("t2", 100 * G)]
    with pytest.raises(CircuitRefused) as caught:
        await client.hold("300G", duration="1h")
    refused = caught.value
    assert refused.bottlenecks[0].resource == "renet1:to-rn3"
    record = await client("accept", refused.alternatives[0].token, request_id="mine")
    assert record.state == pb.RESERVATION_STATE_COMMITTED
    assert record.criteria.bandwidth_bps == 200 * G


async def test_a_lost_acceptance_is_repeated_and_done_once(
    client: Either, fake: FakeOrchestrator, no_long_pauses: None
) -> None:
    fake.alternatives = [alternative("t1", 10 * G)]
    fake.fail(grpc.StatusCode.UNAVAILABLE, after=True)
    record = await client("accept", "t1")
    assert record.reservation_id == "r1"
    assert len(fake.records) == 1
    with pytest.raises(Conflict, match=r"token \(accept\): given 't1'") as caught:
        await client("accept", "t1")
    assert caught.value.field == "accept"


async def test_a_refusal_without_help_has_no_alternatives(client: Either) -> None:
    with pytest.raises(CircuitRefused) as caught:
        await client.hold("300G", duration="1h")
    assert list(caught.value.bottlenecks) == list(caught.value.alternatives) == []
