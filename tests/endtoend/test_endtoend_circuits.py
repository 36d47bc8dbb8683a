"""Circuits over real gRPC, databases and backends: from a request to committed and released."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from world import G, M, agent, diamond, eventually, line, port, world

from braid.v1 import reservations_pb2 as pb, topology_pb2

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
ENDED = pb.RESERVATION_STATE_ENDED


async def test_150_over_two_disjoint_100s(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        record = await w.reserve(150 * G)
        assert record.state == COMMITTED
        assert sum(path.bandwidth_bps for path in record.paths) == 150 * G
        assert {path.hops[1].domain for path in record.paths} == {"m1", "m2"}
        assert record.advice.parallel_streams == 4
        assert set(await w.held()) == {"west", "east", "m1", "m2"}
        assert (await w.cancel(record.reservation_id)).state == CANCELLED
        await w.nothing_held()


async def test_fourteen_domains_in_a_line(tmp_path: Path) -> None:
    async with world(tmp_path, line(14)) as w:
        record = await w.reserve(80 * G, source="d1:host", destination="d14:host")
        assert record.state == COMMITTED
        assert [hop.domain for hop in record.paths[0].hops] == [f"d{i}" for i in range(1, 15)]
        assert len(await w.held()) == 14


async def test_what_does_not_fit_is_refused_with_its_reason_and_holds_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, diamond()) as w:
        record = await w.reserve(300 * G)
        assert record.state == FAILED
        assert record.refusals[0].kind == 1
        assert record.refusals[0].reason
        assert await w.held() == {}


async def test_plan_tells_the_same_and_holds_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(m2={"visible": False})) as w:
        plan = await w.reservations.Plan(w.request(150 * G))
        assert plan.feasible
        assert plan.depends_on_blind
        assert sum(path.bandwidth_bps for path in plan.paths) == 150 * G
        refused = await w.reservations.Plan(w.request(300 * G))
        assert not refused.feasible
        assert refused.refusals[0].reason
        assert await w.held() == {}


async def test_the_same_request_again_gives_the_recorded_answer(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        request = w.request(50 * G)
        first = await w.reservations.Reserve(request)
        again = await w.reservations.Reserve(request)
        assert again.reservation_id == first.reservation_id
        request.bandwidth_bps += 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.reservations.Reserve(request)
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
        assert "request_id" in str(caught.value.details())
        assert await w.held() == {"east": 1, "m1": 1, "west": 1}


async def test_the_work_goes_on_when_the_client_gives_up(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        request = w.request(50 * G)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.reservations.Reserve(request, timeout=0.001)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await w.reservations.Reserve(request)).state == COMMITTED


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_of_sixteen_clients_that_want_600_of_1000_exactly_one_commits(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    configs = diamond(middle=1, capacity="1000M")
    async with world(tmp_path, configs, url) as w:
        for trial in range(100):
            records = await asyncio.gather(*(w.reserve(600 * M) for _ in range(16)))
            states = [record.state for record in records]
            assert states.count(COMMITTED) == 1, f"trial {trial}: {states}"
            assert states.count(FAILED) == 15
            winner = records[states.index(COMMITTED)]
            await w.cancel(winner.reservation_id)
            await w.nothing_held()


async def test_no_vlan_is_ever_given_twice(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        records = await asyncio.gather(*(w.reserve(1 * G) for _ in range(40)))
        assert [r.refusals for r in records if r.state != COMMITTED] == []
        for side in ("ingress", "egress"):
            used = [
                (getattr(hop, f"{side}_stp"), getattr(hop, f"{side}_vlan"))
                for record in records
                for hop in record.paths[0].hops
            ]
            assert len(used) == len(set(used))


async def test_a_modify_beyond_the_port_is_refused_and_the_old_one_stands(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1, capacity="1000M")) as w:
        record = await w.reserve(100 * M)
        before = {h.part_id for h in await w.holdings("m1")}
        for number, bandwidth in enumerate([50_000 * M, 50_000 * G]):
            answer = await _modify(w, record, f"c-{number}", bandwidth_bps=bandwidth)
            if isinstance(answer, pb.ReservationRecord):
                assert not answer.modified
                assert answer.refusals
            else:
                assert answer is grpc.StatusCode.OUT_OF_RANGE
        stands = await w.get(record.reservation_id)
        assert stands.state == COMMITTED
        assert stands.version == 1
        assert stands.criteria.bandwidth_bps == 100 * M
        assert {h.part_id for h in await w.holdings("m1")} == before


async def test_a_modify_takes_effect_everywhere_and_gives_the_old_version_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        record = await w.reserve(60 * G)
        end_s = record.criteria.window.end_s + 600
        changed = await _modify(w, record, "c-1", bandwidth_bps=90 * G, end_s=end_s)
        assert changed.modified
        assert (changed.version, changed.criteria.bandwidth_bps) == (2, 90 * G)
        assert changed.criteria.window.end_s == end_s
        assert changed.paths[0].hops == record.paths[0].hops
        again = await _modify(w, record, "c-1", bandwidth_bps=90 * G, end_s=end_s)
        assert again.version == 2

        async def only_the_new() -> bool:
            holdings = await w.holdings("m1")
            return [h.segments[0].bandwidth_bps for h in holdings] == [90 * G]

        await eventually(only_the_new)
        small = await _modify(w, changed, "c-2", bandwidth_bps=10 * G)
        assert small.modified
        other = await w.reserve(90 * G)
        assert other.state == COMMITTED
        refused = await _modify(w, small, "c-3", bandwidth_bps=20 * G)
        assert not refused.modified
        assert refused.refusals
        recorded = await _modify(w, small, "c-2", bandwidth_bps=10 * G)
        assert (recorded.modified, recorded.version) == (True, 3)
        assert not (await _modify(w, small, "c-3", bandwidth_bps=20 * G)).modified
        assert (await w.get(record.reservation_id)).criteria.bandwidth_bps == 10 * G


async def test_a_domain_that_is_down_is_left_out_and_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        await w.stop_agent("m1")
        record = await w.reserve(50 * G)
        assert record.state == COMMITTED
        assert record.paths[0].hops[1].domain == "m2"
        await w.start_agent("m1")
        await w.all_up()
        both = await w.reserve(140 * G)
        assert both.state == COMMITTED


async def test_a_domain_that_is_away_at_the_cancel_is_told_when_it_returns(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        record = await w.reserve(50 * G)
        await w.stop_agent("m1")
        cancelled = await w.cancel(record.reservation_id)
        assert cancelled.state == CANCELLED
        assert (await w.cancel(record.reservation_id)).state == CANCELLED
        await w.start_agent("m1")
        await w.nothing_held()

        async def released() -> bool:
            return all(part.released for part in (await w.get(record.reservation_id)).parts)

        await eventually(released)


async def test_an_orchestrator_that_restarts_keeps_what_it_said(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        record = await w.reserve(150 * G)
        await w.stop_orchestrator()
        await w.start_orchestrator()
        await w.all_up()
        assert await w.get(record.reservation_id) == record
        assert (await w.cancel(record.reservation_id)).state == CANCELLED
        await w.nothing_held()


async def test_activation_and_release_are_watched(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        record = await w.reserve(50 * G, start_in_s=1, duration_s=2)
        states = []
        watch = w.reservations.Watch(pb.WatchRequest(reservation_id=record.reservation_id))
        async with asyncio.timeout(60):
            async for event in watch:
                if event.HasField("data_plane_changed"):
                    states.append((event.data_plane_changed.domain, event.data_plane_changed.state))
                if event.state_changed.state == ENDED:
                    break
        watch.cancel()
        for domain in ("west", "m1", "east"):
            assert (domain, 2) in states
        assert (await w.get(record.reservation_id)).state == ENDED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.cancel(record.reservation_id)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_agents_act_on_time_without_an_orchestrator(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        record = await w.reserve(50 * G, start_in_s=2, duration_s=60)
        await w.stop_orchestrator()

        async def active() -> bool:
            return all(h.data_plane == 2 for h in await w.holdings("m1"))

        await eventually(active)
        assert (await w.holdings("m1"))[0].rules
        await w.start_orchestrator()
        await w.all_up()

        async def told() -> bool:
            return bool((await w.get(record.reservation_id)).data_plane == 2)

        await eventually(told)


async def test_watch_tells_the_negotiation_and_ends_when_it_is_decided(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        record = await w.reservations.Reserve(w.request(150 * G, detach=True))
        assert record.state == pb.RESERVATION_STATE_NEGOTIATING
        watch = w.reservations.Watch(
            pb.WatchRequest(reservation_id=record.reservation_id, until_decided=True)
        )
        async with asyncio.timeout(60):
            events = [event async for event in watch]
        kinds = [event.WhichOneof("kind") for event in events]
        assert kinds[0] == "state_changed"
        for kind in ("paths_found", "offers_requested", "offers_received", "planned"):
            assert kind in kinds
        assert kinds.count("prepare_answered") == 4
        assert events[-1].state_changed.state == COMMITTED or "decided" in kinds
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))


async def test_a_domain_joins_and_leaves_at_run_time(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        extra = agent("isle", "pip", [port("host")])
        w.configs["isle"] = extra
        await w.start_agent("isle")
        target = w.agents["isle"].address
        await w.topology.Register(topology_pb2.RegisterRequest(domain="isle", target=target))
        await w.all_up()
        await w.stop_orchestrator()
        w._ports.pop("isle")
        await w.start_orchestrator()
        await w.all_up()
        await w.topology.Unregister(topology_pb2.UnregisterRequest(domain="isle"))
        names = [s.domain.name for s in (await _topology(w)).domains]
        assert "isle" not in names


async def test_a_domain_in_use_cannot_leave(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        await w.reserve(1 * G)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.topology.Unregister(topology_pb2.UnregisterRequest(domain="m1"))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_domain_that_insists_on_expiry_takes_part(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1, m1={"hold_timeout_s": 30})) as w:
        record = await w.reserve(50 * G)
        assert record.state == COMMITTED
        changed = await _modify(w, record, "c-1", bandwidth_bps=60 * G)
        assert changed.modified
        assert changed.version == 2


async def test_cancel_while_it_is_negotiated_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, diamond()) as w:
        for _ in range(20):
            record = await w.reservations.Reserve(w.request(150 * G, detach=True))
            assert (await w.cancel(record.reservation_id)).state == CANCELLED
        await w.nothing_held()


async def test_lists_page_by_page(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=1)) as w:
        made = [(await w.reserve(1 * G)).reservation_id for _ in range(5)]
        first = await w.reservations.List(pb.ListRequest(page_size=3))
        rest = await w.reservations.List(
            pb.ListRequest(page_size=3, page_token=first.next_page_token)
        )
        listed = [r.reservation_id for r in [*first.reservations, *rest.reservations]]
        assert listed == made[::-1]
        assert rest.next_page_token == ""


async def test_availability_of_a_visible_domain(tmp_path: Path) -> None:
    async with world(tmp_path, diamond(middle=2, m2={"visible": False})) as w:
        record = await w.reserve(60 * G, constraints=pb.Constraints(via_domains=["m1"]))
        window = record.criteria.window
        request = topology_pb2.AvailabilityRequest(
            ingress_stp="m1:west", egress_stp="m1:east", window=window
        )
        answer = await w.topology.Availability(request)
        assert min(step.bandwidth_bps for step in answer.profile) == 40 * G
        blind = topology_pb2.AvailabilityRequest(
            ingress_stp="m2:west", egress_stp="m2:east", window=window
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await w.topology.Availability(blind)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def _modify(w: Any, record: pb.ReservationRecord, request_id: str, **fields: Any) -> Any:
    request = pb.ModifyRequest(
        request_id=request_id, reservation_id=record.reservation_id, **fields
    )
    try:
        return await w.reservations.Modify(request, timeout=60)
    except grpc.aio.AioRpcError as error:
        return error.code()


async def _topology(w: Any) -> topology_pb2.GetTopologyResponse:
    answer: topology_pb2.GetTopologyResponse = await w.topology.Get(
        topology_pb2.GetTopologyRequest()
    )
    return answer
