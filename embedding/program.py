"""The embedding of a request as a mixed-integer program (paper 002, section 5.6; design, section
7).

    x[v, h] in {0, 1}   VNode v is on host h
    f[c, a] >= 0        what commodity c sends over a direction a of a link

A commodity is all VLinks of one VNode of a vertex cover of the request: flows from one host need
not be told apart, any such sum can be taken apart into a flow to each other end. Where VLinks may
not be split, this is a relaxation; :func:`embedding_program` with ``exact`` gives each such VLink
directions of its own, all or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedding.distances import Matrix
from embedding.highs import Program
from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.problem import Problem
from embedding.rules import Both, rule_rows


@dataclass(frozen=True, slots=True)
class Commodity:
    """VLinks by number with one end in common, ``source``; the other ends in the same order.

    ``arcs``: the columns of the flow over each link, along and against; ``whole``: it is not split.
    """

    source: int
    vlinks: tuple[int, ...]
    targets: tuple[int, ...]
    whole: bool
    along: Ints
    against: Ints


@dataclass(frozen=True, slots=True)
class Slack:
    """A column of an elastic program: how much more, times ``scale``, there would have to be.

    Of a resource of a host, by number, or of a link where ``resource`` is None.
    """

    column: int
    number: int
    resource: int | None
    scale: float


@dataclass(frozen=True, slots=True)
class EmbeddingProgram:
    """``x``: the column of each VNode on each host, -1 where it cannot be.

    ``unit``: the bandwidth that is 1 in the program.
    """

    program: Program
    x: Ints
    on: Ints
    peak: int
    commodities: tuple[Commodity, ...]
    unit: float
    slacks: tuple[Slack, ...]
    joined: tuple[Both, ...]

    def hosts(self, values: Floats) -> Ints:
        """Host numbers per VNode in a solution."""
        chosen = np.where(self.x >= 0, values[self.x], -1.0)
        return np.asarray(chosen.argmax(axis=1))


def embedding_program(
    problem: Problem,
    terms: Terms,
    candidates: Bools,
    least: Matrix,
    *,
    exact: bool = False,
    elastic: bool = False,
) -> EmbeddingProgram:
    """``candidates``: VNodes × hosts; ``least``: hosts × hosts, what a unit costs at least.

    ``elastic``: amounts and bandwidth may be exceeded, and nothing but that costs anything.
    """
    return _Builder(problem, terms, candidates, exact, elastic).build(least)


class _Builder:
    def __init__(
        self, problem: Problem, terms: Terms, candidates: Bools, exact: bool, elastic: bool
    ) -> None:
        self._problem, self._terms = problem, terms
        self._exact, self._elastic = exact, elastic
        self._program = Program()
        self._slacks: list[Slack] = []
        self._unit = float(problem.bandwidth.max(initial=0.0)) or 1.0
        self._x: Ints = np.full(candidates.shape, -1, np.int64)
        for v, h in zip(*np.nonzero(candidates), strict=True):
            self._x[v, h] = self._program.column(float(terms.place[v, h]), 1.0, integer=True)
        self._bandwidth = problem.bandwidth / self._unit
        self._room = np.maximum(problem.free.link, 0.0) / self._unit
        self._commodities = [self._commodity(*some) for some in self._sources()]

    def build(self, least: Matrix) -> EmbeddingProgram:
        self._places()
        self._reachable()
        self._amounts()
        for commodity in self._commodities:
            self._conserve(commodity)
            self._cut(commodity, least)
        self._links()
        on, peak = self._hosts_on(), self._peak()
        joined = rule_rows(self._problem, self._program, self._x)
        commodities = tuple(self._commodities)
        slacks = tuple(self._slacks)
        return EmbeddingProgram(
            self._program, self._x, on, peak, commodities, self._unit, slacks, joined
        )

    def _sources(self) -> list[tuple[int, list[int], bool]]:
        """VNodes of a vertex cover, the one with the most VLinks left first, and their VLinks."""
        problem = self._problem
        left = {k for k in range(len(problem.ends)) if self._bandwidth[k] > 0}
        found: list[tuple[int, list[int], bool]] = []
        if self._exact:
            whole = sorted(k for k in left if not problem.splittable[k])
            found = [(int(problem.ends[k, 0]), [k], True) for k in whole]
            left -= set(whole)
        while left:
            degree = [sum(k in left for _, k in near) for near in problem.neighbours]
            source = max(range(problem.vnodes), key=lambda v: (degree[v], -v))
            own = sorted(k for _, k in problem.neighbours[source] if k in left)
            found.append((source, own, False))
            left -= set(own)
        return found

    def _commodity(self, source: int, vlinks: list[int], whole: bool) -> Commodity:
        ends = self._problem.ends[vlinks]
        targets = tuple(int(b if a == source else a) for a, b in ends.tolist())
        amount = float(self._bandwidth[vlinks].sum())
        scale = amount if whole else 1.0
        columns = np.empty((2, len(self._room)), np.int64)
        for link, (price, room) in enumerate(zip(self._terms.link, self._room, strict=True)):
            room = amount if self._elastic else float(room)
            usable = not whole or amount <= room * (1 + 1e-9)
            upper = (1.0 if usable else 0.0) if whole else min(amount, room)
            for way in (0, 1):
                cost = float(price) * self._unit * scale
                columns[way, link] = self._program.column(cost, upper, integer=whole)
        return Commodity(source, tuple(vlinks), targets, whole, columns[0], columns[1])

    def _places(self) -> None:
        """Each VNode is on one host; VNodes that may not meet do not."""
        for row in self._x:
            columns = row[row >= 0].tolist()
            self._program.row(columns, [1.0] * len(columns), 1.0, 1.0)
        apart = self._problem.apart
        everyone = self._problem.distinct
        pairs = [] if everyone else np.argwhere(np.triu(apart)).tolist()
        for column in self._x.T:
            groups = [column] if everyone else [column[pair] for pair in pairs]
            for group in groups:
                columns = group[group >= 0].tolist()
                if len(columns) > 1:
                    self._program.row(columns, [1.0] * len(columns), upper=1.0)

    def _reachable(self) -> None:
        """VLinks that carry nothing have no commodity; their ends are where links join them."""
        piece = self._problem.network.piece[: self._x.shape[1]]
        pieces = np.unique(piece).tolist()
        idle = np.flatnonzero(self._bandwidth <= 0).tolist() if len(pieces) > 1 else []
        for k in idle:
            a, b = (self._x[v] for v in self._problem.ends[k].tolist())
            for one in pieces:
                here, there = (row[(row >= 0) & (piece == one)].tolist() for row in (a, b))
                signs = [1.0] * len(here) + [-1.0] * len(there)
                self._program.row([*here, *there], signs, 0.0, 0.0)

    def _amounts(self) -> None:
        """What VNodes need of each host is there."""
        for resource, need in enumerate(self._problem.need.T):
            for host, column in enumerate(self._x.T):
                here = (column >= 0) & (need > 0)
                room = float(self._problem.free.host[host, resource])
                if need[here].sum() > room:
                    scale = float(need.max())
                    values = (need[here] / scale).tolist()
                    columns = column[here].tolist()
                    self._limit(columns, values, max(room, 0.0), host, resource, scale)

    def _limit(
        self,
        columns: list[int],
        values: list[float],
        room: float,
        number: int,
        resource: int | None,
        scale: float,
    ) -> None:
        """No more than ``room``; more with slack, if the program is elastic."""
        if self._elastic:
            column = self._program.column(1.0)
            self._slacks.append(Slack(column, number, resource, scale))
            columns, values = [*columns, column], [*values, -1.0]
        self._program.row(columns, values, upper=room / scale)

    def _flow(self, commodity: Commodity, node: int) -> tuple[list[int], list[int]]:
        """Columns of the flow out of a node, and into it."""
        out, into = [], []
        ends = self._problem.network.ends
        for link, _ in self._problem.network.steps[node]:
            forward = int(ends[link, 0]) == node
            ways = (commodity.along[link], commodity.against[link])
            out.append(int(ways[0] if forward else ways[1]))
            into.append(int(ways[1] if forward else ways[0]))
        return out, into

    def _placed(self, host: int, vnodes: dict[int, float]) -> tuple[list[int], list[float]]:
        """Columns of VNodes on a host, times a bandwidth each."""
        if host >= self._x.shape[1]:
            return [], []
        pairs = [(int(self._x[v, host]), some) for v, some in sorted(vnodes.items()) if some]
        kept = [(column, some) for column, some in pairs if column >= 0]
        return [column for column, _ in kept], [some for _, some in kept]

    def _demand(self, commodity: Commodity) -> dict[int, float]:
        """Per VNode what arrives at it; less than 0 at the source."""
        demand: dict[int, float] = {}
        scale = float(self._bandwidth[list(commodity.vlinks)].sum()) if commodity.whole else 1.0
        for k, target in zip(commodity.vlinks, commodity.targets, strict=True):
            some = float(self._bandwidth[k]) / scale
            demand[target] = demand.get(target, 0.0) + some
            demand[commodity.source] = demand.get(commodity.source, 0.0) - some
        return demand

    def _conserve(self, commodity: Commodity) -> None:
        demand = self._demand(commodity)
        for node in range(len(self._problem.network.names)):
            out, into = self._flow(commodity, node)
            columns, values = self._placed(node, demand)
            self._program.row(
                [*into, *out, *columns],
                [1.0] * len(into) + [-1.0] * len(out) + [-some for some in values],
                0.0,
                0.0,
            )

    def _cut(self, commodity: Commodity, least: Matrix) -> None:
        """Σ flow >= demand: what arrives at a host, leaves one, and is on the way at least.

        Implied for whole placements, where VNodes do not meet; not for the fractions of a
        relaxation.
        """
        apart = self._problem.apart[commodity.source]
        if not all(apart[target] for target in commodity.targets):
            return
        demand = self._demand(commodity)
        sent = {commodity.source: -demand.pop(commodity.source)}
        for host in range(self._x.shape[1]):
            out, into = self._flow(commodity, host)
            for flow, vnodes in ((out, sent), (into, demand)):
                columns, values = self._placed(host, vnodes)
                if columns:
                    minus = [-some for some in values]
                    self._program.row([*flow, *columns], [1.0] * len(flow) + minus, 0.0)
        alone = least.astype(float)
        np.fill_diagonal(alone, np.inf)
        nearest, price = float(alone.min()), self._terms.link
        priced = price.size and price.min() > 0 and not self._elastic
        if priced and nearest < np.inf:
            columns = [*commodity.along.tolist(), *commodity.against.tolist()]
            values = [*(price / nearest).tolist()] * 2
            self._program.row(columns, values, sent[commodity.source] * (1 - 1e-6))

    def _carried(self, link: int) -> tuple[list[int], list[float]]:
        """Columns of all flow over a link, and how much each is."""
        columns, values = [], []
        for some in self._commodities:
            scale = float(self._bandwidth[list(some.vlinks)].sum()) if some.whole else 1.0
            columns += [int(some.along[link]), int(some.against[link])]
            values += [scale, scale]
        return columns, values

    def _links(self) -> None:
        for link, room in enumerate(self._room.tolist()):
            if self._commodities:
                columns, values = self._carried(link)
                room_bandwidth = room * self._unit
                self._limit(columns, values, room_bandwidth, link, None, self._unit)

    def _hosts_on(self) -> Ints:
        on: Ints = np.full(self._x.shape[1], -1, np.int64)
        for host, price in enumerate(self._terms.on.tolist()):
            columns = [int(column) for column in self._x[:, host] if column >= 0]
            if price > 0 and columns:
                on[host] = self._program.column(price, 1.0)
                for column in columns:
                    self._program.row([int(on[host]), column], [1.0, -1.0], 0.0)
        return on

    def _peak(self) -> int:
        """The largest share taken, where the objective asks for it; its column, or -1."""
        problem, terms = self._problem, self._terms
        if not terms.peak:
            return -1
        peak = self._program.column(terms.peak)
        capacity = problem.network.capacity
        for host, column in enumerate(self._x.T):
            here = column >= 0
            for resource, whole in enumerate(capacity.host[host].tolist()):
                if whole > 0:
                    values = (-problem.need[here, resource] / whole).tolist()
                    taken = float(problem.used_share[host, resource])
                    self._program.row([peak, *column[here].tolist()], [1.0, *values], taken)
        for link, whole in enumerate(capacity.link.tolist()):
            if whole > 0:
                columns, carried = self._carried(link)
                values = [-some * self._unit / whole for some in carried]
                taken = float(problem.used_link_share[link])
                self._program.row([peak, *columns], [1.0, *values], taken)
        return peak
