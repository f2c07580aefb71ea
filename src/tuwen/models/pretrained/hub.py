"""Networks by name, loaded by the libraries they come from: safetensors only, and no code from outside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError, DataError, MissingExtra, TuwenError
from tuwen.models.pretrained.export import traced, written_once
from tuwen.preprocess import hub
from tuwen.preprocess.spec import ArraySpec

Pool = Literal["mean", "first"]
VERSION = 1  # change it when the same weights would give other files
TORCHVISION = "timm and open_clip need a torchvision of this torch's generation, and it must import"
# what torchvision's Python half speaks of, and only its compiled half declares
OPERATORS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))
# what the libraries raise for a folder that is not theirs
LOADING = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


class TextNetwork(nn.Module):
    """Ids moved up by one, 0 padding (``tokens: hub``) → one vector a text.

    Args:
        network: the library's.
        vector: (network, its own ids [batch, length], bool which are real) → f32 [batch, width].
        padding: its own id of padding.
    """

    width: int

    def __init__(self, network: nn.Module, vector: Callable[[Any, Tensor, Tensor], Tensor], padding: int) -> None:
        super().__init__()
        self.network, self.vector, self.padding = network, vector, padding

    @property
    def blocks(self) -> list[nn.Module]:
        """From the words upwards: the longest list of layers."""
        lists = [list(m) for m in self.network.modules() if isinstance(m, nn.ModuleList)]
        return max(lists, key=len, default=[])

    def forward(self, ids: Tensor) -> Tensor:  # integers [batch, length]
        real = ids != 0
        own = torch.where(real, ids - 1, self.padding)
        # the first place is always looked at: attention to nothing would be NaN
        seen = real | (torch.arange(ids.shape[1], device=ids.device) == 0)
        return self.vector(self.network, own, seen)


class PictureNetwork(nn.Module):
    """uint8 [batch, height, width, 3] → one vector a picture; the normalisation that the weights want is inside."""

    mean: Tensor
    deviation: Tensor
    width: int
    blocks: tuple[nn.Module, ...] = ()  # these libraries have no one name for them

    def __init__(self, network: nn.Module, vector: Callable[[Any, Tensor], Tensor], scale: tuple[Any, Any]) -> None:
        super().__init__()
        self.network, self.vector = network, vector
        for name, numbers in zip(("mean", "deviation"), scale, strict=True):
            self.register_buffer(name, torch.tensor(list(numbers), dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.vector(self.network, (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.deviation)


# --- Texts ------------------------------------------------------------------------------------------------------------


def transformers_text(model: str, spec: ArraySpec, pool: Pool = "mean") -> TextNetwork:
    """An encoder of texts in the form of ``transformers``: the mean, or the first, of its last states."""

    def vector(network: Any, ids: Tensor, real: Tensor) -> Tensor:
        states: Tensor = network(input_ids=ids, attention_mask=real.long()).last_hidden_state
        if pool == "first":
            return states[:, 0]
        weight = real.unsqueeze(2).to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1)

    network = TextNetwork(_transformers(model), vector, hub.settings(model).get("pad_token_id") or 0)
    return _tried_on_text(network, spec)


def sentence_transformers(model: str, spec: ArraySpec) -> TextNetwork:
    """A model of ``sentence-transformers``, with the pooling and the layers that it brings."""
    library = _imported("sentence_transformers", "sentence-transformers")
    folder = hub.folder(model)
    for part in _parts(model):
        if not part.startswith("sentence_transformers."):
            raise DataError("the model wants code from outside", where=str(folder / "modules.json"), seen=part)
    with _loading(folder, "sentence-transformers"):
        _quiet()
        network = library.SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )

    def vector(network: Any, ids: Tensor, real: Tensor) -> Tensor:
        found: Tensor = network({"input_ids": ids, "attention_mask": real.long()})["sentence_embedding"]
        return found

    return _tried_on_text(TextNetwork(network, vector, hub.settings(model).get("pad_token_id") or 0), spec)


def _parts(model: str) -> list[str]:
    path = hub.folder(model) / "modules.json"
    if not path.is_file():
        raise DataError(
            "this is no model of sentence-transformers", where=str(path.parent), todo="try the encoder 'transformers'"
        )
    return [str(part.get("type")) for part in hub.read_json(path)]


def _tried_on_text(network: TextNetwork, spec: ArraySpec) -> TextNetwork:
    try:
        with torch.no_grad():
            network.width = network.eval()(torch.ones((1, *spec.shape), dtype=torch.long)).shape[-1]
    except (IndexError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the network cannot read {spec.shape[0]} tokens", seen=_line(error), todo="set a smaller length"
        ) from None
    return network


# --- Pictures ---------------------------------------------------------------------------------------------------------


def transformers_picture(model: str, spec: ArraySpec) -> PictureNetwork:
    """An encoder of pictures in the form of ``transformers``: ViT, DINOv2, the picture half of CLIP, ResNet, …"""

    def vector(network: Any, pixels: Tensor) -> Tensor:
        states: Tensor = network(pixel_values=pixels).last_hidden_state
        if states.ndim == 4:  # a map of places, not a row of tokens
            return states.mean(dim=(2, 3))
        return states[:, 0]

    found = hub.settings(model, "preprocessor_config.json")
    scale = found.get("image_mean") or [0.5] * 3, found.get("image_std") or [0.5] * 3
    network = _transformers(model)
    return _tried_on_picture(PictureNetwork(getattr(network, "vision_model", network), vector, scale), spec)


def timm(model: str, spec: ArraySpec) -> PictureNetwork:
    """A model of ``timm`` without its classes."""
    library = _imported("timm", "timm")
    folder = hub.folder(model)
    with _loading(folder, "timm"):
        network = library.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        found = library.data.resolve_model_data_config(network)
    return _tried_on_picture(PictureNetwork(network, lambda n, x: n(x), (found["mean"], found["std"])), spec)


def open_clip(model: str, spec: ArraySpec) -> PictureNetwork:
    """The picture half of a model of ``open_clip``."""
    library = _imported("open_clip", "open-clip")
    folder = hub.folder(model)
    with _loading(folder, "open_clip"):
        network = library.create_model(f"local-dir:{folder}").float().visual
    return _tried_on_picture(PictureNetwork(network, lambda n, x: n(x), (network.image_mean, network.image_std)), spec)


def _tried_on_picture(network: PictureNetwork, spec: ArraySpec) -> PictureNetwork:
    try:
        with torch.no_grad():
            network.width = network.eval()(torch.zeros((1, *spec.shape), dtype=torch.uint8)).shape[-1]
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the network cannot read pictures of {spec.shape[0]} × {spec.shape[1]} pixels",
            seen=_line(error),
            todo="set the size that it was trained with: size: 224, or [height, width]",
        ) from None
    return network


# --- Both -------------------------------------------------------------------------------------------------------------


def export(model: str, told: object, spec: ArraySpec, folder: Path, load: Callable[[], nn.Module]) -> Path:
    """The ONNX file of a network, float32, written into ``folder`` unless it is there.

    Args:
        told: everything that the file depends on beside the model's own files and ``spec``.

    Raises:
        DataError: ONNX has no words for what the network does.
    """
    axes: dict[str, dict[int, str]] = {"ids": {1: "length"}}
    name, sample = "ids", torch.full((1, 6), 1)
    if spec.kind == "pixels":
        axes = {"pixels": {0: "rows"}, "vector": {0: "rows"}}
        name, sample = "pixels", torch.zeros((1, *spec.shape), dtype=torch.uint8)

    def make() -> bytes:
        network = load().eval()
        try:
            return traced(network, sample, name, axes)
        except RuntimeError as error:  # what the exporter's own errors are, too
            todo = "train it on, with frozen: false, or take another model"
            raise DataError(
                "the network cannot be written as ONNX", where=str(hub.folder(model)), seen=_line(error), todo=todo
            ) from None

    key = hashlib.sha256(f"{VERSION} {hub.fingerprint(model)} {told} {spec.shape}".encode()).hexdigest()[:16]
    return written_once(folder / f"hub-{key}.onnx", make)


def _transformers(model: str) -> nn.Module:
    library = _imported("transformers", "transformers")
    folder = hub.folder(model)
    with _loading(folder, "transformers"):
        _quiet()
        network, found = library.AutoModel.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = [name for name in found["missing_keys"] if "pooler" not in name]  # tuwen pools by itself
    if missing:
        raise DataError("the model lacks weights", where=str(folder), seen=", ".join(sorted(missing)[:4]))
    built: nn.Module = network
    return built


def _imported(module: str, encoder: str) -> Any:
    of_pictures = module in ("timm", "open_clip")
    try:
        admit_torchvision()
        return import_module(module)
    except Exception as error:  # a torchvision built for another torch raises what it likes
        if find_spec(module) is None:
            also = ", which needs a torchvision that fits this torch," if of_pictures else ""
            raise MissingExtra("hub", f"the encoder '{encoder}'{also}") from None
        todo = f"{TORCHVISION}; the encoder 'transformers-picture' does without" if of_pictures else None
        raise TuwenError(f"{module} is installed but does not import", seen=_line(error), todo=todo) from None


def admit_torchvision() -> None:
    """Let torchvision, where it is, be imported though its compiled half was built for another torch, or a GPU.

    The libraries import it for what prepares pictures, which tuwen does itself, and ask none of its operators. An
    operator that is declared here and asked all the same is an error of torch that names it.
    """
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for line in OPERATORS:
            declared.define(line)
        _DECLARED.append(declared)
        import_module("torchvision")


_DECLARED: list[torch.library.Library] = []  # what torch forgets as soon as nobody holds it


@contextmanager
def _loading(folder: Path, library: str) -> Iterator[None]:
    """What a library raises over a folder, as an error for a person."""
    try:
        yield
    except LOADING as error:
        raise DataError(f"{library} cannot load the model", where=str(folder), seen=_line(error)) from None


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
