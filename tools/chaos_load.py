"""Users of the world: they reserve, modify and cancel, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from braid.v1 import common_pb2, reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import ReservationsStub
from tools.chaos_checks import Asked
from tools.chaos_reading import CHANNEL_OPTIONS
from tools.chaos_world import G

AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Says nothing of what became of the request: ask another instance, with the same id."""
NOT_MADE = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
    }
)
"""A Reserve was refused before it was recorded: its start has passed, or its STPs are not known."""
NEGOTIATION_S = 10
CALL_S = 15.0
LIVE_MAX = 3
"""Live reservations of one user; what is older is cancelled."""
SLOT_S = 900


class RefusedError(Exception):
    """An answer that is an error and will stay one."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code


@dataclass
class Ledger:
    """Everything that was asked for and acknowledged, by all users.

    ``errors``: after which the same was asked again. ``turned_away``: those that ended a request.
    """

    asked: dict[str, Asked] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def promised(self) -> dict[str, int]:
        """What users count on now: request_id → number of the acknowledgement."""
        return {item.request_id: item.heard for item in self.asked.values() if item.promised}

    def kept(self, before: dict[str, int]) -> list[pb.ReservationRecord]:
        """The promises that were there at ``before`` and have not been touched since."""
        found = []
        for request_id, heard in before.items():
            item = self.asked[request_id]
            if item.promised and item.heard == heard and item.record is not None:
                found.append(item.record)
        return found


class Instances:
    """The instances of the orchestrator as one user sees them: any will do."""

    def __init__(self, targets: list[str], ledger: Ledger) -> None:
        self._channels = [
            grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) for target in targets
        ]
        self._stubs: list[Any] = [ReservationsStub(channel) for channel in self._channels]
        self._ledger = ledger
        self._turn = 0

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels:
            await channel.close()

    async def call(self, method: str, message: Any, rng: random.Random) -> pb.ReservationRecord:
        """Asks one instance after the other until one answers. Raises RefusedError."""
        pause_s = 0.05
        while True:
            self._turn = (self._turn + 1) % len(self._stubs)
            try:
                call = getattr(self._stubs[self._turn], method)
                record: pb.ReservationRecord = await call(message, timeout=CALL_S)
                return record
            except grpc.aio.AioRpcError as error:
                code = error.code()
                if code not in AGAIN:
                    raise RefusedError(code, error.details() or "") from error
                self._ledger.errors[f"{method} {code.name}"] += 1
            await asyncio.sleep(pause_s * (0.5 + rng.random()))
            pause_s = min(2 * pause_s, 1.0)


class User:
    """Makes one request after the other until told to stop; finishes what it has begun."""

    def __init__(self, name: str, ledger: Ledger, instances: Instances, seed: str) -> None:
        self._name, self._ledger, self._instances = name, ledger, instances
        self._rng = random.Random(seed)
        self._mine: list[Asked] = []
        self._count = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Until ``stopping`` is set and the last request answered."""
        while not stopping.is_set():
            granted = await self._next()
            # Where a site is down all is refused at once: that is not what is tried here.
            await asyncio.sleep(self._rng.uniform(0.0, 0.2 if granted else 4.0))

    async def _next(self) -> bool:
        """One request and its answer; whether it had the wished effect."""
        draw = self._rng.random()
        if len(self._mine) >= LIVE_MAX:
            return await (self._cancel if draw < 0.7 else self._modify)(self._mine[0])
        if self._mine and draw < 0.25:
            return await self._modify(self._rng.choice(self._mine))
        if self._mine and draw < 0.35:
            return await self._cancel(self._rng.choice(self._mine))
        return await self._reserve()

    async def _reserve(self) -> bool:
        request = self._request()
        item = Asked(request.request_id, busy=True)
        self._ledger.asked[item.request_id] = item
        try:
            record = await self._instances.call("Reserve", request, self._rng)
        except RefusedError as error:
            item.busy = False
            self._note("Reserve", error, error.code in NOT_MADE, item)
            return False
        self._heard(item, record)
        if record.state == pb.RESERVATION_STATE_COMMITTED:
            self._ledger.heard["committed"] += 1
            self._mine.append(item)
        elif record.state == pb.RESERVATION_STATE_FAILED:
            self._ledger.heard["failed"] += 1
        else:
            self._wrong(item, "Reserve", record)
        return record.state == pb.RESERVATION_STATE_COMMITTED

    async def _modify(self, item: Asked) -> bool:
        before = self._begin(item)
        request = self._change(before)
        try:
            record = await self._instances.call("Modify", request, self._rng)
        except RefusedError as error:
            self._drop(item, "Modify", error)
            return False
        self._heard(item, record)
        version = before.version + (1 if record.modified else 0)
        sound = record.HasField("modified") and record.version == version
        if record.state != pb.RESERVATION_STATE_COMMITTED or not sound:
            self._wrong(item, f"Modify of version {before.version}", record)
        self._ledger.heard["modified" if record.modified else "unchanged"] += 1
        return record.modified

    async def _cancel(self, item: Asked) -> bool:
        before = self._begin(item)
        request = pb.CancelRequest(reservation_id=before.reservation_id)
        try:
            record = await self._instances.call("Cancel", request, self._rng)
        except RefusedError as error:
            self._drop(item, "Cancel", error)
            return False
        self._heard(item, record)
        self._mine.remove(item)
        if record.state != pb.RESERVATION_STATE_CANCELLED:
            self._wrong(item, "Cancel", record)
        self._ledger.heard["cancelled"] += 1
        return True

    def _request(self) -> pb.Reservation:
        rng = self._rng
        self._count += 1
        now_s = int(time.time())
        later = rng.random() < 0.8
        start_s = now_s + (3600 + SLOT_S * rng.randrange(8) if later else 30)
        bandwidth_bps = rng.randrange(120, 200) if rng.random() < 0.1 else rng.randrange(1, 61)
        window = common_pb2.Window(
            start_s=start_s, end_s=start_s + 3600 + SLOT_S * rng.randrange(8)
        )
        one_way = rng.random() < 0.1
        return pb.Reservation(
            request_id=f"{self._name}-{self._count}",
            source="west:host",
            destination="east:host",
            bandwidth_bps=bandwidth_bps * G,
            window=window,
            directionality=common_pb2.DIRECTIONALITY_UNIDIRECTIONAL
            if one_way
            else common_pb2.DIRECTIONALITY_BIDIRECTIONAL,
            negotiation_timeout_s=NEGOTIATION_S,
        )

    def _change(self, before: pb.ReservationRecord) -> pb.ModifyRequest:
        rng = self._rng
        self._count += 1
        request = pb.ModifyRequest(
            request_id=f"{self._name}-{self._count}",
            reservation_id=before.reservation_id,
            negotiation_timeout_s=NEGOTIATION_S,
        )
        if rng.random() < 0.7:
            request.bandwidth_bps = rng.randrange(1, 61) * G
        if not request.HasField("bandwidth_bps") or rng.random() < 0.3:
            from_s = max(before.criteria.window.start_s, int(time.time()))
            request.end_s = from_s + SLOT_S * rng.randrange(3, 14)
        return request

    def _begin(self, item: Asked) -> pb.ReservationRecord:
        assert item.record is not None
        item.busy = True
        return item.record

    def _heard(self, item: Asked, record: pb.ReservationRecord) -> None:
        item.record, item.busy = record, False
        for refusal in record.refusals[:1]:
            kind = common_pb2.RefusalKind.Name(refusal.kind).removeprefix("REFUSAL_KIND_")
            self._ledger.refusals[kind.lower()] += 1
        item.heard += 1

    def _drop(self, item: Asked, what: str, error: RefusedError) -> None:
        """A committed reservation cannot be changed or cancelled any more: it is lost."""
        self._mine.remove(item)
        item.busy = False
        self._note(what, error, False, item)

    def _note(self, what: str, error: RefusedError, harmless: bool, item: Asked) -> None:
        self._ledger.turned_away[f"{what} {error.code.name}"] += 1
        if not harmless:
            self._ledger.violations.append(f"{what} of request {item.request_id} answered {error}")

    def _wrong(self, item: Asked, what: str, record: pb.ReservationRecord) -> None:
        state = pb.ReservationState.Name(record.state)
        self._ledger.violations.append(
            f"{what} of request {item.request_id} answered {state} version {record.version}"
            f" modified {record.modified}"
        )
        if item in self._mine and record.state != pb.RESERVATION_STATE_COMMITTED:
            self._mine.remove(item)
