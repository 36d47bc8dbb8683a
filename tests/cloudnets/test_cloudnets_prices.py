"""What providers tell of prices and hosts of power decides where VNodes go, and what is to pay."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from clouds import G, told
from sites import all_free, overlay as asked_here, underlay

from cloudnets.pip import think
from cloudnets.prices import differing
from cloudnets.underlay import Underlay
from cloudnets.vnp import Ask, TransitLink, VnpMapping, map_overlay
from embedding.objectives import OBJECTIVES
from rdl.aggregation import aggregate
from rdl.model import Feature, Graph
from rdl.reading import read
from rdl.units import Amount, Unit

STAR = tuple(TransitLink(pip, "wan", 10 * G, 1000) for pip in ("berlin", "munich", "ulm"))
TWO_CORES = "  a: {attribute: /node/host, resources: {/resource/cpu: 2 cores}}"


def overlay(elements: str) -> Graph:
    return read(f"rdl: 1\nname: g\nlayer: overlay\nelements:\n{elements}\n").graph


def priced(name: str, cores: int, **milli: int) -> Graph:
    """An aggregate with prices in thousandths of a unit of account per hour."""
    features = (
        Feature(f"/feature/price/{kind}", Amount(1000 * price, Unit.PRICE_MICROS))
        for kind, price in milli.items()
    )
    return told(name, cores, 64, tuple(features))


def mapped(graph: Graph, pips: Mapping[str, Graph], objective: str = "cost") -> VnpMapping:
    found = map_overlay(Ask(graph, pips, STAR, objective))
    assert isinstance(found, VnpMapping), found
    return found


def test_a_vnode_goes_to_the_provider_that_is_cheapest() -> None:
    pips = {"berlin": priced("berlin", 9, cpu=50), "munich": priced("munich", 9, cpu=20)}
    assert mapped(overlay(TWO_CORES), pips).placed == {"a": "munich"}


def test_the_price_is_that_of_all_amounts_whatever_decided() -> None:
    graph = overlay(
        "  a: {attribute: /node/host, resources: {/resource/cpu: 2 cores, /resource/memory: 8 GiB}}"
    )
    pips = {"berlin": priced("berlin", 9, cpu=50, memory=5)}
    for objective in OBJECTIVES:
        price = mapped(graph, pips, objective).price
        assert price is not None
        assert price.micros == 2 * 50_000 + 8 * 5_000
        assert not price.untold


def test_where_nobody_tells_a_price_there_is_none() -> None:
    assert mapped(overlay(TWO_CORES), {"berlin": told("berlin", 9)}).price is None


def test_silence_is_not_rewarded_and_is_told() -> None:
    pips = {
        "berlin": told("berlin", 9),
        "munich": priced("munich", 9, cpu=20),
        "ulm": priced("ulm", 9, cpu=50),
    }
    assert mapped(overlay(TWO_CORES), pips).placed == {"a": "munich"}
    at_berlin = map_overlay(Ask(overlay(TWO_CORES), pips, STAR, placing={"a": "berlin"}))
    assert isinstance(at_berlin, VnpMapping)
    assert at_berlin.price is not None
    assert (at_berlin.price.micros, list(at_berlin.price.untold)) == (0.0, ["berlin"])


def test_a_price_that_all_ask_alike_does_not_hide_how_good_the_rest_is() -> None:
    pips = {name: priced(name, 9, cpu=900) for name in ("berlin", "munich")}
    found = mapped(overlay(TWO_CORES), pips)
    assert (found.objective, found.bound) == (0.0, 0.0)
    assert found.price is not None
    assert found.price.micros == 1_800_000


def test_only_what_is_over_the_least_differs_and_who_is_silent_counts_as_the_dearest() -> None:
    every: list[Mapping[str, int]] = [{"cpu": 5, "disk": 1}, {"cpu": 3}, {}]
    assert differing(every) == [
        {"cpu": 2, "disk": 0},
        {"cpu": 0, "disk": 0},
        {"cpu": 2, "disk": 0},
    ]


def hosts(*features: str) -> Underlay:
    """Two hosts ``x`` and ``y`` that differ in a feature alone."""
    return underlay(
        "\n".join(
            f"  {name}: {{attribute: /node/host, resources: {{/resource/cpu: 4 cores,"
            f" /resource/memory: 9 GiB, /resource/disk: 99 GB}}, features: {{{some}}}}}"
            for name, some in zip("xy", features, strict=True)
        )
    )


@pytest.mark.parametrize("dear", [0, 1])
def test_inside_a_provider_a_vnode_goes_to_the_cheapest_host(dear: int) -> None:
    prices = ["/feature/price/cpu: 20 milli/h", "/feature/price/cpu: 0.02 /h"]
    prices[dear] = "/feature/price/cpu: 0.03 /h"
    site = hosts(*prices)
    found = think(site, asked_here(TWO_CORES), all_free(site), OBJECTIVES["cost"])
    assert found.hosts == {"a": "yx"[dear]}
    assert found.gap == 0


@pytest.mark.parametrize("thirsty", [0, 1])
def test_for_energy_a_vnode_goes_to_the_host_that_needs_the_least_power(thirsty: int) -> None:
    power = ["/feature/power: 120 W", "/feature/power: 0.12 kW"]
    power[thirsty] = "/feature/power: 350 W"
    site = hosts(*power)
    found = think(site, asked_here(TWO_CORES), all_free(site), OBJECTIVES["energy"])
    assert found.hosts == {"a": "yx"[thirsty]}


def test_a_host_that_does_not_tell_its_power_is_taken_for_the_thirstiest() -> None:
    site = hosts("/feature/architecture: arm", "/feature/power: 350 W")
    assert list(site.network.power) == [350, 350]


def test_a_provider_tells_the_highest_price_of_its_hosts_and_no_power() -> None:
    site = hosts("/feature/price/cpu: 0.02 /h, /feature/power: 9 W", "/feature/price/cpu: 0.03 /h")
    told_ = site.aggregate(all_free(site), "berlin")
    told_prices = [f for f in told_.nodes[0].features if "/price/" in f.attribute]
    assert told_prices == [Feature("/feature/price/cpu", Amount(30_000, Unit.PRICE_MICROS))]
    assert "/feature/power" not in {f.attribute for f in told_.nodes[0].features}
    assert aggregate(site.graph, "berlin") == told_


def test_a_user_can_say_what_a_core_may_cost_at_most() -> None:
    graph = overlay(
        "  a: {attribute: /node/host, resources: {/resource/cpu: 2 cores},"
        " features: {/feature/price/cpu: 0.03 /h}}"
    )
    pips = {"berlin": priced("berlin", 9, cpu=50), "munich": priced("munich", 9, cpu=30)}
    assert mapped(graph, pips, "load").placed == {"a": "munich"}
    assert not isinstance(map_overlay(Ask(graph, {"berlin": pips["berlin"]})), VnpMapping)
