"""Overlays and providers for the tests of the VNP, and its optimum by trying every placement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import networkx as nx
from hypothesis import strategies as st

from cloudnets.vnp import Ask, Lesson, TransitLink
from rdl.checking import check
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
    Resource,
    SharedResource,
)
from rdl.reading import read
from rdl.units import Amount, Unit

G, MBPS = 10**9, 10**6
Ways = Mapping[str, Mapping[str, float]]
CPU, MEMORY, BANDWIDTH = "/resource/cpu", "/resource/memory", "/resource/bandwidth"


def overlay(elements: str, interfaces: str = "", more: str = "") -> Graph:
    """The overlay graph ``g`` with these lines below ``elements`` and ``interfaces``."""
    text = f"rdl: 1\nname: g\nlayer: overlay\nelements:\n{elements}\n"
    if interfaces:
        text += f"interfaces:\n{interfaces}\n"
    return read(text + more).graph


def told(name: str, cores: int, memory_gib: int = 64, features: tuple[Feature, ...] = ()) -> Graph:
    """An aggregate."""
    resources = (
        Resource(CPU, Amount(1000 * cores, Unit.COMPUTE_MCORES)),
        Resource(MEMORY, Amount(memory_gib << 30, Unit.DATA_BYTES)),
    )
    node = NetworkElement(name, "/node/host/pip", resources, features)
    return Graph(name, Layer.UNDERLAY, (node,))


def node(name: str, cores: int, shares: tuple[str, ...] = ()) -> NetworkElement:
    cpu = Resource(CPU, Amount(1000 * cores, Unit.COMPUTE_MCORES))
    return NetworkElement(name, "/node/host/generic", (cpu,), (), shares)


def link(
    name: str, a: str, b: str, mbps: int, latency_us: int | None = None
) -> tuple[NetworkElement, tuple[NetworkInterface, NetworkInterface]]:
    bandwidth = Resource(BANDWIDTH, Amount(mbps * MBPS, Unit.BANDWIDTH_BPS))
    latency: tuple[Feature, ...] = ()
    if latency_us is not None:
        latency = (Feature("/feature/latency", Amount(latency_us, Unit.DURATION_US)),)
    element = NetworkElement(name, "/link/generic", (bandwidth,), latency)
    first = NetworkInterface(f"{name}-0", "/interface/generic", (name, a))
    return element, (first, NetworkInterface(f"{name}-1", "/interface/generic", (name, b)))


@st.composite
def relations(draw: st.DrawFn, nodes: list[str]) -> tuple[Relation, ...]:
    """About where nodes are."""
    found = []
    for number in range(draw(st.integers(0, 2))):
        members = tuple(draw(st.sets(st.sampled_from(nodes), min_size=2, max_size=3)))
        kind, of = draw(
            st.sampled_from(
                (
                    (RelationKind.SAME, "/node/host/pip"),
                    (RelationKind.SAME, "/node/host"),
                    (RelationKind.DIFFERENT, "/node/host"),
                    (RelationKind.DIFFERENT, "/node/host/pip"),
                )
            )
        )
        found.append(Relation(f"r{number}", kind, of, members))
    return tuple(found)


@st.composite
def prices_told(draw: st.DrawFn) -> tuple[Feature, ...]:
    """Of a core and of a GiB, in the order of what a circuit counts; or of one, or none."""
    prices = st.sampled_from((None, 0, 90, 400, 1500))
    drawn = {"cpu": draw(prices), "memory": draw(prices)}
    return tuple(
        Feature(f"/feature/price/{kind}", Amount(micros, Unit.PRICE_MICROS))
        for kind, micros in drawn.items()
        if micros is not None
    )


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Two to four VNodes, two or three providers, transit with room for everything."""
    names = [f"v{i}" for i in range(draw(st.integers(2, 4)))]
    pool = draw(st.sets(st.sampled_from(names), max_size=2))
    nodes = [node(name, draw(st.integers(1, 4)), ("pool",) * (name in pool)) for name in names]
    links = list[NetworkElement]()
    interfaces = list[NetworkInterface]()
    pairs = [(a, b) for i, b in enumerate(names) for a in names[:i]]
    for number, (a, b) in enumerate(draw(st.lists(st.sampled_from(pairs), max_size=4))):
        latency = draw(st.sampled_from((None, None, 2, 4)))
        element, joints = link(f"l{number}", a, b, draw(st.integers(1, 5)) * 100, latency)
        links.append(element)
        interfaces += joints
    shared = (SharedResource("pool", MEMORY, Amount(4 << 30, Unit.DATA_BYTES)),) if pool else ()
    graph = Graph("g", Layer.OVERLAY, (*nodes, *links), tuple(interfaces), shared)
    related = Graph(
        "g", Layer.OVERLAY, graph.elements, graph.interfaces, shared, draw(relations(names))
    )
    graph = graph if check(related) else related
    pips = [f"p{i}" for i in range(draw(st.integers(2, 3)))]
    aggregates = {
        p: told(p, draw(st.integers(1, 9)), draw(st.integers(2, 8)), draw(prices_told()))
        for p in pips
    }
    ends = [(p, "wan") for p in pips] + draw(st.lists(st.just((pips[0], pips[1])), max_size=1))
    transit = tuple(
        TransitLink(a, b, 100 * G, draw(st.integers(1, 3)), draw(st.integers(0, 2)))
        for a, b in ends
    )
    lessons = st.builds(
        Lesson, st.sampled_from(pips), st.sets(st.sampled_from(names), min_size=1).map(frozenset)
    )
    between = st.sampled_from([(a, b) for a in pips for b in pips if a < b])
    return Ask(
        graph,
        aggregates,
        transit,
        placing=draw(st.dictionaries(st.sampled_from(names), st.sampled_from(pips), max_size=1)),
        lessons=tuple(draw(st.lists(lessons, max_size=3))),
        pair_caps=draw(st.dictionaries(between, st.integers(0, 8).map(lambda n: n * 10**8))),
    )


def ends_of(graph: Graph) -> dict[str, tuple[str, str]]:
    """The two nodes of each link."""
    found: dict[str, list[str]] = {}
    for interface in graph.interfaces:
        link_id = next(n for n in interface.joins if n.startswith("l"))
        found.setdefault(link_id, []).append(interface.other(link_id))
    return {name: (some[0], some[1]) for name, some in found.items()}


def placements(ask: Ask) -> Iterator[tuple[dict[str, str], float]]:
    """Every placement that is possible, and its price in Mb/s: written anew, from what is asked."""
    names = [each.id for each in ask.graph.nodes]
    ways: nx.Graph[str] = nx.Graph()
    ways.add_nodes_from(ask.pips)
    for each in ask.links:
        price = 1 + each.price
        before = ways.get_edge_data(each.a, each.b)
        price = min(price, before["price"]) if before else price
        quick = min(each.latency_us, before["latency"]) if before else each.latency_us
        ways.add_edge(each.a, each.b, price=price, latency=quick)
    prices = dict(nx.all_pairs_dijkstra_path_length(ways, weight="price"))
    latencies = dict(nx.all_pairs_dijkstra_path_length(ways, weight="latency"))
    for chosen in product(ask.pips, repeat=len(names)):
        placed = dict(zip(names, chosen, strict=True))
        if _allowed(ask, placed) and _carried(ask, placed, latencies):
            yield placed, _price(ask, placed, prices)


def _amount(holder: NetworkElement, kind: str) -> int:
    return sum(r.amount.value for r in holder.resources if r.attribute == kind and r.amount)


def _allowed(ask: Ask, placed: Mapping[str, str]) -> bool:
    for pip, aggregate in ask.pips.items():
        here = [each for each in ask.graph.nodes if placed[each.id] == pip]
        pools = {name for each in here for name in each.shares}
        disk = sum(each.amount.value for each in ask.graph.shared if each.id in pools)
        if sum(_amount(each, CPU) for each in here) > _amount(aggregate.nodes[0], CPU):
            return False
        if disk > _amount(aggregate.nodes[0], MEMORY):
            return False
    if any(placed[name] != pip for name, pip in ask.placing.items()):
        return False
    if any(all(placed[v] == lesson.pip for v in lesson.vnodes) for lesson in ask.lessons):
        return False
    if len({placed[each.id] for each in ask.graph.nodes if each.shares}) > 1:
        return False
    for relation in ask.graph.relations:
        places = [placed[name] for name in relation.elements]
        same = relation.kind is RelationKind.SAME and relation.of.startswith("/node/")
        if same and len(set(places)) > 1:
            return False
        apart = relation.kind is RelationKind.DIFFERENT and relation.of == "/node/host/pip"
        if apart and len(set(places)) < len(places):
            return False
    return True


def _carried(ask: Ask, placed: Mapping[str, str], latencies: Ways) -> bool:
    totals: dict[frozenset[str], int] = {}
    elements = {each.id: each for each in ask.graph.links}
    for name, (a, b) in ends_of(ask.graph).items():
        ends = placed[a], placed[b]
        if ends[0] == ends[1]:
            continue
        for feature in elements[name].features:
            assert isinstance(feature.value, Amount)
            if latencies[ends[0]][ends[1]] > feature.value.value:
                return False
        pair = frozenset(ends)
        totals[pair] = totals.get(pair, 0) + _amount(elements[name], BANDWIDTH)
    return all(totals.get(frozenset(pair), 0) <= cap for pair, cap in ask.pair_caps.items())


def _price(ask: Ask, placed: Mapping[str, str], prices: Ways) -> float:
    elements = {each.id: each for each in ask.graph.links}
    circuits = sum(
        _amount(elements[name], BANDWIDTH) / MBPS * prices[placed[a]][placed[b]]
        for name, (a, b) in ends_of(ask.graph).items()
    )
    return circuits + _price_of_vnodes(ask, placed)


def _price_of_vnodes(ask: Ask, placed: Mapping[str, str]) -> float:
    """What they cost over the least told; where nothing is told, as much as where it is dearest."""
    told_by = {pip: _told_prices(graph.nodes[0]) for pip, graph in ask.pips.items()}
    bills = [
        (CPU, _amount(each, CPU) / 1000, placed[each.id])
        for each in ask.graph.nodes
        if _amount(each, CPU)
    ]
    for shared in ask.graph.shared:
        user = next(each.id for each in ask.graph.nodes if shared.id in each.shares)
        bills.append((shared.attribute, shared.amount.value / (1 << 30), placed[user]))
    total = 0.0
    for kind, count, pip in bills:
        told_prices = [some[kind] for some in told_by.values() if kind in some]
        if told_prices:
            here = told_by[pip].get(kind, max(told_prices))
            total += count * (here - min(told_prices))
    return total


def _told_prices(aggregate: NetworkElement) -> dict[str, int]:
    return {
        f.attribute.replace("/feature/price", "/resource"): f.value.value
        for f in aggregate.features
        if f.attribute.startswith("/feature/price/") and isinstance(f.value, Amount)
    }
