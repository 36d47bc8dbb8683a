"""Who opens a stream, as its metadata says (agent.proto, Negotiate)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from agents.peers import Sender
from agents.values import Seen
from runtime.errors import invalid
from substrate.values import dataclass

ORCHESTRATOR_ID_KEY: Final = "braid-orchestrator-id"
INSTANCE_ID_KEY: Final = "braid-instance-id"
INSTANCE_EPOCH_KEY: Final = "braid-instance-epoch"
AGENT_SEEN_KEY: Final = "braid-agent-seen"
ID_SHAPE: Final = "1 to 128 characters of [A-Za-z0-9._:-]"
NUMBER_MAX: Final = 2**63 - 1

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Caller:
    """An instance of an orchestrator, its epoch, and what it remembers of the agent."""

    sender: Sender
    instance_epoch: int = 0
    seen: Seen | None = None


def is_id(given: str) -> bool:
    """Whether an id may be stored and logged."""
    return _ID.fullmatch(given) is not None


def are_ids(*given: str) -> bool:
    """Whether all of them are."""
    return None not in map(_ID.fullmatch, given)


def caller_of(metadata: Mapping[str, str | bytes]) -> Caller:
    """Who calls. Raises RequestError: INVALID_ARGUMENT, naming the key."""
    orchestrator_id = _id(metadata, ORCHESTRATOR_ID_KEY, None)
    instance_id = _id(metadata, INSTANCE_ID_KEY, orchestrator_id)
    epoch = metadata.get(INSTANCE_EPOCH_KEY, "0")
    number = _number(epoch)
    if number is None:
        raise invalid(f"metadata {INSTANCE_EPOCH_KEY}", epoch, f"0 to {NUMBER_MAX}")
    return Caller(Sender(orchestrator_id, instance_id), number, _seen(metadata))


def _seen(metadata: Mapping[str, str | bytes]) -> Seen | None:
    given = metadata.get(AGENT_SEEN_KEY)
    if given is None:
        return None
    parts = given.split(".", 2) if isinstance(given, str) else []
    if len(parts) == 3 and is_id(parts[2]):
        epoch, boot = _number(parts[0]), _number(parts[1])
        if epoch is not None and boot is not None:
            return Seen(epoch, boot, parts[2])
    shape = "<epoch>.<boot>.<incarnation>, as the agent describes itself"
    raise invalid(f"metadata {AGENT_SEEN_KEY}", given, shape)


def _id(metadata: Mapping[str, str | bytes], key: str, otherwise: str | None) -> str:
    given = metadata.get(key, otherwise)
    if not isinstance(given, str) or not is_id(given):
        raise invalid(f"metadata {key}", "" if given is None else given, ID_SHAPE)
    return given


def _number(given: object) -> int | None:
    if not isinstance(given, str) or not _NUMBER.fullmatch(given):
        return None
    number = int(given)
    return number if number <= NUMBER_MAX else None
