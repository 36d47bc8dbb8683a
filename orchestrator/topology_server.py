"""``braid.v1.Topology``: what is known of the domains, and how they join and leave."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext

from braid.v1 import common_pb2, topology_pb2 as pb
from braid.v1.topology_pb2_grpc import TopologyServicer
from orchestrator.breaker import Breaker, BreakerState
from orchestrator.cloudnet_checks import graph_of
from orchestrator.domains import GrpcGateway
from orchestrator.engine import Engine
from orchestrator.link import Status
from orchestrator.validation import NAME
from protocol.codec import domain_to_pb, profile_to_pb, vlans_to_pb
from protocol.messages import ReqOffers, SendOffers
from rdl.aggregation import aggregate, is_neighbour
from rdl.codec import graph_to_pb
from rdl.errors import RdlError
from rdl.model import Graph, Layer
from runtime.errors import RequestError, invalid
from substrate.model import Domain, Window, domain_of
from substrate.values import replace

Context = ServicerContext[Any, Any]
JOIN_WAIT_S = 3.0
BREAKERS = {
    BreakerState.CLOSED: pb.BREAKER_STATE_CLOSED,
    BreakerState.OPEN: pb.BREAKER_STATE_OPEN,
}
SPAN_MAX_S = 366 * 86_400
TARGET = re.compile(r"unix:\S+|(dns:(///)?)?[^\s/]+:(?P<port>\d{1,5})", re.ASCII)
PORTS = range(1, 65_536)


class TopologyService(TopologyServicer):
    """What each call promises is in topology.proto."""

    def __init__(self, engine: Engine, gateway: GrpcGateway) -> None:
        self._engine, self._gateway = engine, gateway

    async def Get(self, request: pb.GetTopologyRequest, context: Context) -> pb.GetTopologyResponse:
        links = [
            pb.InterDomainLink(
                a_stp=link.a_stp,
                b_stp=link.b_stp,
                capacity_bps=link.capacity_bps,
                latency_us=link.latency_us,
            )
            for link in self._gateway.known().links
        ]
        domains = [self._status(status) for status in self._gateway.statuses()]
        return pb.GetTopologyResponse(domains=domains, links=links)

    async def Availability(
        self, request: pb.AvailabilityRequest, context: Context
    ) -> pb.AvailabilityResponse:
        domain, pair = self._pair(request)
        question = ReqOffers("", _window(request.window), (pair,), 0)
        patience_s = self._engine.limits.patience.offers_s
        offers = await self._engine.questions.ask(domain.name, question, patience_s)
        if offers is None:
            raise RequestError(
                StatusCode.UNAVAILABLE, "ingress_stp", pair[0], f"{domain.name} does not answer"
            )
        return _availability(offers, pair)

    async def Aggregate(
        self, request: pb.AggregateRequest, context: Context
    ) -> pb.AggregateResponse:
        if not NAME.fullmatch(request.name) or ".." in request.name:
            raise invalid("name", request.name, "1 to 128 characters of [A-Za-z0-9._-]")
        window, own = _window(request.window), request.reservation_id
        question = ReqOffers("", window, (), 0, reservation_id=own, aggregate=True)
        domains = self._gateway.known().domains.values()
        providers = sorted(domain.name for domain in domains if domain.cloud_stp)
        # Who asks is waited for no longer itself.
        patience_s = self._engine.limits.patience.offers_s / 2
        answers = await asyncio.gather(
            *(self._engine.questions.ask(name, question, patience_s) for name in providers)
        )
        told = {name: offers for name, offers in zip(providers, answers, strict=True) if offers}
        try:
            nodes = tuple(
                replace(node, id=name)
                for name, offers in told.items()
                for node in graph_of(offers.aggregate).nodes
                if not is_neighbour(node)
            )
            whole = aggregate(Graph("providers", Layer.UNDERLAY, nodes), request.name)
        except RdlError as error:
            raise invalid("name", request.name, f"what can be told: {error}") from error
        if not nodes:
            possible = f"to ask again: of {', '.join(providers) or 'no provider'} none tells"
            raise RequestError(StatusCode.UNAVAILABLE, "name", request.name, possible)
        return pb.AggregateResponse(aggregate=graph_to_pb(whole))

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        if not NAME.fullmatch(request.domain) or ".." in request.domain:
            raise invalid("domain", request.domain, "1 to 128 characters of [A-Za-z0-9._-]")
        found = TARGET.fullmatch(request.target)
        if len(request.target) > 512 or not found or int(found["port"] or 1) not in PORTS:
            raise invalid("target", request.target, "host:port or unix:path")
        await self._engine.store.set_target(request.domain, request.target)
        await self._gateway.join(request.domain, request.target)
        status = await self._gateway.settled(request.domain, JOIN_WAIT_S)
        if status is None:
            possible = "to ask again: somebody made it leave meanwhile"
            raise RequestError(StatusCode.ABORTED, "domain", request.domain, possible)
        return pb.RegisterResponse(status=self._status(status))

    async def Unregister(
        self, request: pb.UnregisterRequest, context: Context
    ) -> pb.UnregisterResponse:
        if self._gateway.status(request.domain) is None:
            known = ", ".join(status.name for status in self._gateway.statuses()) or "none"
            raise RequestError(
                StatusCode.NOT_FOUND, "domain", request.domain, f"a known domain: {known}"
            )
        if await self._engine.store.uses(request.domain):
            raise RequestError(
                StatusCode.FAILED_PRECONDITION,
                "domain",
                request.domain,
                "a domain that no live reservation uses",
            )
        await self._engine.store.set_target(request.domain, None)
        await self._gateway.leave(request.domain)
        return pb.UnregisterResponse()

    def _status(self, status: Status) -> pb.DomainStatus:
        return _status_to_pb(status, self._engine.breakers.of(status.name))

    def _pair(self, request: pb.AvailabilityRequest) -> tuple[Domain, tuple[str, str]]:
        topology = self._gateway.known()
        stps = []
        for field in ("ingress_stp", "egress_stp"):
            given: str = getattr(request, field)
            stp = topology.resolve(given)
            if stp is None:
                raise RequestError(StatusCode.NOT_FOUND, field, given, "an STP of a known domain")
            stps.append(stp)
        domain = topology.domains[domain_of(stps[0])]
        if domain_of(stps[1]) != domain.name or stps[0] == stps[1]:
            raise invalid("egress_stp", stps[1], f"another STP of {domain.name}")
        if not domain.visible:
            raise RequestError(
                StatusCode.FAILED_PRECONDITION,
                "ingress_stp",
                stps[0],
                f"an STP of a visible domain; {domain.name} is blind",
            )
        return domain, (stps[0], stps[1])


def _window(given: common_pb2.Window) -> Window:
    window = Window(given.start_s, given.end_s)
    if window.end_s <= window.start_s:
        raise invalid("window.end_s", window.end_s, f"a time after {window.start_s}")
    if window.duration_s > SPAN_MAX_S:
        raise RequestError(
            StatusCode.OUT_OF_RANGE, "window", f"{window.duration_s} s", f"{SPAN_MAX_S} s"
        )
    return window


def _availability(offers: SendOffers, pair: tuple[str, str]) -> pb.AvailabilityResponse:
    answer = pb.AvailabilityResponse()
    for offer in offers.offers:
        if (offer.ingress_stp, offer.egress_stp) == pair:
            answer.profile.extend(profile_to_pb(offer.profile))
            answer.latency_us = offer.latency_us
    for port in offers.ports:
        if port.stp == pair[0]:
            answer.ingress_vlans.extend(vlans_to_pb(port.vlans))
        elif port.stp == pair[1]:
            answer.egress_vlans.extend(vlans_to_pb(port.vlans))
    return answer


def _status_to_pb(status: Status, breaker: Breaker) -> pb.DomainStatus:
    message = pb.DomainStatus(
        breaker=BREAKERS.get(breaker.state, pb.BREAKER_STATE_HALF_OPEN),
        silences=breaker.silences,
        state=pb.DOMAIN_STATE_UP if status.up else pb.DOMAIN_STATE_DOWN,
        target=status.target,
        reason=status.reason,
        since_ms=status.since_ms,
    )
    if breaker.state is BreakerState.OPEN:
        message.retry_at_ms = breaker.retry_at_ms
    if status.domain is not None:
        message.domain.CopyFrom(domain_to_pb(status.domain))
    else:
        message.domain.name = status.name
    return message
