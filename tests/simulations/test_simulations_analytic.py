"""The closed forms against the known table, against each other, and against brute force."""

from __future__ import annotations

from fractions import Fraction
from math import exp
from random import Random

import pytest
from hypothesis import given, strategies as st

from simulations.analytic import equal_splitting, full_offers, partial_offers, success_rate
from substrate.model import Strategy

TABLE = {
    (1, 1, "full"): 0.500,
    (1, 0, "equal"): 0.500,
    (2, 2, "full"): 0.833,
    (2, 0, "equal"): 0.583,
    (2, 1, "partial"): 0.833,
    (3, 3, "full"): 0.958,
    (3, 0, "equal"): 0.602,
    (3, 1, "partial"): 0.854,
    (3, 2, "partial"): 0.958,
    (4, 4, "full"): 0.992,
    (4, 0, "equal"): 0.610,
    (4, 1, "partial"): 0.859,
    (4, 2, "partial"): 0.963,
    (4, 3, "partial"): 0.992,
}
STRATEGIES = {
    "full": Strategy.FULL_OFFERS,
    "equal": Strategy.EQUAL_SPLITTING,
    "partial": Strategy.PARTIAL_OFFERS,
}


@pytest.mark.parametrize(("row", "expected"), TABLE.items(), ids=str)
def test_the_known_values(row: tuple[int, int, str], expected: float) -> None:
    domains, visible, name = row
    rate = float(success_rate(domains, visible, STRATEGIES[name]))
    assert rate == pytest.approx(expected, abs=0.00051)


def test_exact_values_by_hand() -> None:
    assert full_offers(2) == Fraction(5, 6)
    assert equal_splitting(2) == Fraction(7, 12)
    assert partial_offers(2, 1) == Fraction(5, 6)
    assert full_offers(4) == Fraction(119, 120)


@given(st.integers(1, 12))
def test_the_two_ends_of_partial_offers(domains: int) -> None:
    assert partial_offers(domains, 0) == equal_splitting(domains)
    assert partial_offers(domains, domains) == full_offers(domains)


@given(st.integers(2, 12), st.data())
def test_seeing_more_never_harms(domains: int, data: st.DataObject) -> None:
    visible = data.draw(st.integers(0, domains - 1))
    assert partial_offers(domains, visible) <= partial_offers(domains, visible + 1)


@given(st.integers(1, 60))
def test_equal_splitting_grows_and_stays_below_its_bound(domains: int) -> None:
    assert equal_splitting(domains) < equal_splitting(domains + 1) < 1 - exp(-1)


@pytest.mark.parametrize(("domains", "visible"), [(2, 0), (3, 1), (4, 2), (5, 2)])
def test_brute_force_agrees(domains: int, visible: int) -> None:
    random, count, trials = Random(11), 0, 40_000
    blind = domains - visible
    for _ in range(trials):
        rest = random.random() - sum(random.random() for _ in range(visible))
        asked = max(0.0, rest / blind)
        count += all(random.random() >= asked for _ in range(blind))
    # Five standard deviations of a fair coin, the worst case.
    assert count / trials == pytest.approx(float(partial_offers(domains, visible)), abs=0.0125)


@pytest.mark.parametrize(
    ("domains", "visible", "strategy"),
    [(3, 2, Strategy.FULL_OFFERS), (2, 1, Strategy.AUTO), (2, 2, Strategy.SINGLE_PATH)],
)
def test_rows_that_the_figure_does_not_have(domains: int, visible: int, strategy: Strategy) -> None:
    with pytest.raises(ValueError, match=strategy.name):
        success_rate(domains, visible, strategy)


def test_one_domain_is_a_coin() -> None:
    for strategy in (Strategy.SINGLE_PATH, Strategy.FULL_OFFERS):
        assert success_rate(1, 1, strategy) == Fraction(1, 2)
