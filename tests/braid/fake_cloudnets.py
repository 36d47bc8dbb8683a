"""An orchestrator that runs CloudNets in memory, for tests of clients; and an agent that does.

VNodes go to PROVIDERS in turn unless they are placed; VLinks between two get a path over "renet1".
More memory than MEMORY_MOST is refused. ``states`` are the power states of the VNodes; consoles
answer each line with "NAME: line" and end at "exit".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from braid.v1 import cloudnets_pb2 as cn, common_pb2, rdl_pb2, reservations_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer, add_CloudNetsServicer_to_server
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)

Context = grpc.ServicerContext
M = TypeVar("M")
Q = TypeVar("Q")

PROVIDERS = ("berlin", "munich", "zurich")
MEMORY_MOST = 256 << 30
PROOF = pb.MappingProof(status="optimal", objective=12.5, bound=12.5, gap=0.0, proof_scope="whole")
REFUSAL = common_pb2.Refusal(
    kind=common_pb2.REFUSAL_KIND_RESOURCE,
    domain="munich",
    resource="/resource/memory",
    reason="256 GiB of /resource/memory short for database",
    short=256 << 30,
    asked=512 << 30,
    elements=["database"],
)
RUNNING, STOPPED = cn.POWER_STATE_RUNNING, cn.POWER_STATE_STOPPED


def memory_bytes(graph: rdl_pb2.Graph) -> int:
    """What all VNodes of a graph ask for."""
    return sum(
        resource.amount.data_bytes
        for element in graph.elements
        for resource in element.resources
        if resource.attribute == "/resource/memory"
    )


def placed(cloudnet: pb.CloudNet) -> dict[str, str]:
    """The provider of each VNode."""
    wanted = {each.vnode: each.domain for each in cloudnet.placing}
    nodes = [each.id for each in cloudnet.graph.elements if each.attribute.startswith("/node/")]
    return {
        name: wanted.get(name, PROVIDERS[number % len(PROVIDERS)])
        for number, name in enumerate(nodes)
    }


def circuits(cloudnet: pb.CloudNet) -> list[pb.Path]:
    """A path for each VLink between two providers."""
    places, found = placed(cloudnet), []
    for number, link in enumerate(e for e in cloudnet.graph.elements if e.id not in places):
        joined = [i.joins for i in cloudnet.graph.interfaces if link.id in i.joins]
        ends = sorted({places[name] for joins in joined for name in joins if name in places})
        bandwidth = sum(r.amount.bandwidth_bps for r in link.resources)
        found += [circuit(link.id, ends[0], end, bandwidth, 100 + number) for end in ends[1:]]
    return found


def circuit(vlink: str, first: str, last: str, bandwidth_bps: int, vlan: int) -> pb.Path:
    """A path between two providers' cloud STPs, over renet1."""
    hops = [
        ("cloud", first, "to-n", vlan, 300 + vlan),
        (first, "renet1", last, 300 + vlan, 300 + vlan),
        ("to-n", last, "cloud", 300 + vlan, vlan),
    ]
    return pb.Path(
        vlink=vlink,
        bandwidth_bps=bandwidth_bps,
        latency_us=6_000,
        hops=[
            pb.Hop(
                domain=domain,
                ingress_stp=f"{domain}:{into}",
                ingress_vlan=vlan_in,
                egress_stp=f"{domain}:{out}",
                egress_vlan=vlan_out,
            )
            for into, domain, out, vlan_in, vlan_out in hops
        ],
    )


class Notes:
    """What both services are asked, and how next calls fail."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.failures: list[tuple[grpc.StatusCode, str]] = []

    def fail(self, code: grpc.StatusCode, text: str, *, times: int = 1) -> None:
        """The next calls end with this."""
        self.failures += [(code, text)] * times

    def asked_of(self, kind: type[M]) -> list[M]:
        """The requests of one kind, in order."""
        return [message for message in self.asked if isinstance(message, kind)]


def noted(call: Callable[[Any, Q, Context], M]) -> Callable[[Any, Q, Context], M]:
    """Notes the request, and fails as the test told."""

    def answered(self: Any, request: Q, context: Context) -> M:
        self.notes.asked.append(request)
        if self.notes.failures:
            context.abort(*self.notes.failures.pop(0))
        return call(self, request, context)

    return answered


def kind_of(record: pb.ReservationRecord) -> int:
    """A CloudNet or a circuit."""
    cloudnet = record.criteria.HasField("cloudnet")
    return pb.RESERVATION_KIND_CLOUDNET if cloudnet else pb.RESERVATION_KIND_CIRCUIT


class FakeVnp(Notes, ReservationsServicer):
    """``braid.v1.Reservations`` of CloudNets; ``cloudnets`` is the other service.

    Records that are not committed when they are watched for the first time are decided then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes = self
        self.cloudnets = FakeCloudNets(self)  # type: ignore[abstract]
        self.records: dict[str, pb.ReservationRecord] = {}

    @noted
    def Plan(self, request: pb.Reservation, context: Context) -> pb.PlanResponse:
        if memory_bytes(request.cloudnet.graph) > MEMORY_MOST:
            return pb.PlanResponse(refusals=[REFUSAL])
        vnodes = [
            pb.VNodePlacement(vnode=vnode, domain=domain)
            for vnode, domain in placed(request.cloudnet).items()
        ]
        paths = circuits(request.cloudnet)
        return pb.PlanResponse(
            feasible=True, paths=paths, window=request.window, vnodes=vnodes, proof=PROOF
        )

    @noted
    def Reserve(self, request: pb.Reservation, context: Context) -> pb.ReservationRecord:
        name = f"c{len(self.records) + 1}"
        record = pb.ReservationRecord(
            reservation_id=name,
            criteria=request,
            version=1,
            state=pb.RESERVATION_STATE_NEGOTIATING,
        )
        self.records[name] = record
        if not request.detach:
            self._decide(record)
        return record

    @noted
    def Get(self, request: pb.GetRequest, context: Context) -> pb.ReservationRecord:
        return self._find(request.reservation_id, context)

    @noted
    def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        found = [
            record
            for record in reversed(self.records.values())
            if (not request.states or record.state in request.states)
            and (not request.kind or request.kind == kind_of(record))
        ]
        first = int(request.page_token or 0)
        more = str(first + request.page_size) if first + request.page_size < len(found) else ""
        page = found[first : first + request.page_size]
        return pb.ListResponse(reservations=page, next_page_token=more)

    @noted
    def Modify(self, request: pb.ModifyRequest, context: Context) -> pb.ReservationRecord:
        record = self._find(request.reservation_id, context)
        record.modified = memory_bytes(request.cloudnet.graph) <= MEMORY_MOST
        if record.modified:
            record.criteria.cloudnet.CopyFrom(request.cloudnet)
            record.version += 1
            self._decide(record)
        else:
            record.refusals.append(REFUSAL)
        return record

    @noted
    def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.ReservationRecord:
        record = self._find(request.reservation_id, context)
        record.state = pb.RESERVATION_STATE_CANCELLED
        return record

    def Watch(self, request: pb.WatchRequest, context: Context) -> Iterator[pb.ReservationEvent]:
        self.asked.append(request)
        record = self._find(request.reservation_id, context)
        name = record.reservation_id
        if record.state == pb.RESERVATION_STATE_NEGOTIATING:
            self._decide(record)
        planned = pb.Planned(round=1, paths=record.paths)
        yield pb.ReservationEvent(sequence=1, reservation_id=name, planned=planned)
        changed = pb.StateChanged(state=record.state, version=1)
        yield pb.ReservationEvent(sequence=2, reservation_id=name, state_changed=changed)

    def ReserveMany(
        self, request_iterator: Iterator[pb.ReserveManyRequest], context: Context
    ) -> Iterator[pb.ReserveManyResponse]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "one by one")

    def _decide(self, record: pb.ReservationRecord) -> None:
        cloudnet = record.criteria.cloudnet
        if memory_bytes(cloudnet.graph) > MEMORY_MOST:
            record.state = pb.RESERVATION_STATE_FAILED
            record.refusals.append(REFUSAL)
            return
        record.state = pb.RESERVATION_STATE_COMMITTED
        for field in ("paths", "parts"):
            record.ClearField(field)
        record.paths.extend(circuits(cloudnet))
        record.proof.CopyFrom(PROOF)
        places = placed(cloudnet)
        for domain in sorted(set(places.values())):
            vnodes = [vnode for vnode, where in places.items() if where == domain]
            record.parts.add(domain=domain, vnodes=vnodes)
        self.cloudnets.take(record, places)

    def _find(self, reservation_id: str, context: Context) -> pb.ReservationRecord:
        if reservation_id not in self.records:
            text = f"reservation_id: given '{reservation_id}', possible: the id of a reservation"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return self.records[reservation_id]


class FakeCloudNets(CloudNetsServicer):
    """``braid.v1.CloudNets``. ``shows_until_running``: so many times Show tells that images are
    being copied first. ``reasons``: why VNodes fail.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.states: dict[str, cn.CloudNetState] = {}
        self.reasons: dict[str, str] = {}
        self.shows_until_running = 0
        self.what_if = cn.WhatIfResponse()
        self.consoles: list[tuple[str, str]] = []
        self.heard = bytearray()
        self.silent = False
        self.console_ended = threading.Event()

    def take(self, record: pb.ReservationRecord, places: dict[str, str]) -> None:
        """Runs the VNodes of a record, completed by their providers."""
        state = cn.CloudNetState(reservation_id=record.reservation_id)
        for vnode, domain in places.items():
            state.vnodes.add(vnode=vnode, domain=domain, state=RUNNING)
        state.completed.CopyFrom(record.criteria.cloudnet.graph)
        for element in state.completed.elements:
            if element.id in places:
                words = rdl_pb2.Words(words=["kvm"])
                element.features.add(
                    attribute="/feature/virtualization", words=words, by=places[element.id]
                )
        self.states[record.reservation_id] = state

    @noted
    def Show(self, request: cn.ShowCloudNetRequest, context: Context) -> cn.CloudNetState:
        found = cn.CloudNetState()
        found.CopyFrom(self._find(request.reservation_id, context))
        for vnode in found.vnodes:
            if self.shows_until_running > 0:
                vnode.state = cn.POWER_STATE_PREPARING
            if reason := self.reasons.get(vnode.vnode, ""):
                vnode.state, vnode.reason = cn.POWER_STATE_FAILED, reason
        self.shows_until_running -= 1
        return found

    @noted
    def Power(self, request: cn.PowerRequest, context: Context) -> cn.CloudNetState:
        state = self._find(request.reservation_id, context)
        for vnode in state.vnodes:
            if not request.vnodes or vnode.vnode in request.vnodes:
                vnode.state = STOPPED if request.action == cn.POWER_ACTION_STOP else RUNNING
                if reason := self.reasons.get(vnode.vnode, ""):
                    vnode.state, vnode.reason = cn.POWER_STATE_FAILED, reason
        return state

    def Console(
        self, request_iterator: Iterator[cn.ConsoleInput], context: Context
    ) -> Iterator[cn.ConsoleOutput]:
        first = next(request_iterator)
        state = self._find(first.reservation_id, context)
        if first.vnode not in [vnode.vnode for vnode in state.vnodes]:
            text = f"vnode: given '{first.vnode}', possible: one of '{first.reservation_id}'"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        self.consoles.append((first.reservation_id, first.vnode))
        context.add_callback(self.console_ended.set)
        line = b""
        for request in request_iterator:
            self.heard += request.data
            *lines, line = (line + request.data).replace(b"\r", b"\n").split(b"\n")
            for each in lines:
                if each == b"exit":
                    return
                if each == b"break":
                    context.abort(grpc.StatusCode.UNAVAILABLE, f"{first.vnode} is away")
                if not self.silent:
                    yield cn.ConsoleOutput(data=f"{first.vnode}: ".encode() + each + b"\r\n")

    @noted
    def WhatIf(self, request: cn.WhatIfRequest, context: Context) -> cn.WhatIfResponse:
        return self.what_if

    @noted
    def Migrate(self, request: cn.MigrateRequest, context: Context) -> cn.MigrateResponse:
        if not request.reservation_id:
            gain = self.what_if
            return cn.MigrateResponse(
                moves=gain.moves, freed=gain.freed, hosts=gain.hosts, wanted=gain.wanted
            )
        state = self._find(request.reservation_id, context)
        (vnode,) = (each for each in state.vnodes if each.vnode == request.vnode)
        move = cn.VNodeMove(
            reservation_id=request.reservation_id, vnode=request.vnode, cost=4 << 30
        )
        if request.domain:
            vnode.domain = request.domain
        else:
            move.source, move.target, vnode.host = "sn111", request.host, request.host
        return cn.MigrateResponse(moves=[move])

    def _find(self, reservation_id: str, context: Context) -> cn.CloudNetState:
        if reservation_id not in self.states:
            text = f"reservation_id: given '{reservation_id}', possible: the id of a CloudNet"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return self.states[reservation_id]


@contextmanager
def serving(*services: FakeVnp | FakeCloudNets) -> Iterator[str]:
    """Serves for the length of the block; yields "host:port". One service alone is an agent."""
    server = grpc.server(ThreadPoolExecutor(8))
    for service in services:
        if isinstance(service, FakeVnp):
            add_ReservationsServicer_to_server(service, server)
        else:
            add_CloudNetsServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def eventually(true: Any, within_s: float = 10.0) -> None:
    """Waits until it is so; fails when it is not in time."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
