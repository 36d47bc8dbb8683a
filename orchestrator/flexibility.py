"""Checks how far a user's request bends, once, at the edge (design, section 9)."""

from __future__ import annotations

from braid.v1 import reservations_pb2 as pb
from orchestrator.explanation import VOLUME_MAX_BYTES
from runtime.errors import RequestError, invalid
from substrate.bending import BITS
from substrate.model import MAX_PHASES, Bend, Criteria, Disjointness, Strategy
from substrate.values import replace

PHASES_MAX = 64
SURVIVE_MAX = 3
ACCEPT_ALONE = frozenset({"request_id", "accept", "description", "negotiation_timeout_s", "detach"})


def check_bend(message: pb.Reservation, criteria: Criteria) -> Bend | None:
    """How far these criteria, which are those of ``message``, bend. Raises RequestError."""
    asked = message.flexibility
    if not asked.ListFields():
        return None
    if criteria.strategy is Strategy.EQUAL_SPLITTING:
        raise invalid(
            "strategy", criteria.strategy.name, "one that asks for offers, for a request that bends"
        )
    if criteria.constraints.survive and not asked.HasField("duration_s"):
        raise invalid("constraints.survive", criteria.constraints.survive, "a constant rate")
    if asked.HasField("volume_bytes"):
        return _check_volume(asked, criteria)
    if asked.HasField("max_phases"):
        raise invalid("flexibility.max_phases", asked.max_phases, "volume_bytes beside it")
    if asked.soonest:
        raise invalid("flexibility.soonest", asked.soonest, "volume_bytes beside it")
    bend = Bend()
    if asked.HasField("duration_s"):
        most_s = criteria.window.duration_s
        _check_within("duration_s", asked.duration_s, most_s, "the length of the window")
        # As long as the window: it cannot slide.
        bend = Bend(duration_s=asked.duration_s if asked.duration_s < most_s else 0)
    if asked.HasField("least_bandwidth_bps"):
        most_bps = criteria.bandwidth_bps
        _check_within("least_bandwidth_bps", asked.least_bandwidth_bps, most_bps, "bandwidth_bps")
        if asked.least_bandwidth_bps < most_bps:
            bend = Bend(bend.duration_s, asked.least_bandwidth_bps)
    return None if bend == Bend() else bend


def of_bandwidth(criteria: Criteria, bandwidth_bps: int) -> Criteria:
    """The criteria with another bandwidth, of which as large a part survives. Raises RequestError
    where that is no bandwidth any more.
    """
    limits = criteria.constraints
    if limits.survive:
        if bandwidth_bps < 2:
            raise invalid("bandwidth_bps", bandwidth_bps, "2 bit/s or more, of which some survives")
        left_bps = limits.remaining_bps * bandwidth_bps // criteria.bandwidth_bps
        limits = replace(limits, remaining_bps=max(1, left_bps))
    return replace(criteria, bandwidth_bps=bandwidth_bps, constraints=limits)


def check_survival(message: pb.Constraints, criteria: Criteria) -> Criteria:
    """The criteria with what must be left after losses. Raises RequestError."""
    if not message.survive:
        for name in ("remaining_bps", "disjoint"):
            if getattr(message, name):
                raise invalid(f"constraints.{name}", getattr(message, name), "survive beside it")
        return criteria
    limits = criteria.constraints
    if criteria.strategy is not Strategy.AUTO or limits.ero:
        given = "ero" if limits.ero else criteria.strategy.name
        raise invalid("constraints.survive", message.survive, f"nothing together with {given}")
    if not 1 <= message.survive <= SURVIVE_MAX:
        raise invalid("constraints.survive", message.survive, f"1 to {SURVIVE_MAX}")
    if message.disjoint not in (0, *(each.value for each in Disjointness)):
        names = ", ".join(each.name for each in Disjointness)
        raise invalid("constraints.disjoint", message.disjoint, names)
    asked_bps = criteria.bandwidth_bps
    remaining_bps = asked_bps // 2
    if message.HasField("remaining_bps"):
        remaining_bps = message.remaining_bps
    if not 1 <= remaining_bps < asked_bps:
        possible = f"1 to {asked_bps - 1}, less than bandwidth_bps"
        raise invalid("constraints.remaining_bps", remaining_bps, possible)
    share_bps = (asked_bps - remaining_bps) // message.survive
    needed = -(-asked_bps // share_bps) if share_bps else asked_bps
    if needed > limits.max_paths:
        possible = f"{needed} or more: without any {message.survive} of them {remaining_bps} bit/s"
        raise invalid("constraints.max_paths", limits.max_paths, f"{possible} must be left")
    surviving = replace(
        limits,
        survive=message.survive,
        remaining_bps=remaining_bps,
        disjoint=Disjointness(message.disjoint or Disjointness.LINK.value),
    )
    return replace(criteria, constraints=surviving)


def check_accept_alone(message: pb.Reservation) -> None:
    """A request that takes an alternative asks for nothing else. Raises RequestError."""
    for field, value in message.ListFields():
        if field.name not in ACCEPT_ALONE:
            raise invalid(field.name, str(value).strip(), "nothing beside accept")


def _check_volume(asked: pb.Flexibility, criteria: Criteria) -> Bend:
    for name in ("duration_s", "least_bandwidth_bps"):
        if asked.HasField(name):
            raise invalid(f"flexibility.{name}", getattr(asked, name), "nothing with volume_bytes")
    _check_within("volume_bytes", asked.volume_bytes, VOLUME_MAX_BYTES, "what can be counted")
    rate_bps, duration_s = criteria.bandwidth_bps, criteria.window.duration_s
    most_bytes = rate_bps * duration_s // BITS
    if asked.volume_bytes > most_bytes:
        needed_s = -(-asked.volume_bytes * BITS // rate_bps)
        raise _too_much(asked.volume_bytes, most_bytes, duration_s, rate_bps, needed_s)
    phases = asked.max_phases if asked.HasField("max_phases") else MAX_PHASES
    _check_within("max_phases", phases, PHASES_MAX, "phases")
    return Bend(volume_bytes=asked.volume_bytes, max_phases=phases, soonest=asked.soonest)


def _check_within(name: str, value: int, most: int, what: str) -> None:
    if not 1 <= value <= most:
        raise invalid(f"flexibility.{name}", value, f"1 to {most}, {what}")


def _too_much(
    given: int, most_bytes: int, duration_s: int, rate_bps: int, needed_s: int
) -> RequestError:
    possible = (
        f"at most {most_bytes} bytes, which is {duration_s} s at {rate_bps} bit/s; "
        f"{given} bytes need {needed_s} s at that rate"
    )
    return invalid("flexibility.volume_bytes", given, possible)
