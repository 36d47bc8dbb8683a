"""The papers' experiments and published topologies, over the shipped code in one process."""
