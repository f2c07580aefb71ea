"""How every test is run, and what more than one file of tests starts from."""

from __future__ import annotations

import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from homes import Shop

# No law is about time: the first example of a process loads tables, and a loaded machine is slow.
settings.register_profile("tuwen", deadline=None, print_blob=True)
settings.load_profile("tuwen")

# What takes longest comes first, so that all workers end together; files that wait stand between files that compute.
# The README exports what the next files with pretrained encoders read.
LONGEST = (
    "docs",
    "service_faults",
    "store_away",
    "workflow_pretrained",
    "pages",
    "workflow_generating",
    "models_pretrained",
    "service_connections",
    "workflow_search",
    "evaluation_page",
    "workflow_recommending",
    "store_kills",
    "power_cuts",
    "service_limits",
    "data_faults",
    "workflow",
    "training",
    "models",
    "service",
    "store",
    "evaluation",
    "data",
)


# What a test starts as a process of its own imports what stands beside the tests too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])

# What is imported while tests are collected, a million objects, stays to the end: the collector need not look at it.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        return next((n for n, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))

    items.sort(key=place)  # which keeps the order of those alike


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of a session share."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each ONNX export of a pretrained encoder is made once a session, by whichever worker needs it first.

    It takes seconds. Its file is named by weights, pictures and version, so no other export is taken for it. What a
    test finds in its own folder is a copy, written as ever.
    """
    from tuwen.models.pretrained import export

    folder = session_folder(tmp_path_factory) / "exports"
    write = export.written_once

    def write_from_folder(path: Path, make: Callable[[], bytes]) -> Path:
        return write(path, lambda: write(folder / path.name, make).read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "written_once", write_from_folder)
        yield


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What :func:`homes.make_home` makes, to be copied by :func:`homes.home_in`: no test writes into this one."""
    from homes import make_home  # here, because the service takes seconds to import, and most files do without

    folder = session_folder(tmp_path_factory) / "made home"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes it, the others wait
        if not (folder / "home").exists():
            partial = folder.with_suffix(".part")
            make_home(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="module")
def home(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a file of tests, whose index and incoming parts are all its tests'."""
    from homes import home_in

    return home_in(tmp_path_factory.mktemp("home"), made_home)


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Iterator[Shop]:
    """The service over that home, with a store of the test's own."""
    from homes import Shop

    found = Shop(home, tmp_path / "store.db")
    yield found
    found.store.close()
