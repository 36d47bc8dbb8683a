"""Users ask an instance, ask another when that is away, and remember what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from grpc.aio import AioRpcError

from braid.v1 import common_pb2, reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import ReservationsStub
from orchestrator.records import Reservation
from simulations.clock import EPOCH_MS
from simulations.faults.nets import net_of, read_net, to_pb
from simulations.faults.plan import Item
from simulations.faults.wire import Wire
from simulations.faults.words import short

G = 10**9
AGAIN_S = 0.7
CALL_TIMEOUT_S = 40.0
FLAGS = frozenset({"star", "via", "survive", "movable"})
"""Words of a reservation that say nothing of how it bends."""
TRY_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    }
)
"""After these nobody knows what became of a request: it is sent again, to another instance."""

Tell = Callable[[str], None]
Peers = Callable[[str], Sequence[str]]
"""The instances of the same orchestrator, the given one first."""


@dataclass(slots=True)
class Circuit:
    """One reservation, perhaps of a CloudNet, as its user knows it."""

    reservation_id: str = ""
    gbps: int = 0
    told: str = ""
    """The last state heard."""
    cancelled: bool = False
    """Whether a cancel was asked for."""
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    wishes: dict[int, str] = field(default_factory=dict)
    """Bandwidths asked for by Modify, and what was answered: "" (not yet), "yes", "no"."""
    rate_may_change: bool = False
    """Who makes room for others may move its volume at other rates, until it is modified."""
    tokens: list[str] = field(default_factory=list)
    """What was told that would do instead, and which reservation that has become."""
    taken_by: str = ""
    moves: dict[str, str] = field(default_factory=dict)
    """Domains to be avoided, asked for by Modify, and what was answered."""
    net: str = ""
    nets: dict[str, str] = field(default_factory=dict)
    """CloudNets asked for by Modify instead of ``net``, and what was answered."""


@dataclass(frozen=True, slots=True)
class Found:
    """A reservation as the databases have it in the end: what of it users can tell."""

    state: str
    gbps: int = 0
    avoids: tuple[str, ...] = ()
    net: str = ""


def found(record: Reservation) -> Found:
    """What becomes of a stored record."""
    criteria = record.criteria
    gbps, avoids = criteria.bandwidth_bps // G, criteria.constraints.avoid_domains
    net = str(net_of(criteria.cloudnet)) if criteria.cloudnet is not None else ""
    return Found(record.state.name, gbps, avoids, net)


class Users:
    """All users of a run. ``busy``: how many requests are not answered yet."""

    def __init__(self, wire: Wire, peers: Peers, found: Tell, note: Callable[[str], None]) -> None:
        self.busy = 0
        self.circuits: dict[int, Circuit] = {}
        self._stubs: dict[str, Any] = {}
        self._wire, self._peers, self._found, self._note = wire, peers, found, note
        self._acts: dict[str, Callable[[Item, Circuit], Awaitable[None]]] = {
            "reserve": self._reserve,
            "cloudnet": self._reserve_net,
            "accept": self._accept,
            "modify": self._modify,
            "remodel": self._remodel,
            "migrate": self._migrate,
            "cancel": self._cancel,
        }

    async def ask(self, item: Item) -> None:
        """Makes one request of the schedule, and sees it through."""
        circuit = self.circuits.setdefault(item.number, Circuit())
        self.busy += 1
        try:
            await self._acts[item.kind](item, circuit)
        finally:
            self.busy -= 1

    async def _reserve(self, item: Item, circuit: Circuit) -> None:
        gbps, start_s, end_s, timeout_s = map(int, item.word.split()[:4])
        more = item.word.split()[4:]
        bend = [word for word in more if word not in FLAGS]
        base_s, duration_s = EPOCH_MS // 1000, end_s - start_s
        request = pb.Reservation(
            request_id=f"reserve-{item.number}",
            source="west:host",
            destination="east:host",
            more_destinations=["south:host"] if "star" in more else [],
            movable="movable" in more,
            constraints=pb.Constraints(
                via_domains=["m1"] if "via" in more else [],
                survive=1 if "survive" in more else None,
            ),
            bandwidth_bps=gbps * G,
            window=common_pb2.Window(start_s=base_s + start_s, end_s=base_s + end_s),
            negotiation_timeout_s=timeout_s,
        )
        if bend == ["range"]:
            request.flexibility.least_bandwidth_bps = gbps * G // 3
        elif bend:
            request.window.end_s += 2 * duration_s
        if bend == ["slide"]:
            request.flexibility.duration_s = duration_s
        if bend == ["volume"]:
            request.flexibility.volume_bytes = gbps * G * duration_s // 8
        circuit.gbps = gbps
        circuit.rate_may_change = bend == ["volume"] and "movable" in more
        record = await self._call(item, "Reserve", request, circuit)
        if record is not None:
            self._hear(item, circuit, record)
            circuit.tokens = [each.token for each in record.alternatives]
            if bend and circuit.told == "COMMITTED":
                circuit.gbps = record.criteria.bandwidth_bps // G
        circuit.decided.set()

    async def _accept(self, item: Item, circuit: Circuit) -> None:
        """Takes the first alternative of another one, which others may take as well."""
        refused = self.circuits.get(int(item.word))
        if refused is not None:
            await refused.decided.wait()
        if refused is None or not refused.tokens:
            return
        request = pb.Reservation(request_id=f"reserve-{item.number}", accept=refused.tokens[0])
        record = await self._call(item, "Reserve", request, circuit)
        if record is not None:
            self._hear(item, circuit, record)
            circuit.gbps = record.criteria.bandwidth_bps // G
            if refused.taken_by not in ("", circuit.reservation_id):
                self._found(f"user {item.number}: one alternative was granted twice")
            refused.taken_by = circuit.reservation_id
        circuit.decided.set()

    async def _reserve_net(self, item: Item, circuit: Circuit) -> None:
        start_s, end_s, timeout_s, word = item.word.split(maxsplit=3)
        base_s, net = EPOCH_MS // 1000, read_net(word)
        request = pb.Reservation(
            request_id=f"reserve-{item.number}",
            cloudnet=to_pb(net),
            window=common_pb2.Window(start_s=base_s + int(start_s), end_s=base_s + int(end_s)),
            negotiation_timeout_s=int(timeout_s),
        )
        circuit.net = str(net)
        record = await self._call(item, "Reserve", request, circuit)
        if record is not None:
            self._hear(item, circuit, record)
        circuit.decided.set()

    async def _remodel(self, item: Item, circuit: Circuit) -> None:
        await circuit.decided.wait()
        if circuit.told != "COMMITTED":
            return
        net = read_net(item.word)
        circuit.nets.setdefault(str(net), "")
        request = pb.ModifyRequest(
            request_id=f"remodel-{item.number}-{item.at_ms}",
            reservation_id=circuit.reservation_id,
            cloudnet=to_pb(net),
            negotiation_timeout_s=10,
        )
        record = await self._call(item, "Modify", request, circuit)
        if record is not None and record.HasField("modified"):
            answer = "yes" if record.modified else "no"
            # What was had once may be asked for again.
            if circuit.nets[str(net)] != "yes":
                circuit.nets[str(net)] = answer
            self._note(f"user {item.number} hears remodelled {answer}")

    async def _modify(self, item: Item, circuit: Circuit) -> None:
        await circuit.decided.wait()
        if circuit.told != "COMMITTED":
            return
        gbps = int(item.word)
        circuit.wishes[gbps] = ""
        request = pb.ModifyRequest(
            request_id=f"modify-{item.number}-{item.at_ms}",
            reservation_id=circuit.reservation_id,
            bandwidth_bps=gbps * G,
            negotiation_timeout_s=10,
        )
        record = await self._call(item, "Modify", request, circuit)
        if record is not None and record.HasField("modified"):
            circuit.wishes[gbps] = "yes" if record.modified else "no"
            self._note(f"user {item.number} hears modified {circuit.wishes[gbps]}")

    async def _migrate(self, item: Item, circuit: Circuit) -> None:
        await circuit.decided.wait()
        if circuit.told != "COMMITTED":
            return
        domain, *switch = item.word.split()
        circuit.moves[domain] = ""
        request = pb.ModifyRequest(
            request_id=f"migrate-{item.number}-{item.at_ms}",
            reservation_id=circuit.reservation_id,
            constraints=pb.Constraints(avoid_domains=[domain]),
            negotiation_timeout_s=10,
        )
        if switch:
            request.switch_s = EPOCH_MS // 1000 + int(switch[0])
        record = await self._call(item, "Modify", request, circuit)
        if record is not None and record.HasField("modified"):
            circuit.moves[domain] = "yes" if record.modified else "no"
            self._note(f"user {item.number} hears moved {circuit.moves[domain]}")

    async def _cancel(self, item: Item, circuit: Circuit) -> None:
        await circuit.decided.wait()
        if circuit.told != "COMMITTED":
            return
        circuit.cancelled = True
        request = pb.CancelRequest(reservation_id=circuit.reservation_id)
        record = await self._call(item, "Cancel", request, circuit)
        if record is not None:
            self._hear(item, circuit, record)

    async def _call(
        self, item: Item, method: str, request: Any, circuit: Circuit
    ) -> pb.ReservationRecord | None:
        """Asks until somebody answers; None: it was refused as a request."""
        instances = self._peers(item.who)
        attempt = 0
        while True:
            instance = instances[attempt % len(instances)]
            attempt += 1
            stub = self._stub(instance)
            self._note(f"user {item.number} asks {instance}: {method}")
            try:
                answer = await getattr(stub, method)(request, timeout=CALL_TIMEOUT_S)
                return cast(pb.ReservationRecord, answer)
            except AioRpcError as error:
                self._note(f"user {item.number} hears {error.code().name}: {error.details()}")
                if error.code() not in TRY_AGAIN:
                    return None
            await asyncio.sleep(AGAIN_S)

    def _stub(self, instance: str) -> Any:
        if instance not in self._stubs:
            channel = self._wire.channel("users", instance)
            self._stubs[instance] = ReservationsStub(cast(grpc.aio.Channel, channel))
        return self._stubs[instance]

    def _hear(self, item: Item, circuit: Circuit, record: pb.ReservationRecord) -> None:
        state = pb.ReservationState.Name(record.state).removeprefix("RESERVATION_STATE_")
        self._note(f"user {item.number} hears {state} of {short(record.reservation_id)}")
        if circuit.reservation_id not in ("", record.reservation_id):
            self._found(f"user {item.number}: one request made two reservations")
        circuit.reservation_id, circuit.told = record.reservation_id, state

    def contradicted(self, states: Mapping[str, Found]) -> list[str]:
        """Where what users were told is not so in the end, by the ids of reservations."""
        found = []
        for number, circuit in sorted(self.circuits.items()):
            if not circuit.told:
                continue
            now = states.get(circuit.reservation_id, Found("nothing"))
            if now.state not in _possible(circuit):
                found.append(f"user {number} was told {circuit.told}, it is {now.state}")
            elif now.state == "COMMITTED" and not _has_rate(circuit, now.gbps):
                found.append(f"user {number} has {now.gbps} Gb/s, told otherwise")
            elif now.state == "COMMITTED" and now.avoids not in _avoided(circuit):
                avoids = ", ".join(now.avoids) or "nobody"
                found.append(f"user {number} avoids {avoids}, told otherwise")
            elif now.state == "COMMITTED" and now.net not in _nets(circuit):
                found.append(f"user {number} has {now.net}, told otherwise")
        return found


def _possible(circuit: Circuit) -> set[str]:
    if circuit.told == "COMMITTED":
        more = {"CANCELLED"} if circuit.cancelled else set()
        return {"COMMITTED", "ENDED", *more}
    if circuit.told == "NEGOTIATING":
        return {"COMMITTED", "FAILED", "ENDED"}
    return {circuit.told}


def _has_rate(circuit: Circuit, gbps: int) -> bool:
    may_change = circuit.rate_may_change and "yes" not in circuit.wishes.values()
    return may_change or gbps in _bandwidths(circuit)


def _bandwidths(circuit: Circuit) -> set[int]:
    confirmed = [gbps for gbps, answer in circuit.wishes.items() if answer == "yes"]
    unknown = [gbps for gbps, answer in circuit.wishes.items() if not answer]
    return {*(confirmed or [circuit.gbps]), *unknown}


def _avoided(circuit: Circuit) -> set[tuple[str, ...]]:
    confirmed = [(domain,) for domain, answer in circuit.moves.items() if answer == "yes"]
    unknown = [(domain,) for domain, answer in circuit.moves.items() if not answer]
    return {*confirmed, *unknown} if confirmed else {(), *unknown}


def _nets(circuit: Circuit) -> set[str]:
    confirmed = [net for net, answer in circuit.nets.items() if answer == "yes"]
    unknown = [net for net, answer in circuit.nets.items() if not answer]
    return {*(confirmed or [circuit.net]), *unknown}
