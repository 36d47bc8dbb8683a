"""Circuits through four domains, committed: many at once, on a slow disk, over one hot link."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from benchmarks import live
from benchmarks.load import Load
from benchmarks.results import Row
from benchmarks.setting import Setting
from benchmarks.world import HOT, BrokenError, World, chain, world
from runtime import schema

HOT_LIVE = 100_000
HOT_ROOM_BPS = 10**9
"""What is free on the hot link when it is fullest."""
SLOW_MS = 1.0


def commit(setting: Setting) -> None:
    """As many in flight as asked for, by every variant."""
    for in_flight in setting.in_flight:
        _variants(setting, "commit", in_flight)


def slow_disk(setting: Setting) -> None:
    """Every commit of a database takes a millisecond more."""
    _variants(setting, f"commit, fsync +{SLOW_MS:g} ms", setting.busy, SLOW_MS)


def hot_link(setting: Setting) -> None:
    """All over one link that is nearly full, in a domain whose calendar is long."""
    count = min(HOT_LIVE, max(setting.live))
    scenario, naive = f"commit, hot link, {count:,} live", None
    for variant in (variant for variant in setting.variants if variant != "unary"):
        with world(setting.place(f"hot {variant}")) as made:
            if variant == "naive":
                live.fill_naive(made.database(HOT), count)
                made.naive()
            else:
                domains = chain(live.peak_bps(count) + HOT_ROOM_BPS)
                schema.upgrade(made.database(HOT), "agent")
                live.fill(made.database(HOT), domains[HOT], count)
                made.braid(domains)
            made.settle()
            row = committing(setting, made, scenario, variant, setting.busy)
        row = setting.results.add(row, naive)
        naive = row if variant == "naive" else naive


def _variants(setting: Setting, scenario: str, in_flight: int, fsync_ms: float = 0.0) -> None:
    naive = None
    for variant in setting.variants:
        place = setting.place(f"{scenario} {variant} {in_flight}")
        with world(place, variant, fsync_ms) as made:
            row = committing(setting, made, scenario, variant, in_flight)
        row = setting.results.add(row, naive)
        naive = row if variant == "naive" else naive


def committing(setting: Setting, made: World, scenario: str, variant: str, in_flight: int) -> Row:
    """What a running world does. Raises BrokenError when it refuses."""
    load = Load(variant, in_flight)
    used_s = asyncio.run(_measure(setting, made, load, variant))
    measured = load.measured
    if measured.refused or not measured.latencies_s:
        raise BrokenError(f"{scenario}, {variant}: {measured.refused} refused\n{made.errors()}")
    return measured.row(scenario, variant, in_flight, used_s)


async def _measure(setting: Setting, made: World, load: Load, variant: str) -> float:
    """Seconds of processor time that the world used meanwhile."""
    ask = load.stream if variant == "stream" else load.unary
    asking = asyncio.create_task(ask(made.target))
    await asyncio.wait([asking], timeout=setting.warm_up_s)
    before_s = sum(made.cpu_s())
    load.begin()
    await asyncio.wait([asking], timeout=setting.seconds)
    # Where many wait for a slow system the first may take longer.
    while not load.measured.latencies_s and not asking.done():
        await asyncio.wait([asking], timeout=setting.seconds)
    load.end()
    used_s = sum(made.cpu_s()) - before_s
    # What is under way is not waited for; an error that ended it is raised.
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    return used_s
