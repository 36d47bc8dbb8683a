"""Circuits with several destinations, as the client library asks for them and tells of them."""

from __future__ import annotations

from braid.requests import Circuit, Leg, reservation
from braid.v1 import reservations_pb2 as pb

G = 10**9


def path(destination: str, *vlans: int) -> pb.Path:
    first, last = vlans
    hops = [
        pb.Hop(domain="a", ingress_stp="a:x", ingress_vlan=first, egress_stp="a:o"),
        pb.Hop(domain="b", egress_stp=destination, egress_vlan=last),
    ]
    return pb.Path(bandwidth_bps=G, hops=hops)


def circuit(*more: str, advice: pb.Advice, paths: list[pb.Path]) -> Circuit:
    criteria = pb.Reservation(source="a:x", destination="b:y", more_destinations=more)
    return Circuit(pb.ReservationRecord(criteria=criteria, advice=advice, paths=paths))


def test_a_reservation_names_all_destinations() -> None:
    message = reservation("a:x", "b:y", "1G", more_destinations=("c:z", "d:w"), duration="1h")
    assert message.destination == "b:y"
    assert list(message.more_destinations) == ["c:z", "d:w"]
    assert not reservation("a:x", "b:y", "1G", duration="1h").more_destinations


def test_each_leg_tells_its_paths_vlans_and_streams() -> None:
    paths = [path("b:y", 100, 200), path("c:z", 101, 201), path("c:z", 101, 202)]
    legs = [
        pb.LegAdvice(destination="b:y", parallel_streams=2),
        pb.LegAdvice(destination="c:z", parallel_streams=4),
    ]
    made = circuit("c:z", advice=pb.Advice(parallel_streams=6, legs=legs), paths=paths)
    assert made.legs == (Leg("b:y", paths[:1], 2), Leg("c:z", paths[1:], 4))
    assert [leg.source_vlans for leg in made.legs] == [(100,), (101,)]
    assert [leg.destination_vlans for leg in made.legs] == [(200,), (201, 202)]
    assert made.source_vlans == (100, 101)
    assert made.destination_vlans == (200, 201, 202)
    assert made.parallel_streams == 6


def test_a_circuit_with_one_destination_has_one_leg() -> None:
    paths = [path("b:y", 100, 200)]
    made = circuit(advice=pb.Advice(parallel_streams=2), paths=paths)
    assert made.legs == (Leg("b:y", paths, 2),)
    assert made.source_vlans == (100,)
