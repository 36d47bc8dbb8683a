"""braid doubt, at a server that tells and does what the test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from braid import retries
from braid.v1 import doubts_pb2 as pb
from braid.v1.doubts_pb2_grpc import DoubtsServicer, add_DoubtsServicer_to_server
from commands import doubt as command
from commands.main import app

COMMIT, GIVE_UP = pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP
SINCE_MS = 1_900_000_000_000


class Desk(DoubtsServicer):
    """``doubts`` are listed page by page; ``refusal`` ends what is asked."""

    def __init__(self) -> None:
        self.doubts: list[pb.Doubt] = []
        self.decisions: list[pb.HeuristicDecision] = []
        self.listed: list[pb.ListDoubtsRequest] = []
        self.settled: list[pb.SettleRequest] = []
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    def List(self, request: pb.ListDoubtsRequest, context: Any) -> pb.ListDoubtsResponse:
        self.listed.append(request)
        self._refuse(context)
        first = int(request.page_token or 0)
        after = first + request.page_size
        return pb.ListDoubtsResponse(
            doubts=self.doubts[first:after],
            decisions=self.decisions,
            next_page_token=str(after) if after < len(self.doubts) else "",
        )

    def Settle(self, request: pb.SettleRequest, context: Any) -> pb.SettleResponse:
        self.settled.append(request)
        self._refuse(context)
        return pb.SettleResponse(
            decision=decision(
                settlement=request.settlement, operator=request.operator, reason=request.reason
            )
        )

    def _refuse(self, context: Any) -> None:
        if self.refusal is not None:
            context.abort(*self.refusal)


def doubt(number: int = 1, **fields: Any) -> pb.Doubt:
    values: dict[str, Any] = {
        "transaction_id": f"tx-{number}",
        "part_id": f"p-{number}",
        "reservation_id": f"r-{number}",
        "domain": "m1",
        "orchestrator_id": "braid",
        "state": "RELEASING",
        "reason": "its agent is up but has not acknowledged the Release, sent 4 times",
        "since_ms": SINCE_MS,
        "attempts": 4,
        "possible": [GIVE_UP],
        **fields,
    }
    return pb.Doubt(**values)


def decision(**fields: Any) -> pb.HeuristicDecision:
    values: dict[str, Any] = {
        "transaction_id": "tx-1",
        "part_id": "p-1",
        "reservation_id": "r-1",
        "domain": "m1",
        "settlement": GIVE_UP,
        "operator": "olga",
        "reason": "burnt down",
        "at_ms": SINCE_MS,
        **fields,
    }
    return pb.HeuristicDecision(**values)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def target(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))
    server = grpc.server(ThreadPoolExecutor(2))
    add_DoubtsServicer_to_server(desk, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def braid(target: str, *arguments: str) -> Result:
    environment = {"BRAID_TARGET": target, "BRAID_INSECURE": "1"}
    return CliRunner().invoke(app, ["doubt", *arguments], env=environment)


def settle(target: str, *more: str, word: str = "give-up", yes: bool = True) -> Result:
    sure = ["--yes"] if yes else []
    return braid(target, "settle", "tx-1", "p-1", word, "--reason", "why", *sure, *more)


def test_where_there_is_nothing_it_says_so(target: str, desk: Desk) -> None:
    done = braid(target, "list")
    assert (done.exit_code, done.stdout.strip()) == (
        0,
        "nothing is in doubt, or not for long (--older-than 0 shows all)",
    )
    # What counts as in doubt is the server's matter unless it is said.
    assert not desk.listed[0].HasField("older_than_s")


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("90s", 90), ("2h", 7200)])
def test_an_age_is_asked_for(target: str, desk: Desk, text: str, seconds: int) -> None:
    assert braid(target, "list", "--older-than", text).exit_code == 0
    assert desk.listed[0].older_than_s == seconds


@pytest.mark.parametrize("wrong", [("--older-than", "soon"), ("--limit", "0"), ("--limit", "x")])
def test_what_cannot_be_asked_is_not(target: str, desk: Desk, wrong: tuple[str, str]) -> None:
    done = braid(target, "list", *wrong)
    assert done.exit_code == 2
    assert desk.listed == []


def test_all_that_an_operator_needs_is_in_the_table(target: str, desk: Desk) -> None:
    desk.doubts = [
        doubt(1),
        doubt(2, state="COMMITTING", possible=[COMMIT, GIVE_UP], attempts=0),
        doubt(3, state="BROKEN", reason="a [bold]reason[/bold]"),
    ]
    shown = braid(target, "list").stdout
    for text in ("m1", "tx-1", "p-1", "r-1", "releasing", "4", "give-up", "commit, give-up"):
        assert text in shown
    assert "broken" in shown
    # What others wrote is text, not markup.
    assert "[bold]" in shown
    assert "decided by hand" not in shown
    assert "there is more" not in shown


def test_a_settlement_that_this_version_does_not_know_is_left_out(target: str, desk: Desk) -> None:
    desk.doubts = [doubt(possible=[GIVE_UP, 9])]
    done = braid(target, "list")
    assert done.exit_code == 0
    assert "give-up" in done.stdout


def test_more_than_the_limit_is_not_shown_but_told(target: str, desk: Desk) -> None:
    desk.doubts = [doubt(number) for number in range(5)]
    desk.decisions = [decision()]
    done = braid(target, "list", "--limit", "3")
    assert "tx-2" in done.stdout
    assert "tx-3" not in done.stdout
    assert "there is more: --limit" in done.stdout
    found = json.loads(braid(target, "list", "--limit", "3", "--json").stdout)
    assert found["next_page_token"] == "3"


def test_a_long_list_is_turned_page_by_page_and_decisions_are_told_once(
    target: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PAGE", 2)
    desk.doubts = [doubt(number) for number in range(5)]
    desk.decisions = [decision()]
    found = json.loads(braid(target, "list", "--json").stdout)
    assert [each["transaction_id"] for each in found["doubts"]] == [f"tx-{n}" for n in range(5)]
    assert len(found["decisions"]) == 1
    assert found["next_page_token"] == ""
    assert [request.page_size for request in desk.listed] == [2, 2, 2]


def test_decisions_are_shown_with_who_why_and_whether_they_were_contradicted(
    target: str, desk: Desk
) -> None:
    desk.decisions = [decision(), decision(transaction_id="tx-2", operator="jo", settlement=COMMIT)]
    shown = braid(target, "list").stdout
    for text in ("decided by hand", "olga", "burnt down", "give-up", "jo", "commit"):
        assert text in shown
    assert "contradicted" not in shown
    desk.decisions[0].contradicted = True
    assert braid(target, "list").stdout.count("contradicted") == 1


@pytest.mark.parametrize(("word", "settlement"), [("commit", COMMIT), ("give-up", GIVE_UP)])
def test_an_order_is_sent_as_it_is_said(
    target: str, desk: Desk, word: str, settlement: int
) -> None:
    done = settle(target, "--operator", "olga", word=word)
    assert done.exit_code == 0, done.output
    (request,) = desk.settled
    assert (request.transaction_id, request.part_id, request.settlement) == (
        "tx-1",
        "p-1",
        settlement,
    )
    assert (request.operator, request.reason) == ("olga", "why")
    assert "why" in done.stdout


def test_who_decides_is_the_login_name_unless_it_is_said(
    target: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "wanda")
    assert settle(target).exit_code == 0
    assert desk.settled[0].operator == "wanda"


def test_without_a_login_name_it_must_be_said(
    target: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", nobody)
    done = settle(target)
    assert (done.exit_code, done.stderr) == (
        2,
        "braid: your login name is not known; possible: --operator NAME\n",
    )
    assert desk.settled == []


def test_a_wrong_word_is_told_before_anything_is_asked(target: str, desk: Desk) -> None:
    done = settle(target, word="abort", yes=False)
    assert done.exit_code == 2
    assert "possible: commit, give-up" in done.stderr
    assert desk.settled == []


def test_where_nobody_can_confirm_nothing_is_settled(target: str, desk: Desk) -> None:
    done = settle(target, yes=False)
    assert (done.exit_code, done.stderr) == (
        2,
        "braid: nobody is there to confirm; possible: --yes\n",
    )
    assert desk.settled == []


@pytest.mark.parametrize(("answer", "exit_code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_at_a_terminal_is_asked(
    target: str, desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, exit_code: int
) -> None:
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=terminal))
    environment = {"BRAID_TARGET": target, "BRAID_INSECURE": "1"}
    order = ["doubt", "settle", "tx-1", "p-1", "give-up", "--reason", "why"]
    done = CliRunner().invoke(app, order, env=environment, input=answer)
    assert done.exit_code == exit_code, done.output
    assert len(desk.settled) == (1 if exit_code == 0 else 0)
    assert f"give-up part p-1 at {target}" in done.stderr
    assert ("nothing was settled" in done.stderr) is (exit_code == 1)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.NOT_FOUND, 4),
        (grpc.StatusCode.FAILED_PRECONDITION, 6),
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.UNIMPLEMENTED, 1),
    ],
)
def test_a_refusal_is_one_line_and_its_exit_code(
    target: str, desk: Desk, code: grpc.StatusCode, exit_code: int
) -> None:
    desk.refusal = (code, "part_id: given 'p-1', possible: another")
    for done in (settle(target), braid(target, "list")):
        assert done.exit_code == exit_code
        assert done.stderr == "braid: part_id: given 'p-1', possible: another\n"
        assert done.stdout == ""


def test_a_lost_answer_is_asked_for_again(target: str, desk: Desk) -> None:
    desk.refusal = (grpc.StatusCode.UNAVAILABLE, "away")
    assert settle(target).exit_code == 5
    assert len(desk.settled) == retries.ATTEMPTS
    assert len({request.SerializeToString() for request in desk.settled}) == 1


def test_an_order_as_json_is_what_was_recorded(target: str) -> None:
    found = json.loads(settle(target, "--operator", "olga", "--json").stdout)
    assert found["decision"]["operator"] == "olga"
    assert found["decision"]["settlement"] == "SETTLEMENT_GIVE_UP"
    assert found["decision"]["contradicted"] is False
