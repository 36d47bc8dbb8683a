"""Writing to a store whose failures are not to be trusted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from agents.store import Store
from agents.values import Decision, Key, Life, Record
from runtime.database import StorageError


class Ledger:
    """A store that does not mind what a failed write left behind.

    A write that failed may still have happened (a connection lost during commit). Then the row of
    a part that the agent treats as never seen is *doubtful*: every later write removes it as well,
    so that a restart cannot find capacity promised twice. And so is the agent's life: every later
    write says it again, so that a restart cannot find recovery over without what it took up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Each doubt has a number, so that settling an old one does not settle a newer one.
        self._doubtful: dict[Key, int] = {}
        self._doubts = 0
        self._life: Life | None = None
        self._life_is_doubtful = False

    def take_up(self, life: Life) -> None:
        """At start: the life that the store holds."""
        self._life = life

    async def save(
        self,
        records: Sequence[Record],
        fresh: Collection[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Writes all or nothing; ``fresh``: what there was nothing of. Raises StorageError."""
        if self._doubtful:
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
        if life is None and self._life_is_doubtful:
            life = self._life
        try:
            await self._store.save(records, (*sorted(doubtful), *forgotten), life, decisions)
        except StorageError:
            self._life_is_doubtful |= life is not None
            raise
        if life is not None:
            self._life, self._life_is_doubtful = life, False
        for key, doubt in doubtful.items():
            if self._doubtful.get(key) == doubt:
                del self._doubtful[key]
