"""What services count and measure, for Prometheus; docs/metrics.md lists all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from runtime.database import Database
from runtime.server import ListenError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

Rows = Iterable[tuple[tuple[str, ...], float]]
"""Values of labels, and the gauge's value for them."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that is looked up when it is asked for. ``read`` is called in another thread."""

    name: str
    about: str
    labels: tuple[str, ...]
    read: Callable[[], Rows]


class Gauges(Collector):
    """All gauges of a service."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = tuple(gauges)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.about, labels=gauge.labels)
            for labels, value in gauge.read():
                family.add_metric(labels, value)
            yield family


def histogram(
    registry: CollectorRegistry,
    name: str,
    about: str,
    *labels: str,
    buckets: tuple[float, ...] = SECONDS,
) -> Histogram:
    """A distribution; without other buckets, of seconds."""
    return Histogram(name, about, labels, registry=registry, buckets=buckets)


def measure_database(registry: CollectorRegistry, database: Database) -> None:
    """Batch sizes, durations and queues of a database's two lanes."""
    sizes = histogram(
        registry,
        "braid_database_batch_size",
        "Operations that shared a transaction",
        "lane",
        buckets=SIZES,
    )
    seconds = histogram(
        registry, "braid_database_batch_seconds", "From its begin to its commit, synced", "lane"
    )

    def observe(lane: str, size: int, duration_s: float) -> None:
        sizes.labels(lane).observe(size)
        seconds.labels(lane).observe(duration_s)

    database.observe = observe
    queues = Gauge(
        "braid_database_queue",
        "Operations that wait for the transaction before theirs",
        ("lane",),
        lambda: [((lane,), waiting) for lane, waiting in database.waiting().items()],
    )
    registry.register(Gauges([queues]))


@contextmanager
def exposed(registry: CollectorRegistry, listen: str | None) -> Iterator[str]:
    """Serves ``/metrics`` over HTTP at host:port for the length of the block, if one is given.

    Yields the address, with the port that was chosen. Raises ListenError.
    """
    if listen is None:
        yield ""
        return
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except (OSError, OverflowError) as error:
        raise ListenError(f"metrics: cannot listen on {listen}: {error}") from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
