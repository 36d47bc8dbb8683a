"""The two-phase commit as pure step functions, both sides, and the messages."""
