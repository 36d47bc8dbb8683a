"""The small worlds that are searched, each whole, and what there is of everything in each."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.modelcheck.world import Booking, DomainSpec, Scenario

ONE, TWO, THREE = ("m1",), ("m1", "m2"), ("m1", "m2", "m3")


class UnknownScenarioError(ValueError):
    """No scenario has this name; the text says which there are."""


def _domains(*names: str, expires: str = "", restores: str = "") -> tuple[DomainSpec, ...]:
    return tuple(DomainSpec(name, name in expires, int(name in restores)) for name in names)


def _by_name(*scenarios: Scenario) -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in scenarios}


SMALL = _by_name(
    Scenario("reserve", _domains(*TWO), (Booking((TWO,)),)),
    Scenario("expiry", _domains(*TWO, expires="m1"), (Booking((TWO,)),)),
    Scenario("cancel", _domains(*TWO), (Booking((TWO,), cancel=True),)),
    Scenario("modify", _domains(*TWO), (Booking((ONE,), change=("m2",)),)),
    Scenario("three", _domains(*THREE), (Booking((THREE,)),), instances=1),
    Scenario("restore", _domains(*ONE, restores="m1"), (Booking((ONE,)),)),
    Scenario(
        "restore-expiry",
        _domains(*TWO, restores="m1", expires="m2"),
        (Booking((TWO,)),),
        instances=1,
    ),
    Scenario(
        "shared",
        _domains(*ONE),
        (Booking((ONE,), cancel=True), Booking((ONE,), orchestrator=1)),
    ),
)
"""Seconds in all."""

FULL = SMALL | _by_name(
    Scenario(
        "modify-cancel", _domains(*TWO), (Booking((ONE,), change=("m2",), cancel=True),)
    ),
    Scenario("expiry-cancel", _domains(*TWO, expires="m1"), (Booking((TWO,), cancel=True),)),
    Scenario("expiry-modify", _domains(*TWO, expires="m1"), (Booking((ONE,), change=TWO),)),
    Scenario("three-cancel", _domains(*THREE), (Booking((THREE,), cancel=True),)),
    Scenario("three-expiry", _domains(*THREE, expires="m1"), (Booking((THREE,), cancel=True),)),
    Scenario("replan", _domains(*THREE), (Booking((TWO, ("m1", "m3"))),)),
    Scenario("compete", _domains(*TWO), (Booking((TWO,)), Booking((TWO,))), instances=1),
    Scenario(
        "shared-two", _domains(*TWO), (Booking((TWO,)), Booking((TWO,), orchestrator=1)), 1
    ),
    Scenario("restore-two", _domains(*TWO, restores="m1"), (Booking((TWO,)),)),
    Scenario("restore-cancel", _domains(*ONE, restores="m1"), (Booking((ONE,), cancel=True),)),
    Scenario("restore-alone", _domains(*ONE, restores="m1", expires="m1"), (Booking((ONE,)),)),
    Scenario(
        "restore-compete",
        _domains(*ONE, restores="m1"),
        (Booking((ONE,), cancel=True), Booking((ONE,))),
        instances=1,
    ),
)
"""All of the small bound, and minutes of more."""

BOUNDS = {"small": SMALL, "full": FULL}


def chosen(bound: str, only: str | None) -> tuple[Scenario, ...]:
    """The scenarios of a bound, or one of them. Raises UnknownScenarioError."""
    scenarios = BOUNDS[bound]
    if only is None:
        return tuple(scenarios.values())
    if only not in scenarios:
        raise UnknownScenarioError(f"given '{only}', possible: {', '.join(scenarios)}")
    return (scenarios[only],)


def bounds_of(scenario: Scenario) -> str:
    """What there is of everything, in words."""
    words = [
        _count(scenario.orchestrators, "orchestrator"),
        f"{_count(scenario.instances, 'instance')} each",
        _count(len(scenario.domains), "agent"),
        _count(len(scenario.bookings), "reservation"),
    ]
    words += _listed("expires", [spec.name for spec in scenario.domains if spec.expires])
    words += _listed("is restored", [spec.name for spec in scenario.domains if spec.restores])
    asked = {
        "cancel": any(booking.cancel for booking in scenario.bookings),
        "modify": any(booking.change for booking in scenario.bookings),
        "second plan": any(len(booking.plans) > 1 for booking in scenario.bookings),
        "second attempt": any(booking.again for booking in scenario.bookings),
    }
    return ", ".join([*words, *[word for word, is_asked in asked.items() if is_asked]])


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(what: str, names: Sequence[str]) -> list[str]:
    return [f"{' and '.join(names)} {what}"] if names else []
