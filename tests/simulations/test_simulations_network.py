"""The whole protocol over the in-memory network: real orchestrator, agents and books."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from simulated import (
    START_S,
    WINDOW,
    G,
    assert_nothing_held,
    circuit,
    committed,
    diamond,
    port,
    shares,
    virtual,
)

from orchestrator.negotiation import Failure
from orchestrator.records import Granted, State, fold_data_plane
from orchestrator.service import NotNowError
from protocol.messages import Commit, Inquire, ReqOffers, ReservationPrep, ReservationResp
from runtime.settings import SettingsError
from simulations.gateway import Message, once
from simulations.network import build_network
from substrate.model import DataPlaneState, RefusalKind, Strategy, Window

BOTH = pytest.mark.parametrize("duplicate", [False, True], ids=["once", "twice"])


@BOTH
@virtual
async def test_a_circuit_is_split_held_and_given_back(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        record = committed(await network.reserve(circuit(150)))
        assert sum(shares(record).values()) == 150
        assert set(shares(record)) == {"m1", "m2"}
        assert {name: len(parts) for name, parts in network.held().items()} == dict.fromkeys(
            ["east", "m1", "m2", "west"], 1
        )
        gone = await network.cancel(record.reservation_id)
        assert gone.state is State.CANCELLED
        await asyncio.sleep(1)
        assert_nothing_held(network)


@virtual
async def test_every_answer_to_a_doubled_message_is_the_same() -> None:
    answers: dict[tuple[str, str, str, str], list[ReservationResp]] = {}

    def doubled(domain: str, message: Message) -> Iterable[float]:
        if isinstance(message, ReservationResp):
            key = (domain, message.transaction_id, message.part_id, message.phase.name)
            answers.setdefault(key, []).append(message)
            return (0.0,)
        return (0.0, 0.25)

    async with await build_network(diamond(), passage=doubled) as network:
        first = committed(await network.reserve(circuit(150)))
        await asyncio.sleep(30)
        assert (await network.modify(first.reservation_id, bandwidth_bps=120 * G)).modified
        await asyncio.sleep(30)
        await network.cancel(first.reservation_id)
        await asyncio.sleep(30)
        assert_nothing_held(network)
    # Two versions in four domains: each part is prepared, committed and released.
    assert Counter(phase for *_, phase in answers) == {"PREP": 8, "COMMIT": 8, "RELEASE": 8}
    assert [seen for seen in answers.values() if seen != [seen[0], seen[0]]] == []
    assert all(seen[0].ok for seen in answers.values())


@BOTH
@virtual
async def test_a_modify_that_fits_replaces_the_old_version(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        old = committed(await network.reserve(circuit(80)))
        new = await network.modify(old.reservation_id, bandwidth_bps=180 * G)
        assert (new.modified, new.version, new.state) == (True, 2, State.COMMITTED)
        assert sum(shares(new).values()) == 180
        await asyncio.sleep(1)
        # What the old version held is free again: just 20 Gb/s are left.
        assert isinstance(await network.attempt(circuit(20)), Granted)
        assert isinstance(await network.attempt(circuit(21)), Failure)
        assert all(len(parts) == 1 for parts in network.held().values())
        await network.cancel(old.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


@BOTH
@virtual
async def test_a_modify_that_does_not_fit_leaves_the_old_version(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        old = committed(await network.reserve(circuit(80)))
        await asyncio.sleep(1)
        before = network.held()
        refused = await network.modify(old.reservation_id, bandwidth_bps=201 * G)
        assert (refused.modified, refused.version) == (False, 1)
        assert refused.refusals[0].kind is RefusalKind.BANDWIDTH
        assert refused.paths == old.paths
        await asyncio.sleep(1)
        assert network.held() == before
        assert isinstance(await network.attempt(circuit(120)), Granted)
        assert isinstance(await network.attempt(circuit(121)), Failure)


@virtual
async def test_a_modify_whose_domain_is_away_moves_or_leaves_the_old_version() -> None:
    async with await build_network(diamond()) as network:
        old = committed(await network.reserve(circuit(80)))
        (away,) = shares(old)
        network.down(away)
        moved = await network.modify(old.reservation_id, bandwidth_bps=90 * G)
        assert moved.modified
        assert away not in shares(moved)
        refused = await network.modify(old.reservation_id, bandwidth_bps=150 * G)
        assert (refused.modified, refused.version) == (False, 2)
        # The first version is still held where nobody could be told.
        assert len(network.held()[away]) == 1
        network.up(away)
        await asyncio.sleep(1)
        assert away not in network.held()
        await network.cancel(old.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


@BOTH
@virtual
async def test_a_domain_that_was_down_at_cancel_is_told_when_it_returns(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        record = committed(await network.reserve(circuit(150)))
        network.down("m1")
        gone = await network.cancel(record.reservation_id)
        assert gone.state is State.CANCELLED
        await asyncio.sleep(600)
        assert list(network.held()) == ["m1"]
        told = await network.orchestrator.get(record.reservation_id)
        assert [part.domain for part in told.parts if not part.released] == ["m1"]
        network.up("m1")
        await asyncio.sleep(1)
        assert_nothing_held(network)
        told = await network.orchestrator.get(record.reservation_id)
        assert all(part.released for part in told.parts)


@virtual
async def test_an_agent_that_crashed_still_holds_what_it_promised() -> None:
    async with await build_network(diamond()) as network:
        record = committed(await network.reserve(circuit(150)))
        epochs = {name: member.agent.epoch for name, member in network.members.items()}
        await network.restart("m1")
        assert network.members["m1"].agent.epoch == epochs["m1"]
        assert isinstance(await network.attempt(circuit(51)), Failure)
        assert isinstance(await network.attempt(circuit(50)), Granted)
        await network.cancel(record.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


@virtual
async def test_an_agent_that_crashes_before_the_decision_asks_for_it() -> None:
    asked: list[str] = []

    def deaf(domain: str, message: Message) -> Iterable[float]:
        """m1 hears no Commit until it has asked."""
        if isinstance(message, Inquire):
            asked.append(domain)
        return () if domain == "m1" and isinstance(message, Commit) and not asked else (0.0,)

    async with await build_network(diamond(1), passage=deaf) as network:
        record = committed(await network.reserve(circuit(10)))
        await network.restart("m1")
        await asyncio.sleep(60)
        assert asked[0] == "m1"
        (part,) = network.held()["m1"]
        assert part.part.state.name == "COMMITTED"
        await network.cancel(record.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


@virtual
async def test_every_first_message_about_a_part_is_lost() -> None:
    seen: set[tuple[Any, ...]] = set()

    def lossy(domain: str, message: Message) -> Iterable[float]:
        if not hasattr(message, "part_id"):
            return (0.0,)
        key = (domain, type(message), message.part_id, getattr(message, "phase", None))
        lost = key not in seen
        seen.add(key)
        return () if lost else (0.0,)

    async with await build_network(diamond(), passage=lossy) as network:
        record = committed(await network.reserve(circuit(150)))
        await asyncio.sleep(120)
        changed = await network.modify(record.reservation_id, bandwidth_bps=60 * G)
        assert changed.modified
        await asyncio.sleep(120)
        await network.cancel(record.reservation_id)
        await asyncio.sleep(600)
        assert_nothing_held(network)


@virtual
async def test_a_prep_that_comes_after_its_abort_holds_nothing() -> None:
    def slow(domain: str, message: Message) -> Iterable[float]:
        return (20.0,) if domain == "m1" and isinstance(message, ReservationPrep) else (0.0,)

    async with await build_network(diamond(1), passage=slow) as network:
        record = await network.reserve(circuit(10))
        assert record.state is State.FAILED
        assert RefusalKind.TIMEOUT in {refusal.kind for refusal in record.refusals}
        await asyncio.sleep(60)
        assert_nothing_held(network)


@virtual
async def test_a_domain_that_makes_no_offer_in_time_is_left_out() -> None:
    def silent(domain: str, message: Message) -> Iterable[float]:
        return () if domain == "m1" and isinstance(message, ReqOffers) else (0.0,)

    async with await build_network(diamond(), passage=silent) as network:
        record = committed(await network.reserve(circuit(80)))
        assert set(shares(record)) == {"m2"}


@virtual
async def test_what_is_under_way_when_a_domain_goes_down_is_lost() -> None:
    async with await build_network(diamond(1), passage=lambda _d, _m: (1.0,)) as network:
        asking = asyncio.ensure_future(network.reserve(circuit(10)))
        await asyncio.sleep(0.5)
        network.down("m1")
        network.up("m1")
        record = await asking
        assert record.state is State.FAILED
        await asyncio.sleep(60)
        assert_nothing_held(network)


@virtual
async def test_a_domain_that_insists_on_expiry_undoes_a_late_commit() -> None:
    def late(domain: str, message: Message) -> Iterable[float]:
        return (45.0,) if domain == "m1" and isinstance(message, Commit) else (0.0,)

    network = await build_network(diamond(1, expiring=("m1",)), passage=late)
    async with network:
        record = await network.reserve(circuit(10), timeout_s=300)
        assert record.state is State.FAILED
        await asyncio.sleep(60)
        assert_nothing_held(network)


@virtual
async def test_success_waits_for_every_domain_where_one_insists_on_expiry() -> None:
    def slow(domain: str, message: Message) -> Iterable[float]:
        return (5.0,) if domain == "m1" and isinstance(message, Commit) else (0.0,)

    async with await build_network(diamond(1, expiring=("m1",)), passage=slow) as network:
        began_ms = network.clock.now_ms()
        committed(await network.reserve(circuit(10)))
        assert network.clock.now_ms() - began_ms >= 5000
        await asyncio.sleep(3600)
        assert network.held()


@virtual
async def test_blind_domains_are_split_over_without_being_asked() -> None:
    asked: list[str] = []

    def noted(domain: str, message: Message) -> Iterable[float]:
        if isinstance(message, ReqOffers):
            asked.append(domain)
        return once(domain, message)

    configs = diamond(3, blind=("m2", "m3"))
    async with await build_network(configs, passage=noted) as network:
        committed(await network.reserve(circuit(40, strategy=Strategy.SINGLE_PATH)))
        record = committed(await network.reserve(circuit(160, strategy=Strategy.PARTIAL_OFFERS)))
        assert shares(record) == {"m1": 60, "m2": 50, "m3": 50}
        assert not {"m2", "m3"} & set(asked)


@pytest.mark.parametrize(
    "strategy", [Strategy.EQUAL_SPLITTING, Strategy.PARTIAL_OFFERS, Strategy.AUTO]
)
@BOTH
@virtual
async def test_a_blind_refusal_tells_no_amount_and_leaves_nothing(
    duplicate: bool, strategy: Strategy
) -> None:
    configs = diamond(2, blind=("m1", "m2"))
    async with await build_network(configs, duplicate=duplicate) as network:
        others = committed(await network.reserve(circuit(60, constraints=_via("m1"))))
        failed = await network.reserve(circuit(190, strategy=strategy))
        assert failed.state is State.FAILED
        blind = [refusal for refusal in failed.refusals if refusal.domain == "m1"]
        assert all(refusal.available_bps is None for refusal in blind)
        await network.cancel(others.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


def _via(*domains: str) -> Any:
    from substrate.model import Constraints

    return Constraints(via_domains=domains)


@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.name)
@BOTH
@virtual
async def test_after_every_failure_nothing_is_held(duplicate: bool, strategy: Strategy) -> None:
    async with await build_network(diamond(3, blind=("m3",)), duplicate=duplicate) as network:
        for gbps in (301, 1000, 5000):
            record = await network.reserve(circuit(gbps, strategy=strategy))
            assert record.state is State.FAILED
            assert record.refusals[0].reason
            await asyncio.sleep(1)
            assert_nothing_held(network)


@virtual
async def test_without_a_path_the_request_fails_at_once() -> None:
    async with await build_network(diamond(1)) as network:
        network.down("m1")
        began_ms = network.clock.now_ms()
        record = await network.reserve(circuit(1))
        away, why = record.refusals
        assert (away.kind, away.domain) == (RefusalKind.UNAVAILABLE, "m1")
        assert why.kind is RefusalKind.NO_PATH
        assert network.clock.now_ms() == began_ms
        assert_nothing_held(network)


@virtual
async def test_the_data_plane_follows_the_window_and_is_reported() -> None:
    async with await build_network(diamond()) as network:
        record = committed(await network.reserve(circuit(150)))

        async def whole() -> DataPlaneState | None:
            return fold_data_plane((await network.orchestrator.get(record.reservation_id)).parts)

        assert await whole() is DataPlaneState.SCHEDULED
        await asyncio.sleep(WINDOW.start_s - network.clock.now_ms() / 1000 + 2)
        assert await whole() is DataPlaneState.ACTIVE
        await asyncio.sleep(WINDOW.duration_s)
        assert (await network.orchestrator.get(record.reservation_id)).state is State.ENDED
        # Past the window and its grace the agents have forgotten it.
        await asyncio.sleep(2 * 3600)
        assert_nothing_held(network)


@virtual
async def test_an_ended_reservation_cannot_be_cancelled() -> None:
    async with await build_network(diamond()) as network:
        record = committed(await network.reserve(circuit(1)))
        await asyncio.sleep(3 * 3600)
        with pytest.raises(NotNowError):
            await network.cancel(record.reservation_id)


@virtual
async def test_an_attempt_finds_what_reserve_would_and_holds_nothing() -> None:
    async with await build_network(diamond()) as network:
        plan = await network.attempt(circuit(150))
        assert isinstance(plan, Granted)
        await asyncio.sleep(1)
        assert_nothing_held(network)
        record = committed(await network.reserve(circuit(150)))
        assert [path.bandwidth_bps for path in plan.paths] == [
            path.bandwidth_bps for path in record.paths
        ]
        assert isinstance(await network.attempt(circuit(51)), Failure)
        assert network.engine.transactions.get(record.transaction_id) is not None


@virtual
async def test_the_topology_is_one_object_until_something_changes() -> None:
    async with await build_network(diamond()) as network:
        gateway = network.gateway
        before = gateway.topology()
        assert gateway.topology() is before
        assert list(before.domains) == ["east", "m1", "m2", "west"]
        network.down("m2")
        assert list(gateway.topology().domains) == ["east", "m1", "west"]
        assert list(gateway.known().domains) == ["east", "m1", "m2", "west"]
        described = gateway.domain("m2")
        assert described is not None
        assert described.name == "m2"
        assert gateway.domain("m9") is None
        assert not gateway.send("m2", Commit("t", "p"))
        assert not gateway.send("m9", Commit("t", "p"))
        assert gateway.send("m1", Commit("t", "p"))


@virtual
async def test_an_agent_that_breaks_is_noticed() -> None:
    async with await build_network(diamond(1)) as network:

        def broken(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        network.members["m1"].book.offers = broken  # type: ignore[assignment]
        record = await network.reserve(circuit(1))
        assert record.state is State.FAILED
        await asyncio.sleep(1)
        gc.collect()
        assert len(network.errors) == 1
        assert "a bug" in network.errors[0]


async def test_wrong_settings_of_a_domain_are_named() -> None:
    with pytest.raises(SettingsError, match=r"m1: ports"):
        await build_network([{"domain": "m1", "backend": "wan", "ports": []}])


def test_the_same_input_makes_the_same_run() -> None:
    def trace() -> list[str]:
        said: list[str] = []

        def noted(domain: str, message: Message) -> Iterable[float]:
            said.append(f"{domain} {message}")
            return (0.01 * (len(said) % 5),)

        @virtual
        async def scenario() -> None:
            async with await build_network(diamond(3, blind=("m2",)), passage=noted) as network:
                record = committed(await network.reserve(circuit(210)))
                await network.modify(record.reservation_id, bandwidth_bps=280 * G)
                committed(await network.reserve(circuit(20)))
                await network.reserve(circuit(50))
                await network.cancel(record.reservation_id)
                await asyncio.sleep(60)

        scenario()
        return said

    first = trace()
    assert len(first) > 50
    assert trace() == first


@virtual
async def test_many_at_once_never_get_more_than_there_is() -> None:
    async with await build_network(diamond(3), duplicate=True) as network:
        wanted = [circuit(40, window=_hour(i % 3)) for i in range(30)]
        records = await asyncio.gather(*(network.reserve(criteria) for criteria in wanted))
        for hour in range(3):
            held = [r for r in records if r.state is State.COMMITTED]
            total = sum(r.criteria.bandwidth_bps for r in held if r.criteria.window == _hour(hour))
            assert 200 * G <= total <= 300 * G
        for record in records:
            if record.state is State.COMMITTED:
                await network.cancel(record.reservation_id)
        await asyncio.sleep(1)
        assert_nothing_held(network)


def _hour(number: int) -> Window:
    return Window(START_S + 3600 * number, START_S + 3600 * (number + 1))


@virtual
async def test_a_host_port_shared_by_two_circuits_keeps_them_on_labels_of_their_own() -> None:
    async with await build_network(diamond(1)) as network:
        first = committed(await network.reserve(circuit(10)))
        second = committed(await network.reserve(circuit(10)))
        labels = [{hop.ingress_vlan for hop in r.paths[0].hops} for r in (first, second)]
        assert not labels[0] & labels[1]


def test_helpers_make_ports_as_the_settings_have_them() -> None:
    assert "remote" not in port("host")
    assert port("m1", "m1:west")["remote"] == "m1:west"
