"""Who asks for what and when: Poisson arrivals of circuits between random pairs.

Offered load: Σ bandwidth · duration of what is asked for, over Σ capacity · slots of the links,
each counted once although it carries its capacity both ways; hops do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulations.clock import EPOCH_MS
from simulations.loaded.world import World
from simulations.schedules import dice
from substrate.model import Window

SLOTS = 72
SLOT_S = 60
"""Short, as agents look for what is due every few seconds; nothing else depends on it."""
FIRST_S = -(-EPOCH_MS // 1000 // SLOT_S) * SLOT_S
"""When slot 0 begins: at a full minute."""
BEFORE_S = FIRST_S - EPOCH_MS // 1000
"""So long after the beginning of the simulation."""
AHEAD_SLOTS = 24
DURATION_SLOTS_MAX = 8
LEAST_SHARE = 0.05
STRETCH = 2
"""The window of a request that bends, in durations."""

MEAN_SHARE = (LEAST_SHARE + 1) / 2
MEAN_SLOTS = (1 + DURATION_SLOTS_MAX) / 2


@dataclass(frozen=True, slots=True)
class Demand:
    """``bandwidth_bps`` from one node to another for ``slots`` slots from ``start`` on.

    ``arrival_s``: seconds after slot 0 begins, before ``start`` does.
    """

    arrival_s: float
    source: str
    destination: str
    bandwidth_bps: int
    start: int
    slots: int

    @property
    def window(self) -> Window:
        """What a request that does not bend asks for."""
        return slots_window(self.start, self.slots)

    @property
    def wide_window(self) -> Window:
        """What a request that bends may use."""
        return slots_window(self.start, STRETCH * self.slots)

    @property
    def wide_slots(self) -> range:
        """The slots of ``wide_window``."""
        return range(self.start, self.start + STRETCH * self.slots)

    @property
    def volume(self) -> int:
        """Size: bit/s times slots."""
        return self.bandwidth_bps * self.slots


def slots_window(first: int, count: int) -> Window:
    """So many slots."""
    return Window(FIRST_S + first * SLOT_S, FIRST_S + (first + count) * SLOT_S)


def draw_demands(world: World, load: float, seed: int, run: int) -> tuple[Demand, ...]:
    """Arrivals in 72 slots, in order. Another load has the same requests, at other times."""
    random = dice(f"loaded/{world.name}", seed, run)
    mean_volume = MEAN_SHARE * world.unit_bps * MEAN_SLOTS
    per_slot = load * world.total_bps / mean_volume
    demands: list[Demand] = []
    arrival = random.expovariate(1)
    while arrival / per_slot < SLOTS:
        source, destination = random.sample(world.nodes, 2)
        demands.append(
            Demand(
                arrival_s=arrival / per_slot * SLOT_S,
                source=source,
                destination=destination,
                bandwidth_bps=int(random.uniform(LEAST_SHARE, 1) * world.unit_bps),
                start=int(arrival / per_slot) + random.randint(1, AHEAD_SLOTS),
                slots=random.randint(1, DURATION_SLOTS_MAX),
            )
        )
        arrival += random.expovariate(1)
    return tuple(demands)
