"""VNodes behind a child orchestrator: what that one refuses is told as if it were this domain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from grpc import StatusCode

from agents.backends.child.vnodes import ChildCloudNets
from braid.errors import BraidError
from braid.v1 import cloudnets_pb2 as pb
from runtime.errors import RequestError

NOT_NOW = StatusCode.FAILED_PRECONDITION


class Client:
    """Of a child that refuses everything with ``error``."""

    def __init__(self, error: BraidError) -> None:
        self._error = error

    async def power(self, reservation_id: str, action: str, vnodes: Any) -> None:
        raise self._error


class View:
    """Of a child that has each CloudNet under a name of its own."""

    def __init__(self, error: BraidError) -> None:
        self.client = Client(error)

    async def cloudnet(self, reservation_id: str) -> Any:
        return SimpleNamespace(child_id=f"child-{reservation_id}")


async def refused(code: StatusCode, message: str) -> RequestError:
    view: Any = View(BraidError(message, code))
    request = pb.PowerRequest(reservation_id="r1", action=pb.POWER_ACTION_STOP, vnodes=["a"])
    context: Any = None
    with pytest.raises(RequestError) as caught:
        await ChildCloudNets(view, "reseller").Power(request, context)
    return caught.value


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("vnodes: given 'a', possible: it runs", "vnodes: given 'a', possible: it runs"),
        (
            "reservation_id: given 'child-r1', possible: one that began",
            "reservation_id: given 'r1', possible: one that began",
        ),
        (
            "domain: given 'depot', possible: to wait",
            "domain: given 'reseller', possible: to wait",
        ),
        ("no route to host", "domain: given 'reseller', possible: no route to host"),
    ],
)
async def test_what_the_child_refuses_is_told_once_and_in_this_domains_names(
    message: str, told: str
) -> None:
    error = await refused(NOT_NOW, message)
    assert (error.code, str(error)) == (NOT_NOW, told)


async def test_hosts_of_the_child_are_freed_there_and_not_from_above() -> None:
    view: Any = View(BraidError("it must not be asked"))
    service, context = ChildCloudNets(view, "reseller"), None
    calls: list[Any] = [
        service.WhatIf(pb.WhatIfRequest(free_share=0.5), context),  # type: ignore[arg-type]
        service.Migrate(pb.MigrateRequest(free_share=0.5), context),  # type: ignore[arg-type]
        service.Migrate(
            pb.MigrateRequest(reservation_id="r1", vnode="a", host="h1"),
            context,  # type: ignore[arg-type]
        ),
    ]
    for call in calls:
        with pytest.raises(RequestError) as caught:
            await call
        assert (caught.value.code, caught.value.field) == (NOT_NOW, "domain")
        assert "at the orchestrator behind it" in caught.value.possible


async def test_a_bug_of_the_child_is_not_told() -> None:
    error = await refused(StatusCode.INTERNAL, "reference 17 in the log")
    assert error.code is StatusCode.UNAVAILABLE
    assert error.possible == "to ask again: what is behind it broke"
