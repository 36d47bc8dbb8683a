"""Friendly arguments to requests about CloudNets: shared by both clients.

A CloudNet is a reservation: ``get``, ``list``, ``watch`` and ``cancel`` are those of circuits. Its
graph is the message ``braid.v1.Graph``, or the bytes of one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from braid import requests
from braid.keywords import WishError, names, read
from braid.units import Amount, parse_duration, parse_share, parse_time
from braid.v1 import cloudnets_pb2, common_pb2, rdl_pb2, reservations_pb2 as pb

Graph = rdl_pb2.Graph | bytes

ACTIONS: Mapping[str, cloudnets_pb2.PowerAction.ValueType] = {
    name.removeprefix("POWER_ACTION_").lower(): value
    for name, value in cloudnets_pb2.PowerAction.items()
    if value != cloudnets_pb2.POWER_ACTION_UNSPECIFIED
}


def cloudnet(
    graph: Graph,
    *,
    objective: str = "",
    at: Mapping[str, str] | None = None,
    exits: Mapping[str, tuple[str, int]] | None = None,
    anew: Iterable[str] = (),
) -> pb.CloudNet:
    """A CloudNet. ``objective``: what its mapping on providers is to be, "cost" when not said.

    ``at``: the providers of VNodes that are to be at certain ones. ``exits``: of a partial graph,
    at which STP and VLAN each VLink leaves that has a transit link. ``anew``: VNodes that begin
    anew, from their images, if a Modify takes them to another provider. Raises ValueError.
    """
    message = pb.CloudNet(
        objective=objective,
        placing=[
            pb.VNodePlacement(vnode=vnode, domain=domain) for vnode, domain in (at or {}).items()
        ],
        exits=[
            pb.VLinkExit(vlink=vlink, stp=stp, vlan=vlan)
            for vlink, (stp, vlan) in (exits or {}).items()
        ],
        anew=names("anew", anew),
    )
    if isinstance(graph, bytes):
        try:
            message.graph.ParseFromString(graph)
        except DecodeError as error:
            raise ValueError("graph: given bytes, possible: those of a braid.v1.Graph") from error
    else:
        message.graph.CopyFrom(graph)
    return message


def reservation(
    graph: Graph,
    *,
    start: Amount = "now",
    end: Amount | None = None,
    duration: Amount | None = None,
    objective: str = "",
    at: Mapping[str, str] | None = None,
    exits: Mapping[str, tuple[str, int]] | None = None,
    description: str = "",
    request_id: str = "",
    timeout_s: int | None = None,
    detach: bool = False,
    **limits: Any,
) -> pb.Reservation:
    """A Reservation of a CloudNet from ``start`` to ``end``, or for a ``duration``.

    ``limits``: of each circuit between providers, see :func:`braid.requests.constraints`. Raises
    ValueError.
    """
    if (end is None) is (duration is None):
        raise WishError("say either when it ends or how long it lasts: {} or {}", "end", "duration")
    now_s = int(time.time())
    time_at = partial(parse_time, now_s=now_s)
    start_s = read("start", time_at, start)
    length_s = read("duration", parse_duration, duration) if duration is not None else 0
    end_s = read("end", time_at, end) if end is not None else start_s + length_s
    return pb.Reservation(
        request_id=request_id or requests.new_request_id(),
        cloudnet=cloudnet(graph, objective=objective, at=at, exits=exits),
        window=common_pb2.Window(start_s=start_s, end_s=end_s),
        constraints=requests.constraints(**limits),
        description=description,
        negotiation_timeout_s=timeout_s,
        detach=detach,
    )


def power(
    reservation_id: str, action: str, vnodes: Iterable[str] = ()
) -> cloudnets_pb2.PowerRequest:
    """A PowerRequest; ``action``: "start", "stop" or "cycle". Raises ValueError."""
    if action not in ACTIONS:
        raise ValueError(f"action: given '{action}', possible: {', '.join(ACTIONS)}")
    return cloudnets_pb2.PowerRequest(
        reservation_id=reservation_id, action=ACTIONS[action], vnodes=names("vnodes", vnodes)
    )


def what_if(free: str | float, domain: str = "") -> cloudnets_pb2.WhatIfRequest:
    """A WhatIfRequest; ``free``: "20%" or 0.2. Raises ValueError."""
    return cloudnets_pb2.WhatIfRequest(domain=domain, free_share=read("free", parse_share, free))


def migrate(
    reservation_id: str,
    vnode: str,
    *,
    host: str = "",
    domain: str = "",
    anew: bool = False,
    request_id: str = "",
) -> cloudnets_pb2.MigrateRequest:
    """A MigrateRequest of one VNode, to a host of its provider or to another provider.

    ``anew``: at the other provider it begins from its image. Raises ValueError.
    """
    if bool(host) is bool(domain):
        raise ValueError("say either the host or the provider (domain) that it moves to")
    return cloudnets_pb2.MigrateRequest(
        request_id=request_id or requests.new_request_id(),
        reservation_id=reservation_id,
        vnode=vnode,
        host=host,
        domain=domain,
        anew=anew,
    )


def free_hosts(
    free: str | float, domain: str = "", *, request_id: str = ""
) -> cloudnets_pb2.MigrateRequest:
    """A MigrateRequest that does what WhatIf answers. Raises ValueError."""
    return cloudnets_pb2.MigrateRequest(
        request_id=request_id or requests.new_request_id(),
        domain=domain,
        free_share=read("free", parse_share, free),
    )
