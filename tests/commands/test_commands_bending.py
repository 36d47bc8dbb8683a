"""``braid plan`` and ``braid reserve`` for requests that bend, and ``--accept``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bending_world import (
    ALTERNATIVES,
    BOTTLENECKS,
    HOUR_S,
    PHASES,
    ROUTE,
    START_S,
    TB,
    G,
    window,
)
from faked import braid

from braid.v1 import reservations_pb2 as pb
from tests.braid.fake_orchestrator import FakeOrchestrator


@pytest.mark.parametrize("command", ["plan", "reserve"])
@pytest.mark.parametrize(
    ("words", "bandwidth_bps", "hours", "bends"),
    [
        (["10G", "--window", "12h", "--duration", "2h"], 10 * G, 12, {"duration_s": 2 * HOUR_S}),
        (["10G", "--at-least", "2G"], 10 * G, 1, {"least_bandwidth_bps": 2 * G}),
        (["10G", "--at-least", "2G", "--end", str(START_S + 9 * HOUR_S)], 10 * G, 9,
         {"least_bandwidth_bps": 2 * G}),
        (["--volume", "40TB", "--deadline", str(START_S + 5 * HOUR_S)], 0, 5,
         {"volume_bytes": 40 * TB}),
        (["9G", "--volume", "1.5TiB", "--deadline", str(START_S + 5 * HOUR_S)], 9 * G, 5,
         {"volume_bytes": 3 * 2**39}),
        (["--volume", "1TB", "--deadline", str(START_S + 5 * HOUR_S), "--rate-at-most", "10G",
          "--max-phases", "8"], 10 * G, 5, {"volume_bytes": TB, "max_phases": 8}),
        (["--volume", "1TB", "--deadline", str(START_S + 5 * HOUR_S), "--soonest"], 0, 5,
         {"volume_bytes": TB, "soonest": True}),
        (["10G"], 10 * G, 1, None),
    ],
    ids=[
        "window", "at-least", "at-least until", "volume", "volume, rate", "phases", "soonest",
        "exact",
    ],
)  # fmt: skip
def test_what_was_said_is_what_is_asked(
    target: str,
    fake: FakeOrchestrator,
    command: str,
    words: list[str],
    bandwidth_bps: int,
    hours: int,
    bends: dict[str, Any] | None,
) -> None:
    result = braid(target, command, *ROUTE, *words, "--start", str(START_S), "--json")
    assert result.exit_code == 0, result.output
    (asked,) = fake.asked_of(pb.Reservation)
    assert (asked.bandwidth_bps, asked.window) == (bandwidth_bps, window(0, hours))
    assert asked.HasField("flexibility") is (bends is not None)
    assert asked.flexibility == pb.Flexibility(**(bends or {}))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([*ROUTE], "say either the bandwidth, or the volume and its deadline"),
        ([*ROUTE, "1G", "--window", "12h"], "--window: only together with --duration"),
        ([*ROUTE, "1G", "--deadline", "+1h"], "--deadline: only together with --volume"),
        ([*ROUTE, "--volume", "1TB"], "--volume: only together with --deadline"),
        ([*ROUTE, "--volume", "1TB", "--deadline", "+1h", "--duration", "1h"],
         "--volume: not together with --duration"),
        ([*ROUTE, "1G", "--rate-at-most", "1G"], "--rate-at-most: only together with --volume"),
        ([*ROUTE, "1G", "--volume", "1TB", "--deadline", "+1h", "--rate-at-most", "1G"],
         "--rate-at-most: not together with BANDWIDTH"),
        ([*ROUTE, "--volume", "1Tb", "--deadline", "+1h"],
         "--volume: '1Tb' is not a volume (b is bits)"),
        ([*ROUTE, "10GB"], "BANDWIDTH: '10GB' is not a bandwidth (B is bytes)"),
        ([*ROUTE, "10"], "BANDWIDTH: '10' has no unit; possible: 10G, 10M, or 10b/s if that"),
        ([*ROUTE, "1G", "--at-least", "2.5"], "--at-least: '2.5' has no unit; possible: 2.5G"),
        ([*ROUTE, "1G", "--start", "6am {x}"], "--start: '6am {x}' is not a time; possible: now"),
        ([*ROUTE, "1G", "--duration", "2hours"], "--duration: '2hours' is not a duration"),
        ([*ROUTE, "1G", "--end", "+1h", "--duration", "1h"],
         "say either when it ends or how long it lasts: --end or --duration"),
        ([*ROUTE, "1G", "--max-latency", "5 miles"], "--max-latency: '5 miles' is not a latency"),
        ([*ROUTE, "1G", "--source-vlans", "1-"], "--source-vlans: '1-' is not a VLAN"),
        ([*ROUTE, "1G", "--strategy", "guess"], "--strategy: given 'guess', possible: auto, "),
        ([*ROUTE, "1G", "--survive", "1", "--disjoint", "no"], "--disjoint: given 'no', possible"),
        ([*ROUTE, "--volume", "1TB", "--deadline", "+1h", "--rate-at-most", "1GB"],
         "--rate-at-most: '1GB' is not a bandwidth (B is bytes)"),
        ([*ROUTE, "--volume", "1TB", "--deadline", "soon"], "--deadline: 'soon' is not a time"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["plan", "reserve"])
def test_what_does_not_go_together_is_said_before_anybody_is_asked(
    target: str, fake: FakeOrchestrator, command: str, words: list[str], reason: str
) -> None:
    result = braid(target, command, *words)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert fake.asked == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["list", "--state", "gone"], "--state: given 'gone', possible: negotiating"),
        (["list", "--kind", "vpn"], "--kind: given 'vpn', possible: circuit, cloudnet"),
        (["modify", "r1", "--bandwidth", "20"], "--bandwidth: '20' has no unit; possible: 20G"),
        (["topology", "availability", "a:x", "a:y", "--duration", "1 y"],
         "--duration: '1 y' is not a duration"),
    ],
)  # fmt: skip
def test_of_other_commands_too_what_is_wrong_begins_with_the_option(
    target: str, fake: FakeOrchestrator, words: list[str], reason: str
) -> None:
    result = braid(target, *words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"braid: {reason}")
    assert fake.asked == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([*ROUTE, "10G"], "SOURCE"),
        (["--start", "now"], "--start"),
        (["--via", "renet1"], "--via"),
        (["--volume", "1TB"], "--volume"),
        (["--rate-at-most", "1G"], "--rate-at-most"),
        (["--unidirectional"], "--unidirectional"),
        (["--movable"], "--movable"),
    ],
)
def test_an_acceptance_says_nothing_of_the_circuit(
    target: str, fake: FakeOrchestrator, words: list[str], name: str
) -> None:
    result = braid(target, "reserve", "--accept", "t1", *words)
    assert result.exit_code == 2
    assert result.stderr == f"braid: --accept: not together with {name}\n"
    assert fake.asked == []


def test_a_reserve_needs_two_ends_or_a_token(target: str) -> None:
    for words in ([], [ROUTE[0]]):
        result = braid(target, "reserve", *words)
        assert result.exit_code == 2
        assert "say SOURCE and DESTINATION, or --accept and a token" in result.stderr
    assert "token: given ''" in braid(target, "reserve", "--accept", "").stderr


@pytest.mark.parametrize("command", ["plan", "reserve"])
def test_a_refused_circuit_shows_what_is_in_the_way_and_what_to_do_instead(
    target: str, fake: FakeOrchestrator, command: str
) -> None:
    fake.bottlenecks, fake.alternatives = list(BOTTLENECKS), list(ALTERNATIVES)
    result = braid(target, command, *ROUTE, "300G", "--duration", "2h")
    assert result.exit_code == 3
    assert "renet1:to-rn3" in result.stdout
    assert "2. It begins 3h later. (the least change)" in result.stdout
    assert "\n   braid reserve --accept Zt0m-8hRb1\n" in result.stdout
    told = json.loads(braid(target, command, *ROUTE, "300G", "--json").stdout)
    assert [one["token"] for one in told["alternatives"]] == ["q7Xw-2fLk9", "Zt0m-8hRb1", "a b"]
    assert told["bottlenecks"][0]["free_bps"] == str(40 * G)


def test_an_alternative_is_accepted_once_by_its_token(target: str, fake: FakeOrchestrator) -> None:
    fake.alternatives = list(ALTERNATIVES)
    accept = ("reserve", "--accept", "Zt0m-8hRb1")
    result = braid(target, *accept, "--description", "for Anna", "--timeout", "9")
    assert result.exit_code == 0, result.output
    assert "decision: COMMIT" in result.stdout
    assert "200 Gb/s" in result.stdout
    (asked,) = fake.asked_of(pb.Reservation)
    assert asked == pb.Reservation(
        request_id=asked.request_id,
        accept="Zt0m-8hRb1",
        description="for Anna",
        negotiation_timeout_s=9,
        detach=True,
    )
    again = braid(target, *accept)
    assert again.exit_code == 6
    assert "--accept: given 'Zt0m-8hRb1'" in again.stderr


def test_a_token_that_was_taken_shows_what_can_be_accepted_now(
    target: str, fake: FakeOrchestrator
) -> None:
    fake.alternatives = list(ALTERNATIVES)
    late = ("reserve", "--accept", "gone")
    result = braid(target, *late)
    assert result.exit_code == 6
    assert "\n   braid reserve --accept Zt0m-8hRb1\n" in result.stdout
    told = json.loads(braid(target, *late, "--json").stdout)
    assert [one["token"] for one in told["alternatives"]] == ["q7Xw-2fLk9", "Zt0m-8hRb1", "a b"]


def test_an_acceptance_may_be_repeated_under_its_request_id(
    target: str, fake: FakeOrchestrator
) -> None:
    fake.alternatives = list(ALTERNATIVES)
    accept = ("reserve", "--accept", "Zt0m-8hRb1", "--request-id", "mine", "--detach", "--json")
    first, second = braid(target, *accept), braid(target, *accept)
    assert first.exit_code == second.exit_code == 0
    assert first.stdout == second.stdout


def test_a_moved_volume_is_shown_phase_by_phase(target: str, fake: FakeOrchestrator) -> None:
    words = (*ROUTE, "--volume", "39.6TB", "--deadline", str(START_S + 14 * HOUR_S))
    fake.granted = pb.PlanResponse(
        feasible=True, paths=PHASES, window=window(0, 12), bandwidth_bps=10 * G
    )
    planned = braid(target, "plan", *words, "--start", str(START_S))
    fake.granted = pb.ReservationRecord(
        paths=PHASES, criteria=pb.Reservation(bandwidth_bps=10 * G, window=window(0, 12))
    )
    fake.granted.asked.flexibility.volume_bytes = 39_600 * G
    reserved = braid(target, "reserve", *words, "--start", str(START_S))
    for result in (planned, reserved):
        assert result.exit_code == 0, result.output
        for text in ("asked: 39.6 TB", "12.6 TB", "27 TB", "up to 10 Gb/s"):
            assert text in result.stdout
