"""Requests that come and go on a substrate: how many can be embedded, and at what cost.

scenario   a substrate, and requests with arrival and lifetime; read from a file
draw       scenarios at random: Waxman graphs, fat-trees, published topologies
baselines  embedding by rank: GRC and NRM
play       one scenario through one way to embed
rows       runs added up
figure     the plot
"""
