"""What messages of one domain keep an instance busy with is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from orchestrator import inbox as module
from orchestrator.inbox import Inbox
from orchestrator.ports import DataPlaneReport
from substrate.model import DataPlaneState

Note = Callable[[str, DataPlaneReport], Coroutine[Any, Any, None]]


def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


def report(number: int, state: DataPlaneState = DataPlaneState.ACTIVE) -> DataPlaneReport:
    return DataPlaneReport(f"t{number}", "p", f"r{number}", state, "")


async def settled() -> None:
    """Lets everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_answers_beyond_the_limit_are_dropped_for_that_domain_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 3)
    inbox, gate, done = Inbox(spawn), asyncio.Event(), list[str]()

    async def work(name: str) -> None:
        await gate.wait()
        done.append(name)

    for number in range(5):
        inbox.take("m1", work(f"m1.{number}"))
    inbox.take("m2", work("m2.0"))
    assert (inbox.busy("m1"), inbox.busy("m2")) == (3, 1)
    gate.set()
    await settled()
    assert sorted(done) == ["m1.0", "m1.1", "m1.2", "m2.0"]
    assert (inbox.busy("m1"), inbox.busy("m2")) == (0, 0)
    inbox.take("m1", work("again"))
    await settled()
    assert done[-1] == "again"


async def test_work_that_fails_leaves_its_place() -> None:
    inbox = Inbox(spawn)

    async def fail() -> None:
        raise KeyError

    inbox.take("m1", fail())
    await settled()
    assert inbox.busy("m1") == 0


async def test_the_newest_report_of_each_circuit_is_recorded_after_those_before_it() -> None:
    inbox, gate, seen = Inbox(spawn), asyncio.Event(), list[DataPlaneReport]()

    async def note(domain: str, report: DataPlaneReport) -> None:
        await gate.wait()
        seen.append(report)

    states = (DataPlaneState.SCHEDULED, DataPlaneState.ACTIVE, DataPlaneState.FAILED)
    inbox.report("m1", report(1, states[0]), note)
    await settled()
    for state in states[1:]:
        inbox.report("m1", report(1, state), note)
    inbox.report("m1", report(2), note)
    gate.set()
    await settled()
    assert [(r.reservation_id, r.state) for r in seen if r.reservation_id == "r1"] == [
        ("r1", states[0]),
        ("r1", states[2]),
    ]
    assert [r.reservation_id for r in seen].count("r2") == 1


async def test_reports_are_worked_off_a_few_at_a_time_and_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REPORTS_AT_ONCE", 4)
    inbox, running, most, seen = Inbox(spawn), 0, 0, set[str]()

    async def note(domain: str, report: DataPlaneReport) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        seen.add(report.reservation_id)
        if report.reservation_id == "r3":
            raise KeyError

    for number in range(30):
        inbox.report("m1", report(number), note)
    while len(seen) < 30:
        await settled()
    assert most == 4
    await settled()
    inbox.report("m1", report(30), note)
    await settled()
    assert "r30" in seen


async def test_reports_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORTS_MAX", 5)
    inbox, seen = Inbox(spawn), list[str]()

    async def note(domain: str, report: DataPlaneReport) -> None:
        seen.append(report.reservation_id)

    for number in range(9):
        inbox.report("m1", report(number), note)
    await settled()
    assert seen == ["r0", "r1", "r2", "r3", "r4"]
