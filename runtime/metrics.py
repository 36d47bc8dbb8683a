"""What services count and measure, for Prometheus; docs/metrics.md lists all of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


class Counts(Collector):
    """How often something happened, by labels. One thread may count.

    ``known``: values of labels that are told from the start, as 0: Prometheus does not see the
    first of what it has never heard of. When each began is not told: of Prometheus's own counters
    that is a series more, whose name reads like a count.
    """

    def __init__(
        self,
        name: str,
        about: str,
        labels: tuple[str, ...],
        known: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._of = dict.fromkeys(known, 0)

    def add(self, *labels: str) -> None:
        """Once more, with these values of the labels."""
        self._of[labels] = self._of.get(labels, 0) + 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._of.copy().items():
            family.add_metric(labels, count)
        yield family


class Distribution:
    """How often values lay at or below each of ``bounds``, ascending. One thread may observe."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """As Prometheus wants them: how many up to each bound; and the sum of all values."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


class Distributions(Collector):
    """A histogram with one label: several times quicker to observe than Prometheus's own, which
    takes a lock and half a dozen calls for each value."""

    def __init__(
        self, name: str, about: str, label: str, bounds: Sequence[float] = SECONDS
    ) -> None:
        self._name, self._about, self._label, self._bounds = name, about, label, bounds
        self._of: dict[str, Distribution] = {}

    def of(self, value: str) -> Distribution:
        """The distribution for that value of the label."""
        found = self._of.get(value)
        if found is None:
            found = self._of[value] = Distribution(self._bounds)
        return found

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._about, labels=(self._label,))
        for value, found in list(self._of.items()):
            family.add_metric((value,), *found.buckets())
        yield family


def new_registry() -> CollectorRegistry:
    """What Prometheus reads of a service; memory and processor time of its process are in it."""
    registry = CollectorRegistry()
    registry.register(_of_process())
    return registry


@cache
def _of_process() -> Collector:
    """One for all services of the process: to make one reads all of ``/proc/stat``."""
    return ProcessCollector(registry=None)


def counts(
    registry: CollectorRegistry,
    name: str,
    about: str,
    labels: tuple[str, ...],
    known: Iterable[tuple[str, ...]] = (),
) -> Counts:
    """Counts that Prometheus reads; see there."""
    found = Counts(name, about, labels, known)
    registry.register(found)
    return found


def histogram(
    registry: CollectorRegistry,
    name: str,
    about: str,
    label: str,
    buckets: tuple[float, ...] = SECONDS,
) -> Distributions:
    """A distribution; without other buckets, of seconds."""
    found = Distributions(name, about, label, buckets)
    registry.register(found)
    return found


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
        sizes.of(lane).observe(size)
        seconds.of(lane).observe(duration_s)

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
