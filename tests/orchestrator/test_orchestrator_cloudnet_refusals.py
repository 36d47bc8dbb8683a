"""CloudNets that are refused, wholly or at first: what is learnt, and that nothing is left held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, noisy, refused, until, virtual
from providers_world import carrier, cloudnet, placed, provider, requested, substrate, world

from agents.peers import Sender
from braid.v1 import reservations_pb2 as pb
from protocol.messages import (
    Abort,
    Commit,
    Phase,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
    ToOrchestrator,
)
from rdl.codec import to_bytes
from rdl.reading import read
from simulations.gateway import ORCHESTRATOR_ID, Message
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED
SPREAD = {"a": "berlin", "b": "munich", "c": "zurich"}
WHOLE = cloudnet(at=SPREAD)
PAIR = cloudnet(("a", "b"), [("a", "b")], {"a": "berlin", "b": "munich"})
LEFT_OUT = [
    RefusalKind.POLICY,
    RefusalKind.UNAVAILABLE,
    RefusalKind.TOMBSTONE,
    RefusalKind.TIMEOUT,
]


class Lying(Orchestrated):
    """Messages from domains arrive as ``said`` makes them; ``refuses``: holds are refused by it.

    A domain refuses before its agent has heard of the hold.
    """

    def __init__(self, *args: Any, **limits: Any) -> None:
        super().__init__(*args, **limits)
        self.said: Callable[[str, Any], Any] = lambda domain, message: message
        self.refuses: Callable[[str, ReservationPrep], Refusal | None] = lambda domain, prep: None
        self.preps: list[tuple[str, ReservationPrep]] = []
        self.delay = self._judge

    def _judge(self, domain: str, message: Message) -> float | None:
        if not isinstance(message, ReservationPrep):
            return 0.0
        self.preps.append((domain, message))
        refusal = self.refuses(domain, message)
        if refusal is None:
            return 0.0
        answer = ReservationResp(
            message.transaction_id, message.part_id, Phase.PREP, False, refusal
        )
        send = super()._sends(domain)
        asyncio.get_running_loop().call_soon(send, Sender(ORCHESTRATOR_ID, "a"), answer)
        return None

    def _sends(self, domain: str) -> Callable[[Sender, ToOrchestrator], None]:
        send = super()._sends(domain)
        return lambda to, message: send(to, self.said(domain, message))

    def of(self, domain: str) -> list[ReservationPrep]:
        """What a domain was asked to hold."""
        return [prep for name, prep in self.preps if name == domain]


async def nothing_is_held(it: Orchestrated) -> None:
    await until(lambda: it.held() == {}, 600)


def always(domain: str, refusal: Refusal) -> Callable[[str, ReservationPrep], Refusal | None]:
    return lambda name, prep: replace(refusal, domain=name) if name == domain else None


def once(domain: str, refusal: Refusal) -> Callable[[str, ReservationPrep], Refusal | None]:
    left = [refusal]
    return lambda name, prep: replace(left.pop(), domain=name) if name == domain and left else None


# Refused by a domain ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RefusalKind)
@pytest.mark.parametrize("domain", ["berlin", "zurich", "dfn", "ix"])
def test_whoever_refuses_for_whatever_reason_nothing_is_left_held(
    kind: RefusalKind, domain: str
) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            it.refuses = always(domain, Refusal(kind, "no, it says"))
            record = await one.reserve(requested(WHOLE))
            assert record.state == FAILED
            assert record.refusals
            await nothing_is_held(it)
            it.refuses = lambda name, prep: None
            again = await one.reserve(requested(WHOLE, "again"))
            assert again.state == COMMITTED, again.refusals

    run()


@pytest.mark.parametrize("kind", RefusalKind)
def test_a_provider_that_refuses_makes_vnodes_go_to_another(kind: RefusalKind) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            first = placed(await one.reserve(requested(cloudnet(), "first")))
            (favourite,) = set(first.values())
            it.refuses = always(favourite, Refusal(kind, "no, it says"))
            record = await one.reserve(requested(cloudnet()))
            assert record.state == COMMITTED, record.refusals
            assert favourite not in placed(record).values()

    run()


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_provider_that_is_left_out_is_asked_once_and_named(kind: RefusalKind) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            it.refuses = always("berlin", Refusal(kind, "no, it says"))
            record = await one.reserve(requested(WHOLE))
            assert record.state == FAILED
            assert len(it.of("berlin")) == 1
            assert record.refusals[0].reason == "no, it says"
            assert "leaving out berlin" in record.refusals[-1].reason

    run()


@pytest.mark.parametrize("resource", ["", "nonsense", "zurich:cloud", "berlin:dfn"])
@pytest.mark.parametrize("segment_id", ["", "a-b", "nonsense"])
@pytest.mark.parametrize("kind", [RefusalKind.BANDWIDTH, RefusalKind.LABEL, RefusalKind.TOPOLOGY])
def test_a_refusal_of_what_a_provider_never_had_does_no_harm(
    resource: str, segment_id: str, kind: RefusalKind
) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            strange = Refusal(
                kind, "no", resource=resource, segment_id=segment_id, available_bps=-(10**12)
            )
            it.refuses = always("berlin", strange)
            record = await one.reserve(requested(PAIR))
            assert record.state == FAILED
            assert record.refusals
            await nothing_is_held(it)

    run()


@virtual
async def test_a_vlan_that_is_taken_is_replaced_and_the_partial_graphs_are_cut_anew() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        taken = Refusal(RefusalKind.LABEL, "taken", resource="berlin:dfn", segment_id="a-b")
        it.refuses = once("berlin", taken)
        record = await one.reserve(requested(WHOLE))
        assert record.state == COMMITTED, record.refusals
        first, second = it.of("berlin")
        assert first.segments != second.segments
        assert first.graph != second.graph
        vlans = {hop.domain: hop.egress_vlan for path in record.paths for hop in path.hops[:1]}
        assert vlans["berlin"] != first.segments[0].egress_vlan


@virtual
async def test_who_holds_already_what_is_still_wanted_is_not_asked_again() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.refuses = once("berlin", Refusal(RefusalKind.LABEL, "taken", resource="berlin:cloud"))
        record = await one.reserve(requested(WHOLE))
        assert record.state == COMMITTED, record.refusals
        assert len(it.of("berlin")) == 2
        assert len(it.of("zurich")) == 1


@virtual
async def test_two_rounds_of_lessons_lead_to_the_third_provider() -> None:
    # The first two have enough in sum and for each of the five, and hosts for four of them.
    net = world()
    for number, name in ((0, "berlin"), (1, "munich")):
        net[number]["cloud"]["substrate"] = substrate(name, hosts=4, cores=8)
    net[2]["cloud"]["substrate"] = substrate("zurich", hosts=5, cores=5)
    names = [f"v{i}" for i in range(5)]
    together = f"relations:\n  r: {{same: /node/host/pip, elements: [{', '.join(names)}]}}\n"
    async with Lying(net) as it:
        one = await it.start()
        five = cloudnet(dict.fromkeys(names, 5), (), more=together)
        record = await one.reserve(requested(five))
        assert record.state == COMMITTED, record.refusals
        assert set(placed(record).values()) == {"zurich"}
        assert [len(it.of(name)) for name in ("berlin", "munich", "zurich")] == [1, 1, 1]
        assert set(it.held()) == {"zurich"}


@virtual
async def test_a_provider_that_cannot_take_two_together_takes_one_of_them() -> None:
    # The lesson is about both, not about each.
    net = [
        provider("berlin", "dfn", hosts=1),
        provider("munich", "dfn", hosts=1),
        carrier("dfn", "berlin", "munich"),
    ]
    async with Lying(net) as it:
        one = await it.start()

        def both(name: str, prep: ReservationPrep) -> Refusal | None:
            # With a VLink that crosses there are segments.
            together = prep.graph and not prep.segments
            return Refusal(RefusalKind.BANDWIDTH, "not both", domain=name) if together else None

        it.refuses = both
        record = await one.reserve(requested(cloudnet({"a": 2, "b": 2}, [("a", "b")])))
        assert record.state == COMMITTED, record.refusals
        assert set(placed(record).values()) == {"berlin", "munich"}


@virtual
async def test_what_a_vlink_inside_a_provider_was_refused_teaches_nothing_about_vnodes() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        thin = Refusal(RefusalKind.BANDWIDTH, "thin", segment_id="a-b", available_bps=0)
        it.refuses = once("dfn", thin)
        record = await one.reserve(requested(WHOLE))
        # dfn has said that it has nothing left for a-b, and all ways lead through it.
        assert record.state == FAILED
        assert [refusal.domain for refusal in record.refusals][:1] == ["dfn"]
        assert record.refusals[-1].reason.startswith("VLink a-b from berlin to munich: ")
        await nothing_is_held(it)


# Silence ------------------------------------------------------------------------------------------


@virtual
async def test_a_provider_that_tells_no_offers_is_left_out_and_others_serve() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.delay = lambda domain, message: (
            None if domain == "berlin" and isinstance(message, ReqOffers) else 0.0
        )
        record = await one.reserve(requested(cloudnet()))
        assert record.state == COMMITTED, record.refusals
        assert "berlin" not in placed(record).values()


@virtual
async def test_where_nobody_tells_anything_the_request_is_refused_in_time() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.delay = lambda domain, message: None if isinstance(message, ReqOffers) else 0.0
        before_ms = it.clock.now_ms()
        record = await one.reserve(requested(cloudnet(), negotiation_timeout_s=5))
        assert record.state == FAILED
        assert it.clock.now_ms() - before_ms <= 6_000
        assert it.held() == {}


@pytest.mark.parametrize("silent", ["berlin", "zurich", "dfn", "ix"])
def test_who_never_answers_a_hold_fails_the_whole_and_the_others_give_it_back(silent: str) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            it.delay = lambda domain, message: (
                None if domain == silent and isinstance(message, ReservationPrep) else 0.0
            )
            before_ms = it.clock.now_ms()
            record = await one.reserve(requested(WHOLE, negotiation_timeout_s=5))
            assert record.state == FAILED
            assert it.clock.now_ms() - before_ms <= 10_000
            kinds = {refusal.kind for refusal in record.refusals}
            assert RefusalKind.TIMEOUT.value in kinds or RefusalKind.UNAVAILABLE.value in kinds
            await nothing_is_held(it)

    run()


@pytest.mark.parametrize("late", ["berlin", "ix"])
def test_an_answer_that_comes_after_the_deadline_is_given_back(late: str) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            it.delay = lambda domain, message: (
                20.0 if domain == late and isinstance(message, ReservationPrep) else 0.0
            )
            record = await one.reserve(requested(WHOLE, negotiation_timeout_s=5))
            assert record.state == FAILED
            await asyncio.sleep(60)
            await nothing_is_held(it)

    run()


@virtual
async def test_everything_twice_is_held_once() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        one.gateway.passage = lambda domain, message: (0.0, 0.0)
        record = await one.reserve(requested(WHOLE))
        assert record.state == COMMITTED, record.refusals
        assert all(len(rows) == 1 for rows in it.held().values())
        await one.cancel(record.reservation_id)
        await nothing_is_held(it)


@virtual
async def test_a_provider_that_hears_of_the_decision_late_is_told_until_it_has() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        lost = [2]

        def losing(domain: str, message: Message) -> float | None:
            if domain == "berlin" and isinstance(message, (Commit, Abort)) and lost[0]:
                lost[0] -= 1
                return None
            return 0.0

        it.delay = losing
        call = asyncio.create_task(one.reserve(requested(WHOLE)))
        for _ in range(60):
            await asyncio.sleep(1)
            await one.instance.orchestrator.tick()
        record = await call
        assert record.state == COMMITTED, record.refusals
        assert lost == [0]
        assert set(it.held()) == {"berlin", "munich", "zurich", "dfn", "ix"}


# Lies ---------------------------------------------------------------------------------------------


def told(body: str, layer: str = "underlay") -> bytes:
    return to_bytes(read(f"rdl: 1\nname: x\nlayer: {layer}\n{body}").graph)


RICH = "resources: {/resource/cpu: 24 cores, /resource/memory: 48 GiB, /resource/disk: 900 GB}"
USELESS = {
    "garbage": b"\xff\xff\xff",
    "half a graph": told(f"elements:\n  berlin: {{attribute: /node/host/pip, {RICH}}}\n")[:-5],
    "an empty graph": b"\n\x03net\x10\x01",
    "an overlay": told("elements:\n  a: {attribute: /node/host/generic}\n", "overlay"),
    "a link": told("elements:\n  l: {attribute: /link/transit}\n"),
    "a switch": told("elements:\n  berlin: {attribute: /node/switch}\n"),
    "nothing of anything": told("elements:\n  berlin: {attribute: /node/host/pip}\n"),
    "more than a message holds": b"\n\x03net\x10\x01" + b"\x1a\x00" * 600_000,
}
BOASTING = {
    "more than there is": told(
        "elements:\n  berlin:\n    attribute: /node/host/pip\n    resources:\n"
        "      /resource/cpu: 1000000000 cores\n      /resource/memory: 1000000 GiB\n"
        "      /resource/disk: 1000000 TB\n"
    ),
    "by another's name": told(f"elements:\n  munich: {{attribute: /node/host/pip, {RICH}}}\n"),
    "for two": told(
        f"elements:\n  berlin: {{attribute: /node/host/pip, {RICH}}}\n"
        f"  munich: {{attribute: /node/host/pip, {RICH}}}\n"
    ),
}


def lie(it: Lying, aggregate: bytes) -> None:
    """Berlin tells this of itself."""
    it.said = lambda domain, message: (
        replace(message, aggregate=aggregate)
        if domain == "berlin" and isinstance(message, SendOffers) and message.aggregate
        else message
    )


@pytest.mark.parametrize("name", USELESS)
def test_a_provider_that_tells_nothing_of_use_is_passed_over_and_named(name: str) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            lie(it, USELESS[name])
            record = await one.reserve(requested(cloudnet()))
            assert record.state == COMMITTED, record.refusals
            assert "berlin" not in placed(record).values()
            pinned = await one.reserve(requested(WHOLE, "pinned"))
            assert pinned.state == FAILED
            assert "berlin" in pinned.refusals[-1].reason
            assert not it.of("berlin")

    run()


@pytest.mark.parametrize("name", BOASTING)
def test_a_provider_that_boasts_is_asked_and_then_known(name: str) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            lie(it, BOASTING[name])
            # More than any of berlin's hosts has, which only its sums hide; of the others none.
            record = await one.reserve(requested(cloudnet({"big": 9}, (), {"big": "berlin"})))
            assert record.state == FAILED
            assert len(it.of("berlin")) == 1
            assert "(berlin: has refused big)" in record.refusals[-1].reason
            await nothing_is_held(it)
            small = await one.reserve(
                requested(cloudnet({"small": 1}, (), {"small": "berlin"}), "s")
            )
            assert small.state == COMMITTED, small.refusals

    run()


@virtual
async def test_a_provider_whose_boast_draws_all_there_does_not_keep_it_from_the_others() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        lie(it, BOASTING["more than there is"])
        # 30 cores: in berlin they seem to fit, really they need two providers.
        many = cloudnet({f"v{i}": 6 for i in range(5)}, ())
        record = await one.reserve(requested(many))
        assert record.state == COMMITTED, record.refusals
        assert len(set(placed(record).values())) > 1


# Modify -------------------------------------------------------------------------------------------


def wider(reservation_id: str, at: dict[str, str], request_id: str = "m") -> pb.ModifyRequest:
    net = cloudnet({"a": 4, "b": 4, "c": 4}, [("a", "b"), ("b", "c")], at)
    return pb.ModifyRequest(request_id=request_id, reservation_id=reservation_id, cloudnet=net)


@pytest.mark.parametrize("kind", RefusalKind)
@pytest.mark.parametrize("domain", ["berlin", "zurich"])
def test_a_modify_that_is_refused_leaves_the_old_version_everywhere(
    kind: RefusalKind, domain: str
) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            before = await one.reserve(requested(WHOLE))
            held = it.held()
            it.refuses = always(domain, Refusal(kind, "no, it says"))
            change = wider(before.reservation_id, SPREAD)
            after = await one.reservations.Modify(change, NO_CONTEXT)
            assert (after.modified, after.version, placed(after)) == (False, 1, SPREAD)
            assert after.criteria == before.criteria
            assert (after.paths, after.proof) == (before.paths, before.proof)
            await until(lambda: it.held() == held, 600)

    run()


@pytest.mark.parametrize("dead", ["berlin", "zurich", "dfn"])
def test_a_modify_while_a_domain_is_away_is_old_or_new_and_never_neither(dead: str) -> None:
    @virtual
    async def run() -> None:
        async with Lying(world()) as it:
            one = await it.start()
            before = await one.reserve(requested(WHOLE))
            held = it.held()
            change = wider(before.reservation_id, SPREAD)
            change.negotiation_timeout_s = 5

            def dying(domain: str, message: Message) -> float | None:
                if domain != dead or not isinstance(message, ReservationPrep):
                    return 0.0
                one.gateway.down(dead)
                return None

            it.delay = dying
            call = asyncio.create_task(one.reservations.Modify(change, NO_CONTEXT))
            await asyncio.sleep(20)
            it.delay = lambda domain, message: 0.0
            if dead not in one.gateway.topology().domains:
                one.gateway.up(it.agents[dead])
            after = await call
            version = 2 if after.modified else 1
            assert after.version == version
            names = {"berlin", "munich", "zurich", "dfn", "ix"}
            await until(
                lambda: it.held() == {n: [(before.reservation_id, version)] for n in names}, 600
            )
            assert (held == it.held()) is (version == 1)

    run()


@virtual
async def test_a_modify_of_a_provider_that_is_gone_moves_its_vnodes_when_asked_to() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        before = await one.reserve(requested(WHOLE))
        one.gateway.down("zurich")
        change = wider(before.reservation_id, {"a": "berlin", "b": "munich", "c": "munich"})
        after = await one.reservations.Modify(change, NO_CONTEXT)
        assert after.modified, after.refusals
        assert placed(after)["c"] == "munich"
        one.gateway.up(it.agents["zurich"])
        await until(lambda: "zurich" not in it.held(), 600)


@virtual
async def test_a_modify_without_a_placing_moves_what_is_at_a_provider_that_is_gone() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        before = await one.reserve(requested(WHOLE))
        one.gateway.down("zurich")
        change = wider(before.reservation_id, {})
        after = await one.reservations.Modify(change, NO_CONTEXT)
        assert after.modified, after.refusals
        at = placed(after)
        assert (at["a"], at["b"]) == ("berlin", "munich")
        assert at["c"] in ("berlin", "munich")
        assert after.proof.proof_scope == "present"


@virtual
async def test_the_same_modify_again_answers_the_same_and_another_body_is_taken() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        before = await one.reserve(requested(WHOLE))
        change = wider(before.reservation_id, SPREAD)
        first = await one.reservations.Modify(change, NO_CONTEXT)
        again = await one.reservations.Modify(change, NO_CONTEXT)
        assert again.version == first.version == 2
        other = wider(before.reservation_id, {"a": "munich"})
        await refused(
            one.reservations.Modify(other, NO_CONTEXT), StatusCode.ALREADY_EXISTS, "request_id"
        )


# Cancel, take-over, what is told ------------------------------------------------------------------


async def begun(it: Lying, one: One, silent: str = "zurich") -> str:
    """A negotiation under way: all but one hold."""
    it.delay = lambda domain, message: (
        None if domain == silent and isinstance(message, ReservationPrep) else 0.0
    )
    record = await one.reserve(requested(WHOLE, detach=True))
    assert record.state == pb.RESERVATION_STATE_NEGOTIATING
    await until(lambda: "dfn" in it.held())
    return record.reservation_id


@virtual
async def test_a_cancel_amid_the_negotiation_leaves_nothing_held() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        name = await begun(it, one)
        record = await one.cancel(name)
        assert record.state == pb.RESERVATION_STATE_CANCELLED
        it.delay = lambda domain, message: 0.0
        await nothing_is_held(it)
        assert (await one.get(name)).state == pb.RESERVATION_STATE_CANCELLED


@noisy
async def test_another_instance_takes_over_a_committed_cloudnet_and_modifies_it() -> None:
    async with Lying(world()) as it:
        one = await it.start("a")
        before = await one.reserve(requested(WHOLE))
        await it.kill("a")
        two = await it.start("b")
        seen = await two.get(before.reservation_id)
        for name in ("criteria", "paths", "parts", "proof"):
            assert getattr(seen, name) == getattr(before, name)
        change = wider(before.reservation_id, SPREAD)
        after = await two.reservations.Modify(change, NO_CONTEXT)
        assert after.modified, after.refusals
        await two.cancel(before.reservation_id)
        await nothing_is_held(it)


@virtual
async def test_watch_tells_the_whole_life_of_a_cloudnet() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.refuses = once("berlin", Refusal(RefusalKind.LABEL, "taken", resource="berlin:dfn"))
        record = await one.reserve(requested(WHOLE))
        events = await one.events(record.reservation_id)
        states = [e.state_changed.state for e in events if e.WhichOneof("kind") == "state_changed"]
        assert states == [pb.RESERVATION_STATE_NEGOTIATING, COMMITTED]
        plans = [event.planned for event in events if event.WhichOneof("kind") == "planned"]
        assert [plan.round for plan in plans] == [1, 2]
        assert {path.vlink for path in plans[0].paths} == {"a-b", "b-c"}
        answers = [e.prepare_answered for e in events if e.WhichOneof("kind") == "prepare_answered"]
        no = [answer for answer in answers if not answer.held]
        assert [(answer.domain, answer.round, answer.refusal.reason) for answer in no] == [
            ("berlin", 1, "taken")
        ]
        heard = {
            e.offers_received.domain for e in events if e.WhichOneof("kind") == "offers_received"
        }
        assert {"berlin", "munich", "zurich"} <= heard
        assert "COMMIT" in [e.decided.decision for e in events if e.WhichOneof("kind") == "decided"]


@virtual
async def test_list_shows_cloudnets_beside_each_other_newest_first() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        for i in range(3):
            await one.reserve(requested(cloudnet({f"v{i}": 1}, ()), f"r{i}"))
        await one.reserve(requested(cloudnet({"big": 100}, ()), "big"))
        listed = await one.reservations.List(pb.ListRequest(), NO_CONTEXT)
        assert [r.criteria.request_id for r in listed.reservations] == ["big", "r2", "r1", "r0"]
        assert [set(placed(r)) for r in listed.reservations] == [set(), {"v2"}, {"v1"}, {"v0"}]
        only = pb.ListRequest(states=[pb.RESERVATION_STATE_FAILED])
        failed = await one.reservations.List(only, NO_CONTEXT)
        assert [r.criteria.request_id for r in failed.reservations] == ["big"]


@virtual
async def test_a_plan_tells_where_vnodes_would_be_and_holds_nothing() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        plan = await one.reservations.Plan(requested(WHOLE), NO_CONTEXT)
        assert plan.feasible
        assert {each.vnode: each.domain for each in plan.vnodes} == SPREAD
        assert {path.vlink for path in plan.paths} == {"a-b", "b-c"}
        assert plan.proof.status == "optimal"
        assert not plan.HasField("advice")
        assert not it.preps
        assert it.held() == {}
        record = await one.reserve(requested(WHOLE))
        assert record.proof == plan.proof


@virtual
async def test_a_plan_of_what_does_not_fit_says_why_and_holds_nothing() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        plan = await one.reservations.Plan(requested(cloudnet({"big": 100}, ())), NO_CONTEXT)
        assert not plan.feasible
        assert "92 cores short at all providers" in plan.refusals[-1].reason
        assert not plan.vnodes
        assert plan.proof.status == "infeasible"
        assert not plan.alternatives
        assert it.held() == {}


@virtual
async def test_many_cloudnets_at_once_each_are_whole_or_nothing_and_none_is_held_twice() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        # 72 cores in all: of ten times 12 at most six fit.
        nets = [cloudnet({"a": 4, "b": 4, "c": 4}, [("a", "b"), ("b", "c")]) for _ in range(10)]
        records = await asyncio.gather(
            *(one.reserve(requested(net, f"r{i}")) for i, net in enumerate(nets))
        )
        good = {r.reservation_id: r for r in records if r.state == COMMITTED}
        assert 1 <= len(good) <= 6
        expected = {
            (part.domain, name, 1) for name, record in good.items() for part in record.parts
        }

        def held() -> set[tuple[str, str, int]]:
            return {(n, name, version) for n, rows in it.held().items() for name, version in rows}

        await until(lambda: held() == expected, 600)
