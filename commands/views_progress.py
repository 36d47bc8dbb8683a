"""How far a reservation has come, of a circuit and of a CloudNet alike."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from braid.v1 import reservations_pb2 as pb
from commands.words import data_plane_name, styled


def add_progress(facts: Table, record: pb.ReservationRecord, *, placed: bool) -> None:
    """Rows from its description to who has not given it back; ``placed``: it lies somewhere."""
    if record.criteria.description:
        facts.add_row("description", Text(record.criteria.description))
    if record.version > 1:
        facts.add_row("version", str(record.version))
    if record.modifying:
        facts.add_row("", styled("a change is being negotiated", "yellow"))
    # A domain has a part for each phase.
    away = dict.fromkeys(part.domain for part in record.parts if not part.released)
    if record.state == pb.RESERVATION_STATE_CANCELLED and away:
        facts.add_row("to be released", Text(f"{', '.join(away)}: told, no answer yet"))
    elif placed:
        facts.add_row("data plane", styled(data_plane_name(record.data_plane)))
