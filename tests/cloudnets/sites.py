"""A provider's sites and partial graphs for tests: drawn at random, or written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from cloudnets.holding import Settled
from cloudnets.partials import Asked, read_partial
from cloudnets.underlay import Room, Underlay
from rdl.attributes import within
from rdl.codec import to_bytes
from rdl.completion import DEFAULTS
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
from substrate.model import Segment

EXAMPLES = Path(__file__).parents[2] / "docs" / "rdl"
CLOUD = "berlin:cloud"
EAST = "berlin:east"
G = 10**9
GIB = 1 << 30


def example(name: str) -> Graph:
    """A graph of docs/rdl."""
    return read((EXAMPLES / f"{name}.yaml").read_text()).graph


def berlin() -> Underlay:
    """The site of docs/rdl/berlin.yaml."""
    return Underlay(example("berlin"), {EAST: "c4500"})


def graph(layer: str, elements: str, joins: str = "", more: str = "") -> Graph:
    """``joins``: pairs such as "a-l", each an interface."""
    interfaces = "".join(
        f"  i{i}: {{attribute: /interface/ethernet, joins: [{', '.join(pair.split('-'))}]}}\n"
        for i, pair in enumerate(joins.split())
    )
    text = f"rdl: 1\nname: g\nlayer: {layer}\nelements:\n{elements}\n"
    return read(text + (f"interfaces:\n{interfaces}" if joins else "") + more).graph


def underlay(
    elements: str, joins: str = "", more: str = "", ports: Mapping[str, str] | None = None
) -> Underlay:
    """A site of these elements."""
    return Underlay(graph("underlay", elements, joins, more), ports or {})


def asked(of: Graph, *segments: Segment) -> Asked:
    """A partial graph as the provider reads it."""
    return read_partial(to_bytes(of), segments, CLOUD, "berlin", DEFAULTS)


def overlay(elements: str, joins: str = "", more: str = "") -> Asked:
    """A partial graph of these elements, as the provider reads it."""
    return asked(graph("overlay", elements, joins, more))


def all_free(site: Underlay) -> Room:
    """Nothing is taken."""
    return site.room(site.capacities.__getitem__)


def wrong_with(site: Underlay, of: Asked, room: Room, settled: Settled) -> str:
    """Why a mapping is none, by the graphs alone; empty if it is one."""
    hosts = {vnode.id: vnode.host for vnode in settled.mapped.vnodes}
    if set(hosts) != {vnode.id for vnode in of.vnodes}:
        return f"VNodes {sorted(hosts)}"
    capacity = dict(zip([s.resource for s in site.supplies], room.supplies, strict=True))
    for name, link in site.links.items():
        capacity |= dict.fromkeys(link.resources, room.links[name])
    over = [r for r, amount in settled.taken.items() if not 0 < amount <= capacity[r]]
    if over:
        return f"too much of {over}"
    return _wrong_amounts(site, of, settled, hosts) or _wrong_ways(site, of, settled, hosts)


def _wrong_amounts(site: Underlay, of: Asked, settled: Settled, hosts: Mapping[str, str]) -> str:
    """All that is asked for is drawn, and each host can give what its VNodes need."""
    for kind in ("/resource/cpu", "/resource/memory", "/resource/disk", "/resource/disk/ssd"):
        needed: Counter[str] = Counter()
        for vnode in of.vnodes:
            for each in vnode.resources:
                if within(each.attribute, kind) and each.amount is not None:
                    needed[hosts[vnode.id]] += each.amount.value
        supplies = [s for s in site.supplies if within(s.attribute, kind)]
        drawn = sum(settled.taken.get(s.resource, 0) for s in supplies)
        if drawn < needed.total():
            return f"{drawn} of {needed.total()} {kind}"
        for host, amount in needed.items():
            here = sum(settled.taken.get(s.resource, 0) for s in supplies if host in s.hosts)
            if here < amount:
                return f"{here} of {amount} {kind} at {host}"
    return ""


def _wrong_ways(site: Underlay, of: Asked, settled: Settled, hosts: Mapping[str, str]) -> str:
    """VLinks lead from end to end, and links carry what goes over them."""
    carried: Counter[str] = Counter()
    for vlink in settled.mapped.vlinks:
        at, end = (hosts.get(name) or site.port_nodes[name] for name in vlink.ends)
        for name in vlink.links:
            ends = site.links[name].ends
            if at not in ends:
                return f"{vlink.id} jumps to {name}"
            at = ends[1] if at == ends[0] else ends[0]
            carried[name] += vlink.bandwidth_bps
        if at != end:
            return f"{vlink.id} ends at {at}, not {end}"
    for name, bandwidth_bps in carried.items():
        if any(settled.taken.get(r) != bandwidth_bps for r in site.links[name].resources):
            return f"{name} carries {bandwidth_bps}"
    vlans = [vlink.vlan for vlink in settled.mapped.vlinks]
    return "a VLAN twice" if len(set(vlans)) < len(vlans) else ""


def _quantities(cpu: int, memory: int, disk: int, kind: str) -> tuple[Resource, ...]:
    some = [
        Resource("/resource/cpu", Amount(cpu, Unit.COMPUTE_MCORES)),
        Resource("/resource/memory", Amount(memory, Unit.DATA_BYTES)),
        Resource(kind, Amount(disk, Unit.DATA_BYTES)),
    ]
    return tuple(each for each in some if each.amount is not None and each.amount.value)


def _link(name: str, a: str, b: str, bps: int) -> tuple[NetworkElement, list[NetworkInterface]]:
    amount = Resource("/resource/bandwidth", Amount(bps, Unit.BANDWIDTH_BPS))
    joints = [
        NetworkInterface(f"{name}.{i}", "/interface/ethernet", (end, name))
        for i, end in enumerate((a, b))
    ]
    return NetworkElement(name, "/link/ethernet", (amount,)), joints


KINDS = ("/resource/disk", "/resource/disk/ssd")
SSD_RARELY = (*KINDS[:1] * 5, KINDS[1])


@st.composite
def sites(draw: st.DrawFn) -> Underlay:
    """Two to four hosts at one or two switches; perhaps with a disk that some of them share."""
    count, switches = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    pool = draw(st.booleans())
    elements, interfaces = [], []
    for i in range(count):
        own = _quantities(
            draw(st.integers(4, 12)),
            draw(st.integers(4, 12)),
            draw(st.integers(0, 8)),
            draw(st.sampled_from(KINDS)),
        )
        words = tuple(draw(st.sets(st.sampled_from(("arm", "x86")), min_size=1)))
        shares = ("pool",) if pool and (i < 2 or draw(st.booleans())) else ()
        elements.append(
            NetworkElement(
                f"h{i}",
                draw(st.sampled_from(("/node/host/kvm", "/node/host/xen"))),
                own,
                (Feature("/feature/architecture", words),),
                shares,
            )
        )
        switch = f"s{draw(st.integers(0, switches - 1))}"
        link, joints = _link(f"l{i}", f"h{i}", switch, draw(st.integers(3, 12)))
        elements.append(link)
        interfaces += joints
    elements += [NetworkElement(f"s{i}", "/node/switch") for i in range(switches)]
    if switches == 2:
        link, joints = _link("trunk", "s0", "s1", draw(st.integers(3, 12)))
        elements.append(link)
        interfaces += joints
    amount = Amount(draw(st.integers(1, 12)), Unit.DATA_BYTES)
    shared = (SharedResource("pool", draw(st.sampled_from(KINDS)), amount),) if pool else ()
    site = Graph("site", Layer.UNDERLAY, tuple(elements), tuple(interfaces), shared)
    return Underlay(site, {EAST: "s0"})


@st.composite
def partials(draw: st.DrawFn) -> tuple[Graph, tuple[Segment, ...]]:
    """One to four VNodes with VLinks between some, of which some leave; perhaps with a relation."""
    names = [f"v{i}" for i in range(draw(st.integers(1, 4)))]
    elements, interfaces, segments = [], [], []
    for name in names:
        asked_for = _quantities(
            draw(st.integers(1, 3)),
            draw(st.integers(1, 3)),
            draw(st.integers(1, 2)),
            draw(st.sampled_from(SSD_RARELY)),
        )
        word = draw(st.sampled_from((None, None, "x86")))
        features = (Feature("/feature/architecture", (word,)),) if word else ()
        attribute = draw(st.sampled_from((*["/node/host/generic"] * 4, "/node/host/kvm")))
        elements.append(NetworkElement(name, attribute, asked_for, features))
    pairs = draw(st.lists(st.tuples(*[st.sampled_from([*names, "out"])] * 2), max_size=4))
    for i, (a, b) in enumerate(pairs):
        if "out" in (a, b):
            if a == b:
                continue
            bps = draw(st.integers(1, 2))
            link, joints = _link(f"w{i}", a if b == "out" else b, f"stub{i}", bps)
            vlan = 100 + i
            segments.append(Segment(f"w{i}", CLOUD, 200 + i, EAST, vlan, bps))
            elements += [
                NetworkElement(f"stub{i}", "/link/transit"),
                NetworkElement(f"pip{i}", "/node/host/pip"),
            ]
            far = NetworkInterface(f"far{i}", "/interface/generic", (f"pip{i}", f"stub{i}"))
            interfaces.append(far)
        else:
            link, joints = _link(f"w{i}", a, b, draw(st.integers(1, 3)))
        elements.append(link)
        interfaces += joints
    return (
        Graph(
            "net", Layer.OVERLAY, tuple(elements), tuple(interfaces), (), draw(_relations(names))
        ),
        tuple(segments),
    )


@st.composite
def _relations(draw: st.DrawFn, names: Sequence[str]) -> tuple[Relation, ...]:
    if len(names) < 2 or not draw(st.booleans()):
        return ()
    of = draw(st.sampled_from(("/node/host", "/feature/architecture")))
    kind = draw(st.sampled_from(RelationKind))
    return (Relation("r", kind, of, tuple(names[:2])),)
