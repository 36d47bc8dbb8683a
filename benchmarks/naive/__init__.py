"""The yardstick: the same protocol as one would first write it.

Threads, SQLAlchemy's ORM, a call per message, a transaction per step. Three messages for each of
the domains, and the least of durable steps: one when a request is recorded, decided and settled,
and two in each domain. The same database settings and wire types as Braid; none of its recovery.
"""
