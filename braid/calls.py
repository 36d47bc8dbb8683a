"""The calls of both clients: one request, one answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from braid import requests
from braid.units import Amount
from braid.v1 import reservations_pb2 as pb, topology_pb2


class Calls:
    """Every call, once: ``_call`` sends a request, blocking or as a coroutine."""

    _reservations: Any
    _topology: Any
    _doubts: Any

    def _call(self, method: Any, message: Any) -> Any:
        raise NotImplementedError

    def plan(
        self, source: str, destination: str, bandwidth: Amount | None = None, **wishes: Any
    ) -> Any:
        """A dry run: a PlanResponse. ``wishes`` as for :func:`braid.requests.reservation`."""
        message = requests.reservation(source, destination, bandwidth, **wishes)
        return self._call(self._reservations.Plan, message)

    def reserve(
        self, source: str, destination: str, bandwidth: Amount | None = None, **wishes: Any
    ) -> Any:
        """Negotiates a circuit: a ReservationRecord, COMMITTED or FAILED with its refusals."""
        message = requests.reservation(source, destination, bandwidth, **wishes)
        return self._call(self._reservations.Reserve, message)

    def accept(
        self,
        token: str,
        *,
        description: str = "",
        request_id: str = "",
        timeout_s: int | None = None,
        detach: bool = False,
    ) -> Any:
        """Reserves an alternative to what was refused, by its token: a ReservationRecord.

        Raises Conflict when the token has expired or was taken.
        """
        message = requests.acceptance(
            token,
            description=description,
            request_id=request_id,
            timeout_s=timeout_s,
            detach=detach,
        )
        return self._call(self._reservations.Reserve, message)

    def get(self, reservation_id: str = "", *, request_id: str = "") -> Any:
        """The ReservationRecord as it is now, by one of the two ids."""
        message = requests.get(reservation_id, request_id=request_id)
        return self._call(self._reservations.Get, message)

    def list(
        self, states: Iterable[str] = (), page_size: int | None = None, page_token: str = ""
    ) -> Any:
        """A ListResponse, newest first; ``states`` by short names such as "committed"."""
        message = requests.listing(states, page_size)
        message.page_token = page_token
        return self._call(self._reservations.List, message)

    def modify(self, reservation_id: str, **changes: Any) -> Any:
        """Changes ``bandwidth``, ``end`` or ``limits`` (then ``at`` a time): a ReservationRecord
        whose ``modified`` tells.
        """
        message = requests.modify(reservation_id, **changes)
        return self._call(self._reservations.Modify, message)

    def cancel(self, reservation_id: str) -> Any:
        """Gives it back everywhere: the ReservationRecord."""
        message = pb.CancelRequest(reservation_id=reservation_id)
        return self._call(self._reservations.Cancel, message)

    def topology(self) -> Any:
        """All domains, their state and links: a GetTopologyResponse."""
        return self._call(self._topology.Get, topology_pb2.GetTopologyRequest())

    def availability(
        self, ingress_stp: str, egress_stp: str, *, start: Amount = "now", duration: Amount = "1d"
    ) -> Any:
        """Free bandwidth and VLANs between two STPs of one visible domain."""
        message = requests.availability(ingress_stp, egress_stp, start=start, duration=duration)
        return self._call(self._topology.Availability, message)

    def register(self, domain: str, target: str) -> Any:
        """Makes the orchestrator connect to a domain's agent, for good."""
        message = topology_pb2.RegisterRequest(domain=domain, target=target)
        return self._call(self._topology.Register, message)

    def unregister(self, domain: str) -> Any:
        """Makes the orchestrator forget a domain."""
        message = topology_pb2.UnregisterRequest(domain=domain)
        return self._call(self._topology.Unregister, message)

    def doubts(
        self,
        older_than: Amount | None = None,
        page_size: int | None = None,
        page_token: str = "",
    ) -> Any:
        """What is in doubt at an orchestrator or agent: a ListDoubtsResponse, oldest first."""
        message = requests.doubts(older_than, page_size)
        message.page_token = page_token
        return self._call(self._doubts.List, message)

    def settle(
        self, transaction_id: str, part_id: str, settlement: str, *, operator: str, reason: str
    ) -> Any:
        """Settles a part in doubt by hand, "commit" or "give-up": a SettleResponse."""
        message = requests.settle(
            transaction_id, part_id, settlement, operator=operator, reason=reason
        )
        return self._call(self._doubts.Settle, message)
