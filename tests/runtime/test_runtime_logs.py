"""Logs are structured, one line each, and keep secrets."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from runtime.logs import configure
from runtime.settings import LogSettings


def test_a_line_is_json_with_its_fields() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream)
    structlog.get_logger().bind(domain="renet1").info("part held", part="t/p")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["domain"], line["part"]) == ("part held", "renet1", "t/p")
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_libraries_log_in_the_same_form() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream)
    logging.getLogger("grpc").warning("connection to %s lost", "peer")
    logging.getLogger("alembic").info("noise")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "connection to peer lost"


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure(LogSettings(level="warning"), stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(form: str) -> None:
    stream = io.StringIO()
    configure(LogSettings.model_validate({"format": form}), stream)
    password = "".join(["hun", "ter", "2"])
    try:
        int(f"not {len(password)}")
    except ValueError as error:
        structlog.get_logger().error("handler failed", exc_info=error)
    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
