"""A shelf as the files of a bundle: what it learned, the events it knows, and what reads new pictures and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.features import Features
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.recommender import Recommender, Stage
from tuwen.apps.recommend.scores import Retriever
from tuwen.apps.recommend.shelf import Shelf
from tuwen.apps.recommend.state import of_catalogue, of_shoppers, read_state, write_state
from tuwen.apps.recommend.vectors import Kept
from tuwen.bundle.files import verify
from tuwen.errors import BundleError

READERS = "readers"  # the folder of what new pictures and texts are read by


def write(shelf: Shelf, folder: Path) -> None:
    """Into a folder that :func:`tuwen.bundle.files.writing` gave."""
    history, stage = shelf.history, shelf.recommender.stage
    write_state(folder / "catalogue", of_catalogue(shelf.catalogue))
    for name, reader in shelf.catalogue.readers.items():
        reader.save(folder / READERS / name)
    write_state(folder / "about", shelf.about)
    events = {"shopper": history.shopper, "item": history.item, "day": history.day, "value": history.value}
    shoppers = {"users": np.array(shelf.users, np.str_), **of_shoppers(history.shoppers)}
    write_state(folder / "events", {**events, **shoppers, "now": history.now, "baskets": shelf.baskets})
    (folder / "retrievers").mkdir()
    for turn, retriever in enumerate(stage.retrievers.values()):
        write_state(folder / "retrievers" / f"{turn}", vars(retriever))
    features = stage.features
    told = vars(features) | {"names": "\n".join(features.names)}
    write_state(folder / "features", told | {"of_pairs": "\n".join(shelf.recommender.model.names)})
    (folder / "ranker.txt").write_text(shelf.recommender.model.text(), encoding="utf-8")


def read(folder: str | Path) -> tuple[Shelf, dict[str, Any]]:
    """A shelf and its manifest, every file checked.

    Raises:
        BundleError: there is none, it is damaged, or it is a bundle of another task.
    """
    folder = Path(folder)
    manifest = verify(folder)
    if manifest["task"] != "rank":
        raise BundleError(
            "the bundle does not recommend",
            where=str(folder),
            seen=f"task {manifest['task']}",
            allowed="task rank",
            todo=f"tuwen predict {folder} FILE",
        )
    run = manifest["run"]
    readers = {name: Kept(folder / READERS / name, spec["use"]) for name, spec in run["modalities"].items()}
    catalogue = Catalogue(**read_state(folder / "catalogue"), readers=readers)
    events = read_state(folder / "events")
    if "categories" not in events:
        raise BundleError("made by an older tuwen", where=str(folder), todo="train it again")
    history = History(
        catalogue,
        Shoppers(len(events["users"]), events["numbers"], events["categories"], events["levels"]),
        events["shopper"],
        events["item"],
        events["day"],
        events["value"],
        events["now"],
    )
    makers = {name: _maker(spec) for name, spec in run["retrievers"].items()}
    recommender = Recommender(makers, _ranker(manifest["ranker"]), per=run["per"], seed=run["seed"])
    retrievers = {name: make() for name, make in makers.items()}
    for turn, retriever in enumerate(retrievers.values()):
        vars(retriever).update(read_state(folder / "retrievers" / f"{turn}"))
    told = read_state(folder / "features")
    of_pairs = str(told.pop("of_pairs")).split("\n")
    recommender.stage = Stage(retrievers, Features(**told | {"names": told["names"].split("\n")}))
    recommender.model = recommender.ranker()
    recommender.model.read((folder / "ranker.txt").read_text(encoding="utf-8"), of_pairs)
    about = read_state(folder / "about")
    return Shelf(recommender, history, events["users"].tolist(), events["baskets"], about), manifest


def _maker(spec: Mapping[str, Any]) -> Callable[[], Retriever]:
    options = {name: value for name, value in spec.items() if name != "use"}
    return lambda: RETRIEVERS.build(spec["use"], options)


def _ranker(spec: Mapping[str, Any]) -> Callable[[], Any]:
    options = {name: value for name, value in spec.items() if name != "use"}
    return lambda: RANKERS.build(spec["use"], options)
