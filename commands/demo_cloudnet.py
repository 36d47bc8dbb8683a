"""The demo's CloudNet: computers at two sites and at a reseller, and the circuits between them."""

from __future__ import annotations

import time
from importlib.resources import files

from rich.console import Console as Screen
from rich.panel import Panel

from braid.client import Client
from braid.v1 import cloudnets_pb2, common_pb2, reservations_pb2 as pb
from commands.context import UNEXPECTED, fail
from commands.drawing_text import drawing
from commands.mapping import of_record
from commands.views_cloudnet import record_view
from rdl.codec import graph_to_pb
from rdl.reading import read

AT = {"detector": "sitea", "filter": "siteb", "archive": "reseller"}
COMMANDS = ("id", "uptime")
LEAD_S, LENGTH_S = 2, 60
PATIENCE_S = 60
POLL_S = 0.2
WIDTH = 100


def computers_too(client: Client, screen: Screen) -> pb.ReservationRecord:
    """Reserves it, shows where everything is, speaks with one of the computers, gives it back."""
    text = files("commands").joinpath("demo_cloudnet.yaml").read_text()
    record: pb.ReservationRecord = client.create_cloudnet(
        graph_to_pb(read(text).graph),
        start=f"+{LEAD_S}s",
        duration=LENGTH_S,
        at=AT,
        description="demo",
    )
    if record.state != pb.RESERVATION_STATE_COMMITTED:
        fail(f"the demo's CloudNet was refused: {record.refusals}", UNEXPECTED)
    state = _running(client, record)
    screen.print(record_view(_carrying(client, record), state, ""))
    for line in drawing(of_record(record, state), WIDTH):
        screen.print(line, markup=False)
    _speak(client, record, screen)
    final: pb.ReservationRecord = client.cancel(record.reservation_id)
    return final


def _running(client: Client, record: pb.ReservationRecord) -> cloudnets_pb2.CloudNetState:
    """Its VNodes once all of them run."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        state: cloudnets_pb2.CloudNetState = client.show_cloudnet(record.reservation_id)
        if {vnode.state for vnode in state.vnodes} == {cloudnets_pb2.POWER_STATE_RUNNING}:
            return state
        time.sleep(POLL_S)
    fail("the demo's VNodes do not run", UNEXPECTED)


def _carrying(client: Client, record: pb.ReservationRecord) -> pb.ReservationRecord:
    """What it is once all domains have configured its VLinks."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        record = client.get(record.reservation_id)
        if record.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE:
            return record
        time.sleep(POLL_S)
    fail("the demo's VLinks are not configured", UNEXPECTED)


def _speak(client: Client, record: pb.ReservationRecord, screen: Screen) -> None:
    """What the console of the archive answers, whose provider only the reseller knows."""
    said = b""
    with client.console(record.reservation_id, "archive") as console:
        for command in COMMANDS:
            console.write(f"{command}\n".encode())
        for piece in console:
            said += piece
            # A prompt before each command, and one after the last answer.
            if said.count(b"$ ") > len(COMMANDS):
                break
    text = said.decode(errors="replace").replace("\r", "").removesuffix("$ ").strip()
    screen.print(Panel(text, title="braid cloudnet console … archive", expand=False))
