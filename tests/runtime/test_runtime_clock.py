"""Ids are random UUIDs."""

from __future__ import annotations

import re
import uuid

from runtime.clock import RandomIds


def test_ids_are_random_uuids_of_32_characters() -> None:
    found = [RandomIds().new() for _ in range(1000)]
    assert len(set(found)) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)
    parsed = [uuid.UUID(each) for each in found]
    assert {(each.version, each.variant) for each in parsed} == {(4, uuid.RFC_4122)}
    # Every other bit is 0 in some and 1 in others.
    ones = zeros = 0
    for each in parsed:
        ones |= each.int
        zeros |= ~each.int
    assert (ones & zeros & ((1 << 128) - 1)).bit_count() == 128 - 6
