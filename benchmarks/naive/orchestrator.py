"""A naive orchestrator: one path through all its domains, everything in the handler's thread."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any

import grpc
from sqlalchemy.orm import Session

from benchmarks.naive.tables import Base, Booking
from benchmarks.naive.wire import serve, stubs
from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)
from runtime.database import open_engine

Message = agent_pb2.OrchestratorMessage


class NaiveOrchestrator(ReservationsServicer):
    """Reserve, and nothing else."""

    def __init__(self, url: str, targets: dict[str, str]) -> None:
        self._engine = open_engine(url)
        Base.metadata.create_all(self._engine)
        self._agents = {domain: stubs(target) for domain, target in targets.items()}

    def Reserve(self, request: pb.Reservation, context: grpc.ServicerContext) -> Any:
        """Offers, holds, the decision, commits: each asked of all domains at once."""
        self._write(request, "UNDECIDED")
        reservation_id = uuid.uuid4().hex
        offers = self._ask("offer", lambda domain: _offers_wanted(domain, request))
        parts = {domain: uuid.uuid4().hex for domain in self._agents}
        enough = all(
            answer.send_offers.offers[0].profile[0].bandwidth_bps >= request.bandwidth_bps
            for answer in offers.values()
        )
        held = enough and self._all(
            "prepare", lambda domain: _prep(domain, request, reservation_id, parts[domain])
        )
        self._write(request, "COMMIT" if held else "ABORT", reservation_id)
        done = held and self._all("commit", lambda d: _commit(reservation_id, parts[d]))
        self._write(request, "COMMITTED" if done else "FAILED", reservation_id)
        state = pb.RESERVATION_STATE_COMMITTED if done else pb.RESERVATION_STATE_FAILED
        return pb.ReservationRecord(reservation_id=reservation_id, criteria=request, state=state)

    def _ask(
        self, method: str, message: Callable[[str], Message]
    ) -> dict[str, agent_pb2.AgentMessage]:
        calls = {d: stub[method].future(message(d)) for d, stub in self._agents.items()}
        return {domain: call.result() for domain, call in calls.items()}

    def _all(self, method: str, message: Callable[[str], Message]) -> bool:
        return all(answer.reservation_resp.ok for answer in self._ask(method, message).values())

    def _write(self, request: pb.Reservation, state: str, reservation_id: str = "") -> None:
        with Session(self._engine) as session, session.begin():
            booking = session.get(Booking, request.request_id)
            if booking is None:
                booking = Booking(
                    request_id=request.request_id, request=request.SerializeToString()
                )
                session.add(booking)
            booking.state, booking.reservation_id = state, reservation_id


def _offers_wanted(domain: str, request: pb.Reservation) -> Message:
    pair = agent_pb2.StpPair(ingress_stp=f"{domain}:a", egress_stp=f"{domain}:b")
    asked = agent_pb2.ReqOffers(
        query_id=uuid.uuid4().hex,
        window=request.window,
        pairs=[pair],
        bandwidth_bps=request.bandwidth_bps,
    )
    return Message(req_offers=asked)


def _prep(domain: str, request: pb.Reservation, reservation_id: str, part_id: str) -> Message:
    segment = common_pb2.Segment(
        segment_id="1",
        ingress_stp=f"{domain}:a",
        ingress_vlan=1,
        egress_stp=f"{domain}:b",
        egress_vlan=1,
        bandwidth_bps=request.bandwidth_bps,
        slot_count=1,
    )
    prep = agent_pb2.ReservationPrep(
        transaction_id=reservation_id,
        part_id=part_id,
        reservation_id=reservation_id,
        segments=[segment],
        window=request.window,
    )
    return Message(reservation_prep=prep)


def _commit(reservation_id: str, part_id: str) -> Message:
    return Message(commit=agent_pb2.Commit(transaction_id=reservation_id, part_id=part_id))


def main(url: str, *domains: str) -> None:
    """Serves until it is killed; ``domains`` as name=target."""
    targets = dict(domain.split("=", 1) for domain in domains)
    naive = NaiveOrchestrator(url, targets)  # type: ignore[abstract]
    serve(lambda server: add_ReservationsServicer_to_server(naive, server))


if __name__ == "__main__":
    main(*sys.argv[1:])
