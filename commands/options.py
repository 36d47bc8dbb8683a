"""What plan and reserve can be told, and how it becomes a request."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from braid import requests
from braid.keywords import WishError
from commands.spelling import given

Source = Annotated[str | None, typer.Argument(help="STP where it begins, domain:port")]
Destination = Annotated[str | None, typer.Argument(help="STP where it ends, domain:port")]
Bandwidth = Annotated[
    str | None, typer.Argument(help="such as 10G, 2.5Gb/s, 400M; not needed with --volume")
]
MoreDestinations = Annotated[
    list[str] | None,
    typer.Option("--to", help="one more STP to join SOURCE with, at all of BANDWIDTH"),
]
Start = Annotated[
    str, typer.Option("--start", help='now, +10m, "tomorrow 06:00", "friday 18:00", ISO 8601')
]
End = Annotated[str | None, typer.Option("--end", help="a time, as --start")]
Duration = Annotated[
    str | None, typer.Option("--duration", help="such as 90m, 2h, 1d12h; an hour without --end")
]
SearchWindow = Annotated[
    str | None,
    typer.Option("--window", help="anywhere in it: a duration from --start, or a time it ends"),
]
AtLeast = Annotated[
    str | None, typer.Option("--at-least", help="any bandwidth from this one up to BANDWIDTH")
]
Volume = Annotated[
    str | None, typer.Option("--volume", help="data to move, such as 40TB, 1.5TiB, by --deadline")
]
Deadline = Annotated[
    str | None, typer.Option("--deadline", help="when --volume is moved: a time, as --start")
]
RateAtMost = Annotated[
    str | None, typer.Option("--rate-at-most", help="with --volume: most bandwidth at any time")
]
MaxPhases = Annotated[
    int | None,
    typer.Option(
        "--max-phases", help="with --volume: most phases, each of one rate, 1 to 64; else 16"
    ),
]
Soonest = Annotated[
    bool,
    typer.Option(
        "--soonest",
        help="with --volume: as soon as can be, not when and where it crowds others least",
    ),
]
Accept = Annotated[
    str | None,
    typer.Option("--accept", help="the token of an alternative, in place of all that it is about"),
]
Strategy = Annotated[
    str, typer.Option("--strategy", help="one of " + ", ".join(requests.STRATEGIES))
]
MaxPaths = Annotated[
    int | None, typer.Option("--max-paths", help="most paths to split over, 1 to 16; else 4")
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
Survive = Annotated[
    int | None,
    typer.Option("--survive", help="so many paths may be lost, 1 to 3, and enough remains"),
]
Remaining = Annotated[
    str | None, typer.Option("--remaining", help="what remains with --survive; half of it")
]
Disjoint = Annotated[
    str | None, typer.Option("--disjoint", help="what no two paths share then: link or domain")
]
Unidirectional = Annotated[
    bool, typer.Option("--unidirectional", help="reserve from source to destination only")
]
Movable = Annotated[
    bool,
    typer.Option(
        "--movable", help="it may be moved to let others in: until it starts, volumes also later"
    ),
]
RequestId = Annotated[
    str, typer.Option("--request-id", help="your id: the same one again is answered as before")
]
Description = Annotated[str, typer.Option("--description", help="a name for people")]
Patience = Annotated[
    int | None, typer.Option("--timeout", help="most seconds to negotiate, 1 to 600; else 30")
]
Detach = Annotated[bool, typer.Option("--detach", help="do not wait for the outcome")]
ReservationId = Annotated[str, typer.Argument(help="the id that reserve answered")]

BANDWIDTHS = ("bandwidth", "rate_at_most", "at_least", "min_share", "remaining")
UNIT_NEEDED_BPS = 1000
"""Below this a number alone is no bandwidth on the command line."""
ANSWERING = frozenset(inspect.signature(requests.acceptance).parameters)
WISHES = frozenset(
    name
    for build in (requests.reservation, requests.constraints)
    for name, parameter in inspect.signature(build).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
)
"""What may be said besides a token, and what may be said at all."""


def wishes(context: typer.Context) -> dict[str, Any]:
    """Keyword arguments of ``braid.requests.reservation``; of ``acceptance`` where one is accepted.

    Raises ValueError for what does not go together.
    """
    said = {name: value for name, value in context.params.items() if value is not None}
    rate = said.get("rate_at_most")
    if "accept" in said:
        _check_acceptance(context)
        return {name: value for name, value in said.items() if name in ANSWERING}
    if not {"source", "destination"} <= said.keys():
        raise ValueError("say SOURCE and DESTINATION, or --accept and a token")
    if rate is not None and "volume" not in said:
        raise WishError("{}: only together with {}", "rate_at_most", "volume")
    if rate is not None and "bandwidth" in said:
        raise WishError("{}: not together with {}", "rate_at_most", "bandwidth")
    for name in BANDWIDTHS:
        check_unit(name, said.get(name))
    wanted = {name: value for name, value in said.items() if name in WISHES}
    if rate is not None:
        wanted["bandwidth"] = rate
    if not wanted.keys() & {"end", "duration", "window", "volume", "deadline"}:
        wanted["duration"] = "1h"
    return wanted


def check_unit(name: str, bandwidth: str | None) -> None:
    """Raises WishError for a bandwidth of so few bit/s that its unit must have been forgotten."""
    number = (bandwidth or "").strip()
    if number.replace(".", "", 1).isdecimal() and float(number) < UNIT_NEEDED_BPS:
        possible = f"{number}G, {number}M, or {number}b/s if that is meant"
        raise WishError(f"{{}}: '{number}' has no unit; possible: {possible}", name)


def _check_acceptance(context: typer.Context) -> None:
    for name in context.params:
        about = name in WISHES - ANSWERING or name == "rate_at_most"
        if about and given(context, name):
            raise WishError("{}: not together with {}", "accept", name)
