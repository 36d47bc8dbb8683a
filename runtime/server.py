"""A gRPC server as every Braid service runs it, and the channel that reaches one.

Health and reflection always; TLS unless ``insecure`` is asked for; bounded messages and calls; a
handler's exception never reaches a client as text (design, section 9).
"""

from __future__ import annotations

import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Never

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from runtime.clock import Ids, RandomIds
from runtime.errors import RETRY_AFTER_S, abort, full, told
from runtime.settings import ListenSettings, TlsSettings

MESSAGE_LIMIT_BYTES = 4 << 20
STREAM_RETRY_S = 5.0
"""When to open a stream again that found no room: streams last."""
OPENING_MAX = 10_000
"""Calls beyond those in progress: their request has not come yet, or they are being refused."""
HEALTH_CHECK = f"/{health.SERVICE_NAME}/Check"
GRACE_S = 5.0

_COMMON_OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_SERVER_OPTIONS = (
    *_COMMON_OPTIONS,
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Without this a second process on the same port would silently take half of the calls.
    ("grpc.so_reuseport", 0),
)
_CHANNEL_OPTIONS = (
    *_COMMON_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)

Add = Callable[[grpc.aio.Server], None]
"""Adds one servicer: ``partial(add_XServicer_to_server, servicer)``."""

_log = structlog.get_logger(__name__)


class ListenError(Exception):
    """The address cannot be listened on, or a certificate cannot be read."""


class GrpcServer:
    """A server for ``services`` (full service name → how to add it), with health and reflection.

    Binds at once: ``address`` is what clients connect to. Raises ListenError.
    """

    def __init__(
        self, settings: ListenSettings, services: Mapping[str, Add], ids: Ids | None = None
    ) -> None:
        self._server = grpc.aio.server(
            interceptors=[_Shield(ids or RandomIds(), settings)],
            options=_SERVER_OPTIONS,
            maximum_concurrent_rpcs=settings.calls_max + settings.streams_max + OPENING_MAX,
        )
        self._health = health.aio.HealthServicer()
        self._names = sorted(services)
        by_name: Any = _ByName(self._server)
        for name in self._names:
            services[name](by_name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, by_name)
        reflection.enable_server_reflection(
            [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self.address = _bind(self._server, settings)

    async def start(self) -> None:
        """Serves, and says so by the standard health service."""
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def drain(self) -> None:
        """Says NOT_SERVING, so that who chooses among instances takes another; still serves."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Says NOT_SERVING, takes no new calls, and gives running ones ``grace_s`` seconds."""
        await self.drain()
        await self._server.stop(grace_s)


@asynccontextmanager
async def serving(
    settings: ListenSettings, services: Mapping[str, Add], grace_s: float = GRACE_S
) -> AsyncIterator[GrpcServer]:
    """A started :class:`GrpcServer` for the length of a block."""
    server = GrpcServer(settings, services)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace_s)


def open_channel(
    target: str, *, tls: TlsSettings | None = None, insecure: bool = False
) -> grpc.aio.Channel:
    """A channel to ``host:port`` or ``unix:path``; connects when first used.

    With ``tls`` this side shows its own certificate. Raises ValueError unless exactly one of
    ``tls`` and ``insecure`` is given, ListenError when a file cannot be read.
    """
    if (tls is None) is not insecure:
        raise ValueError("exactly one of tls and insecure must be given to open a channel")
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
    authority = tls.server_ca or tls.client_ca
    roots = None if authority is None else _authority(authority)
    credentials = grpc.ssl_channel_credentials(roots, *_pair(tls))
    return grpc.aio.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)


def _bind(server: grpc.aio.Server, settings: ListenSettings) -> str:
    try:
        if settings.tls is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, _server_credentials(settings.tls))
    except RuntimeError as error:
        raise ListenError(f"listen: cannot listen on {settings.listen}: {error}") from error
    if port == 0:
        raise ListenError(f"listen: cannot listen on {settings.listen}: it is in use or not ours")
    if settings.listen.startswith(("unix:", "unix-abstract:")):
        return settings.listen
    return f"{settings.listen.rpartition(':')[0]}:{port}"


def _server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    pair = _pair(tls)
    if tls.client_ca is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], _authority(tls.client_ca), require_client_auth=True)


def _pair(tls: TlsSettings) -> tuple[bytes, bytes]:
    """Key and certificates. Raises ListenError: of what is no pair gRPC only writes to the log."""
    pair = _read(tls.key), _read(tls.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whether they are strong enough is gRPC's to say, which takes shorter keys.
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        # Without a password it would ask the terminal for one.
        context.load_cert_chain(tls.certificate, tls.key, "")
    except (ssl.SSLError, ValueError) as error:
        reason = (
            getattr(error, "reason", None) or "not a certificate and its key, without a password"
        )
        text = f"tls: {tls.certificate} and {tls.key} cannot be used: {reason}"
        raise ListenError(text) from error
    return pair


def _authority(path: Any) -> bytes:
    """Certificates. Raises ListenError."""
    pem = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise ListenError(f"tls: {path} has no certificate in PEM") from error
    return pem


def _read(path: Any) -> bytes:
    try:
        return bytes(path.read_bytes())
    except OSError as error:
        raise ListenError(f"tls: {path} cannot be read: {error.strerror}") from error


class _ByName:
    """Gives a server methods that are found by their names when they are called.

    Those that are registered with it one by one are waited for one by one: for each call it would
    look at as many futures as there are methods, three times.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, methods: object) -> None:
        """Does nothing: they are among the generic ones too."""


class _Room:
    """Room for ``most`` calls of one kind at once; None: for any number."""

    def __init__(self, what: str, most: int | None, retry_after_s: float = RETRY_AFTER_S) -> None:
        self._what, self._most, self._retry_after_s = what, most, retry_after_s
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the length of the block. Raises RequestError when all are taken."""
        if self._most is not None and self._taken >= self._most:
            raise full(self._what, self._most, self._retry_after_s)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class _Shield(grpc.aio.ServerInterceptor):
    """Bounds the calls in progress, and turns exceptions of handlers into statuses.

    Known kinds of exceptions by table, all others hidden. Health checks always have room.
    """

    def __init__(self, ids: Ids, settings: ListenSettings) -> None:
        self._ids = ids
        self._calls = _Room("calls in progress", settings.calls_max)
        self._streams = _Room("streams in progress", settings.streams_max, STREAM_RETRY_S)
        self._checks = _Room("health checks in progress", None)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind = {
            (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
            (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
            (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
            (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
        }
        name, make = kind[handler.request_streaming, handler.response_streaming]
        method = handler_call_details.method
        room = self._streams if "stream" in name else self._calls
        if method == HEALTH_CHECK:
            room = self._checks
        behaviour = self._wrapped(getattr(handler, name), method, room)
        return make(behaviour, handler.request_deserializer, handler.response_serializer)

    def _wrapped(
        self, behaviour: Callable[..., Any], method: str, room: _Room
    ) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(behaviour):

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    with room.place():
                        async with aclosing(behaviour(request, context)) as responses:
                            async for response in responses:
                                yield response
                except Exception as error:
                    await self._end(context, method, error)

            return stream

        async def call(request: Any, context: Any) -> Any:
            try:
                with room.place():
                    return await behaviour(request, context)
            except Exception as error:
                await self._end(context, method, error)

        return call

    async def _end(self, context: Any, method: str, error: Exception) -> Never:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        await abort(context, told(error, method, self._ids))
