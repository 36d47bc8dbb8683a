"""braid cloudnet console: the console of a VNode, at this terminal or in a pipe."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, NoReturn

import typer

from braid.client import Console
from braid.units import parse_duration
from commands.cloudnet_options import AtEither, CloudNetId, VNodeId
from commands.context import (
    DEFAULT_TARGET,
    OK,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    connected,
)

STDIN, STDOUT = 0, 1
LEAVE = b"\x1d"
PIECE = 4096
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def console(
    reservation_id: CloudNetId,
    vnode: VNodeId,
    linger: Annotated[
        str,
        typer.Option("--linger", help="when the input ends, until nothing was said for so long"),
    ] = "1s",
    target: AtEither = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Speak with the console of a VNode, wherever it runs; Ctrl-] leaves. Bytes pass unchanged.

    Also in a pipe: echo uptime | braid cloudnet console ID VNODE. Also at one provider's agent.
    """
    with connected(target, insecure, ca, cert, key) as client:
        linger_s = float(parse_duration(linger, least=0))
        typed = os.isatty(STDIN)
        if typed:
            typer.echo(f"the console of {vnode}; Ctrl-] leaves", err=True)
        with raw(STDIN) if typed else nullcontext(), client.console(reservation_id, vnode) as held:
            talk = Talk(held, linger_s, LEAVE if typed else b"")
            talk.run()
        if typed:
            typer.echo("\nthe console is left; the VNode runs on", err=True)


class Talk:
    """Both directions of one console: a thread for what is typed, the caller's for what is said.

    ``linger_s``: how long nothing is said before it ends, once the input has. ``leave``: what ends
    it at once; empty: nothing does.
    """

    def __init__(self, held: Console, linger_s: float, leave: bytes) -> None:
        self._held, self._linger_s, self._leave = held, linger_s, leave
        self._heard_s = time.monotonic()

    def run(self) -> None:
        """Until either side ends it. Raises a BraidError when it is lost."""
        threading.Thread(target=self._listen, daemon=True).start()
        for data in self._held:
            self._heard_s = time.monotonic()
            try:
                while data:
                    data = data[os.write(STDOUT, data) :]
            except BrokenPipeError:
                # Who reads has read enough.
                raise typer.Exit(OK) from None

    def _listen(self) -> None:
        while data := _read():
            said, left, _ = data.partition(self._leave) if self._leave else (data, b"", b"")
            self._held.write(said)
            if left:
                self._held.close()
                return
        self._heard_s = time.monotonic()
        while (wait_s := self._heard_s + self._linger_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        self._held.close()


@contextmanager
def raw(terminal: int) -> Iterator[None]:
    """The terminal gives every key as it is; it is as before afterwards, also when it is ended."""
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    handlers = {number: signal.signal(number, _end) for number in ENDING}
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> NoReturn:
    # As a shell tells of a signal.
    sys.exit(128 + number)


def _read() -> bytes:
    try:
        return os.read(STDIN, PIECE)
    except OSError:
        # The terminal is gone.
        return b""
