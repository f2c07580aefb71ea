"""The contract every encoder keeps: its width, and rows that do not mix."""

import numpy as np
import pytest
import torch

from tuwen.errors import ConfigError
from tuwen.models import ENCODERS
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import signature_model

SPECS = {
    "pixels": ArraySpec("pixels", (32, 40, 3)),
    "tokens": ArraySpec("tokens", (12,), (50,)),
    "bag": ArraySpec("bag", (9,), (70,)),
    "table": ArraySpec("table", (3, 2), (5, 7)),
    "spectrogram": ArraySpec("spectrogram", (40, 32)),
    "points": ArraySpec("points", (30, 3)),
    "vector": ArraySpec("vector", (384,)),
}
WIDE = ArraySpec("vector", (1280,))


def arrays_of(spec, rows=4, seed=0):
    rng = np.random.default_rng(seed)
    if spec.kind == "pixels":
        return {"pixels": rng.integers(0, 256, (rows, *spec.shape), dtype=np.uint8)}
    if spec.kind == "tokens":
        ids = rng.integers(1, spec.sizes[0], (rows, *spec.shape), dtype=np.int32)
        lengths = rng.integers(1, spec.shape[0] + 1, rows)
        return {"ids": np.where(np.arange(spec.shape[0]) < lengths[:, None], ids, 0).astype(np.int32)}
    if spec.kind == "bag":
        ids = rng.integers(0, spec.sizes[0], (rows, *spec.shape), dtype=np.int32)
        return {"ids": ids, "weights": np.where(ids > 0, rng.random(ids.shape), 0).astype(np.float32)}
    if spec.kind == "table":
        categories = np.stack([rng.integers(0, s, rows) for s in spec.sizes], axis=1).astype(np.int32)
        return {"numbers": rng.normal(size=(rows, spec.shape[0])).astype(np.float32), "categories": categories}
    if spec.kind == "spectrogram":
        heard = np.arange(spec.shape[0]) < rng.integers(1, spec.shape[0] + 1, rows)[:, None]
        loud = rng.normal(size=(rows, *spec.shape)) * heard[:, :, None]
        return {"spectrogram": loud.astype(np.float32), "mask": heard}
    return {spec.kind: rng.normal(size=(rows, *spec.shape)).astype(np.float32)}


def cases():
    for name in sorted(ENCODERS.entries()):
        for kind in ENCODERS.load(name).accepts:
            needs_weights = ENCODERS.load(name).pretrained is not None and kind != "vector"
            if not needs_weights:
                yield name, WIDE if name.startswith("efficientnet") else SPECS[kind]


NEEDED = {"model": "FOLDER"}  # options without a default; frozen vectors need no network


def built(name, spec):
    options = signature_model(ENCODERS.load(name)).model_fields
    return ENCODERS.build(name, {n: NEEDED[n] for n, option in options.items() if option.is_required()}, spec)


def tensors(arrays, rows=slice(None)):
    return {n: torch.from_numpy(a[rows]) for n, a in arrays.items()}


@pytest.mark.parametrize(("name", "spec"), list(cases()), ids=lambda v: v if isinstance(v, str) else v.kind)
def test_width_and_rows_that_do_not_mix(name, spec):
    torch.manual_seed(0)
    encoder = built(name, spec).eval()
    arrays = arrays_of(spec)
    encoder.prepare(arrays)
    whole = encoder(**tensors(arrays))
    assert whole.shape == (4, encoder.width)
    assert torch.isfinite(whole).all()
    for row in range(4):
        alone = encoder(**tensors(arrays, slice(row, row + 1)))
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "spec"), list(cases()), ids=lambda v: v if isinstance(v, str) else v.kind)
def test_an_empty_row_gives_numbers(name, spec):
    encoder = built(name, spec).eval()
    nothing = {n: np.zeros_like(a) for n, a in arrays_of(spec).items()}
    assert torch.isfinite(encoder(**tensors(nothing))).all()


def test_an_encoder_refuses_arrays_it_cannot_read():
    with pytest.raises(ConfigError, match="encoder 'lstm': this encoder cannot read pixels") as caught:
        ENCODERS.build("lstm", {}, SPECS["pixels"], where="run.yaml:7")
    assert caught.value.where == "run.yaml:7" and "tokens: word" in caught.value.todo


@pytest.mark.parametrize("pool", ["last", "max", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lstm_ignores_padding(pool, bidirectional):
    encoder = ENCODERS.build("lstm", {"pool": pool, "bidirectional": bidirectional}, SPECS["tokens"]).eval()
    ids = torch.tensor([[4, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32)
    torch.testing.assert_close(encoder(ids), encoder(ids[:, :3]))


def test_lstm_backwards_reads_the_reversed_text():
    encoder = ENCODERS.build("lstm", {"bidirectional": True}, SPECS["tokens"]).eval()
    encoder.directions[1].load_state_dict(encoder.directions[0].state_dict())
    ids = torch.tensor([[4, 9, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32)
    mirrored = torch.tensor([[7, 2, 9, 4, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32)
    forwards, backwards = encoder(ids).chunk(2, dim=1)
    torch.testing.assert_close(encoder(mirrored).chunk(2, dim=1)[0], backwards)
    assert not torch.allclose(forwards, backwards)


def test_a_picture_too_small_for_its_convolutions_is_an_error():
    with pytest.raises(ConfigError, match="too small"):
        ENCODERS.build("cnn", {"channels": [8, 8, 8, 8]}, ArraySpec("pixels", (20, 20, 3)))


def test_standardise_centres_the_train_vectors():
    encoder = ENCODERS.build("e5-small", {}, SPECS["vector"]).eval()
    vectors = np.random.default_rng(0).normal(3.0, 0.5, (500, 384)).astype(np.float32)
    encoder.prepare({"vector": vectors})
    out = encoder(vector=torch.from_numpy(vectors))
    torch.testing.assert_close(out.mean(0), torch.zeros(384), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0), torch.ones(384), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("name", "spec"), list(cases()), ids=lambda v: v if isinstance(v, str) else v.kind)
def test_every_encoder_trains_in_bfloat16(name, spec):
    """Mixed precision changes the last digits and nothing else: the same vector, and gradients that are numbers."""
    torch.manual_seed(0)
    encoder = built(name, spec)
    given = tensors(arrays_of(spec))
    halved = {n: t.bfloat16() if t.is_floating_point() else t for n, t in given.items()}  # as Fabric hands them over
    with torch.autocast("cpu", torch.bfloat16):
        mixed = encoder(**halved)
    torch.testing.assert_close(mixed.float(), encoder(**given), rtol=0.05, atol=0.05)
    if mixed.requires_grad:
        mixed.float().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)
