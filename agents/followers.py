"""Who is told when an offer is out of date: so that nobody has to ask again while nothing changes.

A convenience, no promise: what is told may get lost, so nobody is believed for longer than
FOLLOWED_MS.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from agents.peers import Send, Sender
from protocol.messages import OffersStale
from substrate.model import Window

FOLLOWED_MS = 300_000
FOLLOWED_MAX = 512
"""Every hold looks through them."""
TELL_S = 0.25
"""What changes in this time is told together."""


class Followers:
    """Windows that instances of orchestrators were told of, and want to hear of again."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._until_ms: OrderedDict[tuple[Sender, Window], int] = OrderedDict()
        self._stale: dict[Sender, dict[Window, None]] = {}
        self._telling: asyncio.TimerHandle | None = None

    def follow(self, sender: Sender, window: Window, now_ms: int) -> bool:
        """Whether it will be told of the next change within the window; not if there are many."""
        while self._until_ms and next(iter(self._until_ms.values())) <= now_ms:
            self._until_ms.popitem(last=False)
        key = (sender, window)
        if key not in self._until_ms and len(self._until_ms) >= FOLLOWED_MAX:
            return False
        self._until_ms[key] = now_ms + FOLLOWED_MS
        self._until_ms.move_to_end(key)
        return True

    def changed(self, window: Window) -> None:
        """What is free within the window is not what it was."""
        if not self._until_ms:
            return
        for sender, told in [key for key in self._until_ms if key[1].overlaps(window)]:
            del self._until_ms[sender, told]
            self._stale.setdefault(sender, {})[told] = None
        if self._stale and self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_S, self._tell)

    def stop(self) -> None:
        """Tells nobody any more."""
        if self._telling is not None:
            self._telling.cancel()

    def _tell(self) -> None:
        stale, self._stale, self._telling = self._stale, {}, None
        for sender, windows in stale.items():
            self._send(sender, OffersStale(tuple(windows)))
