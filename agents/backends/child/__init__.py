"""``child``: a whole orchestrator with its domains, as one domain (design, sections 1 and 2)."""

from agents.backends.child.backend import ChildBackend

__all__ = ["ChildBackend"]
