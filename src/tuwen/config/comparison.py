"""A comparison as a file: which run, what varies, how often. So that a table can be repeated by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from tuwen.config.strict import Document
from tuwen.config.yaml import Lines, one_line, place_of
from tuwen.errors import ConfigError


class Comparison(Document):
    """What ``tuwen compare`` is told on the command line, as a file."""

    run: str = Field(description="RUN.yaml, relative to this file")
    vary: list[str] = Field(
        [], description="KEY=V,V as `--vary` takes it, in quotes; without any the run as it is, over the seeds"
    )
    seeds: int = Field(5, ge=1, le=1000, description="trainings of each combination")
    reference: list[str] = Field([], description="KEY=V of the cell that the others are compared with")
    set: list[str] = Field([], description="KEY=VALUE that changes the run for all cells")

    @classmethod
    def from_written(cls, data: dict[str, Any], lines: Lines, path: str) -> Self:
        for key in ("vary", "reference", "set"):
            _refuse_torn(key, data.get(key), lines, path)
        return super().from_written(data, lines, path)

    def beside(self, folder: Path) -> Self:
        return self.model_copy(update={"run": str((folder / self.run).resolve())})


def _refuse_torn(key: str, given: Any, lines: Lines, path: str) -> None:
    """In ``[fusion=sum,concat]`` YAML ends an entry at each comma, so that some entries have no key.

    Raises:
        ConfigError: with file and line, and how to write it.
    """
    if isinstance(given, str):
        todo = f'{key}: ["{given}"]'
        raise ConfigError(f"'{key}' is a list", where=place_of(path, lines, (key,)), seen=given, todo=todo)
    entries = given if isinstance(given, list) else []
    keyed = [i for i, entry in enumerate(entries) if isinstance(entry, str) and "=" in entry]
    for i in (i for i in range(len(entries)) if i not in keyed):
        begin = max((at for at in keyed if at < i), default=i)
        end = min((at for at in keyed if at > i), default=len(entries)) if begin < i else i + 1
        whole = ",".join(map(one_line, entries[begin:end]))
        raise ConfigError(
            f"an entry of '{key}' begins with a key: KEY=VALUE",
            where=place_of(path, lines, (key, i)),
            seen=" | ".join(map(one_line, entries)),
            allowed=None if begin < i else f'{key}: ["fusion=sum"]',
            todo=f'put quotes around, because YAML ends an entry at a comma: {key}: ["{whole}"]' if begin < i else None,
        )
