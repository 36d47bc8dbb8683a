"""What a record tells of VNodes that were carried."""

from __future__ import annotations

from hypothesis import given, strategies as st

from orchestrator.carried import CarriedVNode, carried_next, now_running

MS = st.none() | st.integers(0, 10**13)
EVERY = st.builds(
    CarriedVNode,
    vnode=st.sampled_from("abc"),
    source=st.just("berlin"),
    target=st.just("munich"),
    live=st.booleans(),
    reason=st.sampled_from(["", "hosts cannot"]),
    since_ms=MS,
    still_ms=MS,
)
B = CarriedVNode("b", "munich", "zurich", True, since_ms=1000)


def test_a_new_version_tells_of_its_own_and_of_what_still_waits() -> None:
    began = CarriedVNode("c", "munich", "zurich", True, since_ms=1000, still_ms=5)
    a = CarriedVNode("a", "berlin", "munich", False, "hosts cannot", 2000)
    assert carried_next([B, began], [a]) == (a, B)
    again = CarriedVNode("b", "zurich", "berlin", True, since_ms=3000)
    assert carried_next([B], [again]) == (again,)
    assert carried_next([began], []) == ()


def test_what_runs_stood_still_from_when_it_stopped_until_then() -> None:
    (after,) = now_running([B], {"b": 1250, "x": 9})
    assert (after.still_ms, after.waits) == (250, False)
    # Once told it stays so, and a clock that was set back makes nothing negative.
    assert now_running([after], {"b": 9000}) == (after,)
    assert now_running([B], {"b": 10})[0].still_ms == 0


@given(st.lists(EVERY, max_size=3, unique_by=lambda each: each.vnode))
def test_what_its_user_had_stopped_stands_still_for_nobody(carried: list[CarriedVNode]) -> None:
    after = now_running(carried, dict.fromkeys("abc", 10**14))
    for one, other in zip(carried, after, strict=True):
        if one.since_ms is None:
            assert other == one
        assert not other.waits
