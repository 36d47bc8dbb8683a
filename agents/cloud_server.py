"""``braid.v1.CloudNets`` of an agent: what may be done with the CloudNets that it runs."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Final

from grpc import StatusCode
from grpc.aio import ServicerContext

from agents.backends.base import DeviceError
from agents.backends.hosts.port import (
    CARRIED_CHUNK_BYTES,
    CONSOLE_CHUNK_BYTES,
    Carried,
    Console,
    PowerState,
)
from agents.carrying import Exported
from agents.clouds import Clouds, Shown
from agents.metadata import ID_SHAPE, is_id
from braid.v1 import cloudnets_pb2 as pb, cloudnets_pb2_grpc, rdl_pb2
from cloudnets.freeing import Move
from runtime.errors import RequestError, invalid
from runtime.server import Add

CLOUDNETS_NAME: Final = pb.DESCRIPTOR.services_by_name["CloudNets"].full_name
VNODES_MAX = 1000
READY = "braid-ready"
"""The header of an Import that may go on."""
KEPT = "braid-kept"
"""The header that says which copy is kept there."""
_COPIES = (pb.CARRY_AHEAD, pb.CARRY_LIVE)
LAST_WORDS_S = 0.2
"""For how long what was typed last may be answered once nothing more can come."""
_STATES = {
    PowerState.GONE: pb.POWER_STATE_DEFINED,
    PowerState.DEFINED: pb.POWER_STATE_DEFINED,
    PowerState.PREPARING: pb.POWER_STATE_PREPARING,
    PowerState.RUNNING: pb.POWER_STATE_RUNNING,
    PowerState.STOPPED: pb.POWER_STATE_STOPPED,
    PowerState.PAUSED: pb.POWER_STATE_PAUSED,
    PowerState.FAILED: pb.POWER_STATE_FAILED,
}


def cloud_service(servicer: cloudnets_pb2_grpc.CloudNetsServicer) -> dict[str, Add]:
    """The service, as :class:`runtime.server.GrpcServer` takes it."""
    add = partial(cloudnets_pb2_grpc.add_CloudNetsServicer_to_server, servicer)
    return {CLOUDNETS_NAME: add}


class CloudNetsServicer(cloudnets_pb2_grpc.CloudNetsServicer):
    """Lets orchestrators and the provider's operators speak to ``clouds``."""

    def __init__(self, clouds: Clouds, domain: str) -> None:
        self._clouds, self._domain = clouds, domain

    async def Show(
        self,
        request: pb.ShowCloudNetRequest,
        context: ServicerContext[pb.ShowCloudNetRequest, pb.CloudNetState],
    ) -> pb.CloudNetState:
        """What is known of a CloudNet here now."""
        reservation_id = _id("reservation_id", request.reservation_id)
        return self._state(reservation_id, await self._clouds.show(reservation_id))

    async def Power(
        self, request: pb.PowerRequest, context: ServicerContext[pb.PowerRequest, pb.CloudNetState]
    ) -> pb.CloudNetState:
        """Starts, stops or power-cycles VNodes, and answers when that is done."""
        reservation_id = _id("reservation_id", request.reservation_id)
        vnodes = _ids(request.vnodes)
        if request.action == pb.POWER_ACTION_CYCLE:
            await self._clouds.cycle(reservation_id, vnodes)
        elif request.action in (pb.POWER_ACTION_START, pb.POWER_ACTION_STOP):
            off = request.action == pb.POWER_ACTION_STOP
            await self._clouds.switch(reservation_id, vnodes, off=off)
        else:
            raise invalid("action", request.action, "START (1), STOP (2) or CYCLE (3)")
        return self._state(reservation_id, await self._clouds.show(reservation_id))

    async def Console(
        self,
        request_iterator: AsyncIterator[pb.ConsoleInput],
        context: ServicerContext[pb.ConsoleInput, pb.ConsoleOutput],
    ) -> AsyncIterator[pb.ConsoleOutput]:
        """The console of a VNode; ends when it stops or the caller has no more to say."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise invalid("reservation_id", "nothing", "a first message that names a VNode")
        reservation_id = _id("reservation_id", first.reservation_id)
        console = await self._clouds.console(reservation_id, _id("vnode", first.vnode))
        typing = asyncio.create_task(_type(console, first.data, request_iterator))
        try:
            await context.send_initial_metadata(())
            while data := await _read(console, typing):
                yield pb.ConsoleOutput(data=data)
        finally:
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)
            await console.close()

    async def WhatIf(
        self,
        request: pb.WhatIfRequest,
        context: ServicerContext[pb.WhatIfRequest, pb.WhatIfResponse],
    ) -> pb.WhatIfResponse:
        """What it would cost to free a share of the hosts; over all that is committed."""
        self._check_domain(request.domain)
        found = await self._clouds.what_if(_share(request.free_share))
        return pb.WhatIfResponse(
            freed=len(found.hosts),
            hosts=found.of,
            wanted=found.wanted,
            moves=_moves(found.moves),
            cost=found.cost_bytes,
            bound=found.bound_bytes,
        )

    async def Migrate(
        self,
        request: pb.MigrateRequest,
        context: ServicerContext[pb.MigrateRequest, pb.MigrateResponse],
    ) -> pb.MigrateResponse:
        """Moves one VNode to a host, or does what WhatIf answers."""
        if not request.reservation_id:
            self._check_domain(request.domain)
            for field in ("vnode", "host"):
                if getattr(request, field):
                    raise invalid(field, getattr(request, field), "empty without a reservation_id")
            done = await self._clouds.free(_share(request.free_share))
            return pb.MigrateResponse(
                moves=_moves(done.moves), freed=len(done.hosts), hosts=done.of, wanted=done.wanted
            )
        reservation_id = _id("reservation_id", request.reservation_id)
        if request.free_share:
            raise invalid("free_share", request.free_share, "0 with a reservation_id")
        if request.domain:
            possible = "empty: to another provider only at an orchestrator"
            raise invalid("domain", request.domain, possible)
        vnode, host = _id("vnode", request.vnode), _id("host", request.host)
        moves = await self._clouds.migrate(reservation_id, vnode, host)
        return pb.MigrateResponse(moves=_moves(moves))

    async def Export(
        self,
        request: pb.ExportRequest,
        context: ServicerContext[pb.ExportRequest, pb.ExportResponse],
    ) -> AsyncIterator[pb.ExportResponse]:
        """Stops or pauses a VNode, or lets it run on, and tells what it has."""
        reservation_id = _id("reservation_id", request.reservation_id)
        vnode = _id("vnode", request.vnode)
        if _copies(request.carry):
            since = _id("since", request.since) if request.since else ""
            last = request.carry == pb.CARRY_LIVE
            exported = await self._clouds.carrying.copy(
                reservation_id, vnode, since, request.errand, last=last
            )
        else:
            exported = await self._clouds.carrying.export(reservation_id, vnode, request.errand)
        carried, digest = exported.carried, hashlib.sha256()
        yield pb.ExportResponse(
            format=carried.format,
            off=exported.off,
            still_ms=exported.still_ms,
            mark=exported.mark,
            since=exported.since,
            memory=exported.memory,
        )
        try:
            async for piece in carried.data:
                digest.update(piece)
                yield pb.ExportResponse(data=piece)
        except DeviceError as error:
            possible = f"later: {error}"
            raise RequestError(StatusCode.UNAVAILABLE, "vnode", vnode, possible) from error
        yield pb.ExportResponse(digest=digest.digest())

    async def Import(
        self,
        request_iterator: AsyncIterator[pb.ImportRequest],
        context: ServicerContext[pb.ImportRequest, pb.ImportResponse],
    ) -> pb.ImportResponse:
        """Makes a VNode of what another provider exported, or keeps a copy of one."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise invalid("reservation_id", "nothing", "a first message that names a VNode")
        reservation_id = _id("reservation_id", first.reservation_id)
        vnode = _id("vnode", first.vnode)
        carrying, kept = self._clouds.carrying, ""
        copies, last, errand = _copies(first.carry), first.carry != pb.CARRY_AHEAD, first.errand
        await carrying.must_fit(reservation_id, vnode)
        await carrying.comes(reservation_id, vnode, errand, last=last)
        if copies:
            kept = await carrying.kept(reservation_id, vnode)
        await context.send_initial_metadata(((READY, "1"), (KEPT, kept)))
        second = await anext(aiter(request_iterator), pb.ImportRequest())
        try:
            exported = _exported(second, request_iterator)
            if copies:
                _id("mark", second.mark)
                await carrying.keep(reservation_id, vnode, exported, errand, last=last)
            else:
                await carrying.import_(reservation_id, vnode, exported, errand)
        except RequestError:
            # Who is still sending would not hear why.
            async for _ in request_iterator:
                pass
            raise
        return pb.ImportResponse()

    async def Begin(
        self,
        request: pb.CarriedRequest,
        context: ServicerContext[pb.CarriedRequest, pb.CarriedResponse],
    ) -> pb.CarriedResponse:
        """Lets VNodes run that have arrived."""
        await self._clouds.carrying.begin(*_carried(request), begun=request.begun)
        return pb.CarriedResponse()

    async def PutBack(
        self,
        request: pb.CarriedRequest,
        context: ServicerContext[pb.CarriedRequest, pb.CarriedResponse],
    ) -> pb.CarriedResponse:
        """Lets VNodes run again that are not carried away after all."""
        await self._clouds.carrying.put_back(*_carried(request), request.errand)
        return pb.CarriedResponse()

    def _check_domain(self, given: str) -> None:
        if given not in ("", self._domain):
            possible = f"{self._domain}, or empty"
            raise RequestError(StatusCode.NOT_FOUND, "domain", given, possible)

    def _state(self, reservation_id: str, shown: Shown) -> pb.CloudNetState:
        states = []
        for vnode in shown.mapped.vnodes:
            condition = shown.conditions[vnode.id]
            states.append(
                pb.VNodeState(
                    vnode=vnode.id,
                    domain=self._domain,
                    state=_STATES[condition.state],
                    reason=condition.reason,
                    host=vnode.host,
                )
            )
        completed = rdl_pb2.Graph.FromString(shown.mapped.graph)
        return pb.CloudNetState(reservation_id=reservation_id, vnodes=states, completed=completed)


async def _type(console: Console, first: bytes, rest: AsyncIterator[pb.ConsoleInput]) -> None:
    """Types what comes, until there is no more."""
    await _write(console, first)
    async for message in rest:
        if message.reservation_id or message.vnode:
            raise invalid("vnode", message.vnode, "only in the first message")
        await _write(console, message.data)


async def _write(console: Console, data: bytes) -> None:
    for at in range(0, len(data), CONSOLE_CHUNK_BYTES):
        await console.write(data[at : at + CONSOLE_CHUNK_BYTES])


async def _read(console: Console, typing: asyncio.Task[None]) -> bytes:
    """What there is to be shown; b"" once the console is over, or who types has gone.

    What answers the last words is shown still, as far as it is there.
    """
    reading = asyncio.create_task(console.read())
    try:
        await asyncio.wait({reading, typing}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            # Lets what was typed last be answered.
            await asyncio.wait({reading}, timeout=LAST_WORDS_S)
        if reading.done():
            return reading.result()
        typing.result()
        return b""
    finally:
        reading.cancel()


def _moves(moves: Iterable[Move]) -> list[pb.VNodeMove]:
    return [
        pb.VNodeMove(
            reservation_id=move.reservation_id,
            vnode=move.vnode,
            source=move.source,
            target=move.target,
            cost=move.cost_bytes,
        )
        for move in moves
    ]


def _id(field: str, given: str) -> str:
    if not is_id(given):
        raise invalid(field, given, ID_SHAPE)
    return given


def _share(given: float) -> float:
    if not (math.isfinite(given) and 0 < given < 1):
        raise invalid("free_share", given, "above 0 and below 1")
    return given


def _ids(given: Sequence[str]) -> list[str]:
    if len(given) > VNODES_MAX:
        raise invalid("vnodes", len(given), f"up to {VNODES_MAX}")
    return [_id(f"vnodes[{i}]", vnode) for i, vnode in enumerate(given)]


def _carried(request: pb.CarriedRequest) -> tuple[str, list[str]]:
    vnodes = _ids(request.vnodes)
    if not vnodes:
        raise invalid("vnodes", "none", "one or more")
    return _id("reservation_id", request.reservation_id), vnodes


def _copies(carry: int) -> bool:
    """Whether it goes by copies of one that runs. Raises RequestError."""
    if carry not in pb.Carry.values():
        raise invalid("carry", carry, "COLD (1), AHEAD (2) or LIVE (3)")
    return carry in _COPIES


def _exported(second: pb.ImportRequest, more: AsyncIterator[pb.ImportRequest]) -> Exported:
    """What comes, as it was told at the other end."""
    return Exported(
        Carried(second.format, _brought(second, more)),
        second.off,
        mark=second.mark,
        since=second.since,
        memory=second.memory,
    )


async def _brought(
    first: pb.ImportRequest, more: AsyncIterator[pb.ImportRequest]
) -> AsyncIterator[bytes]:
    """The bytes that come. Raises DeviceError where they break off, or are not as they were."""
    digest, message = hashlib.sha256(), first
    while not message.digest:
        if len(message.data) > CARRIED_CHUNK_BYTES:
            possible = f"up to {CARRIED_CHUNK_BYTES} bytes in one message"
            raise invalid("data", len(message.data), possible)
        digest.update(message.data)
        if message.data:
            yield message.data
        following = await anext(aiter(more), None)
        if following is None:
            raise DeviceError("what came broke off")
        message = following
    if message.digest != digest.digest():
        raise DeviceError("what came is not what was sent: its digest is another")
