"""How reservations, paths, refusals and domains look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from braid.requests import state_name
from braid.units import format_bandwidth, format_duration, format_time, format_volume
from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2
from commands import views_cloudnet
from commands.views_paths import (
    advice_lines,
    by_phase,
    moved_bytes,
    moves_view,
    paths_view,
    share_text,
)
from commands.views_progress import add_progress
from commands.views_refused import last_refused_rows, refused_rows
from commands.words import (
    data_plane_name,
    each_text,
    phase_text,
    rate_text,
    styled,
    vlans_text,
    volume_text,
    when_text,
    window_text,
)


def record_view(record: pb.ReservationRecord) -> RenderableType:
    """All that a person wants to know of one reservation."""
    if record.criteria.HasField("cloudnet"):
        return views_cloudnet.record_view(record)
    facts = Table.grid(padding=(0, 2))
    criteria = record.criteria
    facts.add_row("reservation", record.reservation_id)
    facts.add_row("state", styled(state_name(record.state)))
    asked = record.asked if record.HasField("asked") else criteria
    facts.add_row("from", asked.source)
    facts.add_row("to", "\n".join([asked.destination, *asked.more_destinations]))
    _add_terms(facts, asked, criteria.bandwidth_bps, criteria.window, record.paths)
    if criteria.movable:
        volume = bool(asked.flexibility.volume_bytes) and not record.modified
        facts.add_row("movable", "what lies ahead" if volume else "until it starts")
    add_progress(facts, record, placed=bool(record.paths))
    rows: list[RenderableType] = [facts]
    if record.paths:
        rows.append(paths_view(record.paths, criteria.window))
    rows += _next_rows(record)
    broken = dict.fromkeys(f"{part.domain}: {part.reason}" for part in record.parts if part.reason)
    rows += [styled(line, "red") for line in broken]
    return Group(*rows)


def _next_rows(record: pb.ReservationRecord) -> list[RenderableType]:
    """How to use it, or what would be granted; nothing of what is over."""
    usable = record.state == pb.RESERVATION_STATE_COMMITTED and bool(record.paths)
    return [*(advice_lines(record.advice) if usable else []), *last_refused_rows(record)]


def plan_view(plan: pb.PlanResponse, asked: pb.Reservation) -> RenderableType:
    """A dry run of what was asked."""
    if not plan.feasible:
        return Group(styled("it does not fit", "red"), *refused_rows(plan))
    rows: list[RenderableType] = []
    if asked.HasField("flexibility"):
        facts = Table.grid(padding=(0, 2))
        _add_terms(facts, asked, plan.bandwidth_bps, plan.window, plan.paths)
        rows.append(facts)
    rows += [paths_view(plan.paths, plan.window), *advice_lines(plan.advice)]
    if plan.moves:
        rows += [Text("What would be moved for it:"), moves_view(plan.moves)]
    if plan.depends_on_blind:
        rows.append(Text("A blind domain is on the way: only a reservation can tell if it agrees."))
    return Group(*rows)


def _add_terms(
    facts: Table,
    asked: pb.Reservation,
    bandwidth_bps: int,
    window: common_pb2.Window,
    paths: Sequence[pb.Path],
) -> None:
    """How much and when: as granted, beside what was asked where that bends."""
    wanted = {"bandwidth": rate_text(asked), "window": when_text(asked)}
    if volume := volume_text(asked):
        wanted["volume"] = volume
    if not (paths and asked.HasField("flexibility")):
        for name, text in wanted.items():
            facts.add_row(name, text)
        return
    most = "up to " if len(by_phase(paths, window)) > 1 else ""
    granted = {
        "bandwidth": most + format_bandwidth(bandwidth_bps) + each_text(asked),
        "window": window_text(window),
        "volume": format_volume(moved_bytes(paths, window)),
    }
    for name, text in wanted.items():
        facts.add_row(name, granted[name], styled(f"asked: {text}", "dim"))


def _to_text(criteria: pb.Reservation) -> str:
    more = len(criteria.more_destinations)
    return f"{criteria.destination} and {more} more" if more else criteria.destination


def list_view(records: Iterable[pb.ReservationRecord]) -> Table:
    """One line a reservation."""
    table = Table("reservation", "state", "from", "to", "bandwidth", "start", "for", box=None)
    for record in records:
        criteria = record.criteria
        rate = format_bandwidth(criteria.bandwidth_bps)
        graph = criteria.cloudnet.graph
        table.add_row(
            record.reservation_id,
            styled(state_name(record.state)),
            Text(f"CloudNet {graph.name}" if criteria.HasField("cloudnet") else criteria.source),
            _to_text(criteria),
            # A volume has no rate of its own before one is granted.
            rate if criteria.bandwidth_bps else volume_text(criteria),
            format_time(criteria.window.start_s),
            format_duration(criteria.window.end_s - criteria.window.start_s),
        )
    return table


def topology_view(answer: topology_pb2.GetTopologyResponse) -> RenderableType:
    """Domains and links."""
    domains = Table(
        "domain", "state", "kind", "offers", "least phase", "ports for users", "agent", box=None
    )
    for status in answer.domains:
        domain = status.domain
        ports = [port.stp for port in domain.ports if not port.remote_stp]
        blind = domain.visibility == common_pb2.VISIBILITY_BLIND
        domains.add_row(
            # As agents say them: text, never markup.
            Text(domain.name),
            domain_state(status),
            Text(domain.backend),
            "blind" if blind else "visible",
            phase_text(domain),
            Text(", ".join(ports)),
            Text(status.target + (f"  ({reason})" if (reason := domain_reason(status)) else "")),
        )
    links = Table("link", "", "capacity", "latency", box=None)
    for link in answer.links:
        links.add_row(
            Text(link.a_stp),
            Text(link.b_stp),
            format_bandwidth(link.capacity_bps),
            f"{link.latency_us / 1000:g} ms",
        )
    return Group(domains, Text(""), links)


def domain_state(status: topology_pb2.DomainStatus) -> Text:
    """ "up", "down", or "silent": connected, but left out because it does not answer."""
    if status.state != topology_pb2.DOMAIN_STATE_UP:
        return styled("down")
    return styled("silent" if _is_silent(status) else "up")


def domain_reason(status: topology_pb2.DomainStatus) -> str:
    """Why it is not used; empty when it is."""
    if not _is_silent(status):
        return status.reason
    again = "tried again now"
    if status.HasField("retry_at_ms"):
        again = f"asked again at {format_time(status.retry_at_ms // 1000)}"
    return f"{status.silences} questions in a row not answered in time; {again}"


def _is_silent(status: topology_pb2.DomainStatus) -> bool:
    broken = (topology_pb2.BREAKER_STATE_OPEN, topology_pb2.BREAKER_STATE_HALF_OPEN)
    return status.state == topology_pb2.DOMAIN_STATE_UP and status.breaker in broken


def availability_view(answer: topology_pb2.AvailabilityResponse) -> RenderableType:
    """Free bandwidth over time."""
    table = Table("from", "free", box=None)
    for step in answer.profile:
        table.add_row(format_time(step.start_s), format_bandwidth(step.bandwidth_bps))
    return Group(
        table,
        Text(f"VLANs free: {vlans_text(answer.ingress_vlans)} in, "
             f"{vlans_text(answer.egress_vlans)} out"),
    )  # fmt: skip


def event_text(event: pb.ReservationEvent) -> str:
    """One line for what happened; empty for what is not worth a line."""
    kind = event.WhichOneof("kind")
    body: Any = getattr(event, kind) if kind else None
    match kind:
        case "state_changed":
            word = f"state: {state_name(body.state)}"
            return word + (f" (version {body.version})" if body.version > 1 else "")
        case "paths_found":
            return f"paths: {body.count} candidates; " + "; ".join(body.routes[:4])
        case "offers_requested":
            return f"ReqOffers to {', '.join(body.domains)}"
        case "offers_received" if body.HasField("best_bps"):
            return f"SendOffers from {body.domain}: up to {format_bandwidth(body.best_bps)}"
        case "offers_received":
            return f"no offers from {body.domain}: left out"
        case "planned":
            shares = [share_text(path) for path in body.paths]
            return f"plan {body.round}: {'; '.join(shares) or 'no circuits between domains'}"
        case "prepare_sent":
            return f"ReservationPrep to {', '.join(body.domains)}"
        case "prepare_answered" if body.held:
            return f"{body.domain} holds its part"
        case "prepare_answered":
            return f"{body.domain} refuses: {body.refusal.reason}"
        case "decided":
            return f"decision: {body.decision}"
        case "part_settled":
            return f"{body.domain}: {body.outcome.lower()}"
        case "settled_by_hand":
            why = f": {body.reason}" if body.reason else ""
            word = body.decision.lower().replace("_", "-")
            return f"{body.domain}: settled by hand, {word}, by {body.operator}{why}"
        case "moved":
            shares = [share_text(path) for path in body.paths]
            when = window_text(body.window)
            return f"moved to let another in (version {body.version}), {when}: " + "; ".join(shares)
        case "data_plane_changed":
            reason = f" ({body.reason})" if body.reason else ""
            return f"{body.domain} data plane: {data_plane_name(body.state)}{reason}"
    return ""
