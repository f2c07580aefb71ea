"""Small shops on disk for the tests of collect."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tuwen import workflow
from tuwen.config import Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import TuwenError


def jpeg(number: int, side: int = 24) -> bytes:
    """A picture of its own for every number."""
    rng = np.random.default_rng(number)
    return simplejpeg.encode_jpeg(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), quality=80)


def png(colour: str, size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", text)
    return buffer.getvalue()


NO_TEXT_FILES = {  # what people name .csv → how an error names it
    "workbook": (zipped("<row/>" * 50), "an Excel workbook or a ZIP archive, not a text file"),
    "gzip": (gzip.compress(b"item,title\n1,pot\n"), "a gzip archive, not a text file"),
    "bzip2": (bz2.compress(b"item,title\n1,pot\n"), "a bzip2 archive, not a text file"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\n", "a PDF, not a text file"),
    "web page": (b"\n<!DOCTYPE html><title>Log in</title>", "a web page, not a table"),
    "sheet as HTML": (b"<table><tr><td>item</td></tr></table>", "a web page, not a table"),
    "database": (b"SQLite format 3\0\x10\0\x01\x01", "an SQLite database, not a text file"),
}


class Desk:
    """A folder with a shop's files in ``shop/`` and its dataset in ``dataset/``."""

    def __init__(self, folder: Path) -> None:
        self.shop, self.out = folder / "shop", folder / "dataset"
        self.shop.mkdir()

    def write(self, name: str, data: str | bytes, encoding: str = "utf-8") -> Path:
        path = self.shop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode(encoding) if isinstance(data, str) else data)
        return path

    def collect(self, progress: Any = None, **tables: Any) -> dict[str, Any]:
        return collect(self.describe(**tables), self.out, progress=progress)

    def describe(self, **tables: Any) -> Shop:
        return Shop.model_validate({"name": "test", "root": str(self.shop), **tables})

    def dataset(self) -> Dataset:
        return Dataset.open(self.out)


@contextmanager
def refused(what: str) -> Iterator[list[TuwenError]]:
    """The block raises an error that says ``what``; it is in the list afterwards."""
    caught: list[TuwenError] = []
    with pytest.raises(TuwenError, match=what) as error:
        yield caught
    caught.append(error.value)


def small_sample(folder: Path) -> Path:
    """A sample shop of 60 items with its dataset beside it."""
    write_sample_shop(folder, items=60, seed=3)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder
