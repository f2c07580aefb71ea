"""The contract of export: whatever is registered answers in ONNX Runtime as in torch, for any number of rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from test_models_encoders import NEEDED, SPECS, arrays_of, cases
from tuwen.bundle import export
from tuwen.bundle.export import shrink, write_graph
from tuwen.bundle.graph import GRAPH, load_graph
from tuwen.errors import BundleError
from tuwen.models import ENCODERS, FUSIONS, GENERATORS, TASKS, lora
from tuwen.models.assemble import Part, assemble, connect
from tuwen.models.encoder import Encoder
from tuwen.models.graph import write
from tuwen.models.model import Model
from tuwen.models.pretrained.bert import Bert
from tuwen.models.transfer import SentenceEncoder
from tuwen.preprocess.sets import MASK
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, ContrastTarget, RateTarget
from tuwen.registry import signature_model
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import network_of

TARGETS = {
    "rate": RateTarget(1, 5, 3),
    "binary": BinaryTarget(1.0, None, 0.4),
    "classify": ClassifyTarget(("a", "b", "c"), (1, 2, 3)),
}
SMALL: dict[str, Any] = {**NEEDED, "layers": 1, "channels": [8], "width": 8, "hidden": 8, "pool": "mean"}
BESIDE = ArraySpec("vector", (5,))  # a second modality, so that the first can be absent
FUSED = sorted(FUSIONS.entries())


def small(registry: Any, use: str) -> Part:
    """A component with few numbers."""
    options = signature_model(registry.load(use)).model_fields
    fitting = {name: value for name, value in SMALL.items() if name in options}
    if use in ("cnn", "pointnet", "table"):
        fitting = {name: value for name, value in fitting.items() if name in ("channels",)}
    return Part(use, fitting)


def task_of(use: str) -> Part:
    return Part(use, {"target": "y"})


def inputs_of(specs: dict[str, ArraySpec], rows: int = 12) -> dict[str, EncodedInput]:
    """Random rows, some of them without one modality or another, zeros standing there as serving has it."""
    rng, found = np.random.default_rng(7), {}
    for i, (name, spec) in enumerate(specs.items()):
        if spec.set_size:
            each = [arrays_of(replace(spec, set_size=0), rows, seed=place) for place in range(spec.set_size)]
            arrays = {n: np.stack([one[n] for one in each], axis=1) for n in each[0]}
            arrays[MASK] = rng.random((rows, spec.set_size)) < 0.5
            present = arrays[MASK].any(axis=1)
        else:
            arrays, present = arrays_of(spec, rows, seed=i), rng.random(rows) < 0.7
        found[name] = EncodedInput(arrays, present, np.arange(rows))
    return found


def agrees(model: Model, specs: dict[str, ArraySpec], folder: Path) -> dict[str, Any]:
    """Torch and ONNX Runtime within 1e-4 on one and on five rows; what the bundle would say of it."""
    inputs = inputs_of(specs)
    told = write_graph(model, specs, inputs, folder)
    assert told["file"] == GRAPH, told
    network, graph = network_of(model, torch.device("cpu")), load_graph(folder / GRAPH)
    for rows in ([0], [1], [2, 3, 4, 5, 6]):
        batch = [source.batch(np.array(rows)) for source in inputs.values()]
        arrays = {name: b[0] for name, b in zip(inputs, batch, strict=True)}
        whole = {name: b[1] for name, b in zip(inputs, batch, strict=True)}
        for present in (
            whole,
            {n: np.ones_like(p) for n, p in whole.items()},
            {n: p & False for n, p in whole.items()},
        ):
            found = graph(arrays, present)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, network(arrays, present), atol=1e-4)
    return told


ENCODED = list(zip(cases(), cycle(FUSED), cycle(TARGETS)))


@pytest.mark.parametrize(("case", "fusion", "task"), ENCODED, ids=lambda v: v if isinstance(v, str) else v[0])
def test_every_encoder(case: tuple[str, ArraySpec], fusion: str, task: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    use, spec = case
    specs = {"图-1": spec, "beside": BESIDE}
    parts = {"图-1": (small(ENCODERS, use), spec), "beside": (Part("minilm"), BESIDE)}
    agrees(assemble(parts, small(FUSIONS, fusion), task_of(task), TARGETS[task]), specs, tmp_path)


@pytest.mark.parametrize("absent", ["zero", "learned"])
@pytest.mark.parametrize("fusion", FUSED)
def test_every_fusion_task_and_a_filling_generator(fusion: str, absent: str, tmp_path: Path) -> None:
    """With ``learned`` the last also has what a late fusion has instead: the fused model as one more member."""
    torch.manual_seed(1)
    specs = {"b": BESIDE, "a": ArraySpec("vector", (4,)), "c": ArraySpec("vector", (3,))}
    part, late = small(FUSIONS, fusion), FUSIONS.load(fusion).combines_answers
    if absent == "learned" and fusion != "auto":
        part.options.update({"fused": "gated"} if late else {"absent": absent})
    task = list(TARGETS)[FUSED.index(fusion) % 3] if absent == "zero" else "classify"
    filling = {"use": "impute", "options": {"hidden": 8}, "groups": [["a", "b"], ["c"]], "classes": 0}
    parts = {name: (Part("minilm"), spec) for name, spec in specs.items()}
    model = assemble(parts, part, task_of(task), TARGETS[task], filling if absent == "zero" else None)
    model.task.temperature.fill_(0.7)  # as calibration leaves it
    for name, buffer in model.fusion.named_buffers():
        buffer.copy_(
            torch.rand(buffer.shape) + 0.1 if name != "weight" else torch.softmax(torch.randn(buffer.shape), 0)
        )
    for token in model.fusion.tokens.values():
        torch.nn.init.normal_(token)
    agrees(model, specs, tmp_path)


@pytest.mark.parametrize("task", TARGETS)
def test_every_task(task: str, tmp_path: Path) -> None:
    assert set(TASKS.entries()) == {*TARGETS, "contrast"} and set(GENERATORS.entries()) == {"impute", "augment"}
    parts = {"beside": (Part("minilm"), BESIDE)}
    agrees(assemble(parts, Part("sum", {"width": 4}), task_of(task), TARGETS[task]), {"beside": BESIDE}, tmp_path)


def test_embeddings_of_contrast(tmp_path: Path) -> None:
    specs = {"look": BESIDE, "words": SPECS["tokens"]}
    parts = {"look": (Part("minilm"), BESIDE), "words": (small(ENCODERS, "textcnn"), specs["words"])}
    target = ContrastTarget({"picture": ("look",), "text": ("words",)}, (("picture", "text"),), 8)
    task = Part("contrast", {"width": 8, "hidden": 8})
    agrees(assemble(parts, Part("concat"), task, target), specs, tmp_path)


@pytest.mark.parametrize(("use", "kind"), [("resnet", "pixels"), ("minilm", "vector")])
def test_sets_of_pictures(use: str, kind: str, tmp_path: Path) -> None:
    specs = {"look": replace(SPECS[kind], set_size=3), "beside": BESIDE}
    parts = {"look": (small(ENCODERS, use), specs["look"]), "beside": (Part("minilm"), BESIDE)}
    agrees(assemble(parts, Part("concat", {"width": 8}), task_of("rate"), TARGETS["rate"]), specs, tmp_path)


@pytest.mark.parametrize(
    ("use", "options"),
    [("gru", {"bidirectional": True, "pool": "max"}), ("lstm", {"bidirectional": True}), ("table", {"hidden": 8})],
)
def test_options_that_change_the_graph(use: str, options: dict[str, Any], tmp_path: Path) -> None:
    kind = ENCODERS.load(use).accepts[0]
    parts = {"it": (Part(use, options), SPECS[kind])}
    agrees(assemble(parts, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"]), {"it": SPECS[kind]}, tmp_path)


class Tiny(SentenceEncoder):
    """A sentence encoder without its weights: the way of padding and updates is the same."""

    @staticmethod
    def _load() -> torch.nn.Module:
        return Bert(vocabulary=50, width=16, layers=2, heads=2, inner=32, positions=12)


def test_fine_tuned_with_low_rank_updates(tmp_path: Path) -> None:
    spec = SPECS["tokens"]
    encoder = Tiny(spec, frozen=False, lora=2, adapter=6)
    updates = [module for module in encoder.modules() if isinstance(module, lora.LowRankUpdate)]
    for update in updates:
        torch.nn.init.normal_(update.up.weight)  # type: ignore[arg-type]
    model = connect({"words": encoder}, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"])
    agrees(model, {"words": spec}, tmp_path)
    assert sum(isinstance(module, lora.LowRankUpdate) for module in model.modules()) == len(updates) > 0


class Loop(Encoder):
    """What no exporter can write: the number of its steps depends on the row."""

    accepts = ("vector",)
    width = 5

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        for _ in range(int(vector.abs().sum()) + 1):
            vector = vector * 0.5 + 0.1
        return vector


class Strange(Encoder):
    """What ONNX has no word for."""

    accepts = ("vector",)
    width = 5

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(vector.unsqueeze(1) * vector.unsqueeze(2))


@pytest.mark.parametrize(
    ("encoder", "why"), [(Loop, "answers otherwise than the network"), (Strange, "cannot be written as ONNX")]
)
def test_a_network_whose_graph_is_not_the_same_keeps_to_torch(
    encoder: type[Encoder], why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = connect({"beside": encoder(BESIDE)}, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"])
    told = write_graph(model, {"beside": BESIDE}, inputs_of({"beside": BESIDE}), tmp_path)
    assert told["file"] is None and why in told["why"] and len(told["why"]) < 500
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""  # not the exporter's whole graph


def test_the_proof_looks_at_rows_as_they_are_and_without_each_modality() -> None:
    specs = {"a": BESIDE, "b": SPECS["tokens"]}
    batch = export.sample(inputs_of(specs, rows=3))
    assert len(batch.targets) == export.ROWS
    ways = {tuple(p) for p in np.stack([batch.present["a"], batch.present["b"]], axis=1).tolist()}
    assert ways == {(True, True), (True, False), (False, True), (False, False)}
    taken = np.arange(export.ROWS) % 4 == 3  # whose turn it is to have nothing
    assert not any(array[taken].any() for arrays in batch.arrays.values() for array in arrays.values())


# --- int8 -------------------------------------------------------------------------------------------------------------


def large(kinds: list[str]) -> tuple[Model, dict[str, ArraySpec]]:
    """A network with parts that are worth 8 bits."""
    torch.manual_seed(0)
    specs = {kind: SPECS[kind] for kind in kinds}
    built: dict[str, Encoder] = {}
    if "pixels" in kinds:
        built["pixels"] = ENCODERS.build("cnn", {"channels": [16, 128], "pool": "average"}, specs["pixels"])
    if "tokens" in kinds:
        built["tokens"] = encoder = Tiny(specs["tokens"], frozen=False)
        encoder.network = Bert(vocabulary=50, width=64, layers=1, heads=2, inner=256, positions=12)
        encoder.width = 64
    return connect(built, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"]), specs


# both: what texts add where nobody may look must get no scale beside the pictures' maps
@pytest.mark.parametrize("kinds", [["pixels"], ["tokens"], ["pixels", "tokens"]], ids="-".join)
def test_int8_is_kept_where_the_score_allows_and_rows_do_not_mix(kinds: list[str], tmp_path: Path) -> None:
    model, specs = large(kinds)
    inputs = inputs_of(specs)
    write_graph(model, specs, inputs, tmp_path)
    float32, batch = (tmp_path / GRAPH).read_bytes(), export.sample(inputs)
    scores = iter([0.9, 0.8, 0.9, 0.896])  # without and with int8, twice

    def told(network: Any) -> float:
        return next(scores)

    lost = shrink(tmp_path, batch, told, 0.005, batch)
    assert lost["kept"] is False and lost["score"] == {"float32": 0.9, "int8": 0.8}
    assert (tmp_path / GRAPH).read_bytes() == float32
    found = shrink(tmp_path, batch, told, 0.005, batch)
    assert found["kept"] is True and found["margin"] == 0.005
    size = (tmp_path / GRAPH).stat().st_size
    assert found["bytes"] == {"float32": len(float32), "int8": size} and size < 0.6 * len(float32)
    assert 0 < found["difference"] < 0.1
    assert [file.name for file in tmp_path.iterdir()] == [GRAPH]
    graph = load_graph(tmp_path / GRAPH)
    whole = graph(batch.arrays, batch.present)
    for row in range(4):
        arrays = {kind: {n: a[row : row + 1] for n, a in batch.arrays[kind].items()} for kind in kinds}
        alone = graph(arrays, {kind: batch.present[kind][row : row + 1] for kind in kinds})
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def test_int8_of_a_small_network_is_left_out(tmp_path: Path) -> None:
    model = connect(
        {"it": ENCODERS.build("minilm", {}, BESIDE)}, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"]
    )
    inputs = inputs_of({"it": BESIDE})
    write_graph(model, {"it": BESIDE}, inputs, tmp_path)
    told = shrink(tmp_path, export.sample(inputs), lambda network: 1.0, 0.0, export.sample(inputs))
    assert told == {"kept": False, "why": "no part of the network is large"}


# --- Files ------------------------------------------------------------------------------------------------------------


def test_a_damaged_graph_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"\x08\x07 no graph")
    with pytest.raises(BundleError, match="the network cannot be read"):
        load_graph(tmp_path / GRAPH)


def test_writing_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    parts = {"beside": (Part("minilm"), BESIDE)}
    model = assemble(parts, Part("sum", {"width": 4}), task_of("rate"), TARGETS["rate"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    write(model, {"beside": BESIDE}, tmp_path / GRAPH)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
