"""The network of a bundle as one ONNX graph, run by ONNX Runtime. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.errors import BundleError
from tuwen.preprocess.session import run
from tuwen.preprocess.spec import PRESENT
from tuwen.training.batches import Network
from tuwen.training.inputs import Arrays

GRAPH = "network.onnx"


def load_graph(file: Path) -> Network:
    """The graph as a function of numpy arrays. Several threads may call it at once.

    It runs on all cores, or on as many as OMP_NUM_THREADS says.

    Raises:
        BundleError: ONNX Runtime cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    # spinning burns the core that another worker or the decoder could use
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no base class but this
        raise BundleError("the network cannot be read", where=str(file), seen=error) from None
    inputs = [(entry.name, *entry.name.rpartition(".")[::2]) for entry in session.get_inputs()]

    def network(arrays: dict[str, Arrays], present: dict[str, np.ndarray]) -> np.ndarray:
        given = {
            name: np.ascontiguousarray(present[modality] if array == PRESENT else arrays[modality][array])
            for name, modality, array in inputs
        }
        return run(session, given)

    return network


def torch_only(manifest: Mapping[str, Any]) -> dict[str, str] | None:
    """What to tell, English and Chinese, of a bundle whose network could not be exported; None where it was."""
    why = (manifest.get("export") or {}).get("why")
    if why is None:
        return None
    return {
        "en": f"the bundle needs torch to be served: {why}",
        "zh": f"此模型包需要安装 torch 才能提供服务：{why}",
    }


def _threads() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else 0  # 0: as many as there are cores
