"""Traces by OpenTelemetry, with the extra ``telemetry``.

Off until :func:`configure` is called with settings: then nothing of OpenTelemetry is imported, and
every hook costs one comparison. A trace crosses to a domain as the ``traceparent`` (W3C Trace
Context) of its messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from runtime.settings import SettingsError, TelemetrySettings

P = ParamSpec("P")
R = TypeVar("R")
Attribute = str | int | float | bool

_tracer: Any = None


def configure(settings: TelemetrySettings | None, service: str) -> None:
    """Sends traces to a collector from now on; None: not. Raises SettingsError."""
    if settings is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise SettingsError(
            "telemetry: needs OpenTelemetry, which is not installed: pip install"
            " 'braid-orchestrator[telemetry]'"
        ) from None
    # Sends what is left when the process ends.
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.endpoint)))
    use(provider)


def use(provider: Any) -> None:
    """Traces go to an OpenTelemetry TracerProvider from now on; None: nowhere."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("braid")


def on() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def traced(
    name: str,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Makes a span of every call of a coroutine function, below the caller's span."""

    def decorate(
        function: Callable[P, Coroutine[Any, Any, R]],
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            work = function(*args, **kwargs)
            return work if _tracer is None else _within(name, work)

        return call

    return decorate


def note(**attributes: Attribute) -> None:
    """Adds to the span in progress."""
    if _tracer is None:
        return
    from opentelemetry import trace

    trace.get_current_span().set_attributes(attributes)


def traceparent() -> str:
    """What to send along so that others' spans are below the one in progress; "": nothing."""
    if _tracer is None:
        return ""
    return _carried().get("traceparent", "")


def ended(name: str, parent: str, began_s: float, **attributes: Attribute) -> None:
    """A span that is over: since ``began_s`` by time.perf_counter, below a ``traceparent``.

    Without a parent there is none: who asked does not trace it.
    """
    if _tracer is None or not parent:
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    now_ns = time.time_ns()
    began_ns = now_ns - round(1e9 * (time.perf_counter() - began_s))
    span = _tracer.start_span(name, context, start_time=began_ns, attributes=attributes)
    span.end(now_ns)


async def _within(name: str, work: Coroutine[Any, Any, R]) -> R:
    with _tracer.start_as_current_span(name):
        return await work


def _carried() -> dict[str, str]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier
