"""An orchestrator that answers what a test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.braid.fake_orchestrator import FakeOrchestrator, serving


@pytest.fixture
def fake() -> FakeOrchestrator:
    return FakeOrchestrator()


@pytest.fixture
def target(fake: FakeOrchestrator) -> Iterator[str]:
    with serving(fake) as address:
        yield address
