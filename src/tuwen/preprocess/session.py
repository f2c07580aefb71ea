"""Run an ONNX network so that a deadline can stop it between two operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuwen.deadline import current


def run(session: Any, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the first output of ``session``, an ``onnxruntime.InferenceSession``.

    Args:
        arrays: by the names of its inputs.

    Raises:
        Interrupted: the deadline of this context passed; the run was ended.
    """
    deadline = current()
    if deadline is None:
        output: np.ndarray = session.run(None, arrays)[0]
        return output
    import onnxruntime

    deadline.check()
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # a stopped run is no error of the network

    def end() -> None:
        options.terminate = True

    with deadline.ending(end):
        try:
            output = session.run(None, arrays, options)[0]
        except Exception:  # ONNX Runtime's own errors share no base class but this
            deadline.check()
            raise
    return output
