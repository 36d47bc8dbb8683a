"""Who waits until others have left VLANs that it is to have, as two do that change over at once.

What a reservation is to have is made before what it had is withdrawn, so that traffic is not
interrupted. Where each of two is to have what the other had until now, neither could begin: one of
them goes first, without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container

from agents.backends.base import Placement
from agents.touched import Touched

MAKE_WAY_S = 5


class MakingWay:
    """All of one agent's reservations. ``busy``: those that are being worked on."""

    def __init__(self, touched: Touched, busy: Container[str]) -> None:
        self._touched, self._busy = touched, busy
        self._waiting: dict[str, Placement] = {}
        self._moved = asyncio.Event()

    def moved(self) -> None:
        """Something was withdrawn, or a reservation is not worked on any more."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def wait(self, reservation_id: str, placement: Placement) -> None:
        """Until nobody that is being worked on has any of these VLANs, MAKE_WAY_S at most.

        Who closes a circle of those that wait for one another does not wait: where it was refused
        it withdraws what it had, and comes again.
        """
        self._waiting[reservation_id] = placement
        try:
            if not self._must_wait(reservation_id):
                return
            async with asyncio.timeout(MAKE_WAY_S):
                while self._must_wait(reservation_id):
                    await self._moved.wait()
        except TimeoutError:
            pass
        finally:
            del self._waiting[reservation_id]

    def _must_wait(self, reservation_id: str) -> bool:
        return bool(self._ahead(reservation_id)) and not self._in_circle(reservation_id)

    def _ahead(self, reservation_id: str) -> set[str]:
        """Whom one waits for."""
        placement = self._waiting.get(reservation_id)
        found = self._touched.reservations(placement) if placement is not None else set()
        return {each for each in found - {reservation_id} if each in self._busy}

    def _in_circle(self, reservation_id: str) -> bool:
        seen: set[str] = set()
        left = self._ahead(reservation_id)
        while left:
            seen |= left
            left = {each for other in left for each in self._ahead(other)} - seen
        return reservation_id in seen
