"""More mistakes: in what is changed, moved for others, switched at a time, or taken instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace as with_amount

from agents import provisioner
from agents.in_force import in_force
from agents.values import Key, Record
from cloudnets import vnp
from orchestrator import lying, modifying, moving, placing, records, room
from orchestrator.book import Live, LiveBook
from orchestrator.carried import CarriedVNode
from orchestrator.engine import Engine
from orchestrator.events import state_event
from orchestrator.memory import MemoryStore
from orchestrator.ports import Changes
from orchestrator.records import Reservation
from rdl import partial
from rdl.model import Graph, NetworkElement, Resource
from rdl.partial import Transit
from rdl.units import Amount
from simulations.faults.nets import BANDWIDTH
from simulations.faults.patching import Bug, patched
from substrate import sliding
from substrate.forecast import Forecast
from substrate.model import Bend, Criteria, DataPlaneState, Window
from substrate.settling import Mover
from substrate.values import replace


@contextmanager
def moves_all() -> Iterator[None]:
    """Others are moved whose owners did not allow it."""
    may = room.is_movable

    def lenient(engine: Engine, record: Reservation, now_ms: int) -> bool:
        movable = replace(record, criteria=replace(record.criteria, movable=True))
        return may(engine, movable, now_ms)

    def every(self: LiveBook) -> Iterable[Live]:
        return self._live.values()

    found, opened = patched(room, "is_movable", lenient), patched(moving, "is_movable", lenient)
    with found, opened, patched(LiveBook, "movable", every):
        yield


def moves_unsaid() -> AbstractContextManager[None]:
    """Who is moved does not hear of it."""
    return patched(moving, "moved_event", state_event)


@contextmanager
def moves_less() -> Iterator[None]:
    """Of a volume that is moved half is lost."""

    def half(criteria: Criteria, bend: Bend) -> Criteria:
        return replace(criteria, bend=replace(bend, volume_bytes=bend.volume_bytes // 2))

    wanted = patched(Mover, "wanted_bits", property(lambda mover: mover.bits))
    with _promising(half), wanted:
        yield


def moves_late() -> AbstractContextManager[None]:
    """A volume may be moved beyond its deadline."""

    def later(criteria: Criteria, _bend: Bend) -> Criteria:
        start_s, end_s = criteria.window.start_s, criteria.window.end_s
        return replace(criteria, window=Window((start_s + 3 * end_s) // 4, 2 * end_s - start_s))

    return _promising(later)


def _promising(change: Callable[[Criteria, Bend], Criteria]) -> AbstractContextManager[None]:
    """Whoever moves what bends believes that something else was promised."""
    promised = lying.promised

    def wrong(record: Reservation, from_s: int) -> Criteria:
        criteria = promised(record, from_s)
        return criteria if criteria.bend is None else change(criteria, criteria.bend)

    return patched(placing, "promised", wrong)


def slides_out() -> AbstractContextManager[None]:
    """What slides is moved behind the window that it was allowed."""

    def behind(record: Reservation, first_s: int, wanted: Window) -> Window | None:
        within = lying.slides_within(record, first_s, wanted)
        if within is None or record.asked is None:
            return None
        end_s = record.asked.window.end_s
        return Window(end_s, end_s + 2 * record.criteria.window.duration_s)

    return patched(room, "slides_within", behind)


def slides_shorter() -> AbstractContextManager[None]:
    """What slides lasts half as long when it was moved."""
    slid = sliding.slid

    def shorter(
        forecast: Forecast, movers: Sequence[Mover]
    ) -> Iterator[tuple[Forecast, Sequence[Mover]]]:
        for finer, found in slid(forecast, movers):
            yield finer, [_half_as_long(m) if m.within is not None else m for m in found]

    return patched(placing, "slid", shorter)


def _half_as_long(mover: Mover) -> Mover:
    window = mover.criteria.window
    window = replace(window, end_s=window.start_s + max(1, window.duration_s // 2))
    return replace(mover, criteria=replace(mover.criteria, window=window))


def forgets_changes() -> AbstractContextManager[None]:
    """What was asked for before a Modify counts again when it is moved."""
    change = records.changed

    def forgetful(
        reservation: Reservation, now_ms: int, carried: Collection[CarriedVNode] = ()
    ) -> Reservation:
        return replace(change(reservation, now_ms, carried), asked=reservation.asked)

    return patched(modifying, "changed", forgetful)


def configures_nothing() -> AbstractContextManager[None]:
    """No device is ever told of what is promised."""
    return patched(provisioner, "in_force", lambda _records, _now_s, _configured=(): None)


def keeps_the_old() -> AbstractContextManager[None]:
    """A domain goes on with the old version for as long as any of it is on its devices."""

    def oldest(
        records: Iterable[Record], now_s: int, configured: Container[Key] = ()
    ) -> Record | None:
        gone = DataPlaneState.RELEASED
        live = [r for r in records if r.part.prep and (r.live or r.data_plane.state is not gone)]
        keys = sorted((r.part.prep.version, r.key[0]) for r in live if r.part.prep)
        return in_force([r for r in live if r.key[0] == keys[0][1]], now_s, configured)

    return patched(provisioner, "in_force", oldest)


def takes_twice() -> AbstractContextManager[None]:
    """An alternative is granted to everybody who takes it."""
    check = MemoryStore._check

    def lenient(self: MemoryStore, changes: Changes, fence: int) -> None:
        check(self, replace(changes, accepted=None), fence)

    return patched(MemoryStore, "_check", lenient)


def halves_vlinks() -> AbstractContextManager[None]:
    """Providers are asked for half of the bandwidth of VLinks."""
    cut = partial.cut

    def thin(
        graph: Graph, placed: Mapping[str, str], transits: Sequence[Transit] = ()
    ) -> dict[str, Graph]:
        return {pip: _thinner(part) for pip, part in cut(graph, placed, transits).items()}

    return patched(vnp, "cut", thin)


def _thinner(part: Graph) -> Graph:
    links = tuple(link if link.is_transit else _half(link) for link in part.links)
    return with_amount(part, elements=(*part.nodes, *links))


def _half(link: NetworkElement) -> NetworkElement:
    def less(each: Resource) -> Resource:
        if each.attribute != BANDWIDTH or not isinstance(each.amount, Amount):
            return each
        return with_amount(each, amount=with_amount(each.amount, value=each.amount.value // 2))

    return with_amount(link, resources=tuple(map(less, link.resources)))


CHANGES: dict[str, Bug] = {
    "moves-all": Bug("rule 1: moves what must stay", moves_all),
    "moves-unsaid": Bug("rule 1: does not tell who is moved", moves_unsaid),
    "moves-less": Bug("rule 1: carries less of a volume that is moved", moves_less),
    "moves-late": Bug("rule 1: moves a volume beyond its deadline", moves_late),
    "slides-out": Bug("rule 1: moves what slides out of its window", slides_out),
    "slides-shorter": Bug("rule 1: moves what slides to a shorter time", slides_shorter),
    "forgets-changes": Bug("rule 1: moves as was asked for before a Modify", forgets_changes),
    "configures-nothing": Bug("rule 1: configures nothing", configures_nothing),
    "keeps-the-old": Bug("rule 1: configures what is given back", keeps_the_old),
    "takes-twice": Bug("rule 5: grants an alternative twice", takes_twice),
    "halves-vlinks": Bug("rule 1: asks providers for less", halves_vlinks),
}
"""By name."""
