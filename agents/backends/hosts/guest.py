"""What runs in a VNode on a host in memory: a machine with one serial line, of few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping

from agents.backends.hosts.port import VNodeSpec
from substrate.values import dataclass

LINE_MAX = 1024
"""Bytes of a line that are heard; the rest of it is lost."""
FILES_MAX_BYTES = 1 << 20
"""No disk and no memory holds more, however large it is said to be: it is the agent's memory."""
PROMPT = "$ "
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; and whether the machine ``halts`` by itself, or ``fails`` and why."""

    text: str
    halts: bool = False
    fails: str = ""


class Guest:
    """Has run since ``began_ms``. ``vnode``: as its host runs it now. ``files``: on its disk.

    ``memory``: what was set in it; it ends with the machine. ``heard``: how many lines so far.
    """

    def __init__(
        self, vnode: VNodeSpec, began_ms: int, files: MutableMapping[str, str] | None = None
    ) -> None:
        self.vnode, self.began_ms = vnode, began_ms
        self.files: MutableMapping[str, str] = {} if files is None else files
        self.memory: dict[str, str] = {}
        self.heard = 0
        self._paused_ms: int | None = None

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused_ms is not None

    def ran_ms(self, now_ms: int) -> int:
        """For how long it has run, without what it was paused."""
        until_ms = now_ms if self._paused_ms is None else self._paused_ms
        return max(0, until_ms - self.began_ms)

    def pause(self, now_ms: int) -> None:
        """Its time stands still, until :meth:`resume`."""
        if self._paused_ms is None:
            self._paused_ms = now_ms

    def resume(self, now_ms: int) -> None:
        """It goes on, if it was paused."""
        if self._paused_ms is not None:
            self.began_ms += now_ms - self._paused_ms
            self._paused_ms = None

    def banner(self) -> str:
        """What it greets with."""
        name = self.vnode.name
        return (
            f"{name.vnode} ({self.vnode.image or 'the default image'}) of {name.reservation_id}\r\n"
            f"{amounts(self.vnode)}\r\n{PROMPT}"
        )

    def answer(self, line: str, now_ms: int) -> Said:
        """What it says to a line, and to nothing."""
        word, _, rest = line.strip().partition(" ")
        if not word:
            return Said("")
        self.heard += 1
        if word == "poweroff":
            return Said("going down", halts=True)
        if word == "panic":
            return Said("kernel panic", fails=f"kernel panic: {rest or 'for no reason'}")
        answer = _ANSWERS.get(word)
        if answer is not None:
            return Said(answer(self, rest, now_ms))
        possible = ", ".join(sorted([*_ANSWERS, "panic", "poweroff"]))
        return Said(f"{word[:40]}: not known; possible: {possible}")

    def _written(self, rest: str, _now_ms: int) -> str:
        name, _, text = rest.partition(" ")
        if not name:
            return "write what? possible: write NAME TEXT"
        after = {**self.files, name: text}
        if bytes_of(after) > min(self.vnode.disk_bytes, FILES_MAX_BYTES):
            return f"{name}: the disk is full"
        self.files[name] = text
        return ""

    def _set(self, rest: str, _now_ms: int) -> str:
        name, _, text = rest.partition(" ")
        if not name:
            return "set what? possible: set NAME TEXT"
        if bytes_of({**self.memory, name: text}) > memory_max(self.vnode):
            return f"{name}: the memory is full"
        self.memory[name] = text
        return ""


def _nics(guest: Guest, _rest: str, _now_ms: int) -> str:
    return "\r\n".join(f"{nic.vlink} vlan {nic.vlan}" for nic in guest.vnode.nics)


_ANSWERS: Mapping[str, Callable[[Guest, str, int], str]] = {
    "echo": lambda _guest, rest, _now_ms: rest,
    "hostname": lambda guest, _rest, _now_ms: guest.vnode.name.vnode,
    "id": lambda guest, _rest, _now_ms: str(guest.vnode.name),
    "uptime": lambda guest, _rest, now_ms: f"up {guest.ran_ms(now_ms) / 1000:.1f} s",
    "count": lambda guest, _rest, _now_ms: str(guest.heard),
    "free": lambda guest, _rest, _now_ms: amounts(guest.vnode),
    "ip": _nics,
    "ls": lambda guest, _rest, _now_ms: "\r\n".join(sorted(guest.files)),
    "read": lambda guest, rest, _now_ms: guest.files.get(
        rest, f"{rest or 'nothing'}: no such file"
    ),
    "write": Guest._written,
    "get": lambda guest, rest, _now_ms: guest.memory.get(rest, f"{rest or 'nothing'}: not set"),
    "set": Guest._set,
}
"""What it says to a word and the rest of its line, at a time in ms."""


def memory_max(vnode: VNodeSpec) -> int:
    """Bytes that may be set in it."""
    return min(vnode.memory_bytes, FILES_MAX_BYTES)


def bytes_of(files: Mapping[str, str]) -> int:
    """What files take of a disk."""
    return sum(len(name.encode()) + len(text.encode()) for name, text in files.items())


def amounts(vnode: VNodeSpec) -> str:
    """What a VNode has, for people."""
    return (
        f"{vnode.mcores / 1000:g} cores, {vnode.memory_bytes / GIB:.3g} GiB of memory, "
        f"{vnode.disk_bytes / GIB:.3g} GiB of disk"
    )


class Terminal:
    """Makes lines of the bytes that are typed, and shows them as a serial line does."""

    def __init__(self) -> None:
        self._line = bytearray()

    def typed(self, data: bytes) -> list[bytes | str]:
        """What follows: bytes to be shown, and lines (text) to be answered."""
        found: list[bytes | str] = []
        shown = bytearray()
        for byte in data:
            if byte in b"\r\n":
                if byte == 0x0A and not self._line and not shown:
                    # The second half of a line's end that was CR LF.
                    continue
                found += [bytes(shown) + b"\r\n", self._line.decode("utf-8", "replace")]
                self._line.clear()
                shown.clear()
            elif byte in (0x08, 0x7F):
                if self._line:
                    self._line.pop()
                    shown += b"\b \b"
            elif byte >= 0x20 and len(self._line) < LINE_MAX:
                self._line.append(byte)
                shown.append(byte)
        return [*found, bytes(shown)] if shown else found
