"""Frozen networks and the cache of their vectors."""

import hashlib
import io
import itertools
import json
import signal
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import PIL.Image
import pytest

from tuwen.errors import BundleError, DataError
from tuwen.preprocess import frozen as module
from tuwen.preprocess.frozen import Frozen, VectorCache
from tuwen.preprocess.image import Image
from tuwen.preprocess.modality import load
from tuwen.preprocess.text import Text

onnx = pytest.importorskip("onnx", reason="needs onnx (extra train)")

WIDTH = 3


def mean_colour(path):
    """pixels uint8 [rows, h, w, 3] → their mean colour."""
    from onnx import TensorProto, helper, numpy_helper

    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["rows", None, None, 3])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", WIDTH])
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["vector"], keepdims=0),
    ]
    axes = [numpy_helper.from_array(np.array([1, 2]), "axes")]
    save(helper.make_graph(nodes, "g", [pixels], [vector], axes), path)


def number_of_tokens(path):
    """ids int64 [rows, length] → their number, three times."""
    from onnx import TensorProto, helper, numpy_helper

    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "length"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", WIDTH])
    nodes = [
        helper.make_node("Shape", ["ids"], ["n"], start=1),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["f", "to"], ["vector"]),
    ]
    to = [numpy_helper.from_array(np.array([1, WIDTH]), "to")]
    save(helper.make_graph(nodes, "g", [ids], [vector], to), path)


def save(graph, path):
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def png(colour):
    file = io.BytesIO()
    PIL.Image.new("RGB", (9, 9), colour).save(file, "PNG")
    return file.getvalue()


COLOURS = [(255, 0, 9), (1, 2, 3), (7, 7, 7), (0, 0, 1)]
PICTURES = [png(COLOURS[0]), None, png(COLOURS[1]), b"broken", png(COLOURS[2]), png(COLOURS[3])]


@pytest.fixture
def pictures(tmp_path):
    mean_colour(tmp_path / "n.onnx")
    return Frozen(Image(size=8), tmp_path / "n.onnx")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_vectors_and_presence(pictures, workers, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    pictures.workers = workers
    arrays, present = pictures.encode(PICTURES)
    assert arrays["vector"].dtype == np.float32
    assert arrays["vector"].tolist() == [[*COLOURS[0]], [0] * 3, [*COLOURS[1]], [0] * 3, [*COLOURS[2]], [*COLOURS[3]]]
    assert present.tolist() == [True, False, True, False, True, True]
    assert pictures.spec.plain() == {"kind": "vector", "shape": (3,), "sizes": ()}
    assert pictures.encode([])[0]["vector"].shape == (0, 3)


def test_texts_go_in_one_by_one_and_without_padding(tmp_path):
    number_of_tokens(tmp_path / "n.onnx")
    text = Frozen(Text(length=5), tmp_path / "n.onnx")
    text.fit(["a b c d e f"])
    vectors = text.encode(["a b", None, "c", "a b c d e f"])[0]["vector"]
    assert vectors[:, 0].tolist() == [2, 0, 1, 5]


def only_network(folder):
    """The one network that stands there under its sha256."""
    (found,) = [path for path in folder.glob("*.onnx") if path.name != "n.onnx"]
    assert found.stem == hashlib.sha256(found.read_bytes()).hexdigest()
    return found


def test_saved_and_loaded_it_gives_identical_vectors(pictures, tmp_path):
    expected = pictures.encode(PICTURES)
    pictures.save(tmp_path / "saved")
    (tmp_path / "n.onnx").unlink()
    again = load(tmp_path / "saved")
    for one, two in zip(expected, again.encode(PICTURES), strict=True):
        np.testing.assert_equal(one, two)
    again.save(tmp_path / "saved")  # over itself
    assert load(tmp_path / "saved").fingerprint == again.fingerprint


def test_the_fingerprint_knows_network_and_modality(tmp_path):
    mean_colour(tmp_path / "a.onnx")
    number_of_tokens(tmp_path / "b.onnx")
    one = Frozen(Image(size=8), tmp_path / "a.onnx").fingerprint
    assert Frozen(Image(size=8), tmp_path / "a.onnx").fingerprint == one
    assert Frozen(Image(size=9), tmp_path / "a.onnx").fingerprint != one
    assert Frozen(Image(size=8), tmp_path / "b.onnx").fingerprint != one


def test_a_damaged_network_is_refused(pictures, tmp_path):
    pictures.save(tmp_path / "saved")
    network = only_network(tmp_path)
    network.write_bytes(network.read_bytes()[:40])
    with pytest.raises(BundleError, match="network"):
        load(tmp_path / "saved").encode(PICTURES)
    network.unlink()
    with pytest.raises(BundleError, match="missing"):
        load(tmp_path / "saved")


@pytest.mark.parametrize("told", ["../n", "", None])
def test_a_state_cannot_name_any_other_file(pictures, tmp_path, told):
    pictures.save(tmp_path / "saved")
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    state["fitted"] = {"network": told}
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    with pytest.raises(BundleError, match="missing"):
        load(tmp_path / "saved")


def test_modalities_saved_side_by_side_share_a_network(tmp_path):
    number_of_tokens(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes())
    mean_colour(tmp_path / "c.onnx")
    frozen = {
        "review": Frozen(Text(length=5), tmp_path / "a.onnx"),
        "title": Frozen(Text(length=2), tmp_path / "b.onnx"),
        "picture": Frozen(Image(size=8), tmp_path / "c.onnx"),
    }
    frozen["review"].fit(["a b c d e f"])
    frozen["title"].fit(["a b c d e f"])
    for name, modality in frozen.items():
        modality.save(tmp_path / "modalities" / name)
    assert len(list((tmp_path / "modalities").rglob("*.onnx"))) == 2
    values = {"review": ["a b c"], "title": ["a b c"], "picture": PICTURES}
    for name, modality in frozen.items():
        found = load(tmp_path / "modalities" / name).encode(values[name])
        np.testing.assert_equal(found, modality.encode(values[name]))


# --- The cache ----------------------------------------------------------------------------------------------------


class Counting:
    """Computes known vectors and remembers what it was asked for."""

    def __init__(self, keys, stop_after=None):
        self.keys, self.asked, self.stop_after = keys, [], stop_after

    def __call__(self, positions):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += positions
        return np.array([truth(self.keys[i]) for i in positions])


def truth(key):
    return [len(key), sum(map(ord, key)), 0.5]


def check(vectors, keys):
    np.testing.assert_array_equal(vectors, np.array([truth(key) for key in keys], np.float32).reshape(len(keys), -1))


KEYS = [f"键{i % 150}" for i in range(200)]


def test_a_second_run_computes_nothing(tmp_path):
    first = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS, first), KEYS)
    assert len(first.asked) == 150
    second = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS[::-1], second), KEYS[::-1])
    assert second.asked == []


def test_only_what_is_new_is_computed_and_progress_adds_up(tmp_path):
    VectorCache(tmp_path).fetch(KEYS[:40], Counting(KEYS))
    more, steps = Counting(KEYS), []
    check(VectorCache(tmp_path).fetch(KEYS, more, steps.append), KEYS)
    assert more.asked == list(range(40, 150))
    assert sum(steps) == len(KEYS)
    assert len(VectorCache(tmp_path)) == 150


def test_what_was_done_before_ctrl_c_is_kept(tmp_path):
    stopped = Counting(KEYS, stop_after=64)
    with pytest.raises(KeyboardInterrupt):
        VectorCache(tmp_path).fetch(KEYS, stopped)
    rest = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS, rest), KEYS)
    assert rest.asked == list(range(64, 150))


KILLED = """
import os, signal, sys
import numpy as np
from tuwen.preprocess.frozen import VectorCache
keys = [f"键{i}" for i in range(150)]
def compute(positions):
    if positions[0] >= 128:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.array([[len(keys[i]), sum(map(ord, keys[i])), 0.5] for i in positions])
VectorCache(sys.argv[1], flush_rows=64).fetch(keys, compute)
"""


def test_a_killed_run_loses_only_what_it_had_not_written(tmp_path):
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", textwrap.dedent(KILLED), str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    rest = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS, rest), KEYS)
    assert rest.asked == list(range(128, 150))


@pytest.mark.parametrize(
    ("kind", "damage"), list(itertools.product(("keys", "vectors"), ("cut", "empty", "gone", "text")))
)
def test_a_damaged_shard_is_made_again(tmp_path, kind, damage):
    VectorCache(tmp_path, flush_rows=64).fetch(KEYS, Counting(KEYS))
    shard = sorted(tmp_path.glob(f"*.{kind}.npy"))[0]
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes({"cut": shard.read_bytes()[:-40], "empty": b"", "text": b"not an array"}[damage])
    again = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS, again), KEYS)
    assert again.asked == list(range(64))


def test_two_runs_can_write_at_the_same_time(tmp_path):
    one, two = VectorCache(tmp_path), VectorCache(tmp_path)
    check(one.fetch(KEYS[:100], Counting(KEYS)), KEYS[:100])
    check(two.fetch(KEYS, Counting(KEYS)), KEYS)
    last = Counting(KEYS)
    check(VectorCache(tmp_path).fetch(KEYS, last), KEYS)
    assert last.asked == []


def test_vectors_lie_in_a_file_and_not_in_memory(tmp_path):
    keys: list[str | None] = [f"{i}" for i in range(4000)]
    VectorCache(tmp_path).fetch(keys, lambda at: np.full((len(at), 500), 7.0, np.float32))
    keys[5] = None
    tracemalloc.start()
    found = VectorCache(tmp_path).fetch(keys, Counting([]))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.nbytes == 8_000_000 and held < 2_000_000 and peak < 6_000_000
    assert not found.flags.writeable and not found[5].any() and (np.delete(found, 5, axis=0) == 7.0).all()
    assert all(path.suffix == ".npy" for path in tmp_path.iterdir())  # the file has no name, and goes with the array


def test_no_keys_no_work(tmp_path):
    assert VectorCache(tmp_path).fetch([], Counting([])).shape[0] == 0


def test_a_full_disk_says_so_and_keeps_what_was_there(tmp_path, monkeypatch):
    VectorCache(tmp_path).fetch(KEYS[:10], Counting(KEYS))

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(DataError, match="disk is full"):
        VectorCache(tmp_path).fetch(KEYS, Counting(KEYS))
    monkeypatch.undo()
    assert len(VectorCache(tmp_path)) == 10
    assert not list(tmp_path.glob(".*"))
