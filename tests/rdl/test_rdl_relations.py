"""Relations: the impossible is refused at once, the rest stays open until providers agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graphs import overlay, underlay
from hypothesis import given, strategies as st

from rdl.checking import check
from rdl.codec import from_bytes, to_bytes
from rdl.errors import Kind, RdlError
from rdl.model import Graph, Relation, RelationKind, by_id
from rdl.partial import Transit, cut, join
from rdl.reading import read
from rdl.relations import choices, decide, open_relations, settle, words_of
from rdl.writing import write

ARCH = "/feature/architecture"


def host(name: str, arch: str = "", attribute: str = "/node/host/generic") -> str:
    said = f", features: {{{ARCH}: {arch}}}" if arch else ""
    return f"  {name}: {{attribute: {attribute}{said}}}\n"


def related(*lines: str) -> str:
    return "relations:\n" + "".join(f"  r{n}: {{{line}}}\n" for n, line in enumerate(lines))


def same(*names: str, of: str = ARCH) -> str:
    return f"same: {of}, elements: [{', '.join(names)}]"


def different(*names: str, of: str = ARCH) -> str:
    return f"different: {of}, elements: [{', '.join(names)}]"


X, A, BOTH = "x86_64", "aarch64", "[x86_64, aarch64]"
MAINFRAME = "/node/host/mainframe"


@pytest.mark.parametrize(
    ("elements", "lines", "field", "reason"),
    [
        (
            host("a", X) + host("b", A),
            [same("a", "b")],
            "r0",
            "cannot be same: a x86_64, b aarch64",
        ),
        (
            host("a", X) + host("b") + host("c", A),
            [same("a", "b"), same("b", "c")],
            "r1",
            "a x86_64, c aarch64",
        ),
        (host("a", X) + host("b", X), [different("a", "b")], "r0", "cannot be different"),
        (
            host("a", BOTH) + host("b", BOTH) + host("c", BOTH),
            [different("a", "b", "c")],
            "r0",
            "cannot be different",
        ),
        (
            host("a") + host("b") + host("c"),
            [same("a", "b"), same("b", "c"), different("a", "c")],
            "r2",
            "a and c must be the same by another relation",
        ),
        (
            host("a", attribute="/node/host/server") + host("b", attribute=MAINFRAME),
            [same("a", "b", of="/node/host")],
            "r0",
            "a /node/host/server, b /node/host/mainframe",
        ),
        (
            host("a") + host("b"),
            [same("a", "b", of="/node/host"), different("a", "b", of="/node/host")],
            "r1",
            "must be the same by another relation",
        ),
    ],
)
def test_a_relation_that_nothing_can_fulfil_is_refused(
    elements: str, lines: list[str], field: str, reason: str
) -> None:
    with pytest.raises(RdlError) as caught:
        overlay(elements, more=related(*lines))
    (mistake,) = caught.value.mistakes
    assert (mistake.kind, mistake.field) == (Kind.RELATION, f"relations.{field}")
    assert reason in mistake.reason
    assert mistake.line is not None


def test_relations_that_would_take_long_to_compare_are_refused() -> None:
    words = ", ".join(f"w{n}" for n in range(200))
    hosts = "".join(host(f"h{n}", f"[{words}]") for n in range(101))
    with pytest.raises(RdlError, match="20200 values to compare") as caught:
        overlay(hosts, more=related(different(*(f"h{n}" for n in range(101)))))
    assert caught.value.exhausted


def test_what_can_still_be_fulfilled_is_left_open() -> None:
    graph = overlay(
        host("a", BOTH) + host("b", BOTH) + host("c"),
        more=related(different("a", "b"), same("a", "c"), different("a", "b", of="/node/host")),
    )
    assert [relation.id for relation in open_relations(graph)] == ["r0", "r1"]


def test_what_everybody_says_already_is_not_open() -> None:
    graph = overlay(host("a", X) + host("b", X), more=related(same("a", "b")))
    assert open_relations(graph) == []


WIRED = (
    host("a") + host("b") + "  w: {attribute: /link/generic}\n",
    "  i: {attribute: /interface/generic, joins: [a, w]}\n"
    "  j: {attribute: /interface/generic, joins: [b, w]}",
)


def site(*archs: str) -> Graph:
    return underlay(
        "".join(host(f"h{n}", arch, "/node/host/server") for n, arch in enumerate(archs))
    )


def test_providers_agree_by_the_id_of_a_relation() -> None:
    """Two providers, each with its part: what they could, what is picked, what each writes down."""
    graph = overlay(*WIRED, related(same("a", "b")))
    parts = cut(graph, {"a": "p1", "b": "p2"}, [Transit("w", ("p1", "p2"), (100, 100))])
    sites = {"p1": site(X, X, A), "p2": site(A, "riscv64")}
    relation = parts["p1"].relations[0]
    assert (relation.id, relation.elements, relation.elsewhere) == ("r0", ("a",), 1)

    told: dict[str, tuple[str, ...]] = {}
    for pip, part in parts.items():
        told |= choices(part, by_id(part.relations)["r0"], sites[pip])
    assert told == {"a": (X, A), "b": (A, "riscv64")}

    values = settle(relation, told)
    assert values == {"a": A, "b": A}
    decided = {pip: decide(part, "r0", values, "vnp1") for pip, part in parts.items()}
    whole = join(decided)
    assert [words_of(node, ARCH) for node in whole.nodes] == [(A,), (A,)]
    assert {f.by for node in whole.nodes for f in node.features} == {"vnp1"}
    assert open_relations(whole) == []
    assert check(whole) == []


def relation(kind: RelationKind, *elements: str) -> Relation:
    return Relation("r", kind, ARCH, elements)


def test_what_all_like_best_together_is_picked() -> None:
    told = {"a": ("x", "y", "z"), "b": ("z", "y"), "c": ("y", "z")}
    picked = settle(relation(RelationKind.SAME, "a", "b", "c"), told)
    assert picked == {"a": "y", "b": "y", "c": "y"}


def test_elements_that_must_differ_find_a_way_if_there_is_one() -> None:
    told = {"a": ("x", "y"), "b": ("x",), "c": ("y", "z")}
    picked = settle(relation(RelationKind.DIFFERENT, "a", "b", "c"), told)
    assert picked == {"a": "y", "b": "x", "c": "z"}


words = st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=4)


@given(st.dictionaries(st.sampled_from("abcde"), words, min_size=1), st.sampled_from(RelationKind))
def test_what_is_settled_keeps_the_relation_and_a_refusal_is_right(
    told: dict[str, list[str]], kind: RelationKind
) -> None:
    asked = relation(kind, *told)
    if not possible(kind, list(told.values()), []):
        with pytest.raises(RdlError):
            settle(asked, told)
        return
    picked = settle(asked, told)
    assert picked.keys() == told.keys()
    assert all(picked[name] in told[name] for name in told)
    count = 1 if kind is RelationKind.SAME else len(told)
    assert len(set(picked.values())) == count


def possible(kind: RelationKind, lists: list[list[str]], picked: list[str]) -> bool:
    """By trying everything."""
    if len(picked) == len(lists):
        return len(set(picked)) == (1 if kind is RelationKind.SAME else len(lists))
    return any(possible(kind, lists, [*picked, word]) for word in lists[len(picked)])


def test_a_provider_that_can_give_nothing_says_so() -> None:
    graph = overlay(host("a", X) + host("b"), more=related(same("a", "b")))
    told = choices(graph, graph.relations[0], site(A))
    assert told == {"a": (), "b": (A,)}
    with pytest.raises(RdlError, match=r"cannot be same: a nothing, b aarch64"):
        settle(graph.relations[0], told)


def test_a_decision_against_what_an_element_says_is_refused() -> None:
    graph = overlay(host("a", X) + host("b"), more=related(same("a", "b")))
    with pytest.raises(RdlError, match="a x86_64, settled aarch64"):
        decide(graph, "r0", {"a": A, "b": A}, "vnp1")


def test_a_decision_for_what_is_said_already_changes_nothing() -> None:
    graph = overlay(host("a", X) + host("b", X), more=related(same("a", "b")))
    assert decide(graph, "r0", {"a": X, "b": X}, "vnp1") == graph


def test_a_relation_with_one_element_needs_the_others_elsewhere() -> None:
    graph = overlay(host("a") + host("b"), more=related(same("a", "b")))
    one = replace(graph.relations[0], elements=("a",), elsewhere=1)
    assert check(replace(graph, relations=(one,))) == []
    none = replace(one, elsewhere=0)
    assert [m.kind for m in check(replace(graph, relations=(none,)))] == [Kind.RELATION]


def test_what_is_elsewhere_is_no_more_than_can_be_read_again() -> None:
    graph = overlay(host("a") + host("b"), more=related(same("a", "b")))
    many = replace(graph.relations[0], elements=("a",), elsewhere=999_999_999)
    most = replace(graph, relations=(many,))
    assert read(write(most)).graph == most == from_bytes(to_bytes(most))
    over = replace(graph, relations=(replace(many, elsewhere=1_000_000_000),))
    with pytest.raises(RdlError, match=r"elsewhere: given 1000000000, possible: 0 to 999999999"):
        from_bytes(to_bytes(over))
    with pytest.raises(RdlError, match=r"^\d+:\d+: relations.r0.elsewhere: given 1000000000"):
        read(write(over))
