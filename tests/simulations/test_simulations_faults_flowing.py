"""What devices are told is what users have, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agents.backends import open_backend
from orchestrator.records import Reservation, State
from simulations.clock import run_virtual
from simulations.faults.domains import configs
from simulations.faults.flowing import Ways, strangers, unflowing, ways_of
from simulations.faults.plan import Item, Schedule, World
from simulations.faults.run import play
from substrate.model import Criteria, Hop, Path, Segment, Window

WINDOW = Window(100, 200)
HOPS = (
    Hop("west", "west:host", 100, "west:m1", 101),
    Hop("m1", "m1:west", 101, "m1:east", 101),
    Hop("east", "east:m1", 101, "east:host", 102),
)


def vars_of(hop: Hop) -> tuple[str, int, str, int]:
    return hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan


def configured(*domains: str, transaction: str = "t") -> dict[str, Ways]:
    """All that the circuit needs, in these domains."""
    return {
        hop.domain: {f"{transaction}/p": [vars_of(hop)]} if hop.domain in domains else {}
        for hop in HOPS
    }


def record(*windows: Window) -> Reservation:
    paths = tuple(Path(10, 0, HOPS, window=window) for window in windows) or (Path(10, 0, HOPS),)
    criteria = Criteria("west:host", "east:host", 10, WINDOW)
    return Reservation("r", "q", criteria, "t", 0, 0, state=State.COMMITTED, paths=paths)


def test_a_circuit_passes_when_every_domain_does_its_part() -> None:
    whole = configured("west", "m1", "east")
    assert unflowing(record(), 150, whole) == ""
    found = unflowing(record(), 150, configured("west", "east"))
    assert found == "does not pass from m1:west to m1:east"
    assert unflowing(record(), 150, configured("west", "m1", "east", transaction="old")) != ""


def test_nothing_need_pass_before_after_or_of_what_is_over() -> None:
    nothing = configured()
    assert unflowing(record(), 99, nothing) == ""
    assert unflowing(record(), 200, nothing) == ""
    assert unflowing(replace(record(), state=State.CANCELLED), 150, nothing) == ""


def test_while_it_migrates_the_old_or_the_new_paths_pass() -> None:
    hops = tuple(replace(hop, ingress_vlan=7) for hop in HOPS)
    both = record(Window(100, 160), Window(140, 200))
    old, new = both.paths
    both = replace(both, paths=(old, replace(new, hops=hops)))
    assert unflowing(both, 150, configured("west", "m1", "east")) == ""
    assert unflowing(both, 160, configured("west", "m1", "east")) != ""


def test_devices_tell_what_they_do() -> None:
    segment = Segment("s", "m1:west", 101, "m1:east", 101, 10**9)
    for name, ends in (("m1", ("m1:west", "m1:east")), ("west", ("west:host", "west:m1"))):
        backend = open_backend(configs(World(middle=1))[name])
        assert ways_of(backend) == {}
        its = replace(segment, ingress_stp=ends[0], egress_stp=ends[1])

        async def provided(backend: Any = backend, its: Segment = its) -> None:
            placed = backend.place([its], WINDOW, Everything())
            await backend.provision("t/p", placed)

        run_virtual(provided())
        assert (ends[0], 101, ends[1], 101) in ways_of(backend)["t/p"]


class Everything:
    """A domain that is empty."""

    def free_bps(self, resource: object) -> int:
        return 10**12

    at_least_bps = free_bps


def test_what_is_configured_for_nobody_is_found() -> None:
    found = ["configures t/p, which nobody was promised now"]
    assert strangers({"t/p": []}, {("t", "p")}.__contains__) == []
    assert strangers({"t/p": []}, {("t", "q")}.__contains__) == found


def test_a_world_that_goes_on_sees_circuits_begin_switch_and_end() -> None:
    items = (
        Item("reserve", "a", 1000, word="60 50 180 30"),
        Item("migrate", "b", 2000, word="m1 110"),
        Item("reserve", "a", 1500, number=1, word="20 60 120 30 volume movable"),
    )
    outcome = play(Schedule("s", World(last_s=200), items), trace=True)
    assert outcome.violations == ()
    assert float(outcome.trace[-1].split()[0]) >= 198
    assert any("saves" in line and "ENDED" in line for line in outcome.trace)
