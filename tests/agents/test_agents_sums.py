"""Sums of a joint that are kept part by part are what adding all up anew gives."""

from __future__ import annotations

from hypothesis import given, strategies as st

from agents.sums import EVER, Outcomes, Sums
from agents.usage import Usage, greatest
from substrate.calendar import Direction, Resource
from substrate.model import Window

A, B = (Resource(name, Direction.IN) for name in "ab")
WHOLE = Window(0, 8)

windows = st.tuples(st.integers(0, 7), st.integers(1, 8)).map(
    lambda pair: Window(pair[0], min(8, pair[0] + pair[1]))
)
usages = st.lists(st.builds(Usage, st.sampled_from([A, B]), windows, st.integers(1, 9)), max_size=4)
outcomes = st.tuples(usages, usages)


def levels(counted: tuple[Usage, ...], resource: Resource) -> list[int]:
    found = [0] * WHOLE.end_s
    for usage in counted:
        if usage.resource == resource:
            for second in range(usage.window.start_s, usage.window.end_s):
                found[second] += usage.bandwidth_bps
    return found


def same(some: tuple[Usage, ...], others: tuple[Usage, ...]) -> bool:
    return all(levels(some, resource) == levels(others, resource) for resource in (A, B))


def test_the_larger_outcome_counts_at_each_instant() -> None:
    comes, stays = [Usage(A, Window(0, 4), 3)], [Usage(A, Window(2, 6), 5)]
    sums = Sums([comes, stays], ["m"])
    assert levels(sums.usages(), A) == [3, 3, 5, 5, 5, 5, 0, 0]
    assert sums.within(Window(1, 3)) == (Usage(A, Window(1, 2), 3), Usage(A, Window(2, 3), 5))


def test_what_changes_is_told_and_nothing_else() -> None:
    one, other = Usage(A, Window(0, 4), 3), Usage(B, WHOLE, 2)
    sums = Sums([[one, other], [one, other]], ["m"])
    late = Window(2, 4)
    gone, come = sums.change([[Usage(A, late, 3)], []], [[], []], late)
    assert (gone, come) == ([], [])
    gone, come = sums.change([[], [Usage(A, late, 3)]], [[], []], late)
    assert (gone, come) == ([Usage(A, late, 3)], [])
    gone, come = sums.change([[], []], [[Usage(A, late, 1)], []], late)
    assert (gone, come) == ([], [Usage(A, late, 1)])


@given(outcomes, st.lists(outcomes, max_size=4))
def test_sums_that_change_are_as_if_all_were_added_up(
    first: Outcomes, more: list[Outcomes]
) -> None:
    sums = Sums(first, ["m"])
    counted = Sums(first, ["m"]).usages()
    for each in more:
        gone, come = sums.change(([], []), each, WHOLE)
        less = [Usage(u.resource, u.window, -u.bandwidth_bps) for u in gone]
        counted = greatest([[*counted, *less, *come]])
    every = [[u for each in (first, *more) for u in each[number]] for number in (0, 1)]
    assert same(sums.usages(), greatest(every))
    assert same(counted, greatest(every))
    for each in more:
        sums.change(each, ([], []), EVER)
    assert same(sums.usages(), greatest(first))


@given(outcomes, outcomes, st.sampled_from([(True, True), (True, False), (False, True)]))
def test_without_a_member_the_others_count_in_the_outcomes_that_may_come(
    own: Outcomes, others: Outcomes, may: tuple[bool, bool]
) -> None:
    every = [[*mine, *its] for mine, its in zip(own, others, strict=True)]
    left = greatest(usages for usages, also in zip(others, may, strict=True) if also)
    assert same(Sums(every, ["m"]).without(own, may, WHOLE), left)
