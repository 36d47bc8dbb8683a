"""The small worlds that are searched, each whole, and what there is of everything in each."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.modelcheck.world import Booking, DomainSpec, Scenario

ONE, TWO, THREE = ("m1",), ("m1", "m2"), ("m1", "m2", "m3")


class UnknownScenarioError(ValueError):
    """No scenario has this name; the text says which there are."""


def domains(*names: str, expires: str = "", restores: str = "") -> tuple[DomainSpec, ...]:
    """Domains by name; those named in ``expires`` and ``restores`` do so, the latter once."""
    return tuple(DomainSpec(name, name in expires, int(name in restores)) for name in names)


def _by_name(*scenarios: Scenario) -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in scenarios}


SMALL = _by_name(
    Scenario("reserve", domains(*TWO), (Booking((TWO,)),)),
    Scenario("expiry", domains(*TWO, expires="m1"), (Booking((TWO,)),)),
    Scenario("cancel", domains(*TWO), (Booking((TWO,), cancel=True),)),
    Scenario("modify", domains(*TWO), (Booking((ONE,), change=("m2",)),)),
    Scenario("three", domains(*THREE), (Booking((THREE,)),), instances=1),
    Scenario("restore", domains(*ONE, restores="m1"), (Booking((ONE,)),)),
    Scenario(
        "restore-expiry",
        domains(*TWO, restores="m1", expires="m2"),
        (Booking((TWO,)),),
        instances=1,
    ),
    Scenario(
        "shared",
        domains(*ONE),
        (Booking((ONE,), cancel=True), Booking((ONE,), orchestrator=1)),
        instances=1,
    ),
)
"""Seconds in all."""

FULL = SMALL | _by_name(
    Scenario("modify-cancel", domains(*TWO), (Booking((ONE,), change=("m2",), cancel=True),)),
    Scenario("expiry-cancel", domains(*TWO, expires="m1"), (Booking((TWO,), cancel=True),)),
    Scenario("expiry-modify", domains(*TWO, expires="m1"), (Booking((ONE,), change=TWO),)),
    Scenario("three-cancel", domains(*THREE), (Booking((THREE,), cancel=True),)),
    Scenario("three-expiry", domains(*THREE, expires="m1"), (Booking((THREE,), cancel=True),)),
    Scenario("replan", domains(*THREE), (Booking((TWO, ("m1", "m3"))),)),
    Scenario("compete", domains(*TWO), (Booking((TWO,)), Booking((TWO,))), instances=1),
    Scenario(
        "shared-instances",
        domains(*ONE),
        (Booking((ONE,), cancel=True), Booking((ONE,), orchestrator=1)),
    ),
    Scenario("shared-two", domains(*TWO), (Booking((TWO,)), Booking((TWO,), orchestrator=1)), 1),
    Scenario("restore-two", domains(*TWO, restores="m1"), (Booking((TWO,)),)),
    Scenario("restore-cancel", domains(*ONE, restores="m1"), (Booking((ONE,), cancel=True),)),
    Scenario("restore-alone", domains(*ONE, restores="m1", expires="m1"), (Booking((ONE,)),)),
    Scenario("again", domains(*TWO), (Booking((TWO,), again=True),)),
    Scenario(
        "restore-shared",
        domains(*ONE, restores="m1"),
        (Booking((ONE,), cancel=True), Booking((ONE,), orchestrator=1)),
        instances=1,
    ),
    Scenario(
        "restore-compete-expiry",
        domains(*ONE, restores="m1", expires="m1"),
        (Booking((ONE,)), Booking((ONE,))),
        instances=1,
        restarts=False,
    ),
    Scenario(
        "restore-compete",
        domains(*ONE, restores="m1"),
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
    if not scenario.restarts:
        words.append("instances do not crash")
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
