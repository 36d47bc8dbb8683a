"""Drawings of mappings: text from which joins can be read, figures in which nothing overlaps."""

from __future__ import annotations

import builtins
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from cloudnet_world import OVERLAYS, example, network, planned
from hypothesis import given, settings, strategies as st

from braid.v1 import cloudnets_pb2 as cn, rdl_pb2, reservations_pb2 as pb
from commands import drawing_figure, mapping
from commands.cloudnet_drawing import draw_mapping
from commands.drawing_figure import arranged
from commands.drawing_text import drawing
from simulations.canvas import PlotError

NAME = re.compile(r"│ (n\d+) ")


def joined(lines: list[str], box: int) -> dict[str, set[str]]:
    """What each rail joins, read off the picture: from each ● down to the end of its rail."""
    rows = {row: match[1] for row, line in enumerate(lines) if (match := NAME.match(line))}
    cells = [line.ljust(400) for line in lines]
    found: dict[str, set[str]] = {}
    for row in rows:
        for x in (x for x in range(box, 400) if cells[row][x] == "●"):
            above = cells[row - 1][x] if row else " "
            if above != " " and not _ends(cells, row - 1, x):
                continue
            label = re.match(r"\d+", cells[row + 1][x:])
            assert label is not None, (row, x)
            down, ends = row, {rows[row]}
            while down + 1 < len(cells) and cells[down + 1][x] != " ":
                down += 1
                if cells[down][x] == "●":
                    ends.add(rows[down])
                    if cells[down + 1][x] == " ":
                        break
            found[label.group()] = ends
    return found


def _ends(cells: list[str], row: int, x: int) -> bool:
    """Whether a number there belongs to a column to the left."""
    return cells[row][x].isdigit() and cells[row][x - 1].isdigit()


@given(
    nodes=st.integers(2, 9),
    data=st.data(),
    at=st.lists(st.sampled_from(["berlin", "munich"]), min_size=9, max_size=9),
)
@settings(max_examples=60)
def test_what_is_joined_can_be_read_off_the_text(nodes: int, data: st.DataObject, at: Any) -> None:
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    links = data.draw(st.lists(pair.filter(lambda ends: ends[0] != ends[1]), max_size=9))
    made = planned(network(nodes, links), {f"n{n}": at[n] for n in range(nodes)})
    lines = drawing(made, 200)
    box = lines[0].index("┐") + 1
    pictured = lines[: max(row for row, line in enumerate(lines) if line.startswith("└")) + 1]
    wanted = {str(n): set(vlink.ends) for n, vlink in enumerate(made.vlinks, start=1)}
    assert joined([*pictured, ""], box) == wanted


@given(nodes=st.integers(1, 12), width=st.integers(40, 120), data=st.data())
@settings(max_examples=40)
def test_a_drawing_is_as_wide_as_the_terminal_at_most(
    nodes: int, width: int, data: st.DataObject
) -> None:
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    lines = drawing(planned(network(nodes, data.draw(st.lists(pair, max_size=40)))), width)
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_a_drawing_shows_providers_vnodes_and_paths() -> None:
    assert drawing(planned(example("pair")), 80) == [
        "┌─ berlin ────────────────────────────┐",
        "│ left                                │──●",
        "│   2 cores, 20 GB disk, 4 GiB memory │  1",
        "└─────────────────────────────────────┘  │",
        "┌─ munich ────────────────────────────┐  │",
        "│ right                               │──●",
        "│   2 cores, 20 GB disk, 4 GiB memory │",
        "└─────────────────────────────────────┘",
        " 1 wire  1 Gb/s  left ─ right",
        "     [100] berlin [400] renet1 [400] munich [100], 6 ms",
    ]


def test_what_has_no_room_is_counted_and_told_below() -> None:
    # All of one place to another: no two rails share a column.
    lines = drawing(planned(network(2, [(0, 1)] * 20)), 60)
    assert "13 more VLinks have no room here; all are told below" in lines
    assert sum("between" in line or "renet1" in line for line in lines) == 20


def test_a_vlink_is_told_as_far_as_it_is_known() -> None:
    together = drawing(planned(example("pair"), {"left": "berlin", "right": "berlin"}), 80)
    assert together[-1].strip() == "inside berlin"
    record = pb.ReservationRecord()
    record.criteria.cloudnet.graph.CopyFrom(example("pair"))
    nowhere = drawing(mapping.of_record(record), 80)
    assert nowhere[0].startswith("┌─ not placed ─")
    assert nowhere[-1].strip() == "not placed"
    part = cn.CloudNetState(
        vnodes=[cn.VNodeState(vnode="left", domain="berlin", state=cn.POWER_STATE_RUNNING)],
        completed=example("pair-at-berlin"),
    )
    at_agent = drawing(mapping.of_record(pb.ReservationRecord(), part), 80)
    assert at_agent[1].startswith("│ left")
    assert at_agent[1].endswith("running │──●")
    assert "│ pip@munich" in "\n".join(at_agent)
    assert at_agent[-2:] == [" 1 wire  1 Gb/s  left ─ pip@munich", "     between berlin and munich"]


def test_states_and_hosts_stand_beside_names_and_long_ones_are_cut() -> None:
    graph = network(1, [])
    graph.elements[0].id = "n" + "0" * 100
    state = cn.CloudNetState(completed=graph)
    state.vnodes.add(
        vnode=graph.elements[0].id, domain="d" * 90, state=cn.POWER_STATE_STOPPED, host="sn111"
    )
    lines = drawing(mapping.of_record(pb.ReservationRecord(), state), 60)
    assert {len(line) for line in lines} == {60}
    assert lines[1].endswith("…  stopped on sn111 │")
    assert "ddd… ─" in lines[0] or "ddd… ┐" in lines[0]


def test_amounts_are_told_as_people_say_them() -> None:
    vague = {vnode.id: vnode.amounts for vnode in planned(example("vague")).vnodes}
    assert vague == {"left": "any memory", "right": "500 mcores"}
    (players,) = (v for v in planned(example("terminals")).vnodes if v.id == "players")
    assert players.amounts == "20000 terminals"
    (lan,) = planned(example("shop")).vlinks
    assert (lan.bandwidth, lan.ends) == ("2.5 Gb/s", ("database", "front-1", "front-2"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_overlaps_in_the_figures_of_the_examples(name: str, tmp_path: Path) -> None:
    made = planned(example(name))
    _check_apart(made)
    file = tmp_path / "mapping.png"
    drawing_figure.draw(made, "planned", file)
    assert file.read_bytes().startswith(b"\x89PNG")


@given(nodes=st.integers(1, 9), data=st.data())
@settings(max_examples=40)
def test_nothing_overlaps_in_any_figure(nodes: int, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    _check_apart(planned(network(nodes, data.draw(st.lists(pair, max_size=15)))))


def _check_apart(made: mapping.Mapping) -> None:
    plan = arranged(made, "a word")
    for one, other in pairwise(plan.boxes):
        assert one.left + one.width < other.left
    for (_, left, width), (_, after, _) in pairwise(plan.providers):
        assert left + width < after
    ports = sorted(x for box in plan.boxes for x in box.ports.values())
    assert all(other - one > 0.1 for one, other in pairwise(ports))
    for row, below in pairwise(plan.rows):
        height = drawing_figure.LINE * (len(row.said) + len(below.said)) / 2
        assert below.middle - row.middle > height
    bottom = drawing_figure.TOP + drawing_figure.TITLE + plan.height_vnode
    assert all(bottom < row.middle < plan.height for row in plan.rows)
    assert {row.vlink.id for row in plan.rows} == {vlink.id for vlink in made.vlinks}
    for row in plan.rows:
        assert {end for end, _ in row.joins} == set(row.vlink.ends)


@pytest.mark.parametrize("name", ["shop", "replicas"])
def test_every_text_of_a_figure_is_inside_and_apart_from_the_others(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(drawing_figure, "write", lambda figure, _: kept.append(figure))
    drawing_figure.draw(planned(example(name)), "planned; optimal", tmp_path / "none.png")
    (figure,) = kept
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    whole = figure.bbox
    for number, box in enumerate(boxes):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_a_figure_may_be_svg_with_its_words_as_they_are(tmp_path: Path) -> None:
    made = planned(example("pair"))
    file = tmp_path / "mapping.svg"
    drawing_figure.draw(made, "costs $1$ or $2", file)
    assert file.read_text().startswith("<?xml")


def test_a_figure_of_many_stays_of_a_size_that_can_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "many.png"
    drawing_figure.draw(planned(network(150, [(0, 149)])), "many", file)
    width = int.from_bytes(file.read_bytes()[16:20], "big")
    assert 10_000 < width <= drawing_figure.MOST_PIXELS + 1


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(PlotError, match=r"braid-orchestrator\[simulations\]"):
        drawing_figure.draw(planned(example("pair")), "", tmp_path / "none.png")


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        draw_mapping(planned(example("pair")), "", False, tmp_path)
    assert ended.value.exit_code == 1
    assert f"braid: --png: {tmp_path}: cannot be written" in capsys.readouterr().err


def test_a_link_that_leaves_through_stubs_joins_what_they_stand_for() -> None:
    part = planned(example("pair-at-munich"))
    (wire,) = part.vlinks
    assert wire.ends == ("pip@berlin", "right")
    empty = mapping.of_plan(pb.PlanResponse(), pb.CloudNet(graph=rdl_pb2.Graph(name="none")))
    assert (empty.vnodes, empty.vlinks, drawing(empty, 80)) == ((), (), [])
    assert arranged(empty).rows == ()
