"""Asks for circuits, so many at once, and measures how long each takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

from benchmarks.results import Row
from benchmarks.world import DESTINATION, SOURCE
from braid.client import AsyncClient
from braid.v1 import common_pb2, reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import ReservationsStub

HOURS = 168
"""Windows are spread over so many hours, so that no port runs out of VLANs."""
BANDWIDTH_BPS = 10**6
TIMEOUT_S = 300


@dataclass
class Measured:
    """Latencies of what was committed while it was measured, and for how long that was."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    refused: int = 0

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many percent do not exceed, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def row(self, scenario: str, variant: str, in_flight: int, cpu_s: float) -> Row:
        """As a row; ``cpu_s``: what the world used meanwhile."""
        return Row(
            scenario,
            variant,
            in_flight,
            self.per_second,
            self.percentile_ms(50),
            self.percentile_ms(99),
            1e6 * cpu_s / len(self.latencies_s),
        )


def requests(prefix: str) -> Iterator[pb.Reservation]:
    """Small circuits without end, each for an hour of its own."""
    tomorrow_s = int(time.time()) // 3600 * 3600 + 86_400
    number = 0
    while True:
        start_s = tomorrow_s + 3600 * (number % HOURS)
        yield pb.Reservation(
            request_id=f"{prefix}-{number}",
            source=SOURCE,
            destination=DESTINATION,
            bandwidth_bps=BANDWIDTH_BPS,
            window=common_pb2.Window(start_s=start_s, end_s=start_s + 3600),
            negotiation_timeout_s=TIMEOUT_S,
        )
        number += 1


class Load:
    """``in_flight`` requests at once. ``begin`` measuring when all is warm, ``end`` it, read."""

    def __init__(self, prefix: str, in_flight: int) -> None:
        self.measured = Measured()
        self._requests = requests(prefix)
        self._in_flight = in_flight
        self._asked_s: dict[str, float] = {}
        self._began_s: float | None = None
        self._over = False

    def begin(self) -> None:
        """Latencies of what ends from now on count."""
        self._began_s = time.perf_counter()

    def end(self) -> None:
        """No new requests."""
        assert self._began_s is not None
        self.measured.seconds = time.perf_counter() - self._began_s
        self._over = True

    async def unary(self, target: str) -> None:
        """A call each."""
        async with grpc.aio.insecure_channel(target) as channel:
            stub = ReservationsStub(channel)

            async def one() -> None:
                for request in self._wanted():
                    self._note(await stub.Reserve(request, timeout=TIMEOUT_S), request.request_id)

            await asyncio.gather(*(one() for _ in range(self._in_flight)))

    async def stream(self, target: str) -> None:
        """All over one stream."""
        async with AsyncClient(target, insecure=True) as client:
            found = client.reserve_many(self._wanted(), in_flight=self._in_flight)
            async for outcome in found:
                if outcome.record is None:
                    raise outcome.error or AssertionError(outcome)
                self._note(outcome.record, outcome.request_id)

    def _wanted(self) -> Iterator[pb.Reservation]:
        while not self._over:
            request = next(self._requests)
            self._asked_s[request.request_id] = time.perf_counter()
            yield request

    def _note(self, record: pb.ReservationRecord, request_id: str) -> None:
        now_s, asked_s = time.perf_counter(), self._asked_s.pop(request_id)
        if self._over or self._began_s is None:
            return
        if record.state == pb.RESERVATION_STATE_COMMITTED:
            self.measured.latencies_s.append(now_s - asked_s)
        else:
            self.measured.refused += 1
