"""Who speaks to an agent: orchestrators, by their instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from protocol.messages import ToOrchestrator


class Sender(NamedTuple):
    """One instance of an orchestrator; ``instance_id`` empty: whichever of them is there."""

    # A named tuple: streams are found by it for every answer, and it is hashed without a call.
    orchestrator_id: str
    instance_id: str = ""


Send = Callable[[Sender, ToOrchestrator], None]
"""Sends to an instance; must not block. What cannot be sent may be dropped: whoever waits for an
answer asks again, and so do inquiries, which go to any instance."""


class RestoredError(Exception):
    """The agent's database was found to be an old copy, and its epoch raised: describe it again."""
