"""braid cloudnet list, show: what there is, and what is known of it now."""

from __future__ import annotations

from typing import Annotated

import grpc
import typer

from braid.client import BraidError, Client, Conflict, Unreachable
from braid.requests import state_name
from braid.v1 import cloudnets_pb2, reservations_pb2 as pb
from commands.cloudnet_drawing import check_drawing, draw_mapping
from commands.cloudnet_options import As, AtEither, CloudNetId, Draw, Png, check_forms
from commands.cloudnet_requests import cloudnet_of
from commands.context import (
    CONFLICT,
    DEFAULT_TARGET,
    UNEXPECTED,
    AsJson,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    Target,
    as_dict,
    connected,
    console,
    fail,
    print_json,
)
from commands.descriptions import print_graph
from commands.mapping import of_record
from commands.views_cloudnet import list_view, proof_text, record_view, state_view
from rdl.codec import graph_from_pb
from rdl.errors import RdlError

PAGE = 1000


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
    """List CloudNets, newest first."""
    found: list[pb.ReservationRecord] = []
    token, more = "", True
    with connected(target, insecure, ca, cert, key) as client:
        while more and len(found) <= limit:
            size = min(limit + 1 - len(found), PAGE)
            page: pb.ListResponse = client.list(state or (), size, token, kind="cloudnet")
            found += page.reservations
            token, more = page.next_page_token, bool(page.next_page_token)
    rest = len(found) > limit
    if as_json:
        print_json({"reservations": [as_dict(each) for each in found[:limit]], "more": rest})
        return
    console().print(list_view(found[:limit]))
    if rest:
        typer.echo("there are more: --limit")


def show(
    reservation_id: CloudNetId,
    draw: Draw = False,
    png: Png = None,
    as_: As = None,
    as_json: AsJson = False,
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Show a CloudNet: where everything is, its VNodes' states, what providers completed.

    At one provider's agent (--target) only what is there, with its hosts, for its operators.
    """
    check_forms(as_json, draw, png, as_)
    check_drawing(png)
    with connected(target, insecure, ca, cert, key) as client:
        record = _record(client, reservation_id)
        state, unknown = _state(client, reservation_id, record)
    if as_ is not None:
        _print_completed(state, unknown or f"{reservation_id} is not completed yet", as_)
        return
    if as_json:
        parts = {"record": record, "cloudnet": state}
        told = {name: as_dict(part) if part is not None else None for name, part in parts.items()}
        print_json({**told, "unknown": unknown})
    elif record is not None:
        console().print(record_view(record, state, unknown))
    elif state is not None:
        console().print(state_view(state))
    words = [state_name(record.state), proof_text(record.proof)] if record is not None else []
    mapping = of_record(record or pb.ReservationRecord(), state)
    draw_mapping(mapping, "; ".join(words) or "one provider's part", draw, png)


def _record(client: Client, reservation_id: str) -> pb.ReservationRecord | None:
    """The reservation; None at an agent, which has no such service."""
    try:
        record: pb.ReservationRecord = client.get(reservation_id)
    except BraidError as error:
        if error.code is grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise
    cloudnet_of(record)
    return record


def _state(
    client: Client, reservation_id: str, record: pb.ReservationRecord | None
) -> tuple[cloudnets_pb2.CloudNetState | None, str]:
    """What is known of its VNodes, or why nothing is. Raises what an agent alone answers."""
    if record is not None and record.state != pb.RESERVATION_STATE_COMMITTED:
        return None, ""
    try:
        return client.show_cloudnet(reservation_id), ""
    except (Conflict, Unreachable) as error:
        if record is None:
            raise
        return None, str(error)


def _print_completed(state: cloudnets_pb2.CloudNetState | None, otherwise: str, as_: As) -> None:
    if state is None or not state.completed.elements:
        fail(f"--as: {otherwise}", CONFLICT)
    try:
        graph = graph_from_pb(state.completed)
    except RdlError as error:
        fail(f"--as: what the providers completed cannot be read: {error}", UNEXPECTED)
    if as_ is not None:
        print_graph(graph, as_)
