"""Why a request cannot be embedded: which resource, where, and how much is short.

First what can be counted: a VNode that fits nowhere, amounts that all hosts together lack, too few
hosts. Then the program with slack in every limit: the least that would have to be there, and where.
"""

from __future__ import annotations

import numpy as np

from embedding.answer import Shortage
from embedding.distances import distances
from embedding.highs import Verdict
from embedding.network import Bools
from embedding.objectives import terms
from embedding.pairing import crowded
from embedding.problem import Problem
from embedding.program import EmbeddingProgram, embedding_program

LEAST = 1e-6
"""Of the unit of a limit: less is noise."""
NOISE = 1e-5
"""Of an amount: what solvers may be wrong by."""


def shortages(problem: Problem, time_limit_s: float) -> tuple[Shortage, ...]:
    """What is short, for a request that cannot be embedded; nothing, if time did not suffice."""
    return counted(problem) or tuple(_elastic(problem, time_limit_s))


def counted(problem: Problem) -> tuple[Shortage, ...]:
    """What is short by counting, without a program; nothing, if it is not so easily seen."""
    found = _strange(problem) or _alone(problem) or _together(problem) or _too_few(problem)
    return tuple(found)


def _strange(problem: Problem) -> list[Shortage]:
    found = []
    for name in problem.missing:
        wanted = {v.name: v.amounts[name] for v in problem.request.vnodes if v.amounts.get(name)}
        need = sum(wanted.values())
        found.append(
            Shortage(name, "all hosts", need, f"no host has any {name}", need, tuple(wanted))
        )
    return found


def _alone(problem: Problem) -> list[Shortage]:
    """VNodes that fit on no host that they may run on: what the nearest miss lacks."""
    found = []
    for v in np.flatnonzero(~problem.fits.any(axis=1)).tolist():
        vnode = problem.request.vnodes[v]
        allowed = np.flatnonzero(problem.allowed[v])
        if not len(allowed):
            text = f"{vnode.name} may run on no host"
            found.append(Shortage("hosts", "all hosts", 1, text, 1, (vnode.name,)))
            continue
        need = np.append(problem.need[v], problem.outgoing[v])
        room = np.column_stack([problem.free.host, problem.ports])[allowed]
        short = np.maximum(need - room, 0)
        nearest = int(np.argmin((short / np.maximum(need, 1e-12)).max(axis=1)))
        where = problem.network.names[allowed[nearest]]
        names = (*problem.network.resources, "bandwidth")
        for resource in np.flatnonzero(short[nearest]).tolist():
            asked, free = float(need[resource]), float(room[nearest, resource])
            text = f"{vnode.name} needs {asked:g}; of its hosts {where} comes nearest with {free:g}"
            lacks = float(short[nearest, resource])
            found.append(Shortage(names[resource], where, lacks, text, asked, (vnode.name,)))
    return found


def _together(problem: Problem) -> list[Shortage]:
    """Amounts that all hosts that serve lack together."""
    usable = np.asarray(problem.fits.any(axis=0))
    room = np.maximum(problem.free.host[usable], 0).sum(axis=0)
    need = problem.need.sum(axis=0)
    return [
        Shortage(
            name,
            "all hosts",
            float(need[i] - room[i]),
            f"all VNodes need {need[i]:g}, and {int(usable.sum())} hosts have {room[i]:g} free",
            float(need[i]),
            _wanting(problem, problem.need[:, i] > 0),
            at=() if usable.all() else _named(problem, usable),
        )
        for i, name in enumerate(problem.network.resources)
        if need[i] > room[i] * (1 + LEAST)
    ]


def _too_few(problem: Problem) -> list[Shortage]:
    """VNodes that may not meet, and fewer hosts."""
    if not problem.distinct:
        return []
    vnodes, hosts = crowded(problem.fits)
    if not vnodes:
        return []
    names = tuple(problem.request.vnodes[v].name for v in vnodes)
    where = ", ".join(problem.network.names[host] for host in hosts)
    text = f"{', '.join(names)} may not meet, and fit on {len(hosts)} hosts only"
    return [Shortage("hosts", where, len(names) - len(hosts), text, len(names), names)]


def _elastic(problem: Problem, time_limit_s: float) -> list[Shortage]:
    """As if VLinks could be split, which is found sooner, is believed only where they can be."""
    free = terms(problem)
    far = distances(problem, problem.network.link_price)
    found: list[Shortage] = []
    for exact in (False, True) if not problem.splittable.all() else (False,):
        made = embedding_program(
            problem, free, problem.allowed, far.least, exact=exact, elastic=True
        )
        outcome = made.program.solve(0.0, max(time_limit_s, 0.0))
        time_limit_s -= outcome.seconds
        if outcome.values is None:
            return found or _unjoined(problem, outcome.verdict)
        whole = exact or bool(problem.splittable.all())
        found = _slack(problem, made, outcome.values.tolist(), whole=whole) or found
    return found


def _unjoined(problem: Problem, verdict: Verdict) -> list[Shortage]:
    """However much were free anywhere: no links join the hosts that VNodes may be on."""
    pieces = len(np.unique(problem.network.piece[: problem.network.hosts]))
    if verdict is not Verdict.INFEASIBLE or problem.rules or not len(problem.ends) or pieces < 2:
        return []
    text = f"hosts are in {pieces} parts that no link joins, and VLinks would have to"
    return [Shortage("links", "all hosts", 1, text)]


def _slack(
    problem: Problem, made: EmbeddingProgram, values: list[float], *, whole: bool
) -> list[Shortage]:
    network, found = problem.network, []
    hosts = made.hosts(np.array(values))
    for slack in made.slacks:
        short = values[slack.column]
        if short <= LEAST:
            continue
        if slack.resource is None:
            where, resource = network.substrate.links[slack.number].label, "bandwidth"
            free = float(problem.free.link[slack.number])
            over = _carried(problem, made, values, slack.number)
            who = tuple(problem.request.vlinks[k].label for k in over)
            asked = float(problem.bandwidth[list(over)].sum())
        else:
            where, resource = network.names[slack.number], network.resources[slack.resource]
            free = float(problem.free.host[slack.number, slack.resource])
            there = (hosts == slack.number) & (problem.need[:, slack.resource] > 0)
            who = _wanting(problem, there)
            asked = float(problem.need[there, slack.resource].sum())
        free = max(free, 0.0)
        amount = _exact(short * slack.scale, asked - free, asked)
        text = f"with {amount:g} more than the {free:g} free there the request would fit"
        if not whole:
            text = f"{amount:g} more than the {free:g} free there, could VLinks be split"
        found.append(Shortage(resource, where, amount, text, free + amount, who))
    return found


def _wanting(problem: Problem, which: Bools) -> tuple[str, ...]:
    return tuple(problem.request.vnodes[v].name for v in np.flatnonzero(which))


def _named(problem: Problem, hosts: Bools) -> tuple[str, ...]:
    return tuple(problem.network.names[host] for host in np.flatnonzero(hosts))


def _exact(found: float, exact: float, asked: float) -> float:
    """What was found without what a solver is wrong by: the amount that it means, if that is seen;
    else rounded."""
    seen = exact > 0 and abs(found - exact) <= NOISE * asked
    return exact if seen else float(f"{found:.6g}")


def _carried(
    problem: Problem, made: EmbeddingProgram, values: list[float], link: int
) -> tuple[int, ...]:
    """The VLinks over a link; those of one commodity are not told apart."""
    over = {
        k
        for commodity in made.commodities
        if values[commodity.along[link]] + values[commodity.against[link]] > LEAST
        for k in commodity.vlinks
    }
    return tuple(sorted(over))
