"""braid cloudnet plan, create, modify, delete, list, show: what is asked, shown and how it ends."""

from __future__ import annotations

import builtins
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bending_world import shown
from cloudnet_world import EXAMPLES, PAIR, example
from faked import braid
from rich.console import Console

from braid import retries
from braid.units import format_time
from braid.v1 import cloudnets_pb2 as cn, common_pb2, rdl_pb2, reservations_pb2 as pb
from commands import cloudnet_requests, cloudnet_shown, views, views_cloudnet
from commands.views_refused import shortfalls_view
from rdl.codec import from_bytes, graph_from_pb
from rdl.reading import read
from tests.braid.fake_cloudnets import FakeVnp, serving

SCHEDULED = common_pb2.DATA_PLANE_STATE_SCHEDULED
ACTIVE = common_pb2.DATA_PLANE_STATE_ACTIVE
PROOF_LINE = "optimal: objective 12.5, bound 12.5, gap 0.00%, scope whole"


@pytest.fixture
def fake() -> FakeVnp:
    return FakeVnp()


@pytest.fixture
def target(fake: FakeVnp) -> Iterator[str]:
    with serving(fake, fake.cloudnets) as address:
        yield address


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))
    monkeypatch.setattr(cloudnet_requests, "POLL_S", 0.01)


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """pair.yaml with more memory than there is."""
    file = tmp_path / "larger.yaml"
    file.write_text(PAIR.read_text().replace("memory: 4 GiB", "memory: 256 GiB"))
    return file


def created(target: str, *options: str) -> str:
    """The id of a new CloudNet."""
    done = braid(target, "cloudnet", "create", str(PAIR), *options, "--json")
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["reservation_id"])


def test_a_plan_says_where_everything_would_be_and_how_good_that_is(
    target: str, fake: FakeVnp
) -> None:
    words = ["--start", "2000000000", "--duration", "2h", "--objective", "load"]
    done = braid(target, "cloudnet", "plan", str(PAIR), *words, "--at", "left=zurich")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    amounts = "2 cores, 20 GB disk, 4 GiB memory"
    path = "[100] munich [400] renet1 [400] zurich [100], 6 ms"
    assert ["left", "zurich", *amounts.split()] in lines
    assert ["wire", "left", "-", "right", "1", "Gb/s", *path.split()] in lines
    told = f"{PROOF_LINE} of what providers told; hosts decide"
    assert done.stdout.splitlines()[-1].rstrip() == told
    (asked,) = fake.asked_of(pb.Reservation)
    assert graph_from_pb(asked.cloudnet.graph) == read(PAIR.read_bytes()).graph
    assert asked.cloudnet.objective == "load"
    assert asked.cloudnet.placing == [pb.VNodePlacement(vnode="left", domain="zurich")]
    assert (asked.window.start_s, asked.window.end_s) == (2_000_000_000, 2_000_007_200)


def test_a_plan_is_drawn_where_it_is_said(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    file = tmp_path / "plan.png"
    done = braid(target, "cloudnet", "plan", str(PAIR), "--draw", "--png", str(file))
    assert done.exit_code == 0, done.output
    drawn = done.stdout[done.stdout.index("┌─ berlin") :].splitlines()
    assert "│  1" in drawn[2]
    assert max(map(len, drawn)) <= 50
    assert file.read_bytes().startswith(b"\x89PNG")
    told = braid(target, "cloudnet", "plan", str(PAIR), "--json", "--png", str(tmp_path / "b.svg"))
    assert json.loads(told.stdout)["proof"]["status"] == "optimal"
    assert [each["domain"] for each in json.loads(told.stdout)["vnodes"]] == ["berlin", "munich"]
    assert (tmp_path / "b.svg").exists()


LIMITS = ("--via", "renet1", "--avoid", "zurich", "--avoid", "ix", "--max-latency", "20ms")


@pytest.mark.parametrize("command", [["plan"], ["create", "--detach"]], ids=" ".join)
def test_circuits_between_providers_keep_what_is_said(
    target: str, fake: FakeVnp, command: list[str]
) -> None:
    done = braid(target, "cloudnet", *command, str(PAIR), *LIMITS)
    assert done.exit_code == 0, done.output
    (asked,) = fake.asked_of(pb.Reservation)
    assert asked.constraints == pb.Constraints(
        via_domains=["renet1"], avoid_domains=["zurich", "ix"], max_latency_us=20_000
    )


def test_a_change_keeps_the_limits_that_are_not_said(target: str, fake: FakeVnp) -> None:
    name = created(target, *LIMITS)
    done = braid(target, "cloudnet", "modify", name, str(PAIR), "--max-latency", "5ms")
    assert done.exit_code == 0, done.output
    assert braid(target, "cloudnet", "modify", name, str(PAIR)).exit_code == 0
    limited, free = fake.asked_of(pb.ModifyRequest)
    assert limited.constraints == pb.Constraints(
        via_domains=["renet1"], avoid_domains=["zurich", "ix"], max_latency_us=5_000
    )
    assert not free.HasField("constraints")


def test_a_latency_that_is_none_ends_the_command_before_anything_is_asked(
    target: str, fake: FakeVnp
) -> None:
    done = braid(target, "cloudnet", "plan", str(PAIR), "--max-latency", "soon")
    assert done.exit_code == 2
    assert not fake.asked_of(pb.Reservation)


@pytest.mark.parametrize(
    ("untold", "more"), [([], ""), (["ulm"], "; more for what is not told: ulm")], ids=str
)
def test_the_price_is_told_per_hour_and_for_the_whole_time(untold: list[str], more: str) -> None:
    proof = pb.MappingProof(status="optimal", price_micros=620_000, unpriced_domains=untold)
    window = common_pb2.Window(start_s=3_600, end_s=3_600 * 3)
    plan = pb.PlanResponse(feasible=True, proof=proof, window=window)
    said = "0.62 per hour, 1.24 in all" + more
    assert f"price {said}" in shown(views_cloudnet.plan_view(plan, pb.CloudNet()))
    record = pb.ReservationRecord(proof=proof, criteria=pb.Reservation(window=window))
    assert said in shown(views_cloudnet.record_view(record))
    record.proof.ClearField("price_micros")
    assert "price" not in shown(views_cloudnet.record_view(record))


@pytest.mark.parametrize("command", [["plan"], ["create"]], ids=" ".join)
def test_a_refusal_says_what_is_short_where_and_how_much(
    target: str, larger: Path, command: list[str]
) -> None:
    done = braid(target, "cloudnet", *command, str(larger))
    assert done.exit_code == 3
    assert "no: munich: 256 GiB of /resource/memory short for database" in done.stdout
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(" munich "))
    assert re.split(r" {2,}", row.strip()) == [
        "munich",
        "/resource/memory",
        "256 GiB",
        "512 GiB",
        "database",
    ]


@pytest.mark.parametrize("command", [["plan"], ["create"]], ids=" ".join)
def test_what_is_short_is_told_to_programs_field_by_field(
    target: str, larger: Path, command: list[str]
) -> None:
    done = braid(target, "cloudnet", *command, str(larger), "--json")
    assert done.exit_code == 3
    (refusal,) = json.loads(done.stdout)["refusals"]
    assert refusal["kind"] == "REFUSAL_KIND_RESOURCE"
    assert (refusal["domain"], refusal["resource"]) == ("munich", "/resource/memory")
    assert (int(refusal["short"]), int(refusal["asked"])) == (256 << 30, 512 << 30)
    assert refusal["elements"] == ["database"]


def test_shortfalls_are_shown_in_the_units_of_their_attributes_and_each_once() -> None:
    def short(attribute: str, amount: int, where: str = "", **more: Any) -> common_pb2.Refusal:
        return common_pb2.Refusal(
            domain="berlin", resource=attribute, short=amount, where=where, **more
        )

    refusals = [
        short("/resource/cpu", 1500, asked=2000, elements=["a", "b"]),
        short("/resource/cpu", 1500, asked=2000, elements=["a", "b"]),
        short("/resource/disk/ssd", 5 * 10**9),
        short("/resource/disk", 10**15 - (2 << 40), asked=10**15),
        short("/feature/latency", 250, asked=1000, elements=["wire"]),
        short("/node/host/pip", 1, "all providers", asked=2),
        short("in no vocabulary", -7),
        common_pb2.Refusal(domain="munich", reason="no amount"),
    ]
    console = Console(width=120, file=io.StringIO())
    console.print(shortfalls_view(refusals))
    assert isinstance(console.file, io.StringIO)
    rows = [re.split(r" {2,}", line.strip()) for line in console.file.getvalue().splitlines()]
    assert rows == [
        ["where", "resource", "short", "of", "for"],
        ["berlin", "/resource/cpu", "1.5 cores", "2 cores", "a, b"],
        ["berlin", "/resource/disk/ssd", "5 GB", "all of it"],
        ["berlin", "/resource/disk", "997.81 TB", "1 PB", "all of it"],
        ["berlin", "/feature/latency", "250 us", "1 ms", "wire"],
        ["all providers", "/node/host/pip", "1", "2", "all of it"],
        ["berlin", "in no vocabulary", "-7", "all of it"],
    ]


def test_of_a_cloudnet_that_stands_a_change_was_refused_and_of_one_that_is_over_nothing() -> None:
    committed, cancelled = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_CANCELLED
    record = pb.ReservationRecord(state=committed, refusals=[common_pb2.Refusal(reason="no room")])
    stands = shown(views_cloudnet.record_view(record))
    assert stands.index("A change was refused, and it is as it was:") < stands.index("no room")
    record.state = cancelled
    assert "no room" not in shown(views_cloudnet.record_view(record))
    record.state = pb.RESERVATION_STATE_FAILED
    assert "change" not in shown(views_cloudnet.record_view(record))


def test_a_refused_plan_says_how_sure_it_is_as_far_as_that_is_told() -> None:
    inf = float("inf")
    proof = pb.MappingProof(
        status="infeasible", objective=inf, bound=inf, gap=inf, proof_scope="whole"
    )
    refused = pb.PlanResponse(refusals=[common_pb2.Refusal(reason="no")], proof=proof)
    line = "infeasible: there is no mapping, scope whole of what providers told"
    assert line in shown(views_cloudnet.plan_view(refused, pb.CloudNet()))
    proof.status, proof.bound = "unknown", 0.0
    refused.proof.CopyFrom(proof)
    line = "unknown: no mapping, bound 0, scope whole of what providers told"
    assert line in shown(views_cloudnet.plan_view(refused, pb.CloudNet()))
    refused.ClearField("proof")
    assert "told" not in shown(views_cloudnet.plan_view(refused, pb.CloudNet()))


def test_all_that_a_refusal_is_short_of_is_shown_a_line_each() -> None:
    def short(resource: str, where: str, amount: int, *elements: str) -> common_pb2.Shortage:
        return common_pb2.Shortage(
            resource=resource, where=where, short=amount, asked=4 * amount, elements=elements
        )

    refusal = common_pb2.Refusal(
        domain="berlin",
        resource="/resource/cpu",
        short=1500,
        asked=6000,
        elements=["a"],
        shortages=[
            short("/resource/cpu", "", 1500, "a"),
            short("/resource/memory", "", 1 << 30, "a"),
            short("/resource/disk", "munich, ulm", 10**12, "b", "c"),
        ],
    )
    console = Console(width=120, file=io.StringIO())
    console.print(shortfalls_view([refusal]))
    assert isinstance(console.file, io.StringIO)
    rows = [re.split(r" {2,}", line.strip()) for line in console.file.getvalue().splitlines()]
    assert rows == [
        ["where", "resource", "short", "of", "for"],
        ["berlin", "/resource/cpu", "1.5 cores", "6 cores", "a"],
        ["berlin", "/resource/memory", "1 GiB", "4 GiB", "a"],
        ["munich, ulm", "/resource/disk", "1 TB", "4 TB", "b, c"],
    ]


def test_a_refused_plan_is_not_drawn(target: str, larger: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.png"
    done = braid(target, "cloudnet", "plan", str(larger), "--draw", "--png", str(file))
    assert done.exit_code == 3
    assert "┌" not in done.stdout
    assert not file.exists()


@pytest.mark.parametrize("command", [["plan"], ["create"], ["modify", "c1"]], ids=" ".join)
def test_mistakes_are_told_with_their_place_and_nothing_is_asked(
    target: str, fake: FakeVnp, tmp_path: Path, command: list[str]
) -> None:
    file = tmp_path / "spoilt.yaml"
    file.write_text(PAIR.read_text().replace("2 cores", "2", 1))
    done = braid(target, "cloudnet", *command, str(file))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{file}:8:32: elements.left.resources./resource/cpu: '2' has")
    told = json.loads(braid(target, "cloudnet", *command, str(file), "--json").stdout)
    assert told["mistakes"][0]["column"] == 32
    underlay = braid(target, "cloudnet", *command, str(EXAMPLES / "berlin.yaml"))
    assert underlay.exit_code == 2
    assert "berlin.yaml: is an underlay, what there is; possible: an overlay" in underlay.stderr
    assert fake.asked == []


def test_create_follows_the_negotiation_and_shows_what_was_reserved(
    target: str, fake: FakeVnp
) -> None:
    words = ["--description", "for [b]tests[/b]", "--request-id", "mine", "--timeout", "9"]
    done = braid(target, "cloudnet", "create", str(PAIR), *words, "--end", "2100000000")
    assert done.exit_code == 0, done.output
    for text in (
        "plan 1: wire: 1 Gb/s over berlin > renet1 > munich",
        "for [b]tests[/b]",
        PROOF_LINE,
        "[100] berlin [400] renet1 [400] munich [100], 6 ms",
    ):
        assert text in done.stdout
    (asked,) = fake.asked_of(pb.Reservation)
    assert (asked.request_id, asked.negotiation_timeout_s, asked.detach) == ("mine", 9, True)
    assert asked.window.end_s == 2_100_000_000


def test_an_hour_is_meant_when_no_end_is_said(target: str, fake: FakeVnp) -> None:
    created(target)
    (asked,) = fake.asked_of(pb.Reservation)
    assert asked.window.end_s - asked.window.start_s == 3600


def test_a_protobuf_file_asks_the_same(target: str, fake: FakeVnp, tmp_path: Path) -> None:
    stored = tmp_path / "pair.pb"
    form = ["--as", "protobuf"]
    stored.write_bytes(braid(target, "cloudnet", "check", str(PAIR), *form).stdout_bytes)
    created(target)
    assert braid(target, "cloudnet", "create", str(stored)).exit_code == 0
    one, other = fake.asked_of(pb.Reservation)
    assert one.cloudnet == other.cloudnet


def test_detached_it_does_not_wait_for_the_outcome(target: str, fake: FakeVnp) -> None:
    done = braid(target, "cloudnet", "create", str(PAIR), "--detach")
    assert done.exit_code == 0
    assert "negotiating" in done.stdout
    assert fake.asked_of(pb.WatchRequest) == []


def test_create_waits_until_all_vnodes_run(target: str, fake: FakeVnp) -> None:
    fake.cloudnets.shows_until_running = 3
    done = braid(target, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 0, done.output
    assert len(fake.asked_of(cn.ShowCloudNetRequest)) == 4
    assert done.stdout.count("running") == 2


def test_create_waits_until_domains_have_configured_vlinks_and_shows_that(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudnet_requests, "LOOK_S", 0.0)
    asked = iter(range(3))
    get = fake.Get

    def later(request: Any, context: Any) -> Any:
        record = get(request, context)
        record.data_plane = SCHEDULED if next(asked, None) is not None else ACTIVE
        return record

    monkeypatch.setattr(fake, "Get", later)
    with serving(fake, fake.cloudnets) as again:
        done = braid(again, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 0, done.output
    assert "scheduled" not in done.stdout
    assert "active" in done.stdout


def test_create_waits_no_longer_than_a_while_for_a_domain_that_does_not_say(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudnet_requests, "CONFIGURED_S", 0.0)
    get = fake.Get

    def never(request: Any, context: Any) -> Any:
        record = get(request, context)
        record.data_plane = SCHEDULED
        return record

    monkeypatch.setattr(fake, "Get", never)
    with serving(fake, fake.cloudnets) as again:
        done = braid(again, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 0, done.output
    assert "scheduled" in done.stdout


def test_create_says_which_domain_could_not_configure_a_vlink(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = fake.Get

    def broken(request: Any, context: Any) -> Any:
        record = get(request, context)
        record.data_plane = record.parts[0].data_plane = common_pb2.DATA_PLANE_STATE_FAILED
        record.parts[0].reason = "its switch burns"
        return record

    monkeypatch.setattr(fake, "Get", broken)
    with serving(fake, fake.cloudnets) as again:
        done = braid(again, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 1
    assert "the data plane failed: " in done.stderr
    assert "its switch burns" in done.stderr


def test_create_waits_over_the_time_before_its_window(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudnet_requests, "FAR_S", 0.01)
    show = fake.cloudnets.Show
    waits = iter([True, True])

    def not_yet(request: Any, context: Any) -> Any:
        if next(waits, False):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "its window has not begun")
        return show(request, context)

    monkeypatch.setattr(fake.cloudnets, "Show", not_yet)
    with serving(fake, fake.cloudnets) as again:
        done = braid(again, "cloudnet", "create", str(PAIR), "--start", "+1h", "--wait")
    assert done.exit_code == 0, done.output
    assert len(fake.asked_of(cn.ShowCloudNetRequest)) == 1


def test_waiting_ends_when_a_vnode_fails_or_the_cloudnet_ends(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.cloudnets.reasons["right"] = "its image is not known"
    done = braid(target, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 1
    assert done.stderr == "braid: right failed: its image is not known\n"

    def ended(request: Any, context: Any) -> Any:
        fake.records["c2"].state = pb.RESERVATION_STATE_CANCELLED
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it was cancelled")

    monkeypatch.setattr(fake.cloudnets, "Show", ended)
    with serving(fake, fake.cloudnets) as again:
        gone = braid(again, "cloudnet", "create", str(PAIR), "--wait")
    assert gone.exit_code == 6
    assert "c2 has ended before its VNodes ran: it was cancelled" in gone.stderr


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("follow", "c1 is still negotiated: braid cloudnet show c1, or braid cloudnet delete c1"),
        ("failed", "c1 is reserved, and not all its VNodes run: braid cloudnet show c1"),
    ],
)
def test_interrupted_it_says_how_to_go_on(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch, where: str, text: str
) -> None:
    def interrupted(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    fake.cloudnets.shows_until_running = 9
    monkeypatch.setattr(cloudnet_requests, where, interrupted)
    done = braid(target, "cloudnet", "create", str(PAIR), "--wait")
    assert done.exit_code == 7
    assert text in done.stderr


def test_modify_asks_for_the_whole_and_keeps_what_is_not_said(
    target: str, fake: FakeVnp, tmp_path: Path
) -> None:
    places = ["--at", "left=munich", "--at", "right=berlin"]
    name = created(target, "--objective", "energy", *places)
    smaller = tmp_path / "smaller.yaml"
    text = PAIR.read_text().replace("  right", "  third").replace("[right", "[third")
    smaller.write_text(text.replace("1 Gb/s", "2 Gb/s"))
    words = ["--request-id", "mine", "--at", "third=zurich", "--anew", "left", "--anew", "third"]
    done = braid(target, "cloudnet", "modify", name, str(smaller), *words)
    assert done.exit_code == 0, done.output
    assert "third  zurich" in done.stdout
    (asked,) = fake.asked_of(pb.ModifyRequest)
    assert (asked.request_id, asked.cloudnet.objective) == ("mine", "energy")
    assert {each.vnode: each.domain for each in asked.cloudnet.placing} == {
        "left": "munich",
        "third": "zurich",
    }
    assert list(asked.cloudnet.anew) == ["left", "third"]
    assert not asked.HasField("bandwidth_bps")
    other = braid(target, "cloudnet", "modify", name, str(PAIR), "--objective", "load", "--json")
    assert json.loads(other.stdout)["criteria"]["cloudnet"]["objective"] == "load"


def test_a_refused_change_leaves_the_old_and_says_why(target: str, larger: Path) -> None:
    done = braid(target, "cloudnet", "modify", created(target), str(larger))
    assert done.exit_code == 3
    assert "256 GiB of /resource/memory short" in done.stdout
    assert "committed" in done.stdout


def test_delete_gives_it_back(target: str, fake: FakeVnp) -> None:
    name = created(target)
    done = braid(target, "cloudnet", "delete", name)
    assert done.exit_code == 0
    assert "cancelled" in done.stdout
    assert "berlin, munich: told, no answer yet" in done.stdout
    assert fake.records[name].state == pb.RESERVATION_STATE_CANCELLED


def circuit(fake: FakeVnp) -> str:
    fake.records["r1"] = pb.ReservationRecord(
        reservation_id="r1",
        criteria=pb.Reservation(source="a:x", destination="b:y"),
        state=pb.RESERVATION_STATE_COMMITTED,
    )
    return "r1"


@pytest.mark.parametrize("command", [["show"], ["delete"], ["modify"]], ids=" ".join)
def test_a_circuit_is_not_taken_for_a_cloudnet(
    target: str, fake: FakeVnp, command: list[str]
) -> None:
    file = [str(PAIR)] if command == ["modify"] else []
    done = braid(target, "cloudnet", *command, circuit(fake), *file)
    assert done.exit_code == 4
    assert "r1 is a circuit and no CloudNet; possible: braid show r1" in done.stderr
    assert fake.records["r1"].state == pb.RESERVATION_STATE_COMMITTED


def test_list_shows_only_cloudnets_up_to_its_limit(target: str, fake: FakeVnp) -> None:
    names = [created(target, "--start", "2000000000") for _ in range(2)]
    circuit(fake)
    names.append(created(target))
    lines = braid(target, "cloudnet", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names[::-1]
    assert lines[-1].split()[1:6] == ["committed", "pair", "2", "berlin,", "munich"]
    assert format_time(2_000_000_000) in lines[-1]
    few = braid(target, "cloudnet", "list", "--limit", "2")
    assert few.stdout.endswith("there are more: --limit\n")
    told = json.loads(braid(target, "cloudnet", "list", "--limit", "2", "--json").stdout)
    assert [each["reservation_id"] for each in told["reservations"]] == names[:0:-1]
    assert told["more"] is True
    done = braid(target, "cloudnet", "list", "--state", "cancelled", "--json")
    assert json.loads(done.stdout) == {"reservations": [], "more": False}
    asked = fake.asked_of(pb.ListRequest)[-1]
    assert asked.states == [pb.RESERVATION_STATE_CANCELLED]
    assert asked.kind == pb.RESERVATION_KIND_CLOUDNET
    circuits = json.loads(braid(target, "list", "--kind", "circuit", "--json").stdout)
    assert [each["reservation_id"] for each in circuits["reservations"]] == ["r1"]
    both = json.loads(braid(target, "list", "--json").stdout)
    assert len(both["reservations"]) == 4
    wrong = braid(target, "list", "--kind", "tunnel")
    assert (wrong.exit_code, "possible: circuit, cloudnet" in wrong.stderr) == (2, True)


def test_list_goes_over_pages(target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudnet_shown, "PAGE", 2)
    names = [created(target) for _ in range(5)]
    told = json.loads(braid(target, "cloudnet", "list", "--json").stdout)
    assert [each["reservation_id"] for each in told["reservations"]] == names[::-1]
    assert len(fake.asked_of(pb.ListRequest)) == 3


def test_show_tells_states_and_what_providers_completed(target: str, fake: FakeVnp) -> None:
    name = created(target)
    fake.cloudnets.reasons["right"] = "no [red]power[/red]"
    done = braid(target, "cloudnet", "show", name)
    assert done.exit_code == 0, done.output
    for text in (
        *("running", "failed", "no [red]power[/red]", PROOF_LINE),
        *("/feature/virtualization", "kvm"),
    ):
        assert text in done.stdout
    told = json.loads(braid(target, "cloudnet", "show", name, "--json").stdout)
    assert told.keys() == {"record", "cloudnet", "unknown"}
    assert told["record"]["reservation_id"] == name
    assert told["cloudnet"]["vnodes"][0]["state"] == "POWER_STATE_RUNNING"
    assert told["unknown"] == ""


def test_show_draws_with_states(target: str, tmp_path: Path) -> None:
    name, file = created(target), tmp_path / "shown.png"
    done = braid(target, "cloudnet", "show", name, "--draw", "--png", str(file))
    assert done.exit_code == 0, done.output
    assert "running │──●" in done.stdout
    assert file.stat().st_size > 10_000


def test_what_providers_completed_is_printed_alone(target: str, fake: FakeVnp) -> None:
    name = created(target)
    done = braid(target, "cloudnet", "show", name, "--as", "yaml")
    completed = graph_from_pb(fake.cloudnets.states[name].completed)
    assert read(done.stdout.encode()).graph == completed
    assert "{value: kvm, by: berlin}" in done.stdout
    packed = braid(target, "cloudnet", "show", name, "--as", "protobuf")
    assert from_bytes(packed.stdout_bytes) == completed


def test_what_is_not_completed_yet_or_cannot_be_read_is_told(target: str, fake: FakeVnp) -> None:
    name = created(target)
    state = fake.cloudnets.states[name]
    state.completed.elements[0].attribute = "/lino/generic"
    done = braid(target, "cloudnet", "show", name, "--as", "yaml")
    assert done.exit_code == 1
    assert "'/lino/generic' is not" in done.stderr
    state.completed.Clear()
    done = braid(target, "cloudnet", "show", name, "--as", "yaml")
    assert (done.exit_code, done.stdout) == (6, "")
    assert done.stderr == f"braid: --as: {name} is not completed yet\n"


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE])
def test_show_tells_what_is_known_when_states_are_not(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode
) -> None:
    name = created(target)

    def away(request: Any, context: Any) -> Any:
        context.abort(code, "berlin is away")

    monkeypatch.setattr(fake.cloudnets, "Show", away)
    with serving(fake, fake.cloudnets) as again:
        done = braid(again, "cloudnet", "show", name)
        told = json.loads(braid(again, "cloudnet", "show", name, "--json").stdout)
        alone = braid(again, "cloudnet", "show", name, "--as", "yaml")
    assert done.exit_code == 0
    assert "the state of its VNodes is not known: berlin is away" in done.stdout
    assert "left" in done.stdout
    assert (told["cloudnet"], told["unknown"]) == (None, "berlin is away")
    assert (alone.exit_code, alone.stderr) == (6, "braid: --as: berlin is away\n")


def test_what_is_over_is_shown_without_asking_for_states(target: str, fake: FakeVnp) -> None:
    name = created(target)
    fake.records[name].state = pb.RESERVATION_STATE_ENDED
    done = braid(target, "cloudnet", "show", name)
    assert done.exit_code == 0
    assert "ended" in done.stdout
    assert fake.asked_of(cn.ShowCloudNetRequest) == []


def test_an_agent_shows_its_part_with_hosts(target: str, fake: FakeVnp, tmp_path: Path) -> None:
    name = created(target)
    state = fake.cloudnets.states[name]
    state.vnodes[0].host = "sn111"
    with serving(fake.cloudnets) as agent:
        done = braid(agent, "cloudnet", "show", name, "--draw")
        told = json.loads(braid(agent, "cloudnet", "show", name, "--json").stdout)
        missing = braid(agent, "cloudnet", "show", "c9")
        fake.cloudnets.states[name].vnodes[1].ClearField("state")
    assert done.exit_code == 0, done.output
    assert "running on sn111" in done.stdout
    assert "renet1" not in done.stdout
    assert told["record"] is None
    assert told["cloudnet"]["vnodes"][0]["host"] == "sn111"
    assert (missing.exit_code, "given 'c9'" in missing.stderr) == (4, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["create", str(PAIR), "--detach", "--wait"], "--detach: not together with --wait"),
        (["create", str(PAIR), "--at", "left"], "--at: given 'left', possible: VNODE=DOMAIN"),
        (["plan", str(PAIR), "--at", "=x"], "--at: given '=x'"),
        (["plan", str(PAIR), "--at", "a=x", "--at", "a=y"], "'a' at x and at y"),
        (["plan", str(PAIR), "--end", "+2h", "--duration", "1h"], "either when it ends or how"),
        (["plan", str(PAIR), "--draw", "--json"], "--draw: not together with --json"),
        (["plan", str(PAIR), "--png", "nowhere/a.png"], "the folder nowhere does not exist"),
        (["show", "c1", "--as", "yaml", "--json"], "--as prints the description alone"),
        (["show", "c1", "--as", "yaml", "--draw"], "--as prints the description alone"),
        (["show", "c1", "--png", "nowhere/a.png"], "the folder nowhere does not exist"),
        (["create", "nowhere.yaml"], "does not exist"),
    ],
    ids=lambda each: " ".join(each[-3:]) if isinstance(each, list) else "",
)
def test_wrong_usage_is_told_and_nothing_is_asked(
    target: str, fake: FakeVnp, words: list[str], reason: str
) -> None:
    done = braid(target, "cloudnet", *words)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert fake.asked == []


def test_without_matplotlib_nothing_is_asked(
    target: str, fake: FakeVnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    done = braid(target, "cloudnet", "plan", str(PAIR), "--png", "a.png")
    assert done.exit_code == 1
    assert "pip install 'braid-orchestrator[simulations]'" in done.stderr
    assert fake.asked == []


def test_the_commands_for_reservations_show_cloudnets_too(target: str) -> None:
    name = created(target)
    (line,) = (each for each in braid(target, "list").stdout.splitlines() if name in each)
    assert "CloudNet pair" in line
    assert "0 b/s" not in line
    assert PROOF_LINE in braid(target, "show", name).stdout


def test_a_record_tells_all_that_is_so_and_nothing_that_is_not() -> None:
    record = pb.ReservationRecord(reservation_id="c1", state=pb.RESERVATION_STATE_FAILED, version=1)
    record.criteria.cloudnet.graph.CopyFrom(example("pair"))
    plain = shown(views.record_view(record))
    for text in ("mapping", "VNode", "data plane", "not known", "completed"):
        assert text not in plain
    record.version, record.modifying = 3, True
    record.parts.add(domain="berlin", vnodes=["left"], reason="no [b]room[/b]")
    full = shown(views_cloudnet.record_view(record, unknown="it is [i]away[/i]"))
    for text in (
        *("version", "a change is being negotiated", "berlin: no [b]room[/b]"),
        *("it is [i]away[/i]", "data plane", "not placed"),
    ):
        assert text in full


def test_what_was_completed_is_told_in_every_unit() -> None:
    graph = rdl_pb2.Graph()
    node = graph.elements.add(id="n", attribute="/node/host")
    node.resources.add(attribute="/resource/memory", by="a").amount.data_bytes = 1 << 30
    node.resources.add(attribute="/resource/cpu", by="b")
    node.resources.add(attribute="/resource/disk")
    words = node.features.add(attribute="/feature/architecture", by="c").words
    words.words.extend(["arm", "x86"])
    vlans = node.features.add(attribute="/feature/vlan", by="d").vlans
    vlans.ranges.append(common_pb2.VlanRange(first=1, last=9))
    node.features.add(attribute="/feature/latency", by="e").amount.duration_us = 5000
    text = shown(views_cloudnet.state_view(cn.CloudNetState(completed=graph)))
    found = [line.split()[2:] for line in text.splitlines() if line.startswith(" n  ")]
    assert found[1:] == [
        *(["1", "GiB", "a"], ["any", "b"], ["arm", "or", "x86", "c"]),
        *(["1-9", "d"], ["5", "ms", "e"]),
    ]
    assert "/resource/disk " not in text


def test_an_alternative_to_a_cloudnet_has_no_rate() -> None:
    window = common_pb2.Window(start_s=2_000_000_000, end_s=2_000_003_600)
    request = pb.Reservation(window=window)
    request.cloudnet.graph.CopyFrom(example("pair"))
    later = pb.Alternative(token="t", text="It begins 1h later.", request=request)
    text = shown(views_cloudnet.plan_view(pb.PlanResponse(alternatives=[later]), request.cloudnet))
    assert "It begins 1h later." in text
    assert "(1h)" in text
    assert "as fast as" not in text
    assert "b/s" not in text
