"""Words in pictures, one thread: time and memory a picture, errors, and items found by a word in their picture alone.

Prints one JSON line each. The pictures are planted: lines of Chinese or English in fonts of the system, dark on light
and light on dark, over plain paper, slopes of colour and noise, as JPEGs whose longest side is 320 pixels. The limit of
60 ms is for a picture with one line and counts processor time, so that busy neighbours do not; pictures with no line
and with more are told beside it, for each line costs what it is long. Memory is that of a process that does nothing
else: its peak, and what it holds after the first thousand pictures beside what it holds at the end. Search: 1,000 items
with titles that say nothing, each with a word of its own that stands only in its picture.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.preprocess.ocr import Reader, text_of
from tuwen.workflow.indexing import Recipe

LATIN = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
HAN = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
SIMPLIFIED = 2  # of the faces of HAN
SIDE = 320
SHAPES = [(320, 320), (240, 320), (320, 240), (320, 180)]
CHINESE = """限时折扣包邮 纯棉四件套 加厚羽绒服 保质期十八个月 敏感肌适用 家用大容量 送货上门 全场满减 买一送一 不含酒精
尺码偏大建议拍小一码 七天无理由退换 新品上市 透气舒适 儿童益智玩具 重量约两公斤 产地云南 防水防摔 可机洗
收藏加购优先发货"""
ENGLISH = """Free shipping|100% cotton|Size M fits all|Made in Italy|Waterproof jacket|Net weight 250g|Buy one get one
Gluten free|Limited offer|Keep refrigerated|Stainless steel|BPA free bottle|Wool blend sweater|For sensitive skin|New
Best before 2027|30 day returns|Hand wash only|Up to 50% off|Dishwasher safe"""
LINES = [*CHINESE.split(), *ENGLISH.replace("\n", "|").split("|")]
LETTERS = "林沐川溪晨岚柏舟星禾青野墨言初夏知秋南乔北辰云朵山海"
MILLISECONDS, MEGABYTES, ERRORS, RECALL = 60.0, 500.0, 0.025, 0.95


def draw_picture(lines: list[str], draw: random.Random) -> bytes:
    """A picture with these lines below one another."""
    width, height = draw.choice(SHAPES)
    dark = draw.random() < 0.3
    paper = np.array([draw.randint(0, 70) if dark else draw.randint(180, 255) for _ in range(3)], np.float64)
    pixels = np.tile(paper, (height, width, 1))
    if draw.random() < 0.5:
        pixels += np.linspace(-30, 30, width)[None, :, None]
    pixels += np.random.default_rng(draw.randrange(2**32)).normal(0, draw.choice([0, 4, 8]), pixels.shape)
    picture = PIL.Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = PIL.ImageDraw.Draw(picture)
    ink = tuple(draw.randint(215, 255) if dark else draw.randint(0, 90) for _ in range(3))
    for at, line in enumerate(lines):
        chinese = any(ord(letter) > 0x2E7F for letter in line)
        size = draw.randint(18, 26)
        font = PIL.ImageFont.truetype(HAN if chinese else LATIN, size, index=SIMPLIFIED if chinese else 0)
        room = max(1, width - 8 - round(font.getlength(line)))
        top = round((at + 0.5) * height / len(lines) - size * 0.75)
        pen.text((draw.randint(4, max(4, room)), top), line, fill=ink, font=font)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def plant(number: int, lines: int | None, seed: int) -> list[tuple[bytes, list[str]]]:
    """Pictures with so many lines, or none to three of them, and what stands in each."""
    draw = random.Random(seed)
    texts = [draw.sample(LINES, draw.randint(0, 3) if lines is None else lines) for _ in range(number)]
    return [(draw_picture(text, draw), text) for text in texts]


def distance(text: str, truth: str) -> int:
    row = list(range(len(truth) + 1))
    for i, letter in enumerate(text, 1):
        above, row = row, [i]
        for j, other in enumerate(truth, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    return row[-1]


def reading(number: int) -> dict[str, Any]:
    """Milliseconds of processor time and errors of pictures with none to four lines."""
    reader = Reader(side=SIDE)
    figures: dict[str, Any] = {}
    for lines in (0, 1, 2, 4):
        pictures = plant(number, lines, lines)
        for data, _ in pictures[:5]:
            reader.read(data)
        seconds, wrong, characters, exact = [], 0, 0, 0
        for data, text in pictures:
            began = time.process_time()
            answer = text_of(reader.read(data))
            seconds.append(time.process_time() - began)
            truth = "\n".join(text)
            error = distance(answer, truth)
            wrong, characters, exact = wrong + error, characters + len(truth), exact + (error == 0)
        figures[f"{lines} lines"] = {
            "ms": round(1000 * statistics.mean(seconds), 1),
            "ms_p95": round(1000 * float(np.quantile(seconds, 0.95)), 1),
            "character_errors": round(wrong / max(characters, 1), 4),
            "exact": f"{exact} of {number}",
        }
    single = figures["1 lines"]
    errors = max(each["character_errors"] for each in figures.values())
    return {
        "bench": f"words in a picture of {SIDE} px, one thread",
        "limit": f"{MILLISECONDS:.0f} ms of processor time for one line; {ERRORS} of the characters wrong",
        "ratio": round(MILLISECONDS / single["ms"], 2),
        "met": single["ms"] <= MILLISECONDS and errors <= ERRORS,
        **figures,
    }


def memory(number: int) -> dict[str, Any]:
    """Megabytes of a process that reads ``number`` pictures, 300 different ones in turn."""
    reader = Reader(side=SIDE)
    pictures = [data for data, _ in plant(300, None, 9)]
    pictures += [draw_picture(random.Random(7).sample(LINES, 4), random.Random(i)) for i in range(10)]
    sizes: list[float] = []
    began = time.process_time()
    for at, data in enumerate(itertools.islice(itertools.cycle(pictures), number), 1):
        reader.read(data)
        if at % max(number // 10, 1) == 0:
            sizes.append(resident())
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    growth = sizes[-1] - sizes[0]
    return {
        "bench": f"memory of {number:,} pictures with none to four lines",
        "limit": f"{MEGABYTES:.0f} MB, and no more at the end than after a tenth (5 % and 10 MB)",
        "ratio": round(MEGABYTES / peak, 2),
        "met": peak <= MEGABYTES and growth <= 0.05 * sizes[0] + 10,
        "peak_megabytes": round(peak),
        "megabytes_by_tenth": [round(size) for size in sizes],
        "ms": round(1000 * seconds / number, 1),
    }


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def search(number: int) -> dict[str, Any]:
    """Recall of items whose word stands only in the picture."""
    draw = random.Random(5)
    words = own_words(number, draw)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = ["item,title,images"]
        for at, word in enumerate(words):
            (folder / f"{at}.jpg").write_bytes(draw_picture([word, draw.choice(LINES)], draw))
            rows.append(f"i{at},product {at % 10},{at}.jpg")
        (folder / "items.csv").write_text("\n".join(rows), encoding="utf-8")
        (folder / "SHOP.yaml").write_text("name: signs\nitems: {source: items.csv}\n", encoding="utf-8")
        workflow.collect(folder / "SHOP.yaml", folder / "dataset")
        workflow.index(folder / "dataset", folder / "index", Recipe(text="none", picture="none", picture_text=True))
        searcher = workflow.open_search(folder / "index")
        hits = [
            f"i{at}" in [hit["item"] for hit in searcher.search(Question(word))["hits"]]
            for at, word in enumerate(words)
        ]
    chinese = [hit for hit, word in zip(hits, words, strict=True) if not word.isascii()]
    recall = statistics.mean(hits)
    return {
        "bench": f"{number:,} items, each with a word that stands only in its picture",
        "limit": f"recall@10 of {RECALL}",
        "ratio": round(recall / RECALL, 3),
        "met": recall >= RECALL,
        "recall_at_10": round(recall, 4),
        "chinese": round(statistics.mean(chinese), 4),
        "english": round((sum(hits) - sum(chinese)) / (len(hits) - len(chinese)), 4),
    }


def own_words(number: int, draw: random.Random) -> list[str]:
    """Names that nobody has used: of four Chinese characters, or of three English syllables."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words: dict[str, None] = {}
    while len(words) < number:
        words["".join(draw.sample(LETTERS, 4)) if len(words) % 2 else "".join(draw.sample(syllables, 3))] = None
    return list(words)


def alone(work: Callable[[int], dict[str, Any]], number: int) -> dict[str, Any]:
    """What ``work`` tells, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (number,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["reading", "memory", "search"])
    parser.add_argument("--pictures", type=int, default=100, help="of each number of lines")
    parser.add_argument("--many", type=int, default=10_000, help="pictures that memory is looked at over")
    parser.add_argument("--items", type=int, default=1000)
    arguments = parser.parse_args()
    if not (Path(LATIN).exists() and Path(HAN).exists()):
        sys.exit("needs the fonts DejaVu Sans and Noto Sans CJK: on Debian, fonts-dejavu-core and fonts-noto-cjk")
    for name, work, number in (
        ("reading", reading, arguments.pictures),
        ("memory", memory, arguments.many),
        ("search", search, arguments.items),
    ):
        if arguments.only in (None, name):
            print(json.dumps(alone(work, number), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
