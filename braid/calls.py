"""The calls of both clients: one request, one answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from braid import cloudnets, requests
from braid.cloudnets import Graph
from braid.units import Amount
from braid.v1 import cloudnets_pb2, reservations_pb2 as pb, topology_pb2


class Calls:
    """Every call, once: ``_call`` sends a request, blocking or as a coroutine."""

    _reservations: Any
    _topology: Any
    _doubts: Any
    _cloudnets: Any

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
        self,
        states: Iterable[str] = (),
        page_size: int | None = None,
        page_token: str = "",
        *,
        kind: str = "",
    ) -> Any:
        """A ListResponse, newest first; ``states`` by short names such as "committed"; ``kind``:
        only "circuit" or "cloudnet".
        """
        message = requests.listing(states, page_size, kind)
        message.page_token = page_token
        return self._call(self._reservations.List, message)

    def modify(self, reservation_id: str, **changes: Any) -> Any:
        """Changes ``bandwidth``, ``end``, ``limits`` (then ``at`` a time) or the ``cloudnet``: a
        ReservationRecord whose ``modified`` tells.
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

    def aggregate(
        self,
        name: str,
        *,
        start: Amount = "now",
        duration: Amount = "1h",
        reservation_id: str = "",
    ) -> Any:
        """What all providers of VNodes have free, as that of one called ``name``, with what the
        CloudNet ``reservation_id`` holds: an AggregateResponse."""
        message = requests.aggregate(name, start, duration, reservation_id)
        return self._call(self._topology.Aggregate, message)

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

    def plan_cloudnet(self, graph: Graph, **wishes: Any) -> Any:
        """A dry run: a PlanResponse. ``wishes`` as for :func:`braid.cloudnets.reservation`."""
        return self._call(self._reservations.Plan, cloudnets.reservation(graph, **wishes))

    def create_cloudnet(self, graph: Graph, **wishes: Any) -> Any:
        """Reserves VNodes, VLinks and the circuits between: a ReservationRecord, as ``reserve``."""
        return self._call(self._reservations.Reserve, cloudnets.reservation(graph, **wishes))

    def show_cloudnet(self, reservation_id: str) -> Any:
        """Where its VNodes are, in which state, and how it was completed: a CloudNetState."""
        message = cloudnets_pb2.ShowCloudNetRequest(reservation_id=reservation_id)
        return self._call(self._cloudnets.Show, message)

    def power(self, reservation_id: str, action: str, vnodes: Iterable[str] = ()) -> Any:
        """Does "start", "stop" or "cycle" to VNodes, all when none is named: a CloudNetState."""
        message = cloudnets.power(reservation_id, action, vnodes)
        return self._call(self._cloudnets.Power, message)

    def what_if(self, free: str | float, domain: str = "") -> Any:
        """What it would cost a provider to free a share of its hosts, "20%": a WhatIfResponse."""
        return self._call(self._cloudnets.WhatIf, cloudnets.what_if(free, domain))

    def migrate(self, reservation_id: str, vnode: str, **where: Any) -> Any:
        """Moves a VNode to a ``host`` of its provider or to another (``domain``): a
        MigrateResponse.
        """
        message = cloudnets.migrate(reservation_id, vnode, **where)
        return self._call(self._cloudnets.Migrate, message)

    def free_hosts(self, free: str | float, domain: str = "", *, request_id: str = "") -> Any:
        """Does what ``what_if`` answers: a MigrateResponse."""
        message = cloudnets.free_hosts(free, domain, request_id=request_id)
        return self._call(self._cloudnets.Migrate, message)
