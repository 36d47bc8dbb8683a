"""Amounts with units, as people write them ("10 Gb/s", "8 GiB", "4 cores"), exact both ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

AMOUNT_MAX = 10**18
"""The largest amount, in the base unit: 1 Eb/s, 1 EB."""


class Unit(Enum):
    """The base unit that an amount counts; its value is how people write it."""

    BANDWIDTH_BPS = "b/s"
    DATA_BYTES = "B"
    COMPUTE_MCORES = "mcores"
    COUNT_PIECES = "pieces"
    DURATION_US = "us"
    POWER_MW = "mW"
    PRICE_MICROS = "micro/h"
    """Millionths of a unit of account, per hour."""


@dataclass(frozen=True, slots=True, order=True)
class Amount:
    """``value`` times a base unit, 0 to AMOUNT_MAX."""

    value: int
    unit: Unit

    def __str__(self) -> str:
        return format_amount(self)


_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {f"{prefix}i": 1024**power for power, prefix in enumerate("KMGTP", start=1)}

SPELLINGS: dict[Unit, dict[str, int]] = {
    Unit.BANDWIDTH_BPS: {f"{prefix}b/s": factor for prefix, factor in _DECIMAL.items()},
    Unit.DATA_BYTES: {f"{prefix}B": n for prefix, n in {**_DECIMAL, **_BINARY}.items()},
    Unit.COMPUTE_MCORES: {"mcores": 1, "cores": 1000},
    Unit.COUNT_PIECES: {"pieces": 1},
    Unit.DURATION_US: {"us": 1, "ms": 1000, "s": 1_000_000},
    Unit.POWER_MW: {"mW": 1, "W": 1000, "kW": 1_000_000},
    Unit.PRICE_MICROS: {"micro/h": 1, "milli/h": 1000, "/h": 1_000_000},
}
"""How each unit may be written, and how many base units that is."""

FEW, MANY = 1000, 10_000
"""Counts of a unit that are read at a glance, and those that are not read at all."""

EXAMPLES: dict[Unit, str] = {
    Unit.BANDWIDTH_BPS: "10 Gb/s",
    Unit.DATA_BYTES: "8 GiB",
    Unit.COMPUTE_MCORES: "4 cores",
    Unit.COUNT_PIECES: "2 pieces",
    Unit.DURATION_US: "5 ms",
    Unit.POWER_MW: "350 W",
    Unit.PRICE_MICROS: "0.05 /h",
}

_SINGULAR = {"mcore": "mcores", "core": "cores", "piece": "pieces"}
_READABLE = {text: (unit, n) for unit, table in SPELLINGS.items() for text, n in table.items()}
_READABLE |= {one: _READABLE[many] for one, many in _SINGULAR.items()}
_WRITTEN = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)[ ]*([A-Za-z/]*)", re.ASCII)


def parse_amount(text: str, wanted: Unit | None = None) -> Amount:
    """The amount that ``text`` says, in ``wanted`` (None: in whichever unit it says).

    Raises ValueError: no unit or another one, negative, too fine, too large.
    """
    possible = EXAMPLES[wanted] if wanted is not None else ", ".join(EXAMPLES.values())
    if text.startswith("-"):
        raise ValueError(f"'{_short(text)}' is negative; possible: 0 or more, such as {possible}")
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(f"'{_short(text)}' is not an amount; possible: {possible}")
    number, spelled = match.groups()
    if not spelled:
        raise ValueError(f"'{text}' has no unit; possible: {possible}")
    unit, factor = _READABLE.get(spelled, (None, 0))
    if unit is None or unit is not (wanted or unit):
        raise ValueError(f"'{_short(text)}' is in the wrong unit; possible: {possible}")
    value = Decimal(number) * factor
    if value != int(value):
        raise ValueError(f"'{text}' is finer than 1 {unit.value}; possible: whole {unit.value}")
    if value > AMOUNT_MAX:
        raise ValueError(f"'{text}' is over the most possible, {Amount(AMOUNT_MAX, unit)}")
    return Amount(int(value), unit)


def format_amount(amount: Amount) -> str:
    """The shortest whole number of a larger unit that says it exactly: "8 GiB", "1500 Mb/s"."""
    table = SPELLINGS[amount.unit]
    whole = [spelled for spelled, factor in table.items() if amount.value % factor == 0]
    spelled = max(whole, key=lambda each: table[each]) if amount.value else amount.unit.value
    count = amount.value // table[spelled]
    plural = spelled in _SINGULAR.values()
    return f"{count} {spelled[:-1] if plural and count == 1 else spelled}"


def readable(amount: Amount, beside: Amount | None = None) -> str:
    """For people, who compare: as :func:`format_amount` while that has three digits, else with up
    to two decimals of a larger unit, "64.5 GiB"; only beyond four digits rounded, and then up.

    ``beside``: another that is told with it; bytes are of its kind, of powers of two or of ten.
    """
    exact = format_amount(amount)
    binary = format_amount(beside or amount).endswith("iB")
    if amount.unit is not Unit.DATA_BYTES or binary is exact.endswith("iB"):
        count = int(exact.partition(" ")[0])
        if count < FEW:
            return exact
    else:
        count = MANY
    units = {
        spelled: factor
        for spelled, factor in SPELLINGS[amount.unit].items()
        if factor <= amount.value and (factor == 1 or spelled.endswith("iB") is binary)
    }
    spelled = max(units, key=lambda each: units[each], default="")
    if not spelled:
        return exact
    hundredths, rest = divmod(amount.value * 100, units[spelled])
    if rest and count < MANY:
        return exact
    whole = Decimal(hundredths + bool(rest)) / 100
    return f"{whole.normalize():f} {spelled}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
