"""braid cloudnet start, stop, cycle, migrate, what-if: VNodes that run."""

from __future__ import annotations

from typing import Annotated

import typer

from braid.client import BraidError, Client
from braid.v1 import cloudnets_pb2
from commands.carried import add_when_running, carried_line
from commands.cloudnet_options import AtEither, CloudNetId, Free, VNodes
from commands.cloudnet_requests import failed
from commands.context import (
    DEFAULT_TARGET,
    REFUSED,
    UNEXPECTED,
    AsJson,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    connected,
    console,
    fail,
    print_json,
)
from commands.options import RequestId
from commands.views_cloudnet import migrated_view, power_view, what_if_view


def start(
    reservation_id: CloudNetId,
    vnodes: VNodes = None,
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Start VNodes that were stopped; answers when they run. Also at one provider's agent."""
    with connected(target, insecure, ca, cert, key) as client:
        state = client.power(reservation_id, "start", vnodes or ())
    _print(state, vnodes, as_json)


def stop(
    reservation_id: CloudNetId,
    vnodes: VNodes = None,
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Stop VNodes; they stay reserved, and stopped. Also at one provider's agent."""
    with connected(target, insecure, ca, cert, key) as client:
        state = client.power(reservation_id, "stop", vnodes or ())
    _print(state, vnodes, as_json)


def cycle(
    reservation_id: CloudNetId,
    vnodes: VNodes = None,
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Stop VNodes and start them again. Also at one provider's agent."""
    with connected(target, insecure, ca, cert, key) as client:
        state = client.power(reservation_id, "cycle", vnodes or ())
    _print(state, vnodes, as_json)


def migrate(
    reservation_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="the CloudNet's reservation")
    ] = "",
    vnode: Annotated[str, typer.Argument(metavar="[VNODE]", help="the VNode that moves")] = "",
    to: Annotated[str, typer.Option("--to", help="the provider that it moves to")] = "",
    host: Annotated[str, typer.Option("--host", help="the host of its provider instead")] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="with --to: it begins from its image there")
    ] = False,
    free: Annotated[
        str | None, typer.Option("--free", help="do what what-if tells for this share instead")
    ] = None,
    domain: Annotated[
        str, typer.Option("--domain", help="with --free: whose hosts; at its own agent not needed")
    ] = "",
    request_id: RequestId = "",
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Move a VNode that runs, to another provider or host, or free a share of a provider's hosts.

    Live where the hosts can: to another provider it runs on while what it has is copied, and
    stands still for the rest only. Else it is stopped, what is on its disk is carried, and it
    starts there. New or old and never neither. Also at one provider's agent, but for --to.
    Exit 3: --free, and not as many hosts are free.
    """
    carried: list[str] = []
    with connected(target, insecure, ca, cert, key) as client:
        if free is not None:
            if reservation_id or to or host or anew:
                raise ValueError("--free: not together with ID, VNODE, --to, --host and --anew")
            answer: cloudnets_pb2.MigrateResponse = client.free_hosts(
                free, domain, request_id=request_id
            )
        else:
            if not reservation_id or not vnode or domain or bool(to) is bool(host):
                raise ValueError("say ID, VNODE and --to or --host; or --free and --domain")
            answer = client.migrate(
                reservation_id, vnode, host=host, domain=to, anew=anew, request_id=request_id
            )
            if to and answer.moves and not as_json:
                carried = _carried(client, reservation_id, vnode)
    if as_json:
        print_json(answer)
    else:
        console().print(migrated_view(answer))
        for line in carried:
            typer.echo(line)
    if answer.freed < answer.wanted:
        raise typer.Exit(REFUSED)


def what_if(
    free: Free,
    domain: Annotated[
        str, typer.Argument(metavar="[DOMAIN]", help="the provider; at its own agent not needed")
    ] = "",
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Tell what it would cost a provider to free a share of its hosts, and what is gained.

    Changes nothing. Also at one provider's agent. Exit 3: as many cannot be freed.
    """
    with connected(target, insecure, ca, cert, key) as client:
        answer: cloudnets_pb2.WhatIfResponse = client.what_if(free, domain)
    print_json(answer) if as_json else console().print(what_if_view(answer))
    if answer.freed < answer.wanted:
        raise typer.Exit(REFUSED)


def _carried(client: Client, reservation_id: str, vnode: str) -> list[str]:
    """How a VNode was carried that has moved; nothing where that is not told."""
    try:
        record = client.get(reservation_id)
    except BraidError:
        return []
    add_when_running(client, record)
    return [carried_line(each) for each in record.carried if each.vnode == vnode]


def _print(state: cloudnets_pb2.CloudNetState, vnodes: list[str] | None, as_json: bool) -> None:
    """All states, or only those that were asked for; ends the command when one of these failed."""
    print_json(state) if as_json else console().print(power_view(state, vnodes or ()))
    asked = [each for each in state.vnodes if not vnodes or each.vnode in vnodes]
    if broken := failed(cloudnets_pb2.CloudNetState(vnodes=asked)):
        fail(broken, UNEXPECTED)
