"""Connections between parties, and each direction of each call over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
from grpc.aio import AioRpcError, Metadata

from simulations.faults.loop import Process
from simulations.faults.rpc import Call, Inbox, MetadataLike, rpc_error
from simulations.faults.words import brief

if TYPE_CHECKING:
    from simulations.faults.wire import Wire


@dataclass(frozen=True, slots=True)
class MessageFault:
    """What happens to the ``number``-th message of a lane; ``copy``: it arrives in its turn too."""

    late_s: float | None
    copy: bool

    @property
    def kind(self) -> str:
        """Its name in the trace."""
        if self.late_s is None:
            return "lost"
        return "doubled" if self.copy else "late"


Planned = dict[tuple[str, int], MessageFault]
"""By lane ("a>m1", "m1>a") and number, from 1 over all its sessions."""


class Link:
    """A caller and whom it calls: an instance and an agent, or the users and an instance."""

    def __init__(
        self,
        seed: str,
        client: str,
        server: str,
        faults: Planned,
        snaps: dict[tuple[str, int], str],
    ) -> None:
        self.client, self.server = client, server
        self.dice = Random(f"{seed}/{client}/{server}")
        self.calls: dict[int, Running] = {}
        self.cut = 0
        self.slow = 1.0
        self.lanes = {
            "there": Numbers(f"{client}>{server}", faults),
            "back": Numbers(f"{server}>{client}", faults),
        }
        self.snaps = {
            "there": Snaps(f"{client}>{server}", snaps),
            "back": Snaps(f"{server}>{client}", snaps),
        }

    def delay_s(self) -> float:
        """How long one message travels."""
        drawn = self.dice.random()
        delay_s = 0.001 + 0.008 * drawn if drawn < 0.95 else 4.0 * (drawn - 0.95)
        return delay_s * self.slow


@dataclass(slots=True)
class Numbers:
    """The messages of one direction of a link, over all its sessions, numbered from 1."""

    name: str
    planned: Planned
    sent: int = 0
    lane: Lane | None = None


@dataclass(slots=True)
class Snaps:
    """The messages of one direction of a link that carry what VNodes have, or are about that.

    ``planned``: at which of them, from 1 on, the connection breaks, and how: "before" it arrives or
    "after"; or it arrives and who gets it dies ("crash").
    """

    name: str
    planned: dict[tuple[str, int], str]
    sent: int = 0

    def next(self) -> str:
        """What happens to another one; empty: nothing."""
        self.sent += 1
        return self.planned.get((self.name, self.sent), "")


class Lane:
    """One direction of one call: the writer's end; the reader has the inbox."""

    def __init__(
        self,
        wire: Wire,
        call: Running,
        inbox: Inbox[Any],
        count: Numbers | None,
        snaps: Snaps | None = None,
    ) -> None:
        self._wire, self._call, self._inbox, self._count = wire, call, inbox, count
        self._snaps = snaps
        self._last_s = 0.0
        self._stuck: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.error: AioRpcError | None = None
        if count is not None:
            count.lane = self

    def put(self, message: Any) -> None:
        """Sends it on its way, unless its sender is gone."""
        if not self._call.open:
            return
        if self._count is not None:
            self._put_frame(message, self._count)
        else:
            self.send(self._inbox.arrive, message.SerializeToString())

    def end(self, error: AioRpcError | None = None) -> None:
        """The last word of this direction; an error ends the call."""
        if self._call.open:
            self.post(self._call.ended, self._inbox, error)

    def last(self, message: Any) -> None:
        """The only message, and with it the end of the call."""
        if self._call.open:
            self.send(self._call.answered, message.SerializeToString())

    def send(self, arrive: Callable[..., None], *arguments: Any) -> None:
        """As :meth:`post`, of a message, at which the connection may break."""
        word = self._snaps.next() if self._snaps is not None else ""
        if word != "before":
            self.post(arrive, *arguments)
        if word:
            assert self._snaps is not None
            self._wire.snapped(f"{self._snaps.name} {self._snaps.sent} {word}")
            process = self._call.client if self is self._call.back else self._call.server
            self.post(self._wire.snap, self._call.link, process if word == "crash" else None)

    def late(self, data: bytes) -> None:
        """A message from long ago arrives."""
        if self._call.open:
            self._inbox.arrive(data)

    def mend(self) -> None:
        """What was stuck behind a cut goes on."""
        stuck, self._stuck = self._stuck, []
        for arrive, arguments in stuck:
            self.post(arrive, *arguments)

    def post(self, arrive: Callable[..., None], *arguments: Any) -> None:
        """Something reaches the other end, in its turn."""
        if self._call.link.cut:
            self._stuck.append((arrive, arguments))
            return
        loop = self._wire.loop
        self._last_s = max(self._last_s, loop.now_s + self._call.link.delay_s())
        loop.call_at(self._last_s, arrive, *arguments, context=self._wire.context)

    def _put_frame(self, frame: Any, count: Numbers) -> None:
        """A frame of many messages, of which some may meet a fault."""
        clean: list[Any] = []
        for message in frame.messages:
            count.sent += 1
            fault = count.planned.get((count.name, count.sent))
            if self._wire.note is not None:
                word = f" {fault.kind}" if fault is not None else ""
                self._wire.note(f"{count.name} {count.sent} {brief(message)}{word}")
            if fault is None or fault.copy:
                clean.append(message)
            if fault is not None:
                self._wire.count(fault.kind)
                if fault.late_s is not None:
                    self._wire.late += 1
                    data = type(frame)(messages=[message]).SerializeToString()
                    self._wire.loop.call_later(
                        fault.late_s,
                        self._wire.arrive_late,
                        count,
                        data,
                        context=self._wire.context,
                    )
        if len(clean) == len(frame.messages):
            self.post(self._inbox.arrive, frame.SerializeToString())
        elif clean:
            self.post(self._inbox.arrive, type(frame)(messages=clean).SerializeToString())


class Running:
    """A call as the network sees it: both directions."""

    def __init__(self, number: int, link: Link, client: Process, requests: Inbox[Any]) -> None:
        self.number, self.link, self.client, self.requests = number, link, client, requests
        self.open = True
        self.there: Lane | None = None
        self.back: Lane | None = None
        self.handle: Call | None = None
        self.answers: Inbox[Any] | None = None
        self.server: Process | None = None
        self.serving: asyncio.Task[None] | None = None

    def ended(self, inbox: Inbox[Any], error: AioRpcError | None) -> None:
        """One direction is over; the call is when its answers are."""
        if inbox is self.answers:
            self.close(error)
        else:
            inbox.end()

    def answered(self, data: bytes) -> None:
        """The only answer is there."""
        if self.open and self.answers is not None:
            self.answers.arrive(data)
            self.close(None)

    def close(self, error: AioRpcError | None) -> None:
        """Over, for both sides."""
        if not self.open:
            return
        self.open = False
        self.link.calls.pop(self.number, None)
        assert self.answers is not None
        assert self.handle is not None
        self.answers.end(error)
        self.requests.end()
        if error is not None:
            self.handle.refuse(error)
        if self.client.alive and self.handle.sends:
            self.client.call(self.handle.stop_sending)
        if self.serving is not None and self.server is not None and self.server.alive:
            self.server.call(self.serving.cancel)

    def accept(self, metadata: MetadataLike) -> None:
        """The server has taken the call."""
        if self.open and self.handle is not None and not self.handle.accepted.done():
            self.handle.accepted.set_result(Metadata(*metadata))


def notice(call: Running) -> None:
    """A call over a link that is cut breaks."""
    if call.link.cut:
        call.close(rpc_error(grpc.StatusCode.UNAVAILABLE, "keepalive timed out"))
