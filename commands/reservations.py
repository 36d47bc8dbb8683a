"""plan, reserve, list, show, watch, modify, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from braid import requests
from braid.client import Client
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
from commands.views import event_text, list_view, plan_view, record_view

Source = Annotated[str, typer.Argument(help="STP where it begins, domain:port")]
Destination = Annotated[str, typer.Argument(help="STP where it ends, domain:port")]
Bandwidth = Annotated[str, typer.Argument(help="such as 10G, 2.5Gb/s, 400M")]
Start = Annotated[
    str, typer.Option("--start", help='now, +10m, "tomorrow 06:00", "friday 18:00", ISO 8601')
]
End = Annotated[str | None, typer.Option("--end", help="a time, as --start")]
Duration = Annotated[str | None, typer.Option("--duration", help="such as 90m, 2h, 1d12h")]
Strategy = Annotated[
    str, typer.Option("--strategy", help="one of " + ", ".join(requests.STRATEGIES))
]
MaxPaths = Annotated[
    int | None, typer.Option("--max-paths", help="most paths to split over, 1 to 16")
]
MinShare = Annotated[str | None, typer.Option("--min-share", help="least bandwidth of one path")]
MaxLatency = Annotated[
    str | None, typer.Option("--max-latency", help="most latency of a path, such as 50ms")
]
MaxSpread = Annotated[
    str | None, typer.Option("--max-spread", help="most difference of latency between paths")
]
MaxDomains = Annotated[int | None, typer.Option("--max-domains", help="most domains on a path")]
Via = Annotated[list[str] | None, typer.Option("--via", help="a domain that every path crosses")]
Avoid = Annotated[list[str] | None, typer.Option("--avoid", help="a domain that no path crosses")]
Ero = Annotated[
    list[str] | None, typer.Option("--ero", help="an STP that the path passes, in this order")
]
SourceVlans = Annotated[str, typer.Option("--source-vlans", help="allowed there: 100-199,300")]
DestinationVlans = Annotated[str, typer.Option("--destination-vlans", help="allowed there")]
Unidirectional = Annotated[
    bool, typer.Option("--unidirectional", help="reserve from source to destination only")
]
RequestId = Annotated[
    str, typer.Option("--request-id", help="your id: the same one again is answered as before")
]
Description = Annotated[str, typer.Option("--description", help="a name for people")]
Patience = Annotated[
    int | None, typer.Option("--timeout", help="most seconds to negotiate, 1 to 600")
]
ReservationId = Annotated[str, typer.Argument(help="the id that reserve answered")]


def _wishes(**wishes: Any) -> dict[str, Any]:
    """Keyword arguments of ``braid.requests.reservation``; lists that were not given are empty."""
    if wishes["end"] is None and wishes["duration"] is None:
        wishes["duration"] = "1h"
    return {name: ([] if value is None and name in ("via", "avoid", "ero") else value)
            for name, value in wishes.items()}  # fmt: skip


def plan(
    source: Source,
    destination: Destination,
    bandwidth: Bandwidth,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
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
    unidirectional: Unidirectional = False,
    timeout: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Tell what reserve would do now, or why not; hold nothing. Exit 3: it does not fit."""
    with connected(target, insecure, ca, cert, key) as client:
        answer: pb.PlanResponse = client.plan(
            source,
            destination,
            bandwidth,
            **_wishes(
                start=start,
                end=end,
                duration=duration,
                strategy=strategy,
                max_paths=max_paths,
                min_share=min_share,
                max_latency=max_latency,
                max_latency_spread=max_latency_spread,
                max_domains=max_domains,
                via=via,
                avoid=avoid,
                ero=ero,
                source_vlans=source_vlans,
                destination_vlans=destination_vlans,
                unidirectional=unidirectional,
                timeout_s=timeout,
            ),
        )
    print_json(answer) if as_json else console().print(plan_view(answer))
    if not answer.feasible:
        raise typer.Exit(REFUSED)


def reserve(
    source: Source,
    destination: Destination,
    bandwidth: Bandwidth,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
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
    unidirectional: Unidirectional = False,
    description: Description = "",
    request_id: RequestId = "",
    timeout: Patience = None,
    detach: Annotated[bool, typer.Option("--detach", help="do not wait for the outcome")] = False,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Reserve a circuit: all of it or nothing. Exit 3: it was refused, with the reason."""
    with connected(target, insecure, ca, cert, key) as client:
        record: pb.ReservationRecord = client.reserve(
            source,
            destination,
            bandwidth,
            detach=True,
            **_wishes(
                start=start,
                end=end,
                duration=duration,
                strategy=strategy,
                max_paths=max_paths,
                min_share=min_share,
                max_latency=max_latency,
                max_latency_spread=max_latency_spread,
                max_domains=max_domains,
                via=via,
                avoid=avoid,
                ero=ero,
                source_vlans=source_vlans,
                destination_vlans=destination_vlans,
                unidirectional=unidirectional,
                description=description,
                request_id=request_id,
                timeout_s=timeout,
            ),
        )
        if not detach:
            record = _followed(client, record, quiet=as_json)
    print_json(record) if as_json else console().print(record_view(record))
    if record.state == pb.RESERVATION_STATE_FAILED:
        raise typer.Exit(REFUSED)


def list_(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="only these, such as committed")
    ] = None,
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
    with connected(target, insecure, ca, cert, key) as client:
        while len(found.reservations) < limit:
            size = min(limit - len(found.reservations), 1000)
            page: pb.ListResponse = client.list(state or (), size, found.next_page_token)
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
    reservation_id: ReservationId,
    bandwidth: Annotated[str | None, typer.Option("--bandwidth", help="the new one")] = None,
    end: End = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="the new length, from the old start")
    ] = None,
    request_id: RequestId = "",
    timeout: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Change bandwidth or end: the new version, or the old one stands. Exit 3: it was refused."""
    with connected(target, insecure, ca, cert, key) as client:
        wanted = _new_end(client, reservation_id, end, duration)
        record: pb.ReservationRecord = client.modify(
            reservation_id,
            bandwidth=bandwidth,
            end=wanted,
            request_id=request_id,
            timeout_s=timeout,
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
        raise ValueError("say either --end or --duration")
    record: pb.ReservationRecord = client.get(reservation_id)
    return record.criteria.window.start_s + parse_duration(duration)
