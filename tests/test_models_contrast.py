"""Contrast: losses against plain loops, false negatives left alone, planted pairs found, noise left at chance."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tuwen.errors import ConfigError
from tuwen.evaluation.retrieval import rank
from tuwen.models.assemble import Part, assemble
from tuwen.models.contrast import SECOND, info_nce, nt_xent
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import ContrastTarget, from_plain
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, network_of, train

WIDTH = 12


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    return nn.functional.normalize(
        torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width))).float(), dim=1
    )


def plain_info_nce(a: np.ndarray, b: np.ndarray, scale: float, same: np.ndarray) -> float:
    """CLIP's loss, one row and one negative at a time."""
    total = 0.0
    for left, right in ((a, b), (b, a)):
        for i in range(len(a)):
            sums = [math.exp(scale * float(left[i] @ right[j])) for j in range(len(a)) if j == i or not same[i, j]]
            total -= scale * float(left[i] @ right[i]) - math.log(sum(sums))
    return total / (2 * len(a))


def plain_nt_xent(first: np.ndarray, second: np.ndarray, scale: float, same: np.ndarray) -> float:
    """SimCLR's loss, one view and one negative at a time."""
    views, rows, total = np.concatenate([first, second]), len(first), 0.0
    for i in range(2 * rows):
        other = (i + rows) % (2 * rows)
        allowed = [j for j in range(2 * rows) if j == other or (j != i and not same[i % rows, j % rows])]
        sums = sum(math.exp(scale * float(views[i] @ views[j])) for j in allowed)
        total -= scale * float(views[i] @ views[other]) - math.log(sums)
    return total / (2 * rows)


@pytest.mark.parametrize(("loss", "plain"), [(info_nce, plain_info_nce), (nt_xent, plain_nt_xent)])
def test_the_loss_is_that_of_a_plain_loop(loss, plain):
    a, b, content = unit(7, 4, 0), unit(7, 4, 1), np.array([0, 1, 2, 0, 3, 3, 4])
    same = content[:, None] == content[None]
    found = loss(a, b, torch.tensor(5.0), torch.from_numpy(same))
    assert float(found) == pytest.approx(plain(a.numpy(), b.numpy(), 5.0, same), abs=1e-5)
    assert float(loss(b, a, torch.tensor(5.0), torch.from_numpy(same))) == pytest.approx(float(found), abs=1e-5)


def contrast(pairs=("left-right",), sides=None, **options):
    """A model over frozen vectors of ``WIDTH`` numbers, one modality a side unless ``sides`` say otherwise."""
    sides = sides or {"left": ("l",), "right": ("r",)}
    target = ContrastTarget.fit(sides, list(pairs), options.get("width", 128))
    torch.manual_seed(0)
    encoder = Part("efficientnet-lite0", {"size": 1.0})
    encoders = {m: (encoder, ArraySpec("vector", (WIDTH,))) for names in target.sides.values() for m in names}
    task = Part("contrast", {"pairs": list(pairs), **options})
    return assemble(encoders, Part("concat"), task, target), target


def examples(vectors: dict[str, np.ndarray], targets: np.ndarray, present: dict[str, np.ndarray] | None = None):
    inputs = {}
    for name, v in vectors.items():
        there = (present or {}).get(name, np.ones(len(v), bool))
        inputs[name] = EncodedInput({"vector": v.astype(np.float32)}, there, np.arange(len(v)))
    return Examples(inputs, targets)


def batch(made: Examples):
    arrays = {m: {n: torch.from_numpy(a) for n, a in s.arrays.items()} for m, s in made.inputs.items()}
    return arrays, {m: torch.from_numpy(s.present) for m, s in made.inputs.items()}, torch.from_numpy(made.targets)


def planted(rows: int, seed: int, noise: float = 0.05) -> dict[str, np.ndarray]:
    """Two linear views of one latent."""
    rng, maps = np.random.default_rng(seed), np.random.default_rng(99)
    latent = rng.normal(size=(rows, 6))
    return {m: latent @ maps.normal(size=(6, WIDTH)) + noise * rng.normal(size=(rows, WIDTH)) for m in ("l", "r")}


def own(rows: int, sides: int = 2) -> np.ndarray:
    return np.tile(np.arange(rows)[:, None], (1, sides))


SETTINGS = Settings(epochs=12, batch_size=128, learning_rate=3e-3, schedule="cosine")


def recall_at_1(model, target, vectors) -> float:
    rows = len(vectors["l"])
    made = examples(vectors, own(rows))
    found = target.decode(outputs_of(network_of(model, torch.device("cpu")), made.inputs))
    return float(rank(found["left"], found["right"]).recall(1).mean())


def test_planted_pairs_are_found_and_noise_stays_at_chance():
    model, target = contrast(hidden=64, width=16)
    train(model, examples(planted(1024, 0), own(1024)), None, SETTINGS, seed=0)
    assert recall_at_1(model, target, planted(200, 1)) > 0.95
    rng = np.random.default_rng(5)
    noise = {m: rng.normal(size=(1224, WIDTH)) for m in ("l", "r")}
    model, target = contrast(hidden=64, width=16)
    train(model, examples({m: v[:1024] for m, v in noise.items()}, own(1024)), None, SETTINGS, seed=0)
    assert recall_at_1(model, target, {m: v[1024:] for m, v in noise.items()}) < 0.03  # chance: 0.005


def test_a_resumed_training_gives_the_numbers_of_an_unbroken_one(tmp_path):
    """Two views, dropout, learned temperature: all of it is a function of seed, epoch and step."""
    made = examples(planted(64, 0), own(64))

    def trained(checkpoint=None, stop=None):
        model, _ = contrast(("left-right", "left-left"), hidden=16, width=8, dropout=0.2)
        steps = []

        def change(arrays, rng):
            steps.append(1)
            if stop and len(steps) > stop:
                raise RuntimeError("killed")
            noise = rng.normal(size=arrays["vector"].shape).astype(np.float32)
            return arrays | {SECOND + "vector": arrays["vector"] + 0.1 * noise}

        settings = Settings(epochs=3, batch_size=16, checkpoint_seconds=1e-9)
        train(model, made, made, settings, seed=3, augment={"l": change}, checkpoint=checkpoint)
        return model.state_dict()

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(RuntimeError, match="killed"):
        trained(path, stop=7)
    assert path.is_file()
    resumed, whole = trained(path), trained()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_equal_content_is_not_pushed_apart():
    """Where the whole batch has one text, nothing is a negative of anything: no loss, no gradient."""
    model, _ = contrast(hidden=8, width=4)
    vectors = planted(6, 0)
    apart, alike = (
        batch(examples(vectors, targets)) for targets in (own(6), np.stack([np.arange(6), np.zeros(6, int)], 1))
    )
    model.train()
    assert float(model.task.loss(model.for_loss(*apart[:2]), apart[2]).detach()) > 0.1
    loss = model.task.loss(model.for_loss(*alike[:2]), alike[2])
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) < 1e-6


def test_a_row_with_one_side_takes_no_part_and_has_a_zero_embedding():
    model, target = contrast(hidden=8, width=4)
    vectors, present = planted(6, 0), {"r": np.array([1, 1, 0, 1, 1, 1], bool)}
    arrays, there, targets = batch(examples(vectors, own(6), present))
    arrays["r"]["vector"][2] = float("nan")
    model.eval()
    outputs = model(arrays, there).detach()
    assert torch.isfinite(outputs).all() and not target.decode(outputs.numpy())["right"][2].any()
    kept = torch.tensor([0, 1, 3, 4, 5])
    assert float(model.task.loss(outputs, targets)) == pytest.approx(
        float(model.task.loss(outputs[kept], targets[kept]))
    )
    nothing = outputs.clone()
    nothing[:, :] = 0
    assert float(model.task.loss(nothing, targets)) == 0


def test_several_modalities_form_a_side_and_one_of_them_is_enough():
    model, target = contrast(sides={"left": ("l",), "right": ("r", "s")}, hidden=8, width=4)
    vectors = planted(5, 0) | {"s": planted(5, 1)["l"]}
    present = {"s": np.array([1, 0, 1, 0, 1], bool), "r": np.array([1, 1, 0, 0, 1], bool)}
    arrays, there, _ = batch(examples(vectors, own(5), present))
    model.eval()
    right = target.decode(model(arrays, there).detach().numpy())["right"]
    lengths = np.linalg.norm(right, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0, 1], atol=1e-5)


def test_the_second_view_is_the_augmented_one_or_another_dropout():
    model, _ = contrast(("left-left",), hidden=8, width=4)
    arrays, there, targets = batch(examples({"l": planted(6, 0)["l"]}, own(6, 1)))
    model.train()
    first, second = model.for_loss(arrays, there).split(4, dim=1)
    assert torch.equal(first, second)
    arrays["l"][SECOND + "vector"] = arrays["l"]["vector"] + 1
    first, second = model.for_loss(arrays, there).split(4, dim=1)
    assert not torch.equal(first, second)
    assert float(model.task.loss(torch.cat([first, second], 1), targets).detach()) > 0
    assert model(arrays, there).shape == (6, 4)  # answers need one view
    dropping, _ = contrast(("left-left",), hidden=8, width=4, dropout=0.5)
    first, second = (
        dropping.train().for_loss(*batch(examples({"l": planted(6, 0)["l"]}, own(6, 1)))[:2]).split(4, dim=1)
    )
    assert not torch.equal(first, second)


def test_a_large_validation_part_is_judged_in_pieces():
    model, _ = contrast(hidden=8, width=4)
    arrays, there, targets = batch(examples(planted(2500, 0), own(2500)))
    model.eval()
    with torch.no_grad():
        outputs = model(arrays, there)
        parts = [model.task._loss(o, t) * len(o) for o, t in zip(outputs.split(1024), targets.split(1024), strict=True)]
    assert float(model.task.loss(outputs, targets)) == pytest.approx(float(sum(parts)) / 2500, rel=1e-5)


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        (["left-middle"], "there is no pair 'left-middle'"),
        (["left-right", "right-left"], "stands twice"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs, what):
    with pytest.raises(ConfigError, match=what):
        ContrastTarget.fit({"left": ("l",), "right": ("r",)}, pairs, 8)


def test_the_target_survives_json():
    target = ContrastTarget.fit({"right": ("r", "s"), "left": ("l",)}, ["right-left", "left-left"], 8)
    assert from_plain(target.plain()) == target
    assert list(target.sides) == ["left", "right"] and target.outputs == 16
