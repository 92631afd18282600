"""Alembic's entry point: it runs the migrations on the connection that `schema.configuration` hands over."""

from alembic import context

from services.monitor.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    # SQLite cannot alter most things in place; Alembic then copies the table.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
