"""The pip backend with a cloud, through the book as an agent uses it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings, strategies as st

from agents.backends import open_backend
from agents.backends.base import Placement
from agents.backends.cloud import Advice, ProviderBackend
from agents.backends.conformance import check_backend
from agents.backends.hosts.port import VNodeName
from agents.backends.switch import Frame, MemorySwitch
from agents.book import Book
from cloudnets.mapped import Mapped
from protocol.messages import ReqOffers, ReservationPrep
from protocol.participant import Admitted
from rdl.codec import from_bytes, to_bytes
from rdl.reading import read
from runtime.settings import SettingsError
from substrate.calendar import Direction, Resource
from substrate.model import Refusal, RefusalKind, Segment, Window, least_bps
from substrate.values import replace

RDL = Path(__file__).parents[2] / "docs" / "rdl"
CLOUD, EAST, NORTH = "berlin:cloud", "berlin:east", "berlin:north"
G = 10**9
GIB = 1 << 30
WINDOW = Window(100, 200)


def site(**cloud: Any) -> dict[str, Any]:
    """Settings of the site of docs/rdl/berlin.yaml, with two ports at its switch."""
    ports = [
        {"name": "east", "capacity": "10G", "vlans": "100-199", "remote": "munich:west"},
        {"name": "north", "capacity": "10G", "vlans": "100-199"},
    ]
    inside = {
        "substrate": str(RDL / "berlin.yaml"),
        "port_nodes": {"east": "c4500", "north": "c4500"},
    }
    return {"domain": "berlin", "backend": "pip", "ports": ports, "cloud": inside | cloud}


def backend(**cloud: Any) -> ProviderBackend:
    made = open_backend(site(**cloud))
    assert isinstance(made, ProviderBackend)
    return made


def pair(vlan: int = 120, cpu: str = "2 cores", memory: str = "4 GiB") -> bytes:
    """The graph of docs/rdl/pair-at-berlin.yaml."""
    text = (RDL / "pair-at-berlin.yaml").read_text().replace("'120'", f"'{vlan}'")
    return to_bytes(read(text.replace("2 cores", cpu).replace("4 GiB", memory)).graph)


def vnodes(*cpu: int, joined: bool = True) -> bytes:
    """A line of VNodes with so many mcores, or some without VLinks."""
    lines = [
        f"  v{i}: {{attribute: /node/host/generic, resources: {{/resource/cpu: {n} mcores,"
        " /resource/memory: 100 MiB}}"
        for i, n in enumerate(cpu)
    ]
    joints = []
    for i in range(1, len(cpu) if joined else 0):
        lines.append(f"  w{i}: {{attribute: /link/generic}}")
        for node in (i - 1, i):
            joints.append(
                f"  v{node}w{i}: {{attribute: /interface/ethernet, joins: [v{node}, w{i}]}}"
            )
    text = "rdl: 1\nname: line\nlayer: overlay\nelements:\n" + "\n".join(lines)
    return to_bytes(read(text + ("\ninterfaces:\n" + "\n".join(joints) if joints else "")).graph)


def wire(vlan: int = 250, outer: int = 120, bps: int = G) -> Segment:
    return Segment("wire", CLOUD, vlan, EAST, outer, bps)


def prep(
    number: int,
    graph: bytes,
    *segments: Segment,
    window: Window = WINDOW,
    of: str = "",
    version: int = 1,
) -> ReservationPrep:
    reservation = of or f"r{number}"
    return ReservationPrep(
        f"t{number}", "p", reservation, version, segments, window, "o", 0, graph=graph
    )


def held(outcome: Admitted | Refusal) -> Placement:
    assert isinstance(outcome, Admitted), outcome
    return Placement.from_json(outcome.mapping)


def mapped(outcome: Admitted | Refusal) -> Mapped:
    return Mapped.from_json(held(outcome).detail)


def refused(outcome: Admitted | Refusal, kind: RefusalKind) -> str:
    assert isinstance(outcome, Refusal), outcome
    assert outcome.kind is kind
    return outcome.reason


async def test_it_passes_the_conformance_checks() -> None:
    await check_backend(backend())


def test_it_describes_a_port_for_what_is_inside_with_the_vlans_that_all_links_take() -> None:
    domain = backend().describe()
    assert domain.cloud_stp == CLOUD
    port = domain.port(CLOUD)
    assert port is not None
    assert (port.remote_stp, str(port.vlans)) == (None, "200-299")
    assert port.capacity_bps >= sum(p.capacity_bps for p in domain.ports[:-1])


def test_the_example_is_held_with_hosts_links_port_and_labels() -> None:
    placement = held(Book(backend()).admit(prep(1, pair(), wire())))
    amounts = {claim.resource: claim.bandwidth_bps for claim in placement.claims}
    both = {Resource(name, d): G for name in (EAST, "port-1") for d in Direction}
    assert amounts == both | {
        Resource("shared nfs/resource/disk", Direction.IN): 20 * G,
        Resource("sn111/resource/cpu", Direction.IN): 2000,
        Resource("sn111/resource/memory", Direction.IN): 4 * GIB,
    }
    assert placement.labels == ((CLOUD, 250), (EAST, 120))
    assert Mapped.from_json(placement.detail).vnodes[0].host == "sn111"


def test_what_is_full_is_refused_and_free_again_at_another_time() -> None:
    book = Book(backend())
    for i in range(3):
        held(book.admit(prep(i, pair(120 + i), wire(250 + i, 120 + i))))
    reason = refused(book.admit(prep(3, pair(123), wire(253, 123))), RefusalKind.RESOURCE)
    assert reason == (
        "4 GiB of /resource/memory short at all hosts together: 4 GiB asked for, 0 B free"
    )
    held(book.admit(prep(4, pair(123), wire(253, 123), window=Window(200, 300))))


def test_two_backends_of_the_same_settings_share_what_they_read_and_nothing_that_is_held() -> None:
    first, second = backend(), backend()
    assert first.underlay is second.underlay
    one, other = Book(first), Book(second)
    for i in range(3):
        held(one.admit(prep(i, pair(120 + i), wire(250 + i, 120 + i))))
    refused(one.admit(prep(3, pair(123), wire(253, 123))), RefusalKind.RESOURCE)
    held(other.admit(prep(3, pair(123), wire(253, 123))))


def test_a_substrate_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "inside.yaml"
    file.write_text((RDL / "berlin.yaml").read_text())
    before = backend(substrate=str(file)).underlay
    file.write_text(file.read_text() + "\n")
    assert backend(substrate=str(file)).underlay.capacities == before.capacities
    file.write_text("rdl: 1\nname: none\nlayer: underlay\n")
    with pytest.raises(SettingsError, match="elements"):
        backend(substrate=str(file))


Step = tuple[int, tuple[int, ...], int, int]
steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.lists(st.integers(100, 5000), min_size=1, max_size=3).map(tuple),
        st.integers(0, 8),
        st.integers(1, 4),
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_nothing_is_over_its_capacity_at_any_instant_whatever_comes(some: list[Step]) -> None:
    made = backend()
    book, live = Book(made), dict[str, list[tuple[Window, Placement, str]]]()
    for number, (whose, cpu, start, length) in enumerate(some):
        window = Window(start, start + length)
        part = prep(number, vnodes(*cpu), window=window, of=f"r{whose}", version=number + 1)
        outcome = book.admit(part)
        if isinstance(outcome, Admitted):
            found = live.setdefault(f"r{whose}", [])
            found.append((window, held(outcome), f"t{number}"))
            if number % 3 == 2:
                book.free(found.pop(0)[2], "p")
    for at in range(12):
        taken: Counter[Resource] = Counter()
        vlans: Counter[tuple[str, int]] = Counter()
        for parts in live.values():
            now = [
                placement for window, placement, _ in parts if window.start_s <= at < window.end_s
            ]
            most: Counter[Resource] = Counter()
            for placement in now:
                most |= Counter({c.resource: c.bandwidth_bps for c in placement.claims})
                own = [v.vlan for v in Mapped.from_json(placement.detail).vlinks]
                assert len(set(own)) == len(own)
            taken += most
            vlans.update({label for placement in now for label in placement.labels})
        assert all(taken[r] <= most_of for r, most_of in made.capacities().items())
        assert set(vlans.values()) <= {1}, "a VLAN is two reservations' at once"
    for parts in live.values():
        for _, _, transaction in parts:
            book.free(transaction, "p")
    assert book.is_empty()


def test_a_vnode_grows_in_place_though_the_host_has_no_room_for_both_versions() -> None:
    book = Book(backend())
    before = mapped(book.admit(prep(1, pair(cpu="5 cores"), wire(), of="r")))
    after = mapped(book.admit(prep(2, pair(cpu="8 cores"), wire(), of="r", version=2)))
    assert after.vnodes[0].host == before.vnodes[0].host
    assert (before.vnodes[0].mcores, after.vnodes[0].mcores) == (5000, 8000)
    book.free("t1", "p")
    book.free("t2", "p")
    assert book.is_empty()


def test_vnodes_are_added_to_a_cloudnet_beside_those_that_stay() -> None:
    book = Book(backend())
    before = mapped(book.admit(prep(1, vnodes(3000, 3000), of="r")))
    after = mapped(book.admit(prep(2, vnodes(3000, 3000, 3000), of="r", version=2)))
    hosts = {v.id: v.host for v in after.vnodes}
    assert {v.id: v.host for v in before.vnodes}.items() <= hosts.items()
    vlans = {v.id: v.vlan for v in after.vlinks}
    assert {v.id: v.vlan for v in before.vlinks}.items() <= vlans.items()


def test_after_a_restart_the_same_is_held() -> None:
    first = Book(backend())
    part = prep(1, pair(), wire())
    outcome = first.admit(part)
    assert isinstance(outcome, Admitted)
    again = Book(backend())
    again.restore(part, outcome.mapping)
    taken = Resource("sn111/resource/cpu", Direction.IN)
    assert again.calendar.free_bps(taken, WINDOW) == 6000
    assert 250 not in again.free_vlans(CLOUD, WINDOW, "other")


def test_a_segment_that_passes_through_is_carried_beside_a_graph_and_switched() -> None:
    made = backend()
    through = Segment("other", NORTH, 150, EAST, 160, G)
    placement = held(Book(made).admit(prep(1, pair(), wire(), through)))
    assert isinstance(made.switch, MemorySwitch)
    asyncio.run(made.provision("k", placement))
    assert made.switch.forward(Frame(NORTH, 150, "a", "b", 1, 2)) == (EAST, 160)
    assert made.switch.forward(Frame(EAST, 160, "b", "a", 2, 1)) == (NORTH, 150)
    assert {str(rule) for rule in made.switch.rules()} < set(made.rules(placement))
    asyncio.run(made.withdraw("k", placement))
    assert made.switch.rules() == ()


def test_what_passes_is_switched_as_the_version_says_that_was_provisioned_last() -> None:
    """The version before stands by with its VNodes, and what passes as it says where they differ
    only."""
    made = backend()
    assert isinstance(made.switch, MemorySwitch)
    book = Book(made)
    through = Segment("one", NORTH, 150, EAST, 160, G)
    leads = [
        (through, Segment("two", NORTH, 151, EAST, 161, G)),
        (through, Segment("three", NORTH, 152, EAST, 161, G)),
    ]
    old, new = (
        held(book.admit(prep(i, pair(), wire(), *some, of="r1", version=i)))
        for i, some in enumerate(leads, start=1)
    )

    def goes(vlan: int) -> tuple[str, int] | None:
        assert isinstance(made.switch, MemorySwitch)
        return made.switch.forward(Frame(NORTH, vlan, "a", "b", 1, 2))

    asyncio.run(made.provision("t1/p", old))
    asyncio.run(made.provision("t2/p", new))
    assert [goes(vlan) for vlan in (150, 151, 152)] == [(EAST, 160), (EAST, 161), (EAST, 161)]
    back = Frame(EAST, 161, "b", "a", 2, 1)
    assert made.switch.forward(back) == (NORTH, 152)
    asyncio.run(made.provision("t1/p", old))
    assert made.switch.forward(back) == (NORTH, 151)
    asyncio.run(made.withdraw("t2/p", new))
    assert [goes(vlan) for vlan in (150, 151, 152)] == [(EAST, 160), (EAST, 161), None]
    asyncio.run(made.withdraw("t1/p", old))
    assert made.switch.rules() == ()


class Embedder:
    """Notes what it is told to make."""

    def __init__(self) -> None:
        self.made: dict[str, Placement] = {}
        self.at: dict[VNodeName, str] = {}

    async def provision(self, key: str, placement: Placement) -> None:
        self.made[key] = placement

    async def withdraw(self, key: str, placement: Placement) -> None:
        self.made.pop(key)

    def stands_by(self, key: str, placement: Placement) -> None:
        self.made[key] = placement

    def rules(self, placement: Placement) -> tuple[str, ...]:
        return ("made",)

    def carries(self, host: str) -> bool:
        return False

    async def look(self) -> None:
        return

    def whereabouts(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        return {name: self.at[name] for name in names if name in self.at}


def test_an_embedder_makes_what_has_a_graph_and_nothing_else() -> None:
    made, embedder = backend(), Embedder()
    made.embedder = embedder
    book = Book(made)
    with_graph = held(book.admit(prep(1, pair(), wire())))
    without = held(book.admit(prep(2, b"", Segment("s", NORTH, 151, EAST, 151, G))))
    for key, placement in (("g", with_graph), ("s", without)):
        asyncio.run(made.provision(key, placement))
    assert embedder.made == {"g": with_graph}
    assert made.rules(with_graph) == ("made",)
    assert len(made.rules(without)) == 2
    for key, placement in (("g", with_graph), ("s", without)):
        asyncio.run(made.withdraw(key, placement))
    assert embedder.made == {}


def test_without_a_graph_nothing_reaches_the_hosts() -> None:
    reason = refused(Book(backend()).admit(prep(1, b"", wire())), RefusalKind.TOPOLOGY)
    assert reason == "berlin:cloud is reached by CloudNets only"


def test_what_does_not_fit_the_port_is_refused_there() -> None:
    outcome = Book(backend()).admit(prep(1, pair(), wire(bps=11 * G)))
    assert EAST in refused(outcome, RefusalKind.BANDWIDTH)


def test_two_vlinks_that_leave_on_one_vlan_inside_are_refused() -> None:
    text = """rdl: 1
name: two
layer: overlay
elements:
  a: {attribute: /node/host}
  w1: {attribute: /link/generic}
  w2: {attribute: /link/generic}
  t1: {attribute: /link/transit}
  t2: {attribute: /link/transit}
  p: {attribute: /node/host/pip}
interfaces:
"""
    pairs = ("a, w1", "a, w2", "w1, t1", "w2, t2", "t1, p", "t2, p")
    text += "".join(
        f"  i{i}: {{attribute: /interface/ethernet, joins: [{pair}]}}\n"
        for i, pair in enumerate(pairs)
    )
    graph = to_bytes(read(text).graph)
    segments = [Segment(f"w{i}", CLOUD, 250, EAST, 120 + i, 1000) for i in (1, 2)]
    outcome = Book(backend()).admit(prep(1, graph, *segments))
    refused(outcome, RefusalKind.LABEL)
    segments[1] = replace(segments[1], ingress_vlan=251)
    held(Book(backend()).admit(prep(1, graph, *segments)))


@pytest.mark.parametrize("graph", [b"\xff", b"\x0a\x01a", pair().replace(b"wire", b"wir/")])
def test_what_is_no_graph_is_refused_and_raises_nothing(graph: bytes) -> None:
    made = backend()
    book = Book(made)
    refused(book.admit(prep(1, graph, wire())), RefusalKind.TOPOLOGY)
    partial, free = book.partial(prep(1, graph, wire()))
    advice = asyncio.run(made.consult(partial, free))
    refused(book.admit(prep(2, graph, wire()), advice), RefusalKind.TOPOLOGY)
    assert book.is_empty()


def test_offers_between_hosts_and_ports_are_limited_by_the_port_and_the_links_there() -> None:
    book = Book(backend())
    request = ReqOffers("q", WINDOW, ((CLOUD, EAST), (EAST, NORTH), (NORTH, CLOUD)), 1)
    rates = {
        (o.ingress_stp, o.egress_stp): least_bps(o.profile) for o in book.offers(request, 0).offers
    }
    assert rates == {(CLOUD, EAST): 3 * G, (EAST, NORTH): 10 * G, (NORTH, CLOUD): 3 * G}
    held(book.admit(prep(1, pair(), wire())))
    rates = {
        (o.ingress_stp, o.egress_stp): least_bps(o.profile) for o in book.offers(request, 0).offers
    }
    assert rates == {(CLOUD, EAST): 2 * G, (EAST, NORTH): 9 * G, (NORTH, CLOUD): 2 * G}


def test_the_aggregate_tells_sums_of_what_is_free_in_the_window() -> None:
    book = Book(backend())
    held(book.admit(prep(1, pair(), wire())))
    cpu = {}
    for window in (WINDOW, Window(200, 300)):
        request = ReqOffers("q", window, (), 1, aggregate=True)
        told = from_bytes(book.offers(request, 0).aggregate)
        (pip,) = (e for e in told.elements if e.id == "berlin")
        cpu[window] = [r.amount.value for r in pip.resources if r.amount and "cpu" in r.attribute]
    assert cpu == {WINDOW: [18_000], Window(200, 300): [20_000]}


@pytest.mark.parametrize("visible", [True, False])
def test_of_single_hosts_only_a_visible_provider_tells_the_largest_and_kinds(visible: bool) -> None:
    book = Book(open_backend({**site(), "visible": visible}))
    request = ReqOffers("q", WINDOW, (), 1, aggregate=True)
    told = from_bytes(book.offers(request, 0).aggregate)
    (pip,) = (e for e in told.elements if e.id == "berlin")
    of_hosts = {
        f.attribute for f in pip.features if f.attribute.split("/")[2] in ("kind", "largest")
    }
    assert of_hosts == (
        {"/feature/kind", *(f"/feature/largest/{each}" for each in ("cpu", "disk", "memory"))}
        if visible
        else set()
    )
    assert {r.attribute for r in pip.resources} >= {"/resource/cpu", "/resource/memory"}


async def test_advice_is_taken_and_where_it_no_longer_fits_thought_anew() -> None:
    made = backend(objective="energy")
    book = Book(made)
    part = prep(1, pair(), wire())
    partial, free = book.partial(part)
    advice = await made.consult(partial, free)
    assert isinstance(advice, Advice)
    assert advice.found is not None
    host = advice.found.hosts["left"]
    assert mapped(Book(made).admit(part, advice)).vnodes[0].host == host
    held(book.admit(prep(2, pair(121), wire(251, 121))))
    assert mapped(book.admit(part, advice)).vnodes[0].host != host


async def test_advice_for_another_part_is_not_taken() -> None:
    made = backend()
    book = Book(made)
    partial, free = book.partial(prep(1, pair(), wire()))
    advice = await made.consult(partial, free)
    other = mapped(book.admit(prep(1, pair(cpu="3 cores"), wire()), advice))
    assert other.vnodes[0].mcores == 3000


def test_what_hosts_have_is_recalled_there_while_it_can_stay() -> None:
    made = backend(objective="energy")
    book, part = Book(made), prep(1, vnodes(1000, 1000))
    assert made.recall(*book.partial(part)) is None
    cheapest = mapped(book.admit(part)).vnodes[0].host
    elsewhere = next(h for h in made.underlay.hosts if h != cheapest)
    made.embedder = memory = Embedder()
    memory.at = {VNodeName("r1", "v0"): elsewhere, VNodeName("r1", "v1"): "a host that is no more"}
    advice = made.recall(*Book(made).partial(part))
    hosts = {v.id: v.host for v in mapped(Book(made).admit(part, advice)).vnodes}
    assert hosts["v0"] == elsewhere
    assert hosts["v1"] in made.underlay.hosts
    assert made.recall(*Book(made).partial(prep(1, vnodes(1000, 999_000)))) is None


async def test_how_good_a_mapping_is_stands_in_the_log() -> None:
    made = backend()
    book = Book(made)
    part = prep(1, pair(), wire())
    with structlog.testing.capture_logs() as logs:
        advice = await made.consult(*book.partial(part))
        held(book.admit(part, advice))
        await made.consult(*book.partial(replace(part, transaction_id="t2", version=2)))
    first, second = (entry for entry in logs if entry["event"] == "mapped")
    assert (first["reservation"], first["version"], first["sought"]) == ("r1", 1, "load")
    assert (first["status"], first["scope"]) == ("optimal", "whole")
    assert 0 < first["bound"] <= first["objective"]
    assert first["gap"] <= 0.01
    # What is there already stays: of other hosts nothing was looked at.
    assert (second["version"], second["scope"]) == (2, "present")


async def test_the_program_tells_what_is_short_where_the_first_stage_cannot() -> None:
    made = backend()
    book = Book(made)
    part = prep(1, pair(), wire(bps=2 * G))
    assert "hosts and links cannot take and carry it" in refused(
        book.admit(part), RefusalKind.RESOURCE
    )
    partial, free = book.partial(part)
    advice = await made.consult(partial, free)
    reason = refused(book.admit(part, advice), RefusalKind.BANDWIDTH)
    assert reason == "1 Gb/s of /resource/bandwidth short for wire"
    told = book.admit(part, advice)
    assert isinstance(told, Refusal)
    assert told.inside.startswith("1 Gb/s of bandwidth short at port-")


async def test_the_loop_is_free_while_a_program_runs_and_one_runs_at_a_time() -> None:
    made = backend(objective="energy", time_limit_s=5)
    book = Book(made)
    partial, free = book.partial(prep(1, pair(), wire(bps=2 * G)))
    first = asyncio.create_task(made.consult(partial, free))
    await asyncio.sleep(0)
    second = await made.consult(partial, free)
    assert not first.done()
    for advice in (await first, second):
        assert isinstance(advice, Advice)
        assert advice.found is None


def test_the_substrate_may_stand_in_the_settings_themselves() -> None:
    made = backend(substrate=(RDL / "berlin.yaml").read_text())
    assert made.capacities() == backend().capacities()


@pytest.mark.parametrize(
    ("cloud", "word"),
    [
        ({"substrate": "no-such-file.yaml"}, "cloud.substrate: no-such-file.yaml: cannot be read"),
        ({"substrate": "rdl: 1\nname: x\n"}, "cloud.substrate: .*layer: is missing"),
        ({"substrate": str(RDL / "pair.yaml")}, "cloud.substrate: layer: given 'overlay'"),
        (
            {"port_nodes": {"east": "c4500"}},
            "cloud.port_nodes: must name each port once; see north",
        ),
        ({"port_nodes": {"east": "c4500", "north": "x"}}, "sits at 'x', possible: c4500, sn111"),
        ({"vlans": ""}, "cloud.vlans"),
        ({"vlans": "x"}, "cloud.vlans"),
        ({"objective": "beauty"}, "cloud.objective"),
        ({"time_limit_s": -1}, "cloud.time_limit_s"),
        ({"colour": "red"}, "cloud.colour: is not a setting"),
    ],
)
def test_settings_that_cannot_be_are_named(cloud: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        open_backend(site(**cloud))


def test_no_port_is_called_as_that_of_the_hosts() -> None:
    wrong = site(port_nodes={"cloud": "c4500", "north": "c4500"})
    wrong["ports"][0]["name"] = "cloud"
    with pytest.raises(SettingsError, match="'cloud' is the name of the port of the hosts"):
        open_backend(wrong)


def test_vlans_that_are_said_are_taken_as_they_are() -> None:
    port = backend(vlans="300-310").describe().port(CLOUD)
    assert port is not None
    assert str(port.vlans) == "300-310"
