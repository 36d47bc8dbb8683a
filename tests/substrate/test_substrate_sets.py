"""Sets of routes against a plain walk through all of them."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, strategies as st

from substrate.filling import fill
from substrate.sets import TOP, Sets

routes_of = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("pqrst"), st.integers(0, 40), min_size=1),
        st.integers(0, 9) | st.just(TOP * 4),
        st.integers(0, 3) | st.just(TOP * 4),
    ),
    min_size=1,
    max_size=6,
)


@given(routes_of, st.integers(1, 4), st.integers(1, 120))
def test_they_are_all_that_no_single_resource_rules_out_best_first(
    routes: list[tuple[dict[str, int], int, int]], size: int, wanted: int
) -> None:
    limits = [own for own, _, _ in routes]
    bottlenecks = [min(own.values()) for own in limits]

    def at_most(chosen: tuple[int, ...], resource: str) -> int:
        """What they could carry if this resource alone were shared."""
        over = [i for i in chosen if resource in limits[i]]
        room = min(own[resource] for own in limits if resource in own)
        others = sum(bottlenecks[i] for i in chosen if i not in over)
        return others + min(room, sum(bottlenecks[i] for i in over))

    def rank(chosen: tuple[int, ...]) -> tuple[int, int, int]:
        latencies = [min(routes[i][1], TOP) for i in chosen]
        prices = sum(min(routes[i][2], TOP) for i in chosen)
        return max(latencies) - min(latencies), max(latencies), prices

    every = {resource for own in limits for resource in own}
    expected = [
        chosen
        for chosen in combinations(range(len(routes)), size)
        if sum(bottlenecks[i] for i in chosen) >= wanted
        and (size == 1 or all(at_most(chosen, resource) >= wanted for resource in every))
    ]
    sets = Sets(limits, [us for _, us, _ in routes], [price for _, _, price in routes])
    assert list(sets.likely(size, wanted)) == sorted(expected, key=rank)


@given(routes_of, st.lists(st.integers(1, 120), min_size=1, max_size=6))
def test_all_of_them_carry_what_fits_whatever_was_asked_before(
    routes: list[tuple[dict[str, int], int, int]], asked: list[int]
) -> None:
    limits = [own for own, _, _ in routes]
    sets = Sets(limits, [us for _, us, _ in routes], [price for _, _, price in routes])
    for wanted in asked:
        assert sets.carry(wanted) == (sum(fill(limits, wanted, 0)) == wanted)
