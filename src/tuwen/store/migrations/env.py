"""Alembic runs this; the connection comes from :func:`tuwen.store.migrate.migrate`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    version_table="tuwen_store",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
