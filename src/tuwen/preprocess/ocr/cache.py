"""Lines of pictures by content key, in a folder that is only ever added to."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tuwen.files import room_on_disk, whole
from tuwen.preprocess.ocr.line import Line
from tuwen.private import private


class LineCache:
    """What was read of pictures: no picture is read twice.

    A shard is one JSON Lines file, written whole: a killed run loses what it had not written yet, the next one goes on,
    and two runs can write at the same time. What cannot be read in a shard counts as absent.

    Args:
        folder: one per reader, see :attr:`tuwen.preprocess.ocr.reader.Reader.fingerprint`.
        flush_pictures, flush_seconds: a shard is written when either is reached.
    """

    def __init__(self, folder: str | Path, *, flush_pictures: int = 2048, flush_seconds: float = 20.0) -> None:
        self.folder = Path(folder)
        self.flush_pictures, self.flush_seconds = flush_pictures, flush_seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lines: dict[str, list[Line]] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            self._take(path)

    def __len__(self) -> int:
        return len(self._lines)

    def fetch(
        self,
        keys: Sequence[str],
        read: Callable[[str], list[Line]],
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, list[Line]]:
        """Key → lines, of all ``keys``.

        Args:
            keys: content keys; equal keys are read once.
            read: a key that no shard holds → its lines.
            progress: called with the number of keys that are done since the last call.
        """
        distinct = list(dict.fromkeys(keys))
        missing = [key for key in distinct if key not in self._lines]
        if progress and len(distinct) > len(missing):
            progress(len(distinct) - len(missing))
        fresh: dict[str, list[Line]] = {}
        flush = time.monotonic()
        try:
            for key in missing:
                fresh[key] = read(key)
                if progress:
                    progress(1)
                if len(fresh) >= self.flush_pictures or time.monotonic() - flush > self.flush_seconds:
                    self._write(fresh)
                    fresh, flush = {}, time.monotonic()
        finally:  # also at Ctrl-C: what is done is done
            self._write(fresh)
        return {key: self._lines[key] for key in distinct}

    def _write(self, fresh: dict[str, list[Line]]) -> None:
        if not fresh:
            return
        self._lines |= fresh
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
        rows = [json.dumps([key, [line.plain() for line in lines]], ensure_ascii=False) for key, lines in fresh.items()]
        with room_on_disk(self.folder), private(self.folder), whole(path) as file:
            file.write(("\n".join(rows) + "\n").encode("utf-8", "replace"))

    def _take(self, path: Path) -> None:
        try:
            rows = path.read_text(encoding="utf-8").split("\n")  # not splitlines: a text may hold U+2028
        except (OSError, UnicodeDecodeError):
            return
        for row in rows:
            try:
                key, lines = json.loads(row)
                self._lines.setdefault(str(key), [Line.from_plain(line) for line in lines])
            except (ValueError, TypeError):
                continue
