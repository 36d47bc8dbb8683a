"""Structured logs on standard error: constant phrases, with what varies bound as fields."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from runtime.settings import LogSettings


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sets up logging for the process, libraries included; called once, by whoever wires a service.

    ``stream`` defaults to standard error. Tracebacks never show the values of variables.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common, processors=[_drop_internals, *_rendering(settings.format)]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("alembic", "sqlalchemy", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))


def _rendering(kind: str) -> list[Processor]:
    if kind == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]


_drop_internals: Processor = structlog.stdlib.ProcessorFormatter.remove_processors_meta
