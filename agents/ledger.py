"""Writing to a store whose failures are not to be trusted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from agents.store import Store
from agents.values import Decision, Key, Life, Record
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

    async def save(
        self,
        records: Sequence[Record],
        fresh: Collection[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Writes all or nothing; ``fresh``: what there was nothing of. Raises StorageError."""
        fresh = {*fresh, *(record.key for record in records if record.key in self._doubtful)}
        for key in fresh:
            self._doubtful.pop(key, None)
        try:
            await self._write(records, (), life, decisions)
        except StorageError:
            for key in sorted(fresh):
                self._doubts += 1
                self._doubtful[key] = self._doubts
            raise

    async def forget(self, key: Key) -> None:
        """Drops one record. Raises StorageError."""
        await self._write((), (key,), None, ())

    async def _write(
        self,
        records: Sequence[Record],
        forgotten: Iterable[Key],
        life: Life | None,
        decisions: Sequence[Decision],
    ) -> None:
        doubtful = dict(self._doubtful)
        await self._store.save(records, (*sorted(doubtful), *forgotten), life, decisions)
        for key, doubt in doubtful.items():
            if self._doubtful.get(key) == doubt:
                del self._doubtful[key]
