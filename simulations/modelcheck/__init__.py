"""An explicit-state check of the two-phase commit: every state that a small world can get into.

The steps are the shipped functions of ``protocol/``. What the services add around them (the store
and its fences, take-over, inquiries, reconciliation) is modelled here; see docs/simulations.md.
"""
