"""What Prometheus reads: over HTTP, from a registry, and from a database's lanes."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from runtime.database import Database
from runtime.metrics import (
    Gauge,
    Gauges,
    counts,
    exposed,
    histogram,
    measure_database,
    new_registry,
)
from runtime.server import ListenError


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def look(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def test_a_registry_is_read_over_http_for_the_length_of_the_block() -> None:
    registry = CollectorRegistry()
    Counter("braid_things", "things", registry=registry).inc(3)
    with exposed(registry, "127.0.0.1:0") as address:
        answer = urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode()
    assert "braid_things_total 3.0" in answer
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{address}/metrics", timeout=60)


def test_without_an_address_nothing_listens() -> None:
    with exposed(CollectorRegistry(), None) as address:
        assert address == ""


@pytest.mark.parametrize(
    "listen", [lambda taken: taken, lambda _: "127.0.0.1:99999", lambda _: "no.such.host.:1"]
)
def test_an_address_that_cannot_be_had_is_a_listen_error(listen: Callable[[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(ListenError, match=r"^metrics: cannot listen on "),
            exposed(CollectorRegistry(), listen(taken)),
        ):
            pass


def test_gauges_are_looked_up_when_they_are_read() -> None:
    registry, figures = CollectorRegistry(), {"a": 1.0}
    gauge = Gauge("braid_x", "x", ("name",), lambda: [((k,), v) for k, v in figures.items()])
    registry.register(Gauges([gauge]))
    assert samples(registry)["braid_x", "a"] == 1
    figures["b"] = 2.0
    assert samples(registry)["braid_x", "b"] == 2


async def test_a_database_tells_how_many_share_a_transaction(sqlite_url: str) -> None:
    database, registry = Database(sqlite_url), CollectorRegistry()
    measure_database(registry, database)
    first = asyncio.create_task(
        database.write(lambda connection: connection.execute(text("SELECT 1")))
    )
    await asyncio.sleep(0)
    rest = [
        database.write(lambda connection: connection.execute(text("SELECT 1"))) for _ in range(9)
    ]
    await asyncio.gather(first, *rest)
    await database.read(lambda connection: connection.execute(text("SELECT 1")))
    found = samples(registry)
    assert found["braid_database_batch_size_sum", "writes"] == 10
    assert found["braid_database_batch_size_count", "writes"] <= 2
    assert found["braid_database_batch_seconds_count", "reads"] == 1
    assert found["braid_database_queue", "writes"] == 0
    await database.close()


def test_a_histogram_says_what_prometheus_s_own_says() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    mine = histogram(registry, "braid_waits", "waits", "lane", buckets=(0.5, 1, 2.5))
    theirs = Histogram("braid_waits", "waits", ["lane"], buckets=(0.5, 1, 2.5), registry=reference)
    for lane, value in (("a", 0.5), ("a", 0.6), ("b", 9.0), ("a", 2.5), ("b", 0.0)):
        mine.of(lane).observe(value)
        theirs.labels(lane).observe(value)
    expected = {k: v for k, v in samples(reference).items() if not k[0].endswith("_created")}
    assert samples(registry) == expected


def test_counts_say_what_prometheus_s_own_say_and_what_is_known_from_the_start() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    mine = counts(registry, "braid_things", "things", ("kind", "where"), [("a", "x"), ("c", "x")])
    theirs = Counter("braid_things", "things", ["kind", "where"], registry=reference)
    theirs.labels("c", "x")
    for kind, where in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        mine.add(kind, where)
        theirs.labels(kind, where).inc()
    expected = {k: v for k, v in samples(reference).items() if not k[0].endswith("_created")}
    assert samples(registry) == expected
    assert expected["braid_things_total", "a", "x"] == 2
    assert expected["braid_things_total", "c", "x"] == 0


def test_a_service_tells_what_its_process_uses() -> None:
    found = samples(new_registry())
    assert found["process_resident_memory_bytes",] > 0
    assert found["process_cpu_seconds_total",] > 0
