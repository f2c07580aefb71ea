"""A list that was made, and the JSON that goes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json


class Answer:
    """A list as it is told.

    Args:
        items: best first: ``item``, ``score``, ``reason`` where there is one, and what a list shows of it.
        revision: of the parts that answered.
        arm: of the experiment, where one runs.
        notes: what was told and tells nothing, in ``en`` and ``zh``.
    """

    def __init__(
        self,
        items: list[dict[str, Any]],
        revision: int,
        arm: str | None = None,
        notes: Sequence[dict[str, str]] = (),
    ) -> None:
        self.revision, self.arm, self.notes, self.size = revision, arm, notes, len(items)
        self._items: list[dict[str, Any]] | None = items
        self._json = b""

    @property
    def items(self) -> list[dict[str, Any]]:
        known = self._items
        return from_json(self._json)["items"] if known is None else known

    def json(self) -> bytes:
        """The list as it is sent, written once. From then on it is all that is kept: of the dictionaries of a hundred
        thousand remembered items the garbage collector would walk through each one, while nobody is answered.
        """
        items = self._items  # read once: another thread may be writing the same
        if items is not None:
            arm = {} if self.arm is None else {"arm": self.arm}
            notes = {"notes": self.notes} if self.notes else {}
            told = {"items": items, "revision": self.revision, **arm, **notes}
            self._json = to_json(told, inf_nan_mode="null")
            self._items = None
        return self._json
