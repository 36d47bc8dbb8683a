"""The network between users, orchestrator instances and agents.

It delays, loses and doubles, is cut and breaks. Messages of one direction of a call keep their
order, as TCP's do; what is planned for single messages breaks that rule too: a late one may even
arrive in a later session.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from simulations.faults.lanes import Lane, Link, Numbers, Planned, Running, notice
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.rpc import (
    Call,
    Channel,
    Inbox,
    MetadataLike,
    Pipe,
    ServerContext,
    Services,
    rpc_error,
    serve,
)

NEGOTIATE = "/braid.v1.DomainAgent/Negotiate"
VNODES = "/braid.v1.CloudNets/"
KEEPALIVE_S = 4.0
"""After how long a cut is noticed. In production about 30 s; here all is in more of a hurry."""

Note = Callable[[str], None]
Count = Callable[[str], None]


@dataclass(slots=True)
class Wire:
    """All links. ``broken`` hears what a servicer failed with that it should not have."""

    loop: FaultLoop
    seed: str
    planned: Planned
    count: Count
    note: Note | None
    broken: Callable[[BaseException], None]
    snaps: dict[tuple[str, int], str] = field(default_factory=dict)
    """See :class:`simulations.faults.lanes.Snaps`."""
    crash: Callable[[Process], None] = lambda _process: None
    late: int = 0
    """How many messages are still to arrive late."""
    context: contextvars.Context = field(init=False)
    _links: dict[tuple[str, str], Link] = field(default_factory=dict)
    _served: dict[str, list[tuple[Process, Services]]] = field(default_factory=dict)
    """Who answers for a party: the last one; when that is gone, the one before."""
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.context = Process(self.loop, "network").context

    def link(self, client: str, server: str) -> Link:
        """The link between two parties."""
        key = (client, server)
        if key not in self._links:
            self._links[key] = Link(self.seed, client, server, self.planned, self.snaps)
        return self._links[key]

    def links_of(self, party: str) -> list[Link]:
        """All links of a party."""
        return [link for key, link in sorted(self._links.items()) if party in key]

    def channel(self, client: str, server: str) -> Channel:
        """How one party reaches another."""
        return Channel(_Caller(self, self.link(client, server)))

    def serve(self, party: str, process: Process, services: Services) -> None:
        """The party can be called, and this process of it answers."""
        self._served.setdefault(party, []).append((process, services))

    def gone(self, process: Process) -> None:
        """A process is dead: its connections break; its twin answers in its place, if any."""
        for serving in self._served.values():
            serving[:] = [each for each in serving if each[0] is not process]
        self.drop_calls(process)

    def drop_calls(self, process: Process) -> None:
        """All connections of a process break."""
        for _, link in sorted(self._links.items()):
            for call in list(link.calls.values()):
                if process in (call.client, call.server):
                    call.close(rpc_error(grpc.StatusCode.UNAVAILABLE, "connection reset"))

    def reset(self, link: Link) -> None:
        """The connection breaks; what is under way is lost."""
        for call in list(link.calls.values()):
            call.close(rpc_error(grpc.StatusCode.UNAVAILABLE, "connection reset"))

    def snapped(self, text: str) -> None:
        """A fault of a message that is about what VNodes have took place."""
        self.count("snap")
        if self.note is not None:
            self.note(f"snap {text}")

    def snap(self, link: Link, process: Process | None) -> None:
        """The connection breaks; because this process dies, if it is one."""
        if process is not None:
            self.crash(process)
        self.reset(link)

    def cut(self, link: Link) -> None:
        """Nothing passes until it is mended; noticed after KEEPALIVE_S."""
        link.cut += 1
        for call in list(link.calls.values()):
            self.loop.call_later(KEEPALIVE_S, notice, call, context=self.context)

    def mend(self, link: Link) -> None:
        """The inverse of cut."""
        link.cut -= 1
        if not link.cut:
            for call in list(link.calls.values()):
                for lane in (call.there, call.back):
                    if lane is not None:
                        lane.mend()

    def begin(
        self,
        link: Link,
        client: Process,
        method: str,
        parse: Callable[[bytes], Any],
        metadata: MetadataLike,
        timeout_s: float | None,
        request: Any = None,
        kind: type[Call] = Call,
    ) -> tuple[Call, Pipe]:
        """A call that goes on its way now, with its request when that is a single one."""
        serving = self._served.get(link.server)
        served = serving[-1] if serving else None
        handler = served[1].methods[method] if served is not None else None
        self._numbers += 1
        deserialize: Any = handler.request_deserializer if handler is not None else bytes
        call = Running(self._numbers, link, client, Inbox(deserialize))
        call.answers = answers = Inbox(parse)
        call.handle = handle = kind(client, answers, lambda: call.close(None))
        counts = link.lanes if method == NEGOTIATE else {}
        snaps = link.snaps if method.startswith(VNODES) else {}
        call.there = Lane(self, call, call.requests, counts.get("there"), snaps.get("there"))
        call.back = Lane(self, call, answers, counts.get("back"), snaps.get("back"))
        link.calls[call.number] = call
        if served is None or handler is None:
            call.back.end(rpc_error(grpc.StatusCode.UNAVAILABLE, "connection refused"))
        else:
            back, process = call.back, served[0]
            call.server = process
            context = ServerContext(metadata, lambda said: back.post(call.accept, said))
            data = request.SerializeToString() if request is not None else None
            begin = call.there.send if request is not None else call.there.post
            begin(self._start, call, process, handler, data, context)
        if timeout_s is not None:
            error = rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
            self.loop.call_later(timeout_s, call.close, error, context=self.context)
        if link.cut:
            self.loop.call_later(KEEPALIVE_S, notice, call, context=self.context)
        return handle, call.there

    def arrive_late(self, numbers: Numbers, data: bytes) -> None:
        """A message from long ago arrives in the present session, if there is one."""
        self.late -= 1
        if numbers.lane is not None:
            numbers.lane.late(data)

    def _start(
        self,
        call: Running,
        process: Process,
        handler: grpc.RpcMethodHandler[Any, Any],
        data: bytes | None,
        context: ServerContext,
    ) -> None:
        if call.open and process.alive and call.back is not None:
            parse: Any = handler.request_deserializer
            request = call.requests if data is None else parse(data)
            work = serve(handler, request, call.back, context, self.broken)
            call.serving = process.spawn(work)


@dataclass(frozen=True, slots=True)
class _Caller:
    wire: Wire
    link: Link

    def begin(
        self,
        client: Process,
        method: str,
        parse: Callable[[bytes], Any],
        metadata: MetadataLike,
        timeout_s: float | None,
        request: Any = None,
        kind: type[Call] = Call,
    ) -> tuple[Call, Pipe]:
        wire, link = self.wire, self.link
        return wire.begin(link, client, method, parse, metadata, timeout_s, request, kind)
