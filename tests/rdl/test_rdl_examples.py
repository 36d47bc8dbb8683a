"""The examples in docs/rdl are what their page says, and the reference says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rdl.aggregation import aggregate
from rdl.checking import check
from rdl.codec import from_bytes, to_bytes
from rdl.completion import DEFAULTS, complete
from rdl.errors import Kind
from rdl.fitting import fit
from rdl.limits import LIMITS
from rdl.model import Graph, Layer
from rdl.partial import Transit, cut, join
from rdl.reading import read
from rdl.vocabulary import STANDARD
from rdl.writing import write

FOLDER = Path(__file__).parents[2] / "docs" / "rdl"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAGE = (FOLDER / "examples.md").read_text()
REFERENCE = (FOLDER / "README.md").read_text()


def example(name: str) -> Graph:
    return read((FOLDER / f"{name}.yaml").read_bytes()).graph


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_can_be_read_and_loses_nothing_in_other_forms(name: str) -> None:
    graph = example(name)
    assert check(graph) == []
    assert read(write(graph)).graph == graph
    assert from_bytes(to_bytes(graph)) == graph


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_explained(name: str) -> None:
    assert f"[`{name}.yaml`]({name}.yaml)" in PAGE


def test_there_are_a_dozen_and_the_reference_counts_them() -> None:
    assert len(EXAMPLES) == 13
    assert "shows thirteen" in REFERENCE


def test_the_completed_example_is_the_vague_one_completed() -> None:
    assert example("completed") == complete(example("vague"), DEFAULTS, "braid").graph


def test_what_berlin_tells_is_its_aggregate() -> None:
    assert example("berlin-told") == aggregate(example("berlin"), "berlin")


def test_the_parts_are_the_pair_cut_and_join_to_it() -> None:
    parts = {pip: example(f"pair-at-{pip}") for pip in ("berlin", "munich")}
    placed = {"left": "berlin", "right": "munich"}
    transits = [Transit("wire", ("berlin", "munich"), (120, 120))]
    assert cut(example("pair"), placed, transits) == parts
    assert join(parts) == example("pair")


def test_the_shop_can_only_be_cut_so_that_its_front_ends_stay_together() -> None:
    placed = {"front-1": "p", "front-2": "p", "database": "q"}
    parts = cut(example("shop"), placed, [Transit("lan", ("p", "q"), (5, 5))])
    assert [shared.id for shared in parts["p"].shared] == ["pictures"]
    assert parts["q"].shared == ()


@pytest.mark.parametrize(
    ("name", "substrate", "possible"),
    [
        ("pair", "berlin", True),
        ("pair", "providers", True),
        ("vague", "berlin", True),
        ("apart", "berlin", True),
        ("same-architecture", "berlin", False),
        ("terminals", "providers", False),
    ],
)
def test_what_the_page_says_of_fitting_is_so(name: str, substrate: str, possible: bool) -> None:
    assert fit(example(name), example(substrate)).possible is possible


def test_both_layers_have_examples() -> None:
    assert {example(name).layer for name in EXAMPLES} == set(Layer)


def test_the_reference_has_an_example_that_can_be_read() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", REFERENCE, re.MULTILINE | re.DOTALL)
    assert check(read(text).graph) == []


def test_the_reference_has_every_attribute_and_kind_of_mistake() -> None:
    attributes = {
        *STANDARD.elements,
        *STANDARD.interfaces,
        *STANDARD.resources,
        *STANDARD.features,
    }
    table = REFERENCE.partition("## Attributes")[2].partition("### ")[0]
    known = r"`(/(?:node|link|interface|resource)/[a-z]+|/feature(?:/[a-z]+)+)`"
    assert set(re.findall(known, table)) == attributes
    kinds = re.findall(r"^\| `([a-z]+)` \|", REFERENCE.partition("## Mistakes")[2], re.MULTILINE)
    assert kinds == [kind.value for kind in Kind]


def test_the_reference_has_the_limits() -> None:
    said = "at most 1 MiB, 20 levels and 10,000 objects, a list within an object 256 entries"
    assert said in REFERENCE
    assert (LIMITS.size_bytes, LIMITS.depth) == (1 << 20, 20)
    assert (LIMITS.objects, LIMITS.entries) == (10_000, 256)
