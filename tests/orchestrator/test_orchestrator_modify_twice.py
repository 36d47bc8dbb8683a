"""Two changes of one reservation that were asked for at the same moment."""

from __future__ import annotations

import pytest
from orchestrated import G, Orchestrated, sites, virtual, wanted

from orchestrator.ports import ConflictError
from orchestrator.service import Order
from substrate.model import Criteria
from substrate.values import replace


def order(criteria: Criteria, gbps: int, rests_on: int, request_id: str = "late") -> Order:
    changed = replace(criteria, bandwidth_bps=gbps * G)
    return Order(request_id, f"digest of {request_id}", changed, 30, rests_on=rests_on)


@virtual
async def test_a_change_of_criteria_that_are_not_in_force_any_more_is_to_be_asked_again() -> None:
    async with Orchestrated(sites("m1")) as it:
        one = await it.start()
        record = await one.reserve(wanted(10))
        asked = (await one.instance.orchestrator.get(record.reservation_id)).criteria
        await one.modify(record.reservation_id, "first", 20)
        with pytest.raises(ConflictError):
            await one.instance.orchestrator.modify(record.reservation_id, order(asked, 5, 1))
        after = await one.get(record.reservation_id)
        assert (after.version, after.criteria.bandwidth_bps, after.modifying) == (2, 20 * G, False)


@virtual
async def test_one_that_was_recorded_before_gets_its_answer_whatever_the_version_is_now() -> None:
    async with Orchestrated(sites("m1")) as it:
        one = await it.start()
        record = await one.reserve(wanted(10))
        service = one.instance.orchestrator
        asked = (await service.get(record.reservation_id)).criteria
        first = order(asked, 20, 1, "first")
        await service.modify(record.reservation_id, first)
        changed = await service.changed(record.reservation_id, "first")
        assert changed.version == 2
        again = await service.modify(record.reservation_id, first)
        assert (again.version, again.criteria.bandwidth_bps) == (2, 20 * G)


@virtual
async def test_one_that_rests_on_what_is_in_force_is_made() -> None:
    async with Orchestrated(sites("m1")) as it:
        one = await it.start()
        record = await one.reserve(wanted(10))
        await one.modify(record.reservation_id, "first", 20)
        after = await one.modify(record.reservation_id, "second", 30)
        assert (after.version, after.criteria.bandwidth_bps) == (3, 30 * G)
