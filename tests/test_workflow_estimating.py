"""What check says that a training costs."""

import pytest

from leak_shops import TEXT, planted
from test_bad_targets_and_rows import rows_of
from tuwen import workflow
from tuwen.workflow.estimating import said


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    from shops import jpeg

    folder = tmp_path_factory.mktemp("estimates")
    for i in range(40):
        (folder / f"{i}.jpg").write_bytes(jpeg(i, 64))
    photo = {"photo": {"use": "image", "columns": ["items.images"], "size": 16, "encoder": "colour"}}
    rows = rows_of(40, images=[f"{i // 2 * 2}.jpg" for i in range(40)])  # twenty pictures
    run = {"modalities": TEXT | photo, "task": {"use": "classify", "target": "items.kind"}, "training": {"epochs": 4}}
    return planted(folder, rows, run)


def estimated(shop, *overrides):
    return workflow.check(shop[0], overrides, shop[1])["data"]["estimate"]


def test_vectors_that_are_kept_are_not_made_again(shop, tmp_path):
    before = estimated(shop)
    assert before["vectors"]["photo"]["made"] == 20 and before["epochs"] == 4 and before["trainings"] == 1
    assert "20 vectors to be made among it" in said(before)
    workflow.train(*shop, tmp_path / "bundle")
    after = estimated(shop)
    assert after["vectors"]["photo"]["made"] == 0 and after["minutes"] <= before["minutes"]
    assert "vectors" not in said(after)


def test_what_costs_more_is_estimated_higher(shop):
    least = estimated(shop)
    for more in ("training.epochs=4000", "modalities.photo={use: image, columns: items.images, encoder: cnn}"):
        assert estimated(shop, more)["minutes"] > 1.5 * least["minutes"]
    wide = "modalities.text.encoder={use: ngram, width: 400000}"
    assert estimated(shop, wide)["memory_gb"] > least["memory_gb"] + 0.5
    assert estimated(shop, wide)["disk_gb"] > least["disk_gb"] + 0.2
    assert estimated(shop, "split={use: folds, folds: 3}")["trainings"] == 3
    assert "for each of 3 folds" in said(estimated(shop, "split={use: folds, folds: 3}"))


def test_the_estimate_is_one_line():
    numbers = {"minutes": 0.75, "epochs": 10, "trainings": 1, "vectors": {}, "memory_gb": 0.98, "disk_gb": 0.09}
    assert said(numbers) == "one training: 10 epochs at most, about 45 seconds, 0.98 GB of memory and 0.09 GB of disk"
    assert said(numbers | {"minutes": 12.0, "epochs": None}).startswith("one training: about 12 minutes, ")
