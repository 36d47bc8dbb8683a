"""Writing to a store whose failures are not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from agents.store import Key, Record, Store
from runtime.database import StorageError


class Ledger:
    """A store that does not mind what a failed write left behind.

    A write that failed may still have happened (a connection lost during commit). The row of a part
    that the agent then treats as never seen is *doubtful*: every later write removes it as well, so
    a restart cannot find capacity promised twice.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Each doubt has a number, so that settling an old one does not settle a newer one.
        self._doubtful: dict[Key, int] = {}
        self._doubts = 0

    async def save(self, record: Record, fresh: bool = False) -> None:
        """Writes one record; ``fresh``: there was none by its key. Raises StorageError."""
        fresh = self._doubtful.pop(record.key, None) is not None or fresh
        try:
            await self._write([record], ())
        except StorageError:
            if fresh:
                self._doubts += 1
                self._doubtful[record.key] = self._doubts
            raise

    async def forget(self, key: Key) -> None:
        """Drops one record. Raises StorageError."""
        await self._write((), [key])

    async def _write(self, records: Sequence[Record], forgotten: Sequence[Key]) -> None:
        doubtful = dict(self._doubtful)
        await self._store.save(records, (*sorted(doubtful), *forgotten))
        for key, doubt in doubtful.items():
            if self._doubtful.get(key) == doubt:
                del self._doubtful[key]
