"""plan, reserve, list, show, watch, modify, migrate, cancel."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from braid import requests
from braid.client import Client, Conflict
from braid.keywords import WishError, read
from braid.units import parse_duration
from braid.v1 import reservations_pb2 as pb
from commands.context import (
    DEADLINE,
    DEFAULT_TARGET,
    REFUSED,
    AsJson,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    Target,
    connected,
    console,
    fail,
    print_json,
)
from commands.live import follow
from commands.options import (
    Accept,
    AtLeast,
    Avoid,
    Bandwidth,
    Deadline,
    Description,
    Destination,
    DestinationVlans,
    Detach,
    Disjoint,
    Duration,
    End,
    Ero,
    MaxDomains,
    MaxLatency,
    MaxPaths,
    MaxPhases,
    MaxSpread,
    MinShare,
    MoreDestinations,
    Movable,
    Patience,
    RateAtMost,
    Remaining,
    RequestId,
    ReservationId,
    SearchWindow,
    Soonest,
    Source,
    SourceVlans,
    Start,
    Strategy,
    Survive,
    Unidirectional,
    Via,
    Volume,
    check_unit,
    wishes,
)
from commands.views import event_text, list_view, plan_view, record_view
from commands.views_refused import instead_view


def plan(
    context: typer.Context,
    source: Source,
    destination: Destination,
    bandwidth: Bandwidth = None,
    more_destinations: MoreDestinations = None,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
    window: SearchWindow = None,
    at_least: AtLeast = None,
    volume: Volume = None,
    deadline: Deadline = None,
    rate_at_most: RateAtMost = None,
    max_phases: MaxPhases = None,
    soonest: Soonest = False,
    strategy: Strategy = "auto",
    max_paths: MaxPaths = None,
    min_share: MinShare = None,
    max_latency: MaxLatency = None,
    max_latency_spread: MaxSpread = None,
    max_domains: MaxDomains = None,
    via: Via = None,
    avoid: Avoid = None,
    ero: Ero = None,
    source_vlans: SourceVlans = "",
    destination_vlans: DestinationVlans = "",
    survive: Survive = None,
    remaining: Remaining = None,
    disjoint: Disjoint = None,
    unidirectional: Unidirectional = False,
    movable: Movable = False,
    timeout_s: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Tell what reserve would do now, or why not; hold nothing. Exit 3: it does not fit."""
    with connected(target, insecure, ca, cert, key, context) as client:
        wanted = wishes(context)
        answer: pb.PlanResponse = client.plan(**wanted)
        asked = requests.reservation(**wanted)
    print_json(answer) if as_json else console().print(plan_view(answer, asked))
    if not answer.feasible:
        raise typer.Exit(REFUSED)


def reserve(
    context: typer.Context,
    source: Source = None,
    destination: Destination = None,
    bandwidth: Bandwidth = None,
    more_destinations: MoreDestinations = None,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
    window: SearchWindow = None,
    at_least: AtLeast = None,
    volume: Volume = None,
    deadline: Deadline = None,
    rate_at_most: RateAtMost = None,
    max_phases: MaxPhases = None,
    soonest: Soonest = False,
    accept: Accept = None,
    strategy: Strategy = "auto",
    max_paths: MaxPaths = None,
    min_share: MinShare = None,
    max_latency: MaxLatency = None,
    max_latency_spread: MaxSpread = None,
    max_domains: MaxDomains = None,
    via: Via = None,
    avoid: Avoid = None,
    ero: Ero = None,
    source_vlans: SourceVlans = "",
    destination_vlans: DestinationVlans = "",
    survive: Survive = None,
    remaining: Remaining = None,
    disjoint: Disjoint = None,
    unidirectional: Unidirectional = False,
    movable: Movable = False,
    description: Description = "",
    request_id: RequestId = "",
    timeout_s: Patience = None,
    detach: Detach = False,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Reserve a circuit: all of it or nothing. Exit 3: it was refused, with the reason."""
    with connected(target, insecure, ca, cert, key, context) as client:
        wanted = wishes(context)
        # Detached, so that it can be watched meanwhile.
        call = client.reserve if accept is None else partial(client.accept, accept)
        try:
            record: pb.ReservationRecord = call(**{**wanted, "detach": True})
        except Conflict as error:
            if error.instead is not None:
                print_json(error.instead) if as_json else console().print(
                    instead_view(error.instead)
                )
            raise
        if not detach:
            record = _followed(client, record, quiet=as_json)
    print_json(record) if as_json else console().print(record_view(record))
    if record.state == pb.RESERVATION_STATE_FAILED:
        raise typer.Exit(REFUSED)


def list_(
    context: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="only these, such as committed")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="only these: circuit or cloudnet; both when not said")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", help="most to show", min=1)] = 100,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """List reservations, newest first."""
    found = pb.ListResponse()
    with connected(target, insecure, ca, cert, key, context) as client:
        while len(found.reservations) < limit:
            size = min(limit - len(found.reservations), 1000)
            page: pb.ListResponse = client.list(state or (), size, found.next_page_token, kind=kind)
            found.reservations.extend(page.reservations)
            found.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
    print_json(found) if as_json else console().print(list_view(found.reservations))


def show(
    reservation_id: ReservationId,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Show one reservation: paths, VLANs hop by hop, the state of its data plane."""
    with connected(target, insecure, ca, cert, key) as client:
        record: pb.ReservationRecord = client.get(reservation_id)
    print_json(record) if as_json else console().print(record_view(record))


def watch(
    reservation_id: Annotated[str, typer.Argument(help="one reservation; all when left out")] = "",
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="end when nothing is negotiated for it")
    ] = False,
    after: Annotated[int, typer.Option("--after", help="only events after this sequence")] = 0,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Print every change as it happens, one line each, until Ctrl-C."""
    with connected(target, insecure, ca, cert, key) as client:
        events = client.watch(reservation_id, after_sequence=after, until_decided=until_decided)
        try:
            for event in events:
                if as_json:
                    print_json(event)
                elif line := event_text(event):
                    prefix = "" if reservation_id else f"{event.reservation_id}  "
                    typer.echo(f"{prefix}{line}")
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def modify(
    context: typer.Context,
    reservation_id: ReservationId,
    bandwidth: Annotated[str | None, typer.Option("--bandwidth", help="the new one")] = None,
    end: End = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="the new length, from the old start")
    ] = None,
    request_id: RequestId = "",
    timeout_s: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Change bandwidth or end: the new version, or the old one stands. Exit 3: it was refused."""
    with connected(target, insecure, ca, cert, key, context) as client:
        if bandwidth is None and end is None and duration is None:
            raise WishError("say {}, {} or {}", "bandwidth", "end", "duration")
        check_unit("bandwidth", bandwidth)
        wanted = _new_end(client, reservation_id, end, duration)
        record: pb.ReservationRecord = client.modify(
            reservation_id,
            bandwidth=bandwidth,
            end=wanted,
            request_id=request_id,
            timeout_s=timeout_s,
        )
    print_json(record) if as_json else console().print(record_view(record))
    if not record.modified:
        raise typer.Exit(REFUSED)


def migrate(
    context: typer.Context,
    reservation_id: ReservationId,
    via: Via = None,
    avoid: Avoid = None,
    ero: Ero = None,
    at: Annotated[
        str | None, typer.Option("--at", help="when, as --start; at once when not said")
    ] = None,
    request_id: RequestId = "",
    timeout_s: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Move a live circuit to other paths, new before old: all of it or not. Exit 3: refused."""
    with connected(target, insecure, ca, cert, key, context) as client:
        limits = client.get(reservation_id).criteria.constraints
        for kept, given in (
            (limits.via_domains, via),
            (limits.avoid_domains, avoid),
            (limits.ero, ero),
        ):
            if given is not None:
                kept[:] = given
        record: pb.ReservationRecord = client.modify(
            reservation_id, limits=limits, at=at, request_id=request_id, timeout_s=timeout_s
        )
    print_json(record) if as_json else console().print(record_view(record))
    if not record.modified:
        raise typer.Exit(REFUSED)


def cancel(
    reservation_id: ReservationId,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Give a reservation back, everywhere; a domain that is away is told when it returns."""
    with connected(target, insecure, ca, cert, key) as client:
        record: pb.ReservationRecord = client.cancel(reservation_id)
    print_json(record) if as_json else console().print(record_view(record))


def _followed(client: Client, record: pb.ReservationRecord, *, quiet: bool) -> pb.ReservationRecord:
    try:
        return follow(client, record, quiet=quiet)
    except KeyboardInterrupt:
        name = record.reservation_id
        fail(f"{name} is still negotiated: braid watch {name}, or braid cancel {name}", DEADLINE)


def _new_end(
    client: Client, reservation_id: str, end: str | None, duration: str | None
) -> str | int | None:
    if duration is None:
        return end
    if end is not None:
        raise WishError("{}: not together with {}", "end", "duration")
    record: pb.ReservationRecord = client.get(reservation_id)
    return record.criteria.window.start_s + read("duration", parse_duration, duration)
