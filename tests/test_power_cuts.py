"""After a power cut at any moment, whatever tuwen writes reopens as it was before or as it is after, never between;
and what was acknowledged stays.

``make nightly`` tries every cut; ``make test`` a sample of them, the same ones each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import power
from power import Recording
from shops import Desk, jpeg
from test_home import bundle, good
from test_index_store import batch, create
from tuwen.bundle.files import verify
from tuwen.bundle.home import Home
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import TuwenError
from tuwen.evaluation.report import write_report
from tuwen.index.store import Index
from tuwen.outputs import finish, sweep, write_files
from tuwen.store import Store

NIGHTLY = os.environ.get("TUWEN_NIGHTLY") == "1"
CUTS = None if NIGHTLY else 60  # of each kind of work
AGAIN = 40 if NIGHTLY else 3  # of these, disks on which the same work is done once more
pytestmark = pytest.mark.skipif(not power.strace_works(), reason="needs strace, and leave to trace a process")


@dataclass(frozen=True)
class Work:
    """Something that is done to a folder.

    Attributes:
        prepare: what stands there before.
        act: Python code that does it; ``root`` is the folder.
        look: opens the folder, reads all of it, and says what it holds.
    """

    prepare: Callable[[Path], object]
    act: str
    look: Callable[[Path], str]


def content(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:12]


# --- promote --------------------------------------------------------------------------------------------------


def home_before(root: Path) -> None:
    Home(root / "home").promote(bundle(root / "one", "first"), good)
    bundle(root / "two", "second " * 2000)


def home_look(root: Path) -> str:
    home = Home(root / "home")
    parts = [home.folder / name for revision in home.revisions() for name in revision.parts.values()]
    for part in parts:
        verify(part)
    return f"{home.live().number} {[(part / 'weights.npz').stat().st_size for part in parts]}"


# --- collect --------------------------------------------------------------------------------------------------


def shop(root: Path, rows: int) -> None:
    desk = Desk(root) if not (root / "shop").exists() else Desk.__new__(Desk)
    desk.shop, desk.out = root / "shop", root / "dataset"
    for number in range(rows):
        desk.write(f"{number}.jpg", jpeg(number))
    lines = [f"i{number},title {number},{number}.jpg" for number in range(rows)]
    desk.write("items.csv", "\n".join(["item,title,images", *lines, ""]))
    desk.write("SHOP.yaml", "name: s\nitems: {source: items.csv, columns: {images: images}}\nmedia: {root: .}\n")


def first_shop(root: Path) -> None:
    shop(root, 5)


def second_shop(root: Path) -> None:
    from tuwen import workflow

    shop(root, 3)
    workflow.collect(root / "shop" / "SHOP.yaml", root / "dataset")
    shop(root, 6)


def dataset_look(root: Path) -> str:
    if not (root / "dataset" / "manifest.json").exists() and not (root / "dataset" / ".placing").exists():
        return "none"
    dataset = Dataset.open(root / "dataset")
    items = dataset.table("items")
    dataset.rejected()
    for keys in items["images"]:
        for key in keys:
            assert hashlib.sha256(dataset.media.read(key)).hexdigest() == key
    return f"{dataset.hash[:12]} {items.height}"


COLLECT = """
from tuwen import workflow
workflow.collect(root / 'shop' / 'SHOP.yaml', root / 'dataset')
"""


# --- update ---------------------------------------------------------------------------------------------------


def index_before(root: Path) -> None:
    create(root / "index", batch(list(range(12))))


def index_look(root: Path) -> str:
    if not (root / "index" / "index.json").exists():
        return "none"
    now = Index(root / "index").snapshot
    items = [item for item, living in zip(now.table["item"], now.living, strict=True) if living]
    scores, _ = now.words.scores([((("red",), 1.0),)])
    return f"{sorted(items)} {len(scores)} {sorted(now.spaces)}"


# --- train ----------------------------------------------------------------------------------------------------


def bundle_before(root: Path) -> None:
    bundle(root / "b", "first")


def bundle_look(root: Path) -> str:
    if not (root / "b").exists():
        return "none"
    verify(root / "b")
    return content([root / "b" / "weights.npz"])


CHECKPOINT = """
import torch
from tuwen.training.checkpoint import Checkpoint, save
save(Checkpoint('f', 2, 0, {}, {'model/w': torch.full((400,), 2.0)}), root / 'b.training' / 'checkpoint.safetensors')
"""


def checkpoint_before(root: Path) -> None:
    import torch

    from tuwen.training.checkpoint import Checkpoint, save

    path = root / "b.training" / "checkpoint.safetensors"
    save(Checkpoint("f", 1, 0, {}, {"model/w": torch.full((400,), 1.0)}), path)


def checkpoint_look(root: Path) -> str:
    from tuwen.training.checkpoint import load

    checkpoint = load(root / "b.training" / "checkpoint.safetensors")
    return "none" if checkpoint is None else f"{checkpoint.epoch} {checkpoint.tensors['model/w'].tolist()}"


# --- evaluate, compare, tune, sample ----------------------------------------------------------------------------

REPORT = """
from tuwen.evaluation.report import write_report
table = {'predictions.parquet': lambda path: path.write_bytes(b'2' * 900)}
write_report(root / 'out', {'n': 2}, '<p>2</p>' * 90, table)
"""
TUNE = """
from tuwen.outputs import write_files
write_files(root / 'out', {name: b'2' * 900 for name in ('best.yaml', 'tune.json', 'tune.html')})
"""


def report_before(root: Path) -> None:
    table = {"predictions.parquet": lambda path: path.write_bytes(b"1" * 900)}
    write_report(root / "out", {"n": 1}, "<p>1</p>" * 90, table)
    (root / "out" / "notes.txt").write_text("mine")


def tune_before(root: Path) -> None:
    (root / "out").mkdir()
    write_files(root / "out", dict.fromkeys(("best.yaml", "tune.json", "tune.html"), b"1" * 900))


def folder_look(root: Path) -> str:
    """Every file of ``out`` that a command wrote there, as the next command finds them."""
    if not (root / "out").exists():
        return "none"
    finish(root / "out")
    names = [path for path in sorted((root / "out").rglob("*")) if path.is_file()]
    return str([(path.name, content([path])) for path in names if path.suffix != ".half"] or "none")


def shop_before(root: Path) -> None:
    write_sample_shop(root / "out", items=8)


SAMPLE = """
from tuwen.data.sample import write_sample_shop
write_sample_shop(root / 'out', items=8, seed=1)
"""


# --- store ----------------------------------------------------------------------------------------------------


def store_before(root: Path) -> None:
    Home(root / "home").promote(bundle(root / "one", "first"), good)
    with Store(root / "home" / "store.db") as store:
        store.events.add([{"event": "e1", "user": "u", "item": "i", "time": 1, "kind": "click"}])


def store_look(root: Path) -> str:
    with Store(root / "home" / "store.db") as store:
        return f"{home_look(root)} {[event['event'] for event in store.events.all()]}"


STORE = """
from tuwen.store import Store
with Store(root / 'home' / 'store.db') as store:
    store.events.add([{'event': 'e2', 'user': 'u', 'item': 'i', 'time': 2, 'kind': 'click'}])
"""

INDEX = "import sys\nfrom test_index_store import batch, create\nfrom tuwen.index.store import Index\n"
PROMOTE = "from test_home import good\nfrom tuwen.bundle.home import Home\nhome = Home(root / 'home')\n"
KINDS = {
    "promote": Work(home_before, PROMOTE + "home.promote(root / 'two', good)", home_look),
    "roll back": Work(
        lambda root: (home_before(root), Home(root / "home").promote(root / "two", good)),
        PROMOTE + "home.back()",
        home_look,
    ),
    "collect": Work(first_shop, COLLECT, dataset_look),
    "collect again": Work(second_shop, COLLECT, dataset_look),
    "index": Work(lambda root: None, INDEX + "create(root / 'index', batch(list(range(12))))", index_look),
    "index again": Work(index_before, INDEX + "create(root / 'index', batch(list(range(9))))", index_look),
    "update: add": Work(index_before, INDEX + "Index(root / 'index').add(batch([3, 40, 41], 1))", index_look),
    "update: remove": Work(index_before, INDEX + "Index(root / 'index').remove(['i3', 'i4'])", index_look),
    "update: rebuild": Work(
        lambda root: (index_before(root), Index(root / "index").remove(["i3"])),
        INDEX + "Index(root / 'index').rebuild()",
        index_look,
    ),
    "train: bundle": Work(
        lambda root: None, "from test_home import bundle\nbundle(root / 'b', 'second ' * 900)", bundle_look
    ),
    "train: bundle again": Work(
        bundle_before, "from test_home import bundle\nbundle(root / 'b', 'second ' * 900)", bundle_look
    ),
    "train: checkpoint": Work(checkpoint_before, CHECKPOINT, checkpoint_look),
    "store": Work(store_before, STORE, store_look),
    "evaluate": Work(lambda root: None, REPORT, folder_look),
    "evaluate again": Work(report_before, REPORT, folder_look),
    "tune again": Work(tune_before, TUNE, folder_look),
    "sample again": Work(shop_before, SAMPLE, folder_look),
}
if not NIGHTLY:  # to import torch under strace, or to cut 40 files, takes longer than all the others
    del KINDS["train: checkpoint"], KINDS["sample again"]


@dataclass(frozen=True)
class Recorded:
    work: Work
    recording: Recording
    before: str
    after: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    return record_all(tmp_path_factory.mktemp("recorded").resolve())


def record_all(folder: Path) -> dict[str, Recorded]:
    """All kinds of work, recorded in one process: what it imports takes longer than what it does."""
    roots = {name: folder / f"{number:02}" for number, name in enumerate(KINDS)}
    before = {}
    for name, root in roots.items():
        root.mkdir()
        KINDS[name].prepare(root)
        shutil.copytree(root, root.with_suffix(".look"))
        before[name] = KINDS[name].look(root.with_suffix(".look"))  # beside it: to look may change a file
    lines = ["from pathlib import Path", "import os"]
    for name, root in roots.items():
        done = str(root.with_suffix(".done"))
        lines += [f"root = Path({str(root)!r})", *KINDS[name].act.strip().splitlines(), f"os.mkdir({done!r})"]
    recordings = power.record("\n".join(lines), {root: root.with_suffix(".done") for root in roots.values()})
    recorded_kinds = {}
    for name, root in roots.items():
        assert power.digest(recordings[root].after()) == power.digest(power.tree_of(root)), f"{name}: not all recorded"
        recorded_kinds[name] = Recorded(KINDS[name], recordings[root], before[name], KINDS[name].look(root))
        assert recorded_kinds[name].before != recorded_kinds[name].after
    return recorded_kinds


def faults(record: Recorded, folder: Path, most: int | None, again: int) -> tuple[dict[str, int], list[str]]:
    """(how many disks reopen as before and as after, what is wrong with the others) of a kind of work."""
    messages, states = [], {"before": 0, "after": 0}
    for number, cut in enumerate(power.cuts(record.recording, most)):
        power.write_tree(cut.disk, folder)
        try:
            state = record.work.look(folder)
        except (TuwenError, AssertionError, OSError) as error:
            state = f"{type(error).__name__}: {error}"
        allowed = [record.after] if cut.done else [record.before, record.after]
        if state not in allowed:
            messages.append(f"{'done, ' if cut.done else ''}{cut.how}: {state}")
        elif state == record.before and number % 7 == 0 and number // 7 < again:
            exec(record.work.act, {"root": folder})
            assert record.work.look(folder) == record.after, f"done once more {cut.how}"
        if state in (record.before, record.after):
            states["after" if state == record.after else "before"] += 1
        shutil.rmtree(folder)
    return states, messages


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(KINDS))
def test_a_power_cut_leaves_before_or_after(name: str, recorded: dict[str, Recorded], tmp_path: Path) -> None:
    states, messages = faults(recorded[name], tmp_path / "disk", CUTS, AGAIN)
    assert not messages, f"{len(messages)} of {sum(states.values())} disks, the first: " + "\n".join(messages[:3])
    assert states["before"] and states["after"], states


def test_the_model_finds_a_file_that_got_its_name_too_early(tmp_path: Path) -> None:
    """What a careless writer does: no sync, then no sync of the folder. Else this file would prove nothing."""
    root = (tmp_path / "root").resolve()
    root.mkdir()
    for sync, faults in (("", {"", "0" * 8}), ("os.fsync(f.fileno())", {"lost"})):
        (root / "live.json").write_text('{"n": 1}')
        code = f"import os\nf = open('{root}/half', 'w')\nf.write('{{\"n\": 2}}')\nf.flush()\n{sync}\nf.close()\n"
        code += f"os.rename('{root}/half', '{root}/live.json')\nos.mkdir('{tmp_path}/done{len(sync)}')"
        contents = set()
        recording = power.record(code, {root: (tmp_path / f"done{len(sync)}").resolve()})[root]
        for cut in power.cuts(recording, None):
            node = cut.disk.names.get("live.json")
            data = bytes(node.data).replace(b"\0", b"0").decode() if isinstance(node, power.File) else "none"
            try:
                if json.loads(data)["n"] == 1 and cut.done:
                    contents.add("lost")
            except (ValueError, TypeError, KeyError):
                contents.add(data)
        assert faults <= contents, contents


def test_what_a_cut_leaves_half_written_goes_with_the_next_writer(tmp_path: Path) -> None:
    (tmp_path / ".items.parquet.1.half").touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
