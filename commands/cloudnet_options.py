"""What the commands about CloudNets can be told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from braid import requests
from braid.v1 import reservations_pb2 as pb
from commands.context import USAGE, fail
from commands.descriptions import Form

CloudNetId = Annotated[
    str, typer.Argument(metavar="ID", help="the CloudNet's reservation, as create answered")
]
VNodeId = Annotated[str, typer.Argument(metavar="VNODE", help="the VNode, as in its description")]
VNodes = Annotated[
    list[str] | None, typer.Argument(metavar="[VNODE]...", help="these; all when none is named")
]
AtEither = Annotated[
    str,
    typer.Option(
        "--target",
        envvar="BRAID_TARGET",
        help="host:port of the orchestrator, or of one provider's agent for its operators",
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        help="what the mapping is to be: load, energy, cost or migration; cost when not said",
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="VNODE=DOMAIN", help="this VNode at this provider; repeatable"),
]
Anew = Annotated[
    list[str] | None,
    typer.Option(
        "--anew",
        metavar="VNODE",
        help="begins from its image where it changes its provider, instead of being carried;"
        " repeatable",
    ),
]
MaxLatency = Annotated[
    str | None,
    typer.Option("--max-latency", help="most latency of a circuit between providers: 50ms"),
]
Via = Annotated[
    list[str] | None, typer.Option("--via", help="a domain that every circuit crosses; repeatable")
]
Avoid = Annotated[
    list[str] | None,
    typer.Option("--avoid", help="a domain that no circuit crosses, nor a VNode is at; repeatable"),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="until all its VNodes run, and its VLinks carry")
]
Draw = Annotated[bool, typer.Option("--draw", help="draw the mapping in the terminal")]
Png = Annotated[
    Path | None,
    typer.Option("--png", metavar="FILE", help="draw the mapping into this file, PNG or .svg"),
]
As = Annotated[
    Form | None,
    typer.Option("--as", help="print it as its providers completed it, and nothing else"),
]
Free = Annotated[
    str, typer.Option("--free", help="the share of its hosts that is to be free, such as 20%")
]


def placing(words: Iterable[str] | None) -> dict[str, str]:
    """Providers by VNode, from "VNODE=DOMAIN". Raises ValueError."""
    found: dict[str, str] = {}
    for word in words or ():
        vnode, _, domain = word.partition("=")
        if not vnode or not domain:
            raise ValueError(f"--at: given '{word}', possible: VNODE=DOMAIN")
        if found.setdefault(vnode, domain) != domain:
            raise ValueError(f"--at: VNode '{vnode}' at {found[vnode]} and at {domain}")
    return found


def changed(
    limits: pb.Constraints,
    max_latency: str | None,
    via: Iterable[str] | None,
    avoid: Iterable[str] | None,
) -> bool:
    """Whether anything is said; it is written into ``limits``. Raises ValueError."""
    said = requests.constraints(max_latency=max_latency, via=via or (), avoid=avoid or ())
    if max_latency is not None:
        limits.max_latency_us = said.max_latency_us
    if via is not None:
        limits.via_domains[:] = said.via_domains
    if avoid is not None:
        limits.avoid_domains[:] = said.avoid_domains
    return any(each is not None for each in (max_latency, via, avoid))


def check_forms(
    as_json: bool, draw: bool = False, png: Path | None = None, as_: Form | None = None
) -> None:
    """Ends the command where what it is to print does not go together."""
    if as_ is not None and (as_json or draw or png is not None):
        fail("--as prints the description alone: possible without --json, --draw, --png", USAGE)
    if draw and as_json:
        fail("--draw: not together with --json; possible: --png", USAGE)
