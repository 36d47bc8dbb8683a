"""Records as the U-O interface shows them, and back from the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from braid.v1 import reservations_pb2 as pb
from orchestrator.advice import advice_text, legs_text
from orchestrator.carried import CarriedVNode
from orchestrator.explanation import (
    NOTHING_TO_SAY,
    Alternative,
    AlternativeKind,
    Explanation,
)
from orchestrator.records import (
    Change,
    Granted,
    PartView,
    Reservation,
    State,
    fold_data_plane,
    parallel_streams,
)
from protocol.codec import (
    constraints_from_pb,
    constraints_to_pb,
    data_plane_from_pb,
    data_plane_to_pb,
    path_from_pb,
    path_to_pb,
    refusal_from_pb,
    refusal_to_pb,
    segment_from_pb,
    segment_to_pb,
    window_from_pb,
    window_to_pb,
)
from runtime.remembered import Remembered
from substrate.bottleneck import Bottleneck
from substrate.model import (
    MAX_PHASES,
    Bend,
    CloudNet,
    Criteria,
    Directionality,
    Path,
    Proof,
    Refusal,
    Strategy,
)


def record_to_pb(record: Reservation) -> pb.ReservationRecord:
    """The answer to Get, Reserve, Modify and Cancel."""
    message = pb.ReservationRecord(
        reservation_id=record.reservation_id,
        version=record.version,
        state=record.state._value_,  # type: ignore[arg-type]
        paths=[path_to_pb(path) for path in record.paths],
        parts=[_part_to_pb(part) for part in record.parts],
        refusals=[refusal_to_pb(refusal) for refusal in record.refusals],
        created_ms=record.created_ms,
        updated_ms=record.updated_ms,
        modifying=record.change is not None,
        modified=record.modified,
    )
    criteria = message.criteria
    _fill_criteria(criteria, record.criteria)
    criteria.request_id = record.request_id
    criteria.description = record.description
    criteria.negotiation_timeout_s = record.timeout_s
    if record.asked is not None:
        _fill_criteria(message.asked, record.asked)
    if record.explanation is not NOTHING_TO_SAY:
        message.bottlenecks.extend(_bottleneck_to_pb(b) for b in record.explanation.bottlenecks)
        message.alternatives.extend(alternatives_to_pb(record.explanation.alternatives))
    if record.paths and record.criteria.cloudnet is None:
        _fill_advice(message.advice, record.criteria, record.paths)
    if record.proof is not None:
        message.proof.CopyFrom(_proof_to_pb(record.proof))
    if record.carried:
        message.carried.extend(_carried_to_pb(each) for each in record.carried)
    message.errands = record.errands
    whole = fold_data_plane(record.parts)
    if whole is not None:
        message.data_plane = data_plane_to_pb(whole)
    return message


recent_to_pb = Remembered(record_to_pb, 512)
"""As record_to_pb, of a record that is written and told at the same time. Not to be changed."""


_constraints_to_pb = Remembered(constraints_to_pb, 512)
"""Those of most requests are one value (orchestrator.validation). Not to be changed."""


def record_from_pb(
    message: pb.ReservationRecord, transaction_id: str, change: Change | None
) -> Reservation:
    """A stored record; the inverse of record_to_pb."""
    return Reservation(
        reservation_id=message.reservation_id,
        request_id=message.criteria.request_id,
        criteria=criteria_from_pb(message.criteria),
        transaction_id=transaction_id,
        created_ms=message.created_ms,
        updated_ms=message.updated_ms,
        description=message.criteria.description,
        timeout_s=message.criteria.negotiation_timeout_s,
        state=State(message.state),
        version=message.version,
        paths=tuple(path_from_pb(path) for path in message.paths),
        parts=tuple(_part_from_pb(part) for part in message.parts),
        refusals=tuple(refusal_from_pb(refusal) for refusal in message.refusals),
        change=change,
        modified=message.modified if message.HasField("modified") else None,
        asked=criteria_from_pb(message.asked) if message.HasField("asked") else None,
        explanation=_explanation_from_pb(message),
        proof=_proof_from_pb(message.proof) if message.HasField("proof") else None,
        carried=tuple(_carried_from_pb(each) for each in message.carried),
        errands=message.errands,
    )


def change_to_pb(change: Change) -> pb.ReservationRecord:
    """A Modify under way, in the shape of a record."""
    message = pb.ReservationRecord(
        criteria=criteria_to_pb(change.criteria),
        paths=[path_to_pb(path) for path in change.paths],
        parts=[_part_to_pb(part) for part in change.parts],
        created_ms=change.asked_ms,
    )
    message.criteria.request_id = change.request_id
    message.criteria.negotiation_timeout_s = change.timeout_s
    if change.switch_s is not None:
        message.switch_s = change.switch_s
    if change.moves_for:
        message.moves_for = change.moves_for
    if change.proof is not None:
        message.proof.CopyFrom(_proof_to_pb(change.proof))
    return message


def change_from_pb(message: pb.ReservationRecord, transaction_id: str) -> Change:
    """The inverse of change_to_pb."""
    return Change(
        request_id=message.criteria.request_id,
        transaction_id=transaction_id,
        criteria=criteria_from_pb(message.criteria),
        timeout_s=message.criteria.negotiation_timeout_s,
        asked_ms=message.created_ms,
        paths=tuple(path_from_pb(path) for path in message.paths),
        parts=tuple(_part_from_pb(part) for part in message.parts),
        switch_s=message.switch_s if message.HasField("switch_s") else None,
        moves_for=message.moves_for,
        proof=_proof_from_pb(message.proof) if message.HasField("proof") else None,
    )


def criteria_to_pb(criteria: Criteria) -> pb.Reservation:
    """Criteria without the ids that belong to a request."""
    message = pb.Reservation()
    _fill_criteria(message, criteria)
    return message


def _fill_criteria(message: pb.Reservation, criteria: Criteria) -> None:
    message.source = criteria.source
    message.destination = criteria.destination
    message.more_destinations.extend(criteria.more_destinations)
    message.bandwidth_bps = criteria.bandwidth_bps
    message.window.start_s = criteria.window.start_s
    message.window.end_s = criteria.window.end_s
    message.directionality = criteria.directionality._value_  # type: ignore[assignment]
    message.strategy = criteria.strategy._value_  # type: ignore[assignment]
    message.constraints.CopyFrom(_constraints_to_pb(criteria.constraints))
    if criteria.movable:
        message.movable = True
    if criteria.cloudnet is not None:
        message.cloudnet.CopyFrom(cloudnet_to_pb(criteria.cloudnet))
    bend = criteria.bend
    if bend is None:
        return
    flexibility = message.flexibility
    if bend.duration_s:
        flexibility.duration_s = bend.duration_s
    if bend.least_bps:
        flexibility.least_bandwidth_bps = bend.least_bps
    if bend.volume_bytes:
        flexibility.volume_bytes = bend.volume_bytes
        flexibility.max_phases = bend.max_phases
        flexibility.soonest = bend.soonest


def criteria_from_pb(message: pb.Reservation) -> Criteria:
    """The inverse of criteria_to_pb; not for what users send (see validation)."""
    return Criteria(
        source=message.source,
        destination=message.destination,
        more_destinations=tuple(message.more_destinations),
        bandwidth_bps=message.bandwidth_bps,
        window=window_from_pb(message.window),
        directionality=Directionality(message.directionality),
        strategy=Strategy(message.strategy),
        constraints=constraints_from_pb(message.constraints),
        bend=_bend_from_pb(message.flexibility) if message.HasField("flexibility") else None,
        movable=message.movable,
        cloudnet=cloudnet_from_pb(message.cloudnet) if message.HasField("cloudnet") else None,
    )


def cloudnet_to_pb(cloudnet: CloudNet) -> pb.CloudNet:
    """What is asked for, or granted."""
    message = pb.CloudNet(objective=cloudnet.objective, placing=_placements(cloudnet.placing))
    for vlink, stp, vlan in cloudnet.exits:
        message.exits.add(vlink=vlink, stp=stp, vlan=vlan)
    message.graph.MergeFromString(cloudnet.graph)
    message.anew.extend(cloudnet.anew)
    return message


def cloudnet_from_pb(message: pb.CloudNet) -> CloudNet:
    """The inverse of cloudnet_to_pb; not for what users send (see validation)."""
    return CloudNet(
        graph=message.graph.SerializeToString(deterministic=True),
        objective=message.objective,
        placing=tuple((each.vnode, each.domain) for each in message.placing),
        exits=tuple((each.vlink, each.stp, each.vlan) for each in message.exits),
        anew=tuple(message.anew),
    )


def _placements(placed: Iterable[tuple[str, str]]) -> list[pb.VNodePlacement]:
    return [pb.VNodePlacement(vnode=vnode, domain=domain) for vnode, domain in placed]


def _proof_to_pb(proof: Proof) -> pb.MappingProof:
    return pb.MappingProof(
        status=proof.status,
        objective=proof.objective,
        bound=proof.bound,
        gap=proof.gap,
        proof_scope=proof.scope,
        price_micros=proof.price_micros,
        unpriced_domains=proof.unpriced,
    )


def _proof_from_pb(message: pb.MappingProof) -> Proof:
    return Proof(
        message.status,
        message.objective,
        message.bound,
        message.gap,
        message.proof_scope,
        message.price_micros if message.HasField("price_micros") else None,
        tuple(message.unpriced_domains),
    )


def _carried_to_pb(carried: CarriedVNode) -> pb.CarriedVNode:
    return pb.CarriedVNode(
        vnode=carried.vnode,
        source=carried.source,
        target=carried.target,
        live=carried.live,
        reason=carried.reason,
        since_ms=carried.since_ms,
        still_ms=carried.still_ms,
        ahead_bytes=carried.ahead_bytes,
        last_bytes=carried.last_bytes,
    )


def _carried_from_pb(message: pb.CarriedVNode) -> CarriedVNode:
    return CarriedVNode(
        message.vnode,
        message.source,
        message.target,
        message.live,
        message.reason,
        message.since_ms if message.HasField("since_ms") else None,
        message.still_ms if message.HasField("still_ms") else None,
        message.ahead_bytes,
        message.last_bytes,
    )


def _bend_from_pb(message: pb.Flexibility) -> Bend:
    return Bend(
        duration_s=message.duration_s,
        least_bps=message.least_bandwidth_bps,
        volume_bytes=message.volume_bytes,
        max_phases=message.max_phases or MAX_PHASES,
        soonest=message.soonest,
    )


def plan_to_pb(plan: Granted) -> pb.PlanResponse:
    """A dry run that found something."""
    circuit = plan.criteria.cloudnet is None
    return pb.PlanResponse(
        feasible=True,
        paths=[path_to_pb(path) for path in plan.paths],
        advice=advice_to_pb(plan) if circuit else None,
        vnodes=_placements(
            sorted((vnode, part.domain) for part in plan.parts for vnode in part.vnodes)
        ),
        proof=_proof_to_pb(plan.proof) if plan.proof is not None else None,
        depends_on_blind=plan.depends_on_blind,
        window=window_to_pb(plan.criteria.window),
        bandwidth_bps=plan.criteria.bandwidth_bps,
        moves=[
            pb.Move(
                reservation_id=reservation_id,
                window=window_to_pb(moved.criteria.window),
                paths=[path_to_pb(path) for path in moved.paths],
            )
            for reservation_id, moved in plan.moves
        ],
    )


def refused_plan_to_pb(
    refusals: tuple[Refusal, ...],
    explanation: Explanation = NOTHING_TO_SAY,
    proof: Proof | None = None,
) -> pb.PlanResponse:
    """A dry run that found nothing."""
    return pb.PlanResponse(
        refusals=[refusal_to_pb(refusal) for refusal in refusals],
        bottlenecks=[_bottleneck_to_pb(bottleneck) for bottleneck in explanation.bottlenecks],
        alternatives=alternatives_to_pb(explanation.alternatives),
        proof=_proof_to_pb(proof) if proof is not None else None,
    )


def shortened(plan: pb.PlanResponse, most_bytes: int) -> pb.PlanResponse:
    """As much of it as goes into so many bytes; a token says by itself what is asked for."""
    shown = pb.PlanResponse()
    shown.CopyFrom(plan)
    for alternative in reversed(shown.alternatives):
        if shown.ByteSize() > most_bytes:
            alternative.ClearField("request")
    for items in (shown.bottlenecks, shown.refusals, shown.alternatives):
        while items and shown.ByteSize() > most_bytes:
            del items[-1]
    return shown


def alternatives_to_pb(alternatives: Sequence[Alternative]) -> list[pb.Alternative]:
    """What would be granted."""
    return [
        pb.Alternative(
            kind=each.kind.value,  # type: ignore[arg-type]
            token=each.token,
            request=criteria_to_pb(each.criteria),
            text=each.text,
            expires_ms=each.expires_ms,
            least_change=each.least_change,
        )
        for each in alternatives
    ]


def _bottleneck_to_pb(bottleneck: Bottleneck) -> pb.Bottleneck:
    return pb.Bottleneck(
        domain=bottleneck.domain,
        resource=bottleneck.resource,
        free_bps=bottleneck.free_bps,
        window=window_to_pb(bottleneck.window) if bottleneck.window else None,
        label=bottleneck.label,
    )


def _explanation_from_pb(message: pb.ReservationRecord) -> Explanation:
    if not message.bottlenecks and not message.alternatives:
        return NOTHING_TO_SAY
    return Explanation(
        bottlenecks=tuple(
            Bottleneck(
                domain=each.domain,
                resource=each.resource,
                free_bps=each.free_bps if each.HasField("free_bps") else None,
                window=window_from_pb(each.window) if each.HasField("window") else None,
                label=each.label,
            )
            for each in message.bottlenecks
        ),
        alternatives=tuple(
            Alternative(
                kind=AlternativeKind(each.kind),
                criteria=criteria_from_pb(each.request),
                text=each.text,
                token=each.token,
                expires_ms=each.expires_ms,
                least_change=each.least_change,
            )
            for each in message.alternatives
        ),
    )


def advice_to_pb(plan: Granted) -> pb.Advice:
    """How to use what is granted."""
    message = pb.Advice()
    _fill_advice(message, plan.criteria, plan.paths)
    return message


def _fill_advice(message: pb.Advice, criteria: Criteria, paths: tuple[Path, ...]) -> None:
    message.parallel_streams = parallel_streams(paths)
    message.text = advice_text(paths)
    if not criteria.more_destinations:
        return
    message.text = legs_text(criteria.destinations)
    for stp in criteria.destinations:
        own = tuple(path for path in paths if path.hops[-1].egress_stp == stp)
        streams, text = parallel_streams(own), advice_text(own)
        message.legs.add(destination=stp, parallel_streams=streams, text=text)


def _part_to_pb(part: PartView) -> pb.DomainPart:
    message = pb.DomainPart(
        domain=part.domain,
        segments=[segment_to_pb(segment) for segment in part.segments],
        data_plane=data_plane_to_pb(part.data_plane),
    )
    if part.reason:
        message.reason = part.reason
    if part.released:
        message.released = True
    if part.window is not None:
        message.window.CopyFrom(window_to_pb(part.window))
    message.vnodes.extend(part.vnodes)
    return message


def _part_from_pb(message: pb.DomainPart) -> PartView:
    return PartView(
        domain=message.domain,
        segments=tuple(segment_from_pb(segment) for segment in message.segments),
        data_plane=data_plane_from_pb(message.data_plane),
        reason=message.reason,
        released=message.released,
        window=window_from_pb(message.window) if message.HasField("window") else None,
        vnodes=tuple(message.vnodes),
    )
