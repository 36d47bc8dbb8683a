"""Values to protobuf and back: the messages of the D-O interface.

``…_to_pb`` and ``…_from_pb`` are inverse to each other. Reading raises CodecError for what no
correct party sends: an unknown enum, a message of no kind, a number out of its range.
"""

from __future__ import annotations

from braid.v1 import agent_pb2 as pb
from protocol.codec_values import (
    CodecError,
    constraints_from_pb,
    constraints_to_pb,
    data_plane_from_pb,
    data_plane_to_pb,
    directionality_from_pb,
    directionality_to_pb,
    domain_from_pb,
    domain_to_pb,
    fill_segment,
    fill_vlans,
    not_negative,
    path_from_pb,
    path_to_pb,
    profile_from_pb,
    profile_to_pb,
    refusal_from_pb,
    refusal_to_pb,
    segment_from_pb,
    segment_to_pb,
    vlans_from_pb,
    vlans_to_pb,
    window_from_pb,
    window_to_pb,
)
from protocol.messages import (
    Abort,
    Claim,
    Claims,
    Commit,
    Inquire,
    Joint,
    Offer,
    OffersStale,
    Phase,
    PortOffer,
    Reconciled,
    Release,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
    ToAgent,
    ToOrchestrator,
)
from substrate.model import Profile

__all__ = [
    "CodecError",
    "constraints_from_pb",
    "constraints_to_pb",
    "data_plane_from_pb",
    "data_plane_to_pb",
    "domain_from_pb",
    "domain_to_pb",
    "fill_to_agent",
    "fill_to_orchestrator",
    "path_from_pb",
    "path_to_pb",
    "prep_from_pb",
    "prep_to_pb",
    "profile_from_pb",
    "profile_to_pb",
    "refusal_from_pb",
    "refusal_to_pb",
    "segment_from_pb",
    "segment_to_pb",
    "to_agent_from_pb",
    "to_agent_to_pb",
    "to_orchestrator_from_pb",
    "to_orchestrator_to_pb",
    "vlans_from_pb",
    "vlans_to_pb",
    "window_from_pb",
    "window_to_pb",
]


def to_agent_to_pb(message: ToAgent) -> pb.OrchestratorMessage:
    """One message for an agent."""
    found = pb.OrchestratorMessage()
    fill_to_agent(found, message)
    return found


def fill_to_agent(found: pb.OrchestratorMessage, message: ToAgent) -> None:
    """Writes a message for an agent where it is to be: a message within a message is copied."""
    match message:
        case ReservationPrep():
            _fill_prep(found.reservation_prep, message)
        case Commit():
            _fill_ids(found.commit, message)
        case Abort():
            _fill_ids(found.abort, message)
        case Release():
            _fill_ids(found.release, message)
        case ReqOffers():
            found.req_offers.CopyFrom(_req_offers_to_pb(message))
        case Claims():
            found.claims.CopyFrom(_claims_to_pb(message))


def to_agent_from_pb(message: pb.OrchestratorMessage) -> ToAgent:
    """The inverse of to_agent_to_pb. Raises CodecError."""
    match message.WhichOneof("kind"):
        case "req_offers":
            return _req_offers_from_pb(message.req_offers)
        case "reservation_prep":
            return prep_from_pb(message.reservation_prep)
        case "commit":
            return Commit(*_ids(message.commit))
        case "abort":
            return Abort(*_ids(message.abort))
        case "release":
            return Release(*_ids(message.release))
        case "claims":
            return _claims_from_pb(message.claims)
        case None:
            raise CodecError("kind", "nothing", "a message that this version knows")


def to_orchestrator_to_pb(message: ToOrchestrator) -> pb.AgentMessage:
    """One message for an orchestrator."""
    found = pb.AgentMessage()
    fill_to_orchestrator(found, message)
    return found


def fill_to_orchestrator(found: pb.AgentMessage, message: ToOrchestrator) -> None:
    """Writes a message for an orchestrator where it is to be."""
    match message:
        case ReservationResp():
            _fill_resp(found.reservation_resp, message)
        case SendOffers():
            _fill_send_offers(found.send_offers, message)
        case OffersStale(windows):
            found.offers_stale.SetInParent()
            for window in windows:
                found.offers_stale.windows.add(start_s=window.start_s, end_s=window.end_s)
        case Inquire(transaction_id, part_id, reservation_id):
            inquire = found.inquire
            inquire.transaction_id, inquire.part_id = transaction_id, part_id
            inquire.reservation_id = reservation_id
        case Reconciled(agent_epoch, claims_id):
            found.reconciled.agent_epoch = agent_epoch
            found.reconciled.claims_id = claims_id


def to_orchestrator_from_pb(message: pb.AgentMessage) -> ToOrchestrator:
    """The inverse of to_orchestrator_to_pb. Raises CodecError."""
    match message.WhichOneof("kind"):
        case "send_offers":
            return _send_offers_from_pb(message.send_offers)
        case "offers_stale":
            windows = message.offers_stale.windows
            return OffersStale(tuple(window_from_pb(window) for window in windows))
        case "reservation_resp":
            return _resp_from_pb(message.reservation_resp)
        case "inquire":
            return Inquire(*_ids(message.inquire), message.inquire.reservation_id)
        case "reconciled":
            return Reconciled(message.reconciled.agent_epoch, message.reconciled.claims_id)
        case None:
            raise CodecError("kind", "nothing", "a message that this version knows")


def prep_to_pb(prep: ReservationPrep) -> pb.ReservationPrep:
    """A ReservationPrep."""
    message = pb.ReservationPrep()
    _fill_prep(message, prep)
    return message


def prep_from_pb(message: pb.ReservationPrep) -> ReservationPrep:
    """The inverse of prep_to_pb. Raises CodecError."""
    transaction_id, part_id = _ids(message)
    reservation_id = message.reservation_id
    if not reservation_id:
        raise CodecError("reservation_id", "nothing", "the id of a reservation")
    # Sliced, as to go through what repeats one by one takes several times as long.
    segments = tuple([segment_from_pb(segment) for segment in message.segments[:]])
    graph = (
        message.graph.SerializeToString(deterministic=True) if message.HasField("graph") else b""
    )
    if not segments and not graph:
        raise CodecError("segments", "none", "one or more, or a graph")
    return ReservationPrep(
        transaction_id,
        part_id,
        reservation_id,
        message.version,
        segments,
        window_from_pb(message.window),
        message.orchestrator_id,
        message.deadline_ms,
        message.traceparent,
        _joint_from_pb(message) if message.HasField("joint") else None,
        graph,
        tuple(message.awaits[:]),
    )


def _joint_from_pb(message: pb.ReservationPrep) -> Joint:
    joint = message.joint
    if not joint.joint_id:
        raise CodecError("joint.joint_id", "nothing", "an id")
    members = tuple((each.reservation_id, each.version) for each in joint.members)
    if (message.reservation_id, message.version) not in members or len(members) < 2:
        raise CodecError("joint.members", len(members), "this part's reservation, and others")
    if len(dict(members)) < len(members):
        raise CodecError("joint.members", len(members), "each reservation once")
    return Joint(joint.joint_id, members)


def _fill_prep(message: pb.ReservationPrep, prep: ReservationPrep) -> None:
    message.transaction_id = prep.transaction_id
    message.part_id = prep.part_id
    message.reservation_id = prep.reservation_id
    message.traceparent = prep.traceparent
    message.version = prep.version
    for segment in prep.segments:
        fill_segment(message.segments.add(), segment)
    message.window.start_s = prep.window.start_s
    message.window.end_s = prep.window.end_s
    message.orchestrator_id = prep.orchestrator_id
    message.deadline_ms = prep.deadline_ms
    if prep.joint is not None:
        message.joint.joint_id = prep.joint.joint_id
        for reservation_id, version in prep.joint.members:
            message.joint.members.add(reservation_id=reservation_id, version=version)
    if prep.graph:
        message.graph.MergeFromString(prep.graph)
    if prep.awaits:
        message.awaits.extend(prep.awaits)


def _fill_ids(found: pb.Commit | pb.Abort | pb.Release, message: Commit | Abort | Release) -> None:
    found.transaction_id = message.transaction_id
    found.part_id = message.part_id


def _req_offers_to_pb(message: ReqOffers) -> pb.ReqOffers:
    return pb.ReqOffers(
        query_id=message.query_id,
        window=window_to_pb(message.window),
        pairs=[pb.StpPair(ingress_stp=a, egress_stp=b) for a, b in message.pairs],
        bandwidth_bps=message.bandwidth_bps,
        directionality=directionality_to_pb(message.directionality),
        reservation_id=message.reservation_id,
        traceparent=message.traceparent,
        follow=message.follow,
        moved=message.moved,
        aggregate=message.aggregate,
    )


def _req_offers_from_pb(message: pb.ReqOffers) -> ReqOffers:
    return ReqOffers(
        query_id=message.query_id,
        window=window_from_pb(message.window),
        pairs=tuple((pair.ingress_stp, pair.egress_stp) for pair in message.pairs),
        bandwidth_bps=message.bandwidth_bps,
        directionality=directionality_from_pb(message.directionality),
        reservation_id=message.reservation_id,
        traceparent=message.traceparent,
        follow=message.follow,
        moved=tuple(message.moved),
        aggregate=message.aggregate,
    )


def _fill_send_offers(message: pb.SendOffers, sent: SendOffers) -> None:
    message.query_id = sent.query_id
    message.domain = sent.domain
    for offer in sent.offers:
        message.offers.add(
            token=offer.token,
            ingress_stp=offer.ingress_stp,
            egress_stp=offer.egress_stp,
            profile=profile_to_pb(offer.profile),
            latency_us=offer.latency_us,
            price=offer.price,
            valid_until_ms=offer.valid_until_ms,
        )
    for port in sent.ports:
        filled = message.ports.add(stp=port.stp, profile=profile_to_pb(port.profile))
        fill_vlans(filled.vlans, port.vlans)
    message.followed = sent.followed
    if sent.aggregate:
        message.aggregate.MergeFromString(sent.aggregate)


def _send_offers_from_pb(message: pb.SendOffers) -> SendOffers:
    # Many are alike, and an orchestrator remembers them for long.
    alike: dict[Profile, Profile] = {}
    offers = [
        Offer(
            offer.token,
            offer.ingress_stp,
            offer.egress_stp,
            alike.setdefault(profile := profile_from_pb(offer.profile), profile),
            not_negative("latency_us", offer.latency_us),
            not_negative("price", offer.price),
            offer.valid_until_ms,
        )
        for offer in message.offers
    ]
    ports = [
        PortOffer(port.stp, profile_from_pb(port.profile), vlans_from_pb(port.vlans))
        for port in message.ports
    ]
    told = message.HasField("aggregate")
    return SendOffers(
        message.query_id,
        message.domain,
        tuple(offers),
        tuple(ports),
        message.followed,
        message.aggregate.SerializeToString(deterministic=True) if told else b"",
    )


def _fill_resp(message: pb.ReservationResp, resp: ReservationResp) -> None:
    message.transaction_id = resp.transaction_id
    message.part_id = resp.part_id
    message.phase = resp.phase._value_  # type: ignore[assignment]
    message.ok = resp.ok
    if resp.refusal is not None:
        message.refusal.CopyFrom(refusal_to_pb(resp.refusal))
    message.agent_epoch = resp.agent_epoch


_PHASES: dict[int, Phase] = {phase.value: phase for phase in Phase}


def _resp_from_pb(message: pb.ReservationResp) -> ReservationResp:
    phase = _PHASES.get(message.phase)
    if phase is None:
        raise CodecError("phase", message.phase, ", ".join(phase.name for phase in Phase))
    transaction_id, part_id = _ids(message)
    refusal = refusal_from_pb(message.refusal) if message.HasField("refusal") else None
    return ReservationResp(transaction_id, part_id, phase, message.ok, refusal, message.agent_epoch)


def _claims_to_pb(message: Claims) -> pb.Claims:
    return pb.Claims(
        agent_epoch=message.agent_epoch,
        claims_id=message.claims_id,
        page=message.page,
        pages=message.pages,
        claims=[pb.Claim(prep=prep_to_pb(c.prep), told=c.told) for c in message.claims],
    )


def _claims_from_pb(message: pb.Claims) -> Claims:
    if not message.claims_id:
        raise CodecError("claims_id", "nothing", "the id of a snapshot")
    if not message.page < message.pages:
        raise CodecError("page", message.page, f"0 to {message.pages - 1}, pages being more than 0")
    found = tuple(Claim(prep_from_pb(claim.prep), claim.told) for claim in message.claims)
    return Claims(message.agent_epoch, message.claims_id, message.page, message.pages, found)


def _ids(
    message: pb.ReservationPrep
    | pb.Commit
    | pb.Abort
    | pb.Release
    | pb.Inquire
    | pb.ReservationResp,
) -> tuple[str, str]:
    transaction_id, part_id = message.transaction_id, message.part_id
    if not transaction_id:
        raise CodecError("transaction_id", "nothing", "the id of a transaction")
    if not part_id:
        raise CodecError("part_id", "nothing", "the id of a part")
    return transaction_id, part_id
