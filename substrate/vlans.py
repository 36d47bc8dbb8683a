"""Sets of VLAN ids (IEEE 802.1Q, 1 to 4094), kept as one integer bit mask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from substrate.values import dataclass

VLAN_MIN = 1
VLAN_MAX = 4094
FEW = 12
"""Up to so many ranges a loop beats numpy."""


@dataclass(frozen=True, slots=True)
class VlanSet:
    """An immutable set of VLAN ids; bit v of ``mask`` is set when VLAN v is in the set."""

    mask: int = 0

    @classmethod
    def of(cls, *vlans: int) -> VlanSet:
        """The set of these VLANs. Raises ValueError outside 1..4094."""
        mask = 0
        for vlan in vlans:
            if not VLAN_MIN <= vlan <= VLAN_MAX:
                raise ValueError(f"VLAN {vlan} is not within {VLAN_MIN}-{VLAN_MAX}")
            mask |= 1 << vlan
        return cls(mask)

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> VlanSet:
        """The union of inclusive ranges. Raises ValueError for one not within 1..4094."""
        mask = 0
        for first, last in ranges:
            if not VLAN_MIN <= first <= last <= VLAN_MAX:
                raise ValueError(f"VLAN range {first}-{last} is not within {VLAN_MIN}-{VLAN_MAX}")
            mask |= (1 << (last + 1)) - (1 << first)
        return cls(mask)

    @classmethod
    def parse(cls, text: str) -> VlanSet:
        """Reads "100-199,300"; the empty text is the empty set. Raises ValueError."""
        ranges = []
        for piece in filter(None, (p.strip() for p in text.split(","))):
            first, dash, last = piece.partition("-")
            try:
                ranges.append((int(first), int(last) if dash else int(first)))
            except ValueError:
                raise ValueError(f"'{piece}' is not a VLAN or a range such as 100-199") from None
        return cls.from_ranges(ranges)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The inclusive ranges of the set, ascending, none touching another."""
        # A bit where a range begins, and behind where it ends.
        edges = self.mask ^ self.mask << 1
        if edges.bit_count() <= 2 * FEW:
            return tuple(self._ranges())
        octets = np.frombuffer(edges.to_bytes(VLAN_MAX // 8 + 1, "little"), np.uint8)
        at = np.flatnonzero(np.unpackbits(octets, bitorder="little")).tolist()
        return tuple([(at[i], at[i + 1] - 1) for i in range(0, len(at), 2)])

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """The same, one after the other: quicker where there are few."""
        at, rest = 0, self.mask
        while rest:
            skipped = (rest & -rest).bit_length() - 1
            rest >>= skipped
            length = (~rest & (rest + 1)).bit_length() - 1
            yield at + skipped, at + skipped + length - 1
            at, rest = at + skipped + length, rest >> length

    def lowest(self) -> int | None:
        """The smallest VLAN, or None when empty."""
        return (self.mask & -self.mask).bit_length() - 1 if self.mask else None

    def nth(self, index: int) -> int:
        """The VLAN that has ``index`` lower ones in the set; 0 <= index < len(self)."""
        lowest = (self.mask & -self.mask).bit_length() - 1
        one_range = self.mask >> lowest
        if one_range & (one_range + 1) == 0:
            return lowest + index
        at, rest, half = 0, self.mask, 1 << VLAN_MAX.bit_length()
        while half > 1:
            half >>= 1
            below = rest & ((1 << half) - 1)
            count = below.bit_count()
            if index < count:
                rest = below
            else:
                at, rest, index = at + half, rest >> half, index - count
        return at

    def __contains__(self, vlan: int) -> bool:
        return vlan >= 0 and bool(self.mask >> vlan & 1)

    def __and__(self, other: VlanSet) -> VlanSet:
        return VlanSet(self.mask & other.mask)

    def __or__(self, other: VlanSet) -> VlanSet:
        return VlanSet(self.mask | other.mask)

    def __sub__(self, other: VlanSet) -> VlanSet:
        return VlanSet(self.mask & ~other.mask)

    def __bool__(self) -> bool:
        return self.mask != 0

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __iter__(self) -> Iterator[int]:
        """Ascending."""
        return (v for first, last in self.ranges() for v in range(first, last + 1))

    def __str__(self) -> str:
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges())


ALL_VLANS = VlanSet.from_ranges([(VLAN_MIN, VLAN_MAX)])
EMPTY = VlanSet()
