"""Mask secrets in texts, and write logs that only their owner can read or replace.

Errors, tracebacks and logs are pasted into tickets. So passwords of URLs, keys of tuwen's own, bearer tokens and values
that are called a password never stand in one.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

HIDDEN = "***"
LONGEST = 1 << 20  # characters of a text that are masked; the rest is left out
ENDS = re.compile(r"[\s\"'<>`]")  # where a URL ends in a text
_KEY = re.compile(r"tuwen_[A-Za-z0-9_-]{20,200}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s{1,8}[A-Za-z0-9._~+/=-]{8,2000}")
_NAMED = re.compile(
    r"(?i)(password|passwd|secret|token|api[_-]?key)([\"']?\s{0,8}[=:]\s{0,8}[\"']?)[^\s\"'&,;]{1,2000}"
)


def masked(text: str) -> str:
    """Return ``text`` with its secrets masked."""
    text = _urls(text[:LONGEST])
    text = _KEY.sub(f"tuwen_{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _NAMED.sub(rf"\1\2{HIDDEN}", text)


def masked_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of an error, each :func:`masked`."""
    return {name: masked(text) for name, text in fields.items()}


def _urls(text: str) -> str:
    """``scheme://user:password@host`` → ``scheme://user:***@host``; a password may hold any sign but a space."""
    parts = text.split("://")
    for i in range(1, len(parts)):
        end = ENDS.search(parts[i])
        authority = parts[i] if end is None else parts[i][: end.start()]
        before, at, host = authority.rpartition("@")
        user, colon, _ = before.partition(":")
        if at and colon:
            parts[i] = f"{user}:{HIDDEN}@{host}{parts[i][len(authority) :]}"
    return "://".join(parts)


class MaskedFormatter(logging.Formatter):
    """Format a log line and its traceback without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def write_log(path: Path, text: str) -> None:
    """Write a log of its own, for its owner alone: never through a link, never into a file that stands there.

    Raises:
        OSError: something stands there, or the disk is full.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(masked(text))
