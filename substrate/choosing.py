"""One VLAN for each of some groups, different where two of them meet on a port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from substrate.vlans import VlanSet

TRIES_MAX = 2_000
"""VLANs that are tried for groups that meet, directly or by way of others, before it gives up."""
Groups = Mapping[int, int]
"""Per group, by number, the VLANs that it may have, as a mask; never none."""
Rivals = Mapping[int, list[int]]
"""Per group the others that it meets."""


def choose(
    groups: Groups, meetings: Mapping[str, list[int]], wishes: Groups, start: int
) -> dict[int, int] | int:
    """A VLAN per group; or the most constrained group of those for which none were found.

    ``meetings``: per port the groups that meet there. ``wishes``: VLANs to be taken before others.
    Those follow from the ``start``-th on.
    """
    met = {root for own in meetings.values() for root in own} if meetings else ()
    chosen = {
        root: next(_in_order(mask, wishes.get(root, 0), start))
        for root, mask in groups.items()
        if root not in met
    }
    for members, rivals in _apart_from_others(sorted(met), meetings):
        found = _placed({root: groups[root] for root in members}, rivals, wishes, start)
        if found is None:
            return min(members, key=lambda root: (groups[root].bit_count(), root))
        chosen |= found
    return chosen


def _apart_from_others(
    groups: Iterable[int], meetings: Mapping[str, list[int]]
) -> Iterator[tuple[list[int], Rivals]]:
    """Groups that meet, directly or by way of others, each with those that it meets."""
    rivals: dict[int, dict[int, None]] = {root: {} for root in groups}
    for met in meetings.values():
        for root in met:
            rivals[root].update(dict.fromkeys(met))
    seen: set[int] = set()
    for first in rivals:
        if first in seen:
            continue
        members = [first]
        seen.add(first)
        for root in members:
            members += [other for other in rivals[root] if other not in seen]
            seen.update(rivals[root])
        yield members, {root: [o for o in rivals[root] if o != root] for root in members}


def _placed(
    groups: Mapping[int, int], rivals: Rivals, wishes: Mapping[int, int], start: int
) -> dict[int, int] | None:
    """One VLAN per group, different where groups meet: the one with fewest left first."""
    chosen: dict[int, int] = {}
    tries = 0

    def place(left: Mapping[int, int]) -> bool:
        nonlocal tries
        if not left:
            return True
        root = min(left, key=lambda each: (left[each].bit_count(), each))
        others = {each: mask for each, mask in left.items() if each != root}
        for vlan in _in_order(left[root], wishes.get(root, 0), start):
            tries += 1
            if tries > TRIES_MAX:
                return False
            after = dict(others)
            for rival in rivals[root]:
                if rival in after:
                    after[rival] &= ~(1 << vlan)
            if all(after.values()) and place(after):
                chosen[root] = vlan
                return True
        return False

    return chosen if place(groups) else None


def _in_order(free: int, wished: int, start: int) -> Iterator[int]:
    """Those wished for, then the others ascending, but beginning at the ``start``-th one."""
    if free & wished:
        yield from VlanSet(free & wished)
    others = VlanSet(free & ~wished)
    if others:
        first = others.nth(start % len(others))
        yield first
        yield from VlanSet(others.mask & (-2 << first))
        yield from VlanSet(others.mask & ((1 << first) - 1))
