"""Commits through an agent that has many live reservations; alone it is `benchmarks.restart`'s."""

from __future__ import annotations

from benchmarks import live
from benchmarks.commits import committing
from benchmarks.results import Row
from benchmarks.setting import Setting
from benchmarks.world import HOT, chain, world
from runtime import schema


def long_calendars(setting: Setting) -> None:
    """As many live as asked for, the fewest first: they are the baseline of the others."""
    baseline: Row | None = None
    for count in sorted(setting.live):
        scenario = f"commit, {count:,} live"
        with world(setting.place(scenario)) as made:
            domains = chain()
            schema.upgrade(made.database(HOT), "agent")
            live.fill(made.database(HOT), domains[HOT], count)
            made.braid(domains)
            made.settle()
            row = committing(setting, made, scenario, "stream", setting.busy)
        setting.results.add(row, baseline)
        baseline = baseline or row
