"""Maps requests of VNodes and VLinks on a substrate of hosts, switches and links (paper 002,
section 4.2).

model       substrate, request, embedding: values
network     a substrate as arrays, and what is free of it
problem     a request over what is free
objectives  what a good embedding is, by name
embed       the way in: first stage, search, program
answer      what comes out: status, objective, bound, gap, scope of the proof, shortages
first       the first stage: distances, matching, placing, routing, bound
searching   the cheapest placement by branch and bound
grouping    VNodes that may meet: all sets of them, in a tree of hubs
packing     more VNodes: the sets that fit somewhere, by prices and joining
renewing    better placements from good ones
program     the mixed-integer program; highs solves it, reading takes its solutions apart
shortages   what an infeasible request is short of
freeing     what it would cost to free some of the hosts
check       whether an embedding is valid
"""
