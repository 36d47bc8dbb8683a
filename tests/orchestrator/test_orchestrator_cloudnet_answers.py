"""What a refused CloudNet is told: by every provider that was tried, and how sure it is."""

from __future__ import annotations

import math

import pytest
from orchestrated import NO_CONTEXT, NOW_S, virtual
from providers_world import cloudnet, placed, requested, world
from test_orchestrator_cloudnet_refusals import Lying, always

from braid.v1 import reservations_pb2 as pb
from cloudnets.vnp import Circuit
from orchestrator.breaker import Signal
from orchestrator.cloudnet_answers import REFUSALS_MAX, Tried, of_vlink, proof_of_none
from protocol.messages import ReservationPrep
from substrate.model import Criteria, Refusal, RefusalKind, Window
from substrate.values import replace

FAILED = pb.RESERVATION_STATE_FAILED
CIRCUIT = Criteria("berlin:dfn", "munich:dfn", 1, Window(NOW_S, NOW_S + 60))
NO = Refusal(RefusalKind.RESOURCE, "no room, it says")


@virtual
async def test_every_provider_that_was_tried_is_named_with_what_it_said() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.refuses = lambda name, prep: (
            replace(NO, domain=name, reason=f"no, says {name}") if prep.graph else None
        )
        record = await one.reserve(requested(cloudnet({"a": 2}, ())))
        assert record.state == FAILED
        *tried, last = record.refusals
        names = {"berlin", "munich", "zurich"}
        assert {(each.domain, each.reason) for each in tried} == {
            (name, f"no, says {name}") for name in names
        }
        assert "(berlin, munich, zurich: has refused a)" in last.reason
        again = await one.get(record.reservation_id)
        assert again.refusals == record.refusals


@virtual
async def test_after_the_last_plan_all_who_refused_are_named() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.refuses = always("dfn", Refusal(RefusalKind.LABEL, "taken", resource="dfn:berlin"))
        spread = cloudnet(("a", "b"), [("a", "b")], {"a": "berlin", "b": "munich"})
        record = await one.reserve(requested(spread))
        assert [each.domain for each in record.refusals] == ["dfn", ""]
        assert record.refusals[-1].reason == "8 plans were refused, by dfn; no others are tried"


@virtual
async def test_what_has_not_a_feature_is_not_asked_for_there_with_others_again() -> None:
    """So three providers and two VNodes need no more than three plans, and none for each set."""
    async with Lying(world()) as it:
        one = await it.start()

        def lacking(name: str, prep: ReservationPrep) -> Refusal | None:
            if name == "zurich" or b"b" not in prep.graph:
                return None
            return Refusal(RefusalKind.FEATURE, "none for b", name, elements=("b",))

        it.refuses = lacking
        record = await one.reserve(requested(cloudnet(("a", "b"), [("a", "b")])))
        assert placed(record)["b"] == "zurich", record.refusals
        assert len(it.of("berlin")) + len(it.of("munich")) <= 3


@virtual
async def test_a_plan_that_is_infeasible_states_status_objective_bound_gap_and_scope() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        big = requested(cloudnet({"big": 100}, ()))
        plan = await one.reservations.Plan(big, NO_CONTEXT)
        record = await one.reserve(big)
        again = await one.get(record.reservation_id)
        for proof in (plan.proof, record.proof, again.proof):
            assert (proof.status, proof.proof_scope) == ("infeasible", "whole")
            assert proof.objective == proof.bound == proof.gap == math.inf


@virtual
async def test_what_providers_refused_is_not_proven_to_be_infeasible() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        it.refuses = lambda name, prep: replace(NO, domain=name)
        record = await one.reserve(requested(cloudnet({"a": 2}, ())))
        proof = record.proof
        assert (proof.status, proof.bound, proof.proof_scope) == ("unknown", 0, "whole")
        assert proof.objective == proof.gap == math.inf


@virtual
async def test_what_a_domain_that_is_left_out_might_take_is_not_proven_to_be_infeasible() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        while "zurich" in one.engine.question(CIRCUIT, 0).topology.domains:
            one.engine.breakers.hear("zurich", Signal.NOT_OFFERED)
        plan = await one.reservations.Plan(requested(cloudnet({"big": 100}, ())), NO_CONTEXT)
        assert "zurich is left out" in plan.refusals[0].reason
        assert (plan.proof.status, plan.proof.bound) == ("unknown", 0)


@virtual
async def test_a_provider_that_is_away_is_named_where_it_might_have_helped() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        one.gateway.down("zurich")
        there = cloudnet({"big": 2}, (), {"big": "zurich"})
        for asked in (cloudnet({"big": 100}, ()), there):
            plan = await one.reservations.Plan(requested(asked), NO_CONTEXT)
            assert plan.refusals[0].reason == "zurich is left out: it cannot be reached"
            assert plan.proof.status == "unknown"
        told = plan.refusals[-1].reason
        assert told == "zurich, where big must be, has not told what it has free"


@virtual
async def test_a_modify_that_is_refused_leaves_the_proof_of_what_stands() -> None:
    async with Lying(world()) as it:
        one = await it.start()
        before = await one.reserve(requested(cloudnet({"a": 2}, ())))
        change = pb.ModifyRequest(
            request_id="m",
            reservation_id=before.reservation_id,
            cloudnet=cloudnet({"a": 100}, ()),
        )
        after = await one.reservations.Modify(change, NO_CONTEXT)
        assert not after.modified
        assert after.proof == before.proof


def test_each_thing_that_is_said_is_told_once_and_the_latest_of_too_many() -> None:
    tried = Tried()
    for number in range(100):
        tried.add(Refusal(RefusalKind.RESOURCE, f"no {number % 50}", "berlin"))
    tried.add(Refusal(RefusalKind.RESOURCE, "no 30", "berlin"))
    told = tried.with_last(NO)
    assert len(told) == REFUSALS_MAX
    assert [each.reason for each in told[-3:]] == ["no 49", "no 30", NO.reason]


@pytest.mark.parametrize("free", [None, 0, 400])
def test_a_vlink_that_is_too_thick_says_how_much_is_short_if_that_is_known(
    free: int | None,
) -> None:
    why = Refusal(RefusalKind.BANDWIDTH, "too thin", available_bps=free)
    told = of_vlink(why, Circuit("wire", "munich", "berlin", 1000, None), "too thin")
    assert (told.where, told.asked, told.elements) == ("berlin--munich", 1000, ("wire",))
    assert told.short == (None if free is None else 1000 - free)
    assert [each.short for each in told.shortages] == ([] if free is None else [1000 - free])


def test_a_proof_of_none_says_what_is_known() -> None:
    assert proof_of_none(proven=True).bound == math.inf
    assert proof_of_none(proven=False).bound == 0
