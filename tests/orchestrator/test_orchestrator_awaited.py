"""What is asked of a domain that has not been reached since the start is not said not to exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, refused, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb

Call = Callable[[One, str], Awaitable[Any]]


def reserve(one: One, source: str) -> Awaitable[Any]:
    return one.reservations.Reserve(wanted(source=source), NO_CONTEXT)


def plan(one: One, source: str) -> Awaitable[Any]:
    return one.reservations.Plan(wanted(source=source), NO_CONTEXT)


def awaiting(one: One, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The instance has not reached these domains yet."""
    monkeypatch.setattr(one.gateway, "awaited", lambda: frozenset(names))


@pytest.mark.parametrize("call", [reserve, plan])
@virtual
async def test_an_stp_of_a_domain_that_is_awaited_may_be_asked_for_again(call: Call) -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with Orchestrated(sites("m1")) as world:
            one = await world.start()
            awaiting(one, patch, "far", "farther")
            error = await refused(call(one, "far:host"), StatusCode.UNAVAILABLE, "source")
            assert error.raw == "far:host"
            assert error.given == "'far:host'"
            assert error.possible == (
                "to ask again: far cannot be reached since this instance started"
            )
            assert error.retry_after_s


@virtual
async def test_an_alias_may_be_any_awaited_domains() -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with Orchestrated(sites("m1")) as world:
            one = await world.start()
            name = "urn:ogf:network:far.net:2026:host"
            awaiting(one, patch)
            await refused(reserve(one, name), StatusCode.NOT_FOUND, "source")
            awaiting(one, patch, "near", "far")
            error = await refused(reserve(one, name), StatusCode.UNAVAILABLE, "source")
            assert "far, near cannot be reached" in error.possible


@virtual
async def test_what_no_awaited_domain_can_have_does_not_exist() -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with Orchestrated(sites("m1")) as world:
            one = await world.start()
            awaiting(one, patch, "far")
            for name in ("west:nothing", "nowhere:host"):
                await refused(reserve(one, name), StatusCode.NOT_FOUND, "source")
            await refused(reserve(one, "west"), StatusCode.INVALID_ARGUMENT, "source")


@virtual
async def test_constraints_on_awaited_domains_are_waited_for_too() -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with Orchestrated(sites("m1")) as world:
            one = await world.start()
            awaiting(one, patch, "far")
            asked = wanted(constraints=pb.Constraints(avoid_domains=["far"]))
            await refused(
                one.reservations.Reserve(asked, NO_CONTEXT),
                StatusCode.UNAVAILABLE,
                "constraints.avoid_domains",
            )
