"""Answers that help: what stood in the way of a request, and what would be granted instead. Pure.

Alternatives are searched in what domains have offered: they hold nothing, and are good for as long
as nobody else takes what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import field
from datetime import UTC, datetime
from enum import Enum

from substrate.bending import (
    BITS,
    Phase,
    Search,
    Shortfall,
    ever_fits,
    rigid,
    slide,
    soonest,
    widest,
)
from substrate.bottleneck import Bottleneck
from substrate.model import Bend, Criteria, RefusalKind, Strategy, Window
from substrate.rates import scaled
from substrate.spreading import spread_admitted
from substrate.values import dataclass, replace

DIGITS = 4
"""Of amounts in what is told."""
EXPLAINED = frozenset({RefusalKind.BANDWIDTH, RefusalKind.LABEL, RefusalKind.TOLL})
"""Refusals for want of something that another time or amount may not want."""
VOLUME_MAX_BYTES = 2**53
"""More is not counted."""
LONGEST_S = 2**53
LEAD_S = 5
"""What bends begins no sooner from now: it must be granted before."""
BEGUN_S = 30
"""So long after its start an alternative that does not bend can still be accepted."""
PARTS = 16
"""How much of a volume may be moved is found to one in so many parts of it."""
ROUND_BPS = 1_000_000
"""Alternatives are rounded down to whole Mb/s: people read them."""


class AlternativeKind(Enum):
    """Numbers as in reservations.proto."""

    LARGEST_BANDWIDTH = 1
    EARLIEST_START = 2
    SAME_VOLUME = 3
    LESS_SURVIVAL = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """Criteria that would be granted, in place of what was refused; see reservations.proto.

    ``change``: how far it is from what was asked, as a share of that; the least is the best.
    """

    kind: AlternativeKind
    criteria: Criteria
    text: str
    change: float = field(default=0.0, compare=False)
    token: str = ""
    expires_ms: int = 0
    least_change: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stood in the way, and what would be granted instead."""

    bottlenecks: tuple[Bottleneck, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


NOTHING_TO_SAY = Explanation()


@dataclass(frozen=True, slots=True)
class Least:
    """What the domains on the way can configure when a rate changes."""

    phase_s: int = 1
    rate_bps: int = 1


def less(search: Search, least: Least, about_bps: int = 0, ready_s: int = 0) -> list[Alternative]:
    """What fits within the time of what was refused: less bandwidth, or a part of the volume.

    ``about_bps``: how much was said to fit. ``ready_s``: when what bends may begin at the soonest.
    """
    asked = search.criteria
    window = inside(search, asked.window)
    if window.duration_s <= 0 or not may_bend(asked):
        return []
    within = search
    if window.end_s < search.forecast.span.end_s:
        within = replace(search, forecast=search.forecast.until(window.end_s))
    if _volume(asked):
        return list(_part_of_volume(within, ready_s, least))
    duration_s = duration_of(asked)
    narrower = _largest(within, window, min(duration_s, window.duration_s), about_bps)
    if narrower is None:
        return []
    each = " to each" if asked.more_destinations else ""
    text = instead(narrower.bandwidth_bps, asked.bandwidth_bps, "b/s", each)
    if narrower.window != asked.window:
        text += f", {times(narrower.window)}"
    change = 1 - narrower.bandwidth_bps / asked.bandwidth_bps
    return [Alternative(AlternativeKind.LARGEST_BANDWIDTH, rigid(asked, narrower), text, change)]


def kinds_later(search: Search) -> frozenset[AlternativeKind]:
    """What may be found at another time than what was refused."""
    asked = search.criteria
    if not may_bend(asked) or inside(search, asked.window).duration_s <= 0:
        return frozenset()
    if _volume(asked):
        return frozenset({AlternativeKind.EARLIEST_START})
    found = set[AlternativeKind]()
    if ever_fits(search, _least_bps(asked), duration_of(asked)):
        found.add(AlternativeKind.EARLIEST_START)
    rigid_only = asked.constraints.survive or asked.more_destinations
    if not rigid_only and 1 <= _volume_bytes(asked) <= VOLUME_MAX_BYTES:
        found.add(AlternativeKind.SAME_VOLUME)
    return frozenset(found)


def later(
    search: Search,
    least: Least,
    kinds: Collection[AlternativeKind],
    longest_s: int = LONGEST_S,
    ready_s: int = 0,
) -> list[Alternative]:
    """All of it at another time within the span, or the same data at other rates.

    ``kinds``: what is looked for. What is found is there in a longer span too. ``longest_s``: no
    longer window may be asked for. ``ready_s``: when what bends may begin at the soonest.
    """
    asked, span = search.criteria, search.forecast.span
    within, until_s = search, max(asked.window.start_s, ready_s, span.start_s) + longest_s
    if until_s < span.end_s:
        within = replace(search, forecast=search.forecast.until(until_s))
    found = list[Alternative]()
    if AlternativeKind.EARLIEST_START in kinds:
        found += _later_volume(within, ready_s, least) if _volume(asked) else _later_window(search)
    if AlternativeKind.SAME_VOLUME in kinds:
        found += _same_volume(within, ready_s, least)
    return found


def explanation_of(
    bottlenecks: tuple[Bottleneck, ...],
    found: Iterable[Alternative],
    sign: Callable[[Alternative], Alternative],
) -> Explanation:
    """The one that changes least first. ``sign`` gives an alternative its token."""
    ordered = sorted(found, key=lambda alternative: alternative.change)
    marked = (replace(each, least_change=i == 0) for i, each in enumerate(ordered))
    return Explanation(bottlenecks, tuple(sign(each) for each in marked))


def may_bend(asked: Criteria) -> bool:
    """Whether anything else is looked for at all."""
    # Of equal parts nobody is asked: what was offered does not tell whether they would be granted.
    return asked.strategy is not Strategy.EQUAL_SPLITTING


def _later_window(search: Search) -> Iterator[Alternative]:
    asked = search.criteria
    least_bps = _least_bps(asked)
    found = soonest(search, least_bps, duration_of(asked))
    if found is not None and found != asked.window:
        most_bps = asked.bandwidth_bps
        if least_bps < most_bps:
            most_bps = max(least_bps, widest(search, found, least_bps, most_bps))
        yield in_window(asked, found, most_bps)


def in_window(asked: Criteria, window: Window, bandwidth_bps: int) -> Alternative:
    """At another time, with as much as is asked for, or as much of it as serves."""
    wait_s = max(0, window.start_s - asked.window.start_s)
    text = f"{times(window)}: {_span(wait_s)} later"
    if bandwidth_bps < asked.bandwidth_bps:
        text += f", with {scaled(bandwidth_bps, 'b/s', DIGITS)}"
    criteria = rigid(asked, Phase(window, bandwidth_bps))
    change = wait_s / duration_of(asked)
    return Alternative(AlternativeKind.EARLIEST_START, criteria, text, change)


def _same_volume(search: Search, ready_s: int, least: Least) -> Iterator[Alternative]:
    asked, duration_s = search.criteria, duration_of(search.criteria)
    search, window = _ready(search, ready_s)
    volume_bytes = _volume_bytes(asked)
    phases = _spread(search, volume_bytes, Bend().max_phases, least)
    if isinstance(phases, Shortfall) or not search.admits_all(phases):
        return
    last_s = phases[-1].window.end_s
    criteria = replace(
        asked,
        window=Window(window.start_s, max(last_s, window.end_s)),
        bend=Bend(volume_bytes=volume_bytes),
    )
    text = f"the same {scaled(volume_bytes, 'B', DIGITS)} by {_time(last_s)}"
    count = "1 phase" if len(phases) == 1 else f"{len(phases)} phases"
    text += f" in {count} of up to {scaled(max(p.bandwidth_bps for p in phases), 'b/s', DIGITS)}"
    change = max(0, last_s - window.end_s) / duration_s
    yield Alternative(AlternativeKind.SAME_VOLUME, criteria, text, change)


def _part_of_volume(search: Search, ready_s: int, least: Least) -> Iterator[Alternative]:
    asked, bend = search.criteria, search.criteria.bend
    assert bend is not None
    within, window = _ready(search, ready_s)
    if window.duration_s <= 0:
        return
    fits = _spread(within, bend.volume_bytes, bend.max_phases, least)
    most = fits.most if isinstance(fits, Shortfall) else bend.volume_bytes
    most = _admitted(within, most, least)
    if 0 < most < bend.volume_bytes:
        text = f"{instead(most, bend.volume_bytes, 'B')} by {_time(window.end_s)}"
        criteria = replace(asked, window=window, bend=replace(bend, volume_bytes=most))
        change = 1 - most / bend.volume_bytes
        yield Alternative(AlternativeKind.LARGEST_BANDWIDTH, criteria, text, change)


def _admitted(search: Search, most: int, least: Least) -> int:
    """How much of a volume is moved without taking more from others than it may; 0: next to
    nothing. ``most``: no more than that fits."""
    bend = search.criteria.bend
    assert bend is not None

    def may(volume_bytes: int) -> bool:
        phases = _spread(search, volume_bytes, bend.max_phases, least)
        return not isinstance(phases, Shortfall) and search.admits_all(phases)

    if not most or may(most):
        return most
    found, step = 0, most
    while search.tariff is not None and step > most // PARTS:
        step = -(-step // 2)
        found += step if may(found + step) else 0
    return found


def _spread(
    search: Search, volume_bytes: int, max_phases: int, least: Least
) -> tuple[Phase, ...] | Shortfall:
    """As soon as can be; or where it takes least from others, if that counts."""
    sparing = search.tariff is not None
    each = (least.phase_s, least.rate_bps)
    return spread_admitted(search, volume_bytes, max_phases, each, sparing=sparing)


def _later_volume(search: Search, ready_s: int, least: Least) -> Iterator[Alternative]:
    asked, bend = search.criteria, search.criteria.bend
    assert bend is not None
    search, window = _ready(search, ready_s)
    found = _spread(search, bend.volume_bytes, bend.max_phases, least)
    if isinstance(found, Shortfall) or found[-1].window.end_s <= window.end_s:
        return
    if not search.admits_all(found):
        return
    end_s = found[-1].window.end_s
    yield Alternative(
        AlternativeKind.EARLIEST_START,
        replace(asked, window=Window(window.start_s, end_s)),
        f"all of it by {_time(end_s)}, {_span(end_s - window.end_s)} later",
        (end_s - window.end_s) / asked.window.duration_s,
    )


def _largest(within: Search, window: Window, duration_s: int, about_bps: int) -> Phase | None:
    """The most below what was asked for, within the window that was asked for."""
    asked = within.criteria
    least_bps = max(1, asked.constraints.min_share_bps)
    if duration_s < window.duration_s:
        found = slide(within, asked.bandwidth_bps, least_bps, duration_s)
        if isinstance(found, Shortfall) or found.bandwidth_bps >= asked.bandwidth_bps:
            return None
        return _rounded(within, found)
    most_bps = widest(within, window, least_bps, asked.bandwidth_bps, about_bps)
    if not 0 < most_bps < asked.bandwidth_bps:
        return None
    return _rounded(within, Phase(window, most_bps))


def _rounded(search: Search, phase: Phase) -> Phase:
    whole_bps = phase.bandwidth_bps // ROUND_BPS * ROUND_BPS
    if whole_bps and (_any_less_fits(search) or search.fits(whole_bps, phase.window)):
        return replace(phase, bandwidth_bps=whole_bps)
    return phase


def _any_less_fits(search: Search) -> bool:
    """Whether the paths of what fits carry any less, too. Least shares may want just that much."""
    asked, limits = search.criteria, search.criteria.constraints
    alone = search.tariff is None and not asked.more_destinations
    parts = asked.strategy in (Strategy.AUTO, Strategy.SINGLE_PATH)
    return alone and parts and not limits.survive and limits.min_share_bps <= 1


def _ready(search: Search, ready_s: int) -> tuple[Search, Window]:
    """What may begin no sooner, and the part of the window in which it may."""
    window = inside(search, search.criteria.window)
    if window.start_s >= ready_s:
        return search, window
    start_s = min(ready_s, search.forecast.span.end_s - 1)
    known = search.forecast.since(start_s)
    return replace(search, forecast=known), Window(start_s, window.end_s)


def inside(search: Search, window: Window) -> Window:
    """The part of a window that is not over."""
    span = search.forecast.span
    return Window(max(window.start_s, span.start_s), min(window.end_s, span.end_s))


def _volume(criteria: Criteria) -> bool:
    return criteria.bend is not None and criteria.bend.volume_bytes > 0


def duration_of(criteria: Criteria) -> int:
    """How long a circuit is to be there."""
    return (criteria.bend and criteria.bend.duration_s) or criteria.window.duration_s


def _least_bps(criteria: Criteria) -> int:
    """What serves: all of it, unless less was said to do."""
    return (criteria.bend and criteria.bend.least_bps) or criteria.bandwidth_bps


def _volume_bytes(criteria: Criteria) -> int:
    return criteria.bandwidth_bps * duration_of(criteria) // BITS


def told_apart(one: int, other: int, unit: str) -> tuple[str, str]:
    """Both as people write them, so precise that the two can be told apart."""
    for digits in range(DIGITS, 17):
        texts = scaled(one, unit, digits), scaled(other, unit, digits)
        if texts[0] != texts[1]:
            break
    return texts


def instead(amount: int, asked: int, unit: str, each: str = "") -> str:
    """One amount in place of another, for people."""
    return f"{each} instead of ".join(told_apart(amount, asked, unit))


def _time(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def times(window: Window) -> str:
    """For people."""
    return f"from {_time(window.start_s)} to {_time(window.end_s)}"


def _span(span_s: int) -> str:
    hours, seconds = divmod(span_s, 3600)
    parts = [f"{hours} h"] if hours else []
    parts += [f"{seconds // 60} min"] if seconds >= 60 else []
    return " ".join(parts) or f"{span_s} s"
