"""What is told of VNodes that were carried to other providers: whether live, and how long still."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from substrate.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class CarriedVNode:
    """One that a version took from one domain to another.

    ``live``: with what it had in memory; ``reason``: why not. ``since_ms``: since when it stood
    still, None: its user had stopped it. ``still_ms``: for how long; None: it does not run yet.
    ``ahead_bytes``: what was copied while it ran on; ``last_bytes``: for which it stood still.
    """

    vnode: str
    source: str
    target: str
    live: bool
    reason: str = ""
    since_ms: int | None = None
    still_ms: int | None = None
    ahead_bytes: int = 0
    last_bytes: int = 0

    @property
    def copied_bytes(self) -> int:
        """All that was copied."""
        return self.ahead_bytes + self.last_bytes

    @property
    def waits(self) -> bool:
        """Whether it is to run and does not yet."""
        return self.since_ms is not None and self.still_ms is None


def carried_next(
    before: Collection[CarriedVNode], now: Collection[CarriedVNode]
) -> tuple[CarriedVNode, ...]:
    """Of a new version: what it has carried, and what still waits of those before."""
    names = {each.vnode for each in now}
    waiting = [each for each in before if each.waits and each.vnode not in names]
    return tuple(sorted((*now, *waiting), key=lambda each: each.vnode))


def now_running(
    carried: Collection[CarriedVNode], begun_ms: Mapping[str, int]
) -> tuple[CarriedVNode, ...]:
    """With these VNodes running from those times on."""
    return tuple(
        replace(each, still_ms=max(0, begun_ms[each.vnode] - (each.since_ms or 0)))
        if each.waits and each.vnode in begun_ms
        else each
        for each in carried
    )
