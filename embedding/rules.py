"""What placements must keep beside amounts and links: what hosts have refused, what is too far.

Such rules are learnt of hosts whose inside is not known: a provider tells sums, and refuses later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embedding.highs import Program
from embedding.network import Bools, Floats, Ints

if TYPE_CHECKING:
    from embedding.problem import Problem

ROUNDING = 1e-6
"""Of a cap: what sums of shares of units may go wrong by."""


@dataclass(frozen=True, slots=True)
class Rules:
    """By names. Of hosts and VNodes that are not there nothing is demanded.

    ``refused``: a host and VNodes that are never all there. ``barred``: per VLink hosts × hosts,
    where its ``a`` and ``b`` may not be. ``caps``: what all VLinks between two hosts together may
    ask for.
    """

    refused: tuple[tuple[str, frozenset[str]], ...] = ()
    barred: Mapping[str, Bools] = field(default_factory=dict)
    caps: Mapping[tuple[str, str], float] = field(default_factory=dict)


class Refused(NamedTuple):
    """VNodes by number that are never all on this host."""

    host: int
    vnodes: tuple[int, ...]


class Cap(NamedTuple):
    """What all VLinks between two hosts may ask for."""

    a: int
    b: int
    bandwidth: float


class Numbered:
    """Rules by number. ``barred``: VLinks × hosts × hosts, or None where nothing is."""

    def __init__(self, problem: Problem, rules: Rules) -> None:
        network, request = problem.network, problem.request
        vnodes = {vnode.name: i for i, vnode in enumerate(request.vnodes)}
        hosts = {name: i for i, name in enumerate(network.names[: network.hosts])}
        self.refused = tuple(
            Refused(hosts[host], tuple(sorted(vnodes[name] for name in names)))
            for host, names in rules.refused
            if host in hosts and names and names <= vnodes.keys()
        )
        self.caps = tuple(
            Cap(hosts[a], hosts[b], bandwidth)
            for (a, b), bandwidth in rules.caps.items()
            if a in hosts and b in hosts and a != b
        )
        self.barred: Bools | None = None
        if rules.barred:
            shape = (len(request.vlinks), network.hosts, network.hosts)
            self.barred = np.zeros(shape, bool)
            for k, vlink in enumerate(request.vlinks):
                if vlink.label in rules.barred:
                    self.barred[k] = rules.barred[vlink.label]

    def __bool__(self) -> bool:
        return bool(self.refused or self.caps or self.barred is not None)


def broken(problem: Problem, hosts: Sequence[int]) -> Iterator[str]:
    """Rules that a placement does not keep, one sentence each."""
    rules, names = problem.rules, problem.network.names
    vnodes, vlinks = problem.request.vnodes, problem.request.vlinks
    for refused in rules.refused:
        if all(hosts[v] == refused.host for v in refused.vnodes):
            shown = ", ".join(vnodes[v].name for v in refused.vnodes)
            yield f"{names[refused.host]} has refused {shown} together"
    ends = [(hosts[a], hosts[b]) for a, b in problem.ends.tolist()]
    if rules.barred is not None:
        for k, (a, b) in enumerate(ends):
            if rules.barred[k, a, b]:
                yield f"{vlinks[k].label} may not be between {names[a]} and {names[b]}"
    for cap in rules.caps:
        total = sum(float(problem.bandwidth[k]) for k, end in enumerate(ends) if _is(cap, end))
        if total > cap.bandwidth * (1 + ROUNDING):
            pair = f"{names[cap.a]} and {names[cap.b]}"
            yield f"between {pair}: {total - cap.bandwidth:g} too much"


def _is(cap: Cap, ends: tuple[int, int]) -> bool:
    return ends in ((cap.a, cap.b), (cap.b, cap.a))


class Both(NamedTuple):
    """A column that is 1 where two columns of the placement are."""

    column: int
    first: int
    second: int


def rule_rows(problem: Problem, program: Program, x: Ints) -> tuple[Both, ...]:
    """Adds rows for all rules to a program; ``x``: as in EmbeddingProgram."""
    for refused in problem.rules.refused:
        columns = [int(x[v, refused.host]) for v in refused.vnodes]
        if min(columns) >= 0:
            program.row(columns, [1.0] * len(columns), upper=len(columns) - 1.0)
    if problem.rules.barred is not None:
        _barred_rows(problem, program, x, problem.rules.barred)
    return tuple(both for cap in problem.rules.caps for both in _cap_rows(problem, program, x, cap))


def _barred_rows(problem: Problem, program: Program, x: Ints, barred: Bools) -> None:
    for k in np.flatnonzero(barred.any(axis=(1, 2))).tolist():
        a, b = problem.ends[k].tolist()
        for host in np.flatnonzero(x[a] >= 0).tolist():
            there = x[b][barred[k, host] & (x[b] >= 0)].tolist()
            if there:
                program.row([int(x[a, host]), *there], [1.0] * (1 + len(there)), upper=1.0)


def _cap_rows(problem: Problem, program: Program, x: Ints, cap: Cap) -> Iterator[Both]:
    joined: list[Both] = []
    carried: list[float] = []
    unit = max(float(problem.bandwidth.max(initial=0.0)), 1e-12)
    for k, (a, b) in enumerate(problem.ends.tolist()):
        for first, second in ((x[a, cap.a], x[b, cap.b]), (x[a, cap.b], x[b, cap.a])):
            if min(first, second) < 0 or problem.bandwidth[k] == 0:
                continue
            if problem.bandwidth[k] > cap.bandwidth * (1 + ROUNDING):
                program.row([int(first), int(second)], [1.0, 1.0], upper=1.0)
                continue
            both = Both(program.column(0.0, 1.0), int(first), int(second))
            program.row([*both], [1.0, -1.0, -1.0], lower=-1.0)
            joined.append(both)
            carried.append(float(problem.bandwidth[k]) / unit)
    if joined:
        program.row(
            [both.column for both in joined], carried, upper=cap.bandwidth * (1 + ROUNDING) / unit
        )
    yield from joined


def joint_values(joined: Sequence[Both], values: Floats) -> None:
    """Fills in the columns that :func:`rule_rows` added, for a placement that is known."""
    for both in joined:
        values[both.column] = min(values[both.first], values[both.second])
