"""The few kinds of error tuwen raises for a person: what, where, seen, allowed, what to do next.

Every door (Python, CLI, HTTP) shows the same fields; none shows a traceback for these.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TuwenError(Exception):
    """Something a person can put right.

    Args:
        what: one sentence saying what is wrong.
        where: the place: ``file:line``, ``file, row 7, column 'price'``, a URL.
        seen: what was found there.
        allowed: what would have been accepted.
        todo: what to do next: a command, an edit.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        seen: object = None,
        allowed: str | Iterable[object] | None = None,
        todo: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.seen = None if seen is None else str(seen)
        self.allowed = allowed if allowed is None or isinstance(allowed, str) else ", ".join(map(str, allowed))
        self.todo = todo
        super().__init__(self.__str__())

    def fields(self) -> dict[str, str]:
        """The parts that are present, in reading order; the body of JSON errors."""
        parts = {"what": self.what, "where": self.where, "seen": self.seen, "allowed": self.allowed, "todo": self.todo}
        # a terminal or a log may end the line at a zero byte
        return {name: text.replace("\0", r"\x00") for name, text in parts.items() if text is not None}

    def rename(self, old: str, new: str) -> None:
        """Call a place by another name: of a copy that is gone when this is read, the name of what was copied."""
        for field, text in self.fields().items():
            setattr(self, field, text.replace(old, new))

    def __str__(self) -> str:
        lines = [self.what if self.where is None else f"{self.where}: {self.what}"]
        lines += [f"  {name}: {text}" for name, text in self.fields().items() if name not in ("what", "where")]
        return "\n".join(lines)


class ConfigError(TuwenError):
    """A YAML file, an option or an override is not what tuwen understands."""

    exit_code = 2


class DataError(TuwenError):
    """A shop's table, picture or dataset cannot be used as it is."""

    exit_code = 3


class BundleError(TuwenError):
    """A bundle is damaged, newer than this tuwen, or does not fit the input."""

    exit_code = 4


class MissingExtra(TuwenError):
    """An optional part of tuwen is not installed."""

    exit_code = 5

    def __init__(self, extra: str, needed_for: str, instead: str | None = None) -> None:
        self.extra = extra
        todo = f"{install_command(extra)}   (tuwen doctor shows what is installed)"
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed",
            todo=todo if instead is None else f"{todo}; {instead}",
        )


class InUse(TuwenError):
    """Another process is writing to the same folder."""

    exit_code = 6


def unloadable(library: str, error: OSError, instead: str | None = None) -> DataError:
    """A library that is installed and cannot be loaded, because the system lacks what a wheel does not carry."""
    todo = "on Debian: apt-get install libgomp1" if "libgomp" in str(error) else "install what it names"
    return DataError(f"{library} cannot be loaded", seen=error, todo=todo if instead is None else f"{todo}; {instead}")


def install_command(extra: str = "") -> str:
    """The pip command for tuwen with ``extra``: from the clone, where it was installed from one (PEP 610)."""
    import json
    import shlex
    from importlib.metadata import distribution
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    told = json.loads(distribution("tuwen").read_text("direct_url.json") or "{}")
    place = unquote(urlsplit(told.get("url", "")).path)
    from_clone = "dir_info" in told and Path(place).is_dir()
    editable = ["-e"] if from_clone and told["dir_info"].get("editable") else []
    what = (place if from_clone else "tuwen") + (f"[{extra}]" if extra else "")
    return shlex.join(["pip", "install", *editable, what])


NAME_CHARACTERS = 100  # of a name that is compared; a longer one is a mistake of another kind
NAMES_COMPARED = 1_000  # with one name; beyond that, those that begin or end like it come first


def close_names(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """Return a list with the candidate nearest to ``name``; the list is empty where none is near.

    Both come from outside, and a comparison of two names takes the square of their length. So long names are not
    compared, and of many names only :data:`NAMES_COMPARED`.
    """
    length = len(name)
    if not 0 < length <= NAME_CHARACTERS:
        return []
    # the ratio is 2 x (letters in common) / (letters of both): other lengths cannot reach the cutoff
    shortest, longest = int(length * cutoff / (2 - cutoff)), int(length * (2 / cutoff - 1)) + 1  # one more: rounding
    names = [text for text in candidates if shortest <= len(text) <= min(NAME_CHARACTERS, longest)]
    if len(names) > NAMES_COMPARED:
        alike: dict[str, None] = {}
        for part in (length - 1, 3 * length // 4, length // 2):
            if part and len(alike) < NAMES_COMPARED:
                head, tail = name[:part], name[-part:]
                alike |= dict.fromkeys(text for text in names if text.startswith(head) or text.endswith(tail))
        names = [*alike, *names][:NAMES_COMPARED]
    return get_close_matches(name, names, n=1, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``"did you mean 'price'?"`` for a near miss, else None."""
    close = close_names(name, known)
    return f"did you mean '{close[0]}'?" if close else None
