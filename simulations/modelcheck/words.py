"""Steps and messages in words, for people who read a trace."""

from __future__ import annotations

from typing import TypeVar

from protocol.messages import Claims, Inquire, ReservationPrep, ReservationResp
from simulations.modelcheck.world import Described, Message, TimeUp

T = TypeVar("T")

Move = tuple[str, T, int]
"""A step: its words, the state after it, and the messages that it sends."""


class BrokenError(Exception):
    """A step that must never be; the text says which."""


def said(message: Message) -> str:
    """A message in words."""
    match message:
        case ReservationPrep():
            return f"Prepare of {message.transaction_id}"
        case ReservationResp():
            word = "yes" if message.ok else "no"
            phase = message.phase.name.lower()
            where = f"{message.part_id} in epoch {message.agent_epoch}"
            return f"{word} to {phase} of {message.transaction_id} from {where}"
        case Inquire():
            return f"the inquiry of {message.part_id} about {message.transaction_id}"
        case Claims():
            claims = [f"{c.prep.transaction_id}{' told' if c.told else ''}" for c in message.claims]
            return f"Claims of {message.claims_id} [{', '.join(claims)}]"
        case Described():
            return f"that {message.domain} is in epoch {message.epoch}"
        case TimeUp():
            return f"that the time is up at {message.domain}"
        case _:
            return f"{type(message).__name__} of {message.transaction_id}"
