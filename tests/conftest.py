"""How every test is run, and what more than one file of tests starts from."""

from __future__ import annotations

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

# What takes longest comes first, so that two workers end together: the README's own commands are a fifth of the whole.
LONGEST = ("docs", "pages", "workflow", "training", "service", "models")


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


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each ONNX export of a pretrained encoder is made once a session, by whichever worker needs it first.

    It takes seconds. Its file is named by weights, pictures and version, so no other export is taken for it. What a
    test finds in its own folder is a copy, written as ever.
    """
    from tuwen.models.pretrained import export

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
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

    folder: Path = tmp_path_factory.mktemp("made home")
    make_home(folder)
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
