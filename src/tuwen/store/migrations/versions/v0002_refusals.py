"""Refusals that outlive forgetting, the key of their hashes, and a number that tells one store from another."""

import hashlib
import hmac
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    table = op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("secret", sa.LargeBinary, nullable=False),
    )
    key = secrets.token_bytes(32)
    op.bulk_insert(table, [{"name": "refusals", "secret": key}])
    refusals = op.create_table(
        "refusals",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("purpose", sa.String(64), primary_key=True),
    )
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    op.bulk_insert(counters, [{"name": "store", "value": secrets.randbits(62)}])
    consent = sa.table("consent", sa.column("user"), sa.column("purpose"), sa.column("given", sa.Boolean))
    refused = op.get_bind().execute(sa.select(consent.c.user, consent.c.purpose).where(consent.c.given.is_(False)))
    rows = [
        {
            "hash": hmac.new(key, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest(),
            "purpose": purpose,
        }
        for user, purpose in refused
    ]
    if rows:
        op.bulk_insert(refusals, rows)
