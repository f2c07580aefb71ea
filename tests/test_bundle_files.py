"""A bundle is there whole or not at all, and one that is not whole, or too new, is refused by name."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen import __version__
from tuwen.bundle import files
from tuwen.bundle.card import card
from tuwen.bundle.files import FORMAT, read_manifest, sha256, verify, write_card, writing
from tuwen.errors import BundleError, DataError

MANIFEST: dict[str, Any] = {
    "name": "tiny",
    "task": "rate",
    "target": {"task": "rate", "low": 1.0, "high": 5.0, "mean": 3.0},
    "architecture": {
        "modalities": {
            "picture": {"use": "image", "columns": {"items.images": "image"}, "encoder": {"use": "cnn", "options": {}}}
        },
        "fusion": {"use": "concat", "options": {}},
        "task": {"use": "rate", "options": {"target": "reviews.rating"}},
    },
    "data": {"hash": "abc", "rows": {"train": 8, "test": 2}, "split": "by content hash"},
}


def write(path: Path, content: bytes = b"weights") -> Path:
    with writing(path, MANIFEST) as folder:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "modalities" / "picture").mkdir(parents=True)
        (folder / "modalities" / "picture" / "state.json").write_text("{}", encoding="utf-8")
    return path


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def test_a_bundle_says_how_to_read_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "models" / "bundle")
    manifest = verify(path)
    assert manifest == read_manifest(path) == json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    assert manifest["format"] == FORMAT
    assert manifest["tuwen"] == __version__
    assert manifest["name"] == "tiny"
    assert manifest["files"] == {
        name: sha256(path / name) for name in ("modalities/picture/state.json", "model.safetensors")
    }
    assert leftovers(path) == []


def test_the_manifest_is_read_when_the_block_ends(tmp_path: Path) -> None:
    manifest = dict(MANIFEST)
    with writing(tmp_path / "b", manifest) as folder:
        (folder / "x").write_bytes(b"x")
        manifest["best_epoch"] = 3
    assert read_manifest(tmp_path / "b")["best_epoch"] == 3


def test_a_new_bundle_replaces_the_old_one_and_nothing_of_it_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "b", b"old")
    with writing(path, MANIFEST) as folder:
        (folder / "other").write_bytes(b"new")
    assert list(verify(path)["files"]) == ["other"]
    assert not (path / "model.safetensors").exists()
    assert leftovers(path) == []


@pytest.mark.parametrize("broken", [KeyboardInterrupt(), ValueError("bad"), OSError(errno.ENOSPC, "No space left")])
def test_when_writing_fails_the_old_bundle_stays(tmp_path: Path, broken: BaseException) -> None:
    path = write(tmp_path / "b", b"old")
    with pytest.raises((KeyboardInterrupt, ValueError, DataError)), writing(path, MANIFEST) as folder:
        (folder / "model.safetensors").write_bytes(b"half of the n")
        raise broken
    assert (path / "model.safetensors").read_bytes() == b"old"
    verify(path)
    assert leftovers(path) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the disk is full"), writing(tmp_path / "b", MANIFEST):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not (tmp_path / "b").exists()


def test_a_replacement_cut_off_between_its_renames_is_undone(tmp_path: Path) -> None:
    path = write(tmp_path / "b", b"old")
    path.rename(tmp_path / ".b.old")  # what a power cut leaves
    with pytest.raises(BundleError) as error:
        verify(path)
    assert f"mv {tmp_path / '.b.old'} {path}" in str(error.value)
    with pytest.raises(ValueError, match="again"), writing(path, MANIFEST):
        raise ValueError("again")
    assert (path / "model.safetensors").read_bytes() == b"old"
    verify(path)


def test_what_is_not_a_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").write_bytes(b"dear")
    (tmp_path / "thesis.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for name in ("photos", "thesis.txt", "link"):
        with pytest.raises(BundleError, match="not a bundle is in the way"):
            write(tmp_path / name)
    assert (tmp_path / "photos" / "wedding.jpg").read_bytes() == b"dear"
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "dear"
    (tmp_path / "empty").mkdir()
    verify(write(tmp_path / "empty"))


@given(position=st.integers(0, 6), file=st.sampled_from(["model.safetensors", "modalities/picture/state.json"]))
@settings(max_examples=12)
def test_any_changed_byte_is_found_and_its_file_named(
    tmp_path_factory: pytest.TempPathFactory, position: int, file: str
) -> None:
    path = write(tmp_path_factory.mktemp("damage") / "b")
    content = bytearray((path / file).read_bytes())
    content[position % len(content)] ^= 1
    (path / file).write_bytes(content)
    with pytest.raises(BundleError, match="damaged") as error:
        verify(path)
    assert error.value.where == str(path / file)
    assert error.value.exit_code == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "b")
    (path / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="missing") as error:
        verify(path)
    assert error.value.where == str(path / "model.safetensors")


def change(path: Path, **fields: Any) -> None:
    manifest = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    (path / "bundle.json").write_text(json.dumps(manifest | fields), encoding="utf-8")


def test_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write(tmp_path / "b")
    change(path, format=FORMAT + 1, tuwen="9.0.0", files="another shape altogether")
    with pytest.raises(BundleError) as error:
        read_manifest(path)
    assert error.value.what == f"made by a newer tuwen: format {FORMAT + 1}, this one reads {FORMAT}"
    assert "9.0.0" in str(error.value.seen)
    assert "upgrade" in str(error.value.todo)


def test_an_older_format_is_refused_too(tmp_path: Path) -> None:
    path = write(tmp_path / "b")
    change(path, format=FORMAT - 1, tuwen="0.0.9")
    with pytest.raises(BundleError, match="made by an older tuwen") as error:
        read_manifest(path)
    assert "train it again" in str(error.value.todo)


@pytest.mark.parametrize(
    "fields",
    [{"format": "1"}, {"format": None}, {"format": True}, {"format": 0}, {"files": {}}, {"files": ["model"]}],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write(tmp_path / "b")
    change(path, **fields)
    with pytest.raises(BundleError, match="the manifest is damaged"):
        read_manifest(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_manifest_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "b")
    (path / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match="the manifest is damaged"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_may_not_point_outside(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "b")
    change(path, files={name: "0" * 64})
    with pytest.raises(BundleError, match="the manifest is damaged"):
        verify(path)


def test_what_is_no_bundle_at_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "items.parquet").touch()
    (tmp_path / "file").touch()
    for name, seen in (("nowhere", "nothing"), ("folder", "a folder with items.parquet"), ("file", "a file")):
        with pytest.raises(BundleError, match="not a bundle") as error:
            read_manifest(tmp_path / name)
        assert error.value.seen == seen


def test_links_and_empty_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not links"), writing(tmp_path / "b", MANIFEST) as folder:
        (folder / "model").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match="empty"), writing(tmp_path / "b", MANIFEST):
        pass
    assert list(tmp_path.iterdir()) == []


def test_reading_a_bundle_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import tuwen.bundle.files, tuwen.bundle.card, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_card_tells_what_was_measured_and_may_be_written_later(tmp_path: Path) -> None:
    path = write(tmp_path / "b")
    assert "Not evaluated yet" in card(read_manifest(path))
    report = {
        "rows": 20,
        "bootstrap": {"confidence": 0.9},
        "metrics": {"rmse": {"value": 0.61234, "low": 0.58, "high": 0.64}, "mae": {"value": None}},
        "baselines": {"mean": {"rmse": {"value": 1.1, "low": None, "high": None}}},
    }
    text = card(read_manifest(path), report)
    assert "| this model 本模型 | 0.6123 (0.58 – 0.64) | – |" in text
    assert "| mean | 1.1 | – |" in text
    assert "90%" in text and "20 rows" in text
    assert "`items.images`" in text and "`reviews.rating`" in text and "cnn" in text
    assert write_card(path, text).read_text(encoding="utf-8") == text
    verify(path)  # the card is not sealed


def test_an_interrupted_flush_leaves_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(files, "publish", full)
    with pytest.raises(DataError, match="the disk is full"):
        write(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_where_two_names_cannot_be_exchanged_there_are_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuwen.files._exchange", lambda *_: False)
    for text in ("first", "second"):
        with files.writing(tmp_path / "b", {"name": "b", "task": "rate"}) as folder:
            (folder / "weights.npz").write_text(text)
    assert (tmp_path / "b" / "weights.npz").read_text() == "second" and [p.name for p in tmp_path.iterdir()] == ["b"]
    (tmp_path / "b").rename(tmp_path / ".b.old")  # a cut between the two
    with files.writing(tmp_path / "b", {"name": "b", "task": "rate"}) as folder:
        assert (tmp_path / "b" / "weights.npz").read_text() == "second"
        (folder / "weights.npz").write_text("third")
    verify(tmp_path / "b")
    assert (tmp_path / "b" / "weights.npz").read_text() == "third"


def test_half_a_bundle_of_a_process_that_is_gone_goes_with_the_next_writer(tmp_path: Path) -> None:
    gone, alive = tmp_path / ".b.999999999.half", tmp_path / ".b.1.half"
    for folder in (gone, alive):
        folder.mkdir()
    with files.writing(tmp_path / "b", {"name": "b", "task": "rate"}) as folder:
        (folder / "weights.npz").write_text("x")
    assert not gone.exists() and alive.exists()
