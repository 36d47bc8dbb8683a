"""Draws what concerns CloudNets: which sites are providers, and what is asked of them.

Requests, beside those of :mod:`simulations.faults.draw`:
    cloudnet   ``word``: "START END TIMEOUT NET", times in seconds; NET: simulations.faults.nets
    remodel    ``word``: what the CloudNet is to be instead
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from simulations.faults.inside import CORES, MEMORY_GIB
from simulations.faults.nets import Net
from simulations.faults.plan import Item, World

CLOUDS = 0.4
"""How many worlds have providers."""
SOUTH = 0.3
"""How many of the worlds of which all are to do with providers have a third one."""
MOST_VNODES = 4
LATEST_MS = 6000


def clouds_of(dice: Random, world: World) -> World:
    """The world, in which some sites may be providers."""
    if dice.random() >= CLOUDS:
        return world
    count = dice.choice((1, 2, 2, len(world.sites)))
    return replace(
        world,
        clouds=tuple(sorted(dice.sample(world.sites, count))),
        hosts=dice.randint(1, 3),
        lasting=dice.random() < 0.5,
    )


def two_clouds(dice: Random, world: World) -> World:
    """The world, in which two sites are providers, or all three."""
    south = dice.random() < SOUTH
    return replace(
        world,
        south=south,
        clouds=("east", "south", "west") if south else ("east", "west"),
        hosts=dice.randint(1, 3),
        lasting=dice.random() < 0.5,
    )


def cloudnets(dice: Random, world: World, number: int) -> list[Item]:
    """Requests for CloudNets, from the ``number``-th reservation on."""
    items: list[Item] = []
    at_ms = 0
    for each in range(number, number + (dice.randint(1, 4) if world.clouds else 0)):
        at_ms = at_ms if at_ms and dice.random() < 0.4 else dice.randint(300, LATEST_MS)
        who = dice.choice(world.instances)
        net = _net(dice, world)
        word = f"{_window(dice, at_ms)} {dice.choice((5, 30))} {net}"
        items.append(Item("cloudnet", who, at_ms, number=each, word=word))
        items += _later(dice, world, items[-1], net)
    return items


def _later(dice: Random, world: World, asked: Item, net: Net) -> list[Item]:
    """Up to two changes, and a cancel."""
    items = []
    again = "ab" if asked.who in "ab" else asked.who
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        net = _changed(dice, world, net)
        later_ms = asked.at_ms + dice.randint(200, 6000)
        who = dice.choice(again)
        items.append(Item("remodel", who, later_ms, number=asked.number, word=str(net)))
    if dice.random() < 0.4:
        later_ms = asked.at_ms + dice.randint(50, 9000)
        items.append(Item("cancel", dice.choice(again), later_ms, number=asked.number))
    return items


def moved_nets(dice: Random, world: World, number: int) -> list[Item]:
    """CloudNets that run, of which VNodes are taken from provider to provider."""
    items: list[Item] = []
    if len(world.clouds) < 2:
        return items
    for each in range(number, number + dice.randint(1, 2)):
        at_ms, who = dice.randint(100, 1500), dice.choice(world.instances)
        again = "ab" if who in "ab" else who
        net = _small(dice, world)
        word = f"{at_ms // 1000 + dice.randint(1, 2)} {3600 * dice.randint(1, 3)} 5 {net}"
        items.append(Item("cloudnet", who, at_ms, number=each, word=word))
        at_ms += dice.randint(1500, 3500)
        for _ in range(dice.choice((1, 2, 2, 3))):
            net = _elsewhere(dice, world, net)
            who = dice.choice(again)
            items.append(Item("remodel", who, at_ms, number=each, word=str(net)))
            at_ms += dice.randint(100, 3000)
    return items


def snaps(dice: Random, world: World, moved: list[Item]) -> list[Item]:
    """Faults of the messages that are about what VNodes have: some for each time."""
    items = []
    askers = [item.who for item in moved if item.kind == "remodel"]
    for who in (who for who in askers for _ in range(dice.randint(1, 4))):
        ends = [who, dice.choice(world.clouds)]
        dice.shuffle(ends)
        word = dice.choice(("before", "after", "crash"))
        number = 1 + int(dice.expovariate(1 / 6))
        items.append(Item("snap", ">".join(ends), number=number, word=word))
    return items


def _small(dice: Random, world: World) -> Net:
    """One to three VNodes, each at a provider, that do not take much."""
    net = Net({}, {}, {})
    for name in "abc"[: dice.randint(1, 3)]:
        net.vnodes[name] = dice.choice((1, 2)), dice.choice((1, 2, 4))
        net.at[name] = dice.choice(world.clouds)
        for other in sorted(net.vnodes.keys() - {name}):
            if dice.random() < 0.4:
                net.vlinks[(other, name)] = dice.choice((1, 5, 10))
    return net


def _elsewhere(dice: Random, world: World, before: Net) -> Net:
    """One VNode or more at other providers; perhaps others come, go or grow with it."""
    net = _changed(dice, world, before) if dice.random() < 0.3 else before
    net = Net({**net.vnodes}, {**net.vlinks}, {**net.at})
    stayed = sorted(net.vnodes.keys() & before.vnodes.keys())
    for name in dice.sample(stayed, dice.randint(1, len(stayed))) if stayed else ():
        others = [site for site in world.clouds if site != net.at.get(name)]
        net.at[name] = dice.choice(others)
    return net


def _window(dice: Random, at_ms: int) -> str:
    """Most begin soon, so that VNodes run in the end; some end soon, too."""
    soon_s = at_ms // 1000 + dice.randint(1, 4)
    if dice.random() < 0.3:
        start_s = 3600 * dice.randint(1, 2)
        return f"{start_s} {start_s + 3600 * dice.randint(1, 2)}"
    if dice.random() < 0.3:
        return f"{soon_s} {soon_s + dice.randint(3, 20)}"
    return f"{soon_s} {3600 * dice.randint(1, 3)}"


def _net(dice: Random, world: World) -> Net:
    net = Net({}, {}, {})
    for _ in range(dice.randint(1, MOST_VNODES)):
        _add(dice, world, net)
    return net


def _add(dice: Random, world: World, net: Net) -> None:
    """One VNode more, joined with some of the others."""
    name = min(set("abcdefgh") - net.vnodes.keys())
    others = sorted(net.vnodes)
    net.vnodes[name] = _amounts(dice)
    if dice.random() < 0.35:
        net.at[name] = dice.choice(world.clouds)
    for other in others:
        if dice.random() < 0.5:
            one, two = sorted((name, other))
            net.vlinks[(one, two)] = dice.choice((1, 5, 10, 30, 50))


def _amounts(dice: Random) -> tuple[int, int]:
    return dice.choice((1, 2, 2, 4, 6, CORES)), dice.choice((1, 2, 4, 8, 12, MEMORY_GIB))


def _changed(dice: Random, world: World, before: Net) -> Net:
    """One VNode more, or less, or of another size; perhaps another place."""
    net = Net({**before.vnodes}, {**before.vlinks}, {**before.at})
    how = dice.random()
    if how < 0.35:
        _add(dice, world, net)
        return net
    name = dice.choice(sorted(net.vnodes))
    if how < 0.6 and len(net.vnodes) > 1:
        return net.without(name)
    net.vnodes[name] = _amounts(dice)
    if dice.random() < 0.25:
        net.at[name] = dice.choice(world.clouds)
    return net
