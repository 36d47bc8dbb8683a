"""A running negotiation, as it happens: a table that grows on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from braid.client import Client
from braid.units import format_bandwidth
from braid.v1 import reservations_pb2 as pb
from commands.context import console
from commands.views import event_text
from commands.words import styled


def follow(client: Client, record: pb.ReservationRecord, *, quiet: bool) -> pb.ReservationRecord:
    """Shows events until the reservation is decided; its final record."""
    events = client.watch(record.reservation_id, until_decided=True)
    if quiet:
        for _ in events:
            pass
    elif sys.stdout.isatty():
        show_live(events, console())
    else:
        for event in events:
            if line := event_text(event):
                console().print(line, markup=False)
    final: pb.ReservationRecord = client.get(record.reservation_id)
    return final


def show_live(events: Iterator[pb.ReservationEvent], screen: Console) -> None:
    """One row per domain: what it offers, holds and did; above it what the orchestrator does."""
    board = Board()
    with Live(board.view(), console=screen, refresh_per_second=12) as live:
        for event in events:
            board.take(event)
            live.update(board.view())


class Board:
    """What is known of a negotiation, by domain."""

    def __init__(self) -> None:
        self._domains: dict[str, dict[str, str]] = {}
        self._headline = "negotiating"

    def take(self, event: pb.ReservationEvent) -> None:
        """Notes an event."""
        kind = event.WhichOneof("kind")
        match kind:
            case "offers_requested":
                for domain in event.offers_requested.domains:
                    self._note(domain, "offer", "asked …")
            case "offers_received":
                offers = event.offers_received
                best = format_bandwidth(offers.best_bps) if offers.HasField("best_bps") else "-"
                self._note(offers.domain, "offer", best)
            case "prepare_sent":
                for domain in event.prepare_sent.domains:
                    self._note(domain, "hold", "asked …")
            case "prepare_answered":
                answer = event.prepare_answered
                word = "held" if answer.held else f"no: {answer.refusal.reason}"
                self._note(answer.domain, "hold", word)
            case "part_settled":
                self._note(event.part_settled.domain, "outcome", event.part_settled.outcome.lower())
            case "paths_found" | "planned" | "decided" | "state_changed":
                self._headline = event_text(event)

    def view(self) -> RenderableType:
        """As a table."""
        table = Table("domain", "offers", "hold", "outcome", box=None)
        for domain in sorted(self._domains):
            row = self._domains[domain]
            hold = row.get("hold", "")
            style = "green" if hold == "held" else "red" if hold.startswith("no") else "yellow"
            table.add_row(domain, row.get("offer", ""), styled(hold, style), row.get("outcome", ""))
        # As a title of the table it would be folded to the table's width.
        return Group(Text(self._headline), table)

    def _note(self, domain: str, column: str, text: str) -> None:
        self._domains.setdefault(domain, {})[column] = text
