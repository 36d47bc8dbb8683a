"""How large a CloudNet may be, and where it passes that."""

from __future__ import annotations

import pytest

from rdl.errors import Kind
from rdl.reading import Document, read
from rdl.sizes import VLINKS_MAX, VNODES_MAX, oversized


def nodes(count: int, layer: str = "overlay") -> Document:
    """The later in the text, the smaller the id."""
    lines = [f"  n{count - i:04}: {{attribute: /node/host}}" for i in range(count)]
    return read("\n".join(["rdl: 1", "name: g", f"layer: {layer}", "elements:", *lines]) + "\n")


def links(count: int) -> Document:
    """Between two nodes."""
    lines = ["rdl: 1", "name: g", "layer: overlay", "elements:"]
    lines += [f"  {name}: {{attribute: /node/host}}" for name in "ab"]
    lines += [f"  l{i}: {{attribute: /link/generic}}" for i in range(count)]
    lines += ["interfaces:"]
    for i in range(count):
        joint = "attribute: /interface/generic, joins"
        lines += [f"  {end}{i}: {{{joint}: [{end}, l{i}]}}" for end in "ab"]
    return read("\n".join(lines) + "\n")


def test_the_first_node_beyond_is_told_by_its_line_whatever_its_name() -> None:
    (mistake,) = oversized(nodes(VNODES_MAX + 3))
    assert (mistake.kind, mistake.field) == (Kind.LIMIT, "elements.n0003")
    assert (mistake.line, mistake.column) == (4 + VNODES_MAX + 1, 3)
    assert mistake.reason == "is node 257 of 259; possible: at most 256 nodes"


def test_the_first_link_beyond_is_told() -> None:
    (mistake,) = oversized(links(VLINKS_MAX + 1))
    assert str(mistake) == ("519:3: elements.l512: is link 513 of 513; possible: at most 512 links")


@pytest.mark.parametrize("document", [nodes(VNODES_MAX), links(VLINKS_MAX)], ids=["nodes", "links"])
def test_as_many_as_there_may_be_are_no_mistake(document: Document) -> None:
    assert oversized(document) == ()


def test_an_underlay_may_be_larger() -> None:
    assert oversized(nodes(VNODES_MAX + 1, "underlay")) == ()


def test_what_came_without_text_has_a_field_and_no_line() -> None:
    (mistake,) = oversized(Document(nodes(VNODES_MAX + 1).graph, {}))
    assert str(mistake) == "elements.n0257: is node 257 of 257; possible: at most 256 nodes"
