"""Traces are off and unloaded unless asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from runtime import telemetry
from runtime.settings import SettingsError, TelemetrySettings


@telemetry.traced("work")
async def work(number: int) -> tuple[int, str]:
    """What it was given, and the traceparent of its span."""
    telemetry.note(number=number)
    return number, telemetry.traceparent()


async def test_nothing_is_traced_unless_asked_for() -> None:
    telemetry.configure(None, "test")
    assert not telemetry.on()
    assert await work(7) == (7, "")
    telemetry.ended("message", "00-" + "1" * 32 + "-" + "2" * 16 + "-01", 0.0)


def test_the_services_do_not_load_opentelemetry() -> None:
    script = (
        "import sys, commands.main\n"
        "from runtime import telemetry\n"
        "telemetry.configure(None, 'test')\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(find_spec("opentelemetry") is not None, reason="it is installed")
def test_without_the_extra_the_setting_says_what_is_missing() -> None:
    with pytest.raises(SettingsError, match=r"braid-orchestrator\[telemetry\]"):
        telemetry.configure(TelemetrySettings(endpoint="http://localhost:4317"), "test")


@pytest.fixture
def exporter() -> Any:
    """Keeps every span that ends."""
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `telemetry`")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, found = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(found))
    telemetry.use(provider)
    yield found
    telemetry.use(None)


async def test_a_span_knows_what_is_noted_and_its_traceparent(exporter: Any) -> None:
    number, parent = await work(7)
    (span,) = exporter.get_finished_spans()
    assert (number, span.name, dict(span.attributes)) == (7, "work", {"number": 7})
    assert parent.split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]


async def test_what_ended_is_below_its_parent(exporter: Any) -> None:
    _, parent = await work(7)
    telemetry.ended("message", parent, 0.0, domain="d1")
    above, below = exporter.get_finished_spans()
    assert (below.name, dict(below.attributes)) == ("message", {"domain": "d1"})
    assert below.parent.span_id == above.context.span_id
    assert below.end_time > below.start_time


async def test_a_traceparent_that_is_none_makes_no_span_or_a_trace_of_its_own(
    exporter: Any,
) -> None:
    telemetry.ended("message", "", 0.0)
    assert exporter.get_finished_spans() == ()
    telemetry.ended("message", "not-a-traceparent", 0.0)
    assert exporter.get_finished_spans()[0].parent is None
