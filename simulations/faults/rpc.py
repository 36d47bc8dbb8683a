"""gRPC in memory: generated stubs and servicers, joined by a :class:`simulations.faults.wire.Wire`.

Every message is serialized to protobuf bytes and parsed again at the other end. What gRPC's
threads do (retries, keepalive, deadlines) is the wire's to imitate, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Generic, Never, Protocol, TypeVar

import grpc
from grpc.aio import EOF, AioRpcError, Metadata
from grpc_status.rpc_status import to_status

from runtime.errors import status_of
from simulations.faults.loop import Process, current

T = TypeVar("T")

MetadataLike = Sequence[tuple[str, str | bytes]]


class Pipe(Protocol):
    """One direction of a call, as the wire carries it."""

    def put(self, message: Any) -> None:
        """Sends a protobuf message."""

    def end(self, error: AioRpcError | None = None) -> None:
        """Nothing more follows; with an error, the call is over."""

    def last(self, message: Any) -> None:
        """Sends the only message of this direction, and ends the call."""


class Inbox(Generic[T]):
    """What has arrived and was not read yet."""

    def __init__(self, parse: Callable[[bytes], T]) -> None:
        self._parse = parse
        self._items: deque[bytes] = deque()
        self._over = False
        self._error: BaseException | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more arrives."""
        return self._over

    def arrive(self, item: bytes) -> None:
        """A message came."""
        if not self._over:
            self._items.append(item)
            self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes: the reader hears so once it has read what there is."""
        if not self._over:
            self._over, self._error = True, error
            self._wake()

    async def get(self) -> T:
        """The next message. Raises what :meth:`end` was given, or StopAsyncIteration."""
        while not self._items:
            if self._over:
                raise self._error or StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._parse(self._items.popleft())

    def __aiter__(self) -> Inbox[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self.get()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Call:
    """One call as its client sees it: awaitable for one answer, or an iteration of many."""

    def __init__(self, client: Process, answers: Inbox[Any], cancel: Callable[[], None]) -> None:
        self.accepted: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        self._client, self._answers, self._cancel = client, answers, cancel
        self._sending: asyncio.Task[None] | None = None

    def send(self, requests: AsyncIterator[Any], pipe: Pipe) -> None:
        """Takes the requests from an iterator as they come."""
        self._sending = self._client.spawn(_pump(requests, pipe))

    async def initial_metadata(self) -> Metadata:
        """What the server said as it took the call. Raises AioRpcError."""
        return await asyncio.shield(self.accepted)

    def refuse(self, error: AioRpcError) -> None:
        """The call was not taken; nobody need ask."""
        if not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted._log_traceback = False

    async def one(self) -> Any:
        """The answer of a unary call. Raises AioRpcError."""
        return await self._answers.get()

    async def read(self) -> Any:
        """The next answer of many; EOF after the last one. Raises AioRpcError."""
        try:
            return await self._answers.get()
        except StopAsyncIteration:
            return EOF

    def __aiter__(self) -> Inbox[Any]:
        return self._answers

    @property
    def sends(self) -> bool:
        """Whether requests are still read from an iterator."""
        return self._sending is not None

    def cancel(self) -> bool:
        """Ends the call from this side."""
        self.stop_sending()
        self._cancel()
        return True

    def stop_sending(self) -> None:
        """No more requests are read."""
        if self._sending is not None:
            self._sending.cancel()


class WrittenCall(Call):
    """A call whose requests are written one by one, and which is awaited for its one answer."""

    pipe: Pipe

    async def write(self, message: Any) -> None:
        """Sends a request. Raises asyncio.InvalidStateError when the call is over."""
        if self.done():
            raise asyncio.InvalidStateError("the call is over")
        self.pipe.put(message)
        # As gRPC does: others may go on.
        await asyncio.sleep(0)

    async def done_writing(self) -> None:
        """No more requests follow."""
        self.pipe.end()

    def done(self) -> bool:
        """Whether its end has arrived."""
        return self._answers.over

    def refuse(self, error: AioRpcError) -> None:
        """As gRPC has it, who asks what was said first hears nothing, and then of the error."""
        if not self.accepted.done():
            self.accepted.set_result(Metadata())

    def __await__(self) -> Generator[Any, None, Any]:
        return self.one().__await__()


async def _pump(requests: AsyncIterator[Any], pipe: Pipe) -> None:
    async for request in requests:
        pipe.put(request)
    pipe.end()


class ServerContext:
    """What a servicer may ask of a call."""

    def __init__(self, metadata: MetadataLike, accept: Callable[[MetadataLike], None]) -> None:
        self._metadata, self._accept = tuple(metadata), accept

    def invocation_metadata(self) -> MetadataLike:
        """What the client sent along."""
        return self._metadata

    async def send_initial_metadata(self, metadata: MetadataLike) -> None:
        """Tells the client that the call is taken."""
        self._accept(metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", *_: Any) -> Never:
        """Ends the call with a status."""
        raise rpc_error(code, details)


class Services:
    """Collects servicers, as a ``grpc.aio.Server`` would."""

    def __init__(self) -> None:
        self.methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """One service's methods."""
        for name, handler in handlers.items():
            self.methods[f"/{service}/{name}"] = handler

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same in another form."""


async def serve(
    handler: grpc.RpcMethodHandler[Any, Any],
    request: Any,
    answers: Pipe,
    context: ServerContext,
    broken: Callable[[BaseException], None],
) -> None:
    """Runs one call in the server's process, to its end; ``request``: one, or an iterator."""
    try:
        if handler.response_streaming:
            behaviour: Any = handler.stream_stream or handler.unary_stream
            async for answer in behaviour(request, context):
                answers.put(answer)
            answers.end()
        else:
            behaviour = handler.stream_unary or handler.unary_unary
            answers.last(await behaviour(request, context))
    except AioRpcError as error:
        answers.end(error)
    except Exception as error:
        status = status_of(error)
        if status is None:
            broken(error)
            return
        told = to_status(status)
        answers.end(rpc_error(told.code, told.details, Metadata(*told.trailing_metadata)))


def rpc_error(code: grpc.StatusCode, details: str, trailing: Metadata | None = None) -> AioRpcError:
    """A status that is not OK."""
    return AioRpcError(code, Metadata(), trailing or Metadata(), details)


class Caller(Protocol):
    """What a channel needs: how a call to one target begins."""

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
        """A call that goes on its way now, with its request when that is a single one."""


class Channel:
    """The part of ``grpc.aio.Channel`` that stubs use."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._calls: list[Call] = []

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Ends all calls."""
        for call in self._calls:
            call.cancel()

    def unary_unary(
        self, method: str, response_deserializer: Callable[[bytes], Any], **_: Any
    ) -> Callable[..., Any]:
        """How to call a method with one request and one answer."""

        async def call(request: Any, timeout: float | None = None, **more: Any) -> Any:
            begun, _ = self._begin(method, response_deserializer, timeout, more, request)
            return await begun.one()

        return call

    def unary_stream(
        self, method: str, response_deserializer: Callable[[bytes], Any], **_: Any
    ) -> Callable[..., Call]:
        """How to call a method with one request and many answers."""

        def call(request: Any, timeout: float | None = None, **more: Any) -> Call:
            return self._begin(method, response_deserializer, timeout, more, request)[0]

        return call

    def stream_unary(
        self, method: str, response_deserializer: Callable[[bytes], Any], **_: Any
    ) -> Callable[..., WrittenCall]:
        """How to call a method with many requests, to be written, and one answer."""

        def call(**more: Any) -> WrittenCall:
            begun, pipe = self._begin(method, response_deserializer, None, more, kind=WrittenCall)
            assert isinstance(begun, WrittenCall)
            begun.pipe = pipe
            return begun

        return call

    def stream_stream(
        self, method: str, response_deserializer: Callable[[bytes], Any], **_: Any
    ) -> Callable[..., Call]:
        """How to call a method with many requests and many answers."""

        def call(requests: AsyncIterator[Any], **more: Any) -> Call:
            begun, pipe = self._begin(method, response_deserializer, None, more)
            begun.send(requests, pipe)
            return begun

        return call

    def _begin(
        self,
        method: str,
        parse: Any,
        timeout_s: float | None,
        more: Mapping[str, Any],
        request: Any = None,
        kind: type[Call] = Call,
    ) -> tuple[Call, Pipe]:
        metadata = more.get("metadata") or ()
        begun = self._caller.begin(current(), method, parse, metadata, timeout_s, request, kind)
        self._calls.append(begun[0])
        return begun
