"""The agent's tables, and its values as rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    false,
)

from agents.values import DataPlane, Decision, Life, Record, Settlement
from braid.v1 import agent_pb2, common_pb2
from protocol.codec import refusal_from_pb, refusal_to_pb, to_agent_from_pb, to_agent_to_pb
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from runtime.remembered import Remembered
from substrate.model import DataPlaneState, Refusal

PREPS_LIMIT = 4096

METADATA = MetaData()
PARTS = Table(
    "agent_parts",
    METADATA,
    Column("transaction_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("reservation_id", Text, nullable=False),
    Column("orchestrator_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("prep", LargeBinary),
    Column("mapping", Text, nullable=False),
    Column("refusal", LargeBinary),
    Column("changed_ms", BigInteger, nullable=False),
    Column("inquire_at_ms", BigInteger),
    Column("inquiries", Integer, nullable=False),
    Column("start_s", BigInteger),
    Column("end_s", BigInteger),
    Column("data_plane", Text, nullable=False),
    Column("data_plane_reason", Text, nullable=False),
    Column("data_plane_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("heuristic", Boolean, nullable=False, server_default=false()),
)
META = Table(
    "agent_meta",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
DECISIONS = Table(
    "agent_decisions",
    METADATA,
    Column("transaction_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("reservation_id", Text, nullable=False),
    Column("orchestrator_id", Text, nullable=False),
    Column("settlement", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("contradicted", Boolean, nullable=False),
)


def replacing(table: Table, insert: Any) -> Any:
    """An INSERT of whole rows that takes the place of those with their keys."""
    keys = [column.name for column in table.primary_key]
    changed = {c.name: insert.excluded[c.name] for c in table.columns if not c.primary_key}
    return insert.on_conflict_do_update(index_elements=keys, set_=changed)


def replacing_part(insert: Any) -> Any:
    """As :func:`replacing`, of parts."""
    return replacing(PARTS, insert)


UNDATED_MS = -1
"""``expires_ms`` of a hold that was made before expiry was stored: it follows the settings."""


def life_to_meta(life: Life) -> dict[str, str]:
    """As keys and values of the table ``agent_meta``."""
    return {
        "epoch": str(life.epoch),
        "boot": str(life.boot),
        "incarnation": life.incarnation,
        "recovering": str(int(life.recovering)),
        "first_epoch": str(life.first_epoch),
    }


def life_from_meta(meta: dict[str, str]) -> Life | None:
    """The inverse; None for a database that no agent has started on. Older ones have less."""
    if "epoch" not in meta:
        return None
    return Life(
        epoch=int(meta["epoch"]),
        boot=int(meta.get("boot", "0")),
        incarnation=meta.get("incarnation", ""),
        recovering=meta.get("recovering", "0") == "1",
        first_epoch=int(meta.get("first_epoch", meta["epoch"])),
    )


def record_to_row(record: Record, prep_bytes: bytes | None) -> tuple[Any, ...]:
    """A row of ``agent_parts``, in the order of its columns, as a driver takes it.

    What operators may search by is in columns of its own. ``prep_bytes``: the part's prep as
    :func:`prep_to_bytes` makes it; None where there is none.
    """
    part, prep, data_plane = record.part, record.part.prep, record.data_plane
    return (
        part.transaction_id,
        part.part_id,
        prep.reservation_id if prep else "",
        prep.orchestrator_id if prep else "",
        part.state._name_,
        prep_bytes,
        part.mapping,
        refusal_to_bytes(part.refusal),
        part.changed_ms,
        part.inquire_at_ms,
        part.inquiries,
        prep.window.start_s if prep else None,
        prep.window.end_s if prep else None,
        data_plane.state._name_,
        data_plane.reason,
        data_plane.changed_ms,
        part.expires_ms,
        part.heuristic,
    )


def _encoded(prep: ReservationPrep) -> bytes:
    return to_agent_to_pb(prep).SerializeToString()


prep_to_bytes = Remembered(_encoded, PREPS_LIMIT)
"""As it is stored. It is written with each state of its part, and these follow soon upon another;
whoever has read it from a message knows it already."""


def prep_from_bytes(stored: bytes) -> ReservationPrep:
    """The inverse of :func:`prep_to_bytes`."""
    message = to_agent_from_pb(agent_pb2.OrchestratorMessage.FromString(stored))
    assert isinstance(message, ReservationPrep)
    return message


def refusal_to_bytes(refusal: Refusal | None) -> bytes | None:
    """As it is stored."""
    return None if refusal is None else refusal_to_pb(refusal).SerializeToString()


def refusal_from_bytes(stored: bytes | None) -> Refusal | None:
    """The inverse of :func:`refusal_to_bytes`."""
    return None if stored is None else refusal_from_pb(common_pb2.Refusal.FromString(stored))


def record_from_row(row: Sequence[Any]) -> Record:
    """The inverse of :func:`record_to_row`: its values, in the order of the columns."""
    transaction_id, part_id, _, _, state, prep, mapping, refusal, changed_ms = row[:9]
    inquire_at_ms, inquiries, _, _, data_plane, reason, data_plane_ms = row[9:16]
    expires_ms, heuristic = row[16:]
    part = Part(
        transaction_id=transaction_id,
        part_id=part_id,
        state=PartState[state],
        prep=None if prep is None else prep_from_bytes(prep),
        mapping=mapping,
        refusal=refusal_from_bytes(refusal),
        changed_ms=changed_ms,
        inquire_at_ms=inquire_at_ms,
        inquiries=inquiries,
        expires_ms=expires_ms,
        heuristic=bool(heuristic),
    )
    return Record(part, DataPlane(DataPlaneState[data_plane], reason, data_plane_ms))


def decision_to_row(decision: Decision) -> dict[str, Any]:
    """A row of ``agent_decisions``."""
    return {**asdict(decision), "settlement": decision.settlement.name}


def decision_from_row(row: Row[Any]) -> Decision:
    """The inverse of :func:`decision_to_row`."""
    values = dict(row._mapping)
    return Decision(**{**values, "settlement": Settlement[row.settlement]})
