"""What a VNode on a host in memory has, in the forms in which it is carried. Pure but for reading.

"memory/1", of a stopped one: a JSON object, the text of each file by its name. "memory-live/1", of
one that may run: {"files", "memory": texts by name, null: it is there no more; "ran_ms", "heard"},
what has changed since another copy; "memory" is null where it does not run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from agents.backends.base import DeviceError
from agents.backends.hosts.guest import FILES_MAX_BYTES, bytes_of, memory_max
from agents.backends.hosts.port import (
    CARRIED_CHUNK_BYTES,
    Carried,
    Copy,
    NeverError,
    VNodeSpec,
)
from substrate.values import dataclass

FORMAT = "memory/1"
COPIES = "memory-live/1"
CARRIED_MAX_BYTES = 8 * FILES_MAX_BYTES
"""Of a disk; JSON takes up to six bytes for one."""
COPY_MAX_BYTES = 2 * CARRIED_MAX_BYTES
"""Of a disk and a memory."""

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """``memory``: what was set in it, None: it does not run. ``ran_ms``: for how long it has;
    ``heard``: how many lines."""

    files: Texts
    memory: Texts | None = None
    ran_ms: int = 0
    heard: int = 0

    @property
    def runs(self) -> bool:
        """Whether it has a memory."""
        return self.memory is not None


def mark_of(state: State) -> str:
    """Its SHA-256: a copy is known by what it has."""
    every = [dict(state.files), state.memory, state.ran_ms, state.heard]
    return hashlib.sha256(json.dumps(every, sort_keys=True).encode()).hexdigest()


def difference(before: State, after: State) -> bytes:
    """What makes ``after`` of ``before``."""
    changed: dict[str, Any] = {"files": _changed(before.files, after.files), "memory": None}
    if after.memory is not None:
        changed["memory"] = _changed(before.memory or {}, after.memory)
        changed |= {"ran_ms": after.ran_ms, "heard": after.heard}
    return json.dumps(changed).encode()


async def added(vnode: VNodeSpec, before: State, copy: Copy) -> State:
    """What a copy makes of what was kept before. Raises NeverError for what is no such copy, or
    more than the VNode has room for; DeviceError where it is not what its mark says."""
    given = await _read(vnode, (COPIES, COPY_MAX_BYTES), copy.format, copy.data)
    files, memory = given.get("files", {}), given.get("memory")
    ran_ms, heard = given.get("ran_ms", 0), given.get("heard", 0)
    if not (
        _texts(files)
        and (memory is None or _texts(memory))
        and all(isinstance(number, int) and number >= 0 for number in (ran_ms, heard))
    ):
        raise NeverError(f"{vnode.name} brings no {COPIES}: possible: texts by name, and numbers")
    after = State(_merged(before.files, files))
    if memory is not None:
        after = State(after.files, _merged(before.memory or {}, memory), ran_ms, heard)
    if mark_of(after) != copy.mark:
        raise DeviceError(f"{vnode.name}: what came is not what its mark says")
    _check_fits(vnode, after.files, after.memory or {})
    return after


async def files_of(vnode: VNodeSpec, carried: Carried) -> dict[str, str]:
    """What was exported. Raises NeverError."""
    found = await _read(vnode, (FORMAT, CARRIED_MAX_BYTES), carried.format, carried.data)
    if not _texts(found) or None in found.values():
        raise NeverError(f"{vnode.name} brings no {FORMAT}: possible: texts by name")
    _check_fits(vnode, found, {})
    return found


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """As it is carried."""
    for at in range(0, len(data), CARRIED_CHUNK_BYTES):
        yield data[at : at + CARRIED_CHUNK_BYTES]


async def _read(
    vnode: VNodeSpec, expected: tuple[str, int], given: str, pieces: AsyncIterator[bytes]
) -> dict[str, Any]:
    """A JSON object of the ``expected`` format, no longer than that. Raises NeverError."""
    wanted, most = expected
    if given != wanted:
        raise NeverError(f"{vnode.name} comes as {given}, hosts in memory take {wanted}")
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > most:
            raise NeverError(f"{vnode.name} brings more than {most} bytes")
    try:
        found = json.loads(data.decode())
    except ValueError as error:
        raise NeverError(f"{vnode.name} brings no {wanted}: {error}") from error
    if not isinstance(found, dict):
        raise NeverError(f"{vnode.name} brings no {wanted}: possible: texts by name")
    return found


def _changed(before: Texts, after: Texts) -> dict[str, str | None]:
    gone: dict[str, str | None] = {name: None for name in before if name not in after}
    return gone | {name: text for name, text in after.items() if before.get(name) != text}


def _merged(before: Texts, changes: Mapping[str, str | None]) -> dict[str, str]:
    every = {**before, **changes}
    return {name: text for name, text in every.items() if text is not None}


def _texts(given: object) -> bool:
    return isinstance(given, dict) and all(
        text is None or isinstance(text, str) for text in given.values()
    )


def _check_fits(vnode: VNodeSpec, files: Texts, memory: Texts) -> None:
    for what, texts, most in (
        ("disk", files, vnode.disk_bytes),
        ("memory", memory, memory_max(vnode)),
    ):
        if bytes_of(texts) > most:
            needs = f"{bytes_of(texts)} bytes, its {what} has {most}"
            raise NeverError(f"{vnode.name} brings {needs}")
