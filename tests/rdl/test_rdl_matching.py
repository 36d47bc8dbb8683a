"""What fits on what, and why not."""

from __future__ import annotations

import pytest
from graphs import drawn, graphs, overlay, underlay
from hypothesis import given

from rdl.fitting import fit
from rdl.matching import misfits
from rdl.model import Graph, Layer, by_id

SITE = underlay(
    """\
  small: {attribute: /node/host/server, features: {/feature/architecture: x86_64},
          resources: {/resource/cpu: 4 cores, /resource/memory: 8 GiB}}
  large: {attribute: /node/host/server,
          resources: {/resource/cpu: 64 cores, /resource/disk/ssd: 1 TB},
          features: {/feature/architecture: [aarch64, armv7], /feature/location: CH}, shares: [san]}
  sw: {attribute: /node/switch}
  fast: {attribute: /link/ethernet, resources: {/resource/bandwidth: 10 Gb/s},
         features: {/feature/latency: 1 ms, /feature/mtu: 9000 B, /feature/vlan: 100-199}}
  other: {attribute: /node/host/pip}
  way: {attribute: /link/transit, resources: {/resource/bandwidth: 10 Gb/s}}
  branch: {attribute: /node/host/pip,
           resources: {/resource/cpu: 10 cores, /resource/disk: 1 TB}}""",
    more="shared:\n  san: {attribute: /resource/disk/hdd, amount: 10 TB}\n",
)


def reasons(asked: str, offered: str) -> tuple[str, ...]:
    """Why an element, written as in YAML, does not fit on one of the site's."""
    ends = "\n".join(f"  i{n}: {{attribute: /interface/generic, joins: [n, x]}}" for n in (0, 1))
    if "/link" in asked:
        graph = overlay(f"  x: {{{asked}}}\n  n: {{attribute: /node}}", ends)
    else:
        graph = overlay(f"  x: {{{asked}}}")
    return tuple(
        str(each)
        for each in misfits(by_id(graph.elements)["x"], by_id(SITE.elements)[offered], SITE)
    )


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("attribute: /node/host/generic", "small"),
        ("attribute: /node/host/generic, resources: {/resource/cpu: 4 cores}", "small"),
        ("attribute: /node/host/generic, resources: {/resource/cpu: any}", "small"),
        ("attribute: /node/host/generic, resources: {/resource/disk: 11 TB}", "large"),
        ("attribute: /node/host, features: {/feature/architecture: [x86_64, armv7]}", "large"),
        ("attribute: /node/host, features: {/feature/location: any}", "small"),
        ("attribute: /node/host, features: {/feature/image: debian-13}", "small"),
        ("attribute: /node/host/mainframe, features: {/feature/location: CH}", "branch"),
        ("attribute: /node/host, resources: {/resource/disk/ssd: 1 TB}", "branch"),
        ("attribute: /link/generic, features: {/feature/latency: 1 ms}", "fast"),
        ("attribute: /link/generic, features: {/feature/mtu: 1500 B}", "fast"),
        ("attribute: /link/generic, features: {/feature/vlan: 1-100}", "fast"),
        ("attribute: /link/vlan, features: {/feature/latency: 5 ms}", "way"),
    ],
)
def test_it_fits(asked: str, offered: str) -> None:
    assert reasons(asked, offered) == ()


@pytest.mark.parametrize(
    ("asked", "offered", "reason"),
    [
        ("attribute: /node/host", "sw", "/node/host does not map on /node/switch"),
        (
            "attribute: /node/host, resources: {/resource/cpu: 5 cores}",
            "small",
            "/resource/cpu: asked 5 cores, has 4 cores",
        ),
        (
            "attribute: /node/host, resources: {/resource/disk: 1 GB}",
            "small",
            "/resource/disk: has none",
        ),
        (
            "attribute: /node/host, resources: {/resource/accelerator: any}",
            "large",
            "/resource/accelerator: has none",
        ),
        (
            "attribute: /node/host, resources: {/resource/disk/ssd: 2 TB}",
            "large",
            "/resource/disk/ssd: asked 2 TB, has 1 TB",
        ),
        (
            "attribute: /node/host, features: {/feature/architecture: [x86_64, i386]}",
            "large",
            "/feature/architecture: asked i386 or x86_64, is aarch64 or armv7",
        ),
        (
            "attribute: /node/host, features: {/feature/location: CH}",
            "small",
            "/feature/location: asked CH, not told",
        ),
        (
            "attribute: /node/host, resources: {/resource/cpu: 11 cores}",
            "branch",
            "/resource/cpu: asked 11 cores, has 10 cores",
        ),
        (
            "attribute: /link/generic, features: {/feature/latency: 500 us}",
            "fast",
            "/feature/latency: asked 500 us, is 1 ms",
        ),
        (
            "attribute: /link/generic, features: {/feature/mtu: 9001 B}",
            "fast",
            "/feature/mtu: asked 9001 B, is 9 kB",
        ),
        (
            "attribute: /link/generic, features: {/feature/vlan: 1-99}",
            "fast",
            "/feature/vlan: asked 1-99, is 100-199",
        ),
        (
            "attribute: /link/generic, resources: {/resource/bandwidth: 11 Gb/s}",
            "way",
            "/resource/bandwidth: asked 11 Gb/s, has 10 Gb/s",
        ),
    ],
)
def test_it_does_not_fit_and_the_reason_is_told(asked: str, offered: str, reason: str) -> None:
    assert reasons(asked, offered) == (reason,)


def test_every_reason_is_told() -> None:
    asked = "attribute: /node/host, resources: {/resource/cpu: 5 cores, /resource/disk: any}"
    assert len(reasons(asked, "small")) == 2


@drawn
@given(graphs(Layer.UNDERLAY))
def test_every_element_of_a_substrate_fits_on_itself(graph: Graph) -> None:
    for element in graph.elements:
        assert misfits(element, element, graph) == ()


def test_a_first_look_says_where_each_node_could_be() -> None:
    asked = overlay(
        "  a: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}\n"
        "  b: {attribute: /node/host/server, resources: {/resource/cpu: 65 cores}}\n"
        "  c: {attribute: /node/generic}\n"
    )
    found = fit(asked, SITE)
    assert found.fitting == {"a": ("branch", "large", "small"), "b": (), "c": found.fitting["c"]}
    assert "other" not in found.fitting["c"]
    assert found.misfitting["b"]["small"] == ("/resource/cpu: asked 65 cores, has 4 cores",)
    assert not found.possible


RELATED = """\
relations:
  r: {%s: /feature/architecture, elements: [a, b]}
"""
TWO = "  a: {attribute: /node/host/server}\n  b: {attribute: /node/host/server%s}\n"


def two_hosts(*architectures: str) -> Graph:
    return underlay(
        "\n".join(
            f"  h{n}: {{attribute: /node/host/server, features: {{/feature/architecture: {arch}}}}}"
            for n, arch in enumerate(architectures)
        )
    )


def test_a_first_look_settles_what_is_left_open() -> None:
    site = two_hosts("x86_64", "aarch64", "aarch64")
    same = fit(overlay(TWO % "", more=RELATED % "same"), site)
    assert same.settled == {"r": {"a": "aarch64", "b": "aarch64"}}
    different = fit(overlay(TWO % "", more=RELATED % "different"), site)
    assert sorted(different.settled["r"].values()) == ["aarch64", "x86_64"]
    assert same.possible
    assert different.possible


def test_a_first_look_tells_which_relation_cannot_be_kept() -> None:
    found = fit(overlay(TWO % "", more=RELATED % "different"), two_hosts("x86_64"))
    assert found.impossible == {
        "r": "/feature/architecture cannot be different: a x86_64, b x86_64"
    }
    assert not found.possible


def test_aggregates_do_not_tell_their_features_so_nothing_is_settled_on_them() -> None:
    site = underlay("  p: {attribute: /node/host/pip, resources: {/resource/cpu: 9 cores}}")
    found = fit(overlay(TWO % "", more=RELATED % "same"), site)
    assert (found.settled, found.impossible, found.possible) == ({}, {}, True)
