"""Live reservations by the million, written straight into an agent's database.

One is made by the code that the agent itself uses; the others differ from it in ids, window and
VLAN. They last up to eight hours and are spread over a year, so that every one of them adds two
change points to the calendars.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from sqlalchemy.engine import make_url

from agents.backends import open_backend
from agents.book import Book
from agents.rows import PARTS, prep_to_bytes, record_to_row
from agents.values import DataPlane, Record
from benchmarks.naive.tables import Base, Hold
from braid.v1 import agent_pb2
from protocol.messages import ReservationPrep
from protocol.participant import Admitted, Part, PartState
from runtime.database import open_engine
from substrate.model import DataPlaneState, Segment, Window

VLANS = 2000
"""They hold the VLANs from 1 on; requests find room among the others."""
SAMPLE_VLAN = 4094
BANDWIDTH_BPS = 10_000_000
SPAN_S = 366 * 86_400
LONGEST_S = 8 * 3_600
COUNT_MAX = VLANS * SPAN_S // LONGEST_S // 2


def windows(count: int) -> Iterator[tuple[int, Window]]:
    """At most COUNT_MAX VLANs and windows, free of one another, in the year from tomorrow on."""
    dice = random.Random(7)
    begin_s = int(time.time()) // 86_400 * 86_400 + 2 * 86_400
    period_s = SPAN_S // -(-count // VLANS)
    for number in range(count):
        turn, vlan = divmod(number, VLANS)
        start_s = begin_s + turn * period_s + int(dice.random() * (period_s - LONGEST_S))
        yield vlan + 1, Window(start_s, start_s + 1 + int(dice.random() * (LONGEST_S - 1)))


def peak_bps(count: int) -> int:
    """The most that they take of a link at any instant."""
    changes = []
    for _, window in windows(count):
        changes += [(window.start_s, BANDWIDTH_BPS), (window.end_s, -BANDWIDTH_BPS)]
    level = most = 0
    for _, change_bps in sorted(changes):
        level += change_bps
        most = max(most, level)
    return most


def prep(stps: tuple[str, str], vlan: int, window: Window, name: str) -> ReservationPrep:
    """Asks for a hold from one port of a domain to another."""
    segment = Segment("1", stps[0], vlan, stps[1], vlan, BANDWIDTH_BPS)
    return ReservationPrep(name, name, name, 1, (segment,), window, "braid", 0)


def crossed(domain: Mapping[str, Any]) -> tuple[str, str]:
    """The last two ports of a domain's settings: those of links where it has two."""
    first, second = domain["ports"][-2:]
    return f"{domain['domain']}:{first['name']}", f"{domain['domain']}:{second['name']}"


def fill(url: str, domain: Mapping[str, Any], count: int) -> None:
    """Writes so many committed reservations across the domain into its agent's new database."""
    _insert(url, PARTS, _rows(domain, count))


def fill_naive(url: str, count: int) -> None:
    """The same for the naive agent."""
    engine = open_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    rows = (
        {
            "transaction_id": f"live-{number}",
            "part_id": f"live-{number}",
            "prep": b"",
            "start_s": window.start_s,
            "end_s": window.end_s,
            "bandwidth_bps": BANDWIDTH_BPS,
            "state": "COMMITTED",
        }
        for number, (_, window) in enumerate(windows(count))
    )
    _insert(url, Hold.__table__, rows)


def _rows(domain: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    stps, now_ms = crossed(domain), int(time.time() * 1000)
    sample = prep(stps, SAMPLE_VLAN, Window(1, 2), "sample")
    admitted = Book(open_backend(dict(domain))).admit(sample)
    assert isinstance(admitted, Admitted), admitted
    part = Part("sample", "sample", PartState.COMMITTED, sample, admitted.mapping, None, now_ms)
    record = Record(part, DataPlane(DataPlaneState.SCHEDULED, "", now_ms))
    names = [column.name for column in PARTS.columns]
    row = dict(zip(names, record_to_row(record, prep_to_bytes(sample)), strict=True))
    message = agent_pb2.OrchestratorMessage.FromString(row["prep"])
    wire, segment = message.reservation_prep, message.reservation_prep.segments[0]
    for number, (vlan, window) in enumerate(windows(count)):
        name = f"{number:032x}"
        row["transaction_id"] = row["part_id"] = row["reservation_id"] = name
        wire.transaction_id = wire.part_id = wire.reservation_id = name
        row["start_s"], row["end_s"] = window.start_s, window.end_s
        wire.window.start_s, wire.window.end_s = window.start_s, window.end_s
        segment.ingress_vlan = segment.egress_vlan = vlan
        row["mapping"] = admitted.mapping.replace(str(SAMPLE_VLAN), str(vlan))
        row["prep"] = message.SerializeToString()
        yield row


def _insert(url: str, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    """Past SQLAlchemy, which takes three times as long; a row may be the one before, changed."""
    names = [column.name for column in table.columns]
    text = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES (:{', :'.join(names)})"
    with closing(sqlite3.connect(str(make_url(url).database))) as connection, connection:
        connection.executemany(text, rows)
