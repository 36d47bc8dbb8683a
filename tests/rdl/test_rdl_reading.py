"""What is wrong in a text is told with line, column, field and reason; nothing unsafe is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rdl.document import Mark
from rdl.errors import Kind, Mistake, RdlError
from rdl.limits import LIMITS, Limits
from rdl.reading import read

TEXT = """\
rdl: 1
name: shop
layer: overlay
elements:
  web:
    attribute: /node/host/generic
    resources:
      /resource/cpu: 2 cores
      /resource/memory: any
    features:
      /feature/architecture: [x86_64, aarch64]
    shares: [pool]
  db:
    attribute: /node/host/server
  wire:
    attribute: /link/generic
    features:
      /feature/latency: 5 ms
      /feature/vlan: 100-199
interfaces:
  eth0: {attribute: /interface/ethernet, joins: [web, wire]}
  eth1: {attribute: /interface/ethernet, joins: [db, wire]}
shared:
  pool: {attribute: /resource/disk, amount: 1 TiB}
relations:
  arch: {same: /feature/architecture, elements: [web, db]}
"""


def mistakes(text: str | bytes, limits: Limits = LIMITS) -> tuple[Mistake, ...]:
    with pytest.raises(RdlError) as caught:
        read(text, limits=limits)
    return caught.value.mistakes


def only(text: str | bytes, limits: Limits = LIMITS) -> Mistake:
    (found,) = mistakes(text, limits)
    return found


def test_the_text_itself_has_no_mistake_and_its_places_are_known() -> None:
    document = read(TEXT)
    assert len(document.graph.elements) == 3
    assert document.mark("elements.web") == Mark(5, 3)
    assert document.mark("elements.web.resources./resource/cpu") == Mark(8, 7)
    assert document.mark("elements.web.resources./resource/disk") == Mark(7, 5)
    assert document.mark("nowhere.at.all") == Mark(1, 1)


def spoilt_texts() -> Iterator[tuple[str, str, list[str]]]:
    """What is replaced, by what, and the mistakes then, as in mistakes.txt."""
    blocks = (Path(__file__).parent / "mistakes.txt").read_text().split("\n\n")
    for block in blocks[1:]:
        lines = [(line[0], line[2:]) for line in block.splitlines()]
        old, new, told = ([text for sign, text in lines if sign == each] for each in "-+!")
        yield "\n".join(old), "\n".join(new), told


@pytest.mark.parametrize(("old", "new", "told"), list(spoilt_texts()))
def test_a_mistake_is_told_where_it_is(old: str, new: str, told: list[str]) -> None:
    assert old in TEXT
    found = mistakes(TEXT.replace(old, new, 1))
    assert [f"{each.kind.value} {each}" for each in found] == told


def test_every_kind_of_mistake_has_an_example() -> None:
    kinds = {line.split()[0] for _, _, told in spoilt_texts() for line in told}
    elsewhere = {"syntax", "limit", "mapping"}
    assert kinds | elsewhere == {kind.value for kind in Kind}


def test_a_shared_resource_that_nobody_has_is_a_mistake_as_one_that_is_not_there() -> None:
    found = mistakes(TEXT.replace("shares: [pool]", "shares: [pond]"))
    assert [(each.line, each.kind, each.field) for each in found] == [
        (12, Kind.DANGLING, "elements.web.shares"),
        (24, Kind.DANGLING, "shared.pool"),
    ]


def test_a_mistake_is_one_line_for_people() -> None:
    assert str(only(TEXT.replace("2 cores", "2"))) == (
        "8:22: elements.web.resources./resource/cpu: '2' has no unit; possible: 4 cores"
    )


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: *b", (1, 4), "aliases (*b) are not allowed"),
        ("a: &b c", (1, 4), "anchors (&b) are not allowed"),
        ("a:\n  !!python/object:os.system x", (2, 3), "tags (tag:yaml.org,2002:python/object"),
        ("a: !x y", (1, 4), "tags (!x) are not allowed"),
        ("? [a]\n: b", (1, 3), "a key is a list"),
        ("a: ]", (1, 4), "is not YAML"),
        ("a: b: c", (1, 5), "is not YAML"),
        ("", (1, 1), "is empty"),
        ("# nothing\n", (1, 1), "is empty"),
        ("--- a\n--- b", (2, 1), "a second document"),
        ("a: \x07", (1, 4), "U+0007"),
        (b"a: \xff", (1, 4), "is not UTF-8"),
        ("a: \ud800", (1, 4), "U+D800"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(
    text: str | bytes, place: tuple[int, int], reason: str
) -> None:
    found = only(text)
    assert reason in found.reason
    assert found.kind is Kind.SYNTAX
    assert (found.line, found.column) == place


@pytest.mark.parametrize("text", ["hello", "[1, 2]", "null"])
def test_what_is_yaml_and_no_description_is_refused(text: str) -> None:
    assert "possible: a table of keys and values" in mistakes(text)[0].reason


def test_scalars_are_text_whatever_yaml_thinks_of_them() -> None:
    text = TEXT.replace("[x86_64, aarch64]", "[yes, 010, 1e3, null, 2020-01-01]")
    (feature,) = read(text).graph.elements[1].features
    assert feature.value == ("010", "1e3", "2020-01-01", "null", "yes")


def test_merge_keys_are_only_unknown_keys() -> None:
    assert only(TEXT.replace("name: shop", "name: shop\n<<: {a: b}")).field == "<<"


def test_depth_size_and_number_are_bounded() -> None:
    deep = "a: " + "[" * 20 + "]" * 20
    assert (only(deep).kind, only(deep).reason) == (Kind.LIMIT, "is nested deeper than 20")
    assert only("x" * (LIMITS.size_bytes + 1)).kind is Kind.LIMIT
    assert only(TEXT, Limits(objects=3)).reason == "has 7 objects; possible: 3"
    words = ", ".join(f"w{n}" for n in range(300))
    many = only(TEXT.replace("x86_64, aarch64", words))
    assert (many.kind, many.line) == (Kind.LIMIT, 11)


def test_exhaustion_is_told_apart_from_other_mistakes() -> None:
    with pytest.raises(RdlError) as caught:
        read("a: " + "[" * 50)
    assert caught.value.exhausted
    with pytest.raises(RdlError) as caught:
        read(TEXT.replace("2 cores", "2"))
    assert not caught.value.exhausted


def test_the_worst_text_within_the_limits_is_read_in_the_time_that_a_test_has() -> None:
    """Ten thousand objects in a megabyte, every relation with every other one."""
    count = 4000
    lines = [f"  n{n}: {{attribute: /node/host}}" for n in range(count)]
    chain = [
        f"  r{n}: {{{kind}: /feature/location, elements: [n{n}, n{n + 1}]}}"
        for n, kind in enumerate(["same", "same", "same", "different"] * (count // 4))
        if n + 1 < count
    ]
    text = "rdl: 1\nname: g\nlayer: overlay\nelements:\n" + "\n".join(lines)
    graph = read(text + "\nrelations:\n" + "\n".join(chain)).graph
    assert len(graph.relations) == count - 1


def test_a_hundred_mistakes_are_enough_and_none_is_long() -> None:
    unknown = "".join(f"  n{n}: {{attribute: /nodes/n{n}}}\n" for n in range(1000))
    unreadable = "".join(f"  n{n}: {{colour: red}}\n" for n in range(1000))
    long = f"  {'n' * 100_000}: {{attribute: {'/' + 'a' * 100_000}}}\n"
    head = "rdl: 1\nname: g\nlayer: overlay\nelements:\n"
    assert len(mistakes(head + unknown)) == 100
    assert len(mistakes(head + unreadable)) == 100
    assert all(len(str(each)) < 1000 for each in mistakes(head + long))


def test_an_underlay_says_what_there_is() -> None:
    text = TEXT.replace("overlay", "underlay")
    assert [(each.line, each.kind) for each in mistakes(text)] == [
        (6, Kind.ATTRIBUTE),
        (9, Kind.VALUE),
        (16, Kind.ATTRIBUTE),
        (26, Kind.RELATION),
    ]


def test_an_underlay_may_have_nothing_left_and_links_that_lead_nowhere() -> None:
    text = """\
rdl: 1
name: site
layer: underlay
elements:
  h: {attribute: /node/host/server, resources: {/resource/cpu: 0 cores}}
  w: {attribute: /link/ethernet}
"""
    assert len(read(text).graph.elements) == 2
