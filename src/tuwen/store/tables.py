"""The tables of the store. ``store/migrations`` makes and changes them; this is what the code reads and writes.

Moments are whole microseconds since 1970 in UTC: both databases keep and order them alike.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

KEY = sa.String(512)

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("event", KEY, primary_key=True),  # the sender's own: the same event twice is one
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
    sa.Index("events_of_user", "user", "time"),
    sa.Index("events_of_item", "item"),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("feedback", KEY, primary_key=True),
    sa.Column("user", KEY),
    sa.Column("item", KEY),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("rating", sa.Double),
    sa.Column("text", sa.Text),
    sa.Index("feedback_of_user", "user"),
    sa.Index("feedback_of_item", "item"),
)

ITEMS = sa.Table(
    "items",
    METADATA,
    sa.Column("item", KEY, primary_key=True),
    sa.Column("live", sa.Boolean, nullable=False),  # false: taken out, and kept so that a bundle hides it
    sa.Column("columns", sa.JSON, nullable=False),  # title, description, category, … by name
    sa.Column("change", sa.BigInteger, nullable=False, unique=True),  # counts up with every change of an item
    sa.Column("changed", sa.BigInteger, nullable=False),
)

PICTURES = sa.Table(
    "pictures",
    METADATA,
    sa.Column("item", KEY, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("jpeg", sa.LargeBinary, nullable=False),  # as data.media.normalise leaves it
)

CONSENT = sa.Table(
    "consent",
    METADATA,
    sa.Column("user", KEY, primary_key=True),
    sa.Column("purpose", sa.String(64), primary_key=True),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
)

# What outlives forgetting: no name stands here, see :mod:`tuwen.store.refusals`.
REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),  # HMAC-SHA-256 of the shopper's key
    sa.Column("purpose", sa.String(64), primary_key=True),
)

SECRETS = sa.Table(
    "secrets",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("secret", sa.LargeBinary, nullable=False),
)

KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),  # SHA-256 of the key; the key is nowhere
    sa.Column("made", sa.BigInteger, nullable=False),
)

EXPOSURES = sa.Table(
    "exposures",
    METADATA,
    sa.Column("experiment", sa.String(64), primary_key=True),
    sa.Column("user", KEY, primary_key=True),
    sa.Column("arm", sa.String(64), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),  # of the first answer by that arm
)

# Whoever changes an item locks the counter's row first, so that changes are seen in the order of their numbers.
COUNTERS = sa.Table(
    "counters",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
