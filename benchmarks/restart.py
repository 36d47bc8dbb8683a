"""What an agent with many live reservations needs: to start, in memory, for a page, for a hold.

    python -m benchmarks.restart 10000 1000000

The reservations are committed and in the future, all through the same two ports of one domain,
spread over a year at odd seconds, so that hardly two of them share a change point.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import yaml

from agents.agent import Agent
from agents.backends import open_backend
from agents.backends.base import Claim, Placement
from agents.book import Book
from agents.rows import PARTS, prep_to_bytes, record_to_row
from agents.store import DatabaseStore
from agents.values import DataPlane, Record
from benchmarks.world import BrokenError, cpu_s_of
from braid.v1 import agent_pb2
from braid.v1.agent_pb2_grpc import DomainAgentStub
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from runtime import schema
from runtime.clock import SystemClock
from runtime.database import Database
from substrate.calendar import Direction, Resource
from substrate.model import DataPlaneState, Refusal, Segment, Window

DOMAIN = "d2"
PORTS = (f"{DOMAIN}:a", f"{DOMAIN}:b")
CAPACITY_BPS = 100_000 * 10**9
MBPS = 10**6
YEAR_S = 365 * 86_400
DURATIONS_S = (600, 8 * 3600)
VLANS = 4094
PAGES = 20
HOLDS = 2000
SETTINGS: dict[str, Any] = {
    "domain": DOMAIN,
    "backend": "wan",
    "visible": True,
    "ports": [
        {"name": port.partition(":")[2], "capacity": CAPACITY_BPS, "vlans": f"1-{VLANS}"}
        for port in PORTS
    ],
}


def measure(count: int) -> dict[str, float]:
    """Starts an agent on ``count`` live reservations; seconds, bytes and CPU microseconds.

    ``first_line_s`` and ``describe_s``: since the process was started, until it has said where it
    listens, and until it has answered. ``rss_bytes``: of the process then; ``bytes_each``: what it
    has more than with none, per reservation. ``page_us``: of the agent, for a page of 1,000
    Holdings. ``hold_us`` and ``free_us``: of Book.admit and Book.free, in this process.
    """
    with tempfile.TemporaryDirectory(prefix="braid-restart-") as folder:
        empty = _started(made(Path(folder) / "empty", 0))
        url = made(Path(folder) / "full", count)
        found = _started(url)
        found["bytes_each"] = (found["rss_bytes"] - empty["rss_bytes"]) / max(1, count)
        return {"count": float(count), **found, **asyncio.run(held(url))}


def preps(count: int, begin_s: int, what: str = "live") -> Iterator[ReservationPrep]:
    """Reservations in the order of their starts, so that VLANs in turn never meet.

    The same for the same ``count`` and ``what``, and none of another's ids.
    """
    dice = random.Random(f"{what} {count}")
    for number, start_s in enumerate(sorted(dice.randrange(YEAR_S) for _ in range(count))):
        vlan = number % VLANS + 1
        segment = Segment("s1", PORTS[0], vlan, PORTS[1], vlan, dice.randint(1, 1000) * MBPS)
        yield ReservationPrep(
            transaction_id=_hex(dice),
            part_id=_hex(dice),
            reservation_id=_hex(dice),
            version=1,
            segments=(segment,),
            window=Window(begin_s + start_s, begin_s + start_s + dice.randint(*DURATIONS_S)),
            orchestrator_id="braid",
            deadline_ms=begin_s * 1000,
        )


def _hex(dice: random.Random) -> str:
    return uuid.UUID(int=dice.getrandbits(128), version=4).hex


def made(folder: Path, count: int) -> str:
    """A database with so many committed parts; its URL."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'agent.db'}"
    schema.upgrade(url, "agent")
    begin_s = int(time.time()) + 86_400
    names = [column.name for column in PARTS.columns]
    marks = ", ".join("?" for _ in names)
    with sqlite3.connect(folder / "agent.db") as connection:
        rows = (_row(prep) for prep in preps(count, begin_s))
        connection.executemany(
            f"INSERT INTO {PARTS.name} ({', '.join(names)}) VALUES ({marks})", rows
        )
    connection.close()
    return url


def _row(prep: ReservationPrep) -> tuple[Any, ...]:
    (segment,), now_ms = prep.segments, prep.deadline_ms
    claims = tuple(
        Claim(Resource(stp, direction), segment.bandwidth_bps)
        for stp in PORTS
        for direction in Direction
    )
    labels = (
        (segment.ingress_stp, segment.ingress_vlan),
        (segment.egress_stp, segment.egress_vlan),
    )
    connect = " -> ".join(f"{stp} vlan {vlan}" for stp, vlan in labels)
    detail = json.dumps([f"connect {connect} at {segment.bandwidth_bps} bit/s"])
    mapping = Placement(claims, labels, detail).to_json()
    part = Part(
        prep.transaction_id, prep.part_id, PartState.COMMITTED, prep, mapping, changed_ms=now_ms
    )
    record = Record(part, DataPlane(DataPlaneState.SCHEDULED, "", now_ms))
    return record_to_row(record, prep_to_bytes(prep))


@dataclass
class _Process:
    """A running agent."""

    popen: subprocess.Popen[str]
    target: str

    def cpu_s(self) -> float:
        """What it has used of the processor."""
        return cpu_s_of(self.popen.pid)

    def rss_bytes(self) -> int:
        """What it has in memory."""
        pages = Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _started(url: str) -> dict[str, float]:
    folder = Path(url.removeprefix("sqlite:///")).parent
    config = folder / "agent.yaml"
    common = {"listen": "127.0.0.1:0", "insecure": True, "database": url}
    config.write_text(yaml.safe_dump({**SETTINGS, **common, "log": {"level": "warning"}}))
    command = [sys.executable, "-m", "commands.main", "agent", str(config)]
    began_s = time.perf_counter()
    with (folder / "errors.log").open("w") as errors:
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert popen.stdout is not None
        line = popen.stdout.readline()
        first_line_s = time.perf_counter() - began_s
        if not line:
            raise SystemExit(f"the agent did not start:\n{(folder / 'errors.log').read_text()}")
        process = _Process(popen, json.loads(line)["listening"])
        found = {"first_line_s": first_line_s, **_asked(process, began_s)}
        return found
    finally:
        popen.kill()
        popen.wait()


def _asked(process: _Process, began_s: float) -> dict[str, float]:
    with grpc.insecure_channel(process.target) as channel:
        stub = DomainAgentStub(channel)
        stub.Describe(agent_pb2.DescribeRequest(), timeout=600)
        found = {
            "describe_s": time.perf_counter() - began_s,
            "start_cpu_s": process.cpu_s(),
            "rss_bytes": float(process.rss_bytes()),
        }
        before_s, token, pages = process.cpu_s(), "", 0
        while pages < PAGES:
            request = agent_pb2.HoldingsRequest(page_token=token)
            token = stub.Holdings(request, timeout=600).next_page_token
            pages += 1
            if not token:
                break
        found["page_us"] = 1e6 * (process.cpu_s() - before_s) / pages
        found["rss_after_pages_bytes"] = float(process.rss_bytes())
    return found


async def held(url: str) -> dict[str, float]:
    """Holds and gives back on top of what the database holds."""
    book = Book(open_backend(SETTINGS))
    database = Database(url)
    store = DatabaseStore(database)
    agent = Agent(book, store, SystemClock(), lambda sender, message: None)
    await agent.start()
    # Once before, to choose VLANs that are free for all of them together.
    wanted: list[ReservationPrep] = []
    for prep in preps(HOLDS, int(time.time()) + 2 * 86_400, "held"):
        wanted.append(_with_free_vlans(book, prep))
        _hold(book, wanted[-1:])
    _free(book, wanted)
    hold_us = _timed_us(lambda: _hold(book, wanted))
    free_us = _timed_us(lambda: _free(book, wanted))
    await agent.stop()
    await store.close()
    return {"hold_us": hold_us / HOLDS, "free_us": free_us / HOLDS}


def _with_free_vlans(book: Book, prep: ReservationPrep) -> ReservationPrep:
    """As an orchestrator asks: by an offer that it has had."""
    free = [book.free_vlans(port, prep.window, "") for port in PORTS]
    vlan = (free[0] & free[1]).lowest()
    assert vlan is not None
    segments = tuple(replace(s, ingress_vlan=vlan, egress_vlan=vlan) for s in prep.segments)
    return replace(prep, segments=segments)


def _hold(book: Book, wanted: list[ReservationPrep]) -> None:
    for prep in wanted:
        outcome = book.admit(prep)
        if isinstance(outcome, Refusal):
            raise BrokenError(f"a hold was refused: {outcome.reason}")


def _free(book: Book, held: list[ReservationPrep]) -> None:
    for prep in held:
        book.free(prep.transaction_id, prep.part_id)


def _timed_us(act: Callable[[], object]) -> float:
    began_s = time.process_time()
    act()
    return 1e6 * (time.process_time() - began_s)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    for count in parser.parse_args().counts:
        print(json.dumps({name: round(value, 3) for name, value in measure(count).items()}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
