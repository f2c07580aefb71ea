"""The names of a comparison's cells as tables show them."""

from __future__ import annotations

from collections.abc import Iterable

JOINT = " · "  # between the settings of a name


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """full name → short one: of a path only its end, as much of it as keeps the names apart.

    ``init=/models/pairs/bundle`` is shown as ``init=bundle``, beside ``init=/models/other/bundle`` as
    ``init=pairs/bundle``.
    """
    full = list(dict.fromkeys(names))
    for kept in range(1, max((name.count("/") for name in full), default=0) + 1):
        short = [JOINT.join(_end(part, kept) for part in name.split(JOINT)) for name in full]
        if len(set(short)) == len(full):
            return dict(zip(full, short, strict=True))
    return {name: name for name in full}


def _end(part: str, kept: int) -> str:
    key, equals, value = part.partition("=")
    return part if "/" not in value else f"{key}{equals}{'/'.join(value.rstrip('/').split('/')[-kept:])}"
