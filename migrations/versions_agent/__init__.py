"""Revisions of the agents' tables."""
