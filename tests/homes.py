"""A small whole shop that is served: made once, without one pretrained network, and copied for each file of tests."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx

from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.data.sample import write_sample_shop
from tuwen.service.guard import Rules
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures
from tuwen.service.served import Served
from tuwen.service.shop import shop_app
from tuwen.store import Store
from tuwen.workflow.indexing import Recipe
from tuwen.workflow.kinds import part_of
from tuwen.workflow.serving import Live

ITEMS = 24
NEXT = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 10, horizon: 28}
events: {where: kind = 'purchase'}
facts: [items.category, items.price]
shoppers: [users.age, users.city]
retrievers:
  bought lately: {use: popularity, half_life: 30}
  bought before: again
  bought together: item-knn
per: 20
ranker: {use: lambdarank, rounds: 10, smallest_leaf: 10}
windows: {count: 2, least: 60, negatives: 20}
"""
STARS = """\
name: kind
shop: SHOP.yaml
rows: {table: items}
modalities:
  words: {use: text, columns: [items.title], tokens: word-ngram, length: 16, encoder: {use: ngram, width: 8}}
  table: {use: table, columns: [items.price], encoder: table}
fusion: {use: concat, width: 8}
task: {use: classify, target: items.category}
split: {use: hash, test: 0.2, validation: 0.2}
training: {epochs: 2, batch_size: 16}
"""


LOOKS = """\
  looks alike: {use: content, kind: picture}
modalities:
  picture: {use: image, columns: [items.images], encoder: efficientnet-lite0}
"""


def make_home(folder: Path, *, pictures: bool = False) -> Path:
    """FOLDER/home with a dataset, an index, a recommender and a bundle that names the category of an item.

    Args:
        pictures: whether search and recommender see them, by a pretrained network.
    """
    write_sample_shop(folder / "shop", items=ITEMS, seed=0)
    for name, text in (
        ("NEXT.yaml", NEXT.replace("per: 20\n", f"{LOOKS}per: 20\n") if pictures else NEXT),
        ("STARS.yaml", STARS),
    ):
        (folder / "shop" / name).write_text(text, encoding="utf-8")
    workflow.collect(folder / "shop" / "SHOP.yaml", folder / "dataset")
    workflow.index(
        folder / "dataset", folder / "index", Recipe(text="none", picture="efficientnet-lite0" if pictures else "none")
    )
    part_of("rank", "train")(folder / "shop" / "NEXT.yaml", folder / "dataset", folder / "next")
    workflow.train(folder / "shop" / "STARS.yaml", folder / "dataset", folder / "stars")
    for name in ("dataset", "index", "next", "stars"):
        workflow.promote(folder / name, folder / "home")
    return folder / "home"


def home_in(folder: Path, made: Path) -> Path:
    """A home of one's own, FOLDER/home, and what it was promoted from beside it: a copy of what is ``made``."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder / "home"


class Shop:
    """The service in this process."""

    def __init__(self, folder: Path, store: Path | str, **rules: Any) -> None:
        self.store = Store(store)
        self.live = Live(Home(folder), self.store)
        self.measures = Measures()
        limits = rules.pop("limits", Limits())
        self.app = shop_app(
            Served(self.live, limits, self.measures), Rules(measures=self.measures, limits=limits, **rules)
        )

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await client.request(method, path, **({} if body is None else {"json": body}), **more)

        return asyncio.run(send())

    def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.ask(method, path, body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def items(self, method: str, path: str, body: Any = None) -> list[str]:
        return [one["item"] for one in self.good(method, path, body)["items"]]


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text and ".py" not in answer.text
    found: dict[str, Any] = answer.json()
    return found
