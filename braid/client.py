"""The client library: reserve circuits from Python, over gRPC.

    with Client("127.0.0.1:7000", insecure=True) as client:
        with client.circuit("sitea:dtn", "sited:dtn", "10G", duration="2h") as circuit:
            transfer(circuit.parallel_streams)

Amounts may be written as people do ("10G", "2h", "tomorrow 06:00"). Calls raise the errors of
:mod:`braid.errors`. A call that loses its connection is repeated with the same ``request_id``,
which gives the recorded answer. :class:`AsyncClient` has the same methods as coroutines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

import grpc
import grpc.aio

from braid import requests, retries
from braid.calls import Calls
from braid.consoles import AsyncConsole, Console
from braid.errors import (
    BraidError,
    CircuitRefused,
    Conflict,
    DeadlinePassed,
    InvalidRequest,
    NotFound,
    Refused,
    Unreachable,
)
from braid.many import Asking, Outcome
from braid.requests import Circuit, Leg
from braid.units import Amount
from braid.v1 import reservations_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub
from braid.v1.doubts_pb2_grpc import DoubtsStub
from braid.v1.reservations_pb2_grpc import ReservationsStub
from braid.v1.topology_pb2_grpc import TopologyStub

__all__ = [
    "AsyncClient",
    "AsyncConsole",
    "BraidError",
    "Circuit",
    "CircuitRefused",
    "Client",
    "Conflict",
    "Console",
    "DeadlinePassed",
    "InvalidRequest",
    "Leg",
    "NotFound",
    "Outcome",
    "Refused",
    "Unreachable",
]

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
POLL_S = 0.2


class Client(Calls):
    """A blocking client. ``target``: "host:port". TLS unless ``insecure``; PEM files as bytes.

    ``timeout_s``: most time for one call, more than 0; a call that negotiates gets its
    negotiation's time on top.
    """

    def __init__(
        self,
        target: str,
        *,
        insecure: bool = False,
        root_certificates: bytes | None = None,
        key: bytes | None = None,
        certificate: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        if insecure:
            self._channel = grpc.insecure_channel(target, options=requests.CHANNEL_OPTIONS)
        else:
            tls = requests.credentials(root_certificates, key, certificate)
            self._channel = grpc.secure_channel(target, tls, options=requests.CHANNEL_OPTIONS)
        self._reservations = ReservationsStub(self._channel)
        self._topology = TopologyStub(self._channel)
        self._doubts = DoubtsStub(self._channel)
        self._cloudnets = CloudNetsStub(self._channel)
        self._timeout_s = timeout_s

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def watch(
        self,
        reservation_id: str = "",
        *,
        after_sequence: int = 0,
        until_decided: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[pb.ReservationEvent]:
        """Events of one reservation (from its beginning) or of all (from now on), without a gap.

        When the connection is lost it watches again, after the last event. Raises DeadlinePassed
        after ``timeout_s`` seconds.
        """
        message = requests.watch(reservation_id, after_sequence, until_decided)
        watching = retries.Watching(message, time.monotonic(), timeout_s)
        while True:
            left_s = watching.left_s(time.monotonic())
            call = self._reservations.Watch(message, timeout=left_s)
            try:
                for event in call:
                    yield watching.seen(event)
                return
            except grpc.RpcError as error:
                time.sleep(watching.pause(error))
            finally:
                call.cancel()

    def reserve_many(
        self, reservations: Iterable[pb.Reservation], *, in_flight: int = 256
    ) -> Iterator[Outcome]:
        """Negotiates many circuits over one stream; each outcome as soon as it is decided.

        ``reservations``: see :func:`braid.requests.reservation`; taken as others end, so that at
        most ``in_flight`` await their outcome. When the connection is lost those are asked for
        again, by the same ids. Raises a BraidError when it cannot be had back, ValueError for a
        request_id that is missing or given twice.
        """
        asking = Asking(reservations, in_flight)
        while not asking.over:
            time.sleep(asking.idle_s(time.monotonic()))
            frames: SimpleQueue[pb.ReserveManyRequest | None] = SimpleQueue()
            call = self._reservations.ReserveMany(iter(frames.get, None))
            broken: grpc.RpcError | None = None
            try:
                frames.put(asking.frame(time.monotonic()))
                while asking.waits and (response := next(call, None)) is not None:
                    yield from asking.hear(response, time.monotonic())
                    frame = asking.frame(time.monotonic())
                    if frame is not None:
                        frames.put(frame)
            except grpc.RpcError as error:
                broken = error
            finally:
                frames.put(None)
                call.cancel()
            if asking.waits or asking.leaves:
                time.sleep(asking.broken(broken, time.monotonic()))

    @contextmanager
    def circuit(
        self,
        source: str,
        destination: str,
        bandwidth: Amount | None = None,
        *,
        wait_active_s: float | None = None,
        **wishes: Any,
    ) -> Iterator[Circuit]:
        """A circuit for the length of a block; cancelled when it ends, however it ends.

        With ``wait_active_s`` the block begins when the data plane carries it. Raises
        CircuitRefused, and TimeoutError when it is not active in time.
        """
        message = requests.reservation(source, destination, bandwidth, **wishes)
        try:
            record = self._call(self._reservations.Reserve, message)
        except retries.NOTHING_RESERVED:
            raise
        except BaseException:
            # It may have been reserved all the same.
            with suppress(BraidError):
                found = self.get(request_id=message.request_id)
                self.cancel(found.reservation_id)
            raise
        circuit = requests.circuit_of(record)
        # An error of the block says more than one of giving back.
        harmless: type[BraidError] = BraidError
        try:
            if wait_active_s is not None:
                deadline = time.monotonic() + wait_active_s
                while not requests.is_active(record := self.get(record.reservation_id)):
                    requests.check_deadline(time.monotonic(), deadline, record.reservation_id)
                    time.sleep(POLL_S)
                # It may have been moved before it began.
                circuit = requests.circuit_of(record)
            yield circuit
            # Its window may have ended meanwhile.
            harmless = Conflict
        finally:
            with suppress(harmless):
                self.cancel(record.reservation_id)

    def console(self, reservation_id: str, vnode: str) -> Console:
        """The console of a VNode; a context manager, which closes it."""
        return Console(self._cloudnets, reservation_id, vnode)

    def _call(self, method: Any, message: Any) -> Any:
        attempt, timeout_s = 0, retries.call_timeout(message, self._timeout_s)
        while True:
            try:
                return method(message, timeout=timeout_s)
            except grpc.RpcError as error:
                attempt += 1
                time.sleep(retries.pause_before(attempt, error, asked=message))


class AsyncClient(Calls):
    """The same client for asyncio: its calls are coroutines, its iterators asynchronous."""

    def __init__(
        self,
        target: str,
        *,
        insecure: bool = False,
        root_certificates: bytes | None = None,
        key: bytes | None = None,
        certificate: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        if insecure:
            self._channel = grpc.aio.insecure_channel(target, options=requests.CHANNEL_OPTIONS)
        else:
            tls = requests.credentials(root_certificates, key, certificate)
            self._channel = grpc.aio.secure_channel(target, tls, options=requests.CHANNEL_OPTIONS)
        self._reservations = ReservationsStub(self._channel)
        self._topology = TopologyStub(self._channel)
        self._doubts = DoubtsStub(self._channel)
        self._cloudnets = CloudNetsStub(self._channel)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def watch(
        self,
        reservation_id: str = "",
        *,
        after_sequence: int = 0,
        until_decided: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncIterator[pb.ReservationEvent]:
        """As :meth:`Client.watch`."""
        message = requests.watch(reservation_id, after_sequence, until_decided)
        watching = retries.Watching(message, time.monotonic(), timeout_s)
        while True:
            left_s = watching.left_s(time.monotonic())
            call = self._reservations.Watch(message, timeout=left_s)
            try:
                async for event in call:
                    yield watching.seen(event)
                return
            except grpc.RpcError as error:
                await asyncio.sleep(watching.pause(error))
            finally:
                call.cancel()

    async def reserve_many(
        self, reservations: Iterable[pb.Reservation], *, in_flight: int = 256
    ) -> AsyncIterator[Outcome]:
        """As :meth:`Client.reserve_many`."""
        asking = Asking(reservations, in_flight)
        while not asking.over:
            await asyncio.sleep(asking.idle_s(time.monotonic()))
            frames: asyncio.Queue[pb.ReserveManyRequest | None] = asyncio.Queue()
            call = self._reservations.ReserveMany(_taken(frames))
            broken: grpc.RpcError | None = None
            try:
                frames.put_nowait(asking.frame(time.monotonic()))
                responses = aiter(call)
                while asking.waits and (response := await anext(responses, None)) is not None:
                    for outcome in asking.hear(response, time.monotonic()):
                        yield outcome
                    frame = asking.frame(time.monotonic())
                    if frame is not None:
                        frames.put_nowait(frame)
            except grpc.RpcError as error:
                broken = error
            finally:
                frames.put_nowait(None)
                call.cancel()
            if asking.waits or asking.leaves:
                await asyncio.sleep(asking.broken(broken, time.monotonic()))

    @asynccontextmanager
    async def circuit(
        self,
        source: str,
        destination: str,
        bandwidth: Amount | None = None,
        *,
        wait_active_s: float | None = None,
        **wishes: Any,
    ) -> AsyncIterator[Circuit]:
        """As :meth:`Client.circuit`."""
        message = requests.reservation(source, destination, bandwidth, **wishes)
        try:
            record = await self._call(self._reservations.Reserve, message)
        except retries.NOTHING_RESERVED:
            raise
        except BaseException:
            # It may have been reserved all the same.
            with suppress(BraidError):
                found = await self.get(request_id=message.request_id)
                await self.cancel(found.reservation_id)
            raise
        circuit = requests.circuit_of(record)
        # An error of the block says more than one of giving back.
        harmless: type[BraidError] = BraidError
        try:
            if wait_active_s is not None:
                deadline = time.monotonic() + wait_active_s
                while not requests.is_active(record := await self.get(record.reservation_id)):
                    requests.check_deadline(time.monotonic(), deadline, record.reservation_id)
                    await asyncio.sleep(POLL_S)
                circuit = requests.circuit_of(record)
            yield circuit
            # Its window may have ended meanwhile.
            harmless = Conflict
        finally:
            with suppress(harmless):
                await self.cancel(record.reservation_id)

    def console(self, reservation_id: str, vnode: str) -> AsyncConsole:
        """The console of a VNode; an asynchronous context manager, which closes it."""
        return AsyncConsole(self._cloudnets, reservation_id, vnode)

    async def _call(self, method: Any, message: Any) -> Any:
        attempt, timeout_s = 0, retries.call_timeout(message, self._timeout_s)
        while True:
            try:
                return await method(message, timeout=timeout_s)
            except grpc.RpcError as error:
                attempt += 1
                await asyncio.sleep(retries.pause_before(attempt, error, asked=message))


async def _taken(frames: asyncio.Queue[T | None]) -> AsyncIterator[T]:
    """What is put into the queue, until None is."""
    while (frame := await frames.get()) is not None:
        yield frame
