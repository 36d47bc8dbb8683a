"""Requests that consume what they reserve, on real topologies: how often, and how much, succeeds.

world       the network: points of presence and links, each a domain of its own
demand      who asks for what and when
strategies  what the same request looks like to Braid, by how much of it may bend
play        one run over the shipped code
bound       what no algorithm can beat: all requests known in advance, and divisible
rows        runs added up, with fairness by size
figure      the plot
"""
