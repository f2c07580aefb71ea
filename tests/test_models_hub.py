"""Encoders by name: tiny models saved to a folder, the libraries' own answers, and what must not be opened or run."""

import importlib
import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.data.sample import write_sample_shop
from tuwen.errors import ConfigError, DataError, MissingExtra
from tuwen.models import ENCODERS, lora
from tuwen.models.pretrained import hub as pretrained_hub
from tuwen.preprocess import hub
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.image import Image
from tuwen.preprocess.modality import load as load_modality
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.text import Text

pretrained_hub.admit_torchvision()  # before any of the libraries, as tuwen does

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs transformers (extra hub; make test-hub)"
)
needs_sentences = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="needs sentence-transformers (extra hub; make test-hub)",
)
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs onnx (extra train)")

# 0 is a real token here, and padding is 1: what tuwen's own ids must not mix up
WORDS = {"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "red": 4, "dress": 5, "blue": 6, "shoe": 7, "item": 8}
TEXTS = ["red dress", "blue", "strange words and a shoe", "red red red red red red"]
LENGTH = 12


def words(folder):
    """A word-level tokeniser with its special tokens."""
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    transformers = pytest.importorskip("transformers", reason="needs transformers (extra hub; make test-hub)")
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=9, max_position_embeddings=16, pad_token_id=1, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words(folder), unk_token="[UNK]", pad_token="[PAD]", model_max_length=16
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sentences(bert, tmp_path_factory):
    library = pytest.importorskip(
        "sentence_transformers", reason="needs sentence-transformers (extra hub; make test-hub)"
    )
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("sentences")
    torch.manual_seed(1)
    parts = [Transformer(str(bert)), Pooling(16, pooling_mode="mean"), Dense(16, 8), Normalize()]
    library.SentenceTransformer(modules=parts, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    transformers = pytest.importorskip("transformers", reason="needs transformers (extra hub; make test-hub)")
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(2)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(image_size=32, patch_size=8, **sizes)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    told = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def text_of(folder, length=LENGTH):
    text = Text(tokens="hub", model=str(folder), length=length)
    text.fit([])
    return text


def encoder_of(name, folder, spec, **options):
    return ENCODERS.build(name, {"model": str(folder), "frozen": False} | options, spec).eval()


def frozen_of(name, folder, modality, out, **options):
    complete = ENCODERS.options(name, {"model": str(folder)} | options)
    return Frozen(modality, ENCODERS.load(name).export(complete, modality.spec, out, lambda: None))


def vectors(encoder, text, some):
    with torch.no_grad():
        return encoder(ids=torch.from_numpy(text.encode(some)[0]["ids"])).numpy()


# --- The libraries' own answers --------------------------------------------------------------------------------------


@needs_onnx
@pytest.mark.parametrize("pool", ["mean", "first"])
def test_transformers_gives_what_the_library_gives_trained_or_frozen(bert, tmp_path, pool):
    from transformers import AutoModel, AutoTokenizer

    network, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    text = text_of(bert)
    found = vectors(encoder_of("transformers", bert, text.spec, pool=pool), text, TEXTS)
    frozen = frozen_of("transformers", bert, text, tmp_path, pool=pool).encode(TEXTS)[0]["vector"]
    for row, one in enumerate(TEXTS):
        with torch.no_grad():
            states = network(**tokenizer(one, return_tensors="pt")).last_hidden_state[0]
        expected = states.mean(dim=0) if pool == "mean" else states[0]
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
        np.testing.assert_allclose(frozen[row], expected, atol=1e-5)


@needs_onnx
def test_sentence_transformers_gives_what_the_library_gives_trained_or_frozen(sentences, tmp_path):
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(sentences), device="cpu").encode(TEXTS)
    text = text_of(sentences)
    encoder = encoder_of("sentence-transformers", sentences, text.spec)
    assert encoder.width == 8
    np.testing.assert_allclose(vectors(encoder, text, TEXTS), expected, atol=1e-5)
    frozen = frozen_of("sentence-transformers", sentences, text, tmp_path)
    np.testing.assert_allclose(frozen.encode(TEXTS)[0]["vector"], expected, atol=1e-5)


@needs_onnx
def test_pictures_of_transformers_give_what_the_library_gives_trained_or_frozen(vit, tmp_path):
    from transformers import AutoModel

    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    scaled = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]
    with torch.no_grad():
        given = torch.from_numpy(scaled).float().permute(0, 3, 1, 2)
        expected = AutoModel.from_pretrained(vit).eval()(pixel_values=given).last_hidden_state[:, 0].numpy()
        encoder = encoder_of("transformers-picture", vit, ArraySpec("pixels", (32, 32, 3)))
        np.testing.assert_allclose(encoder(pixels=torch.from_numpy(pixels)), expected, atol=1e-5)
    frozen = frozen_of("transformers-picture", vit, Image(size=32), tmp_path)
    for row in range(3):
        np.testing.assert_allclose(frozen._vector({"pixels": pixels[row]}), expected[row], atol=1e-5)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    timm = pytest.importorskip("timm", reason="needs timm (extra hub; make test-hub)")
    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(3)
    timm.models.save_for_hf(
        timm.create_model("test_resnet", pretrained=False, num_classes=5), folder, safe_serialization="both"
    )
    (folder / "pytorch_model.bin").unlink()
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip (extra hub; make test-hub)")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(4)
    sizes = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1},
    }
    told = {
        "model_cfg": sizes,
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "size": 32},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(told), encoding="utf-8")
    weights = {name: tensor.contiguous() for name, tensor in open_clip.model.CLIP(**sizes).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def own_answers_of_timm(folder, pixels):
    timm = importlib.import_module("timm")
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    found = timm.data.resolve_model_data_config(network)
    return network((pixels - torch.tensor(found["mean"]).view(3, 1, 1)) / torch.tensor(found["std"]).view(3, 1, 1))


def own_answers_of_open_clip(folder, pixels):
    open_clip = importlib.import_module("open_clip")
    network = open_clip.create_model(f"local-dir:{folder}").eval()
    scale = torch.tensor([[0.5, 0.4, 0.3], [0.2, 0.25, 0.3]])
    return network.encode_image((pixels - scale[0].view(3, 1, 1)) / scale[1].view(3, 1, 1))


@needs_onnx
@pytest.mark.parametrize(
    ("name", "made", "size", "own"),
    [("timm", "resnet", 64, own_answers_of_timm), ("open-clip", "clip", 32, own_answers_of_open_clip)],
)
def test_timm_and_open_clip_give_what_the_library_gives_trained_or_frozen(name, made, size, own, request, tmp_path):
    folder = request.getfixturevalue(made)
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = own(folder, torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()
        encoder = encoder_of(name, folder, ArraySpec("pixels", (size, size, 3)))
        np.testing.assert_allclose(encoder(pixels=torch.from_numpy(pixels)), expected, atol=1e-5)
    frozen = frozen_of(name, folder, Image(size=size), tmp_path)
    for row in range(3):
        np.testing.assert_allclose(frozen._vector({"pixels": pixels[row]}), expected[row], atol=1e-4)


def test_padding_and_neighbours_do_not_change_a_vector(bert):
    text = text_of(bert)
    encoder = encoder_of("transformers", bert, text.spec)
    together = vectors(encoder, text, [*TEXTS, ""])
    assert np.isfinite(together).all()
    for row, one in enumerate(TEXTS):
        np.testing.assert_allclose(vectors(encoder, text, [one])[0], together[row], atol=1e-5)


# --- Training on ---------------------------------------------------------------------------------------------------


def test_the_upper_blocks_or_their_updates_are_trained(bert):
    spec = text_of(bert).spec
    encoder = encoder_of("transformers", bert, spec, train_layers=1)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained and all("layer.2." in name for name in trained)
    assert len(encoder.pretrained_layers()) == 1
    encoder = encoder_of("transformers", bert, spec, lora=2, train_layers=2)
    updated = [name for name, m in encoder.named_modules() if isinstance(m, lora.LowRankUpdate)]
    assert len(updated) == 2 * 6 and not any("layer.0." in name for name in updated)


# --- Tokens ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path):
    """A folder that has a tokeniser, and weights that nobody opens here."""
    folder = tmp_path / "plain"
    folder.mkdir()
    words(folder)
    (folder / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


def test_ids_are_moved_so_that_0_is_padding(plain, tmp_path):
    text = text_of(plain, length=5)
    ids = text.encode(["red strange", "red dress blue shoe", ""])[0]["ids"]
    assert ids.tolist() == [[3, 5, 1, 4, 0], [3, 5, 6, 7, 4], [0, 0, 0, 0, 0]]  # the closing token stays when cut
    assert text.spec == ArraySpec("tokens", (5,), (10,))
    text.save(tmp_path / "saved")
    shutil.rmtree(plain)
    again = load_modality(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode(["red strange"])[0]["ids"], ids[:1])


def test_tokens_of_the_hub_need_a_model():
    with pytest.raises(ConfigError, match="needs 'model'"):
        Text(tokens="hub").fit([])


def test_a_folder_without_a_tokeniser_is_told(plain):
    (plain / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        text_of(plain)
    (plain / "tokenizer.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        text_of(plain)


# --- What is refused ------------------------------------------------------------------------------------------------


def test_pickled_weights_are_not_opened(plain):
    (plain / "model.safetensors").rename(plain / "pytorch_model.bin")
    hub.folder.cache_clear()
    with pytest.raises(DataError, match="no weights that can be read") as caught:
        hub.folder(str(plain))
    assert "no pickle" in caught.value.allowed


@needs_sentences
def test_pickled_weights_of_one_part_are_not_opened(sentences, tmp_path):
    folder = shutil.copytree(sentences, tmp_path / "copy")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(DataError, match="no weights that can be read"):
        encoder_of("sentence-transformers", folder, ArraySpec("tokens", (LENGTH,), (10,)))


CODE = """
from pathlib import Path
Path(__file__).with_name("run").touch()
class Mine: pass
"""


@pytest.mark.parametrize("name", ["transformers", "sentence-transformers"])
def test_code_that_a_model_brings_is_not_run(name, bert, sentences, tmp_path):
    folder = shutil.copytree(bert if name == "transformers" else sentences, tmp_path / "copy")
    (folder / "mine.py").write_text(CODE, encoding="utf-8")
    path = folder / ("config.json" if name == "transformers" else "modules.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    if name == "transformers":
        told |= {"auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}, "model_type": "mine"}
    else:
        told[1]["type"] = "mine.Mine"
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(DataError):
        encoder_of(name, folder, ArraySpec("tokens", (LENGTH,), (10,)))
    assert not (folder / "run").exists()


def test_weights_that_are_missing_are_not_made_up(bert, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(bert, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="lacks weights") as caught:
        encoder_of("transformers", folder, ArraySpec("tokens", (LENGTH,), (10,)))
    assert "encoder.layer.1.output.dense.weight" in caught.value.seen


@needs_transformers
def test_a_folder_of_something_else_is_told(plain):
    with pytest.raises(DataError, match="transformers cannot load the model"):
        encoder_of("transformers", plain, ArraySpec("tokens", (LENGTH,), (10,)))


def test_texts_or_pictures_that_the_network_cannot_read_are_told(bert, vit):
    with pytest.raises(ConfigError, match="cannot read 40 tokens") as caught:
        encoder_of("transformers", bert, ArraySpec("tokens", (40,), (10,)))
    assert "length" in caught.value.todo
    with pytest.raises(ConfigError, match="cannot read pictures of 48 × 48 pixels") as caught:
        encoder_of("transformers-picture", vit, ArraySpec("pixels", (48, 48, 3)))
    assert "32" in caught.value.seen and "size" in caught.value.todo


def test_neither_a_folder_nor_a_hub(monkeypatch):
    import huggingface_hub.constants

    with pytest.raises(ConfigError, match="no such folder"):
        hub.folder("./no/such/folder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="nor to be had from the hub") as caught:
        hub.folder("nobody/nothing-of-this-name")
    assert "name its folder" in caught.value.todo


@pytest.mark.parametrize(("name", "module"), [("timm", "timm"), ("open-clip", "open_clip")])
def test_a_missing_library_names_its_extra_and_torchvision(name, module, plain):
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed")
    with pytest.raises(MissingExtra, match="torchvision") as caught:
        encoder_of(name, plain, ArraySpec("pixels", (32, 32, 3)))
    assert caught.value.extra == "hub" and f"'{name}'" in caught.value.what


class Attending(torch.nn.Module):
    """Attention as torch brings it, which open_clip uses; and on demand something that has no name in ONNX."""

    def __init__(self, odd=False):
        super().__init__()
        torch.manual_seed(0)
        self.attention, self.odd = torch.nn.MultiheadAttention(4, 2, batch_first=True), odd

    def forward(self, pixels):
        x = pixels.flatten(1, 2)[:, :, :1].float().expand(-1, -1, 4) / 255
        found = self.attention(x, x, x, need_weights=False)[0].mean(dim=1)
        return torch.special.bessel_j0(found) if self.odd else found


@needs_onnx
def test_attention_of_torch_is_exported_and_what_cannot_be_is_told(plain, tmp_path):
    spec = ArraySpec("pixels", (4, 4, 3))
    path = pretrained_hub.export(str(plain), "a", spec, tmp_path, Attending)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = Attending().eval()(torch.from_numpy(pixels[None]))[0]
    np.testing.assert_allclose(Frozen(Image(size=4), path)._vector({"pixels": pixels}), expected, atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(DataError, match="cannot be written as ONNX") as caught:
        pretrained_hub.export(str(plain), "b", spec, tmp_path, lambda: Attending(odd=True))
    assert "frozen: false" in caught.value.todo


# --- A whole run ------------------------------------------------------------------------------------------------------


@needs_onnx
def test_a_frozen_model_is_served_without_its_folder(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "model")
    write_sample_shop(tmp_path / "shop", items=40, seed=5)
    workflow.collect(tmp_path / "shop" / "SHOP.yaml", tmp_path / "dataset")
    text = {"use": "text", "columns": ["items.title"], "length": LENGTH}
    run = {
        "name": "hub",
        "rows": {"table": "items"},
        "modalities": {"text": text | {"encoder": {"use": "transformers", "model": str(folder), "adapter": 8}}},
        "task": {"use": "classify", "target": "items.category"},
        "training": {"epochs": 2, "batch_size": 8},
    }
    path = tmp_path / "RUN.yaml"
    path.write_text(yaml.safe_dump(run), encoding="utf-8")
    checked = workflow.check(path)["modalities"]["text"]
    assert (checked["tokens"], checked["model"]) == ("hub", str(folder))
    trained = workflow.train(path, tmp_path / "dataset", tmp_path / "bundle")
    shutil.rmtree(folder)
    (answer,) = Bundle.open(trained).predict([{"items.title": "red dress"}])
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)

    run["modalities"]["text"]["tokens"] = "word"
    path.write_text(yaml.safe_dump(run), encoding="utf-8")
    with pytest.raises(ConfigError, match="needs tokens: hub"):
        workflow.check(path)
