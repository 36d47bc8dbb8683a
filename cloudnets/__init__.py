"""CloudNets (paper 002): a graph mapped on providers, and a partial graph mapped on hosts. Pure."""
