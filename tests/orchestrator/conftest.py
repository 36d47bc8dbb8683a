"""The stores that every promise of :class:`orchestrator.ports.Store` is tested on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.memory import MemoryStore
from orchestrator.ports import Store
from orchestrator.store import open_store
from runtime.schema import upgrade


async def opened(request: pytest.FixtureRequest, kind: str) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore()
        return
    url = request.getfixturevalue(f"{kind}_url")
    await asyncio.to_thread(upgrade, url, "orchestrator")
    store = open_store(url)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async for each in opened(request, request.param):
        yield each


@pytest.fixture(params=["memory", "postgres"])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """One that several instances can have at once."""
    async for each in opened(request, request.param):
        yield each
