"""STORE: what a running service writes. SQLite in a file by default, PostgreSQL by URL, the same code for both."""

from __future__ import annotations

from tuwen.store.store import Store

__all__ = ["Store"]
