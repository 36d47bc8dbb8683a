"""What paper 003's simulations must give on average (sections 6.1 and 6.2), in closed form.

The model: N domains in parallel, each with available bandwidth uniform on (0, C); a demand uniform
on (0, C); all independent; nothing is consumed. Take C = 1, D for the demand, A_i for what domain i
has.

*Full offers* succeed when A_1 + … + A_n >= D. For x <= 1 the sum of n uniforms is below x with
probability x^n / n!, so they fail with ∫ x^n / n! dx = 1 / (n + 1)!.

*Equal splitting* asks every domain for D / n, and succeeds when each has it:
∫ (1 - x / n)^n dx = n / (n + 1) · [1 - (1 - 1 / n)^(n + 1)], never above 1 - 1 / e = 63.2%.

*Partial offers* with M of N visible: what the visible ones lack, R = D - (A_1 + … + A_M), is asked
of the K = N - M blind ones in equal parts. The visible ones suffice with 1 - 1 / (M + 1)!.
Otherwise R has density (1 - r)^M / M! on (0, 1), and the blind ones succeed with (1 - r / K)^K.
With u = 1 - r and the binomial theorem

    ∫ u^M ((K - 1 + u) / K)^K du = K^-K · Σ_j C(K, j) (K - 1)^(K - j) / (M + j + 1).

M = 0 is equal splitting, M = N full offers, N = 1 always 1/2.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial

from substrate.model import Strategy


def full_offers(domains: int) -> Fraction:
    """Success rate with all of ``domains`` >= 1 visible."""
    return 1 - Fraction(1, factorial(domains + 1))


def equal_splitting(domains: int) -> Fraction:
    """Success rate of asking each of ``domains`` >= 1 for the same."""
    n = domains
    return Fraction(n, n + 1) * (1 - Fraction(n - 1, n) ** (n + 1))


def partial_offers(domains: int, visible: int) -> Fraction:
    """Success rate with ``visible`` of ``domains`` making offers, 0 <= visible <= domains."""
    suffice = 1 - Fraction(1, factorial(visible + 1))
    blind = domains - visible
    if blind == 0:
        return suffice
    terms = (
        Fraction(comb(blind, j) * (blind - 1) ** (blind - j), visible + j + 1)
        for j in range(blind + 1)
    )
    return suffice + sum(terms, Fraction()) * Fraction(1, blind**blind * factorial(visible))


def success_rate(domains: int, visible: int, strategy: Strategy) -> Fraction:
    """The expected rate of one row of Figure 6c. Raises ValueError for a row it does not have."""
    match strategy:
        case Strategy.FULL_OFFERS if visible == domains:
            return full_offers(domains)
        case Strategy.EQUAL_SPLITTING:
            return equal_splitting(domains)
        case Strategy.PARTIAL_OFFERS:
            return partial_offers(domains, visible)
        case Strategy.SINGLE_PATH if domains == 1:
            return full_offers(1)
    raise ValueError(f"no formula for {strategy.name} with {visible} of {domains} domains visible")
