"""VNodes that run change hosts one after the other, or cannot."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st

from cloudnets.changing import stuck
from cloudnets.mapped import RESOURCES, Mapped, MappedVNode

Places = Mapping[str, tuple[str, int]]


def version(places: Places) -> Mapped:
    """Of each VNode its host, and how much it takes there of everything."""
    vnodes = [MappedVNode(name, host, "/node/host/kvm", n, n, n) for name, (host, n) in
              places.items()]  # fmt: skip
    return Mapped("r1", 1, tuple(vnodes), ())


def stuck_with(room: int, before: Places, after: Places) -> tuple[str, ...]:
    return stuck(version(before), version(after), lambda _host: dict.fromkeys(RESOURCES, room))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Two that would have to change places.
        ({"a": ("h1", 6), "b": ("h2", 6)}, {"a": ("h2", 6), "b": ("h1", 6)}, ("a", "b")),
        # One after the other, in whichever order they are named.
        ({"a": ("h1", 6), "b": ("h2", 6)}, {"a": ("h2", 6), "b": ("h3", 6)}, ()),
        ({"b": ("h1", 6), "a": ("h2", 6)}, {"b": ("h2", 6), "a": ("h3", 6)}, ()),
        # What shrinks where it is makes room, as does what is left out.
        ({"a": ("h1", 6), "b": ("h2", 8)}, {"a": ("h2", 6), "b": ("h2", 2)}, ()),
        ({"a": ("h1", 6), "b": ("h2", 8)}, {"a": ("h2", 6)}, ()),
        # What is new waits for who leaves.
        ({"a": ("h1", 6)}, {"new": ("h1", 8), "a": ("h2", 6)}, ()),
        # What grows where it is does so in the end.
        ({"a": ("h1", 4), "b": ("h1", 4)}, {"a": ("h1", 8), "b": ("h2", 4)}, ()),
        # Who goes by itself is not named, though others cannot.
        (
            {"a": ("h1", 6), "b": ("h2", 6), "c": ("h3", 2)},
            {"a": ("h2", 6), "b": ("h1", 6), "c": ("h4", 2)},
            ("a", "b"),
        ),
    ],
)
def test_who_cannot_come_to_its_host_while_all_run(
    before: Places, after: Places, expected: tuple[str, ...]
) -> None:
    assert stuck_with(8, before, after) == expected


def test_those_that_stay_give_up_what_they_will_not_have_before_others_come() -> None:
    def of(version: int, *vnodes: tuple[str, str, int, int]) -> Mapped:
        some = [MappedVNode(n, h, "/node/host/kvm", c, m, 1) for n, h, c, m in vnodes]
        return Mapped("r1", version, tuple(some), ())

    before = of(1, ("a", "h1", 6, 2), ("b", "h1", 2, 6), ("c", "h2", 1, 1))
    after = of(2, ("a", "h1", 3, 5), ("b", "h1", 5, 3), ("c", "h3", 1, 1))
    assert stuck(before, after, lambda _host: dict.fromkeys(RESOURCES, 8)) == ()
    # What comes from elsewhere does not stay.
    before = of(1, ("a", "h1", 6, 2), ("b", "h2", 2, 6))
    after = of(2, ("a", "h2", 3, 5), ("b", "h1", 5, 3))
    assert stuck(before, after, lambda _host: dict.fromkeys(RESOURCES, 8)) == ("a", "b")


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from(["h1", "h2"]),
                                                          st.integers(0, 4))))  # fmt: skip
def test_nobody_is_stuck_who_stays_or_has_room_for_all(places: dict[str, tuple[str, int]]) -> None:
    assert stuck_with(0, places, places) == ()
    elsewhere = {name: ("h3", n) for name, (_, n) in places.items()}
    assert stuck_with(16, places, elsewhere) == ()
