"""Bounds what the messages of one domain keep an instance busy with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

import structlog

from orchestrator.ports import DataPlaneReport

log = structlog.get_logger()

ANSWERS_MAX = 4096
REPORTS_MAX = 100_000
REPORTS_AT_ONCE = 256

Work = Coroutine[Any, Any, None]
Spawn = Callable[[Work], asyncio.Task[None]]
"""Runs work in a task of its own and hears of its failure."""


class Inbox:
    """What came in and is not worked off yet, per domain.

    Answers and inquiries beyond ANSWERS_MAX are dropped: coordinator and agents repeat what has no
    effect. Reports of the data plane are not repeated: they wait, the newest of each part.
    """

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._busy: Counter[str] = Counter()
        self._reports: dict[str, dict[tuple[str, str], DataPlaneReport]] = {}

    def busy(self, domain: str) -> int:
        """How many answers and inquiries of the domain are being worked off."""
        return self._busy[domain]

    def take(self, domain: str, work: Work) -> None:
        """Works off an answer or an inquiry, or drops it when there are too many."""
        if self._busy[domain] >= ANSWERS_MAX:
            work.close()
            log.debug("message dropped, too many wait", domain=domain)
            return
        self._busy[domain] += 1

        def done(_task: object) -> None:
            self._busy[domain] -= 1
            if not self._busy[domain]:
                del self._busy[domain]

        self._spawn(work).add_done_callback(done)

    def report(
        self, domain: str, report: DataPlaneReport, note: Callable[[str, DataPlaneReport], Work]
    ) -> None:
        """Lets ``note`` record a report, after those of the same domain before it."""
        waiting = self._reports.get(domain)
        if waiting is None:
            waiting = self._reports[domain] = {}
            self._spawn(self._work_off(domain, waiting, note))
        key = (report.reservation_id, report.part_id)
        if key not in waiting and len(waiting) >= REPORTS_MAX:
            log.warning("too many reports of the data plane wait", domain=domain)
            return
        waiting[key] = report

    async def _work_off(
        self,
        domain: str,
        waiting: dict[tuple[str, str], DataPlaneReport],
        note: Callable[[str, DataPlaneReport], Work],
    ) -> None:
        try:
            while waiting:
                keys = list(islice(waiting, REPORTS_AT_ONCE))
                reports = [waiting.pop(key) for key in keys]
                await asyncio.wait([self._spawn(note(domain, report)) for report in reports])
        finally:
            del self._reports[domain]
