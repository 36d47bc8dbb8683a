"""An orchestrator that answers what a test says."""

from tests.braid.fake_orchestrator import fake, target

__all__ = ["fake", "target"]
