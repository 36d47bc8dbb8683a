"""What the papers' simulations draw at random: schedules of availability, and requests.

Paper 003, section 6.2: a domain's schedule has 1,000 entries, each with an available bandwidth
uniform on (0, C); a user makes 100 requests within them, each for one entry. Everything is drawn
from a seed and the number of the run, so runs can be made in any order, by any number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from agents.book import Book
from protocol.messages import ReservationPrep
from simulations.clock import EPOCH_MS
from substrate.model import Refusal, Segment, Window

CAPACITY_BPS = 100 * 10**9
ENTRIES = 1000
ENTRY_S = 3600
FIRST_S = EPOCH_MS // 1000 + 86_400
BACKGROUND_VLAN = 199
VLANS = f"100-{BACKGROUND_VLAN}"

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


def fill_up(books: Sequence[Book], schedule: Schedule, ingress: str, egress: str) -> None:
    """Reserves on behalf of others until just the schedule is left between two ports.

    ``ingress`` and ``egress`` are port names; every book must be empty there.
    """
    for book in books:
        domain = book.domain.name
        for entry, available_bps in enumerate(schedule):
            taken = Segment(
                segment_id="others",
                ingress_stp=f"{domain}:{ingress}",
                ingress_vlan=BACKGROUND_VLAN,
                egress_stp=f"{domain}:{egress}",
                egress_vlan=BACKGROUND_VLAN,
                bandwidth_bps=CAPACITY_BPS - available_bps,
            )
            others = f"others-{ingress}-{entry}"
            prep = ReservationPrep(
                transaction_id=others,
                part_id=others,
                reservation_id=others,
                version=1,
                segments=(taken,),
                window=entry_window(entry),
                orchestrator_id="others",
                deadline_ms=0,
            )
            outcome = book.admit(prep)
            assert not isinstance(outcome, Refusal), outcome
