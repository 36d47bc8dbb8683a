"""A Modify that takes VNodes to other providers takes along what they have, or is none."""

from __future__ import annotations

import asyncio

import pytest
from carrying_world import AWAY, MOVED, NEVER, SPREAD, Step, carrying
from grpc import StatusCode
from orchestrated import NO_CONTEXT, noisy, refused, until, virtual
from providers_world import HOUR_S, cloudnet, placed

from agents.steps import key_of
from braid.v1 import cloudnets_pb2, reservations_pb2 as pb
from orchestrator.cloudnet_server import CloudNetsService
from protocol.messages import Release
from simulations.clock import run_virtual
from simulations.gateway import Message

CARRY, BEGIN, BACK = ("carry", "b", "zurich"), ("begin", "b", "zurich"), ("put_back", "b", "munich")


@virtual
async def test_what_a_vnode_has_goes_with_it_and_the_others_run_on() -> None:
    async with carrying() as w:
        after = await w.move()
        assert (after.modified, after.version, placed(after)) == (True, 2, MOVED)
        await w.settled()
        assert await w.reads("zurich", "b")
        assert await w.states("munich") == {}
        assert "munich" not in w.it.held()
        for vnode, domain in (("a", "berlin"), ("c", "zurich")):
            assert await w.reads(domain, vnode)
        assert w.carrier.done == [CARRY, BEGIN]


@pytest.mark.parametrize("rounds", [0, 8])
def test_until_all_is_there_nobody_is_told_and_nobody_writes(rounds: int) -> None:
    run_virtual(_nobody_is_told(rounds))


async def _nobody_is_told(rounds: int) -> None:
    async with carrying(carry_rounds=rounds) as w:
        seen = []

        async def look(step: Step) -> None:
            record = await w.get()
            here = await w.states("zurich")
            states = (await w.states("munich"))["b"], here.get("b", "gone")
            seen.append((step[0], record.version, *states))

        w.carrier.before = look
        await w.move()
        await w.settled()
        begin = ("begin", 2, "paused", "paused") if rounds else ("begin", 2, "stopped", "stopped")
        ahead = [("ahead", 1, "running", "gone")] * 2 if rounds else []
        assert seen == [*ahead, ("carry", 1, "running", "gone"), begin]


@virtual
async def test_the_data_plane_of_the_new_provider_is_told_once_it_is_in_force() -> None:
    async with carrying() as w:
        before = {part.domain: part.data_plane for part in (await w.get()).parts}
        await w.move()
        await w.settled()
        after = {part.domain: part.data_plane for part in (await w.get()).parts}
        assert set(after.values()) == set(before.values()) == {before["berlin"]}


@virtual
async def test_what_cannot_be_carried_leaves_the_old_version_in_force_and_running() -> None:
    async with carrying() as w:
        w.carrier.fails[CARRY] = [NEVER]
        after = await w.move()
        assert (after.modified, after.version, placed(after)) == (False, 1, SPREAD)
        (refusal,) = after.refusals
        assert refusal.reason == (
            "what VNode b has could not be carried from munich to zurich: its disk is too odd;"
            " possible: to leave it at munich, or to say that it begins anew"
        )
        await w.settled()
        assert w.it.held().keys() == {"berlin", "munich", "zurich", "dfn", "ix"}
        assert await w.reads("munich", "b")
        assert "b" not in await w.states("zurich")
        assert w.holds("zurich") == [1]


@virtual
async def test_a_source_that_is_stopped_for_nothing_runs_again() -> None:
    async with carrying() as w:

        async def half(step: Step) -> None:
            if step == CARRY:
                await w.clouds("munich").carrying.export(w.id, "b")
                assert await w.states("munich") == {"b": "stopped"}

        w.carrier.before, w.carrier.fails[CARRY] = half, [NEVER]
        assert not (await w.move()).modified
        await w.settled()
        assert await w.reads("munich", "b")


@virtual
async def test_who_is_away_for_a_while_is_asked_again() -> None:
    async with carrying() as w:
        w.carrier.fails[CARRY] = [AWAY, AWAY, AWAY]

        async def back(step: Step) -> None:
            if len(w.carrier.fails.get(step, ())) == 1:
                del w.carrier.fails[step]

        w.carrier.before = back
        assert (await w.move()).modified
        await w.settled()
        assert await w.reads("zurich", "b")


@virtual
async def test_it_is_tried_for_so_long_and_no_longer() -> None:
    async with carrying(carry_ms=120_000) as w:
        w.carrier.fails[CARRY] = [AWAY]
        began_ms = w.it.clock.now_ms()
        after = await w.move()
        assert not after.modified
        assert "nobody answers" in after.refusals[0].reason
        assert 120_000 <= w.it.clock.now_ms() - began_ms < 200_000
        await w.settled()
        assert await w.reads("munich", "b")


@noisy
async def test_a_source_that_cannot_be_told_that_its_vnode_stays_is_named() -> None:
    async with carrying() as w:

        async def half(step: Step) -> None:
            if step == CARRY:
                await w.clouds("munich").carrying.export(w.id, "b")

        w.carrier.before = half
        w.carrier.fails = {CARRY: [NEVER], BACK: [AWAY]}
        after = await w.move()
        assert not after.modified
        assert [refusal.reason.split(":")[0] for refusal in after.refusals] == [
            "what VNode b has could not be carried from munich to zurich",
            "VNode b may stand still at munich, which could not be told that it stays",
        ]
        await w.settled()
        assert await w.states("munich") == {"b": "stopped"}
        # What the refusal says is possible.
        request = cloudnets_pb2.PowerRequest(
            reservation_id=w.id, action=cloudnets_pb2.POWER_ACTION_START, vnodes=["b"]
        )
        await w.clouds("munich").switch(request.reservation_id, request.vnodes, off=False)
        assert await w.reads("munich", "b")


@virtual
async def test_of_several_all_are_carried_or_none() -> None:
    async with carrying() as w:
        to = {"a": "munich", "b": "zurich", "c": "zurich"}
        w.carrier.fails[CARRY] = [NEVER]
        after = await w.move(to)
        assert (after.modified, placed(after)) == (False, SPREAD)
        assert ("carry", "a", "munich") in w.carrier.done
        await w.settled()
        assert await w.reads("berlin", "a")
        assert await w.reads("munich", "b")
        del w.carrier.fails[CARRY]
        again = await w.move(to, "again")
        assert (again.modified, placed(again)) == (True, to)
        await w.settled()
        assert await w.reads("munich", "a")
        assert await w.reads("zurich", "b")


@virtual
async def test_there_and_back_again_it_has_what_it_had_last() -> None:
    async with carrying() as w:
        await w.move()
        await w.settled()
        await w.says("zurich", "b", "write note from zurich")
        assert (await w.move(SPREAD, "back")).modified
        await w.settled()
        assert await w.reads("munich", "b")
        assert "from zurich" in await w.says("munich", "b", "read note")


@virtual
async def test_what_is_to_begin_anew_is_not_carried_even_from_one_who_is_away() -> None:
    async with carrying() as w:
        w.carrier.fails[CARRY] = [AWAY]
        after = await w.move(anew=["b"])
        assert (after.modified, placed(after)) == (True, MOVED)
        await w.settled()
        assert not await w.reads("zurich", "b")
        assert w.carrier.done == []


@virtual
async def test_what_began_anew_once_does_not_so_at_changes_that_do_not_say_it() -> None:
    async with carrying() as w:
        assert list((await w.move(anew=["b"])).criteria.cloudnet.anew) == ["b"]
        longer = pb.ModifyRequest(
            reservation_id=w.id, request_id="longer", end_s=w.record.criteria.window.end_s + 60
        )
        record = await w.one.reservations.Modify(longer, NO_CONTEXT)
        assert record.modified
        assert not record.criteria.cloudnet.anew
        w.carrier.done.clear()
        back = pb.ModifyRequest(reservation_id=w.id, request_id="back", cloudnet=w.net(SPREAD))
        assert (await w.one.reservations.Modify(back, NO_CONTEXT)).modified
        assert ("carry", "b", "munich") in w.carrier.done


@virtual
async def test_of_what_has_not_begun_there_is_nothing_to_carry() -> None:
    async with carrying(start_in_s=HOUR_S) as w:
        assert (await w.move()).modified
        await asyncio.sleep(2 * HOUR_S)
        assert await w.states("zurich") == {"b": "running", "c": "running"}
        assert w.carrier.done == []


@virtual
async def test_what_begins_amid_its_change_is_waited_for_and_goes_live() -> None:
    async with carrying(start_in_s=5) as w:
        assert (await w.move()).modified
        await w.settled()
        assert await w.states("zurich") == {"b": "running", "c": "running"}
        assert await w.states("munich") == {}
        assert w.carrier.live == [True]


@virtual
async def test_what_is_left_out_elsewhere_stays_as_it_was_where_a_vnode_cannot_be_carried() -> None:
    async with carrying() as w:
        w.carrier.fails[CARRY] = [NEVER]
        # Berlin has no room for these beside a.
        net = cloudnet({"b": 2, "c": 2, "e": 8, "f": 8, "g": 8}, [("b", "c")])
        at = {"b": "zurich", "c": "zurich", **dict.fromkeys("efg", "berlin")}
        for vnode, domain in sorted(at.items()):
            net.placing.add(vnode=vnode, domain=domain)
        change = pb.ModifyRequest(reservation_id=w.id, request_id="m", cloudnet=net)
        after = await w.one.reservations.Modify(change, NO_CONTEXT)
        assert (after.modified, placed(after)) == (False, SPREAD)
        await w.settled()
        for vnode, domain in SPREAD.items():
            assert await w.reads(domain, vnode)


@pytest.mark.parametrize("name", ["b", "zoe"])
def test_only_vnodes_of_the_graph_may_begin_anew(name: str) -> None:
    @virtual
    async def run() -> None:
        async with carrying() as w:
            if name == "b":
                assert (await w.move(anew=[name])).modified
            else:
                error = await refused(
                    w.move(anew=[name]), StatusCode.INVALID_ARGUMENT, "cloudnet.anew[0]"
                )
                assert error.possible == "one of a, b, c"

    run()


@virtual
async def test_nobody_switches_a_vnode_that_is_on_its_way() -> None:
    async with carrying() as w:
        tried = []

        async def power(step: Step) -> None:
            if step != CARRY:
                return
            service = CloudNetsService(w.one.reservations, w)  # type: ignore[arg-type]
            request = cloudnets_pb2.PowerRequest(
                reservation_id=w.id, action=cloudnets_pb2.POWER_ACTION_START, vnodes=["b"]
            )
            call = service.Power(request, NO_CONTEXT)
            tried.append(await refused(call, StatusCode.FAILED_PRECONDITION, "vnodes"))

        w.carrier.before = power
        await w.move()
        assert [error.possible for error in tried] == [
            "once it has been carried from munich to zurich"
        ]


# Whoever dies -------------------------------------------------------------------------------------


@virtual
async def test_an_orchestrator_that_dies_amid_it_goes_on_in_its_next_life() -> None:
    async with carrying() as w:

        async def at(_step: Step) -> bool:
            return True

        await w.move_and_die(at)
        await until(lambda: BEGIN in w.carrier.done, 600)
        await w.settled()
        assert placed(await w.get()) == MOVED
        assert await w.reads("zurich", "b")


@virtual
async def test_one_that_dies_before_it_begins_begins_in_its_next_life() -> None:
    async with carrying() as w:
        reached, never = asyncio.Event(), asyncio.Event()

        async def hang(step: Step) -> None:
            if step == BEGIN:
                reached.set()
                await never.wait()

        w.carrier.before = hang
        assert (await w.move()).modified
        await reached.wait()
        # What it had stands by until it runs.
        assert w.holds("munich") == [1]
        await w.it.kill("a")
        w.carrier.before = None
        w.one = await w.it.start("b")
        await until(lambda: BEGIN in w.carrier.done, 600)
        await w.settled()
        assert "munich" not in w.it.held()
        assert await w.reads("zurich", "b")


@virtual
async def test_what_hosts_have_lost_before_it_began_is_carried_once_more() -> None:
    async with carrying() as w:
        w.lose_once_before(BEGIN, "zurich")
        assert (await w.move()).modified
        await until(lambda: BEGIN in w.carrier.done, 600)
        assert w.carrier.done == [CARRY, CARRY, BEGIN]
        await w.settled()
        assert await w.reads("zurich", "b")


@virtual
async def test_what_had_begun_and_was_lost_is_carried_once_more_while_others_wait() -> None:
    async with carrying() as w:
        w.carrier.fails[("begin", "a", "munich")] = [AWAY]

        async def restored(step: Step) -> None:
            if step == BEGIN and BEGIN in w.carrier.done:
                w.carrier.before = None
                await w.forgets_it_began("zurich", "b")

        w.carrier.before = restored
        assert (await w.move({"a": "munich", "b": "zurich", "c": "zurich"})).modified
        await until(lambda: w.carrier.done.count(BEGIN) > 1, 600)
        assert w.carrier.done.count(CARRY) == 2
        del w.carrier.fails[("begin", "a", "munich")]
        await w.settled()
        assert await w.reads("zurich", "b")
        assert await w.reads("munich", "a")


@virtual
async def test_what_hosts_at_both_ends_have_lost_before_it_began_begins_anew() -> None:
    async with carrying() as w:

        async def lose(step: Step) -> None:
            if step == BEGIN:
                w.carrier.before = None
                await w.lose_what_came("zurich", "b")
                await w.lose("munich")

        w.carrier.before = lose
        assert (await w.move()).modified
        await until(lambda: BEGIN in w.carrier.done, 600)
        await w.settled()
        assert (await w.states("zurich"))["b"] == "running"
        assert "munich" not in w.it.held()


@virtual
async def test_a_vnode_that_does_not_begin_is_told_and_what_it_had_stands_by() -> None:
    async with carrying(carry_ms=60_000) as w:
        w.carrier.fails[BEGIN] = [AWAY]
        assert (await w.move()).modified
        await asyncio.sleep(300)
        record = await w.get()
        assert (record.version, record.state) == (2, pb.RESERVATION_STATE_COMMITTED)
        assert [refusal.reason for refusal in record.refusals] == [
            "VNode b does not run at zurich yet: nobody answers;"
            " what it had stands by at munich until it does"
        ]
        assert w.holds("munich") == [1]
        assert await w.states("munich") == {"b": "paused"}
        del w.carrier.fails[BEGIN]
        await w.settled()
        assert not (await w.get()).refusals
        assert await w.reads("zurich", "b")
        assert "munich" not in w.it.held()


@virtual
async def test_a_cancel_amid_it_ends_it_everywhere() -> None:
    async with carrying() as w:
        w.carrier.fails[CARRY] = [AWAY]
        move = asyncio.ensure_future(w.move())
        await asyncio.sleep(3)
        await w.one.cancel(w.id)
        record = await move
        assert record.state == pb.RESERVATION_STATE_CANCELLED
        await until(lambda: not w.it.held())
        await asyncio.sleep(60)
        for domain in SPREAD.values():
            assert await w.states(domain) == {}


@virtual
async def test_a_cancel_before_it_begins_ends_it_everywhere() -> None:
    async with carrying() as w:
        w.carrier.fails[BEGIN] = [AWAY]
        await w.move()
        await asyncio.sleep(3)
        await w.one.cancel(w.id)
        await until(lambda: not w.it.held())
        await asyncio.sleep(60)
        for domain in SPREAD.values():
            assert await w.states(domain) == {}


@virtual
async def test_a_third_version_before_the_second_began_keeps_what_the_first_had() -> None:
    async with carrying() as w:
        w.carrier.fails[BEGIN] = [AWAY]
        assert (await w.move()).modified
        bigger = {"a": "berlin", "b": "zurich", "c": "munich"}
        assert (await w.move(bigger, "third")).modified
        await asyncio.sleep(5)
        assert (await w.states("zurich")).get("b") == "paused"
        await w.it.kill("a")
        del w.carrier.fails[BEGIN]
        w.one = await w.it.start("b")
        await w.settled()
        assert placed(await w.get()) == bigger
        assert await w.reads("zurich", "b")
        assert await w.reads("munich", "c")


@virtual
async def test_a_version_is_released_after_those_before_it_that_would_run_again() -> None:
    async with carrying() as w:
        released: list[tuple[str, int]] = []

        def note(domain: str, message: Message) -> float:
            if isinstance(message, Release):
                version = w.it.agents[domain].parts.records.get(key_of(message))
                assert version is not None
                assert version.part.prep is not None
                released.append((domain, version.part.prep.version))
            return 0.0

        w.it.delay = note
        w.carrier.fails[BEGIN] = [AWAY]
        first = {"a": "berlin", "b": "zurich", "c": "zurich"}
        second = {"a": "munich", "b": "zurich", "c": "zurich"}
        assert (await w.move(first)).modified
        assert (await w.move(second, "second")).modified
        await asyncio.sleep(5)
        assert released == []
        assert await w.states("berlin") == {"a": "paused"}
        del w.carrier.fails[BEGIN]
        await w.settled()
        assert [version for domain, version in released if domain == "berlin"] == [1, 2]
        assert await w.states("berlin") == {}
        assert await w.reads("munich", "a")


@virtual
async def test_each_life_that_carries_sets_out_on_an_errand_of_its_own() -> None:
    async with carrying() as w:
        errands = []

        async def at(step: Step) -> bool:
            errands.append((await w.get()).errands)
            return step[0] == "carry"

        async def then(_step: Step) -> None:
            errands.append((await w.get()).errands)

        await w.move_and_die(at, then)
        await w.settled()
        assert (errands[0], errands[-1]) == (1, 2)
        assert errands == sorted(errands)


@virtual
async def test_what_a_restored_provider_may_await_again_begins_again_there_alone() -> None:
    async with carrying() as w:
        await w.move()
        await w.settled()
        w.carrier.done.clear()
        for domain in ("zurich", "munich"):
            w.reconciled(domain)
        await until(lambda: {*w.carrier.done} == {BEGIN, ("begin", "c", "zurich")})
        assert w.carrier.begun == [False, True, True]


@virtual
async def test_what_an_earlier_version_brought_to_a_restored_provider_begins_again_too() -> None:
    async with carrying() as w:
        await w.move()
        await w.settled()
        await w.move({"a": "munich", "b": "zurich", "c": "zurich"}, "second")
        await w.settled()
        assert [each.vnode for each in (await w.get()).carried] == ["a"]
        await w.forgets_it_began("zurich", "b")
        await asyncio.sleep(5)
        assert (await w.states("zurich"))["b"] == "running"


@virtual
async def test_who_takes_over_lets_begin_again_what_was_carried() -> None:
    async with carrying() as w:
        await w.move()
        await w.settled()
        w.carrier.done.clear()
        await w.it.kill("a")
        w.one = await w.it.start("b")
        others = {("begin", "a", "berlin"), ("begin", "c", "zurich")}
        await until(lambda: {*w.carrier.done} == {BEGIN, *others})
