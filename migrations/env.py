"""What alembic runs; :mod:`runtime.schema` passes a transaction and the branch's version table."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
