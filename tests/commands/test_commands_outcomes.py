"""How commands end when the orchestrator fails them, and what a terminal shows meanwhile."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import grpc
import pytest
from faked import braid
from rich.console import Console

from braid import retries
from braid.client import Client
from braid.units import format_time
from braid.v1 import common_pb2, reservations_pb2 as pb
from commands import live, reservations
from tests.braid.fake_orchestrator import FakeOrchestrator

ROUTE = ("sitea:dtn", "sited:dtn")
Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (Code.INTERNAL, 1),
        (Code.UNKNOWN, 1),
        (Code.INVALID_ARGUMENT, 2),
        (Code.OUT_OF_RANGE, 2),
        (Code.NOT_FOUND, 4),
        (Code.UNAVAILABLE, 5),
        (Code.FAILED_PRECONDITION, 6),
        (Code.ALREADY_EXISTS, 6),
        (Code.PERMISSION_DENIED, 6),
        (Code.RESOURCE_EXHAUSTED, 6),
        (Code.DEADLINE_EXCEEDED, 7),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["reserve", *ROUTE, "10G"],
        ["plan", *ROUTE, "10G"],
        ["list"],
        ["show", "r1"],
        ["modify", "r1", "--bandwidth", "1G"],
        ["cancel", "r1"],
        ["topology", "show"],
        ["topology", "availability", "a:x", "a:y"],
        ["topology", "join", "new", "127.0.0.1:9"],
        ["topology", "leave", "renet1"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_failed_call_is_one_line_on_standard_error_and_its_exit_code(
    target: str, fake: FakeOrchestrator, arguments: list[str], code: grpc.StatusCode, exit_code: int
) -> None:
    fake.fail(code, "the orchestrator's own words", times=retries.ATTEMPTS)
    result = braid(target, *arguments, "--json")
    assert result.exit_code == exit_code
    assert result.stderr == "braid: the orchestrator's own words\n"
    assert result.stdout == ""


EARLY = "given 1795500000, possible: a time after the start (1795503600)"
EARLY_SHOWN = (
    f"given {format_time(1795500000)}, possible: a time after the start ({format_time(1795503600)})"
)
LONG = "given '34560000 s', possible: a window of at most 31622400 s"
LONG_SHOWN = "given '400d', possible: a window of at most 366d"
WIDE = "given 3000000000, possible: at most 2000000000 bit/s, the capacity of cr6:1-100000"
WIDE_SHOWN = "given 3 Gb/s, possible: at most 2 Gb/s, the capacity of cr6:1-100000"
MUCH = "given 4000000000001, possible: at most 90000000000000 bytes, which is 3600 s at 2000 bit/s"
MUCH_SHOWN = "given 4000000000001, possible: at most 90 TB, which is 1h at 2 kb/s"
ODD = "given 'a: given b, possible: c', possible: nothing beside volume_bytes, end_s or start_s"
HOUR = ["1G", "--duration", "1h"]
DATA = ["--volume", "1TB", "--deadline", "+1h"]


@pytest.mark.parametrize(
    ("words", "told", "shown"),
    [
        (HOUR, f"window.end_s: {EARLY}", f"--duration (window.end_s): {EARLY_SHOWN}"),
        (["1G"], f"window.end_s: {LONG}", f"--end or --duration (window.end_s): {LONG_SHOWN}"),
        (DATA, f"window.end_s: {EARLY}", f"--deadline (window.end_s): {EARLY_SHOWN}"),
        (
            [*HOUR, "--window", "1d"],
            f"window.end_s: {EARLY}",
            f"--window (window.end_s): {EARLY_SHOWN}",
        ),
        (HOUR, f"window.start_s: {EARLY}", f"--start (window.start_s): {EARLY_SHOWN}"),
        (HOUR, f"bandwidth_bps: {WIDE}", f"BANDWIDTH (bandwidth_bps): {WIDE_SHOWN}"),
        (
            [*DATA, "--rate-at-most", "1G"],
            f"bandwidth_bps: {WIDE}",
            f"--rate-at-most (bandwidth_bps): {WIDE_SHOWN}",
        ),
        (
            DATA,
            f"flexibility.volume_bytes: {MUCH}",
            f"--volume (flexibility.volume_bytes): {MUCH_SHOWN}",
        ),
        (
            [*HOUR, "--window", "2h"],
            "flexibility.duration_s: given 10800, possible: 1 to 7200, the length of the window",
            "--duration (flexibility.duration_s): given 3h,"
            " possible: 1s to 2h, the length of the window",
        ),
        (
            HOUR,
            "constraints.remaining_bps: given 9, possible: 1 to 8, less than bandwidth_bps",
            "--remaining (constraints.remaining_bps): given 9,"
            " possible: 1 to 8, less than BANDWIDTH",
        ),
        (
            DATA,
            f"flexibility.max_phases: {ODD}",
            "--max-phases (flexibility.max_phases): given 'a: given b,"
            " possible: c', possible: nothing beside --volume, --end or --start",
        ),
        (
            HOUR,
            f"more_destinations[0]: {ODD[:32]}",
            f"--to (more_destinations[0]): {ODD[:32]}",
        ),
        (HOUR, "request_id: given 'a b'", "--request-id: given 'a b'"),
        (HOUR, "something_new: given 7, possible: 8", "something_new: given 7, possible: 8"),
        (HOUR, "later: given 0.75 s, possible: 90 s", "later: given 0.75 s, possible: 1m30s"),
    ],
)
def test_an_error_is_about_the_option_that_was_written_and_names_its_field(
    target: str, fake: FakeOrchestrator, words: list[str], told: str, shown: str
) -> None:
    fake.fail(Code.INVALID_ARGUMENT, told)
    result = braid(target, "reserve", *ROUTE, *words)
    assert result.exit_code == 2
    assert result.stderr == f"braid: {shown}\n"


def test_an_error_of_a_change_is_about_its_options_too(target: str, fake: FakeOrchestrator) -> None:
    braid(target, "reserve", *ROUTE, "1G", "--duration", "1h")
    fake.fail(Code.INVALID_ARGUMENT, f"end_s: {EARLY}")
    result = braid(target, "modify", "r1", "--end", "+1h")
    assert result.stderr == f"braid: --end (end_s): {EARLY_SHOWN}\n"
    result = braid(target, "modify", "r1", "--end", "+1h", "--duration", "1h")
    assert result.stderr == "braid: --end: not together with --duration\n"
    result = braid(target, "modify", "r1")
    assert (result.exit_code, result.stderr) == (
        2,
        "braid: say --bandwidth, --end or --duration\n",
    )
    # Only the first call of a migration asks what there is.
    result = braid(target, "migrate", "r1", "--at", "soon")
    assert result.stderr.startswith("braid: --at: 'soon' is not a time")


def test_a_negotiation_is_followed_over_a_lost_connection(
    target: str, fake: FakeOrchestrator
) -> None:
    fake.watch_breaks_after = 5
    result = braid(target, "reserve", *ROUTE, "150G", "--duration", "2h")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("decision: COMMIT") == 1
    assert result.stdout.count("renet1 holds its part") == 1
    assert "[1999] sitea [399] renet2 [399] sited [1999]" in result.stdout
    assert "use 4 parallel streams" in result.stdout


def test_an_interrupted_reserve_says_that_it_goes_on_and_under_which_id(
    target: str, fake: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reservations, "follow", interrupted)
    result = braid(target, "reserve", *ROUTE, "10G")
    assert result.exit_code == 7
    assert "r1 is still negotiated: braid watch r1, or braid cancel r1" in result.stderr


def test_every_field_of_a_record_is_in_its_json(target: str) -> None:
    result = braid(target, "reserve", *ROUTE, "150G", "--duration", "2h", "--json")
    record = json.loads(result.stdout)
    assert set(record) >= {field.name for field in pb.ReservationRecord.DESCRIPTOR.fields} - {
        # Absent when they say nothing.
        *("modified", "asked", "switch_s", "proof"),
    }
    assert [path["bandwidth_bps"] for path in record["paths"]] == ["75000000000"] * 2


def test_a_list_goes_over_pages_up_to_its_limit(target: str, fake: FakeOrchestrator) -> None:
    for _ in range(4):
        braid(target, "reserve", *ROUTE, "1G", "--duration", "1h", "--json")
    listed = json.loads(braid(target, "list", "--limit", "3", "--json").stdout)
    assert [r["reservation_id"] for r in listed["reservations"]] == ["r4", "r3", "r2"]
    assert listed["next_page_token"] == "3"
    assert "r1" in braid(target, "list").stdout


def test_a_domain_that_joins_but_is_down_is_registered_and_has_exit_code_5(
    target: str, fake: FakeOrchestrator
) -> None:
    result = braid(target, "topology", "join", "new", "127.0.0.1:1")
    assert result.exit_code == 5
    assert "new is registered but down: connection refused" in result.stderr
    assert fake.topology.targets["new"] == "127.0.0.1:1"


def shown(fake: FakeOrchestrator, until: int | None = None) -> str:
    """What a terminal shows after the first events."""
    board = live.Board()
    for event in fake.events[:until]:
        board.take(event)
    screen = Console(file=StringIO(), width=120)
    screen.print(board.view())
    return screen.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def row(text: str, domain: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip().startswith(domain))
    return re.split(r"\s{2,}", line.strip())


def test_the_terminals_table_grows_with_the_negotiation(
    target: str, fake: FakeOrchestrator
) -> None:
    with Client(target, insecure=True) as client:
        record = client.reserve(*ROUTE, "150G", duration="2h")
    kinds = [event.WhichOneof("kind") for event in fake.events]
    asked = shown(fake, kinds.index("offers_requested") + 1)
    assert row(asked, "renet1") == ["renet1", "asked …"]
    prepared = shown(fake, kinds.index("prepare_sent") + 1)
    assert row(prepared, "renet1") == ["renet1", "100 Gb/s", "asked …"]
    assert "ReservationPrep" not in prepared
    decided = shown(fake)
    assert row(decided, "renet1") == ["renet1", "100 Gb/s", "held"]
    assert decided.startswith("state: committed")
    fake.note(record, part_settled=pb.PartSettled(domain="renet1", outcome="COMMITTED"))
    assert row(shown(fake), "renet1")[-1] == "committed"


def test_the_terminals_table_shows_who_refused_and_who_was_silent(
    target: str, fake: FakeOrchestrator
) -> None:
    with Client(target, insecure=True) as client:
        record = client.reserve(*ROUTE, "10G", duration="2h")
    refusal = common_pb2.Refusal(reason="VLAN 7 is taken")
    no = pb.PrepareAnswered(round=1, domain="renet1", held=False, refusal=refusal)
    fake.note(record, prepare_answered=no)
    fake.note(record, offers_received=pb.OffersReceived(domain="sitea"))
    assert row(shown(fake), "renet1") == ["renet1", "100 Gb/s", "no: VLAN 7 is taken"]
    assert row(shown(fake), "sitea")[:2] == ["sitea", "-"]


def test_a_terminal_shows_the_table_and_nothing_else(target: str, fake: FakeOrchestrator) -> None:
    screen = Console(file=StringIO(), width=100, force_terminal=True)
    with Client(target, insecure=True) as client:
        record = client.reserve(*ROUTE, "150G", duration="2h", detach=True)
        events = client.watch(record.reservation_id, until_decided=True)
        live.show_live(events, screen)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.file.getvalue())  # type: ignore[attr-defined]
    assert "state: committed" in text
    assert row(text.rpartition("state: committed")[2], "renet2")[1:] == ["100 Gb/s", "held"]
