"""What is asked before a part is admitted, while its turn is kept: a backend that thinks longer
than ``place_graph`` may, or one that must ask elsewhere (see :mod:`agents.remote`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from agents.backends.base import Placement, RecallingBackend
from agents.parts import Parts
from agents.peers import Sender
from agents.remote import Remote
from agents.steps import key_of
from protocol import participant
from protocol.messages import PartMessage, ReservationPrep
from protocol.participant import Action, Admit, Admitted

_log = structlog.get_logger(__name__)


class Advisor:
    """Finds the advice with which a domain's book admits. ``remote``: None where all is at hand."""

    def __init__(self, parts: Parts, remote: Remote | None) -> None:
        self._parts, self._remote = parts, remote

    def wants(self, message: PartMessage) -> bool:
        """Whether a message may have to wait for advice."""
        if not isinstance(message, ReservationPrep):
            return False
        return self._remote is not None or bool(message.graph and self._parts.book.cloud)

    @asynccontextmanager
    async def on(self, sender: Sender, message: PartMessage) -> AsyncIterator[Admit]:
        """How the message is to be admitted, for the length of a block in which that is stored.

        The caller has the part's turn.
        """
        if not isinstance(message, ReservationPrep) or not self._is_new(sender, message):
            yield self._parts.admit
        elif self._remote is None:
            advice = await self.on_graph(message)
            yield lambda prep: self._parts.admit(prep, advice)
        else:
            async with self._remote.holding(message) as refusal:
                advice = refusal if refusal is not None else await self.on_graph(message)
                yield lambda prep: self._parts.admit(prep, advice)

    async def look(self) -> None:
        """What is to be known before anything is ``recalled``."""
        cloud = self._parts.book.cloud
        if isinstance(cloud, RecallingBackend):
            try:
                await cloud.look()
            except Exception:
                _log.exception("backend failed")

    def seen(self, prep: ReservationPrep) -> Placement | None:
        """What VNodes of a part with a graph take on hosts that outlived what was known of it."""
        cloud = self._parts.book.cloud
        if not isinstance(cloud, RecallingBackend) or not prep.graph:
            return None
        try:
            return cloud.seen(*self._parts.book.partial(prep))
        except Exception:
            _log.exception("backend failed", part="/".join(key_of(prep)))
            return None

    def recalled(self, prep: ReservationPrep) -> object:
        """How a part with a graph lies on hosts that outlived what was known of it; None: not."""
        cloud = self._parts.book.cloud
        if not isinstance(cloud, RecallingBackend) or not prep.graph:
            return None
        try:
            return cloud.recall(*self._parts.book.partial(prep))
        except Exception:
            _log.exception("backend failed", part="/".join(key_of(prep)))
            return None

    async def on_graph(self, prep: ReservationPrep) -> object:
        """What the backend thinks of a part with a graph when it takes its time; None of others."""
        cloud = self._parts.book.cloud
        if cloud is None or not prep.graph:
            return None
        try:
            return await cloud.consult(*self._parts.book.partial(prep))
        except Exception:
            # A backend may be anyone's; without advice it can still place.
            _log.exception("backend failed", part="/".join(key_of(prep)))
            return None

    def _is_new(self, sender: Sender, prep: ReservationPrep) -> bool:
        """Whether the domain is about to decide on it; nothing is asked in vain."""
        if prep.orchestrator_id != sender.orchestrator_id:
            return False
        record, rules = self._parts.records.get(key_of(prep)), self._parts.rules
        action = participant.action_for(None if record is None else record.part, prep, rules)
        if action is not Action.ADMIT or rules.refuse is not None:
            return False
        if self._parts.clock.now_ms() > prep.deadline_ms:
            return False
        if prep.graph and self._parts.book.cloud is not None:
            return True
        return isinstance(self._parts.look(prep), Admitted)
