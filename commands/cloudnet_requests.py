"""braid cloudnet plan, create, modify, delete: a CloudNet as a whole."""

from __future__ import annotations

import time

import typer

from braid.client import Client, Conflict
from braid.cloudnets import cloudnet
from braid.v1 import cloudnets_pb2, common_pb2, reservations_pb2 as pb
from commands.carried import add_when_running
from commands.cloudnet_drawing import check_drawing, draw_mapping
from commands.cloudnet_options import (
    Anew,
    At,
    Avoid,
    CloudNetId,
    Draw,
    MaxLatency,
    Objective,
    Png,
    Via,
    Wait,
    changed,
    check_forms,
    placing,
)
from commands.context import (
    CONFLICT,
    DEADLINE,
    DEFAULT_TARGET,
    NOT_FOUND,
    REFUSED,
    UNEXPECTED,
    USAGE,
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
from commands.descriptions import File, read_overlay
from commands.live import follow
from commands.mapping import of_plan
from commands.options import Description, Detach, Duration, End, Patience, RequestId, Start
from commands.views_cloudnet import plan_view, proof_text, record_view

POLL_S = 1.0
CONFIGURED_S, LOOK_S = 10.0, 0.2
"""For how long it is awaited that domains have configured VLinks whose VNodes run; how often."""
SCHEDULED = common_pb2.DATA_PLANE_STATE_SCHEDULED
FAR_S = 30.0
"""How long between two questions about the VNodes, at most, before their window begins."""


def plan(
    context: typer.Context,
    file: File,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
    objective: Objective = "",
    at: At = None,
    max_latency: MaxLatency = None,
    via: Via = None,
    avoid: Avoid = None,
    timeout_s: Patience = None,
    draw: Draw = False,
    png: Png = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Tell where a CloudNet would be now, or what is short; hold nothing. Exit 3: it is refused."""
    check_forms(as_json, draw, png)
    check_drawing(png)
    overlay = read_overlay(file, as_json)
    graph = overlay.graph
    with connected(target, insecure, ca, cert, key, context) as client, overlay.pointing():
        answer: pb.PlanResponse = client.plan_cloudnet(
            graph,
            start=start,
            end=end,
            duration=_length(end, duration),
            objective=objective,
            at=placing(at),
            max_latency=max_latency,
            via=via or (),
            avoid=avoid or (),
            timeout_s=timeout_s,
        )
    asked = pb.CloudNet(graph=graph)
    print_json(answer) if as_json else console().print(plan_view(answer, asked))
    if not answer.feasible:
        raise typer.Exit(REFUSED)
    draw_mapping(of_plan(answer, asked), f"planned; {proof_text(answer.proof)}", draw, png)


def create(
    context: typer.Context,
    file: File,
    start: Start = "now",
    end: End = None,
    duration: Duration = None,
    objective: Objective = "",
    at: At = None,
    max_latency: MaxLatency = None,
    via: Via = None,
    avoid: Avoid = None,
    description: Description = "",
    request_id: RequestId = "",
    timeout_s: Patience = None,
    detach: Detach = False,
    wait: Wait = False,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Reserve VNodes, VLinks and the circuits between: all or nothing. Exit 3: it was refused."""
    if detach and wait:
        fail("--detach: not together with --wait", USAGE)
    overlay = read_overlay(file, as_json)
    graph = overlay.graph
    state = None
    with connected(target, insecure, ca, cert, key, context) as client, overlay.pointing():
        # Detached, so that it can be watched meanwhile.
        record: pb.ReservationRecord = client.create_cloudnet(
            graph,
            start=start,
            end=end,
            duration=_length(end, duration),
            objective=objective,
            at=placing(at),
            max_latency=max_latency,
            via=via or (),
            avoid=avoid or (),
            description=description,
            request_id=request_id,
            timeout_s=timeout_s,
            detach=True,
        )
        if not detach:
            record = _followed(client, record, quiet=as_json)
        if wait and record.state == pb.RESERVATION_STATE_COMMITTED:
            state = _running(client, record)
            record = _carrying(client, record)
    print_json(record) if as_json else console().print(record_view(record, state))
    if record.state == pb.RESERVATION_STATE_FAILED:
        raise typer.Exit(REFUSED)
    if state is not None and (broken := failed(state) or _not_carrying(record)):
        fail(broken, UNEXPECTED)


def modify(
    context: typer.Context,
    reservation_id: CloudNetId,
    file: File,
    objective: Objective = "",
    at: At = None,
    anew: Anew = None,
    max_latency: MaxLatency = None,
    via: Via = None,
    avoid: Avoid = None,
    request_id: RequestId = "",
    timeout_s: Patience = None,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Make a CloudNet what FILE says: all of it, or the old one stands. Exit 3: it was refused.

    VNodes that stay are moved only where they must be; what those have that change their provider
    is carried, live where both ends can, but for --anew. Objective, --at, --max-latency, --via and
    --avoid stay as they were where they are not said.
    """
    overlay = read_overlay(file, as_json)
    graph = overlay.graph
    with connected(target, insecure, ca, cert, key, context) as client, overlay.pointing():
        record: pb.ReservationRecord = client.get(reservation_id)
        old, limits = cloudnet_of(record), record.criteria.constraints
        limited = changed(limits, max_latency, via, avoid)
        stays = {element.id for element in graph.elements}
        kept = {each.vnode: each.domain for each in old.placing if each.vnode in stays}
        wanted = cloudnet(
            graph,
            objective=objective or old.objective,
            at={**kept, **placing(at)},
            anew=anew or (),
        )
        record = client.modify(
            reservation_id,
            cloudnet=wanted,
            limits=limits if limited else None,
            request_id=request_id,
            timeout_s=timeout_s,
        )
        add_when_running(client, record)
    print_json(record) if as_json else console().print(record_view(record))
    if not record.modified:
        raise typer.Exit(REFUSED)


def delete(
    reservation_id: CloudNetId,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Give a CloudNet back, everywhere: its VNodes end."""
    with connected(target, insecure, ca, cert, key) as client:
        cloudnet_of(client.get(reservation_id))
        record: pb.ReservationRecord = client.cancel(reservation_id)
    print_json(record) if as_json else console().print(record_view(record))


def cloudnet_of(record: pb.ReservationRecord) -> pb.CloudNet:
    """What is reserved; ends the command when it is a circuit."""
    if not record.criteria.HasField("cloudnet"):
        name = record.reservation_id
        fail(f"{name} is a circuit and no CloudNet; possible: braid show {name}", NOT_FOUND)
    return record.criteria.cloudnet


def failed(state: cloudnets_pb2.CloudNetState) -> str:
    """Which VNodes failed, and why; empty when none did."""
    return "; ".join(
        f"{each.vnode} failed: {each.reason or 'its provider does not say why'}"
        for each in state.vnodes
        if each.state == cloudnets_pb2.POWER_STATE_FAILED
    )


def _followed(client: Client, record: pb.ReservationRecord, *, quiet: bool) -> pb.ReservationRecord:
    name = record.reservation_id
    try:
        return follow(client, record, quiet=quiet)
    except KeyboardInterrupt:
        also = f"braid cloudnet show {name}, or braid cloudnet delete {name}"
        fail(f"{name} is still negotiated: {also}", DEADLINE)


def _running(client: Client, record: pb.ReservationRecord) -> cloudnets_pb2.CloudNetState:
    """Its VNodes when all of them run, or when one has failed."""
    name = record.reservation_id
    try:
        while True:
            try:
                state: cloudnets_pb2.CloudNetState = client.show_cloudnet(name)
                every = {each.state for each in state.vnodes}
                if every == {cloudnets_pb2.POWER_STATE_RUNNING} or failed(state):
                    return state
            except Conflict as error:
                # Its window has not begun, or somebody else has ended it.
                if client.get(name).state != pb.RESERVATION_STATE_COMMITTED:
                    fail(f"{name} has ended before its VNodes ran: {error}", CONFLICT)
            ahead_s = record.criteria.window.start_s - time.time()
            time.sleep(min(max(ahead_s, POLL_S), FAR_S))
    except KeyboardInterrupt:
        fail(
            f"{name} is reserved, and not all its VNodes run: braid cloudnet show {name}", DEADLINE
        )


def _carrying(client: Client, record: pb.ReservationRecord) -> pb.ReservationRecord:
    """What it is once its VLinks are configured, or a domain has failed to: soon, as VNodes run."""
    until_s = time.monotonic() + CONFIGURED_S
    while (record := client.get(record.reservation_id)).data_plane == SCHEDULED:
        if time.monotonic() >= until_s:
            break
        time.sleep(LOOK_S)
    return record


def _not_carrying(record: pb.ReservationRecord) -> str:
    """Which domains could not configure their part; empty when all could."""
    parts = record.parts if record.data_plane == common_pb2.DATA_PLANE_STATE_FAILED else ()
    reasons = dict.fromkeys(f"{part.domain}: {part.reason}" for part in parts if part.reason)
    return f"the data plane failed: {'; '.join(reasons)}" if parts else ""


def _length(end: str | None, duration: str | None) -> str | None:
    return "1h" if end is None and duration is None else duration
