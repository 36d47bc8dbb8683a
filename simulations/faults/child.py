"""Work in a process that is forked for it and ends without cleaning up.

Collecting the garbage of a simulation takes longer than a tenth of the simulation: unfinished tasks
are ended one by one. A process that just ends saves that.
"""

from __future__ import annotations

import gc
import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class ChildError(RuntimeError):
    """What the work raised, as text, or that its process died."""


def in_child(work: Callable[[T], R], argument: T) -> R:
    """The result of ``work(argument)``, pickled. Raises ChildError.

    Only for a process without other threads.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _work(work, argument, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildError(f"a process ended with status {status}")
    result, error = pickle.loads(data)
    if error:
        raise ChildError(error)
    return result  # type: ignore[no-any-return]


def _work(work: Callable[[T], R], argument: T, writer: int) -> None:
    """Does it, tells what came of it, and ends this process."""
    code = 1
    try:
        gc.disable()
        try:
            found: tuple[R | None, str] = (work(argument), "")
        except BaseException:
            found = (None, traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(found, pipe)
        code = 0
    finally:
        os._exit(code)
