from __future__ import annotations

from hypothesis import given, strategies as st

from cloudnets.mapped import Mapped, MappedVLink, MappedVNode

names = st.text("abcxyz0-", min_size=1, max_size=6)
vnodes = st.builds(MappedVNode, names, names, names, st.integers(0, 10**6), image=names)
vlinks = st.builds(
    MappedVLink,
    names,
    st.integers(1, 4094),
    st.integers(0, 10**12),
    st.tuples(names, names),
    st.lists(names, max_size=3).map(tuple),
    st.integers(0, 4094),
)
mapped = st.builds(
    Mapped,
    names,
    st.integers(1, 9),
    st.lists(vnodes, max_size=4).map(tuple),
    st.lists(vlinks, max_size=4).map(tuple),
    st.binary(max_size=20),
    st.lists(names, max_size=2, unique=True).map(lambda found: tuple(sorted(found))),
)


@given(mapped)
def test_what_is_stored_is_read_back_the_same(value: Mapped) -> None:
    assert Mapped.from_json(value.to_json()) == value


@given(mapped, st.lists(names, max_size=3))
def test_what_is_started_again_is_not_off_and_the_others_stay_as_they_were(
    value: Mapped, some: list[str]
) -> None:
    off = value.switched(some, off=True)
    assert set(off.off) == set(value.off) | set(some)
    assert set(off.switched(some, off=False).off) == set(value.off) - set(some)


def test_a_vnode_is_found_by_its_id() -> None:
    one = MappedVNode("a", "h1", "/node/host/kvm")
    value = Mapped("r", 1, (one,), ())
    assert value.vnode("a") == one
    assert value.vnode("b") is None
