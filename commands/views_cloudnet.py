"""How CloudNets look on a terminal: their mapping, their VNodes' states, and what would move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from braid.requests import state_name
from braid.units import format_duration, format_time, format_volume
from braid.v1 import cloudnets_pb2, common_pb2, rdl_pb2, reservations_pb2 as pb
from commands.carried import carried_line
from commands.drawing_text import route_lines
from commands.mapping import Mapping, VNode, of_plan, of_record, quantity
from commands.views_progress import add_progress
from commands.views_refused import last_refused_rows, refused_rows
from commands.words import styled, vlans_text, window_text

MICROS, HOUR_S = 1_000_000, 3_600
TOLD = " of what providers told"
HOSTS_DECIDE = f"{TOLD}; hosts decide"
STYLES = {
    "running": "green",
    "failed": "red",
    "preparing": "yellow",
    "defined": "yellow",
    "paused": "yellow",
}


def plan_view(plan: pb.PlanResponse, asked: pb.CloudNet) -> RenderableType:
    """Where everything of ``asked`` would be, or why it cannot be."""
    if not plan.feasible:
        proof = [Text(proof_text(plan.proof, TOLD))] if plan.proof.status else []
        return Group(styled("it does not fit", "red"), *refused_rows(plan), *proof)
    rows: list[RenderableType] = [
        *_mapping_rows(of_plan(plan, asked)),
        Text(proof_text(plan.proof, HOSTS_DECIDE)),
    ]
    if plan.proof.HasField("price_micros"):
        rows.append(Text(f"price {price_text(plan.proof, plan.window)}"))
    if plan.depends_on_blind:
        rows.append(Text("A blind domain is on the way: only a reservation can tell if it agrees."))
    return Group(*rows)


def record_view(
    record: pb.ReservationRecord,
    state: cloudnets_pb2.CloudNetState | None = None,
    unknown: str = "",
) -> RenderableType:
    """A CloudNet: what was asked, where it is, its ``state``, or why that is ``unknown``."""
    criteria = record.criteria
    facts = Table.grid(padding=(0, 2))
    facts.add_row("reservation", record.reservation_id)
    facts.add_row("CloudNet", Text(criteria.cloudnet.graph.name))
    facts.add_row("state", styled(state_name(record.state)))
    facts.add_row("window", window_text(criteria.window))
    facts.add_row("objective", Text(criteria.cloudnet.objective or "cost"))
    if record.proof.status:
        facts.add_row("mapping", Text(proof_text(record.proof, TOLD)))
    if record.proof.HasField("price_micros"):
        facts.add_row("price", Text(price_text(record.proof, criteria.window)))
    add_progress(facts, record, placed=bool(record.parts))
    rows: list[RenderableType] = [facts]
    if record.parts:
        rows += _mapping_rows(of_record(record, state))
    if state is not None:
        rows += _completed_rows(state.completed)
    if unknown:
        rows.append(Text(f"the state of its VNodes is not known: {unknown}"))
    rows += [Text(carried_line(each)) for each in record.carried]
    rows += last_refused_rows(record)
    broken = dict.fromkeys(f"{part.domain}: {part.reason}" for part in record.parts if part.reason)
    rows += [styled(line, "red") for line in broken]
    return Group(*rows)


def state_view(state: cloudnets_pb2.CloudNetState) -> RenderableType:
    """What a provider alone tells of its part."""
    mapping = of_record(pb.ReservationRecord(), state)
    return Group(*_mapping_rows(mapping), *_completed_rows(state.completed))


def power_view(state: cloudnets_pb2.CloudNetState, only: Iterable[str]) -> RenderableType:
    """The VNodes named, or all."""
    wanted = set(only)
    bare = cloudnets_pb2.CloudNetState(
        vnodes=[each for each in state.vnodes if not wanted or each.vnode in wanted]
    )
    return vnodes_view(of_record(pb.ReservationRecord(), bare).vnodes)


def list_view(records: Iterable[pb.ReservationRecord]) -> Table:
    """One line a CloudNet."""
    names = ("reservation", "state", "CloudNet", "VNodes", "providers", "start", "for")
    table = Table(*names, box=None)
    for record in records:
        mapping, window = of_record(record), record.criteria.window
        domains = [part.domain for part in record.parts if part.vnodes]
        table.add_row(
            record.reservation_id,
            styled(state_name(record.state)),
            Text(mapping.name),
            str(len(mapping.vnodes)),
            Text(", ".join(dict.fromkeys(domains))),
            format_time(window.start_s),
            format_duration(window.end_s - window.start_s),
        )
    return table


def what_if_view(answer: cloudnets_pb2.WhatIfResponse) -> RenderableType:
    """What it would cost, what is gained, and which VNodes would move."""
    count = len(answer.moves)
    gain = f"{answer.freed} of {answer.hosts} hosts would be free, {answer.wanted} were asked for"
    cost = (
        f"{count} VNode{'s' * (count != 1)} would move, {format_volume(round(answer.cost))} copied"
    )
    bound = f"no way copies less than {format_volume(round(answer.bound))}"
    short = answer.freed < answer.wanted
    rows: list[RenderableType] = [
        styled(gain, "red" if short else "green"),
        Text(f"{cost}; {bound}"),
    ]
    return Group(*rows, *([moves_view(answer.moves)] if answer.moves else []))


def migrated_view(answer: cloudnets_pb2.MigrateResponse) -> RenderableType:
    """What was moved; of hosts that were to be freed, how many are free."""
    rows: list[RenderableType] = []
    if answer.wanted:
        gain = f"{answer.freed} of {answer.hosts} hosts are free, {answer.wanted} were asked for"
        rows.append(styled(gain, "red" if answer.freed < answer.wanted else "green"))
    rows.append(moves_view(answer.moves) if answer.moves else Text("nothing was moved"))
    return Group(*rows)


def moves_view(moves: Iterable[cloudnets_pb2.VNodeMove]) -> Table:
    """One line a VNode; hosts as far as they are told."""
    return _telling(
        {
            "reservation": Text(each.reservation_id),
            "VNode": Text(each.vnode),
            "from": Text(each.source),
            "to": Text(each.target),
            "copied": Text(format_volume(round(each.cost)) if each.cost else ""),
        }
        for each in moves
    )


def vnodes_view(vnodes: Iterable[VNode]) -> Table:
    """One line a VNode."""
    return _telling(
        {
            "VNode": Text(each.id),
            "provider": Text(each.domain),
            "state": styled(each.state, STYLES.get(each.state, "")),
            "has": Text(each.amounts),
            "host": Text(each.host),
            "why": styled(each.reason, "red"),
        }
        for each in vnodes
    )


def _telling(lines: Iterable[dict[str, Text]]) -> Table:
    """A table without the columns that say nothing."""
    rows = list(lines)
    shown = [name for name in rows[0] if any(row[name].plain for row in rows)] if rows else []
    table = Table(*shown, box=None)
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def proof_text(proof: pb.MappingProof, basis: str = "") -> str:
    """ "optimal: objective 12.5, bound 12.5, gap 0.00%, scope whole of what providers told"."""
    if not proof.status:
        return "how good the mapping is was not told"
    scope = f"scope {proof.proof_scope or 'not told'}{basis}"
    if isfinite(proof.objective):
        found = f"objective {proof.objective:g}, bound {proof.bound:g}, gap {proof.gap:.2%}"
        return f"{proof.status}: {found}, {scope}"
    # Without a mapping there is nothing that objective and gap could be of.
    none = f"no mapping, bound {proof.bound:g}" if isfinite(proof.bound) else "there is no mapping"
    return f"{proof.status}: {none}, {scope}"


def price_text(proof: pb.MappingProof, window: common_pb2.Window) -> str:
    """ "0.62 per hour, 1.24 in all; more for what is not told: ulm"."""
    hourly = proof.price_micros / MICROS
    whole = hourly * (window.end_s - window.start_s) / HOUR_S
    more = ", ".join(proof.unpriced_domains)
    untold = f"; more for what is not told: {more}" if more else ""
    return f"{hourly:g} per hour, {whole:g} in all{untold}"


def _mapping_rows(mapping: Mapping) -> Iterator[RenderableType]:
    yield vnodes_view(mapping.vnodes)
    if not mapping.vlinks:
        return
    table = Table("VLink", "joins", "bandwidth", "path (VLAN in domain VLAN)", box=None)
    for vlink in mapping.vlinks:
        name = [Text(vlink.id), Text(" - ".join(vlink.ends)), Text(vlink.bandwidth)]
        for line in route_lines(mapping, vlink):
            table.add_row(*name, Text(line))
            name = [Text()] * len(name)
    yield table


def _completed_rows(graph: rdl_pb2.Graph) -> Iterator[RenderableType]:
    """What others have completed, and who."""
    table = Table("completed", "", "", "by", box=None)
    holders: list[rdl_pb2.NetworkElement | rdl_pb2.NetworkInterface]
    holders = [*graph.elements, *graph.interfaces]
    for each in holders:
        for resource in each.resources:
            if resource.by:
                _add(table, each.id, resource.attribute, quantity(resource.amount), resource.by)
        for feature in each.features:
            if feature.by:
                _add(table, each.id, feature.attribute, _value_text(feature), feature.by)
    if table.rows:
        yield table


def _add(table: Table, *texts: str) -> None:
    table.add_row(*map(Text, texts))


def _value_text(feature: rdl_pb2.Feature) -> str:
    match feature.WhichOneof("value"):
        case "words":
            return " or ".join(feature.words.words)
        case "vlans":
            return vlans_text(feature.vlans.ranges)
    return quantity(feature.amount)
