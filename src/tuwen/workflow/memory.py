"""Not enough memory, told as what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tuwen.errors import DataError

# NumPy and Python raise MemoryError; what torch and ONNX Runtime raise, only its words tell from other faults
_WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|unable to allocate|bad.alloc|failed to allocate", re.I
)


def out_of_memory(error: BaseException) -> DataError | None:
    """The plain error for a failed allocation; None for any other exception."""
    words = str(error)
    told_in_words = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    if not isinstance(error, MemoryError) and not (told_in_words and _WORDS.search(words)):
        return None
    return DataError(
        "there is not enough memory",
        seen=next((line.strip()[:200] for line in words.splitlines() if line.strip()), None),
        todo="a smaller width, length, size or training.batch_size in RUN.yaml needs less, and so do fewer rows; "
        "other programs on this machine take memory too",
    )


@contextmanager
def room_in_memory() -> Iterator[None]:
    """Turn a failed allocation inside the block into a :class:`DataError` that says what needs less."""
    try:
        yield
    except Exception as error:
        told = out_of_memory(error)
        if told is None:
            raise
        raise told from None
