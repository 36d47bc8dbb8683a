"""The gRPC server that every service runs."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status.rpc_status import from_call

from braid.v1 import reservations_pb2, reservations_pb2_grpc, topology_pb2, topology_pb2_grpc
from runtime.database import StorageBusyError, StorageError
from runtime.errors import invalid
from runtime.server import Add, GrpcServer, ListenError, open_channel, serving
from runtime.settings import ListenSettings, TlsSettings

INSECURE = ListenSettings(listen="127.0.0.1:0", insecure=True)
TOPOLOGY = "braid.v1.Topology"
RESERVATIONS = "braid.v1.Reservations"


class Topology(topology_pb2_grpc.TopologyServicer):
    """Get fails as told; Register waits until told to go on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.running = 0
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def Get(self, request: Any, context: Any) -> Any:
        if self.error is not None:
            raise self.error
        return topology_pb2.GetTopologyResponse()

    async def Register(self, request: Any, context: Any) -> Any:
        self.entered.set()
        self.running += 1
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1
        return topology_pb2.RegisterResponse()

    async def Unregister(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "still in use")

    async def Availability(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    Aggregate = Availability


class Reservations(reservations_pb2_grpc.ReservationsServicer):
    """Watch gives one event and then fails."""

    async def Get(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    Plan = Reserve = List = Modify = Cancel = Get

    async def ReserveMany(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        yield reservations_pb2.ReserveManyResponse()

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield reservations_pb2.ReservationEvent(sequence=1)
        raise KeyError("the password is 1234")


def services(topology: Topology | None = None) -> Mapping[str, Add]:
    return {
        TOPOLOGY: partial(topology_pb2_grpc.add_TopologyServicer_to_server, topology or Topology()),
        RESERVATIONS: partial(
            reservations_pb2_grpc.add_ReservationsServicer_to_server, Reservations()
        ),
    }


async def failure_of(error: Exception) -> grpc.aio.AioRpcError:
    async with (
        serving(INSECURE, services(Topology(error))) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await topology_pb2_grpc.TopologyStub(channel).Get(topology_pb2.GetTopologyRequest())
    return caught.value


async def test_a_bug_reaches_the_log_with_a_reference_and_the_client_without_its_text() -> None:
    with structlog.testing.capture_logs() as logs:
        error = await failure_of(ValueError("the password is 1234"))
    assert error.code() is grpc.StatusCode.INTERNAL
    [entry] = [entry for entry in logs if entry["event"] == "handler failed"]
    assert entry["method"] == "/braid.v1.Topology/Get"
    assert entry["reference"] in (error.details() or "")
    assert "1234" in str(entry["exc_info"])
    assert "1234" not in (error.details() or "")


async def test_a_bug_in_the_midst_of_a_stream_is_hidden_too() -> None:
    async with (
        serving(INSECURE, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        stub: Any = reservations_pb2_grpc.ReservationsStub(channel)
        call = stub.Watch(reservations_pb2.WatchRequest())
        assert (await call.read()).sequence == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "1234" not in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("disk"), grpc.StatusCode.UNAVAILABLE),
        (StorageBusyError("database writes", 9), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (invalid("source", "x", "an STP"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_known_errors_have_their_code(error: Exception, code: grpc.StatusCode) -> None:
    assert (await failure_of(error)).code() is code


async def test_a_wrong_request_travels_with_details() -> None:
    error = await failure_of(invalid("source", "x", "an STP"))
    answered: Any = _Answered(error)
    status = from_call(answered)
    assert status is not None
    violation = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(violation)
    assert violation.field_violations[0].description == error.details()


class _Answered:
    """The shape of a call that grpc_status reads."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details = error.code, error.details
        self.trailing_metadata = error.trailing_metadata


async def test_a_handlers_own_abort_passes() -> None:
    async with (
        serving(INSECURE, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        stub = topology_pb2_grpc.TopologyStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="still in use") as caught:
            await stub.Unregister(topology_pb2.UnregisterRequest())
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_calls_beyond_the_limit_are_refused_at_once_and_told_when_to_ask_again() -> None:
    topology, request = Topology(), topology_pb2.RegisterRequest()
    settings = INSECURE.model_copy(update={"calls_max": 2})
    async with (
        serving(settings, services(topology)) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        stub = topology_pb2_grpc.TopologyStub(channel)
        running = [stub.Register(request) for _ in range(2)]
        gone = running.pop()
        await until(lambda: topology.running == 2)
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError, match=r"calls in progress.* 2 at once") as caught:
            await stub.Get(topology_pb2.GetTopologyRequest())
        assert time.monotonic() - began < 1
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay_s(caught.value) == 1
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(service=TOPOLOGY))
        # Streams have room of their own.
        watch: Any = health.Watch(health_pb2.HealthCheckRequest(service=TOPOLOGY))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        # A call whose caller goes away leaves its place.
        gone.cancel()
        await until(lambda: topology.running == 1)
        await stub.Get(topology_pb2.GetTopologyRequest())
        topology.go_on.set()
        assert await running[0] == topology_pb2.RegisterResponse()


async def test_streams_beyond_the_limit_are_refused_until_one_ends() -> None:
    settings = INSECURE.model_copy(update={"streams_max": 1})
    async with (
        serving(settings, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        stub: Any = reservations_pb2_grpc.ReservationsStub(channel)
        open_stream = health.Watch(health_pb2.HealthCheckRequest(service=TOPOLOGY))
        await open_stream.read()
        refused = stub.Watch(reservations_pb2.WatchRequest())
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"streams in progress.* 1 at once"
        ) as caught:
            await refused.read()
        assert retry_delay_s(caught.value) == 5
        await topology_pb2_grpc.TopologyStub(channel).Get(topology_pb2.GetTopologyRequest())
        open_stream.cancel()

        async def served() -> bool:
            answer = stub.Watch(reservations_pb2.WatchRequest())
            try:
                return bool((await answer.read()).sequence)
            except grpc.aio.AioRpcError:
                return False

        # It is cancelled after its first event: its place must be free again for the next.
        for _ in range(3):
            await until(served)


async def until(condition: Callable[[], Any]) -> None:
    """Waits until a condition, awaited if need be, is true."""
    async with asyncio.timeout(60):
        while True:
            value = condition()
            if await value if inspect.isawaitable(value) else value:
                return
            await asyncio.sleep(0.01)


def retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    """What google.rpc.RetryInfo in the details of a failed call says."""
    answered: Any = _Answered(error)
    status, info = from_call(answered), error_details_pb2.RetryInfo()
    assert status is not None
    return next((info.retry_delay.ToSeconds() for d in status.details if d.Unpack(info)), None)


async def test_health_and_reflection_answer() -> None:
    async with (
        serving(INSECURE, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", TOPOLOGY, RESERVATIONS):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        untyped: Any = channel
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(untyped)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection.ServerReflectionInfo(iter([request]))
        names = {found.name for found in (await call.read()).list_services_response.service}
    assert {TOPOLOGY, RESERVATIONS, "grpc.health.v1.Health"} <= names


async def test_stopping_says_not_serving_and_lets_running_calls_end() -> None:
    topology = Topology()
    server = GrpcServer(INSECURE, services(topology))
    await server.start()
    async with open_channel(server.address, insecure=True) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=TOPOLOGY))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = topology_pb2_grpc.TopologyStub(channel).Register(topology_pb2.RegisterRequest())
        await topology.entered.wait()
        stopping = asyncio.create_task(server.stop(grace_s=5))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        topology.go_on.set()
        assert await call == topology_pb2.RegisterResponse()
        watch.cancel()
        await stopping


async def test_an_address_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"cannot listen on {address}"):
            GrpcServer(ListenSettings(listen=address, insecure=True), services())


async def test_two_servers_do_not_share_a_port() -> None:
    async with serving(INSECURE, services()) as server:
        with pytest.raises(ListenError, match=server.address):
            GrpcServer(ListenSettings(listen=server.address, insecure=True), services())


async def test_a_unix_socket_serves(tmp_path: Path) -> None:
    listen = ListenSettings(listen=f"unix:{tmp_path / 's'}", insecure=True)
    async with (
        serving(listen, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        await topology_pb2_grpc.TopologyStub(channel).Get(topology_pb2.GetTopologyRequest())


async def test_a_message_over_the_limit_is_refused() -> None:
    async with (
        serving(INSECURE, services()) as server,
        open_channel(server.address, insecure=True) as channel,
    ):
        request = topology_pb2.RegisterRequest(domain="x" * (5 << 20))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await topology_pb2_grpc.TopologyStub(channel).Register(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_channel_is_never_insecure_by_accident() -> None:
    with pytest.raises(ValueError, match="exactly one of tls and insecure"):
        open_channel("127.0.0.1:1")


def tls(folder: Path, name: str, **more: Path) -> TlsSettings:
    own = {"certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
    return TlsSettings(**{"client_ca": folder / "ca.pem", **own, **more})


async def test_mutual_tls_lets_only_known_certificates_in(certificates: Path) -> None:
    good = tls(certificates, "good")
    listen = ListenSettings(listen="127.0.0.1:0", tls=good)
    request = topology_pb2.GetTopologyRequest()
    async with serving(listen, services()) as server:
        async with open_channel(server.address, tls=good) as channel:
            await topology_pb2_grpc.TopologyStub(channel).Get(request)
        strangers = [
            open_channel(server.address, tls=tls(certificates, "other")),
            open_channel(server.address, insecure=True),
            open_channel(
                server.address,
                tls=tls(certificates, "good", server_ca=certificates / "other.pem"),
            ),
        ]
        for stranger in strangers:
            async with stranger as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await topology_pb2_grpc.TopologyStub(channel).Get(request, timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"key": "other.key"}, r"good\.pem and \S+other\.key cannot be used: KEY_VALUES_MISMATCH"),
        ({"key": "names"}, r"names cannot be used: not a certificate and its key"),
        ({"certificate": "names"}, r"names and \S+good\.key cannot be used"),
        ({"client_ca": "names"}, r"names has no certificate in PEM"),
    ],
)
async def test_what_is_no_pair_or_no_certificate_is_named(
    certificates: Path, wrong: dict[str, str], told: str
) -> None:
    settings = tls(certificates, "good", **{name: certificates / wrong[name] for name in wrong})
    with pytest.raises(ListenError, match=told):
        GrpcServer(ListenSettings(listen="127.0.0.1:0", tls=settings), services())
    with pytest.raises(ListenError, match=told):
        open_channel("127.0.0.1:1", tls=settings)


def signs_itself(folder: Path, name: str, *options: str) -> TlsSettings:
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2"]
    command = ["openssl", "req", "-x509", *options, *files]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return tls(folder, name, client_ca=folder / f"{name}.pem")


@pytest.mark.usefixtures("certificates")
async def test_a_short_key_is_a_pair_and_one_with_a_password_is_not(tmp_path: Path) -> None:
    short = signs_itself(tmp_path, "short", "-newkey", "rsa:1024", "-nodes")
    GrpcServer(ListenSettings(listen="127.0.0.1:0", tls=short), services())
    locked = signs_itself(tmp_path, "locked", "-newkey", "rsa:2048", "-passout", "pass:secret")
    with pytest.raises(
        ListenError, match=r"locked\.key cannot be used: not a .*, without a password"
    ):
        GrpcServer(ListenSettings(listen="127.0.0.1:0", tls=locked), services())


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    listen = ListenSettings(listen="127.0.0.1:0", tls=tls(tmp_path, "good"))

    async def build() -> None:
        GrpcServer(listen, services())

    with pytest.raises(ListenError, match=r"good\.key cannot be read: No such file"):
        asyncio.run(build())
