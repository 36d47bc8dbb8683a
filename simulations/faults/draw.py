"""Draws schedules. Which kinds of items there are, and what their fields mean.

Requests (``who``: the instance asked first, ``number``: which reservation, from 0):
    reserve   ``word``: "GBPS START END TIMEOUT", times in seconds from the start of the run; how it
              bends, if it does; "star": west is joined with south too; "via": only through m1;
              "survive": the loss of a path leaves half; "movable": to let others in
    modify    ``word``: "GBPS"
    migrate   ``word``: "DOMAIN SWITCH": away from a domain, from so many seconds after the start of
              the run on; without SWITCH at once
    cancel
    accept    ``word``: the number of a reservation that was refused: with what it was told would do
    cloudnet, remodel   see :mod:`simulations.faults.draw_nets`

Faults of one message or write (no time: the ``number``-th, from 1, over the whole run):
    lost, late, doubled   ``who``: "a>m1" or "m1>a"; ``for_ms``: how late
    snap                  of those about what VNodes have; ``who`` as above; the connection breaks;
                          ``word``: see ``lanes.Snaps``
    write                 ``who``: an instance or domain; ``word``: see ``disks.Pipeline``

Faults in time (at ``at_ms``, lasting ``for_ms``; ``who``: an instance or domain, or "a>m1"):
    crash     the process dies at once and is started again after ``for_ms``
    twin      a second process is started beside the first
    pause     the process stops as by SIGSTOP
    cut       nothing passes: on one link, or on all of a party
    reset     connections break, and what is under way is lost
    slow      messages and writes take ``number`` times as long
    full      nothing can be written (a full disk)
    gone      the database cannot be reached
    skew      the clock is wrong by ``number`` milliseconds
    lie       offers say ``number`` percent of the truth
    restore   the database is as it was at ``number`` milliseconds; ``word``: "told" (--restored)
              or "silent" (which the agent must find out)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from simulations.faults.draw_more import (
    begun,
    crowd,
    hardy,
    lasting_of,
    migrations,
    sliders,
    soon,
    takers,
)
from simulations.faults.draw_nets import cloudnets, clouds_of, moved_nets, snaps, two_clouds
from simulations.faults.plan import Item, Schedule, World

BENDS = ("slide", "", "volume", "", "range", "", "volume", "", "")
SOUTH = 0.25
"""How many worlds have a third site, to which most requests there lead too."""
CARRYING = 0.1
"""How many schedules are about VNodes that are taken to other providers."""
REQUESTS = frozenset({"reserve", "modify", "migrate", "cancel", "accept", "cloudnet", "remodel"})
MESSAGES = frozenset({"lost", "late", "doubled"})
COUNTED = MESSAGES | {"snap", "write"}
"""Faults that have no time."""
LAST_MS = 10_000
"""No fault begins much later than this; few requests are made later."""
FAULTS_LEAST, FAULTS_MOST = 18, 26
WRITE_FAULTS = ("refused", "unknown", "crash before", "crash after")


def draw(seed: int, number: int) -> Schedule:
    """The ``number``-th schedule of a seed."""
    name = f"{seed}.{number}"
    if Random(f"carrying {name}").random() < CARRYING:
        return _carrying(name)
    dice = Random(f"schedule {name}")
    # Dice of their own: the others fall as they did before there was a third site.
    world = replace(_world(dice), south=Random(f"south {name}").random() < SOUTH)
    world = clouds_of(Random(f"clouds {name}"), world)
    world = lasting_of(Random(f"lasting {name}"), world)
    requests = _requests(dice, world)
    few = len(_numbers(requests))
    for draw_more in (crowd, begun, hardy, soon, takers):
        more_dice = Random(f"{draw_more.__name__} {name}")
        requests += draw_more(more_dice, world, len(_numbers(requests)))
    requests += migrations(Random(f"migrations {name}"), world, requests)
    sliding = sliders(Random(f"sliders {name}"), world, len(_numbers(requests)))
    requests += sliding
    faults = _faults(dice, world, requests, dice.randint(FAULTS_LEAST, FAULTS_MOST))
    more = cloudnets(Random(f"cloudnets {name}"), world, len(_numbers(requests)))
    # Each request is met by as many as others are.
    mean = (FAULTS_LEAST + FAULTS_MOST) // 8
    others = len(_numbers(requests)) - few
    faults += _faults(Random(f"more faults {name}"), world, requests, mean * others // 2)
    faults += _faults(Random(f"slide faults {name}"), world, sliding, len(sliding))
    if more:
        faults += _faults(Random(f"cloud faults {name}"), world, more, mean * len(more) // 2)
    moved = moved_nets(Random(f"moved {name}"), world, len(_numbers([*requests, *more])))
    if moved:
        faults += _faults(Random(f"moved faults {name}"), world, moved, 2 * len(moved))
        faults += snaps(Random(f"snaps {name}"), world, moved)
    return Schedule(name, world, (*requests, *more, *moved, *faults))


def _carrying(name: str) -> Schedule:
    """One that is about VNodes which are taken to other providers, and about little else: amid all
    other faults few get so far."""
    dice = Random(f"carried {name}")
    world = two_clouds(dice, World(middle=dice.choice((1, 2)), rival=dice.random() < 0.2))
    moved = moved_nets(dice, world, 0)
    faults = _faults(dice, world, moved, dice.randint(2, FAULTS_LEAST // 2))
    return Schedule(name, world, (*moved, *faults, *snaps(dice, world, moved)))


def _numbers(requests: Iterable[Item]) -> set[int]:
    return {item.number for item in requests}


def _faults(dice: Random, world: World, requests: list[Item], wanted: int) -> list[Item]:
    """So many, most of them near the times of requests."""
    times = [item.at_ms for item in requests if item.at_ms <= LAST_MS]
    kinds, weights = zip(*((make, weight) for make, weight in _KINDS), strict=True)
    return [
        make(dice, world, _moment(dice, times)) for make in dice.choices(kinds, weights, k=wanted)
    ]


def _world(dice: Random) -> World:
    middle = dice.choice((1, 2, 2, 3))
    names = [f"m{i}" for i in range(1, middle + 1)]
    expiring = [*names, "west"] if dice.random() < 0.5 else []
    return World(
        middle=middle,
        blind=tuple(name for name in names if dice.random() < 0.25),
        expiring=tuple(name for name in expiring if dice.random() < 0.4),
        hold_timeout_s=dice.choice((3, 10)),
        rival=dice.random() < 0.25,
    )


def _requests(dice: Random, world: World) -> list[Item]:
    items: list[Item] = []
    at_ms = 0
    for number in range(dice.randint(3, 6)):
        # Some at the same moment, so that they compete.
        at_ms = at_ms if number and dice.random() < 0.4 else dice.randint(300, LAST_MS - 4000)
        who = dice.choice(world.instances)
        items.append(Item("reserve", who, at_ms, number=number, word=_wish(dice, world, at_ms)))
        again = "ab" if who in "ab" else who
        if dice.random() < 0.4:
            later_ms = at_ms + dice.randint(200, 6000)
            word = str(_gbps(dice))
            items.append(Item("modify", dice.choice(again), later_ms, number=number, word=word))
        if dice.random() < 0.4:
            later_ms = at_ms + dice.randint(50, 9000)
            items.append(Item("cancel", dice.choice(again), later_ms, number=number))
    return items


def _wish(dice: Random, world: World, at_ms: int) -> str:
    if dice.random() < 0.25:
        start_s = at_ms // 1000 + dice.randint(1, 4)
        end_s = start_s + dice.randint(3, 20)
    else:
        start_s = 3600 * dice.randint(1, 2)
        end_s = start_s + 3600 * dice.randint(1, 2)
    word = f"{_gbps(dice)} {start_s} {end_s} {dice.choice((5, 30))}"
    bend = BENDS[at_ms % len(BENDS)]
    star = world.south and bend != "volume" and at_ms % 3 > 0
    # What insists on one way is what others are moved for.
    via = world.middle > 1 and not star and at_ms % 4 == 0
    movable = at_ms % 5 < 3 and not via
    more = ((star, "star"), (via, "via"), (movable, "movable"))
    return " ".join([word, *filter(None, [bend]), *(name for wanted, name in more if wanted)])


def _gbps(dice: Random) -> int:
    return dice.choice((10, 40, 60, 60, 90, 110, 150))


def _moment(dice: Random, times: list[int]) -> int:
    """Mostly while something is being negotiated."""
    if dice.random() < 0.75:
        return dice.choice(times) + int(dice.expovariate(1 / 200))
    return dice.randint(0, LAST_MS)


def _lane(dice: Random, world: World) -> str:
    instance, domain = dice.choice(world.instances), dice.choice(world.domains)
    return f"{instance}>{domain}" if dice.random() < 0.5 else f"{domain}>{instance}"


def _lost(dice: Random, world: World, at_ms: int) -> Item:
    return Item("lost", _lane(dice, world), number=_nth(dice))


def _late(dice: Random, world: World, at_ms: int) -> Item:
    return Item("late", _lane(dice, world), for_ms=_late_ms(dice), number=_nth(dice))


def _doubled(dice: Random, world: World, at_ms: int) -> Item:
    return Item("doubled", _lane(dice, world), for_ms=_late_ms(dice), number=_nth(dice))


def _nth(dice: Random) -> int:
    return 1 + int(dice.expovariate(1 / 6))


def _late_ms(dice: Random) -> int:
    return int(dice.choice((10, 100, 2000, 8000)) * (0.5 + dice.random()))


def _write(dice: Random, world: World, at_ms: int) -> Item:
    if dice.random() < 0.7:
        who, number = dice.choice(world.domains), 1 + int(dice.expovariate(1 / 5))
    else:
        who, number = dice.choice(world.instances), 1 + int(dice.expovariate(1 / 15))
    return Item("write", who, number=number, word=dice.choice(WRITE_FAULTS))


def _party(dice: Random, world: World) -> str:
    return dice.choice(dice.choice((world.domains, world.instances)))


def _span_ms(dice: Random) -> int:
    return int(dice.choice((100, 1000, 4000, 10_000)) * (0.5 + dice.random()))


def _lasting(
    kind: str, who: Callable[[Random, World], str], number: Callable[[Random], int] = lambda _: 0
) -> Callable[[Random, World, int], Item]:
    def make(dice: Random, world: World, at_ms: int) -> Item:
        return Item(kind, who(dice, world), at_ms, _span_ms(dice), number(dice))

    return make


def _domain(dice: Random, world: World) -> str:
    return dice.choice(world.domains)


def _instance(dice: Random, world: World) -> str:
    return dice.choice(world.instances)


def _link(dice: Random, world: World) -> str:
    return f"{dice.choice(world.instances)}>{dice.choice(world.domains)}"


def _skew_ms(dice: Random) -> int:
    return dice.choice((-1, 1)) * int(dice.choice((500, 5000, 600_000)) * (0.5 + dice.random()))


def _restore(dice: Random, world: World, at_ms: int) -> Item:
    # Often a backup of only moments ago: it remembers half of what was under way.
    before_ms = max(0, at_ms - int(dice.expovariate(1 / dice.choice((20, 300, 3000)))))
    word = dice.choice(("told", "told", "silent"))
    return Item("restore", dice.choice(world.domains), at_ms, _span_ms(dice), before_ms, word)


_KINDS: tuple[tuple[Callable[[Random, World, int], Item], float], ...] = (
    (_lost, 3),
    (_late, 3),
    (_doubled, 3),
    (_write, 3),
    (_lasting("crash", _domain), 2),
    (_lasting("crash", _instance), 2),
    (_lasting("pause", _instance), 2),
    (_lasting("pause", _domain), 0.7),
    (_lasting("cut", _link), 1.5),
    (_lasting("cut", _party), 1.5),
    (_lasting("reset", _link), 0.7),
    (_lasting("reset", _party), 0.7),
    (_lasting("slow", _party, lambda dice: dice.choice((5, 50))), 1),
    (_lasting("full", _domain), 1),
    (_lasting("gone", _instance), 0.7),
    (_lasting("skew", _party, _skew_ms), 1),
    (_lasting("lie", _domain, lambda dice: dice.choice((0, 50, 200))), 1),
    (_lasting("twin", _party), 0.4),
    (_restore, 1.5),
)
"""How to make each kind of fault, and how often."""
