"""Mistakes in how VNodes are taken to other providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from agents import provisioner
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.port import VNodeName
from agents.carrying import Carrying, Exported
from agents.values import Record
from cloudnets.mapped import Mapped
from orchestrator import modifying
from orchestrator.carrying import Carry
from orchestrator.engine import Engine
from orchestrator.errand import Errand, Outcome
from protocol.coordinator import Transaction
from simulations.faults.patching import Bug, patched
from substrate.model import Refusal


@contextmanager
def releases_uncarried() -> Iterator[None]:
    """A Modify is told, and the old version released, before anything has arrived; what begins at
    its new provider begins anew."""

    async def nothing(
        _engine: Engine, _old: str, _new: Transaction, _since_ms: int, _going: Callable[[], bool]
    ) -> Outcome:
        return Outcome()

    async def anywhere(_self: Embedder, _name: VNodeName) -> bool:
        return True

    with patched(modifying, "carry_all", nothing), patched(Embedder, "is_there", anywhere):
        yield


def runs_on() -> AbstractContextManager[None]:
    """The last copy is made while the VNode runs on, as those before."""
    copy = Carrying.copy

    async def running(
        self: Carrying, reservation_id: str, vnode: str, since: str, errand: int, *, last: bool
    ) -> Exported:
        return await copy(self, reservation_id, vnode, since, errand, last=False)

    return patched(Carrying, "copy", running)


def stops_unwritten() -> AbstractContextManager[None]:
    """That a VNode stands still to be carried away is not written down."""

    def unwritten(self: Mapped, _vnode: str, _now_ms: int, *, paused: bool) -> Mapped:
        return self

    return patched(Mapped, "leaving", unwritten)


def forgets_to_put_back() -> AbstractContextManager[None]:
    """What is not carried after all stays as it was stopped."""

    async def nothing(_self: Errand, _wanted: Sequence[Carry]) -> tuple[Refusal, ...]:
        return ()

    return patched(Errand, "put_back", nothing)


def takes_away_at_once() -> AbstractContextManager[None]:
    """What a new version leaves out goes when that is committed, not when the old one is
    released."""

    def nothing(_record: Record, _chosen: Record, _now_s: int) -> bool:
        return False

    return patched(provisioner, "_stands_by", nothing)


def takes_not_yet_for_never() -> AbstractContextManager[None]:
    """Of what is to be made in a moment it is said that it is not there."""

    def never(_self: Carrying, _record: Record) -> bool:
        return False

    return patched(Carrying, "_is_to_come", never)


CARRIED: dict[str, Bug] = {
    "releases-uncarried": Bug("rule 1: VNodes begin anew elsewhere", releases_uncarried),
    "runs-on": Bug("rule 1: loses what is written after the last copy", runs_on),
    "stops-unwritten": Bug("rule 1: lets run again what is carried", stops_unwritten),
    "forgets-to-put-back": Bug("rule 1: leaves VNodes stopped", forgets_to_put_back),
    "takes-away-at-once": Bug("rule 1: loses what it may take back", takes_away_at_once),
    "takes-not-yet-for-never": Bug("rule 1: loses memory", takes_not_yet_for_never),
}
"""By name."""
