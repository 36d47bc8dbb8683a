"""The backend of a domain that is a child orchestrator; see docs/decisions/0023.

A segment of a part is a circuit of the child, a partial graph a CloudNet of it. What is held at the
parent is committed at the child: the part is asked for there before it is admitted
(:mod:`agents.remote`), and cancelled there after it is durably given back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from agents.backends.base import DeviceError, Free, Partial, Placement
from agents.backends.child.circuits import Circuit, Ports, needed, tag
from agents.backends.child.keeping import Keeper
from agents.backends.child.view import ChildView
from agents.backends.child.vnodes import ChildCloudNets
from agents.backends.claims import (
    claims_at_ports,
    labels_of,
    not_carried_to,
    over_claimed,
    port_resources,
    profiles_at_ports,
    turns_back,
)
from agents.backends.config import CLOUD_PORT, ChildDomainConfig
from braid.errors import BraidError, InvalidRequest, NotFound
from braid.v1 import common_pb2
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer
from protocol.messages import Offer, ReservationPrep
from runtime.clock import Clock, SystemClock
from substrate.calendar import Resource
from substrate.model import (
    Directionality,
    Domain,
    Port,
    Refusal,
    RefusalKind,
    Segment,
    Window,
    least_profile,
)
from substrate.values import replace
from substrate.vlans import VlanSet

POLL_S = 0.2
CARRIED_WITHIN_S = 20
"""How long after the beginning, or end, of a window the child may take to configure."""
ANSWER_S = 0.5
"""How much longer than it may negotiate the child may take to say so."""

AGGREGATE_S = 1.5
"""How long the child may take to say what it has: less than a parent waits for offers."""

_log = structlog.get_logger(__name__)


class ChildBackend:
    """A child orchestrator as one domain. ``clock``: for the windows of what has begun already."""

    def __init__(self, config: ChildDomainConfig, clock: Clock | None = None) -> None:
        self._config, self._clock = config, clock or SystemClock()
        self._domain = config.describe(swaps_labels=config.swaps_labels, splits=False)
        self._capacities = port_resources(self._domain)
        stps = {f"{config.domain}:{port}": stp for port, stp in config.child.port_stps.items()}
        self._ports = Ports(stps)
        if config.child.runs_vnodes:
            self._domain = with_cloud(self._domain)
            self._ports = Ports(stps, self._domain.cloud_stp)
        self._child = ChildView(config, self._clock)
        self._keeper = Keeper(
            self._child,
            self._ports,
            self._clock,
            config.child.timeout_s,
            visible=self._domain.visible,
        )
        self._parts: dict[str, tuple[ReservationPrep, ...]] = {}

    def describe(self) -> Domain:
        return self._domain

    def capacities(self) -> Mapping[Resource, int]:
        return self._capacities

    def place(self, segments: Sequence[Segment], window: Window, free: Free) -> Placement | Refusal:
        for segment in filter(self._ports.is_inner, segments):
            reason = f"{self._ports.cloud_stp} is reached by CloudNets only"
            return Refusal(RefusalKind.TOPOLOGY, reason, segment_id=segment.segment_id)
        return self._placed(Partial("", 0, b"", tuple(segments), window), free)

    def offers(
        self,
        pairs: Sequence[tuple[str, str]],
        window: Window,
        directionality: Directionality,
        free: Free,
    ) -> tuple[Offer, ...]:
        """What the ports have left: the child may have less, and says so when it is asked."""
        found = []
        for ingress, egress in pairs:
            if ingress != egress:
                inner = self._ports.cloud_stp
                used = profiles_at_ports(ingress, egress, directionality, free, inner)
                profile = least_profile(used)
                price, latency_us = self._config.price, self._config.latency_us
                found.append(Offer("", ingress, egress, profile, latency_us, price))
        return tuple(found)

    def aggregate(self, free: Free) -> bytes:
        """Nothing at once: ``aggregated`` asks the child."""
        return b""

    async def consult(self, partial: Partial, free: Free) -> object:
        """Nothing more than ``hold`` has found: the child maps it."""
        return None

    def place_graph(self, partial: Partial, free: Free) -> Placement | Refusal:
        """Takes what the ports must carry; the VNodes are the child's matter."""
        return self._placed(partial, free)

    async def aggregated(self, window: Window, reservation_id: str) -> bytes:
        try:
            async with asyncio.timeout(AGGREGATE_S):
                return await self._child.aggregated(window, reservation_id)
        except (BraidError, TimeoutError) as error:
            raise DeviceError(_said(error)) from error

    def cloudnets(self) -> CloudNetsServicer | None:
        """What answers for VNodes here; None: there are none."""
        return ChildCloudNets(self._child, self._domain.name) if self._ports.cloud_stp else None

    async def hold(self, prep: ReservationPrep, parts: Sequence[ReservationPrep]) -> Refusal | None:
        if prep.awaits:
            return not_carried_to(self._domain.name, prep.awaits)
        self._parts[prep.reservation_id] = tuple(parts)
        left_s = (prep.deadline_ms - self._clock.now_ms()) / 1000
        wait_s = min(self._config.child.timeout_s, left_s)
        try:
            async with asyncio.timeout(wait_s + ANSWER_S):
                await self._child.known()
                outcomes = await asyncio.gather(
                    *(
                        self._keeper.secure(prep, parts, *each, wait_s)
                        for each in self._ports.things(prep)
                    ),
                    return_exceptions=True,
                )
        except (BraidError, TimeoutError) as error:
            return self._unanswered(error)
        for outcome in outcomes:
            if isinstance(outcome, BraidError):
                return self._unanswered(outcome)
            if isinstance(outcome, BaseException):
                raise outcome
        return next((outcome for outcome in outcomes if isinstance(outcome, Refusal)), None)

    async def tidy(self, reservation_id: str, parts: Sequence[ReservationPrep]) -> None:
        if parts:
            self._parts[reservation_id] = tuple(parts)
        else:
            self._parts.pop(reservation_id, None)
        try:
            resolved = await self._child.resolve(reservation_id)
            await self._keeper.tidy(reservation_id, parts)
        except BraidError as error:
            raise DeviceError(_said(error)) from error
        if not resolved:
            raise DeviceError("the child orchestrator may still hear of a request")

    async def kept(self, orchestrator_ids: Collection[str]) -> Collection[str]:
        if not orchestrator_ids:
            return ()
        askers = set(map(tag, orchestrator_ids))
        try:
            circuits = await self._child.listed()
        except BraidError as error:
            raise DeviceError(_said(error)) from error
        return {c.reservation_id for c in circuits if c.live and c.asker in askers}

    async def follow(self, disturbed: Callable[[str], None]) -> None:
        await self._child.follow(disturbed)

    async def provision(self, key: str, placement: Placement) -> None:
        """Waits until the child carries it: it configures its domains itself."""
        window, things = _detail(placement)
        deadline_ms = self._clock.now_ms() + CARRIED_WITHIN_S * 1000
        try:
            for thing, text in things.items():
                while not (await self._carrier(thing, text, window)).active:
                    if self._clock.now_ms() > deadline_ms:
                        raise DeviceError(f"the child orchestrator does not carry {text} yet")
                    await asyncio.sleep(POLL_S)
        except BraidError as error:
            raise DeviceError(_said(error)) from error

    async def withdraw(self, key: str, placement: Placement) -> None:
        """Waits until the child carries it no more, unless another part needs the same."""
        window, things = _detail(placement)
        deadline_ms = self._clock.now_ms() + CARRIED_WITHIN_S * 1000
        try:
            known = await self._child.known()
            mine = [c for c in known if c.thing in things and c.window.overlaps(window)]
            for circuit in mine:
                while not self._shared(circuit, key):
                    if (await self._child.got(circuit)).gone:
                        break
                    if self._clock.now_ms() > deadline_ms:
                        text = things[circuit.thing]
                        raise DeviceError(f"the child orchestrator still carries {text}")
                    await asyncio.sleep(POLL_S)
        except BraidError as error:
            raise DeviceError(_said(error)) from error

    def rules(self, placement: Placement) -> tuple[str, ...]:
        return tuple(f"the child carries {text}" for text in _detail(placement)[1].values())

    def _placed(self, partial: Partial, free: Free) -> Placement | Refusal:
        segments, window = partial.segments, partial.window
        wrong = turns_back(segments)
        if wrong is not None:
            return wrong
        claims = claims_at_ports(segments, self._ports.cloud_stp)
        refusal = over_claimed(claims, free, self._capacities)
        if refusal is not None:
            return refusal
        name = partial.reservation_id
        prep = ReservationPrep("", "", name, 0, segments, window, "", 0, graph=partial.graph)
        things = {thing.tag: str(thing) for thing, _ in self._ports.things(prep)}
        detail = json.dumps({"window": [window.start_s, window.end_s], "things": things})
        return Placement(claims, labels_of(segments), detail)

    async def _carrier(self, thing: str, text: str, window: Window) -> Circuit:
        """The circuit as it is now. Raises DeviceError when there is none that can carry."""
        able = [c for c in await self._child.known() if c.live and c.serves(thing, window)]
        found = min(able, key=lambda c: c.standing, default=None)
        circuit = await self._child.got(found) if found is not None else None
        if circuit is None or not circuit.live:
            raise DeviceError(f"the child orchestrator does not hold {text} any more")
        if circuit.data_plane == common_pb2.DATA_PLANE_STATE_FAILED:
            raise DeviceError(circuit.reason or f"the child orchestrator cannot carry {text}")
        return circuit

    def _shared(self, circuit: Circuit, key: str) -> bool:
        """Whether another part that lasts needs the circuit."""
        now_s = self._clock.now_ms() // 1000
        parts = self._parts.get(circuit.reservation_id, ())
        others = [p for p in parts if f"{p.transaction_id}/{p.part_id}" != key]
        lasting = [p for p in others if p.window.end_s > now_s]
        return needed(lasting, self._ports, circuit.thing, circuit.window) is not None

    def _unanswered(self, error: BraidError | TimeoutError) -> Refusal:
        wrong = isinstance(error, InvalidRequest | NotFound)
        kind = RefusalKind.POLICY if wrong else RefusalKind.UNAVAILABLE
        _log.warning("the child orchestrator does not hold a part", reason=_said(error))
        return Refusal(kind, _said(error) if self._domain.visible else "it cannot be held now")


def _said(error: BraidError | TimeoutError) -> str:
    if isinstance(error, BraidError):
        return f"the child orchestrator says {error.code.name}: {error.message}"
    return "the child orchestrator does not answer in time"


def with_cloud(domain: Domain) -> Domain:
    """The domain with a port at which its VNodes sit, which has the VLANs of all others."""
    vlans = VlanSet()
    for port in domain.ports:
        vlans |= port.vlans
    whole_bps = sum(port.capacity_bps for port in domain.ports)
    cloud = Port(f"{domain.name}:{CLOUD_PORT}", whole_bps, vlans)
    return replace(domain, ports=(*domain.ports, cloud), cloud_stp=cloud.stp)


def _detail(placement: Placement) -> tuple[Window, dict[str, str]]:
    """When, and the tags of what the child carries with a word for each."""
    stored = json.loads(placement.detail)
    return Window(*stored["window"]), stored["things"]
