"""The orchestrator's side of rule 7: a domain that was restored from a backup hears what it holds.

Its raised epoch is made durable first: from then on nothing is told that relies on an older one.
Only then are the claims read, so whatever users were told before is among them.
"""

from __future__ import annotations

import asyncio

import structlog

from orchestrator.engine import Engine
from orchestrator.ports import AgentIdentity
from protocol.messages import Claim, Claims, Reconciled
from runtime.database import StorageError

log = structlog.get_logger()

PAGE_CLAIMS = 200
AGAIN_S = 5.0


class Reconciling:
    """The domains that recover, and the epoch in which each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def meet(self, domain: str, identity: AgentIdentity) -> None:
        """The domain's agent has described itself. Raises StorageError, ConflictError."""
        engine = self._engine
        await engine.store.meet(domain, identity)
        await engine.transactions.epoch_raised(domain, identity.epoch)
        if identity.recovering:
            log.warning("domain was restored from a backup", domain=domain, epoch=identity.epoch)
            self._open[domain] = identity.epoch
        else:
            self._open.pop(domain, None)

    def up(self, domain: str) -> None:
        """The domain can be reached: it hears the claims, if it waits for them."""
        if domain in self._open:
            self._engine.spawn(self._claim(domain, self._open[domain]))

    def done(self, domain: str, message: Reconciled) -> None:
        """The domain does not wait any more."""
        if self._open.get(domain) == message.agent_epoch:
            del self._open[domain]
            log.info("domain is reconciled", domain=domain, epoch=message.agent_epoch)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def _claim(self, domain: str, epoch: int) -> None:
        """Sends claims until they are taken, or the domain is gone (then it comes up again)."""
        while self._open.get(domain) == epoch:
            try:
                claims = await self._engine.store.claims(domain)
            except StorageError:
                log.warning("claims cannot be read, will be tried again", domain=domain)
            else:
                pages = _pages(claims, epoch, self._engine.ids.new())
                if not all(self._engine.gateway.send(domain, page) for page in pages):
                    return
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._changed.wait()
            except TimeoutError:
                pass


def _pages(claims: tuple[Claim, ...], epoch: int, claims_id: str) -> list[Claims]:
    starts = range(0, len(claims), PAGE_CLAIMS) or [0]
    chunks = [claims[start : start + PAGE_CLAIMS] for start in starts]
    return [Claims(epoch, claims_id, i, len(chunks), chunk) for i, chunk in enumerate(chunks)]
