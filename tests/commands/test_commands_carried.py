"""What commands tell of VNodes that were carried: live or cold, why, and for how long still."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from cloudnet_world import PAIR
from faked import braid

from braid import retries
from braid.client import Client
from braid.v1 import reservations_pb2 as pb
from commands import carried
from tests.braid.fake_cloudnets import FakeVnp, serving

LIVE = pb.CarriedVNode(
    vnode="left", source="berlin", target="zurich", live=True, since_ms=1000, still_ms=312
)
WAITS = pb.CarriedVNode(
    vnode="right", source="munich", target="zurich", reason="hosts cannot", since_ms=1000
)
COLD = pb.CarriedVNode(
    vnode="right", source="munich", target="zurich", reason="hosts cannot", since_ms=1, still_ms=9
)
OFF = pb.CarriedVNode(vnode="db", source="munich", target="zurich", reason="it was stopped")


class Vnp(FakeVnp):
    """``after``: what its record says the next times that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[list[pb.CarriedVNode]] = []

    def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.ReservationRecord:
        record = super().Get(request, context)
        if self.after:
            del record.carried[:]
            record.carried.extend(self.after.pop(0))
        return record


@pytest.fixture
def fake() -> Vnp:
    return Vnp()


@pytest.fixture
def target(fake: Vnp, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An orchestrator with the CloudNet c1."""
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))
    monkeypatch.setattr(carried, "POLL_S", 0.01)
    with serving(fake, fake.cloudnets) as address:
        done = braid(address, "cloudnet", "create", str(PAIR))
        assert done.exit_code == 0, done.output
        yield address


@pytest.mark.parametrize(
    ("each", "line"),
    [
        (LIVE, "left: from berlin to zurich, carried live, stood still for 0.312 s"),
        (
            COLD,
            "right: from munich to zurich, carried cold, stood still for 0.009 s (hosts cannot)",
        ),
        (WAITS, "right: from munich to zurich, carried cold, does not run yet (hosts cannot)"),
        (OFF, "db: from munich to zurich, carried cold (it was stopped)"),
        (
            pb.CarriedVNode(
                vnode="db",
                source="berlin",
                target="munich",
                live=True,
                ahead_bytes=5000,
                last_bytes=70,
                still_ms=9,
            ),
            "db: from berlin to munich, carried live, 5 kB copied ahead and 70 B at the end, stood"
            " still for 0.009 s",
        ),
        (
            pb.CarriedVNode(vnode="db", source="berlin", target="munich", last_bytes=5000),
            "db: from berlin to munich, carried cold, 5 kB copied ()",
        ),
    ],
)
def test_each_is_told_in_a_line(each: pb.CarriedVNode, line: str) -> None:
    assert carried.carried_line(each) == line


def test_migrate_waits_until_it_runs_and_tells_for_how_long_it_did_not(
    target: str, fake: Vnp
) -> None:
    fake.after = [[LIVE, WAITS], [LIVE, WAITS], [LIVE, COLD]]
    done = braid(target, "cloudnet", "migrate", "c1", "right", "--to", "zurich")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == carried.carried_line(COLD)
    assert "left" not in done.stdout
    assert fake.after == []


def test_modify_and_show_tell_of_all(target: str, fake: Vnp) -> None:
    fake.after = [[WAITS], [LIVE, COLD, OFF]]
    done = braid(target, "cloudnet", "modify", "c1", str(PAIR))
    assert done.exit_code == 0, done.output
    shown = braid(target, "cloudnet", "show", "c1")
    for each in (LIVE, COLD, OFF):
        for text in (done.stdout, shown.stdout):
            assert carried.carried_line(each) in " ".join(text.split())
    told = json.loads(braid(target, "cloudnet", "show", "c1", "--json").stdout)
    assert "stillMs" in str(told) or "still_ms" in str(told)


def test_who_cannot_tell_is_not_waited_for_and_what_was_done_stands(
    target: str, fake: Vnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "RUNNING_S", 0.05)
    fake.after = [[WAITS]] * 1000
    done = braid(target, "cloudnet", "migrate", "c1", "right", "--to", "zurich")
    assert (done.exit_code, "does not run yet" in done.stdout) == (0, True)
    with serving(fake.cloudnets) as alone:
        done = braid(alone, "cloudnet", "migrate", "c1", "right", "--to", "zurich")
        assert (done.exit_code, "carried" in done.stdout) == (0, False)


def test_a_later_version_tells_of_others(target: str, fake: Vnp) -> None:
    with Client(target, insecure=True) as client:
        record = client.get("c1")
        record.carried.append(WAITS)
        fake.records["c1"].version += 1
        carried.add_when_running(client, record)
        assert list(record.carried) == [WAITS]
        fake.fail(grpc.StatusCode.INVALID_ARGUMENT, "x: given 1, possible: 2")
        carried.add_when_running(client, record)
        assert list(record.carried) == [WAITS]
