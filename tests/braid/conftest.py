"""A fake orchestrator, and each of the clients that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from client_world import Either
from fake_orchestrator import fake, target

from braid import retries
from braid.client import AsyncClient, Client

__all__ = ["fake", "target"]


@pytest.fixture
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01, 0.02))


@pytest.fixture(params=["blocking", "asyncio"])
async def client(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Either]:
    if request.param == "asyncio":
        async with AsyncClient(target, insecure=True) as made:
            yield Either(made)
    else:
        with Client(target, insecure=True) as blocking:
            yield Either(blocking)
