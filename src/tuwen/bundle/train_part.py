"""What the train part was like, kept in the bundle, and what must be said of rows that are not like it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import polars as pl

from tuwen.data.language import languages
from tuwen.errors import BundleError

FILE = "train_part.json"
RARE = 0.05  # share of the texts of the train part below which a language was not learned
MOST = 0.5  # share of the rows with a text that are in such languages, from which it is said
LETTERS = 8  # a shorter text shows no language
NAMES = {"en": "in English", "zh": "in Chinese", "other": "in a language that is neither English nor Chinese"}


@dataclass(frozen=True)
class TrainPart:
    """The train part of a bundle; an earlier bundle knows nothing of it.

    Attributes:
        rows: how many there were.
        present: modality → rows that had it.
        languages: modality of texts → language → rows.
    """

    rows: int = 0
    present: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What :meth:`write` wrote; nothing where there is no such file.

        Raises:
            BundleError: the file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return cls()
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return cls(told["rows"], told["present"], told["languages"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(
                "what the bundle knows of its train part is damaged", where=str(path), seen=error
            ) from None

    def write(self, folder: Path) -> None:
        """Write it beside the weights."""
        plain = {"rows": self.rows, "present": dict(self.present), "languages": dict(self.languages)}
        (folder / FILE).write_text(json.dumps(plain, indent=1), encoding="utf-8")

    def never(self, modality: str) -> bool:
        """Whether no row of the train part had the modality, so that nothing was learned of it."""
        return self.rows > 0 and self.present.get(modality) == 0

    def notes(
        self, texts: Mapping[str, Sequence[str | None]], present: Mapping[str, Sequence[bool]]
    ) -> list[list[str]]:
        """Row by row, what is to be said of it.

        Args:
            texts: modality of texts → the text of each row.
            present: modality → whether each row has it.
        """
        rows = len(next(iter(present.values()), ()))
        found: list[list[str]] = [[] for _ in range(rows)]
        for name, there in present.items():
            if self.never(name):
                for row in (row for row in range(rows) if there[row]):
                    found[row].append(f"no row that it learned from had the input '{name}', so it is left out")
        for name, some in texts.items():
            for row, note in self._of_language(name, some).items():
                if note not in found[row]:  # two views of one text
                    found[row].append(note)
        return found

    def _of_language(self, name: str, texts: Sequence[str | None]) -> dict[int, str]:
        """Row → note, where most of the rows with a text are in languages that were hardly learned."""
        known = self.languages.get(name, {})
        total = sum(rows for language, rows in known.items() if language in NAMES)
        if not total:
            return {}
        told = languages(pl.Series("text", list(texts), dtype=pl.String)).to_list()
        spoken = {
            row: language
            for row, (language, text) in enumerate(zip(told, texts, strict=True))
            if text and len(text.strip()) >= LETTERS and language in NAMES
        }
        shares = {language: known.get(language, 0) / total for language in NAMES}
        strange = {row: language for row, language in spoken.items() if shares[language] < RARE}
        if len(strange) <= MOST * len(spoken):
            return {}
        return {
            row: f"the text is {NAMES[language]}, as {100 * shares[language]:.1f} % of the texts that it learned from: "
            "the answer is not to be relied on"
            for row, language in strange.items()
        }


def train_part(rows: int, texts: Mapping[str, Sequence[Any]], present: Mapping[str, int]) -> TrainPart:
    """What to keep of ``rows`` rows: the languages of ``texts`` by modality, and how many rows have each modality."""
    counted = {}
    for name, some in texts.items():
        told = languages(pl.Series("text", list(some), dtype=pl.String))
        counted[name] = {str(language): int(n) for language, n in told.value_counts(sort=True).iter_rows()}
    return TrainPart(rows, dict(present), counted)
