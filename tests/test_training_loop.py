"""The loop against an unbroken twin, an oracle and planted truths."""

import gc
import json
import signal
import tracemalloc
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression, Ridge

from tuwen.errors import DataError
from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, RateTarget
from tuwen.training.batches import Examples, ahead, order, outputs_of
from tuwen.training.inputs import Decoded, EncodedInput, Room, StreamedInput, distinct
from tuwen.training.loop import Settings, network_of, seed_dropout, train
from tuwen.training.optimiser import WeightAverage, schedule


def table_input(rows, seed):
    rng = np.random.default_rng(seed)
    arrays = {"numbers": rng.normal(size=(rows, 4)).astype(np.float32), "categories": np.zeros((rows, 0), np.int32)}
    return arrays["numbers"], EncodedInput(arrays, np.ones(rows, bool), np.arange(rows))


def model_of(target, task="rate", options=None, fusion=None, names=("a",), encoder=None):
    torch.manual_seed(0)
    encoders = {n: (encoder or Part("table", {"width": 8}), ArraySpec("table", (4, 0))) for n in names}
    return assemble(
        encoders, fusion or Part("concat", {"dropout": 0.3}), Part(task, {"target": "y", **(options or {})}), target
    )


def problem(rows=160, seed=0):
    x, source = table_input(rows, seed)
    y = (x @ [1.0, -2.0, 0.5, 0.0] + 3).astype(np.float32)
    return Examples({"a": source}, y)


SETTINGS = Settings(
    epochs=4, batch_size=16, learning_rate=0.01, schedule="cosine", warm_up=0.1, gradient_clip=1.0, average=0.9
)


class Killed(Exception):
    """Stands for a process that ends in the middle of a step, with nothing saved for it."""


class Stops:
    """A progress that, after some steps, presses Ctrl-C or dies."""

    def __init__(self, after, how):
        self.after, self.how, self.seen = after, how, -1

    def task(self, name, total=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, n=1):
        self.seen += 1
        if self.seen == self.after:
            if self.how is Killed:
                raise Killed
            signal.raise_signal(signal.SIGINT)


def without_seconds(history):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
@pytest.mark.parametrize("after", [3, 10, 17])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, after, how):
    """Stopped within an epoch, at its end, and after several: parameters and history are those of the unbroken twin."""
    target = RateTarget(0, 6, 3.0)
    unbroken = model_of(target)
    whole = train(unbroken, problem(), problem(60, 1), SETTINGS, seed=5)

    # a killed process has only its last timely checkpoint: here one after every step but the last
    settings = replace(SETTINGS, checkpoint_seconds=1e-9) if how is Killed else SETTINGS
    keep = {"seed": 5, "checkpoint": tmp_path / "checkpoint.safetensors", "fingerprint": "f"}
    with pytest.raises(how):
        train(model_of(target), problem(), problem(60, 1), settings, progress=Stops(after, how), **keep)
    again = model_of(target)
    counted = Stops(-2, how)
    resumed = train(again, problem(), problem(60, 1), SETTINGS, progress=counted, **keep)
    assert counted.seen <= 40 - after  # it went on, it did not start anew
    for key, value in unbroken.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert without_seconds(whole.history) == without_seconds(resumed.history)


def test_after_the_loop_ctrl_c_is_what_it_was(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    train(model_of(RateTarget(0, 6, 3.0)), problem(), None, replace(SETTINGS, epochs=1), seed=0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path):
    target, path = RateTarget(0, 6, 3.0), tmp_path / "checkpoint.safetensors"
    once = replace(SETTINGS, epochs=1, checkpoint_seconds=1e-9)
    train(model_of(target), problem(), None, once, seed=5, checkpoint=path, fingerprint="one")
    fresh = train(
        model_of(target), problem(), None, replace(SETTINGS, epochs=2), seed=5, checkpoint=path, fingerprint="other"
    )
    assert [entry["epoch"] for entry in fresh.history] == [1, 2]


def test_a_truncated_checkpoint_starts_anew(tmp_path):
    target, path = RateTarget(0, 6, 3.0), tmp_path / "checkpoint.safetensors"
    once = replace(SETTINGS, epochs=1, checkpoint_seconds=1e-9)
    train(model_of(target), problem(), None, once, seed=5, checkpoint=path, fingerprint="f")
    path.write_bytes(path.read_bytes()[:200])
    assert (
        len(train(model_of(target), problem(), None, SETTINGS, seed=5, checkpoint=path, fingerprint="f").history) == 4
    )


def test_a_checkpoint_holds_no_pickle(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    settings = replace(SETTINGS, checkpoint_seconds=1e-9)
    train(model_of(RateTarget(0, 6, 3.0)), problem(), None, settings, seed=5, checkpoint=path, fingerprint="f")
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["tuwen"])["fingerprint"] == "f"


def test_equal_seeds_give_equal_models_and_other_seeds_others():
    def weights(seed):
        model = model_of(RateTarget(0, 6, 3.0))
        train(model, problem(), None, replace(SETTINGS, epochs=1), seed=seed)
        return model.state_dict()["task.dense.weight"]

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_rate_finds_what_ridge_finds():
    """On a linear truth the network's head reaches the closed-form solution."""
    x, source = table_input(400, 0)
    y = (x @ [1.0, -2.0, 0.5, 0.0] + np.random.default_rng(1).normal(0, 0.3, 400)).astype(np.float32)
    examples = Examples({"a": source}, y)
    model = model_of(RateTarget(-9, 9, 0.0), fusion=Part("sum", {"activation": "none"}))
    train(model, examples, None, Settings(epochs=60, batch_size=64, learning_rate=0.02, schedule="linear"), seed=0)
    found = outputs_of(network_of(model, torch.device("cpu")), examples.inputs)[:, 0]
    best = Ridge(alpha=1e-6).fit(x, y).predict(x)
    assert np.sqrt(np.mean((found - best) ** 2)) < 0.03


def test_binary_finds_what_logistic_regression_finds():
    x, source = table_input(600, 2)
    chance = 1 / (1 + np.exp(-(x @ [1.5, -1.0, 0.0, 0.5])))
    y = (np.random.default_rng(3).random(600) < chance).astype(np.float32)
    target = BinaryTarget(1.0, None, float(y.mean()))
    model = model_of(target, "binary", fusion=Part("sum", {"activation": "none"}))
    examples = Examples({"a": source}, y)
    train(model, examples, None, Settings(epochs=60, batch_size=64, learning_rate=0.02, schedule="linear"), seed=0)
    found = target.decode(outputs_of(network_of(model, torch.device("cpu")), examples.inputs))["probability"]
    best = LogisticRegression(C=1e6).fit(x, y).predict_proba(x)[:, 1]
    assert np.abs(found - best).max() < 0.03


@pytest.mark.parametrize(("fusion", "finds"), [("sum", False), ("concat", True), ("pairwise", True)])
def test_a_signal_in_the_product_of_two_modalities(fusion, finds):
    """y = sign(x_a) · sign(x_b): the sum of linear parts cannot, a non-linear or product fusion must."""
    xa, a = table_input(800, 4)
    xb, b = table_input(800, 5)
    y = (xa[:, 0] * xb[:, 0] > 0).astype(np.float32)
    options = {"activation": "none"} if fusion == "sum" else {"width": 32}
    target = BinaryTarget(1.0, None, float(y.mean()))
    model = model_of(target, "binary", fusion=Part(fusion, options), names=("a", "b"))
    examples = Examples({"a": a, "b": b}, y)
    train(model, examples, None, Settings(epochs=30, batch_size=32, learning_rate=0.01), seed=0)
    found = target.decode(outputs_of(network_of(model, torch.device("cpu")), examples.inputs))["prediction"]
    accuracy = float((found == y).mean())
    assert accuracy > 0.9 if finds else accuracy < 0.65


def test_early_stopping_keeps_the_best_epoch():
    _, source = table_input(40, 6)
    noise = np.random.default_rng(0).normal(size=40).astype(np.float32)
    _, other = table_input(200, 7)
    model = model_of(RateTarget(-3, 3, 0.0))
    held = Examples({"a": other}, np.random.default_rng(1).normal(size=200).astype(np.float32))
    done = train(
        model, Examples({"a": source}, noise), held, Settings(epochs=200, learning_rate=0.05, patience=3), seed=0
    )
    losses = [entry["validation_loss"] for entry in done.history]
    assert len(losses) == done.best_epoch + 3 < 200
    assert losses[done.best_epoch - 1] == min(losses)
    outputs = outputs_of(network_of(model, torch.device("cpu")), held.inputs)[:, 0]
    assert np.mean((outputs - held.targets) ** 2) == pytest.approx(min(losses), rel=1e-5)


def test_a_diverging_loss_is_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match=r"learning_rate"):
        train(
            model_of(RateTarget(0, 6, 3.0)),
            problem(),
            None,
            Settings(epochs=60, optimiser="sgd", learning_rate=1e6),
            seed=0,
        )


def test_no_rows_is_an_error():
    _, source = table_input(0, 0)
    with pytest.raises(DataError, match="no rows"):
        train(model_of(RateTarget(0, 6, 3.0)), Examples({"a": source}, np.zeros(0, np.float32)), None, SETTINGS, seed=0)


def test_every_row_is_in_exactly_one_batch_and_like_lengths_share():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    batches = order(1000, 32, np.random.default_rng(1), lengths)
    assert sorted(np.concatenate(batches)) == list(range(1000))
    spread = np.mean([np.ptp(lengths[b]) for b in batches])
    assert spread < 10 < np.mean([np.ptp(lengths[b]) for b in order(1000, 32, np.random.default_rng(1))])


def test_an_error_in_the_batch_thread_reaches_the_caller():
    def fails(i):
        raise DataError("a broken shard")

    with pytest.raises(DataError, match="broken shard"):
        list(ahead(fails, 0, 3))


def test_streamed_and_encoded_inputs_give_the_same_batches():
    values = ["a", None, "b", "a", "c"] * 20

    def encode(raw):
        numbers = np.array([0 if v is None else ord(v) for v in raw], np.float32)
        return {"vector": numbers[:, None]}, np.array([v is not None for v in raw])

    firsts, index = distinct(values)
    unique = [values[i] for i in firsts]
    whole = EncodedInput(*encode(unique), index)
    rows = np.random.default_rng(0).permutation(100)[:30]
    for room in (0, 8, 10_000):  # nothing kept, some kept, all kept
        streamed = StreamedInput(unique, encode, index, decoded=Decoded(Room(room)))
        for _ in range(2):
            (a, p), (b, q) = whole.batch(rows), streamed.batch(rows)
            assert np.array_equal(a["vector"], b["vector"]) and np.array_equal(p, q)


def streamed_of(values: int, room: Room, size: int = 1000) -> StreamedInput:
    """``values`` different ones of ``size`` float64 each."""

    def encode(raw):
        return {"vector": np.repeat(np.array(raw, np.float64)[:, None], size, axis=1)}, np.ones(len(raw), bool)

    return StreamedInput(list(range(values)), encode, np.arange(values), decoded=Decoded(room))


def passes(source: StreamedInput, times: int = 1) -> None:
    for _ in range(times):
        for rows in np.array_split(np.random.default_rng(0).permutation(len(source)), max(len(source) // 10, 1)):
            assert np.array_equal(source.batch(rows)[0]["vector"][:, 0], rows)


def test_streamed_memory_does_not_grow_with_the_number_of_values():
    """Ten times as many pictures, the same peak: what is kept is never more than there is room for."""
    peaks = []
    for values in (200, 2000):
        room = Room(400_000)  # fifty of them
        source = streamed_of(values, room)
        tracemalloc.start()
        passes(source, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert room.taken == source.decoded.bytes == 400_000 and len(source.decoded.kept) == 50
    assert peaks[0] > 400_000 and peaks[1] < 1.3 * peaks[0]


def test_all_inputs_share_one_room_and_an_idle_one_gives_way():
    room = Room(160_000, idle=20)  # twenty values
    first, second = streamed_of(30, room), streamed_of(30, room)
    passes(first, 2)
    assert (first.decoded.bytes, second.decoded.bytes) == (160_000, 0)
    for _ in range(10):  # both are asked in turn, as in one training: neither takes from the other
        passes(first)
        passes(second)
        assert room.taken == 160_000 and second.decoded.bytes == 0
    passes(second, 9)  # the first is not asked any more
    assert (first.decoded.bytes, second.decoded.bytes) == (0, 160_000)
    passes(first)  # and is right all the same
    del second
    gc.collect()
    passes(first)
    assert room.taken == first.decoded.bytes == 160_000


def test_distinct_values_in_order_of_appearance():
    firsts, index = distinct(["x", None, "y", "x", None])
    assert firsts.tolist() == [0, 1, 2]
    assert index.tolist() == [0, 1, 2, 0, 1]
    assert pl.Series(["x", None, "y"])[index.tolist()].to_list() == ["x", None, "y", "x", None]


def test_balanced_class_weights_find_the_rare_class():
    """One row in twenty is yes, and the signal is weak: unweighted the network never says yes, weighted it does."""
    x, source = table_input(1000, 8)
    y = (x[:, 0] + np.random.default_rng(9).normal(0, 1.0, 1000) > 2.3).astype(np.float32)
    target = BinaryTarget(1.0, None, float(y.mean()))
    recall = {}
    for weights in ("none", "balanced"):
        model = model_of(target, "binary", {"class_weights": weights})
        examples = Examples({"a": source}, y)
        train(model, examples, None, Settings(epochs=15, batch_size=50, learning_rate=0.01), seed=0)
        yes = outputs_of(network_of(model, torch.device("cpu")), examples.inputs)[:, 0] > 0
        recall[weights] = float(yes[y == 1].mean())
    assert recall["none"] < 0.5 < 0.75 < recall["balanced"]


@pytest.mark.parametrize("use", ["constant", "cosine", "linear"])
def test_a_schedule_rises_then_falls_as_its_name_says(use):
    factor = schedule(use, 0.1, 100)
    rates = [factor(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    ends = {"constant": 1.0, "cosine": 0.0, "linear": 0.0}
    assert rates[-1] == pytest.approx(ends[use], abs=0.02)
    assert rates[55] == pytest.approx(1.0 if use == "constant" else 0.5, abs=0.01)


def test_the_weight_average_is_what_its_formula_says():
    model = torch.nn.Linear(2, 1)
    average = WeightAverage(model, 0.5)
    kept = model.weight.detach().clone()
    for step in range(1, 4):
        with torch.no_grad():
            model.weight.add_(1.0)
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        kept = kept * decay + model.weight.detach() * (1 - decay)
    torch.testing.assert_close(average.weights["weight"], kept)
    before = model.weight.detach().clone()
    average.swap(model)
    torch.testing.assert_close(model.weight.detach(), kept)
    average.swap(model)
    torch.testing.assert_close(model.weight.detach(), before)


def test_dropout_is_seeded_as_torch_seeds_everything():
    for seed in (0, 7, 2**32 - 1):
        torch.manual_seed(seed)
        expected = torch.nn.functional.dropout(torch.ones(64))
        seed_dropout(seed, torch.device("cpu"))
        assert torch.equal(torch.nn.functional.dropout(torch.ones(64)), expected)
