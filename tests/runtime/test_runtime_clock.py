"""Ids are UUIDs that begin with the time."""

from __future__ import annotations

import re
import time
import uuid

from runtime.clock import RandomIds


def test_ids_are_uuids_of_32_characters_that_begin_with_the_time() -> None:
    before_ms = time.time_ns() // 1_000_000
    found = [RandomIds().new() for _ in range(1000)]
    after_ms = time.time_ns() // 1_000_000
    assert len(set(found)) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)
    parsed = [uuid.UUID(each) for each in found]
    assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
    assert all(before_ms <= each.int >> 80 <= after_ms for each in parsed)
    # Every other bit is 0 in some and 1 in others.
    ones = zeros = 0
    for each in parsed:
        ones |= each.int
        zeros |= ~each.int
    assert (ones & zeros & ((1 << 80) - 1)).bit_count() == 80 - 6
