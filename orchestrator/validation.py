"""Checks a user's request once, at the edge (design, section 9).

Every error names the field, what was given and what is possible.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from grpc import StatusCode

from braid.v1 import common_pb2, reservations_pb2
from orchestrator.bent import OVERLAP_S
from orchestrator.bounds import Bounds
from orchestrator.cloudnet_checks import (
    check_alone,
    check_avoided,
    check_circuit_constraints,
    check_cloudnet,
)
from orchestrator.flexibility import check_bend, check_survival, of_bandwidth
from orchestrator.records import Reservation
from orchestrator.service import Order
from orchestrator.tokens import Accepted
from runtime.errors import RequestError, invalid
from substrate.model import Constraints, Criteria, Directionality, Strategy, Window, domain_of
from substrate.topology import Topology
from substrate.values import replace
from substrate.vlans import VLAN_MAX, VLAN_MIN, VlanSet

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
BANDWIDTH_MAX_BPS = 10**15
LIST_MAX = 128
MORE_DESTINATIONS_MAX = 15
DEFAULT_TIMEOUT_S = 30
DEFAULT_MAX_PATHS = 4
UNCONSTRAINED = Constraints(max_paths=DEFAULT_MAX_PATHS, min_share_bps=1)
"""What constraints say of which nothing is given, as mostly."""


def check_order(
    message: reservations_pb2.Reservation,
    topology: Topology,
    now_ms: int,
    bounds: Bounds,
    accepted: Accepted | None = None,
) -> Order:
    """A Reserve as a value; ``accepted``: what it asks for instead. Raises RequestError."""
    check_request_id(message.request_id)
    asked = accepted.request if accepted is not None else message
    return Order(
        request_id=message.request_id,
        digest=digest(message),
        criteria=check_criteria(asked, topology, now_ms, bounds),
        timeout_s=check_timeout(message),
        description=_check_description(message.description),
        accepts=accepted.id if accepted is not None else "",
    )


def check_change(
    message: reservations_pb2.ModifyRequest,
    record: Reservation,
    topology: Topology,
    now_ms: int,
    bounds: Bounds,
) -> Order:
    """A Modify as a value: the record's criteria with the changes. Raises RequestError."""
    check_request_id(message.request_id)
    _check_given(message, record.criteria)
    criteria = record.criteria
    if message.HasField("cloudnet"):
        criteria = replace(criteria, cloudnet=check_cloudnet(message.cloudnet, topology))
    elif criteria.cloudnet is not None:
        # It was said of the change before.
        criteria = replace(criteria, cloudnet=replace(criteria.cloudnet, anew=()))
    if message.HasField("bandwidth_bps"):
        bandwidth_bps = _check_bandwidth("bandwidth_bps", message.bandwidth_bps)
        criteria = of_bandwidth(criteria, bandwidth_bps)
        _check_fits_ports(criteria, topology)
    if message.HasField("end_s"):
        if message.end_s * 1000 <= now_ms:
            raise invalid("end_s", message.end_s, f"a time after now ({now_ms // 1000})")
        window = Window(criteria.window.start_s, message.end_s)
        _check_window("end_s", window, now_ms, bounds)
        criteria = replace(criteria, window=window)
    if message.HasField("constraints"):
        ends = (criteria.source, *criteria.destinations) if criteria.cloudnet is None else ()
        limits = _check_constraints(message.constraints, ends, topology)
        criteria = check_survival(message.constraints, replace(criteria, constraints=limits))
    if criteria.cloudnet is not None:
        check_avoided(criteria.cloudnet, criteria.constraints)
    return Order(
        message.request_id,
        digest(message),
        criteria,
        check_timeout(message),
        switch_s=_check_switch(message, criteria.window, now_ms),
        rests_on=record.version,
    )


def _check_given(message: reservations_pb2.ModifyRequest, criteria: Criteria) -> None:
    """That something is to be changed, and nothing that it does not have."""
    given = {field.name for field, _ in message.ListFields()}
    possible: tuple[str, ...]
    others: tuple[str, ...]
    if criteria.cloudnet is None:
        possible, others = ("bandwidth_bps", "end_s", "constraints", "switch_s"), ("cloudnet",)
    else:
        possible, others = ("cloudnet", "end_s", "constraints"), ("bandwidth_bps", "switch_s")
        check_circuit_constraints(message.constraints)
    for name in others:
        if name in given:
            raise invalid(name, "given", f"{', '.join(possible)}: it is of the other kind")
    if not given.intersection(possible):
        raise invalid(possible[0], "absent", f"{', '.join(possible[:3])} or several")


def check_criteria(
    message: reservations_pb2.Reservation, topology: Topology, now_ms: int, bounds: Bounds
) -> Criteria:
    """What a circuit, or a CloudNet, must be. Raises RequestError."""
    if message.HasField("cloudnet"):
        return _check_cloudnet_criteria(message, topology, now_ms, bounds)
    source = check_stp("source", message.source, topology)
    destination = check_stp("destination", message.destination, topology)
    if source == destination:
        raise invalid("destination", message.destination, "an STP other than the source")
    more = _check_more_destinations(message, (source, destination), topology)
    window = _check_new_window(message, now_ms, bounds)
    ports_bps = ports_capacity_bps(source, destination, topology)
    bandwidth_bps = message.bandwidth_bps
    if bandwidth_bps == 0 and message.flexibility.volume_bytes:
        bandwidth_bps = ports_bps
    criteria = Criteria(
        source=source,
        destination=destination,
        bandwidth_bps=_check_bandwidth("bandwidth_bps", bandwidth_bps),
        window=window,
        directionality=_check_directionality(message.directionality),
        strategy=_check_strategy(message.strategy),
        constraints=_check_constraints(message.constraints, (source, destination, *more), topology),
        movable=message.movable,
        more_destinations=more,
    )
    _check_fits_ports(criteria, topology)
    criteria = check_survival(message.constraints, criteria)
    bend = check_bend(message, criteria)
    return criteria if bend is None else replace(criteria, bend=bend)


def _check_cloudnet_criteria(
    message: reservations_pb2.Reservation, topology: Topology, now_ms: int, bounds: Bounds
) -> Criteria:
    check_alone(message)
    cloudnet = check_cloudnet(message.cloudnet, topology)
    limits = _check_constraints(message.constraints, (), topology)
    check_avoided(cloudnet, limits)
    return Criteria(
        source="",
        destination="",
        bandwidth_bps=0,
        window=_check_new_window(message, now_ms, bounds),
        constraints=limits,
        cloudnet=cloudnet,
    )


def _check_new_window(message: reservations_pb2.Reservation, now_ms: int, bounds: Bounds) -> Window:
    if not message.HasField("window"):
        raise invalid("window", "absent", "start_s and end_s")
    window = Window(message.window.start_s, message.window.end_s)
    if window.start_s < now_ms // 1000 - bounds.late_start_s:
        raise invalid("window.start_s", window.start_s, f"now ({now_ms // 1000}) or later")
    _check_window("window.end_s", window, now_ms, bounds)
    return window


def ports_capacity_bps(source: str, destination: str, topology: Topology) -> int:
    """The most that both ports carry."""
    return min(topology.ports[stp].capacity_bps for stp in (source, destination))


def check_request_id(request_id: str) -> None:
    """Raises RequestError unless it is 1 to 128 characters of [A-Za-z0-9._:-] without ".."."""
    if not REQUEST_ID.fullmatch(request_id) or ".." in request_id:
        raise invalid("request_id", request_id, "1 to 128 characters of [A-Za-z0-9._:-], no '..'")


def check_timeout(
    message: reservations_pb2.Reservation | reservations_pb2.ModifyRequest,
) -> int:
    """Seconds to negotiate. Raises RequestError."""
    if not message.HasField("negotiation_timeout_s"):
        return DEFAULT_TIMEOUT_S
    if not 1 <= message.negotiation_timeout_s <= 600:
        raise invalid("negotiation_timeout_s", message.negotiation_timeout_s, "1 to 600")
    return message.negotiation_timeout_s


def check_stp(field: str, name: str, topology: Topology) -> str:
    """The STP that a name or alias stands for. Raises RequestError."""
    stp = topology.resolve(name)
    if stp is not None:
        if stp == topology.domains[domain_of(stp)].cloud_stp:
            raise invalid(field, name, "an STP that is not reached by CloudNets only")
        return stp
    domain, colon, port = name.partition(":")
    if not name.startswith("urn:") and not (
        colon and NAME.fullmatch(domain) and NAME.fullmatch(port) and ".." not in name
    ):
        raise invalid(field, name, "an STP written domain:port, or an alias of one")
    known = topology.domains.get(domain)
    if known is None:
        domains = ", ".join(topology.domains) or "none yet"
        possible = f"an STP of a known domain ({domains})"
    else:
        users = [port.stp for port in known.ports if port.remote_stp is None]
        possible = f"one of {', '.join(users[:20]) or 'its ports'}"
    raise RequestError(StatusCode.NOT_FOUND, field, name, possible)


def digest(
    message: reservations_pb2.Reservation | reservations_pb2.ModifyRequest,
) -> str:
    """Tells two bodies under one request_id apart; ``detach`` is not part of the body."""
    body = type(message)()
    body.CopyFrom(message)  # type: ignore[arg-type]
    if isinstance(body, reservations_pb2.Reservation):
        body.ClearField("detach")
    kind = type(message).__name__.encode()
    return hashlib.sha256(kind + body.SerializeToString(deterministic=True)).hexdigest()


def _check_switch(
    message: reservations_pb2.ModifyRequest, window: Window, now_ms: int
) -> int | None:
    if not message.HasField("switch_s"):
        return None
    given, now_s = message.switch_s, now_ms // 1000
    for name in ("bandwidth_bps", "end_s"):
        if message.HasField(name):
            raise invalid("switch_s", given, f"nothing together with {name}")
    if not message.HasField("constraints"):
        raise invalid("switch_s", given, "constraints beside it")
    first_s, last_s = max(now_s, window.start_s + OVERLAP_S), window.end_s - OVERLAP_S
    if not first_s < given < last_s:
        possible = f"after {first_s} and before {last_s}: old and new paths overlap there"
        raise invalid("switch_s", given, possible)
    return given


def _check_window(field: str, window: Window, now_ms: int, bounds: Bounds) -> None:
    if window.end_s <= window.start_s:
        raise invalid(field, window.end_s, f"a time after the start ({window.start_s})")
    if window.end_s * 1000 <= now_ms:
        raise invalid(field, window.end_s, f"a time after now ({now_ms // 1000})")
    if window.duration_s > bounds.window_max_s:
        raise RequestError(
            StatusCode.OUT_OF_RANGE,
            field,
            f"{window.duration_s} s",
            f"a window of at most {bounds.window_max_s} s",
        )
    latest_s = now_ms // 1000 + bounds.horizon_s
    if window.end_s > latest_s:
        raise RequestError(StatusCode.OUT_OF_RANGE, field, window.end_s, f"at most {latest_s}")


def _check_bandwidth(field: str, bandwidth_bps: int) -> int:
    if bandwidth_bps <= 0:
        raise invalid(field, bandwidth_bps, "more than 0 bit/s")
    if bandwidth_bps > BANDWIDTH_MAX_BPS:
        raise RequestError(
            StatusCode.OUT_OF_RANGE, field, bandwidth_bps, f"at most {BANDWIDTH_MAX_BPS} bit/s"
        )
    return bandwidth_bps


def _check_more_destinations(
    message: reservations_pb2.Reservation, others: tuple[str, str], topology: Topology
) -> tuple[str, ...]:
    names = message.more_destinations
    if len(names) > MORE_DESTINATIONS_MAX:
        possible = f"at most {MORE_DESTINATIONS_MAX}"
        raise invalid("more_destinations", f"{len(names)} entries", possible)
    found: list[str] = []
    for i, name in enumerate(names):
        stp = check_stp(f"more_destinations[{i}]", name, topology)
        if stp in (*others, *found):
            possible = "an STP other than the source and all other destinations"
            raise invalid(f"more_destinations[{i}]", name, possible)
        found.append(stp)
    if found and message.flexibility.HasField("volume_bytes"):
        possible = "nothing together with more_destinations: legs have one constant bandwidth"
        raise invalid("flexibility.volume_bytes", message.flexibility.volume_bytes, possible)
    return tuple(found)


def _check_fits_ports(criteria: Criteria, topology: Topology) -> None:
    for stp in (criteria.source, *criteria.destinations):
        port = topology.port(stp)
        if port is not None and criteria.bandwidth_bps > port.capacity_bps:
            raise RequestError(
                StatusCode.OUT_OF_RANGE,
                "bandwidth_bps",
                criteria.bandwidth_bps,
                f"at most {port.capacity_bps} bit/s, the capacity of {stp}",
            )
    source, legs = topology.port(criteria.source), len(criteria.destinations)
    if source is not None and criteria.bandwidth_bps * legs > source.capacity_bps:
        raise RequestError(
            StatusCode.OUT_OF_RANGE,
            "bandwidth_bps",
            criteria.bandwidth_bps,
            f"at most {source.capacity_bps // legs} bit/s to each of {legs} destinations, "
            f"which share the {source.capacity_bps} bit/s of {source.stp}",
        )


def _check_directionality(value: int) -> Directionality:
    if value == common_pb2.DIRECTIONALITY_UNSPECIFIED:
        return Directionality.BIDIRECTIONAL
    try:
        return Directionality(value)
    except ValueError:
        names = ", ".join(item.name for item in Directionality)
        raise invalid("directionality", value, names) from None


def _check_strategy(value: int) -> Strategy:
    if value == reservations_pb2.STRATEGY_UNSPECIFIED:
        return Strategy.AUTO
    try:
        return Strategy(value)
    except ValueError:
        names = ", ".join(item.name for item in Strategy)
        raise invalid("strategy", value, names) from None


def _check_constraints(
    message: reservations_pb2.Constraints, ends: tuple[str, ...], topology: Topology
) -> Constraints:
    if not message.ByteSize():
        return UNCONSTRAINED
    field = "constraints."
    via = _check_domains(field + "via_domains", message.via_domains, topology)
    avoid = _check_domains(field + "avoid_domains", message.avoid_domains, topology)
    for name in avoid:
        if name in via or name in map(domain_of, ends):
            raise invalid(field + "avoid_domains", name, "a domain that the circuit does not need")
    if len(message.ero) > LIST_MAX:
        raise invalid(field + "ero", f"{len(message.ero)} entries", f"at most {LIST_MAX}")
    if message.ero and len(ends) > 2:
        possible = "nothing together with more_destinations, to which it cannot lead"
        raise invalid(field + "ero", ", ".join(message.ero), possible)
    return Constraints(
        max_paths=_check_range(message, "max_paths", 1, 16, DEFAULT_MAX_PATHS) or 1,
        min_share_bps=_check_range(message, "min_share_bps", 1, BANDWIDTH_MAX_BPS, 1) or 1,
        max_latency_us=_check_range(message, "max_latency_us", 1, 2**53, None),
        max_latency_spread_us=_check_range(message, "max_latency_spread_us", 0, 2**53, None),
        max_domains=_check_range(message, "max_domains", 1, 128, None),
        via_domains=via,
        avoid_domains=avoid,
        ero=tuple(
            check_stp(f"{field}ero[{i}]", name, topology) for i, name in enumerate(message.ero)
        ),
        source_vlans=_check_vlans(field + "source_vlans", message.source_vlans),
        destination_vlans=_check_vlans(field + "destination_vlans", message.destination_vlans),
    )


def _check_range(
    message: reservations_pb2.Constraints, name: str, least: int, most: int, absent: int | None
) -> int | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return absent
    value: int = getattr(message, name)
    if not least <= value <= most:
        raise invalid(f"constraints.{name}", value, f"{least} to {most}")
    return value


def _check_domains(field: str, names: Sequence[str], topology: Topology) -> tuple[str, ...]:
    if len(names) > LIST_MAX:
        raise invalid(field, f"{len(names)} entries", f"at most {LIST_MAX}")
    for name in names:
        if not NAME.fullmatch(name) or ".." in name:
            raise invalid(field, name, "the name of a domain")
        if name not in topology.domains:
            known = ", ".join(topology.domains)
            raise RequestError(StatusCode.NOT_FOUND, field, name, f"one of {known}")
        if list(names).count(name) > 1:
            raise invalid(field, name, "each domain once")
    return tuple(sorted(names))


def _check_vlans(field: str, ranges: Sequence[common_pb2.VlanRange]) -> VlanSet:
    if len(ranges) > LIST_MAX:
        raise invalid(field, f"{len(ranges)} ranges", f"at most {LIST_MAX}")
    try:
        return VlanSet.from_ranges([(item.first, item.last) for item in ranges])
    except ValueError:
        given = ", ".join(f"{item.first}-{item.last}" for item in ranges)
        raise invalid(field, given, f"ranges within {VLAN_MIN}-{VLAN_MAX}") from None


def _check_description(text: str) -> str:
    if len(text) > 256 or not text.isprintable():
        raise invalid("description", text, "at most 256 printable characters")
    return text
