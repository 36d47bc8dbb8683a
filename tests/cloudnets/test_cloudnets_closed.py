"""Links that a VLink must not take are as if they were not there: no more, and no less."""

from __future__ import annotations

import pytest
from sites import all_free, overlay, underlay

from cloudnets.partials import Asked, Refused
from cloudnets.pip import think
from cloudnets.underlay import Underlay
from embedding.objectives import OBJECTIVES

QUICK = "features: {/feature/latency: 100 us}"


def star(cores: tuple[int, ...], disk: str = "/resource/disk: 1 TB") -> Underlay:
    """Hosts at a switch by quick links, and each at the next by a slow one."""
    hosts = [f"h{i}" for i in range(len(cores))]
    lines = [
        f"  {h}: {{attribute: /node/host, resources: {{/resource/cpu: {n} cores, "
        f"/resource/memory: 1 TiB, {disk}}}}}"
        for h, n in zip(hosts, cores, strict=True)
    ]
    joins = []
    for i, host in enumerate(hosts):
        for name, other, us in ((f"q{i}", "s", 10), (f"z{i}", hosts[i - 1], 900)):
            lines.append(
                f"  {name}: {{attribute: /link/ethernet, resources: {{/resource/bandwidth: "
                f"10 Gb/s}}, features: {{/feature/latency: {us} us}}}}"
            )
            joins += [f"{host}-{name}", f"{other}-{name}"]
    return underlay("\n".join([*lines, "  s: {attribute: /node/switch}"]), " ".join(joins))


def pair(demand: str) -> Asked:
    return overlay(
        f"""
  a: {{attribute: /node/host/generic, resources: {{/resource/cpu: 2 cores}}}}
  b: {{attribute: /node/host/generic, resources: {{/resource/cpu: 2 cores}}}}
  w: {{attribute: /link/generic, resources: {{/resource/bandwidth: 1 Gb/s}}, {demand}}}""",
        "a-w b-w",
        "relations:\n  r: {different: /node/host, elements: [a, b]}\n",
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_vlink_keeps_off_what_is_slow_though_it_is_shorter(objective: str) -> None:
    site = star((8, 8, 8))
    found = think(site, pair(QUICK), all_free(site), OBJECTIVES[objective])
    assert [name[0] for name in found.ways["w"]] == ["q", "q"]
    found = think(site, pair("features: {}"), all_free(site), OBJECTIVES[objective])
    assert [name[0] for name in found.ways["w"]] == ["z"]


@pytest.mark.parametrize("time_limit_s", [0.0, 1.0])
def test_the_emptiest_hosts_are_chosen_whatever_links_are_closed(time_limit_s: float) -> None:
    """A closed link is not a full one: that would be the greatest load of all, everywhere."""
    site = star((4, 16, 16, 4))
    found = think(site, pair(QUICK), all_free(site), OBJECTIVES["load"], None, time_limit_s)
    assert set(found.hosts.values()) == {"h1", "h2"}
    assert found.cost == pytest.approx(2 / 16, abs=0.01)
    assert 0 <= found.gap < 1


def test_where_only_closed_links_lead_on_the_refusal_says_which_and_why() -> None:
    site = underlay(
        """
  x: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}
  y: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}
  k: {attribute: /link/ethernet, resources: {/resource/bandwidth: 10 Gb/s},
      features: {/feature/vlan: '200-249'}}""",
        "x-k y-k",
    )
    with pytest.raises(Refused, match=r"elements\.w: k will not do: takes VLANs 200-249, not 250"):
        think(site, pair("features: {/feature/vlan: '250'}"), all_free(site), OBJECTIVES["load"])
    found = think(
        site, pair("features: {/feature/vlan: '249'}"), all_free(site), OBJECTIVES["load"]
    )
    assert found.ways["w"] == ("k",)
