"""``braid demo``: the paper's Figure 6a on this machine, and a circuit through it.

Four sites, three regional networks with an exchange each, two research networks: nine agents and an
orchestrator as separate processes on loopback, each with its own database. Last a reseller joins: a
domain behind which a second orchestrator stands, with a provider of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule

from braid.client import Client
from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb
from braid.v1.agent_pb2_grpc import DomainAgentStub
from commands.context import UNEXPECTED, AsJson, as_dict, console, fail, print_json, reporting
from commands.demo_cloudnet import computers_too
from commands.live import follow
from commands.processes import World, terminating
from commands.views import event_text, record_view, topology_view
from commands.views_refused import refused_rows

SOURCE, DESTINATION = "sitea:dtn", "sited:dtn"
BIG, MORE = "150G", "120G"
LEAD_S, LENGTH_S = 4, 5
PATIENCE_S = 60


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="leave it running until Ctrl-C")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a small world, reserve a circuit that no single path could carry, show all of it."""
    screen = Console(quiet=True) if as_json else console()
    with (
        terminating(),
        reporting(),
        tempfile.TemporaryDirectory(prefix="braid-demo-") as folder,
        World(Path(folder)) as world,
    ):
        screen.print(Rule("1  ten processes start: nine domains, one orchestrator"))
        world.start()
        with Client(world.target, insecure=True) as client:
            wait_until_up(client, len(world.agents))
            screen.print(topology_view(client.topology()))
            record, refused, accepted = _tell_the_story(client, world, screen)
            screen.print(
                Rule("6  braid cloudnet create: computers too, at two sites and at a reseller")
            )
            client.register("reseller", world.start_below())
            wait_until_up(client, len(world.agents))
            cloudnet = computers_too(client, screen)
            if as_json:
                print_json(
                    {
                        "reservation": as_dict(record),
                        "refused": as_dict(refused),
                        "accepted": as_dict(accepted),
                        "cloudnet": as_dict(cloudnet),
                    }
                )
            screen.print(Rule("done"))
            if keep:
                _stay(world, screen)


def _tell_the_story(
    client: Client, world: World, screen: Console
) -> tuple[pb.ReservationRecord, pb.ReservationRecord, pb.ReservationRecord]:
    screen.print(
        Rule(f"2  {BIG} from {SOURCE} to {DESTINATION}: no single path has more than 100G")
    )
    wishes: dict[str, Any] = {
        "start": f"+{LEAD_S}s",
        "duration": LENGTH_S,
        "detach": True,
        "description": "demo",
    }
    record = client.reserve(SOURCE, DESTINATION, BIG, **wishes)
    record = follow(client, record, quiet=screen.quiet)
    if record.state != pb.RESERVATION_STATE_COMMITTED:
        fail(f"the demo's circuit was refused: {record.refusals}", UNEXPECTED)
    screen.print(record_view(record))
    screen.print(Rule(f"3  {MORE} more at the same time: no, but this would be granted"))
    window = record.criteria.window
    refused: pb.ReservationRecord = client.reserve(
        SOURCE, DESTINATION, MORE, start=window.start_s, end=window.end_s
    )
    if refused.state != pb.RESERVATION_STATE_FAILED:
        fail("the impossible request was not refused", UNEXPECTED)
    for line in refused_rows(refused):
        screen.print(line)
    accepted = _accept(client, refused, screen)
    screen.print(Rule("5  the domains act by their own clocks"))
    _watch_the_data_plane(client, world, record, screen)
    final: pb.ReservationRecord = client.get(record.reservation_id)
    return final, refused, accepted


def _accept(client: Client, refused: pb.ReservationRecord, screen: Console) -> pb.ReservationRecord:
    """Takes the alternative that begins later; by then the first circuit has ended."""
    kind = pb.ALTERNATIVE_KIND_EARLIEST_START
    later = next((each for each in refused.alternatives if each.kind == kind), None)
    if later is None:
        fail("the refusal offered no later start", UNEXPECTED)
    screen.print(Rule(f"4  braid reserve --accept …: {later.text}"))
    accepted: pb.ReservationRecord = client.accept(later.token)
    if accepted.state != pb.RESERVATION_STATE_COMMITTED:
        fail(f"what was offered was refused: {accepted.refusals}", UNEXPECTED)
    screen.print(record_view(accepted))
    return accepted


def _watch_the_data_plane(
    client: Client, world: World, record: pb.ReservationRecord, screen: Console
) -> None:
    """Prints activation and release as they are reported; the exchange's rules in between."""
    active: set[str] = set()
    released: set[str] = set()
    wanted = {part.domain for part in record.parts}
    for event in client.watch(record.reservation_id, timeout_s=LEAD_S + LENGTH_S + PATIENCE_S):
        if event.WhichOneof("kind") not in ("data_plane_changed", "state_changed"):
            continue
        if event.HasField("data_plane_changed"):
            change = event.data_plane_changed
            screen.print(event_text(event), markup=False)
            if change.state == common_pb2.DATA_PLANE_STATE_ACTIVE:
                active.add(change.domain)
                if active == wanted:
                    _show_rules(world, "rn1", screen)
            elif change.state == common_pb2.DATA_PLANE_STATE_RELEASED:
                released.add(change.domain)
            elif change.state == common_pb2.DATA_PLANE_STATE_FAILED:
                fail(f"{change.domain} could not configure it: {change.reason}", UNEXPECTED)
        elif event.state_changed.state == pb.RESERVATION_STATE_ENDED:
            screen.print(event_text(event), markup=False)
        if released == wanted and active == wanted:
            return
    fail("the orchestrator closed the stream of events", UNEXPECTED)


def _show_rules(world: World, domain: str, screen: Console) -> None:
    """What the exchange has configured: the split, and the mirror for the way back."""
    with grpc.insecure_channel(world.agents[domain]) as channel:
        stub: Any = DomainAgentStub(channel)
        answer: agent_pb2.HoldingsResponse = stub.Holdings(agent_pb2.HoldingsRequest(), timeout=10)
    rules = [rule for holding in answer.holdings for rule in holding.rules]
    screen.print(Panel("\n".join(rules), title=f"rules of the exchange in {domain}", expand=False))


def wait_until_up(client: Client, count: int) -> None:
    """Until the orchestrator has reached so many domains; ends the command where it takes long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        statuses = client.topology().domains
        up = [status for status in statuses if status.state == 1]
        if len(up) == count:
            return
        if time.monotonic() > deadline:
            down = ", ".join(f"{s.domain.name}: {s.reason}" for s in statuses if s.state != 1)
            fail(f"not all domains came up: {down}", UNEXPECTED)
        time.sleep(0.1)


def _stay(world: World, screen: Console) -> None:
    screen.print(
        Panel(
            f"export BRAID_TARGET={world.target} BRAID_INSECURE=1\n"
            "braid topology show\n"
            f"braid plan    {SOURCE} {DESTINATION} 180G --start +1m --duration 10m\n"
            f"braid reserve {SOURCE} {DESTINATION} 180G --start +1m --duration 10m\n"
            f"braid reserve {SOURCE} {DESTINATION} --volume 5TB --deadline +30m\n"
            "braid list\n"
            "braid watch\n"
            "braid modify ID --bandwidth 90G\n"
            "braid cloudnet create docs/rdl/pair.yaml --at left=sitea --at right=reseller --wait\n"
            "braid cloudnet show ID --draw\n"
            "echo uptime | braid cloudnet console ID left\n"
            "braid cloudnet migrate ID left --to sitec\n"
            "braid cancel ID",
            title="it stays up until Ctrl-C; try in another terminal",
            expand=False,
        )
    )
    world.wait()
