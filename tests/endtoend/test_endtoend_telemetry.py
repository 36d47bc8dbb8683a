"""One trace from a request to the work of every domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import G, eventually, line, world

from braid.v1 import reservations_pb2 as pb
from runtime import telemetry


@pytest.fixture
def exporter() -> Iterator[Any]:
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


async def test_a_reserve_is_one_trace_through_all_domains(tmp_path: Path, exporter: Any) -> None:
    async with world(tmp_path, line(2)) as w:
        record = await w.reserve(10 * G, source="d1:host", destination="d2:host")
        assert record.state == pb.RESERVATION_STATE_COMMITTED

        async def commits() -> bool:
            return [s.name for s in exporter.get_finished_spans()].count("Commit") == 2

        await eventually(commits)
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    (root,) = [span for span in spans if span.name == "Reserve"]
    assert root.attributes["reservation_id"] == record.reservation_id
    ours = [span for span in spans if span.context.trace_id == root.context.trace_id]
    above = {(names[s.parent.span_id], s.name) for s in ours if s.parent is not None}
    assert above == {
        ("Reserve", "offers"),
        ("Reserve", "prepare"),
        ("Reserve", "commit"),
        ("offers", "ReqOffers"),
        ("prepare", "ReservationPrep"),
        ("prepare", "Commit"),
    }
    for name in ("ReqOffers", "ReservationPrep", "Commit"):
        domains = {span.attributes["domain"] for span in ours if span.name == name}
        assert domains == {"d1", "d2"}


async def test_nothing_is_sent_along_when_nothing_is_traced(tmp_path: Path) -> None:
    async with world(tmp_path, line(2)) as w:
        await w.reserve(10 * G, source="d1:host", destination="d2:host")
        for running in w.agents.values():
            (held,) = running.agent.holdings(None, 10)
            assert held.part.prep is not None
            assert held.part.prep.traceparent == ""
