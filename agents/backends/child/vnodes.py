"""``braid.v1.CloudNets`` before a child orchestrator: what is asked of VNodes is asked there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext

from agents.backends.child.view import ChildView
from braid.errors import BraidError
from braid.v1 import cloudnets_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer
from runtime.errors import RequestError, Shown, invalid

Context = ServicerContext[Any, Any]
LAST_WORDS_S = 0.5
"""For how long what was typed last may be answered once nothing more can come."""
ACTIONS = {
    pb.POWER_ACTION_START: "start",
    pb.POWER_ACTION_STOP: "stop",
    pb.POWER_ACTION_CYCLE: "cycle",
}


class ChildCloudNets(CloudNetsServicer):
    """What each call promises is in cloudnets.proto; ``domain``: as whose VNodes they are told."""

    def __init__(self, child: ChildView, domain: str) -> None:
        self._child, self._domain = child, domain

    async def Show(self, request: pb.ShowCloudNetRequest, context: Context) -> pb.CloudNetState:
        child_id = await self._child_id(request.reservation_id)
        try:
            state: pb.CloudNetState = await self._child.client.show_cloudnet(child_id)
        except BraidError as error:
            raise self._passed_on(error, request.reservation_id) from error
        return self._told(request.reservation_id, state)

    async def Power(self, request: pb.PowerRequest, context: Context) -> pb.CloudNetState:
        child_id = await self._child_id(request.reservation_id)
        if request.action not in ACTIONS:
            raise invalid("action", request.action, "START (1), STOP (2) or CYCLE (3)")
        try:
            state: pb.CloudNetState = await self._child.client.power(
                child_id, ACTIONS[request.action], request.vnodes
            )
        except BraidError as error:
            raise self._passed_on(error, request.reservation_id) from error
        return self._told(request.reservation_id, state)

    async def Console(
        self, request_iterator: AsyncIterator[pb.ConsoleInput], context: Context
    ) -> AsyncIterator[pb.ConsoleOutput]:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise invalid("reservation_id", "nothing", "a first message that names a VNode")
        child_id = await self._child_id(first.reservation_id)
        async with self._child.client.console(child_id, first.vnode) as console:

            async def typed() -> None:
                await console.write(first.data)
                async for message in request_iterator:
                    await console.write(message.data)
                await asyncio.sleep(LAST_WORDS_S)
                console.close()

            typing = asyncio.create_task(typed())
            try:
                async for data in console:
                    yield pb.ConsoleOutput(data=data)
            except BraidError as error:
                raise self._passed_on(error, first.reservation_id) from error
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)

    async def WhatIf(self, request: pb.WhatIfRequest, context: Context) -> pb.WhatIfResponse:
        raise self._no_hosts()

    async def Migrate(self, request: pb.MigrateRequest, context: Context) -> pb.MigrateResponse:
        raise self._no_hosts()

    async def Export(
        self, request: pb.ExportRequest, context: Context
    ) -> AsyncIterator[pb.ExportResponse]:
        raise self._not_carried(request.vnode)
        yield

    async def Import(
        self, request_iterator: AsyncIterator[pb.ImportRequest], context: Context
    ) -> pb.ImportResponse:
        first = await anext(aiter(request_iterator), pb.ImportRequest())
        raise self._not_carried(first.vnode)

    async def Begin(self, request: pb.CarriedRequest, context: Context) -> pb.CarriedResponse:
        """Nothing: none is awaited here."""
        return pb.CarriedResponse()

    async def PutBack(self, request: pb.CarriedRequest, context: Context) -> pb.CarriedResponse:
        """Nothing: none is carried away from here."""
        return pb.CarriedResponse()

    async def _child_id(self, reservation_id: str) -> str:
        try:
            found = await self._child.cloudnet(reservation_id)
        except BraidError as error:
            raise self._passed_on(error, reservation_id) from error
        if found is None:
            possible = f"a CloudNet with VNodes at {self._domain}"
            raise RequestError(StatusCode.NOT_FOUND, "reservation_id", reservation_id, possible)
        return found.child_id

    def _told(self, reservation_id: str, state: pb.CloudNetState) -> pb.CloudNetState:
        """As of one provider: nothing of who is behind it."""
        state.reservation_id = reservation_id
        for vnode in state.vnodes:
            vnode.domain, vnode.host = self._domain, ""
        return state

    def _no_hosts(self) -> RequestError:
        possible = "to move VNodes at the orchestrator behind it, whose providers have the hosts"
        return RequestError(StatusCode.FAILED_PRECONDITION, "domain", self._domain, possible)

    def _not_carried(self, vnode: str) -> RequestError:
        possible = f"one that is at a provider with hosts of its own, which {self._domain} is not"
        return RequestError(StatusCode.FAILED_PRECONDITION, "vnode", vnode, possible)

    def _passed_on(self, error: BraidError, reservation_id: str) -> RequestError:
        """As if it had been asked itself, where that can be said so."""
        if error.code in (StatusCode.UNKNOWN, StatusCode.INTERNAL):
            possible = "to ask again: what is behind it broke"
            return RequestError(StatusCode.UNAVAILABLE, "domain", self._domain, possible)
        if error.field == "reservation_id":
            return RequestError(error.code, error.field, reservation_id, error.possible)
        if error.field in ("vnode", "vnodes"):
            return RequestError(error.code, error.field, Shown(error.given), error.possible)
        return RequestError(error.code, "domain", self._domain, error.possible or error.message)
