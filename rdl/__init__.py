"""RDL, the description language of CloudNets: graphs of resources, vague on purpose: pure, no I/O.

Paper 002, section 2.3; the reference of the language is docs/rdl/README.md.
"""
