"""Both clients under one face, for tests that run over each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from braid.client import AsyncClient, Client, Outcome
from braid.v1 import reservations_pb2 as pb

ROUTE = ("sitea:dtn", "sited:dtn")


class Either:
    """Both clients under one face: calls are awaited where they must be."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client: Any = client

    async def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        if isinstance(self.client, AsyncClient):
            return await getattr(self.client, method)(*arguments, **named)
        return await asyncio.to_thread(getattr(self.client, method), *arguments, **named)

    async def watched(self, *arguments: Any, **named: Any) -> list[int]:
        """The sequences of all events that Watch tells."""
        events: Any = self.client.watch(*arguments, **named)
        if isinstance(self.client, AsyncClient):
            return [event.sequence async for event in events]
        return await asyncio.to_thread(lambda: [event.sequence for event in events])

    async def many(self, reservations: Iterable[pb.Reservation], **named: Any) -> list[Outcome]:
        """All outcomes, in the order in which they came."""
        outcomes: Any = self.client.reserve_many(reservations, **named)
        if isinstance(self.client, AsyncClient):
            return [outcome async for outcome in outcomes]
        return await asyncio.to_thread(list, outcomes)

    async def hold(self, bandwidth: str, error: Exception | None = None, **wishes: Any) -> Any:
        """Holds a circuit for a block, which raises ``error``; the circuit."""
        if isinstance(self.client, AsyncClient):
            async with self.client.circuit(*ROUTE, bandwidth, **wishes) as circuit:
                _raise(error)
            return circuit
        return await asyncio.to_thread(self._hold, bandwidth, error, **wishes)

    def _hold(self, bandwidth: str, error: Exception | None, **wishes: Any) -> Any:
        with self.client.circuit(*ROUTE, bandwidth, **wishes) as circuit:
            _raise(error)
        return circuit


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
