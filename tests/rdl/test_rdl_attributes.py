"""Which attributes there are, and which of a request maps on which of a substrate."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from rdl.attributes import is_attribute, levels, matches, within
from rdl.units import Unit
from rdl.vocabulary import STANDARD, FeatureKind, Meaning, not_known


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("/node/host/generic", "/node/host/server"),
        ("/node/host/generic", "/node/host/mainframe"),
        ("/node/host/generic", "/node/host/server/x4150"),
        ("/node/host/generic", "/node/host"),
        ("/node/host", "/node/host/server"),
        ("/node/host/server", "/node/host/server"),
        ("/node/host/server", "/node/host/server/x4150"),
        ("/node/host/server/generic", "/node/host/server/x4150"),
        ("/node/generic", "/node/switch/cisco"),
        ("/link/generic", "/link/ethernet"),
        ("/link/generic", "/link/transit"),
        ("/link/vlan", "/link/transit"),
        ("/node/host/server", "/node/host/pip"),
        ("/node/switch", "/node/host/pip"),
        ("/node/host/pip", "/node/host/pip"),
        ("/resource/disk", "/resource/disk/ssd"),
    ],
)
def test_a_request_maps_on_what_it_includes(asked: str, offered: str) -> None:
    assert matches(asked, offered)


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("/node/host/server", "/node/host/mainframe"),
        ("/node/host/server", "/node/host"),
        ("/node/host/server/x4150", "/node/host/server"),
        ("/node/host", "/node/hostess"),
        ("/node/host/generic", "/node/switch"),
        ("/node/host/pip", "/node/host/server"),
        ("/link/transit", "/link/ethernet"),
        ("/node/host", "/link/transit"),
        ("/link/vlan", "/node/host/pip"),
        ("/resource/disk/ssd", "/resource/disk"),
    ],
)
def test_a_request_does_not_map_on_what_may_be_something_else(asked: str, offered: str) -> None:
    assert not matches(asked, offered)


words = st.sampled_from(["node", "host", "server", "x4150", "pip", "switch"])
attributes = st.lists(words, min_size=1, max_size=4).map(lambda found: "/" + "/".join(found))


@given(attributes, attributes)
def test_generic_asks_for_no_more_than_nothing_said(asked: str, offered: str) -> None:
    assert matches(f"{asked}/generic", offered) == matches(asked, offered)


@given(attributes, attributes, attributes)
def test_who_asks_for_less_gets_no_less(asked: str, narrower: str, offered: str) -> None:
    if within(narrower, asked) and matches(narrower, offered):
        assert matches(asked, offered)


@given(attributes)
def test_everything_maps_on_itself(attribute: str) -> None:
    assert matches(attribute, attribute)


@pytest.mark.parametrize("text", ["/node", "/node/host/generic", "/a-b/c_d"])
def test_the_form_of_an_attribute(text: str) -> None:
    assert is_attribute(text)
    assert "/" + "/".join(levels(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "node", "/node/", "//node", "/Node", "/node host", "/node/generic/host", "/0"),
        *("/nodé", "/node\n", "/a" * 9, "/" + "a" * 33),
    ],
)
def test_what_is_no_attribute(text: str) -> None:
    assert not is_attribute(text)


def test_below_what_is_known_everything_is_known() -> None:
    assert STANDARD.has_element("/node/host/mainframe/z16")
    assert STANDARD.has_element("/node/generic")
    assert STANDARD.has_element("/link")
    assert not STANDARD.has_element("/node/toaster")
    assert not STANDARD.has_element("/link/carrier-pigeon")
    assert STANDARD.has_interface("/interface/generic")
    assert not STANDARD.has_interface("/interface/usb")
    assert STANDARD.unit_of("/resource/disk/ssd/nvme") is Unit.DATA_BYTES
    assert STANDARD.resource_type("/resource/disk/ssd/nvme") == "/resource/disk"
    assert STANDARD.unit_of("/resource") is None
    assert STANDARD.kind_of("/feature") is None
    assert STANDARD.kind_of("/feature/image/kernel") == FeatureKind(Meaning.GIVEN)
    assert STANDARD.kind_of("/feature/colour") is None
    assert STANDARD.kind_of("") is None
    assert STANDARD.resource_type("resource/cpu") is None
    assert STANDARD.resource_type("/resource/cpus") is None


def test_a_slip_of_the_pen_is_answered_with_what_comes_nearest() -> None:
    assert "did you mean /resource/memory?" in not_known("/resource/memroy", STANDARD.resources)
    assert "did you mean" not in not_known("/zzz", STANDARD.resources)
