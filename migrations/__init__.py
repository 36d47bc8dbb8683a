"""Alembic's scripts: a branch for the orchestrator's tables, one for the agents'.

Each branch has its own folder (``versions_<branch>``) and its own version table, so both may live
in one PostgreSQL database. They are run by :mod:`runtime.schema`, never by hand. A new revision is
a file ``<number>_<what>.py`` with ``revision``, ``down_revision``, ``upgrade`` and ``downgrade``;
the first of a branch names it in ``branch_labels``. One change each.
"""
