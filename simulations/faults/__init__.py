"""Deterministic fault simulation: the shipped orchestrator and agents under every kind of failure.

See docs/simulations.md. A run depends on its schedule alone: time is virtual, dice are seeded.
"""
