"""An orchestrator that keeps everything in memory, for tests of clients; the services are real.

Circuits of up to 100 Gb/s get one path, of up to 200 Gb/s two. Larger ones are refused, with
``bottlenecks`` and ``alternatives``. ``granted`` is answered instead of what it would make itself.
``asked`` notes every request. ``fail`` makes next calls fail, before or after their work is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from braid.v1 import common_pb2, rdl_pb2, reservations_pb2 as pb, topology_pb2
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)
from braid.v1.topology_pb2_grpc import TopologyServicer, add_TopologyServicer_to_server

G = 10**9
PATH_BPS = 100 * G
MOST_BPS = 200 * G
KNOWN = ("sitea:dtn", "sited:dtn")
LIVE = (pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_NEGOTIATING)

M = TypeVar("M")
Q = TypeVar("Q")
Context = grpc.ServicerContext


class Notes:
    """What was asked, and which next calls fail."""

    def __init__(self, asked: list[Any], failures: list[tuple[grpc.StatusCode, str, bool]]) -> None:
        self.asked, self.failures = asked, failures

    def fail(
        self, code: grpc.StatusCode, text: str = "", *, times: int = 1, after: bool = False
    ) -> None:
        """The next calls end with this; ``after``: their work is done, only the answer is lost."""
        self.failures += [(code, text or f"as told: {code.name}", after)] * times

    def asked_of(self, kind: type[M]) -> list[M]:
        """The requests of one kind, in order."""
        return [message for message in self.asked if isinstance(message, kind)]


N = TypeVar("N", bound=Notes)


def _noted(call: Callable[[N, Q, Context], M]) -> Callable[[N, Q, Context], M]:
    """Notes the request, and fails as the test told."""

    def noted(self: N, request: Q, context: Context) -> M:
        self.asked.append(request)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None and not failure[2]:
            context.abort(failure[0], failure[1])
        answer = call(self, request, context)
        if failure is not None:
            context.abort(failure[0], failure[1])
        return answer

    return noted


def path(network: str, bandwidth_bps: int, slots: list[int]) -> pb.Path:
    """A path from site A over one network to site D."""
    ends = [("sitea", "dtn", "to-n", 1999, 399), (network, "a", "d", 399, 399)]
    ends.append(("sited", "to-n", "dtn", 399, 1999))
    hops = [
        pb.Hop(
            domain=domain,
            ingress_stp=f"{domain}:{first}",
            ingress_vlan=vlan_in,
            egress_stp=f"{domain}:{last}",
            egress_vlan=vlan_out,
        )
        for domain, first, last, vlan_in, vlan_out in ends
    ]
    return pb.Path(bandwidth_bps=bandwidth_bps, latency_us=24_000, hops=hops, flow_slots=slots)


def paths(bandwidth_bps: int) -> list[pb.Path]:
    """One path, or two of equal bandwidth."""
    if bandwidth_bps <= PATH_BPS:
        return [path("renet1", bandwidth_bps, [0])]
    half = bandwidth_bps // 2
    return [path("renet1", bandwidth_bps - half, [0]), path("renet2", half, [1])]


def refusal(bandwidth_bps: int) -> common_pb2.Refusal:
    """What a request that is too large is told."""
    return common_pb2.Refusal(
        kind=common_pb2.REFUSAL_KIND_BANDWIDTH,
        domain="renet1",
        resource="renet1:to-rn3",
        reason=f"{bandwidth_bps} bit/s was asked for, {MOST_BPS} bit/s is free",
        available_bps=MOST_BPS,
    )


def late_status(text: str, fresh: Iterable[pb.Alternative]) -> Any:
    """A token is of no use any more, and these are."""
    detail = any_pb2.Any()
    detail.Pack(pb.PlanResponse(alternatives=fresh))
    code = grpc.StatusCode.FAILED_PRECONDITION.value[0]
    return rpc_status.to_status(status_pb2.Status(code=code, message=text, details=[detail]))


def full_status() -> status_pb2.Status:
    """No room now, and when to ask again."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(10)
    detail = any_pb2.Any()
    detail.Pack(retry)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    return status_pb2.Status(code=code, message="negotiations: given 2", details=[detail])


def unknown_status(stp: str) -> status_pb2.Status:
    """Nobody has such an STP."""
    text = f"source: given '{stp}', possible: an STP of a domain"
    return status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=text)


def advice(circuit: list[pb.Path]) -> pb.Advice:
    """Two streams per path."""
    streams = 2 * len(circuit)
    return pb.Advice(parallel_streams=streams, text=f"use {streams} parallel streams")


class FakeOrchestrator(Notes, ReservationsServicer):
    """``braid.v1.Reservations``; ``topology`` is the other service. Tests write to its fields."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.topology = FakeTopology(self.asked, self.failures)
        self.records: dict[str, pb.ReservationRecord] = {}
        self.events: list[pb.ReservationEvent] = []
        self.bottlenecks: list[pb.Bottleneck] = []
        self.alternatives: list[pb.Alternative] = []
        self.granted: pb.PlanResponse | pb.ReservationRecord | None = None
        self.active_after_gets: int | None = None
        self.watch_breaks_after: int | None = None
        self.watch_fails = 0
        self.cancel_fails = 0
        self.reserve_takes_s = 0.0
        self.get_takes_s = 0.0
        self.ends_at_once = False
        self.many_breaks_after: int | None = None
        self.many_ends_early = False
        self.draining = self.streams = 0
        self.full = 0
        self.data_plane_at_start = common_pb2.DATA_PLANE_STATE_SCHEDULED
        self.stopped, self.reserving = threading.Event(), threading.Event()
        self._requests: dict[str, tuple[bytes, str]] = {}

    @_noted
    def Plan(self, request: pb.Reservation, context: Context) -> pb.PlanResponse:
        if request.bandwidth_bps > MOST_BPS:
            return pb.PlanResponse(
                refusals=[refusal(request.bandwidth_bps)],
                bottlenecks=self.bottlenecks,
                alternatives=self.alternatives,
            )
        if isinstance(self.granted, pb.PlanResponse):
            return self.granted
        found = paths(request.bandwidth_bps)
        return pb.PlanResponse(
            feasible=True,
            paths=found,
            advice=advice(found),
            depends_on_blind=request.strategy == pb.STRATEGY_EQUAL_SPLITTING,
        )

    @_noted
    def Reserve(self, request: pb.Reservation, context: Context) -> pb.ReservationRecord:
        if not request.accept:
            _check_stps(request, context)
        record = self._recorded(request.request_id, request, context)
        if record is None:
            record = self._negotiate(self._meant(request, context))
            self._requests[request.request_id] = (_body(request), record.reservation_id)
        self.reserving.set()
        time.sleep(self.reserve_takes_s)
        if self.ends_at_once:
            self.records[record.reservation_id] = pb.ReservationRecord()
            self.records[record.reservation_id].CopyFrom(record)
            self.records[record.reservation_id].state = pb.RESERVATION_STATE_ENDED
        if not request.detach:
            return record
        begun = pb.ReservationRecord()
        begun.CopyFrom(record)
        begun.state = pb.RESERVATION_STATE_NEGOTIATING
        for field in ("paths", "parts", "advice", "refusals", "data_plane"):
            begun.ClearField(field)
        begun.ClearField("bottlenecks")
        begun.ClearField("alternatives")
        return begun

    def ReserveMany(
        self, request_iterator: Iterator[pb.ReserveManyRequest], context: Context
    ) -> Iterator[pb.ReserveManyResponse]:
        """``many_breaks_after``: so many outcomes, then the stream is lost, once."""
        self.streams += 1
        for frame in request_iterator:
            self.asked.append(frame)
            for request in frame.reservations:
                if self.many_breaks_after == 0:
                    self.many_breaks_after = None
                    if self.many_ends_early:
                        return
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
                if self.many_breaks_after is not None:
                    self.many_breaks_after -= 1
                yield pb.ReserveManyResponse(outcomes=[self._outcome(request)])

    def _outcome(self, request: pb.Reservation) -> pb.ReserveOutcome:
        if self.draining:
            self.draining -= 1
            code = grpc.StatusCode.UNAVAILABLE.value[0]
            status = status_pb2.Status(code=code, message="request_id: given, another instance")
            return pb.ReserveOutcome(
                request_id=request.request_id, status=status.SerializeToString()
            )
        if request.source not in KNOWN or self.full:
            self.full -= 1 if self.full else 0
            status = full_status() if request.source in KNOWN else unknown_status(request.source)
            return pb.ReserveOutcome(
                request_id=request.request_id, status=status.SerializeToString()
            )
        if request.request_id not in self._requests:
            record = self._negotiate(request)
            self._requests[request.request_id] = (_body(request), record.reservation_id)
        record = self.records[self._requests[request.request_id][1]]
        return pb.ReserveOutcome(request_id=request.request_id, record=record)

    @_noted
    def Get(self, request: pb.GetRequest, context: Context) -> pb.ReservationRecord:
        time.sleep(self.get_takes_s)
        if request.request_id:
            _, found = self._requests.get(request.request_id, (b"", ""))
            return self._find(found, context)
        record = self._find(request.reservation_id, context)
        if self.active_after_gets is not None:
            self.active_after_gets -= 1
            if self.active_after_gets < 0:
                record.data_plane = common_pb2.DATA_PLANE_STATE_ACTIVE
        return record

    @_noted
    def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        found = [
            record
            for record in reversed(list(self.records.values()))
            if (not request.states or record.state in request.states)
            and request.kind != pb.RESERVATION_KIND_CLOUDNET
        ]
        first = int(request.page_token or 0)
        size = request.page_size if request.HasField("page_size") else 100
        more = first + size < len(found)
        return pb.ListResponse(
            reservations=found[first : first + size],
            next_page_token=str(first + size) if more else "",
        )

    def Watch(self, request: pb.WatchRequest, context: Context) -> Iterator[pb.ReservationEvent]:
        self.asked.append(request)
        if self.watch_fails:
            self.watch_fails -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
        if request.reservation_id:
            self._find(request.reservation_id, context)
        sent = 0
        for event in list(self.events):
            wanted = request.reservation_id in ("", event.reservation_id)
            if wanted and event.sequence > request.after_sequence:
                if sent == self.watch_breaks_after:
                    self.watch_breaks_after = None
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
                sent += 1
                yield event
        if not request.until_decided:
            self.stopped.wait(30)

    @_noted
    def Modify(self, request: pb.ModifyRequest, context: Context) -> pb.ReservationRecord:
        again = self._recorded(request.request_id, request, context)
        if again is not None:
            return again
        record = self._find(request.reservation_id, context)
        if record.state != pb.RESERVATION_STATE_COMMITTED:
            text = f"reservation_id: given '{record.reservation_id}', possible: a live one"
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        self._requests[request.request_id] = (_body(request), record.reservation_id)
        _change(record, request)
        return record

    @_noted
    def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.ReservationRecord:
        if self.cancel_fails:
            self.cancel_fails -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
        record = self._find(request.reservation_id, context)
        if record.state in (pb.RESERVATION_STATE_FAILED, pb.RESERVATION_STATE_ENDED):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "its window has ended")
        record.state = pb.RESERVATION_STATE_CANCELLED
        return record

    def _find(self, reservation_id: str, context: Context) -> pb.ReservationRecord:
        if reservation_id not in self.records:
            text = f"reservation_id: given '{reservation_id}', possible: the id of a reservation"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return self.records[reservation_id]

    def _recorded(
        self, request_id: str, request: Any, context: Context
    ) -> pb.ReservationRecord | None:
        if request_id not in self._requests:
            return None
        body, reservation_id = self._requests[request_id]
        if body != _body(request):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"request_id: given '{request_id}'")
        return self.records[reservation_id]

    def _meant(self, request: pb.Reservation, context: Context) -> pb.Reservation:
        """The request, or the alternative that it accepts; each can be taken once."""
        if not request.accept:
            return request
        for number, alternative in enumerate(self.alternatives):
            if alternative.token == request.accept:
                return self.alternatives.pop(number).request
        text = f"accept: given '{request.accept}', possible: a token that has not expired"
        context.abort_with_status(late_status(text, self.alternatives))

    def _negotiate(self, request: pb.Reservation) -> pb.ReservationRecord:
        name = f"r{len(self.records) + 1}"
        record = pb.ReservationRecord(reservation_id=name, criteria=request, version=1)
        if request.bandwidth_bps > MOST_BPS:
            record.state = pb.RESERVATION_STATE_FAILED
            record.refusals.append(refusal(request.bandwidth_bps))
            record.bottlenecks.extend(self.bottlenecks)
            record.alternatives.extend(self.alternatives)
        else:
            record.state = pb.RESERVATION_STATE_COMMITTED
            record.data_plane = self.data_plane_at_start
            record.paths.extend(paths(request.bandwidth_bps))
            record.advice.CopyFrom(advice(list(record.paths)))
            if isinstance(self.granted, pb.ReservationRecord):
                record.ClearField("paths")
                record.MergeFrom(self.granted)
        self.records[name] = record
        self._tell(record)
        return record

    def _tell(self, record: pb.ReservationRecord) -> None:
        routes = [" > ".join(hop.domain for hop in route.hops) for route in record.paths]
        domains = sorted({hop.domain for route in record.paths for hop in route.hops})
        negotiating = pb.StateChanged(state=pb.RESERVATION_STATE_NEGOTIATING, version=1)
        self.note(record, state_changed=negotiating)
        self.note(record, paths_found=pb.PathsFound(count=len(routes), routes=routes))
        self.note(record, offers_requested=pb.OffersRequested(domains=domains))
        for domain in domains:
            offer = pb.OffersReceived(domain=domain, best_bps=PATH_BPS, offers=1)
            self.note(record, offers_received=offer)
        self.note(record, planned=pb.Planned(round=1, paths=record.paths))
        self.note(record, prepare_sent=pb.PrepareSent(round=1, domains=domains))
        for domain in domains:
            self.note(
                record, prepare_answered=pb.PrepareAnswered(round=1, domain=domain, held=True)
            )
        good = record.state == pb.RESERVATION_STATE_COMMITTED
        self.note(record, decided=pb.Decided(decision="COMMIT" if good else "ABORT"))
        changed = pb.StateChanged(state=record.state, refusals=record.refusals, version=1)
        self.note(record, state_changed=changed)

    def note(self, record: pb.ReservationRecord, **kind: Any) -> None:
        """Adds an event to what Watch tells."""
        sequence = len(self.events) + 1
        self.events.append(
            pb.ReservationEvent(
                sequence=sequence, reservation_id=record.reservation_id, at_ms=sequence, **kind
            )
        )


class FakeTopology(Notes, TopologyServicer):
    """``braid.v1.Topology``; a domain whose target ends in ":1" is down."""

    def __init__(self, *notes: Any) -> None:
        super().__init__(*notes)
        self.targets = {"renet1": "127.0.0.1:7101", "sitea": "127.0.0.1:7104"}

    @_noted
    def Get(
        self, request: topology_pb2.GetTopologyRequest, context: Context
    ) -> topology_pb2.GetTopologyResponse:
        link = topology_pb2.InterDomainLink(
            a_stp="renet1:a", b_stp="sitea:to-n", capacity_bps=PATH_BPS, latency_us=500
        )
        return topology_pb2.GetTopologyResponse(
            domains=[self.status(name) for name in sorted(self.targets)], links=[link]
        )

    @_noted
    def Availability(
        self, request: topology_pb2.AvailabilityRequest, context: Context
    ) -> topology_pb2.AvailabilityResponse:
        start_s = request.window.start_s
        steps = [(start_s, 40 * G), (start_s + 3600, PATH_BPS)]
        return topology_pb2.AvailabilityResponse(
            profile=[common_pb2.BandwidthStep(start_s=s, bandwidth_bps=b) for s, b in steps],
            ingress_vlans=[common_pb2.VlanRange(first=100, last=199)],
            egress_vlans=[common_pb2.VlanRange(first=300, last=300)],
            latency_us=4000,
        )

    @_noted
    def Aggregate(
        self, request: topology_pb2.AggregateRequest, context: Context
    ) -> topology_pb2.AggregateResponse:
        return topology_pb2.AggregateResponse(aggregate=rdl_pb2.Graph(name=request.name))

    @_noted
    def Register(
        self, request: topology_pb2.RegisterRequest, context: Context
    ) -> topology_pb2.RegisterResponse:
        self.targets[request.domain] = request.target
        return topology_pb2.RegisterResponse(status=self.status(request.domain))

    @_noted
    def Unregister(
        self, request: topology_pb2.UnregisterRequest, context: Context
    ) -> topology_pb2.UnregisterResponse:
        if self.targets.pop(request.domain, None) is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"domain: given '{request.domain}'")
        return topology_pb2.UnregisterResponse()

    def status(self, name: str) -> topology_pb2.DomainStatus:
        """A domain as it is shown."""
        down = self.targets[name].endswith(":1")
        port = common_pb2.Port(stp=f"{name}:dtn", capacity_bps=MOST_BPS)
        domain = common_pb2.Domain(
            name=name,
            backend="pip" if name.startswith("site") else "wan",
            visibility=common_pb2.VISIBILITY_VISIBLE,
            ports=[port] if name.startswith("site") else [],
        )
        return topology_pb2.DomainStatus(
            domain=domain,
            state=topology_pb2.DOMAIN_STATE_DOWN if down else topology_pb2.DOMAIN_STATE_UP,
            target=self.targets[name],
            reason="connection refused" if down else "",
        )


def _body(request: Any) -> bytes:
    return bytes(request.SerializeToString(deterministic=True))


def _check_stps(request: pb.Reservation, context: Context) -> None:
    for field in ("source", "destination"):
        given = getattr(request, field)
        if given not in KNOWN:
            text = f"{field}: given '{given}', possible: an STP of a known domain"
            context.abort(grpc.StatusCode.NOT_FOUND, text)


def _change(record: pb.ReservationRecord, request: pb.ModifyRequest) -> None:
    del record.refusals[:]
    record.modified = request.bandwidth_bps <= MOST_BPS
    if not record.modified:
        record.refusals.append(refusal(request.bandwidth_bps))
        return
    if request.HasField("bandwidth_bps"):
        record.criteria.bandwidth_bps = request.bandwidth_bps
    if request.HasField("end_s"):
        record.criteria.window.end_s = request.end_s
    record.version += 1


@contextmanager
def serving(fake: FakeOrchestrator) -> Iterator[str]:
    """Serves for the length of the block; yields "host:port"."""
    server = grpc.server(ThreadPoolExecutor(8))
    add_ReservationsServicer_to_server(fake, server)
    add_TopologyServicer_to_server(fake.topology, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        fake.stopped.set()
        server.stop(0).wait()


@pytest.fixture
def fake() -> FakeOrchestrator:
    return FakeOrchestrator()


@pytest.fixture
def target(fake: FakeOrchestrator) -> Iterator[str]:
    with serving(fake) as address:
        yield address
