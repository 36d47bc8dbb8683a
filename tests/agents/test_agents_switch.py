"""Rules on frames: every frame of a flow, and of its acknowledgements, takes one tunnel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from agents.backends.base import DeviceError
from agents.backends.config import DomainConfig
from agents.backends.exchange import ExchangeBackend, rules_of
from agents.backends.switch import Frame, MemorySwitch, Rule, flow_slot
from agents.book import Book
from protocol.messages import ReservationPrep
from protocol.participant import Admitted
from substrate.model import Refusal, RefusalKind, Segment, Window
from substrate.slots import share_slots

G = 10**9
TRUNK_A, TRUNK_B = 500, 600
CLIENT, SERVER = "198.51.100.7", "203.0.113.9"


def config(name: str, tunnels: int) -> DomainConfig:
    ports = [{"name": "trunk", "capacity": "400G", "vlans": "500-699"}]
    ports += [{"name": f"t{i}", "capacity": "100G", "vlans": "100-199"} for i in range(tunnels)]
    return DomainConfig.model_validate({"domain": name, "backend": "sdx", "ports": ports})


@dataclass
class Wire:
    """Two exchanges joined by tunnels that other networks carry; counts frames per tunnel."""

    shares_bps: list[int]
    left: MemorySwitch = field(default_factory=MemorySwitch)
    right: MemorySwitch = field(default_factory=MemorySwitch)

    async def build(self) -> None:
        count, slots = share_slots(self.shares_bps)
        for switch, name, reverse in ((self.left, "a", False), (self.right, "b", True)):
            backend = ExchangeBackend(config(name, len(self.shares_bps)), switch)
            segments = []
            for i, bps in enumerate(self.shares_bps):
                near = (f"{name}:trunk", TRUNK_B if reverse else TRUNK_A)
                far = (f"{name}:t{i}", 100 + i)
                ends = (*far, *near) if reverse else (*near, *far)
                segments.append(Segment(f"s{i}", *ends, bps, flow_slots=slots[i], slot_count=count))
            prep = ReservationPrep(
                "t", "p", "r", 1, tuple(segments), Window(0, 10), "orchestrator", 0
            )
            admitted = Book(backend).admit(prep)
            assert isinstance(admitted, Admitted), admitted
            await backend.provision("t/p", Book(backend).placement(admitted.mapping))

    def there(self, frame: Frame) -> int:
        """Sends a frame from the client's side; the tunnel that it took."""
        left = self.left.forward(frame)
        assert left is not None
        tunnel = int(left[0].removeprefix("a:t"))
        assert left[1] == 100 + tunnel
        arrival = self._entering(frame, f"b:t{tunnel}", left[1])
        assert self.right.forward(arrival) == ("b:trunk", TRUNK_B)
        return tunnel

    def back(self, frame: Frame) -> int:
        """Sends a frame from the server's side; the tunnel that it took."""
        right = self.right.forward(frame)
        assert right is not None
        tunnel = int(right[0].removeprefix("b:t"))
        arrival = self._entering(frame, f"a:t{tunnel}", right[1])
        assert self.left.forward(arrival) == ("a:trunk", TRUNK_A)
        return tunnel

    @staticmethod
    def _entering(frame: Frame, port: str, vlan: int) -> Frame:
        return Frame(
            port,
            vlan,
            frame.source_ip,
            frame.destination_ip,
            frame.source_port,
            frame.destination_port,
        )


def data(source_port: int, destination_port: int = 5000) -> Frame:
    return Frame("a:trunk", TRUNK_A, CLIENT, SERVER, source_port, destination_port)


@given(
    shares=st.lists(st.integers(1, 100), min_size=2, max_size=4),
    flows=st.lists(
        st.tuples(st.integers(1, 65535), st.integers(1, 65535)), min_size=1, max_size=20
    ),
)
async def test_a_flow_and_its_acknowledgements_take_one_tunnel(
    shares: list[int], flows: list[tuple[int, int]]
) -> None:
    wire = Wire([share * G for share in shares])
    await wire.build()
    for source_port, destination_port in flows:
        frame = data(source_port, destination_port)
        tunnels = {wire.there(frame) for _ in range(3)}
        tunnels |= {wire.back(frame.answer("b:trunk", TRUNK_B)) for _ in range(3)}
        assert len(tunnels) == 1


async def test_the_server_may_speak_first() -> None:
    wire = Wire([50 * G, 50 * G])
    await wire.build()
    for source_port in range(100):
        frame = data(source_port)
        first = wire.back(frame.answer("b:trunk", TRUNK_B))
        assert wire.there(frame) == first


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([50, 50], {0: 50, 1: 50}),
        ([75, 25], {0: 75, 1: 25}),
        ([100, 50, 50], {0: 50, 1: 25, 2: 25}),
        ([90, 10], {0: 90, 1: 10}),
    ],
)
async def test_consecutive_streams_spread_by_weight(
    shares: list[int], expected: dict[int, int]
) -> None:
    wire = Wire([share * G for share in shares])
    await wire.build()
    assert Counter(wire.there(data(40_000 + i)) for i in range(100)) == expected


async def test_two_streams_per_tunnel_fill_every_tunnel() -> None:
    for tunnels in (2, 3, 4):
        wire = Wire([50 * G] * tunnels)
        await wire.build()
        used = Counter(wire.there(data(40_000 + i)) for i in range(2 * tunnels))
        assert used == dict.fromkeys(range(tunnels), 2)


async def test_frames_that_no_rule_knows_are_dropped() -> None:
    wire = Wire([50 * G, 50 * G])
    await wire.build()
    assert wire.left.forward(Frame("a:trunk", 501, CLIENT, SERVER, 1, 2)) is None
    assert wire.left.forward(Frame("a:t0", 199, CLIENT, SERVER, 1, 2)) is None


async def test_rules_are_withdrawn_exactly() -> None:
    switch = MemorySwitch()
    mine = rules_of([Segment("s", "a:trunk", 500, "a:t0", 100, 1)])
    theirs = rules_of([Segment("s", "a:trunk", 501, "a:t0", 101, 1)])
    await switch.install("mine", mine)
    await switch.install("theirs", theirs)
    await switch.install("mine", mine)
    assert switch.rules() == tuple(sorted((*mine, *theirs)))
    await switch.remove("mine")
    await switch.remove("mine")
    assert switch.rules() == theirs
    await switch.remove("theirs")
    assert switch.rules() == ()


async def test_a_rule_that_meets_another_reservations_is_refused() -> None:
    switch = MemorySwitch()
    await switch.install("one", [Rule("p", 1, "q", 2)])
    with pytest.raises(DeviceError, match="of two meets"):
        await switch.install("two", [Rule("p", 1, "r", 3)])
    assert len(switch.rules()) == 1


async def test_a_broken_switch_says_why() -> None:
    switch = MemorySwitch()
    switch.broken = "no power"
    with pytest.raises(DeviceError, match="no power"):
        await switch.install("one", [])
    with pytest.raises(DeviceError, match="no power"):
        await switch.remove("one")


def test_rules_read_well() -> None:
    rule = Rule("rn1:trunk", 5, "rn1:t0", 6, (0, 2), 3)
    assert str(rule) == "in rn1:trunk vlan 5 slots 0,2 of 3 -> out rn1:t0 vlan 6"
    assert str(Rule("a:x", 1, "a:y", 2)) == "in a:x vlan 1 -> out a:y vlan 2"


def test_two_segments_cannot_take_the_same_flows() -> None:
    backend = ExchangeBackend(config("a", 2))
    segments = tuple(
        Segment(f"s{i}", "a:trunk", 500, f"a:t{i}", 100, 1, flow_slots=(0,), slot_count=2)
        for i in range(2)
    )
    prep = ReservationPrep("t", "p", "r", 1, segments, Window(0, 10), "orchestrator", 0)
    outcome = Book(backend).admit(prep)
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.LABEL


def test_a_segment_must_leave_by_another_port() -> None:
    backend = ExchangeBackend(config("a", 1))
    segment = Segment("s", "a:t0", 100, "a:t0", 101, 1)
    prep = ReservationPrep("t", "p", "r", 1, (segment,), Window(0, 10), "orchestrator", 0)
    outcome = Book(backend).admit(prep)
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.TOPOLOGY


@given(
    addresses=st.tuples(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    count=st.integers(1, 64),
)
def test_the_slot_of_a_flow_is_that_of_its_way_back(
    addresses: tuple[str, str], ports: tuple[int, int], count: int
) -> None:
    frame = Frame("x", 1, *addresses, *ports)
    assert flow_slot(frame, count) == flow_slot(frame.answer("y", 2), count)
    assert 0 <= flow_slot(frame, count) < count
