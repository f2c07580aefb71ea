"""The network of a bundle in torch: its weights, and what answers where there is no graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from tuwen.models import lora
from tuwen.models.assemble import Part, assemble
from tuwen.models.raters.ensemble import Raters
from tuwen.models.stack.stack import Stack
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import Target
from tuwen.training.batches import Network
from tuwen.training.checkpoint import write_tensors
from tuwen.training.loop import network_of, to_tensors

WEIGHTS = "model.safetensors"


def save_weights(model: nn.Module, folder: Path) -> None:
    """The parameters and buffers, float32."""
    write_tensors(model.state_dict(), folder / WEIGHTS)


def load_network(folder: Path, architecture: dict[str, Any], target: Target) -> Network:
    """Rebuild the network that ``architecture`` (of bundle.json) describes and fill in its weights.

    Low-rank updates are merged into the layers that they update.
    """
    if "raters" in architecture:
        return network_of(load_raters(folder, architecture), torch.device("cpu"))
    if "stack" in architecture:
        return network_of(load_stack(folder, architecture), torch.device("cpu"))
    encoders = {
        name: (Part(**found["encoder"]), ArraySpec.from_plain(found["spec"]))
        for name, found in architecture["modalities"].items()
    }
    parts = Part(**architecture["fusion"]), Part(**architecture["task"])
    model = assemble(encoders, *parts, target, architecture.get("generator"))
    model.load_state_dict(load_file(folder / WEIGHTS))
    lora.merge(model)
    return network_of(model.eval(), torch.device("cpu"))


def load_raters(folder: Path, architecture: dict[str, Any]) -> Raters:
    """The raters of a bundle that has some."""
    specs = {name: ArraySpec.from_plain(found["spec"]) for name, found in architecture["modalities"].items()}
    return Raters.from_plain(architecture["raters"], specs, load_file(folder / WEIGHTS))


def load_stack(folder: Path, architecture: dict[str, Any]) -> Stack:
    """The stack of a bundle that has one."""
    specs = {name: ArraySpec.from_plain(found["spec"]) for name, found in architecture["modalities"].items()}
    return Stack.from_plain(architecture["stack"], specs, load_file(folder / WEIGHTS)).eval()


def load_members(folder: Path, architecture: dict[str, Any]) -> Network:
    """The same, but one output for each rater instead of their blend."""
    raters = load_raters(folder, architecture)

    @torch.inference_mode()
    def network(arrays: dict[str, dict[str, np.ndarray]], present: dict[str, np.ndarray]) -> np.ndarray:
        found: np.ndarray = raters.answers(*to_tensors(arrays, present, torch.device("cpu"))).numpy()
        return found

    return network
