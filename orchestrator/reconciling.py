"""The orchestrator's side of rule 7: a domain that was restored from a backup hears what it holds.

Its raised epoch is made durable first: from then on nothing is told that relies on an older one.
Only then are the claims read, so whatever users were told before is among them.
"""

from __future__ import annotations

import asyncio

import structlog

from orchestrator.carry_out import begin_again
from orchestrator.engine import Engine
from orchestrator.ports import AgentIdentity, ConflictError, Holdings, PartKey, is_earlier
from protocol.messages import Claim, Claims, Reconciled
from runtime.database import StorageError
from substrate.values import replace

log = structlog.get_logger()

PAGE_CLAIMS = 200
AGAIN_S = 5.0


class Reconciling:
    """The domains that recover, and the epoch in which each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[str, int] = {}
        self._last: dict[str, AgentIdentity] = {}
        self._behind: dict[str, AgentIdentity] = {}
        self._changed = asyncio.Event()

    async def met(self, domain: str) -> AgentIdentity | None:
        """What to show the agent as seen: a later life than its own, if it must recover."""
        return self._behind.get(domain) or await self._engine.store.met(domain)

    async def meet(self, domain: str, identity: AgentIdentity, holdings: Holdings) -> None:
        """The domain's agent has described itself. Raises StorageError, ConflictError.

        A new life is asked what it holds: a copy of its database that was made in its last life,
        or one that has started since as often as was seen, does not show by itself that it is old.
        """
        engine = self._engine
        before, known = self._last.get(domain), await engine.store.met(domain)
        if known is not None and is_earlier(identity, known):
            # What a life that is over still says is no sign of an old copy.
            raise ConflictError(domain)
        fresh = identity != before
        if fresh and not identity.recovering:
            await self._check(domain, identity, holdings)
        await engine.store.meet(domain, identity)
        self._behind.pop(domain, None)
        self._last[domain] = identity
        await engine.transactions.epoch_raised(domain, identity.epoch)
        if identity.recovering:
            log.warning("domain was restored from a backup", domain=domain, epoch=identity.epoch)
            self._open[domain] = identity.epoch
        elif self._open.pop(domain, None) is not None or (fresh and before is not None):
            # A copy of which nothing is missing may not know what has begun. At the first meeting
            # all that was taken over is being begun again in any case.
            self._begin_again(domain)

    async def _check(self, domain: str, identity: AgentIdentity, holdings: Holdings) -> None:
        relied = await self._relied_on(domain)
        held = await holdings()
        # What was given back while they were asked is not missing.
        missing = (relied - held) & await self._relied_on(domain) if relied else relied
        surplus = await self._surplus(held - relied, holdings)
        if missing or surplus:
            log.error(
                "domain has forgotten what it said",
                domain=domain,
                missing=len(missing),
                surplus=len(surplus),
            )
            self._behind[domain] = replace(identity, boot=identity.boot + 1)
            raise ConflictError(domain)

    async def _surplus(self, held: frozenset[PartKey], holdings: Holdings) -> frozenset[PartKey]:
        """What the domain holds although it has said that it is released."""
        released = await self._engine.store.given_back(held) if held else held
        # It may have been released since they were asked.
        return released & await holdings() if released else released

    async def _relied_on(self, domain: str) -> frozenset[PartKey]:
        """What all instances were told in writing, and the holds that this one goes by."""
        engine = self._engine
        return await engine.store.relied_on(domain) | engine.transactions.held(domain)

    def up(self, domain: str) -> None:
        """The domain can be reached: it hears the claims, if it waits for them."""
        if domain in self._open:
            self._engine.spawn(self._claim(domain, self._open[domain]))

    def waits(self, domain: str) -> bool:
        """Whether the domain recovers, as far as is known here."""
        return domain in self._open

    def done(self, domain: str, message: Reconciled) -> None:
        """The domain does not wait any more."""
        if self._open.get(domain) == message.agent_epoch:
            del self._open[domain]
            self._begin_again(domain)
            log.info("domain is reconciled", domain=domain, epoch=message.agent_epoch)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def _begin_again(self, domain: str) -> None:
        for live in self._engine.book.cloudnets():
            begin_again(self._engine, live, domain)

    async def _claim(self, domain: str, epoch: int) -> None:
        """Sends claims until they are taken, or the domain is gone (then it comes up again)."""
        engine = self._engine
        while self._open.get(domain) == epoch:
            try:
                claims = await engine.store.claims(domain)
            except StorageError:
                log.warning("claims cannot be read, will be tried again", domain=domain)
            else:
                pages = _pages(claims, epoch, engine.ids.new())
                sent = all(engine.gateway.send(domain, page) for page in pages)
                # Else there was no room for them.
                if not sent and domain not in engine.gateway.topology().domains:
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
