"""Records of which nothing is expected soon, as few bytes each; woken by their key, their
reservation, or time.

A row here is ``transaction_id \\0 part_id \\0 reservation_id \\0``, the other columns of the part's
row in the database, the number of its reservation in the book (0: not live), and when it wants
attention next. Ids hold no \\0, so rows sort as their keys do.
"""

from __future__ import annotations

import marshal
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from struct import Struct
from typing import Any

import numpy as np

from agents.rows import prep_to_bytes, record_from_row, record_to_row
from agents.values import Key, Record
from substrate.sorting import Ints, order_of
from substrate.values import dataclass

CHUNK_MAX = 1024
LAST_MS = (1 << 63) - 1
_TAIL = Struct(">qq")
MARSHAL = 2
"""The last version that does not look for what occurs twice, which takes half as long again."""

Kind = tuple[str, str]
"""A part's state, and whose it is: its orchestrator."""


def packed(rows: Sequence[Sequence[Any]], numbers: Ints, dues_ms: Ints) -> list[bytes]:
    """Rows of the table ``agent_parts``, each with its number and when it is due, as rows here."""
    tails = np.column_stack((numbers, dues_ms)).astype(">i8").tobytes()
    return [
        b"%b%b%b"
        % (
            f"{row[0]}\0{row[1]}\0{row[2]}\0".encode(),
            marshal.dumps(tuple(row[3:]), MARSHAL),
            tails[at : at + 16],
        )
        for at, row in zip(range(0, len(tails), 16), rows, strict=True)
    ]


def row_of(record: Record, number: int, due_ms: int) -> bytes:
    """A record as a row; it has a prep."""
    prep = record.part.prep
    assert prep is not None
    values = record_to_row(record, prep_to_bytes(prep))
    return packed([values], np.array([number]), np.array([min(due_ms, LAST_MS)]))[0]


def record_of(row: bytes) -> Record:
    """The inverse of :func:`row_of`."""
    *ids, rest = row.split(b"\0", 3)
    return record_from_row((*(each.decode() for each in ids), *marshal.loads(rest)))


def number_of(row: bytes) -> int:
    """The number of its reservation in the book; 0: the part is not live."""
    number: int = _TAIL.unpack_from(row, len(row) - _TAIL.size)[0]
    return number


def prefix(*ids: bytes) -> bytes:
    """Ids as a row has them."""
    return b"".join(b"%b\0" % each for each in ids)


@dataclass(frozen=True, slots=True)
class Sleepers:
    """Rows, and of each what :func:`reservations_of` says, and when it wants attention."""

    rows: list[bytes]
    reservations: Ints
    dues_ms: Ints
    kinds: Counter[Kind]


class Asleep:
    """Rows in the order of their keys, of a hash of their reservations, and of time."""

    def __init__(self) -> None:
        self._by_key = _Shelf(None)
        self._by_reservation = _Shelf(_hash_first)
        self._by_due = _Shelf(_due_first)
        self.kinds: Counter[Kind] = Counter()
        """How many there are of each kind."""
        self.count = 0
        """How many there are in all."""

    def fill(self, sleepers: Sleepers) -> None:
        """At start, in place of none."""
        rows, by_key = np.array([*sleepers.rows, None], object)[:-1], _order_of(sleepers.rows)
        self._by_key.fill(rows[by_key].tolist())
        # Rows of one reservation, or time, stay in the order of their keys.
        numbers = sleepers.reservations.view(np.uint64)[by_key]
        self._by_reservation.fill(rows[by_key[np.argsort(numbers, kind="stable")]].tolist())
        self._by_due.fill(rows[by_key[order_of(sleepers.dues_ms[by_key])]].tolist())
        self.kinds, self.count = sleepers.kinds, len(sleepers.rows)

    def add(self, row: bytes, kind: Kind) -> None:
        """One more."""
        for shelf in (self._by_key, self._by_reservation, self._by_due):
            shelf.add(row)
        self.kinds[kind] += 1
        self.count += 1

    def remove(self, row: bytes, kind: Kind) -> None:
        """One less."""
        for shelf in (self._by_key, self._by_reservation, self._by_due):
            shelf.remove(row)
        self.kinds[kind] -= 1
        self.count -= 1

    def reservation_of(self, key: Key) -> str | None:
        """Whose part ``key`` is, if it is there."""
        wanted = prefix(key[0].encode(), key[1].encode())
        row = self._by_key.first(wanted, None)
        return _reservation_of(row).decode() if row.startswith(wanted) else None

    def parts_of(self, reservation_id: str) -> list[bytes]:
        """The rows of a reservation, in the order of their keys."""
        wanted = reservation_id.encode()
        number = _hashed(wanted)
        first = self._by_reservation.first(number, _hash_of)
        if not first or _hash_of(first) != number:
            return []
        rows = takewhile(
            lambda row: _hash_of(row) == number, self._by_reservation.since(_hash_first(first))
        )
        return [row for row in rows if _reservation_of(row) == wanted]

    def after(self, key: Key | None) -> Iterator[bytes]:
        """Rows in the order of their keys, from behind ``key``."""
        if key is None:
            return self._by_key.since(b"")
        first = prefix(key[0].encode(), key[1].encode())
        rows = self._by_key.since(first)
        return (row for row in rows if not row.startswith(first))

    def due(self, now_ms: int, limit: int) -> list[str]:
        """Reservations of at most ``limit`` rows that want attention by then."""
        found: dict[str, None] = {}
        for count, row in enumerate(self._by_due.since(b"")):
            if count == limit or _due_ms(row) > now_ms:
                break
            found[_reservation_of(row).decode()] = None
        return list(found)

    def next_due_ms(self) -> int | None:
        """When the first one wants attention."""
        row = self._by_due.first(b"", _due_of)
        return _due_ms(row) if row else None

    def __len__(self) -> int:
        return self.count


class _Shelf:
    """Rows in chunks, in the order of ``order`` (None: their own); no two of the same order."""

    def __init__(self, order: Callable[[bytes], bytes] | None) -> None:
        self._key = order
        self._order = order or bytes
        self._chunks: list[list[bytes]] = []
        self._firsts: list[bytes] = []

    def fill(self, rows: Sequence[bytes]) -> None:
        size = CHUNK_MAX // 2
        self._chunks = [list(rows[at : at + size]) for at in range(0, len(rows), size)]
        self._firsts = [self._order(chunk[0]) for chunk in self._chunks]

    def add(self, row: bytes) -> None:
        if not self._chunks:
            self._chunks.append([row])
            self._firsts.append(self._order(row))
            return
        i = self._chunk_of(self._order(row))
        chunk = self._chunks[i]
        insort(chunk, row, key=self._key)
        if len(chunk) > CHUNK_MAX:
            self._chunks.insert(i + 1, chunk[CHUNK_MAX // 2 :])
            del chunk[CHUNK_MAX // 2 :]
            self._firsts.insert(i + 1, self._order(self._chunks[i + 1][0]))
        self._firsts[i] = self._order(chunk[0])

    def remove(self, row: bytes) -> None:
        wanted = self._order(row)
        i = self._chunk_of(wanted)
        chunk = self._chunks[i]
        j = bisect_left(chunk, wanted, key=self._key)
        assert chunk[j] == row
        del chunk[j]
        if not chunk:
            del self._chunks[i], self._firsts[i]
        elif not j:
            self._firsts[i] = self._order(chunk[0])

    def first(self, wanted: bytes, key: Callable[[bytes], bytes] | None) -> bytes:
        """The first row whose ``key``, with which its order begins, is at least ``wanted``.

        Empty when there is none.
        """
        if not self._chunks:
            return b""
        i = max(bisect_left(self._firsts, wanted) - 1, 0)
        j = bisect_left(self._chunks[i], wanted, key=key)
        if j < len(self._chunks[i]):
            return self._chunks[i][j]
        return self._chunks[i + 1][0] if i + 1 < len(self._chunks) else b""

    def since(self, order: bytes) -> Iterator[bytes]:
        """Rows of at least that order; nothing must change meanwhile."""
        if not self._chunks:
            return
        i = self._chunk_of(order)
        chunk = self._chunks[i]
        yield from chunk[bisect_left(chunk, order, key=self._key) :]
        for chunk in self._chunks[i + 1 :]:
            yield from chunk

    def _chunk_of(self, order: bytes) -> int:
        return max(bisect_right(self._firsts, order) - 1, 0)


def _reservation_of(row: bytes) -> bytes:
    return row.split(b"\0", 3)[2]


def _number_of(reservation_id: bytes) -> int:
    return hash(reservation_id) & (1 << 64) - 1


def _hashed(reservation_id: bytes) -> bytes:
    return _number_of(reservation_id).to_bytes(8)


def _hash_of(row: bytes) -> bytes:
    return _hashed(_reservation_of(row))


def _hash_first(row: bytes) -> bytes:
    return _hash_of(row) + row


def reservations_of(rows: Sequence[bytes]) -> Ints:
    """A number for the reservation of each row, in this process: hardly two have the same."""
    return np.fromiter((hash(row.split(b"\0", 3)[2]) for row in rows), np.int64, len(rows))


def _order_of(rows: Sequence[bytes]) -> Ints:
    """The order of rows: that of their beginnings, as numbers, which are sorted much sooner.

    Only rows that begin alike are compared whole.
    """
    numbers = np.frombuffer(b"".join([row[:8] for row in rows]), ">u8").astype(np.uint64)
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    alike = np.flatnonzero(np.diff(numbers[1:] == numbers[:-1], prepend=False, append=False))
    for first, last in alike.reshape(-1, 2).tolist():
        run = order[first : last + 1]
        run[:] = sorted(run.tolist(), key=rows.__getitem__)
    return order


def _due_of(row: bytes) -> bytes:
    return row[-8:]


def _due_first(row: bytes) -> bytes:
    return row[-8:] + row


def _due_ms(row: bytes) -> int:
    return int.from_bytes(row[-8:])


def kind_of(record: Record) -> Kind:
    """See :class:`Asleep`."""
    prep = record.part.prep
    return (record.part.state.name, "" if prep is None else prep.orchestrator_id)


def rows_of(records: Iterable[tuple[Record, int]], number: int) -> Iterator[tuple[bytes, Kind]]:
    """Parts of one reservation, each with when it is due, as :meth:`Asleep.add` takes them."""
    for record, due_ms in records:
        yield row_of(record, number if record.live else 0, due_ms), kind_of(record)
