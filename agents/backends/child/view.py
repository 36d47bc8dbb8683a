"""What is known of a child orchestrator, and the calls that it is asked by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from agents.backends.child.circuits import Circuit, Inner, Names, Need, Target, Thing, seen
from agents.backends.config import ChildDomainConfig
from braid.client import AsyncClient, BraidError, Conflict, InvalidRequest, NotFound, Refused
from braid.cloudnets import cloudnet
from braid.v1 import reservations_pb2 as pb
from protocol.messages import ReservationPrep
from runtime.clock import Clock
from runtime.settings import SettingsError, TlsSettings
from substrate.model import Window
from substrate.values import replace

PAGE = 1000
IN_FLIGHT_MS = 10_000
"""After so long a request that the child does not know will not reach it any more."""
CERTAIN = (InvalidRequest, NotFound, Conflict, Refused)
"""After these the child has not begun to change anything."""
ATTEMPTS_MAX = 4
REFOLLOW_S = (0.5, 1.0, 2.0, 5.0, 10.0)
TOLD = ("data_plane_changed", "state_changed")
"""Kinds of events after which a circuit may not carry what it did."""

_log = structlog.get_logger(__name__)


class ChildView:
    """This domain's circuits at the child, as they were last seen. Calls raise BraidError."""

    def __init__(self, config: ChildDomainConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._names = Names(config.owner)
        self._tls = _credentials(config.child.tls)
        self._opened: AsyncClient | None = None
        self._circuits: dict[str, Circuit] = {}
        self._complete = False
        # Requests by the parent's reservation whose outcome is not known, and since when.
        self._doubts: dict[str, dict[str, int]] = {}
        # Changes by the parent's reservation whose outcome is not known, each by when it will be.
        self._changes: dict[str, list[int]] = {}
        self._disturbed: Callable[[str], None] = lambda reservation_id: None

    async def known(self) -> Sequence[Circuit]:
        """Every circuit that is known; the child is asked if it was not yet."""
        if not self._complete:
            await self.listed()
        return list(self._circuits.values())

    async def live(self, reservation_id: str) -> Sequence[Circuit]:
        """What the child holds for one of the parent's reservations."""
        circuits = await self.known()
        return [c for c in circuits if c.live and c.reservation_id == reservation_id]

    async def listed(self) -> Sequence[Circuit]:
        """Asks for every circuit that the child holds; what is over is forgotten."""
        before, found, token = set(self._circuits), list[Circuit](), ""
        while True:
            page = await self.client.list(("negotiating", "committed"), PAGE, token)
            circuits = map(self._names.circuit, page.reservations)
            found += [circuit for circuit in circuits if circuit is not None]
            token = page.next_page_token
            if not token:
                break
        for child_id in before - {circuit.child_id for circuit in found}:
            gone = self._circuits.pop(child_id, None)
            if gone is not None and gone.live:
                self._disturbed(gone.reservation_id)
        for circuit in found:
            known = self._circuits.get(circuit.child_id)
            self._circuits[circuit.child_id] = seen(self._circuits, circuit)
            if known is not None and known.data_plane != circuit.data_plane:
                self._disturbed(circuit.reservation_id)
        self._complete = True
        return list(self._circuits.values())

    async def got(self, circuit: Circuit) -> Circuit:
        """The circuit as it is now; one that the child does not know is cancelled."""
        try:
            return self._noted(await self.client.get(circuit.child_id)) or circuit
        except NotFound:
            self._circuits.pop(circuit.child_id, None)
            return replace(circuit, state=pb.RESERVATION_STATE_CANCELLED, data_plane=0)

    async def reserved(
        self, prep: ReservationPrep, thing: Thing, need: Need, wait_s: float
    ) -> tuple[pb.ReservationRecord, Circuit | None]:
        """Asks for a thing; the same part and thing again get the recorded answer.

        Unless it was given back since: an earlier life had asked for it and did not store that.
        """
        for attempt in range(ATTEMPTS_MAX):
            request_id = self._names.request_id(prep, thing, attempt)
            record = await self._asked(prep, thing, need, wait_s, request_id)
            if record.state != pb.RESERVATION_STATE_CANCELLED:
                break
        return record, self._noted(record)

    async def modified(
        self, circuit: Circuit, target: Target, wait_s: float
    ) -> tuple[pb.ReservationRecord, Circuit | None]:
        """Asks for something else of a circuit or CloudNet."""
        timeout_s, inner = max(1, int(wait_s)), target.inner
        try:
            record = await self.client.modify(
                circuit.child_id,
                bandwidth=target.bandwidth_bps or None,
                end=target.end_s,
                cloudnet=inner
                and cloudnet(inner.graph, at=dict(target.placing), exits=dict(inner.exits)),
                timeout_s=timeout_s,
            )
        except CERTAIN:
            raise
        except BaseException:
            # Also when it was not waited for any longer.
            known_ms = self._clock.now_ms() + timeout_s * 1000 + IN_FLIGHT_MS
            self._changes.setdefault(circuit.reservation_id, []).append(known_ms)
            raise
        return record, self._noted(record)

    def unsettled(self, reservation_id: str) -> bool:
        """Whether a change may still be made at the child of which no answer came."""
        now_ms = self._clock.now_ms()
        left = [known_ms for known_ms in self._changes.get(reservation_id, ()) if known_ms > now_ms]
        if left:
            self._changes[reservation_id] = left
        else:
            self._changes.pop(reservation_id, None)
        return bool(left)

    async def cancel(self, circuit: Circuit) -> None:
        """Gives a circuit back; one that is over is given back."""
        try:
            self._noted(await self.client.cancel(circuit.child_id))
        except NotFound:
            self._circuits.pop(circuit.child_id, None)
        except Conflict:
            if (await self.got(circuit)).live:
                raise

    async def resolve(self, reservation_id: str) -> bool:
        """Finds out what became of requests whose answers were lost; whether all is known now."""
        for request_id, since_ms in list(self._doubts.get(reservation_id, {}).items()):
            try:
                self._noted(await self.client.get(request_id=request_id))
            except NotFound:
                if self._clock.now_ms() < since_ms + IN_FLIGHT_MS:
                    continue
            self._settled(reservation_id, request_id)
        return reservation_id not in self._doubts and not self.unsettled(reservation_id)

    async def follow(self, disturbed: Callable[[str], None]) -> None:
        """Tells of reservations whose circuits change, until it is cancelled; then hangs up."""
        attempt, self._disturbed = 0, disturbed
        try:
            while True:
                try:
                    # What happened before it was followed is not told.
                    await self.listed()
                    async for event in self.client.watch():
                        attempt = 0
                        self._heard(event)
                except BraidError as error:
                    _log.warning("the child orchestrator is away", reason=str(error))
                await asyncio.sleep(REFOLLOW_S[min(attempt, len(REFOLLOW_S) - 1)])
                attempt += 1
        finally:
            if self._opened is not None:
                await self._opened.close()
                self._opened = None

    async def aggregated(self, window: Window, reservation_id: str) -> bytes:
        """What all providers of the child have free, as one of the domain's name.

        With what they hold for that reservation of the parent: it may go on using it.
        """
        own = await self.live(reservation_id) if reservation_id else ()
        mine = [c.child_id for c in own if c.cloudnet and c.window.overlaps(window)]
        answer = await self.client.aggregate(
            self._config.domain,
            start=window.start_s,
            duration=window.duration_s,
            reservation_id=mine[0] if mine else "",
        )
        graph: bytes = answer.aggregate.SerializeToString(deterministic=True)
        return graph

    async def cloudnet(self, reservation_id: str) -> Circuit | None:
        """The CloudNet for one of the parent's reservations: that in force now, else the next."""
        found = [circuit for circuit in await self.live(reservation_id) if circuit.cloudnet]
        return min(
            found, key=lambda c: (not c.active, c.window.start_s, -c.updated_ms), default=None
        )

    @property
    def client(self) -> AsyncClient:
        """Opened when it is first used: that needs a running loop."""
        if self._opened is None:
            child = self._config.child
            self._opened = AsyncClient(child.target, insecure=child.insecure, **self._tls)
        return self._opened

    async def _asked(
        self, prep: ReservationPrep, thing: Thing, need: Need, wait_s: float, request_id: str
    ) -> pb.ReservationRecord:
        self._doubts.setdefault(prep.reservation_id, {})[request_id] = self._clock.now_ms()
        try:
            record = await self._answer(prep, thing, need, wait_s, request_id)
        except Conflict:
            # An earlier life has asked; since then its beginning has passed.
            found: pb.ReservationRecord = await self.client.get(request_id=request_id)
            record = found
        except (InvalidRequest, NotFound, Refused):
            self._settled(prep.reservation_id, request_id)
            raise
        self._settled(prep.reservation_id, request_id)
        return record

    def _heard(self, event: pb.ReservationEvent) -> None:
        circuit = self._circuits.get(event.reservation_id)
        if circuit is not None and event.WhichOneof("kind") in TOLD:
            self._disturbed(circuit.reservation_id)

    def _noted(self, record: pb.ReservationRecord) -> Circuit | None:
        circuit = self._names.circuit(record)
        if circuit is not None:
            self._circuits[circuit.child_id] = seen(self._circuits, circuit)
        return circuit

    async def _answer(
        self, prep: ReservationPrep, thing: Thing, need: Need, wait_s: float, request_id: str
    ) -> pb.ReservationRecord:
        common: dict[str, Any] = {
            "start": need.window.start_s,
            "end": need.window.end_s,
            "description": prep.reservation_id,
            "request_id": request_id,
            "timeout_s": max(1, int(wait_s)),
        }
        record: pb.ReservationRecord
        if isinstance(thing, Inner):
            record = await self.client.create_cloudnet(
                thing.graph, exits=dict(thing.exits), **common
            )
        else:
            record = await self.client.reserve(
                thing.source,
                thing.destination,
                need.bandwidth_bps,
                unidirectional=thing.unidirectional,
                source_vlans=str(thing.source_vlan),
                destination_vlans=str(thing.destination_vlan),
                max_paths=1 if need.single_path else None,
                **common,
            )
        return record

    def _settled(self, reservation_id: str, request_id: str) -> None:
        doubts = self._doubts.get(reservation_id, {})
        doubts.pop(request_id, None)
        if not doubts:
            self._doubts.pop(reservation_id, None)


def _credentials(tls: TlsSettings | None) -> dict[str, Any]:
    """What the client is to show and to believe, as PEM. Raises SettingsError."""
    if tls is None:
        return {}
    authority = tls.server_ca or tls.client_ca
    return {
        "root_certificates": None if authority is None else _read(authority),
        "key": _read(tls.key),
        "certificate": _read(tls.certificate),
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"child.tls: {path} cannot be read: {error.strerror}") from error
