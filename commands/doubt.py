"""braid doubt: what is in doubt at an orchestrator or an agent, and settling it by hand."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from braid import requests
from braid.units import format_time
from braid.v1 import doubts_pb2 as pb
from commands.context import (
    DEFAULT_TARGET,
    UNEXPECTED,
    USAGE,
    AsJson,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    Target,
    connected,
    console,
    fail,
    print_json,
)
from commands.words import styled

app = typer.Typer(
    no_args_is_help=True,
    help="What is in doubt at an orchestrator or an agent (--target), and settling it by hand.",
)

WORDS = {value: word for word, value in requests.SETTLEMENTS.items()}
PAGE = 1000
WIDTH = 320


@app.command("list")
def list_(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="only what is in doubt for so long, 5m or in seconds; not said: 10s at an"
            " orchestrator, 0s at an agent",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="most to show", min=1)] = 100,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """List what is in doubt, oldest first, and what was decided by hand."""
    found = pb.ListDoubtsResponse()
    with connected(target, insecure, ca, cert, key) as client:
        while len(found.doubts) < limit:
            size = min(limit - len(found.doubts), PAGE)
            page: pb.ListDoubtsResponse = client.doubts(older_than, size, found.next_page_token)
            found.doubts.extend(page.doubts)
            found.next_page_token = page.next_page_token
            del found.decisions[:]
            found.decisions.extend(page.decisions)
            if not page.next_page_token:
                break
    print_json(found) if as_json else _print(doubts_view(found, older_than))


@app.command()
def settle(
    transaction_id: Annotated[
        str, typer.Argument(metavar="TRANSACTION", help="its transaction, as listed")
    ],
    part_id: Annotated[str, typer.Argument(metavar="PART", help="the part, as listed")],
    settlement: Annotated[
        str,
        typer.Argument(
            metavar="commit|give-up",
            help="commit: the hold is in force, the domain did what it was told; give-up: the"
            " domain holds nothing of it",
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="why, for the record")],
    operator: Annotated[
        str | None, typer.Option("--operator", help="who decides; your login name when not said")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask for confirmation")] = False,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Settle a part in doubt by hand, without the other party's word; it is recorded.

    Prefer to bring the other party back. Exit 6: it is not in doubt, or not in this way.
    """
    who = operator or _login_name()
    with connected(target, insecure, ca, cert, key) as client:
        # A wrong word is told before anything is asked.
        requests.settle(transaction_id, part_id, settlement, operator=who, reason=reason)
        if not yes:
            _confirm(f"{settlement} part {part_id} at {target}, without the other party's word?")
        answer: pb.SettleResponse = client.settle(
            transaction_id, part_id, settlement, operator=who, reason=reason
        )
    print_json(answer) if as_json else _print(decisions_view([answer.decision]))


def doubts_view(found: pb.ListDoubtsResponse, older_than: str | None = None) -> RenderableType:
    """What is in doubt, then what was decided by hand."""
    rows: list[RenderableType] = []
    if found.doubts:
        table = Table(box=None)
        for name in ("domain", "transaction, part", "reservation", "state", "since"):
            table.add_column(name, overflow="fold")
        table.add_column("asked", justify="right")
        for name in ("why", "possible"):
            table.add_column(name, overflow="fold")
        for doubt in found.doubts:
            table.add_row(
                doubt.domain,
                _keys(doubt.transaction_id, doubt.part_id),
                Text(doubt.reservation_id),
                styled(doubt.state.lower(), "red" if doubt.state == "BROKEN" else "yellow"),
                format_time(doubt.since_ms // 1000),
                str(doubt.attempts),
                Text(doubt.reason),
                Text(", ".join(WORDS[value] for value in doubt.possible if value in WORDS)),
            )
        rows.append(table)
    else:
        long = (
            f" for {older_than}" if older_than else ", or not for long (--older-than 0 shows all)"
        )
        rows.append(Text(f"nothing is in doubt{long}"))
    if found.next_page_token:
        rows.append(Text("there is more: --limit"))
    if found.decisions:
        rows += [Text(""), Text("decided by hand"), decisions_view(found.decisions)]
    return Group(*rows)


def decisions_view(decisions: Iterable[pb.HeuristicDecision]) -> Table:
    """One line a decision."""
    table = Table(box=None)
    names = ("domain", "transaction, part", "reservation", "decision", "by", "at", "reason", "")
    for name in names:
        table.add_column(name, overflow="fold")
    for decision in decisions:
        table.add_row(
            decision.domain,
            _keys(decision.transaction_id, decision.part_id),
            Text(decision.reservation_id),
            WORDS.get(decision.settlement, ""),
            Text(decision.operator),
            format_time(decision.at_ms // 1000),
            Text(decision.reason),
            styled("contradicted", "red") if decision.contradicted else "",
        )
    return table


def _print(view: RenderableType) -> None:
    """With cells of several lines, and wide enough for a reason when it is not a terminal."""
    console(WIDTH).print(view, soft_wrap=False)


def _keys(transaction_id: str, part_id: str) -> Text:
    """What settle takes, one below the other."""
    return Text(f"{transaction_id}\n{part_id}")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        fail("your login name is not known; possible: --operator NAME", USAGE)


def _confirm(question: str) -> None:
    """Ends the command unless the person at the terminal agrees."""
    if not sys.stdin.isatty():
        fail("nobody is there to confirm; possible: --yes", USAGE)
    if not typer.confirm(question, err=True):
        fail("nothing was settled", UNEXPECTED)
