"""A comparison as a file: which run, what varies, how often. So that a table can be repeated by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from tuwen.config.strict import Document


class Comparison(Document):
    """What ``tuwen compare`` is told on the command line, as a file."""

    run: str = Field(description="RUN.yaml, relative to this file")
    vary: list[str] = Field(min_length=1, description="KEY=V,V as `--vary` takes it")
    seeds: int = Field(5, ge=1, le=1000, description="trainings of each combination")
    reference: list[str] = Field([], description="KEY=V of the cell that the others are compared with")
    set: list[str] = Field([], description="KEY=VALUE that changes the run for all cells")

    def beside(self, folder: Path) -> Self:
        return self.model_copy(update={"run": str((folder / self.run).resolve())})
