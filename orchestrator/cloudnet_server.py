"""``braid.v1.CloudNets`` of an orchestrator: what users do with VNodes, wherever these run.

It knows at which provider each VNode is, and passes on what is asked. It tells no host of a
provider's inside: that is for the provider's own operators, who ask their agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from grpc import StatusCode
from grpc.aio import AioRpcError, Channel, ServicerContext

from braid.endings import Ending
from braid.v1 import cloudnets_pb2 as pb, common_pb2, rdl_pb2, reservations_pb2
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer, CloudNetsStub
from orchestrator.link import Status
from orchestrator.passing_on import CALL_TIMEOUT_S, passed_on
from orchestrator.records import Reservation, State
from orchestrator.server import ReservationsService
from orchestrator.wire import cloudnet_to_pb
from rdl.codec import graph_from_pb, graph_to_pb
from rdl.errors import RdlError
from rdl.partial import join
from runtime.errors import RequestError, invalid

Context = ServicerContext[Any, Any]
CARRYING = (common_pb2.REFUSAL_KIND_POLICY, common_pb2.REFUSAL_KIND_UNAVAILABLE)
"""How it is refused to carry what VNodes have; that there is no room for them is of other kinds."""


class Providers(Protocol):
    """How agents of providers are reached."""

    def status(self, name: str) -> Status | None:
        """What is known of a domain; None: there is none of that name."""

    def channel(self, name: str) -> Channel:
        """A channel to its agent, to be closed."""


class CloudNetsService(CloudNetsServicer):
    """What each call promises is in cloudnets.proto."""

    def __init__(self, reservations: ReservationsService, providers: Providers) -> None:
        self._reservations, self._providers = reservations, providers

    async def Show(self, request: pb.ShowCloudNetRequest, context: Context) -> pb.CloudNetState:
        record = await self._cloudnet(request.reservation_id)
        return await self._state(record)

    async def Power(self, request: pb.PowerRequest, context: Context) -> pb.CloudNetState:
        record = await self._in_force(request.reservation_id)
        if request.action not in pb.PowerAction.values() or not request.action:
            raise invalid("action", request.action, "START, STOP or CYCLE")
        places = _places(record)
        for vnode in request.vnodes:
            _place(vnode, places, "vnodes")
        wanted = set(request.vnodes or places)
        _must_stay(record, wanted)
        named = {
            domain: pb.PowerRequest(
                reservation_id=record.reservation_id,
                action=request.action,
                vnodes=sorted(v for v, at in places.items() if at == domain and v in wanted),
            )
            for domain in sorted({places[vnode] for vnode in wanted})
        }
        # All are waited for: the answer means that nothing is still being done.
        answers = await asyncio.gather(
            *(self._call(domain, "Power", each) for domain, each in named.items()),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return await self._state(record)

    async def Console(
        self, request_iterator: AsyncIterator[pb.ConsoleInput], context: Context
    ) -> AsyncIterator[pb.ConsoleOutput]:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise invalid("reservation_id", "nothing", "the id of a CloudNet in the first message")
        record = await self._in_force(first.reservation_id)
        domain = _place(first.vnode, _places(record), "vnode")
        async with self._channel(domain) as channel:
            call = CloudNetsStub(channel).Console(_onward(first, request_iterator))
            ending = Ending(call)
            try:
                async for output in call:
                    yield output
            except AioRpcError as error:
                if (said := await ending.said(error)) is not None:
                    raise passed_on(domain, said) from error
            finally:
                call.cancel()

    async def WhatIf(self, request: pb.WhatIfRequest, context: Context) -> pb.WhatIfResponse:
        self._provider(request.domain)
        answer: pb.WhatIfResponse = await self._call(request.domain, "WhatIf", request)
        _hide(answer.moves)
        return answer

    async def Migrate(self, request: pb.MigrateRequest, context: Context) -> pb.MigrateResponse:
        if not request.reservation_id:
            self._provider(request.domain)
            if request.host or request.vnode:
                raise invalid("reservation_id", "absent", "the CloudNet that the VNode is of")
            return await self._moved(request.domain, request)
        record = await self._in_force(request.reservation_id)
        if request.free_share:
            raise invalid("free_share", request.free_share, "nothing beside reservation_id")
        source = _place(request.vnode, _places(record), "vnode")
        if request.anew and request.host:
            raise invalid("anew", True, "nothing beside host: within a provider it stays as it is")
        move = pb.VNodeMove(reservation_id=record.reservation_id, vnode=request.vnode)
        if not request.host and request.domain == source:
            # It is there, perhaps by this very request.
            again = await self._has_made(request.request_id, record, context)
            move.cost = sum(v.copied_bytes for v in record.carried if v.vnode == move.vnode)
            return pb.MigrateResponse(moves=[move] if again else [])
        if not request.domain or request.domain == source:
            onward = pb.MigrateRequest()
            onward.CopyFrom(request)
            onward.ClearField("domain")
            return await self._moved(source, onward)
        if request.host:
            raise invalid("host", request.host, "nothing beside another domain: it picks the host")
        self._provider(request.domain)
        after = await self._to_another(record, request, context)
        mine = [each for each in after.carried if each.vnode == move.vnode]
        move.cost = sum(each.ahead_bytes + each.last_bytes for each in mine)
        return pb.MigrateResponse(moves=[move])

    async def Export(
        self, request: pb.ExportRequest, context: Context
    ) -> AsyncIterator[pb.ExportResponse]:
        raise _only_agents()
        yield

    async def Import(
        self, request_iterator: AsyncIterator[pb.ImportRequest], context: Context
    ) -> pb.ImportResponse:
        raise _only_agents()

    async def Begin(self, request: pb.CarriedRequest, context: Context) -> pb.CarriedResponse:
        raise _only_agents()

    async def PutBack(self, request: pb.CarriedRequest, context: Context) -> pb.CarriedResponse:
        raise _only_agents()

    async def _has_made(self, request_id: str, record: Reservation, context: Context) -> bool:
        """Whether a change of this CloudNet was asked for by that id."""
        try:
            asked = reservations_pb2.GetRequest(request_id=request_id)
            made = await self._reservations.Get(asked, context)
        except RequestError:
            return False
        return made.reservation_id == record.reservation_id

    async def _to_another(
        self, record: Reservation, request: pb.MigrateRequest, context: Context
    ) -> reservations_pb2.ReservationRecord:
        """A new version of the CloudNet in which the VNode is at another provider."""
        cloudnet = record.criteria.cloudnet
        assert cloudnet is not None
        wanted = cloudnet_to_pb(cloudnet)
        placing = {**dict(cloudnet.placing), request.vnode: request.domain}
        del wanted.placing[:], wanted.anew[:]
        if request.anew:
            wanted.anew.append(request.vnode)
        for vnode, domain in sorted(placing.items()):
            wanted.placing.add(vnode=vnode, domain=domain)
        change = reservations_pb2.ModifyRequest(
            request_id=request.request_id, reservation_id=record.reservation_id, cloudnet=wanted
        )
        after = await self._reservations.Modify(change, context)
        if not after.modified:
            possible = _instead(request, after.refusals)
            raise RequestError(StatusCode.FAILED_PRECONDITION, "domain", request.domain, possible)
        return after

    async def _moved(self, domain: str, request: pb.MigrateRequest) -> pb.MigrateResponse:
        answer: pb.MigrateResponse = await self._call(domain, "Migrate", request)
        _hide(answer.moves)
        return answer

    async def _cloudnet(self, reservation_id: str) -> Reservation:
        record = await self._reservations.record(reservation_id)
        if record.criteria.cloudnet is None:
            possible = "the id of a CloudNet: this is a circuit"
            raise RequestError(StatusCode.NOT_FOUND, "reservation_id", reservation_id, possible)
        return record

    async def _in_force(self, reservation_id: str) -> Reservation:
        record = await self._cloudnet(reservation_id)
        if record.state is not State.COMMITTED:
            possible = f"a COMMITTED CloudNet: it is {record.state.name}"
            code = StatusCode.FAILED_PRECONDITION
            raise RequestError(code, "reservation_id", reservation_id, possible)
        return record

    async def _state(self, record: Reservation) -> pb.CloudNetState:
        """What all providers tell of it; a VNode whose provider is away has no state."""
        places = _places(record)
        domains = sorted(set(places.values()))
        asked = pb.ShowCloudNetRequest(reservation_id=record.reservation_id)
        answers = await asyncio.gather(
            *(self._call(domain, "Show", asked) for domain in domains), return_exceptions=True
        )
        state = pb.CloudNetState(reservation_id=record.reservation_id)
        parts: dict[str, rdl_pb2.Graph] = {}
        for domain, answer in zip(domains, answers, strict=True):
            own = sorted(vnode for vnode, at in places.items() if at == domain)
            if isinstance(answer, pb.CloudNetState):
                parts[domain] = answer.completed
                state.vnodes.extend(_told(domain, own, answer))
            elif isinstance(answer, RequestError):
                state.vnodes.extend(_unknown(domain, own, answer))
            elif isinstance(answer, BaseException):
                raise answer
        whole = _joined(parts) if len(parts) == len(domains) else None
        if whole is not None:
            state.completed.CopyFrom(whole)
        return state

    def _provider(self, name: str) -> None:
        status = self._providers.status(name)
        if status is not None and status.domain is None:
            possible = "to ask again: it cannot be reached since this instance started"
            raise RequestError(StatusCode.UNAVAILABLE, "domain", name, possible)
        if status is None or status.domain is None or not status.domain.cloud_stp:
            raise RequestError(StatusCode.NOT_FOUND, "domain", name, "a provider of VNodes")

    def _channel(self, domain: str) -> Channel:
        status = self._providers.status(domain)
        if status is None or not status.up:
            reason = status.reason if status is not None else "it has left"
            possible = f"to ask again: its agent cannot be reached ({reason})"
            raise RequestError(StatusCode.UNAVAILABLE, "domain", domain, possible)
        return self._providers.channel(domain)

    async def _call(self, domain: str, method: str, request: Any) -> Any:
        async with self._channel(domain) as channel:
            try:
                call = getattr(CloudNetsStub(channel), method)
                return await call(request, timeout=CALL_TIMEOUT_S)
            except AioRpcError as error:
                raise passed_on(domain, error) from error


async def _onward(
    first: pb.ConsoleInput, more: AsyncIterator[pb.ConsoleInput]
) -> AsyncIterator[pb.ConsoleInput]:
    yield first
    async for each in more:
        yield each


def _places(record: Reservation) -> dict[str, str]:
    """The domain of each VNode."""
    return {vnode: part.domain for part in record.parts for vnode in part.vnodes}


def _instead(request: pb.MigrateRequest, refusals: Iterable[common_pb2.Refusal]) -> str:
    """What may be asked for instead of this move, and why it is refused."""
    told = [each for each in refusals if request.vnode in each.elements and each.kind in CARRYING]
    if request.anew or not told:
        reasons = "; ".join(refusal.reason for refusal in refusals)
        return f"another provider; {reasons or 'it was refused'}"
    elsewhere = "another provider, or " if told[0].domain == request.domain else ""
    # Of what it says to be possible a move has one way only.
    reason = told[0].reason.partition("; possible: ")[0]
    return f"{elsewhere}that it begins anew, from its image; {reason}"


def _only_agents() -> RequestError:
    possible = "Migrate, or a Modify: what VNodes have is carried between agents of providers"
    return RequestError(StatusCode.UNIMPLEMENTED, "method", "of agents", possible)


def _must_stay(record: Reservation, vnodes: Iterable[str]) -> None:
    """That none of these is on its way to another provider."""
    coming = record.change.parts if record.change is not None else ()
    after = {vnode: part.domain for part in coming for vnode in part.vnodes}
    before = _places(record)
    for vnode in sorted(vnodes):
        if after.get(vnode, before[vnode]) != before[vnode]:
            possible = f"once it has been carried from {before[vnode]} to {after[vnode]}"
            raise RequestError(StatusCode.FAILED_PRECONDITION, "vnodes", vnode, possible)


def _place(vnode: str, places: Mapping[str, str], field: str) -> str:
    if vnode not in places:
        possible = f"one of {', '.join(sorted(places)[:20]) or 'none'}"
        raise RequestError(StatusCode.NOT_FOUND, field, vnode, possible)
    return places[vnode]


def _told(domain: str, own: Iterable[str], answer: pb.CloudNetState) -> Iterable[pb.VNodeState]:
    """What a provider tells of its own VNodes, and of no others; hosts are not for users."""
    told = {each.vnode: each for each in answer.vnodes}
    for vnode in own:
        each = told.get(vnode, pb.VNodeState(state=pb.POWER_STATE_DEFINED))
        reason = each.reason.replace(each.host, "its host") if each.host else each.reason
        yield pb.VNodeState(vnode=vnode, domain=domain, state=each.state, reason=reason)


def _unknown(domain: str, own: Iterable[str], error: RequestError) -> Iterable[pb.VNodeState]:
    """VNodes of a provider that tells nothing, for want of them yet or because it is away."""
    not_yet = error.code in (StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION)
    state = pb.POWER_STATE_DEFINED if not_yet else pb.POWER_STATE_UNSPECIFIED
    reason = "" if not_yet else error.possible
    for vnode in own:
        yield pb.VNodeState(vnode=vnode, domain=domain, state=state, reason=reason)


def _joined(parts: Mapping[str, rdl_pb2.Graph]) -> rdl_pb2.Graph | None:
    """The whole graph as the providers have completed it; None where that cannot be told."""
    try:
        return graph_to_pb(join({domain: graph_from_pb(part) for domain, part in parts.items()}))
    except RdlError:
        return None


def _hide(moves: Iterable[pb.VNodeMove]) -> None:
    for move in moves:
        move.source = move.target = ""
