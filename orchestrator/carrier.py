"""Carries VNodes over gRPC: what one provider's agent exports is passed on to another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from grpc import StatusCode
from grpc.aio import AioRpcError, Channel

from braid.v1 import cloudnets_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub
from orchestrator.link import Status
from orchestrator.passing_on import passed_on
from orchestrator.ports import Ahead, Brought, NotCarriedError

T = TypeVar("T")

STALL_S = 60.0
"""For how long nothing may move before it is begun again."""
READY = "braid-ready"
"""The header of an Import that may go on."""
KEPT = "braid-kept"
"""The header that says which copy is kept there."""
FINAL = frozenset(
    {
        StatusCode.FAILED_PRECONDITION,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.NOT_FOUND,
        StatusCode.UNIMPLEMENTED,
        StatusCode.DATA_LOSS,
    }
)
"""What asking again does not change."""


class Providers(Protocol):
    """How agents of providers are reached."""

    def status(self, name: str) -> Status | None:
        """What is known of a domain; None: there is none of that name."""

    def channel(self, name: str) -> Channel:
        """A channel to its agent, to be closed."""


class GrpcCarrier:
    """The :class:`orchestrator.ports.Carrier` of production."""

    def __init__(
        self,
        providers: Providers,
        stall_s: float = STALL_S,
        errand_of: Callable[[str], int] = lambda _reservation_id: 0,
    ) -> None:
        """``errand_of``: on which errand the VNodes of a reservation are carried; 0: not known."""
        self._providers, self._stall_s, self._errand_of = providers, stall_s, errand_of

    async def ahead(self, reservation_id: str, vnode: str, source: str, target: str) -> Ahead:
        asked = self._asked(reservation_id, vnode, pb.CARRY_AHEAD)
        first, size = await self._pass(asked, source, target)
        return Ahead(size, first.HasField("still_ms"))

    async def carry(
        self, reservation_id: str, vnode: str, source: str, target: str, *, live: bool
    ) -> Brought:
        how = pb.CARRY_LIVE if live else pb.CARRY_COLD
        asked = self._asked(reservation_id, vnode, how)
        first, size = await self._pass(asked, source, target)
        return Brought(first.memory, first.off, first.still_ms, size)

    def _asked(self, reservation_id: str, vnode: str, how: pb.Carry.ValueType) -> pb.ExportRequest:
        errand = self._errand_of(reservation_id)
        return pb.ExportRequest(
            reservation_id=reservation_id, vnode=vnode, carry=how, errand=errand
        )

    async def _pass(
        self, asked: pb.ExportRequest, source: str, target: str
    ) -> tuple[pb.ExportResponse, int]:
        """What the source tells first, and how many bytes have arrived."""
        told, size = pb.ExportResponse(), 0
        async with self._stub(source) as there, self._stub(target) as here:
            into = here.Import()
            try:
                first = pb.ImportRequest(
                    reservation_id=asked.reservation_id,
                    vnode=asked.vnode,
                    carry=asked.carry,
                    errand=asked.errand,
                )
                await self._of(target, into.write(first))
                # It says so once the VNode may come: before that its source is left alone.
                headers = await self._of(target, into.initial_metadata())
                if headers is not None and READY in headers:
                    if KEPT not in headers and asked.carry != pb.CARRY_COLD:
                        raise NotCarriedError(f"{target} takes no copies of VNodes", final=True)
                    asked.since = headers.get(KEPT) or ""
                    export = there.Export(asked)
                    told, size = await self._pour((source, export), (target, into))
                await self._of(target, _ended(into))
            finally:
                into.cancel()
        return told, size

    async def _pour(
        self, source: tuple[str, Any], target: tuple[str, Any]
    ) -> tuple[pb.ExportResponse, int]:
        """Passes on all that comes, while anybody takes it."""
        (there, export), (here, into) = source, target
        first: pb.ExportResponse | None = None
        size = 0
        try:
            while message := await self._of(there, export.read()):
                if into.done():
                    break
                first = first or message
                size += len(message.data)
                await self._of(here, into.write(_onward(message)))
            if not into.done():
                await self._of(here, into.done_writing())
        finally:
            export.cancel()
        return first or pb.ExportResponse(), size

    async def begin(
        self, reservation_id: str, vnode: str, domain: str, *, begun: bool = False
    ) -> None:
        async with self._stub(domain) as stub:
            request = pb.CarriedRequest(reservation_id=reservation_id, vnodes=[vnode], begun=begun)
            try:
                await self._of(domain, stub.Begin(request))
            except _UnableError:
                return
            except _UnknownError as error:
                # One that was restored may not know yet what it is to have.
                raise NotCarriedError(str(error), final=False) from error

    async def put_back(self, reservation_id: str, vnode: str, domain: str) -> None:
        # Before anything is waited for: who has lost the reservation does not know its errand.
        errand = self._errand_of(reservation_id)
        async with self._stub(domain) as stub:
            request = pb.CarriedRequest(
                reservation_id=reservation_id, vnodes=[vnode], errand=errand
            )
            await self._of(domain, stub.PutBack(request))

    @asynccontextmanager
    async def _stub(self, domain: str) -> AsyncIterator[Any]:
        status = self._providers.status(domain)
        if status is None or not status.up:
            reason = status.reason if status is not None else "it has left"
            raise NotCarriedError(f"{domain} cannot be reached ({reason})", final=False)
        async with self._providers.channel(domain) as channel:
            yield CloudNetsStub(channel)

    async def _of(self, domain: str, work: Awaitable[T]) -> T | None:
        """What a domain answers; None at the end of a stream. Raises NotCarriedError."""
        try:
            async with asyncio.timeout(self._stall_s):
                answer = await work
        except TimeoutError:
            reason = f"{domain} did not go on within {self._stall_s:g} s"
            raise NotCarriedError(reason, final=False) from None
        except AioRpcError as error:
            raise _not_carried(domain, error) from error
        except asyncio.InvalidStateError:
            # It is over, which its answer tells more of.
            return None
        return answer or None


class _UnableError(NotCarriedError):
    """It carries none, so that nothing is awaited there."""


class _UnknownError(NotCarriedError):
    """There is no such VNode."""


def _onward(message: pb.ExportResponse) -> pb.ImportRequest:
    """What one end says, for the other."""
    return pb.ImportRequest(
        format=message.format,
        off=message.off,
        data=message.data,
        digest=message.digest,
        mark=message.mark,
        since=message.since,
        memory=message.memory,
    )


async def _ended(call: Any) -> pb.ImportResponse:
    answer: pb.ImportResponse = await call
    return answer


def _not_carried(domain: str, error: AioRpcError) -> NotCarriedError:
    code = error.code()
    if code is StatusCode.UNIMPLEMENTED:
        return _UnableError(f"{domain} cannot carry VNodes", final=True)
    told = passed_on(domain, error)
    what = "" if told.field == "vnode" else f"of {told.field} {told.given} "
    reason = f"{domain} says: {what}possible is {told.possible}"
    kind = _UnknownError if code is StatusCode.NOT_FOUND else NotCarriedError
    return kind(reason, final=told.code in FINAL, lost=told.code is StatusCode.DATA_LOSS)
