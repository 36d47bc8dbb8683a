"""Ids and messages in the few words of a trace."""

from __future__ import annotations

from typing import Any


def brief(message: Any) -> str:
    """A message of a frame in a few words."""
    kind = message.WhichOneof("kind")
    body = getattr(message, kind)
    words = [kind]
    for name in ("query_id", "transaction_id", "part_id", "claims_id"):
        if hasattr(body, name):
            words.append(short(getattr(body, name)))
    if kind == "reservation_resp":
        words.append(f"phase {body.phase} {'yes' if body.ok else 'no'} epoch {body.agent_epoch}")
        if body.HasField("refusal"):
            words.append(body.refusal.reason)
    return " ".join(words)


def short(identifier: str) -> str:
    """An id of the simulation as people read it: party.life.number."""
    if len(identifier) != 32:
        return identifier
    party, life, number = identifier[:4], identifier[4:8], identifier[8:]
    return f"{int(party, 16)}.{int(life, 16)}.{int(number, 16)}"
