"""Draws what is asked of circuits beside what :mod:`simulations.faults.draw` draws first.

What is to be moved, what moves it and what migrates, what is to survive losses, what alternatives
are taken, and what begins, changes and ends while the world is watched without faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from simulations.faults.plan import Item, World

LASTING = 0.4
"""How many worlds go on after their faults."""
LAST_S = 260
CROWD_S = 20_000
"""When the windows of a crowd begin: no others are there then."""
SLIDE_S = 80
"""When what slides and is moved after the faults begins at the soonest."""
CALM_MS = 20_000
"""When faults are over and what they left undone is mostly done."""


def lasting_of(dice: Random, world: World) -> World:
    """The world, which may go on until what was asked for has come about."""
    return replace(world, last_s=LAST_S) if dice.random() < LASTING else world


def crowd(dice: Random, world: World, number: int) -> list[Item]:
    """Mostly one or two that may be moved, and some that want one after the other what they have.

    Some of these are changed before. Where the world goes on there is another crowd when faults are
    over: amid them not much is moved.
    """
    if world.middle == 1 or world.expiring or "m1" in world.blind or dice.random() < 0.1:
        return []
    items = _crowded(dice, world, number, CROWD_S, dice.choice((100, 3000)))
    if world.last_s:
        later = number + len({item.number for item in items})
        items += _crowded(dice, world, later, 2 * CROWD_S, CALM_MS)
    return items


def _crowded(dice: Random, world: World, number: int, start_s: int, first_ms: int) -> list[Item]:
    who, pause_ms = dice.choice(world.instances), dice.randint(1000, 2200)
    end_s = start_s + dice.choice((1800, 3600))
    # Where the first one must stay, only the second one can make room.
    may = dice.choice((" movable", " movable", " volume movable", ""))
    words = [f"60 {start_s} {end_s} 30{may}"]
    if not may or dice.random() < 0.5:
        words.append(f"20 {start_s} {end_s} 30 volume movable")
    wishes = [f"{dice.choice((60, 80, 90))} {start_s} {end_s} 30 via"]
    if dice.random() < 0.5:
        wishes.append(f"{dice.choice((5, 10))} {start_s} {end_s} 30 via")
    items = [
        Item("reserve", who, first_ms + i * pause_ms, number=number + i, word=word)
        for i, word in enumerate((*words, *wishes))
    ]
    # The second one asks for more than there is.
    for i, gbps in enumerate((dice.choice((50, 55)), 350) if dice.random() < 0.4 else ()):
        changed_ms = first_ms + 200 + (pause_ms // 2) * i
        items.append(Item("modify", who, changed_ms, number=number, word=str(gbps)))
    return items


def sliders(dice: Random, world: World, number: int) -> list[Item]:
    """Sometimes one or two that may be moved to other times too, and some that want so much that
    other ways are not enough; where the world goes on, others when faults are over."""
    if world.expiring or dice.random() < 0.6:
        return []
    items = _sliding(dice, world, number, 5 * CROWD_S, dice.choice((100, 3000)))
    if world.last_s:
        later = number + len(items)
        items += _sliding(dice, world, later, SLIDE_S, CALM_MS)
    return items


def _sliding(dice: Random, world: World, number: int, start_s: int, first_ms: int) -> list[Item]:
    who, pause_ms = dice.choice(world.instances), dice.randint(1000, 2200)
    lasts_s = 1800 if start_s > CROWD_S else 40
    words = [f"60 {start_s} {start_s + lasts_s} 30 slide movable"]
    if dice.random() < 0.4:
        words.append(f"20 {start_s} {start_s + lasts_s} 30 slide movable")
    # What slides may begin so late that it lasts as long as the second one, and no later.
    for early_s in (0, lasts_s)[: dice.choice((1, 2, 2))]:
        from_s = start_s + early_s
        words.append(f"{100 * world.middle - 30} {from_s} {from_s + lasts_s} 30")
    return [
        Item("reserve", who, first_ms + i * pause_ms, number=number + i, word=word)
        for i, word in enumerate(words)
    ]


def begun(dice: Random, world: World, number: int) -> list[Item]:
    """Often a volume that has begun, or a circuit, and some that want later what it has."""
    if world.middle == 1 or world.expiring or dice.random() < 0.3:
        return []
    who = dice.choice(world.instances)
    early_ms, late_ms = dice.randint(50, 200), dice.randint(1500, 6000)
    bend = dice.choice((" volume", " volume", ""))
    first = f"60 {dice.choice((1, 5, 20))} {dice.choice((300, 600))} 30{bend} movable"
    wants = f"{dice.choice((50, 80, 100))} {dice.choice((60, 120))} 240 30 via"
    items = [
        Item("reserve", who, early_ms, number=number, word=first),
        Item("reserve", who, late_ms, number=number + 1, word=wants),
    ]
    if world.last_s:
        wants = f"{dice.choice((30, 50))} 120 240 30 via"
        items.append(Item("reserve", who, 2 * CALM_MS, number=number + 2, word=wants))
    return items


def hardy(dice: Random, world: World, number: int) -> list[Item]:
    """Sometimes what is to survive losses, and may be changed."""
    if world.middle == 1 or dice.random() < 0.6:
        return []
    who, at_ms = dice.choice(world.instances), dice.randint(100, 6000)
    start_s = 3 * CROWD_S
    word = f"{dice.choice((20, 60, 90))} {start_s} {start_s + 3600} 30 survive"
    items = [Item("reserve", who, at_ms, number=number, word=word)]
    if dice.random() < 0.4:
        later_ms = at_ms + dice.randint(200, 3000)
        items.append(Item("modify", who, later_ms, number=number, word=str(dice.choice((30, 70)))))
    return items


def soon(dice: Random, world: World, number: int) -> list[Item]:
    """Where the world goes on: what begins when faults are over, and migrates or is moved then."""
    if not world.last_s:
        return []
    items: list[Item] = []
    for each in range(number, number + dice.randint(2, 3)):
        who, at_ms = dice.choice(world.instances), dice.randint(100, 6000)
        start_s, end_s = dice.choice((30, 50, 70)), dice.choice((180, 210, 240))
        more = dice.choice(("", "", " movable", " volume movable", " volume", " slide"))
        word = f"{dice.choice((20, 40, 60))} {start_s} {end_s} 30{more}"
        items.append(Item("reserve", who, at_ms, number=each, word=word))
        if not more and dice.random() < 0.7:
            away = f"m{dice.randint(1, world.middle)} {dice.randint(start_s + 31, end_s - 31)}"
            later_ms = at_ms + dice.randint(200, 4000)
            items.append(Item("migrate", who, later_ms, number=each, word=away))
    return items


def takers(dice: Random, world: World, number: int) -> list[Item]:
    """Sometimes one that is too large, and one or two who take the same of what would do."""
    if dice.random() < 0.6:
        return []
    who, at_ms = dice.choice(world.instances), dice.randint(100, 4000)
    start_s = 4 * CROWD_S
    word = f"{150 * world.middle} {start_s} {start_s + 1800} 30"
    items = [Item("reserve", who, at_ms, number=number, word=word)]
    again = "ab" if who in "ab" else who
    for each in range(dice.choice((1, 2, 2))):
        later_ms = at_ms + dice.randint(100, 3000)
        taker = Item("accept", dice.choice(again), later_ms, number=number + 1 + each)
        items.append(replace(taker, word=str(number)))
    return items


def migrations(dice: Random, world: World, requests: Iterable[Item]) -> list[Item]:
    """Of some of the reservations, at once or at a time within their windows."""
    items: list[Item] = []
    for item in requests:
        start_s, end_s = map(int, item.word.split()[1:3]) if item.kind == "reserve" else (0, 0)
        # What a crowd needs is not to be elsewhere by then.
        if not end_s or CROWD_S <= start_s < 3 * CROWD_S or dice.random() < 0.5:
            continue
        word = f"m{dice.randint(1, world.middle)}"
        if dice.random() < 0.6:
            word += f" {dice.randint(start_s, end_s)}"
        who = dice.choice("ab" if item.who in "ab" else item.who)
        later_ms = item.at_ms + dice.randint(200, 6000)
        items.append(Item("migrate", who, later_ms, number=item.number, word=word))
    return items
