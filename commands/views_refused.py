"""How a refusal looks: why, what stands in the way, and what would be granted instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from braid.units import format_bandwidth, format_time
from braid.v1 import common_pb2, reservations_pb2 as pb
from commands.words import rate_text, styled, volume_text, when_text, window_text
from rdl.units import Amount, readable
from rdl.vocabulary import STANDARD


def refused_rows(answer: pb.ReservationRecord | pb.PlanResponse) -> list[RenderableType]:
    """All that a refusal says; nothing when there is none."""
    rows = refusal_lines(answer.refusals)
    if any(refusal.HasField("short") for refusal in answer.refusals):
        rows += [Text("what is short:"), shortfalls_view(answer.refusals)]
    if answer.bottlenecks:
        rows += [Text("in the way:"), bottlenecks_view(answer.bottlenecks)]
    if answer.alternatives:
        rows += [Text("what would be granted now instead:")]
        for number, alternative in enumerate(answer.alternatives, start=1):
            rows += alternative_lines(number, alternative)
    return rows


def last_refused_rows(record: pb.ReservationRecord) -> list[RenderableType]:
    """What was refused last; nothing of what is over, and of what stands a change of it only."""
    if record.state in (pb.RESERVATION_STATE_CANCELLED, pb.RESERVATION_STATE_ENDED):
        return []
    rows = refused_rows(record)
    if rows and record.state == pb.RESERVATION_STATE_COMMITTED:
        return [Text("A change was refused, and it is as it was:"), *rows]
    return rows


def instead_view(answer: pb.PlanResponse) -> Group:
    """What would be granted in place of an alternative that can no longer be accepted."""
    return Group(*refused_rows(answer))


def refusal_lines(refusals: Iterable[common_pb2.Refusal]) -> list[RenderableType]:
    """Why not, one line each: where, what resource if the reason does not name it, and why."""
    lines: list[RenderableType] = []
    for refusal in refusals:
        # Many reasons begin with who says so.
        where = [] if refusal.reason.startswith(f"{refusal.domain} ") else [refusal.domain]
        if refusal.resource not in refusal.reason:
            where.append(refusal.resource)
        named = "".join(f"{name}: " for name in where if name)
        lines.append(Text.assemble(("no: ", "red"), named, refusal.reason))
    return lines


def shortfalls_view(refusals: Iterable[common_pb2.Refusal]) -> Table:
    """Which resource, where, how much of how much, and for which VNodes and VLinks; each once."""
    table = Table("where", "resource", "short", "of", "for", box=None)
    rows = dict.fromkeys(
        (
            each.where or refusal.where or refusal.domain,
            each.resource,
            _amount(each.resource, each.short, each.asked),
            _amount(each.resource, each.asked) if each.HasField("asked") else "",
            ", ".join(each.elements) or "all of it",
        )
        for refusal in refusals
        if refusal.HasField("short")
        for each in refusal.shortages or [refusal]
    )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _amount(attribute: str, value: int, beside: int = 0) -> str:
    """In the unit of the attribute; a number where it has none, such as hosts."""
    kind = STANDARD.kind_of(attribute)
    unit = STANDARD.unit_of(attribute) or (kind.unit if kind is not None else None)
    if unit is None:
        return str(value)
    return readable(Amount(value, unit), Amount(beside, unit) if beside else None)


def bottlenecks_view(bottlenecks: Iterable[pb.Bottleneck]) -> Table:
    """Where there is too little, how much, and when."""
    table = Table("domain", "where", "free", "when", box=None)
    for place in bottlenecks:
        table.add_row(
            Text(place.domain),
            Text(place.resource),
            "no VLAN" if place.label else format_bandwidth(place.free_bps),
            window_text(place.window) if place.HasField("window") else "",
        )
    return table


def alternative_lines(number: int, alternative: pb.Alternative) -> list[RenderableType]:
    """What changes; how much and when; and the command that accepts it, on a line of its own.

    Of a refused change there is none: it is asked for by another.
    """
    request = alternative.request
    rate = "" if request.HasField("cloudnet") else rate_text(request)
    pieces = [volume_text(request), rate, when_text(request)]
    terms = ", ".join(piece for piece in pieces if piece)
    least = " (the least change)" if alternative.least_change else ""
    changes = Text.assemble(f"{number}. {alternative.text}", (least, "green"))
    if not alternative.token:
        return [changes, Text(f"   {terms}")]
    until = format_time(alternative.expires_ms // 1000)
    return [
        changes,
        Text(f"   {terms}; can be accepted until {until}:"),
        styled(f"   braid reserve --accept {shlex.quote(alternative.token)}", "bold"),
    ]
