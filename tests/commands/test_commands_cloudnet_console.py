"""braid cloudnet console: in a pipe and at a terminal, which is always left as it was."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from cloudnet_world import PAIR
from faked import braid

from tests.braid.fake_cloudnets import FakeVnp, eventually, serving

ROOT = Path(__file__).parents[2]
# The command alone: all of them together take long to import.
ALONE = "import typer; from commands.cloudnet_console import console; typer.run(console)"
LOCAL_FLAGS = 3
LEFT = "the console is left; the VNode runs on"


@pytest.fixture
def fake() -> FakeVnp:
    return FakeVnp()


@pytest.fixture
def target(fake: FakeVnp) -> Iterator[str]:
    with serving(fake, fake.cloudnets) as address:
        assert braid(address, "cloudnet", "create", str(PAIR)).exit_code == 0
        yield address


@contextmanager
def running(target: str, *words: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process of its own, which ends with the block."""
    environment = {**os.environ, "BRAID_TARGET": target, "BRAID_INSECURE": "1"}
    command = [sys.executable, "-c", ALONE, *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def piped(target: str, said: bytes, *words: str) -> tuple[int, bytes, str]:
    """Exit code, what was printed, and what was told on standard error."""
    every = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(target, *words, **every) as process:
        out, told = process.communicate(said, timeout=50)
        return process.returncode, out, told.decode()


def test_in_a_pipe_it_answers_what_is_said_and_ends(target: str, fake: FakeVnp) -> None:
    code, out, told = piped(target, b"uptime\n", "c1", "left")
    assert (code, out, told) == (0, b"left: uptime\r\n", "")
    assert fake.cloudnets.consoles == [("c1", "left")]
    eventually(fake.cloudnets.console_ended.is_set)


def test_every_byte_passes_a_pipe_unchanged(target: str, fake: FakeVnp) -> None:
    said = bytes(range(256)) * 1000
    code, _, told = piped(target, said + b"\nexit\n", "c1", "right")
    assert (code, told) == (0, "")
    assert bytes(fake.cloudnets.heard) == said + b"\nexit\n"


def test_it_lingers_while_something_is_said(target: str) -> None:
    began = time.monotonic()
    code, out, _ = piped(target, b"a\nb\n", "c1", "left", "--linger", "3s")
    assert (code, out) == (0, b"left: a\r\nleft: b\r\n")
    assert time.monotonic() - began > 3


@pytest.mark.parametrize(
    ("said", "words", "code", "text"),
    [
        (b"", ["c1", "nobody"], 4, "braid: vnode: given 'nobody', possible: one of 'c1'\n"),
        (b"", ["c9", "left"], 4, "braid: reservation_id: given 'c9'"),
        (b"break\n", ["c1", "left", "--linger", "30s"], 5, "braid: left is away\n"),
        (b"", ["c1", "left", "--linger", "soon"], 2, "braid: 'soon' is not a duration"),
    ],
)
def test_what_goes_wrong_is_one_line_and_its_exit_code(
    target: str, said: bytes, words: list[str], code: int, text: str
) -> None:
    ended, out, told = piped(target, said, *words)
    assert (ended, out) == (code, b"")
    assert told.startswith(text)
    assert told.count("\n") == 1


def test_who_has_read_enough_ends_it_without_a_word(target: str) -> None:
    every = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(target, "c1", "left", **every) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"left: a\r\n"
        process.stdout.close()
        process.stdin.write(b"b\n")
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


class Terminal:
    """A terminal with the command at it."""

    def __init__(self, target: str, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        streams: dict[str, int | IO[bytes]] = dict.fromkeys(
            ("stdin", "stdout", "stderr"), self.slave
        )
        self.held = running(target, *words, start_new_session=True, **streams)
        self.seen = b""

    def __enter__(self) -> Terminal:
        self.process = self.held.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.held.__exit__(*error)
        os.close(self.master)
        os.close(self.slave)

    def see(self, text: bytes) -> None:
        """Reads until it is shown."""
        deadline = time.monotonic() + 40
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[LOCAL_FLAGS] & termios.ICANON

    def ended(self) -> int:
        """Its exit code; the terminal is as it was."""
        code = self.process.wait(40)
        assert termios.tcgetattr(self.slave) == self.before
        return code


@pytest.fixture
def terminal(target: str) -> Iterator[Terminal]:
    with Terminal(target, "c1", "left") as made:
        made.see(b"the console of left; Ctrl-] leaves")
        eventually(lambda: made.is_raw, 40)
        yield made


def test_at_a_terminal_keys_go_to_the_vnode_until_ctrl_right_bracket(
    terminal: Terminal, fake: FakeVnp
) -> None:
    # Ctrl-C and Ctrl-D are the VNode's.
    terminal.type(b"\x03\x04up\r")
    terminal.see(b"left: \x03\x04up\r\n")
    terminal.type(b"last\x1d")
    terminal.see(LEFT.encode())
    assert terminal.ended() == 0
    eventually(fake.cloudnets.console_ended.is_set)


def test_a_terminal_is_left_as_it_was_when_the_vnode_ends(terminal: Terminal) -> None:
    terminal.type(b"exit\r")
    terminal.see(LEFT.encode())
    assert terminal.ended() == 0


def test_a_terminal_is_left_as_it_was_when_the_connection_is_lost(terminal: Terminal) -> None:
    terminal.type(b"break\r")
    terminal.see(b"braid: left is away")
    assert terminal.ended() == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_terminal_is_left_as_it_was_when_the_command_is_ended(
    terminal: Terminal, number: signal.Signals
) -> None:
    terminal.type(b"hello\r")
    terminal.see(b"left: hello")
    terminal.process.send_signal(number)
    assert terminal.ended() == 128 + number
