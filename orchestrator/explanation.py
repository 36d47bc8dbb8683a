"""Answers that help: what stood in the way of a request, and what would be granted instead. Pure.

Alternatives are searched in what domains have offered: they hold nothing, and are good for as long
as nobody else takes what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from datetime import UTC, datetime
from enum import Enum

from substrate.bending import BITS, Phase, Search, Shortfall, rigid, slide, soonest, widest
from substrate.bottleneck import Bottleneck, bottlenecks
from substrate.model import Bend, Criteria, Refusal, RefusalKind, Strategy, Window
from substrate.spreading import spread
from substrate.values import dataclass, replace

EXPLAINED = frozenset({RefusalKind.BANDWIDTH, RefusalKind.LABEL})
"""Refusals for want of something that another time or amount may not want."""
VOLUME_MAX_BYTES = 2**53
"""More is not counted."""
ROUND_BPS = 1_000_000
"""Alternatives are rounded down to whole Mb/s: people read them."""


class AlternativeKind(Enum):
    """Numbers as in reservations.proto."""

    LARGEST_BANDWIDTH = 1
    EARLIEST_START = 2
    SAME_VOLUME = 3


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


def explain(
    search: Search,
    refusal: Refusal,
    least: Least,
    sign: Callable[[Alternative], Alternative],
) -> Explanation:
    """Why the search's criteria were refused, over a span that begins no later than their window.

    ``sign`` gives an alternative its token.
    """
    asked = search.criteria
    window = _inside(search, asked.window)
    if window.duration_s <= 0:
        return NOTHING_TO_SAY
    found = list[Alternative]()
    # Of equal parts nobody is asked: what was offered does not tell whether they would be granted.
    if asked.strategy is not Strategy.EQUAL_SPLITTING:
        found = list(_volumes(search, least) if _volume(asked) else _circuits(search, least))
    found.sort(key=lambda alternative: alternative.change)
    found = [replace(each, least_change=i == 0) for i, each in enumerate(found)]
    return Explanation(
        bottlenecks(search, window, refusal),
        tuple(sign(alternative) for alternative in found),
    )


def _circuits(search: Search, least: Least) -> Iterator[Alternative]:
    """For a bandwidth and a duration: less of it, later, or the same data at other rates."""
    asked, window = search.criteria, search.criteria.window
    duration_s = (asked.bend and asked.bend.duration_s) or window.duration_s
    narrower = _largest(search, duration_s)
    if narrower is not None:
        each = " to each" if asked.more_destinations else ""
        text = f"{_rate(narrower.bandwidth_bps)}{each} instead of {_rate(asked.bandwidth_bps)}"
        if narrower.window != window:
            text += f", {_times(narrower.window)}"
        change = 1 - narrower.bandwidth_bps / asked.bandwidth_bps
        yield Alternative(AlternativeKind.LARGEST_BANDWIDTH, rigid(asked, narrower), text, change)
    later = soonest(search, asked.bandwidth_bps, duration_s)
    if later is not None and later != window:
        wait_s = later.start_s - window.start_s
        text = f"{_times(later)}: {_span(wait_s)} later"
        criteria = rigid(asked, Phase(later, asked.bandwidth_bps))
        yield Alternative(AlternativeKind.EARLIEST_START, criteria, text, wait_s / duration_s)
    if asked.constraints.survive or asked.more_destinations:
        return
    volume_bytes = asked.bandwidth_bps * duration_s // BITS
    if not 1 <= volume_bytes <= VOLUME_MAX_BYTES:
        return
    phases = spread(search, volume_bytes, Bend().max_phases, least.phase_s, least.rate_bps)
    if not isinstance(phases, Shortfall):
        end_s = max(phases[-1].window.end_s, window.end_s)
        criteria = replace(
            asked,
            window=Window(window.start_s, end_s),
            bend=Bend(volume_bytes=volume_bytes),
        )
        text = f"the same {_size(volume_bytes)} by {_time(phases[-1].window.end_s)}"
        count = "1 phase" if len(phases) == 1 else f"{len(phases)} phases"
        text += f" in {count} of up to {_rate(max(p.bandwidth_bps for p in phases))}"
        change = max(0, phases[-1].window.end_s - window.end_s) / duration_s
        yield Alternative(AlternativeKind.SAME_VOLUME, criteria, text, change)


def _volumes(search: Search, least: Least) -> Iterator[Alternative]:
    """For a volume by a deadline: less of it, or later."""
    asked, bend = search.criteria, search.criteria.bend
    assert bend is not None
    within = replace(search, forecast=search.forecast.until(asked.window.end_s))
    fits = spread(within, bend.volume_bytes, bend.max_phases, least.phase_s, least.rate_bps)
    if isinstance(fits, Shortfall) and fits.most:
        less = replace(bend, volume_bytes=fits.most)
        if not isinstance(
            spread(within, fits.most, bend.max_phases, least.phase_s, least.rate_bps), Shortfall
        ):
            text = f"{_size(fits.most)} instead of {_size(bend.volume_bytes)}"
            text += f" by {_time(asked.window.end_s)}"
            yield Alternative(
                AlternativeKind.LARGEST_BANDWIDTH,
                replace(asked, bend=less),
                text,
                1 - fits.most / bend.volume_bytes,
            )
    later = spread(search, bend.volume_bytes, bend.max_phases, least.phase_s, least.rate_bps)
    if not isinstance(later, Shortfall) and later[-1].window.end_s > asked.window.end_s:
        end_s = later[-1].window.end_s
        window = Window(asked.window.start_s, end_s)
        text = f"all of it by {_time(end_s)}, {_span(end_s - asked.window.end_s)} later"
        yield Alternative(
            AlternativeKind.EARLIEST_START,
            replace(asked, window=window),
            text,
            (end_s - asked.window.end_s) / asked.window.duration_s,
        )


def _largest(search: Search, duration_s: int) -> Phase | None:
    """The most below what was asked for, within the window that was asked for."""
    asked, window = search.criteria, _inside(search, search.criteria.window)
    least_bps = max(1, asked.constraints.min_share_bps)
    if duration_s < window.duration_s:
        within = replace(search, forecast=search.forecast.until(window.end_s))
        found = slide(within, asked.bandwidth_bps, least_bps, duration_s)
        if isinstance(found, Shortfall) or found.bandwidth_bps >= asked.bandwidth_bps:
            return None
        return _rounded(search, found)
    most_bps = widest(search, window, least_bps, asked.bandwidth_bps)
    if not 0 < most_bps < asked.bandwidth_bps:
        return None
    return _rounded(search, Phase(asked.window, most_bps))


def _rounded(search: Search, phase: Phase) -> Phase:
    whole_bps = phase.bandwidth_bps // ROUND_BPS * ROUND_BPS
    # Least shares may want just what was found.
    if whole_bps and search.fits(whole_bps, _inside(search, phase.window)):
        return replace(phase, bandwidth_bps=whole_bps)
    return phase


def _inside(search: Search, window: Window) -> Window:
    """The part of a window that is not over."""
    span = search.forecast.span
    return Window(max(window.start_s, span.start_s), min(window.end_s, span.end_s))


def _volume(criteria: Criteria) -> bool:
    return criteria.bend is not None and criteria.bend.volume_bytes > 0


def _rate(bandwidth_bps: int) -> str:
    return _scaled(bandwidth_bps, "b/s")


def _size(volume_bytes: int) -> str:
    return _scaled(volume_bytes, "B")


def _scaled(amount: int, unit: str) -> str:
    for prefix, size in (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if amount >= size:
            return f"{amount / size:.4g} {prefix}{unit}"
    return f"{amount} {unit}"


def _time(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _times(window: Window) -> str:
    return f"from {_time(window.start_s)} to {_time(window.end_s)}"


def _span(span_s: int) -> str:
    hours, seconds = divmod(span_s, 3600)
    parts = [f"{hours} h"] if hours else []
    parts += [f"{seconds // 60} min"] if seconds >= 60 else []
    return " ".join(parts) or f"{span_s} s"
