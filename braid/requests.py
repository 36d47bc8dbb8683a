"""Friendly arguments to protobuf requests, and answers to results: shared by both clients."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from braid.bending import asked
from braid.errors import CircuitRefused
from braid.keywords import WishError, names, read, unknown
from braid.units import (
    Amount,
    parse_bandwidth,
    parse_duration,
    parse_latency,
    parse_time,
    parse_vlans,
)
from braid.v1 import common_pb2, doubts_pb2, reservations_pb2 as pb, topology_pb2

STRATEGIES: Mapping[str, pb.Strategy.ValueType] = {
    name.removeprefix("STRATEGY_").lower(): value
    for name, value in pb.Strategy.items()
    if value != pb.STRATEGY_UNSPECIFIED
}
DISJOINT: Mapping[str, pb.Disjointness.ValueType] = {
    "": pb.DISJOINTNESS_UNSPECIFIED,
    "link": pb.DISJOINTNESS_LINK,
    "domain": pb.DISJOINTNESS_DOMAIN,
}
KINDS: Mapping[str, pb.ReservationKind.ValueType] = {
    "": pb.RESERVATION_KIND_UNSPECIFIED,
    "circuit": pb.RESERVATION_KIND_CIRCUIT,
    "cloudnet": pb.RESERVATION_KIND_CLOUDNET,
}
SETTLEMENTS: Mapping[str, doubts_pb2.Settlement.ValueType] = {
    "commit": doubts_pb2.SETTLEMENT_COMMIT,
    "give-up": doubts_pb2.SETTLEMENT_GIVE_UP,
}
CHANNEL_OPTIONS = (
    # Else a watcher would never learn that the other end is gone.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def new_request_id() -> str:
    """A fresh request_id."""
    return uuid.uuid4().hex


def reservation(
    source: str,
    destination: str,
    bandwidth: Amount | None = None,
    *,
    more_destinations: Iterable[str] = (),
    start: Amount = "now",
    end: Amount | None = None,
    duration: Amount | None = None,
    window: Amount | None = None,
    at_least: Amount | None = None,
    volume: Amount | None = None,
    deadline: Amount | None = None,
    max_phases: int | None = None,
    soonest: bool = False,
    strategy: str = "auto",
    unidirectional: bool = False,
    movable: bool = False,
    description: str = "",
    request_id: str = "",
    timeout_s: int | None = None,
    detach: bool = False,
    **limits: Any,
) -> pb.Reservation:
    """A Reservation. How it may bend: :func:`braid.bending.asked`; ``limits``: :func:`constraints`.

    ``more_destinations``: the source is joined with these too, each at all of the bandwidth.
    ``movable``: until it starts it may be moved to admit another, to other paths or, if it slides
    or is a volume, to other times within what was asked; of a volume also what is left later.

    Raises ValueError.
    """
    if strategy not in STRATEGIES:
        raise unknown("strategy", strategy, STRATEGIES)
    one_way, both_ways = (
        common_pb2.DIRECTIONALITY_UNIDIRECTIONAL,
        common_pb2.DIRECTIONALITY_BIDIRECTIONAL,
    )
    message = pb.Reservation(
        request_id=request_id or new_request_id(),
        source=source,
        destination=destination,
        more_destinations=names("more_destinations", more_destinations),
        directionality=one_way if unidirectional else both_ways,
        strategy=STRATEGIES[strategy],
        constraints=constraints(**limits),
        movable=movable,
        description=description,
        negotiation_timeout_s=timeout_s,
        detach=detach,
    )
    message.MergeFrom(
        asked(
            bandwidth,
            start=start,
            end=end,
            duration=duration,
            window=window,
            at_least=at_least,
            volume=volume,
            deadline=deadline,
            max_phases=max_phases,
            soonest=soonest,
        )
    )
    return message


def constraints(
    *,
    max_paths: int | None = None,
    min_share: Amount | None = None,
    max_latency: Amount | None = None,
    max_latency_spread: Amount | None = None,
    max_domains: int | None = None,
    via: Iterable[str] = (),
    avoid: Iterable[str] = (),
    ero: Iterable[str] = (),
    source_vlans: str = "",
    destination_vlans: str = "",
    survive: int | None = None,
    remaining: Amount | None = None,
    disjoint: str | None = None,
) -> pb.Constraints:
    """The limits that a plan must keep. Raises ValueError.

    ``survive``: how many paths may be lost so that ``remaining`` is left (half when not said);
    ``disjoint``: "link" or "domain", what no two paths share then.
    """
    if survive is None and (remaining is not None or disjoint is not None):
        raise WishError("{}, {}: only together with {}", "remaining", "disjoint", "survive")
    if disjoint is not None and disjoint not in ("link", "domain"):
        raise unknown("disjoint", disjoint, ("link", "domain"))
    return pb.Constraints(
        survive=survive,
        remaining_bps=None if remaining is None else read("remaining", parse_bandwidth, remaining),
        disjoint=DISJOINT[disjoint or ""],
        max_paths=max_paths,
        min_share_bps=None if min_share is None else read("min_share", parse_bandwidth, min_share),
        max_latency_us=(
            None if max_latency is None else read("max_latency", parse_latency, max_latency)
        ),
        max_latency_spread_us=(
            None
            if max_latency_spread is None
            else read("max_latency_spread", partial(parse_latency, least=0), max_latency_spread)
        ),
        max_domains=max_domains,
        via_domains=names("via", via),
        avoid_domains=names("avoid", avoid),
        ero=names("ero", ero),
        source_vlans=read("source_vlans", _vlans, source_vlans),
        destination_vlans=read("destination_vlans", _vlans, destination_vlans),
    )


def acceptance(
    token: str,
    *,
    description: str = "",
    request_id: str = "",
    timeout_s: int | None = None,
    detach: bool = False,
) -> pb.Reservation:
    """A Reservation of the alternative that has this token. Raises ValueError."""
    if not token:
        raise ValueError("token: given '', possible: the token of an alternative")
    return pb.Reservation(
        request_id=request_id or new_request_id(),
        accept=token,
        description=description,
        negotiation_timeout_s=timeout_s,
        detach=detach,
    )


def modify(
    reservation_id: str,
    *,
    bandwidth: Amount | None = None,
    end: Amount | None = None,
    limits: pb.Constraints | None = None,
    at: Amount | None = None,
    cloudnet: pb.CloudNet | None = None,
    request_id: str = "",
    timeout_s: int | None = None,
) -> pb.ModifyRequest:
    """A ModifyRequest. ``limits``: in place of those that it had; ``at``: when its new paths take
    over, at once when not said. ``cloudnet``: what it is to be, see
    :func:`braid.cloudnets.cloudnet`. Raises ValueError.
    """
    if at is not None and limits is None:
        raise WishError("{}: only together with {}", "at", "limits")
    time_at = partial(parse_time, now_s=int(time.time()))
    return pb.ModifyRequest(
        request_id=request_id or new_request_id(),
        reservation_id=reservation_id,
        bandwidth_bps=None if bandwidth is None else read("bandwidth", parse_bandwidth, bandwidth),
        end_s=None if end is None else read("end", time_at, end),
        constraints=limits,
        switch_s=None if at is None else read("at", time_at, at),
        cloudnet=cloudnet,
        negotiation_timeout_s=timeout_s,
    )


def get(reservation_id: str = "", *, request_id: str = "") -> pb.GetRequest:
    """A GetRequest for one of the two ids."""
    return pb.GetRequest(reservation_id=reservation_id, request_id=request_id)


def listing(
    states: Iterable[str] = (), page_size: int | None = None, kind: str = ""
) -> pb.ListRequest:
    """A ListRequest for states by their short names, such as "committed"; ``kind``: "circuit" or
    "cloudnet", both when not said. Raises ValueError.
    """
    if kind not in KINDS:
        raise unknown("kind", kind, filter(None, KINDS))
    known = dict(pb.ReservationState.items())
    values = []
    for state in names("states", states):
        value = known.get(f"RESERVATION_STATE_{state.upper()}")
        if not value:
            raise unknown("state", state, (state_name(v) for v in known.values() if v))
        values.append(value)
    return pb.ListRequest(states=values, page_size=page_size, kind=KINDS[kind])


def availability(
    ingress_stp: str, egress_stp: str, *, start: Amount, duration: Amount
) -> topology_pb2.AvailabilityRequest:
    """An AvailabilityRequest. Raises ValueError."""
    return topology_pb2.AvailabilityRequest(
        ingress_stp=ingress_stp, egress_stp=egress_stp, window=_window(start, duration)
    )


def aggregate(
    name: str, start: Amount, duration: Amount, reservation_id: str = ""
) -> topology_pb2.AggregateRequest:
    """An AggregateRequest. Raises ValueError."""
    window = _window(start, duration)
    return topology_pb2.AggregateRequest(name=name, window=window, reservation_id=reservation_id)


def doubts(
    older_than: Amount | None = None, page_size: int | None = None
) -> doubts_pb2.ListDoubtsRequest:
    """A ListDoubtsRequest. Raises ValueError."""
    length = partial(parse_duration, least=0)
    older_s = None if older_than is None else read("older_than", length, older_than)
    return doubts_pb2.ListDoubtsRequest(page_size=page_size, older_than_s=older_s)


def settle(
    transaction_id: str, part_id: str, settlement: str, *, operator: str, reason: str
) -> doubts_pb2.SettleRequest:
    """A SettleRequest; ``settlement``: "commit" or "give-up". Raises ValueError."""
    if settlement not in SETTLEMENTS:
        raise ValueError(f"settlement: given '{settlement}', possible: {', '.join(SETTLEMENTS)}")
    return doubts_pb2.SettleRequest(
        transaction_id=transaction_id,
        part_id=part_id,
        settlement=SETTLEMENTS[settlement],
        operator=operator,
        reason=reason,
    )


def watch(reservation_id: str, after_sequence: int, until_decided: bool) -> pb.WatchRequest:
    """A WatchRequest."""
    return pb.WatchRequest(
        reservation_id=reservation_id, after_sequence=after_sequence, until_decided=until_decided
    )


def check_deadline(now_s: float, deadline_s: float, reservation_id: str) -> None:
    """Raises TimeoutError past the deadline."""
    if now_s > deadline_s:
        raise TimeoutError(f"circuit {reservation_id} is not active in time")


def state_name(state: int) -> str:
    """ "committed" for RESERVATION_STATE_COMMITTED."""
    name = pb.ReservationState.Name(state)  # type: ignore[arg-type]
    return name.removeprefix("RESERVATION_STATE_").lower()


@dataclass(frozen=True, slots=True)
class Leg:
    """The way to one of a circuit's destinations: the paths that lead there."""

    destination: str
    paths: Sequence[pb.Path]
    parallel_streams: int

    @property
    def source_vlans(self) -> tuple[int, ...]:
        """VLANs to use at the source STP; one, unless the source's domain cannot split."""
        return tuple(sorted({path.hops[0].ingress_vlan for path in self.paths}))

    @property
    def destination_vlans(self) -> tuple[int, ...]:
        """VLANs to use at the destination STP."""
        return tuple(sorted({path.hops[-1].egress_vlan for path in self.paths}))


@dataclass(frozen=True, slots=True)
class Circuit:
    """A committed circuit and how to use it; ``record`` has everything.

    With several destinations its VLANs and streams are those of all ``legs`` together.
    """

    record: pb.ReservationRecord

    @property
    def reservation_id(self) -> str:
        """The orchestrator's id of it."""
        return self.record.reservation_id

    @property
    def paths(self) -> Sequence[pb.Path]:
        """Its paths, end to end, with VLANs hop by hop."""
        return self.record.paths

    @property
    def legs(self) -> tuple[Leg, ...]:
        """One for each destination, in the order that they were asked for."""
        criteria, advice = self.record.criteria, self.record.advice
        own: dict[str, list[pb.Path]] = {criteria.destination: []}
        own.update((stp, []) for stp in criteria.more_destinations)
        for path in self.paths:
            own[path.hops[-1].egress_stp].append(path)
        streams = {leg.destination: leg.parallel_streams for leg in advice.legs}
        return tuple(
            Leg(stp, paths, streams.get(stp, advice.parallel_streams)) for stp, paths in own.items()
        )

    @property
    def parallel_streams(self) -> int:
        """How many parallel streams fill it (paper 003, section 6.5)."""
        return self.record.advice.parallel_streams

    @property
    def source_vlans(self) -> tuple[int, ...]:
        """VLANs to use at the source STP; one, unless the source's domain cannot split."""
        return tuple(sorted({vlan for leg in self.legs for vlan in leg.source_vlans}))

    @property
    def destination_vlans(self) -> tuple[int, ...]:
        """VLANs to use at the destination STP."""
        return tuple(sorted({vlan for leg in self.legs for vlan in leg.destination_vlans}))


def circuit_of(record: pb.ReservationRecord) -> Circuit:
    """The circuit of a record. Raises CircuitRefused unless it is committed."""
    if record.state != pb.RESERVATION_STATE_COMMITTED:
        raise CircuitRefused(record)
    return Circuit(record)


def is_active(record: pb.ReservationRecord) -> bool:
    """Whether the data plane carries it now. Raises CircuitRefused if it never will."""
    if record.state != pb.RESERVATION_STATE_COMMITTED:
        raise CircuitRefused(record)
    if record.data_plane == common_pb2.DATA_PLANE_STATE_FAILED:
        raise CircuitRefused(record)
    return record.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE


def credentials(
    root_certificates: bytes | None, key: bytes | None, certificate: bytes | None
) -> grpc.ChannelCredentials:
    """TLS credentials from PEM; ``key`` and ``certificate`` are a pair. Raises WishError."""
    # gRPC ends the process where one of the pair is missing, and says nothing of what is no PEM.
    if (key is None) is not (certificate is None):
        alone = ("key", "certificate") if certificate is None else ("certificate", "key")
        raise WishError("{}: only together with {}", *alone)
    for keyword, pem, kind in (
        ("root_certificates", root_certificates, b"CERTIFICATE"),
        ("certificate", certificate, b"CERTIFICATE"),
        ("key", key, b"PRIVATE KEY"),
    ):
        if pem is not None and kind + b"-----" not in pem:
            raise WishError(f"{{}}: has no {kind.decode()} in PEM", keyword)
    return grpc.ssl_channel_credentials(root_certificates, key, certificate)


def _window(start: Amount, duration: Amount) -> common_pb2.Window:
    start_s = read("start", partial(parse_time, now_s=int(time.time())), start)
    length_s = read("duration", parse_duration, duration)
    return common_pb2.Window(start_s=start_s, end_s=start_s + length_s)


def _vlans(text: str) -> list[common_pb2.VlanRange]:
    ranges = parse_vlans(text) if text else []
    return [common_pb2.VlanRange(first=first, last=last) for first, last in ranges]
