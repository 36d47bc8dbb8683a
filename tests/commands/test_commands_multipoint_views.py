"""How circuits with several destinations look on a terminal."""

from __future__ import annotations

from typing import Any

from test_commands_views import START_S, hop, shown

from braid.v1 import common_pb2, reservations_pb2 as pb
from commands import views

G = 10**9
WINDOW = common_pb2.Window(start_s=START_S, end_s=START_S + 3600)
ENDS = ["b:y", "c:z"]


def path(gbps: int, destination: str, vlan: int, **more: Any) -> pb.Path:
    last = pb.Hop(domain=destination[0], egress_stp=destination, egress_vlan=vlan)
    return pb.Path(bandwidth_bps=gbps * G, hops=[hop("a", vlan, vlan), last], **more)


def asked(**more: Any) -> pb.Reservation:
    return pb.Reservation(
        source="a:x", destination="b:y", more_destinations=["c:z"], bandwidth_bps=10 * G,
        window=WINDOW, **more,
    )  # fmt: skip


def record(paths: list[pb.Path]) -> pb.ReservationRecord:
    legs = [pb.LegAdvice(destination=stp, parallel_streams=2, text="use 2") for stp in ENDS]
    return pb.ReservationRecord(
        reservation_id="r-1",
        state=pb.RESERVATION_STATE_COMMITTED,
        criteria=asked(),
        paths=paths,
        advice=pb.Advice(parallel_streams=4, text="A circuit of its own", legs=legs),
    )


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_paths_are_grouped_by_destination_and_counted_anew_for_each() -> None:
    paths = [path(10, "b:y", 100), path(6, "c:z", 101), path(4, "c:z", 102)]
    lines = rows(shown(views.record_view(record(paths))))
    assert ["to", "b:y"] in lines
    assert ["c:z"] in lines
    assert ["bandwidth", "10", "Gb/s", "to", "each"] in lines
    assert next(line for line in lines if line[:2] == ["to", "path"])
    found = [line[:4] for line in lines if "Gb/s" in line and "ms" in line]
    assert found == [
        ["b:y", "1", "10", "Gb/s"],
        ["c:z", "1", "6", "Gb/s"],
        ["2", "4", "Gb/s", "0"],
    ]


def test_each_destination_has_its_advice() -> None:
    text = shown(views.record_view(record([path(10, "b:y", 100), path(10, "c:z", 101)])))
    assert "A circuit of its own" in text
    assert "b:y: use 2" in text
    assert "c:z: use 2" in text


def test_a_plan_shows_the_same() -> None:
    legs = [pb.LegAdvice(destination=stp, text="use 2") for stp in ENDS]
    plan = pb.PlanResponse(
        feasible=True,
        paths=[path(10, "b:y", 100), path(10, "c:z", 101)],
        advice=pb.Advice(legs=legs),
        window=WINDOW,
        bandwidth_bps=10 * G,
    )
    bends = asked(flexibility=pb.Flexibility(least_bandwidth_bps=5 * G))
    text = shown(views.plan_view(plan, bends))
    assert "10 Gb/s to each" in text
    assert "asked: 5 Gb/s to 10 Gb/s to each" in text
    assert ["c:z", "1", "10", "Gb/s"] in [line[:4] for line in rows(text)]


def test_phases_are_grouped_by_destination_too() -> None:
    half = common_pb2.Window(start_s=START_S, end_s=START_S + 1800)
    rest = common_pb2.Window(start_s=START_S + 1800, end_s=START_S + 3600)
    paths = [
        path(10, stp, 100 + i, window=when) for when in (half, rest) for i, stp in enumerate(ENDS)
    ]
    lines = rows(shown(views.record_view(record(paths))))
    header = next(line for line in lines if line[0] == "phase")
    assert header[1:6] == ["from", "for", "moves", "to", "path"]
    assert [line[0] for line in lines if "b:y" in line and "ms" in line] == ["1", "2"]
    assert sum(line[:2] == ["c:z", "1"] for line in lines) == 2


def test_a_list_names_the_first_destination_and_how_many_more() -> None:
    text = shown(views.list_view([record([])]))
    assert "b:y and 1 more" in text
