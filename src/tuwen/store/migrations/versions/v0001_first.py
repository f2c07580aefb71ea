"""The first tables. A migration is never changed once it has been released: it says what was, tables.py what is."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.String(512)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("event", KEY, primary_key=True),
        sa.Column("user", KEY, nullable=False),
        sa.Column("item", KEY, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("quantity", sa.Double),
        sa.Column("value", sa.Double),
        sa.Column("session", KEY),
        sa.Column("position", sa.BigInteger),
        sa.Column("query", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("propensity", sa.Double),
        sa.Column("received", sa.BigInteger, nullable=False),
    )
    op.create_index("events_of_user", "events", ["user", "time"])
    op.create_index("events_of_item", "events", ["item"])
    op.create_table(
        "feedback",
        sa.Column("feedback", KEY, primary_key=True),
        sa.Column("user", KEY),
        sa.Column("item", KEY),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("rating", sa.Double),
        sa.Column("text", sa.Text),
    )
    op.create_index("feedback_of_user", "feedback", ["user"])
    op.create_index("feedback_of_item", "feedback", ["item"])
    op.create_table(
        "items",
        sa.Column("item", KEY, primary_key=True),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False, unique=True),
        sa.Column("changed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "pictures",
        sa.Column("item", KEY, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("jpeg", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "consent",
        sa.Column("user", KEY, primary_key=True),
        sa.Column("purpose", sa.String(64), primary_key=True),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "exposures",
        sa.Column("experiment", sa.String(64), primary_key=True),
        sa.Column("user", KEY, primary_key=True),
        sa.Column("arm", sa.String(64), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
    )
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "items", "value": 0}])
