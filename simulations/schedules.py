"""What the papers' simulations draw at random: schedules of availability, and requests.

Paper 003, section 6.2: a domain's schedule has 1,000 entries, each with an available bandwidth
uniform on (0, C); a user makes 100 requests within them, each for one entry. Everything is drawn
from a seed and the number of the run, so runs can be made in any order, by any number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from agents.book import Book
from simulations.clock import EPOCH_MS
from substrate.calendar import Direction, Resource
from substrate.model import Window

CAPACITY_BPS = 100 * 10**9
ENTRIES = 1000
ENTRY_S = 3600
FIRST_S = EPOCH_MS // 1000 + 86_400
VLANS = "100-199"

Schedule = tuple[int, ...]
"""Available bandwidth of each entry, bit/s."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One request: a bandwidth during one entry."""

    entry: int
    bandwidth_bps: int

    @property
    def window(self) -> Window:
        """When that is."""
        return entry_window(self.entry)


def entry_window(entry: int) -> Window:
    """The hour that an entry stands for."""
    start_s = FIRST_S + entry * ENTRY_S
    return Window(start_s, start_s + ENTRY_S)


def dice(name: str, seed: int, run: int) -> Random:
    """The random numbers of one run of one experiment."""
    return Random(f"{name}/{seed}/{run}")


def draw_schedule(random: Random) -> Schedule:
    """1,000 entries, independent, uniform on (0, C)."""
    return tuple(random.randrange(1, CAPACITY_BPS) for _ in range(ENTRIES))


def draw_wishes(random: Random, count: int) -> tuple[Wish, ...]:
    """``count`` requests: any entry, any bandwidth of (0, C).

    Bandwidths are stratified: one from each ``count``-th part of (0, C), in random order. Each
    alone is uniform; together they spread evenly, which makes averages less noisy, no less true.
    """
    bandwidths = [
        1 + int((part + random.random()) / count * (CAPACITY_BPS - 2)) for part in range(count)
    ]
    random.shuffle(bandwidths)
    return tuple(Wish(random.randrange(ENTRIES), bps) for bps in bandwidths)


def fill_up(book: Book, port: str, schedule: Schedule) -> None:
    """Holds capacity of a port on behalf of others, until just the schedule is left there.

    The port must be unused in ``book``. Both directions are held alike.
    """
    for direction in Direction:
        resource = Resource(f"{book.domain.name}:{port}", direction)
        for entry, available_bps in enumerate(schedule):
            book.calendar.add(resource, entry_window(entry), CAPACITY_BPS - available_bps)
