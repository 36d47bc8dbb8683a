"""The checker of the chaos run notices whatever could go wrong, and nothing else."""

from __future__ import annotations

import pytest

from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb
from tools.chaos_checks import (
    Asked,
    Findings,
    booked_over,
    check_domain,
    check_end,
    labels_twice,
    unjoined,
)

G = 10**9
NOW_S = 500
DOMAINS = ("west", "m1", "east")
CAPACITIES = {
    "west": {"west:host": 100 * G, "west:m1": 100 * G},
    "m1": {"m1:west": 100 * G, "m1:east": 100 * G},
    "east": {"east:m1": 100 * G, "east:host": 100 * G},
}
ENDS = {
    "west": ("west:host", "west:m1"),
    "m1": ("m1:west", "m1:east"),
    "east": ("east:m1", "east:host"),
}
COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED


def record(number: int, bandwidth_bps: int = 60 * G, **more: object) -> pb.ReservationRecord:
    """Reservation ``r<number>`` through all three domains on VLAN ``number``."""
    hops = [
        pb.Hop(
            domain=domain,
            ingress_stp=ENDS[domain][0],
            ingress_vlan=number,
            egress_stp=ENDS[domain][1],
            egress_vlan=number,
        )
        for domain in DOMAINS
    ]
    values: dict[str, object] = {
        "reservation_id": f"r{number}",
        "version": 1,
        "state": COMMITTED,
        "paths": [pb.Path(bandwidth_bps=bandwidth_bps, hops=hops)],
        **more,
    }
    made = pb.ReservationRecord(**values)  # type: ignore[arg-type]
    made.criteria.request_id = f"q{number}"
    made.criteria.bandwidth_bps = bandwidth_bps
    made.criteria.window.CopyFrom(common_pb2.Window(start_s=1000, end_s=2000))
    return made


def holding(
    domain: str,
    number: int,
    bandwidth_bps: int = 60 * G,
    *,
    state: agent_pb2.HoldingState.ValueType = agent_pb2.HOLDING_STATE_COMMITTED,
    start_s: int = 1000,
    end_s: int = 2000,
    reservation: int | None = None,
    one_way: bool = False,
) -> agent_pb2.Holding:
    """The part of ``record(number)`` in a domain."""
    ingress_stp, egress_stp = ENDS[domain]
    segment = common_pb2.Segment(
        ingress_stp=ingress_stp,
        ingress_vlan=number,
        egress_stp=egress_stp,
        egress_vlan=number,
        bandwidth_bps=bandwidth_bps,
        directionality=common_pb2.DIRECTIONALITY_UNIDIRECTIONAL
        if one_way
        else common_pb2.DIRECTIONALITY_BIDIRECTIONAL,
    )
    return agent_pb2.Holding(
        reservation_id=f"r{number if reservation is None else reservation}",
        state=state,
        segments=[segment],
        window=common_pb2.Window(start_s=start_s, end_s=end_s),
        data_plane=common_pb2.DATA_PLANE_STATE_SCHEDULED,
    )


def asked(heard: pb.ReservationRecord | None, number: int = 100, busy: bool = False) -> Asked:
    return Asked(f"q{number}", heard, busy)


def everywhere(number: int = 100) -> dict[str, list[agent_pb2.Holding]]:
    return {domain: [holding(domain, number)] for domain in DOMAINS}


def at_the_end(
    items: list[Asked],
    known: list[pb.ReservationRecord],
    held: dict[str, list[agent_pb2.Holding]],
    now_s: int = NOW_S,
) -> Findings:
    by_request = {record.criteria.request_id: record for record in known}
    return check_end(items, by_request, held, CAPACITIES, now_s)


def test_a_kept_promise_is_nothing_to_talk_about() -> None:
    assert at_the_end([asked(record(100))], [record(100)], everywhere()) == Findings()


def test_a_lost_part_is_noticed_while_it_runs_and_at_the_end() -> None:
    held = everywhere() | {"m1": []}
    found = at_the_end([asked(record(100))], [record(100)], held)
    assert found.violations == ["m1: r100 v1 COMMITTED is lost (0 parts)"]
    found = check_domain("m1", CAPACITIES["m1"], [], [record(100)])
    assert found.violations == [
        "m1: r100 v1 COMMITTED is promised and no part of it is held (of 0 parts)"
    ]


def test_a_part_of_another_bandwidth_or_window_is_a_lost_one() -> None:
    for wrong in (holding("m1", 100, 59 * G), holding("m1", 100, end_s=1999)):
        held = everywhere() | {"m1": [wrong]}
        found = at_the_end([asked(record(100))], [record(100)], held)
        assert found.violations == ["m1: r100 v1 COMMITTED is lost (1 parts)"]


def test_a_part_held_twice_is_noticed() -> None:
    held = everywhere() | {"east": [holding("east", 100)] * 2}
    found = at_the_end([asked(record(100))], [record(100)], held)
    assert found.violations == ["east: r100 v1 COMMITTED is held 2 times"]


def test_a_hold_is_enough_while_it_runs_and_not_at_the_end() -> None:
    waiting = holding("m1", 100, state=agent_pb2.HOLDING_STATE_HELD)
    assert check_domain("m1", CAPACITIES["m1"], [waiting], [record(100)]) == Findings()
    held = everywhere() | {"m1": [waiting]}
    found = at_the_end([asked(record(100))], [record(100)], held)
    assert found == Findings([], ["m1: r100 v1 COMMITTED is held but not in force"])


def test_what_failed_or_belongs_to_nobody_may_hold_nothing() -> None:
    failed = record(100, state=FAILED, paths=[])
    found = at_the_end([asked(failed)], [failed], everywhere() | {"west": [], "east": []})
    assert found == Findings([], ["m1: 1 left over of r100 (HOLDING_STATE_COMMITTED)"])
    found = at_the_end([], [], {"m1": [holding("m1", 7)]})
    assert found == Findings([], ["m1: 1 left over of r7 (HOLDING_STATE_COMMITTED)"])


def test_the_old_version_may_not_stay_beside_the_new_one() -> None:
    now = record(100, version=2)
    held = everywhere() | {"m1": [holding("m1", 100), holding("m1", 100, 10 * G)]}
    found = at_the_end([asked(now)], [now], held)
    assert found.violations == []
    assert [text.partition(" of ")[0] for text in found.unresolved] == ["m1: 1 left over"]


def test_a_request_without_answer_or_decision_is_unresolved() -> None:
    found = at_the_end([asked(None, busy=True)], [], {})
    assert found == Findings([], ["request q100 has no answer"])
    open_ = record(100, state=pb.RESERVATION_STATE_NEGOTIATING, paths=[])
    found = at_the_end([asked(None)], [open_], {})
    assert found == Findings([], ["request q100 is not decided: r100 v1 NEGOTIATING"])
    found = at_the_end([asked(record(100))], [record(100, modifying=True)], everywhere())
    assert found.violations == []
    assert len(found.unresolved) == 1


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (record(100, state=FAILED), "state"),
        (record(100, version=2), "version"),
        (record(100, reservation_id="r9"), "id"),
        (record(100, 10 * G), "paths, bandwidth"),
    ],
)
def test_an_acknowledged_word_may_not_change(now: pb.ReservationRecord, what: str) -> None:
    found = at_the_end([asked(record(100))], [now], {})
    assert [text.rpartition(": other ")[2] for text in found.violations] == [what]


def test_a_word_that_was_never_heard_may_be_anything() -> None:
    for heard in (None, record(100, version=7)):
        found = at_the_end([asked(heard, busy=True)], [record(100)], everywhere())
        assert found == Findings([], ["request q100 has no answer"])


def test_a_forgotten_or_invented_request_is_noticed() -> None:
    found = at_the_end([asked(record(100))], [], {})
    assert found.violations == ["request q100 was acknowledged and is not known"]
    found = at_the_end([], [record(100)], {})
    assert found.violations == ["request q100 is recorded and was never made"]


def over(*held: agent_pb2.Holding) -> list[str]:
    return list(booked_over(CAPACITIES["m1"], held))


def test_a_port_is_full_and_not_more() -> None:
    assert over(holding("m1", 100), holding("m1", 101, 40 * G)) == []
    found = over(holding("m1", 100), holding("m1", 101, 40 * G + 1))
    assert [text.partition(":")[0] for text in found] == ["m1"] * 4
    assert found[0] == "m1:east (in): 100000000001 of 100000000000 bit/s are held at 1000"


def test_only_what_overlaps_adds_up() -> None:
    assert over(holding("m1", 100), holding("m1", 101, start_s=2000, end_s=3000)) == []
    assert over(holding("m1", 100), holding("m1", 101, start_s=1999, end_s=3000)) != []


def test_directions_are_counted_apart() -> None:
    found = over(holding("m1", 100, one_way=True), holding("m1", 101, one_way=True))
    assert [text.partition(": ")[0] for text in found] == ["m1:east (out)", "m1:west (in)"]
    assert over(holding("m1", 100, 100 * G, one_way=True)) == []


def test_parts_of_one_reservation_are_alternatives() -> None:
    assert over(holding("m1", 100), holding("m1", 101, 90 * G, reservation=100)) == []


def test_segments_of_one_part_add_up() -> None:
    both = holding("m1", 100)
    both.segments.append(holding("m1", 101).segments[0])
    assert over(both) != []


def test_a_vlan_held_by_two_is_noticed() -> None:
    one, two = holding("m1", 100, 1), holding("m1", 100, 1, reservation=2)
    found = list(labels_twice([one, two]))
    assert found[0] == "VLAN 100 of m1:east is held by r100 and by r2"
    assert list(labels_twice([one, holding("m1", 100, 1, start_s=2000, end_s=3000)])) == []
    assert list(labels_twice([one, holding("m1", 100, 2)])) == []
    assert check_domain("m1", CAPACITIES["m1"], [one, two], ()).violations != []


def test_what_has_begun_must_carry_traffic() -> None:
    now = record(100)
    found = at_the_end([asked(now)], [now], everywhere(), now_s=1100)
    assert len(found.unresolved) == 3
    assert "is not active: DATA_PLANE_STATE_SCHEDULED" in found.unresolved[0]
    held = everywhere()
    for domain in DOMAINS:
        held[domain][0].data_plane = common_pb2.DATA_PLANE_STATE_ACTIVE
    assert at_the_end([asked(now)], [now], held, now_s=1100) == Findings()


def test_paths_join_on_one_vlan() -> None:
    made = record(100)
    assert list(unjoined(made)) == []
    made.paths[0].hops[1].ingress_vlan = 101
    assert list(unjoined(made)) == ["r100 v1 COMMITTED: west:m1 and m1:west differ in VLAN"]
