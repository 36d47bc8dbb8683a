"""braid cloudnet start, stop, cycle, migrate, what-if: at an orchestrator and at an agent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from cloudnet_world import PAIR
from faked import braid

from braid import retries
from braid.v1 import cloudnets_pb2 as cn
from commands import cloudnet_requests
from tests.braid.fake_cloudnets import FakeVnp, serving

GB = 10**9
MOVES = (
    cn.VNodeMove(reservation_id="c1", vnode="left", source="sn111", target="sn112", cost=4 * GB),
    cn.VNodeMove(reservation_id="c7", vnode="db", source="sn111", target="sn113", cost=20.5 * GB),
)
FREEING = cn.WhatIfResponse(
    freed=1, hosts=5, wanted=1, moves=MOVES, cost=24.5 * GB, bound=20.5 * GB
)


@pytest.fixture
def fake() -> FakeVnp:
    made = FakeVnp()
    made.cloudnets.what_if = FREEING
    return made


@pytest.fixture
def target(fake: FakeVnp) -> Iterator[str]:
    """An orchestrator with the CloudNet c1."""
    with serving(fake, fake.cloudnets) as address:
        done = braid(address, "cloudnet", "create", str(PAIR))
        assert done.exit_code == 0, done.output
        yield address


@pytest.fixture(params=["orchestrator", "agent"])
def either(request: pytest.FixtureRequest, fake: FakeVnp, target: str) -> Iterator[str]:
    """The orchestrator, or a provider's agent, which has no other service."""
    if request.param == "orchestrator":
        yield target
        return
    with serving(fake.cloudnets) as agent:
        yield agent


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))
    monkeypatch.setattr(cloudnet_requests, "POLL_S", 0.01)


@pytest.mark.parametrize(
    ("command", "action", "state"),
    [
        ("start", cn.POWER_ACTION_START, "running"),
        ("stop", cn.POWER_ACTION_STOP, "stopped"),
        ("cycle", cn.POWER_ACTION_CYCLE, "running"),
    ],
)
def test_vnodes_are_switched_and_shown(
    either: str, fake: FakeVnp, command: str, action: int, state: str
) -> None:
    done = braid(either, "cloudnet", command, "c1", "left")
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()][1:] == [["left", "berlin", state]]
    every = braid(either, "cloudnet", command, "c1", "--json")
    assert [each["vnode"] for each in json.loads(every.stdout)["vnodes"]] == ["left", "right"]
    one, all_of_it = fake.asked_of(cn.PowerRequest)
    assert (one.reservation_id, one.action, list(one.vnodes)) == ("c1", action, ["left"])
    assert (all_of_it.action, list(all_of_it.vnodes)) == (action, [])


def test_a_vnode_that_fails_is_an_error_where_it_was_asked_for(target: str, fake: FakeVnp) -> None:
    fake.cloudnets.reasons["right"] = "its host is off"
    done = braid(target, "cloudnet", "start", "c1")
    assert done.exit_code == 1
    assert done.stderr == "braid: right failed: its host is off\n"
    assert "running" in done.stdout
    assert braid(target, "cloudnet", "start", "c1", "left").exit_code == 0
    fake.cloudnets.reasons.clear()
    fake.cloudnets.states["c1"].vnodes[1].ClearField("reason")
    fake.cloudnets.states["c1"].vnodes[1].state = cn.POWER_STATE_FAILED
    assert "right" not in braid(target, "cloudnet", "start", "c1", "left").stderr


def test_a_vnode_moves_to_a_host_or_a_provider(either: str, fake: FakeVnp) -> None:
    done = braid(either, "cloudnet", "migrate", "c1", "left", "--host", "sn113")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split() == ["c1", "left", "sn111", "sn113", "4.29497", "GB"]
    words = ["--to", "zurich", "--request-id", "mine", "--json"]
    shown = braid(either, "cloudnet", "migrate", "c1", "right", *words[:2])
    assert shown.stdout.split() == [
        *("reservation", "VNode", "copied"),
        *("c1", "right", "4.29497", "GB"),
    ]
    told = json.loads(braid(either, "cloudnet", "migrate", "c1", "right", *words).stdout)
    assert told["moves"][0]["vnode"] == "right"
    host, _, provider = fake.asked_of(cn.MigrateRequest)
    assert (host.vnode, host.host, host.domain) == ("left", "sn113", "")
    assert host.request_id
    assert (provider.vnode, provider.host, provider.domain) == ("right", "", "zurich")
    assert provider.request_id == "mine"


def test_a_share_of_the_hosts_is_freed(either: str, fake: FakeVnp) -> None:
    done = braid(either, "cloudnet", "migrate", "--free", "20%", "--domain", "berlin")
    assert done.exit_code == 0, done.output
    first, _, *rows = done.stdout.splitlines()
    assert first == "1 of 5 hosts are free, 1 were asked for"
    assert [row.split()[0] for row in rows] == ["c1", "c7"]
    fake.cloudnets.what_if = cn.WhatIfResponse(freed=1, hosts=5, wanted=1)
    done = braid(either, "cloudnet", "migrate", "--free", "0.2")
    assert done.stdout == "1 of 5 hosts are free, 1 were asked for\nnothing was moved\n"
    one, other = fake.asked_of(cn.MigrateRequest)
    assert (one.domain, one.free_share, one.reservation_id) == ("berlin", 0.2, "")
    assert (other.domain, other.free_share) == ("", 0.2)


def test_fewer_hosts_that_are_free_than_were_asked_for_are_told(either: str, fake: FakeVnp) -> None:
    moves = fake.cloudnets.what_if.moves
    fake.cloudnets.what_if = cn.WhatIfResponse(freed=1, hosts=5, wanted=4, moves=moves)
    done = braid(either, "cloudnet", "migrate", "--free", "80%", "--domain", "berlin")
    assert done.exit_code == 3
    assert done.stdout.splitlines()[0] == "1 of 5 hosts are free, 4 were asked for"
    again = braid(either, "cloudnet", "migrate", "--free", "80%", "--domain", "berlin", "--json")
    told = json.loads(again.stdout)
    assert again.exit_code == 3
    assert (told["freed"], told["hosts"], told["wanted"], len(told["moves"])) == (1, 5, 4, 2)


def test_what_if_tells_cost_bound_and_gain(either: str, fake: FakeVnp) -> None:
    done = braid(either, "cloudnet", "what-if", "berlin", "--free", "20%")
    assert done.exit_code == 0, done.output
    assert [line.rstrip() for line in done.stdout.splitlines()[:2]] == [
        "1 of 5 hosts would be free, 1 were asked for",
        "2 VNodes would move, 24.5 GB copied; no way copies less than 20.5 GB",
    ]
    assert done.stdout.splitlines()[4].split() == ["c7", "db", "sn111", "sn113", "20.5", "GB"]
    told = json.loads(braid(either, "cloudnet", "what-if", "--free", "0.2", "--json").stdout)
    assert (told["freed"], told["cost"], told["bound"]) == (1, 24.5 * GB, 20.5 * GB)
    one, other = fake.asked_of(cn.WhatIfRequest)
    assert (one.domain, one.free_share) == ("berlin", 0.2)
    assert (other.domain, other.free_share) == ("", 0.2)


def test_fewer_hosts_than_asked_for_is_a_refusal(target: str, fake: FakeVnp) -> None:
    fake.cloudnets.what_if = cn.WhatIfResponse(freed=0, hosts=5, wanted=2)
    done = braid(target, "cloudnet", "what-if", "berlin", "--free", "40%")
    assert done.exit_code == 3
    assert "0 of 5 hosts would be free, 2 were asked for" in done.stdout
    assert "0 VNodes would move" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["migrate"], "say ID, VNODE and --to or --host; or --free and --domain"),
        (["migrate", "c1"], "say ID, VNODE"),
        (["migrate", "c1", "left"], "say ID, VNODE"),
        (["migrate", "c1", "left", "--to", "a", "--host", "b"], "say ID, VNODE"),
        (["migrate", "c1", "left", "--host", "b", "--domain", "a"], "say ID, VNODE"),
        (["migrate", "c1", "--free", "20%"], "--free: not together with ID"),
        (["migrate", "--free", "20%", "--host", "b"], "--free: not together with ID"),
        (["migrate", "--free", "20%", "--anew"], "--free: not together with ID"),
        (["migrate", "--free", "much"], "'much' is not a share; possible: 20%, 0.2"),
        (["what-if", "berlin", "--free", "100%"], "'100%' is not a share"),
        (["what-if", "berlin"], "--free"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrong_usage_is_told_and_nothing_is_asked(
    target: str, fake: FakeVnp, words: list[str], reason: str
) -> None:
    asked = len(fake.asked)
    done = braid(target, "cloudnet", *words)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert len(fake.asked) == asked


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 4),
        (grpc.StatusCode.UNAVAILABLE, 5),
        (grpc.StatusCode.FAILED_PRECONDITION, 6),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 7),
    ],
)
def test_a_failed_call_is_one_line_on_standard_error_and_its_exit_code(
    target: str, fake: FakeVnp, code: grpc.StatusCode, exit_code: int
) -> None:
    for words in (
        ["start", "c1"],
        ["migrate", "c1", "left", "--to", "munich"],
        ["what-if", "berlin", "--free", "20%"],
    ):
        fake.fail(code, "the provider's own words", times=retries.ATTEMPTS)
        done = braid(target, "cloudnet", *words, "--json")
        assert (done.exit_code, done.stdout) == (exit_code, "")
        assert done.stderr == "braid: the provider's own words\n"
        fake.failures.clear()
