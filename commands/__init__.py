"""The braid command, a module per noun."""
