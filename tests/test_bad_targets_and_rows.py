"""Targets and rows that no shop means: each gets an answer, or a message that says what to do."""

import numpy as np
import polars as pl
import pytest

from leak_shops import TEXT, leaks, planted, sentence
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.errors import DataError

FAST = {"training": {"epochs": 2}, "evaluation": {"samples": 100, "baselines": ["trivial"]}}
ZH = ("这个杯子很好看颜色也正", "收到货了质量不错推荐购买", "物流太慢包装也破了很失望", "穿着舒服尺码合适下次再来")


def rows_of(count=120, seed=0, **columns):
    rng = np.random.default_rng(seed)
    rows = {
        "item": [f"k{i}" for i in range(count)],
        "title": [sentence(rng) for _ in range(count)],
        "kind": rng.choice(["cup", "hat"], count).tolist(),
        "part": ["b" if i % 4 == 0 else "a" for i in range(count)],
    }
    return rows | columns


def run_of(task, **more):
    return {"modalities": TEXT, "task": task, **FAST, **more}


def refused(run, dataset, tmp_path, what):
    """Check and train say the same of it, with the line of the target."""
    with pytest.raises(DataError, match=what) as checked:
        workflow.check(run, (), dataset)
    with pytest.raises(DataError) as trained:
        workflow.train(run, dataset, tmp_path / "bundle")
    assert str(trained.value) == str(checked.value) and not (tmp_path / "bundle").exists()
    _, _, line = str(checked.value.where).rpartition(":")
    assert "target" in run.read_text(encoding="utf-8").splitlines()[int(line) - 1]
    return checked.value


@pytest.mark.parametrize(
    ("task", "values", "what"),
    [
        ({"use": "rate", "target": "items.goal"}, [4.5] * 120, "same value in every row"),
        ({"use": "binary", "target": "items.goal"}, [1] * 120, "same answer"),
        ({"use": "classify", "target": "items.goal"}, ["cup"] * 120, "fewer than two classes"),
        ({"use": "classify", "target": "items.goal"}, [f"SKU-{i:04d}" for i in range(120)], "looks like a key"),
        ({"use": "classify", "target": "items.goal"}, [10_000 + 7 * i for i in range(120)], "looks like a key"),
        ({"use": "rate", "target": "items.goal"}, [f"SKU-{i:04d}" for i in range(120)], "not a number everywhere"),
        ({"use": "classify", "target": "items.goal"}, [*["cup"] * 2, *[None] * 118], "fewer than two classes"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(tmp_path, task, values, what):
    run, dataset = planted(tmp_path, rows_of(goal=values), run_of(task))
    refused(run, dataset, tmp_path, what)


def test_a_part_that_has_no_target_is_refused(tmp_path):
    run, dataset = planted(
        tmp_path,
        rows_of(goal=[None if i % 4 == 0 else "cup" for i in range(120)]),
        run_of({"use": "classify", "target": "items.goal"}),
    )
    with pytest.raises(DataError, match=r"no row with a 'items\.goal' has 'b'") as caught:
        workflow.check(run, (), dataset)
    assert "30 of 120 rows have no 'items.goal'" in str(caught.value.seen)


def test_a_target_that_is_nearly_all_missing_is_told(tmp_path):
    goal = [("cup", "hat")[i % 3 == 0] if i % 10 < 2 else None for i in range(600)]
    run, dataset = planted(tmp_path, rows_of(600, goal=goal), run_of({"use": "classify", "target": "items.goal"}))
    leak = leaks(run, dataset)["target_missing"]
    assert (leak["rows"], leak["of"], leak["share"]) == (480, 600, 0.8)


def test_a_target_copied_into_an_input_is_told_at_every_door(tmp_path):
    rows = rows_of(200)
    rows["twin"] = rows["kind"]
    facts = {"facts": {"use": "table", "columns": ["items.twin"], "encoder": "table"}}
    run, dataset = planted(
        tmp_path, rows, {**run_of({"use": "classify", "target": "items.kind"}), "modalities": TEXT | facts}
    )
    assert leaks(run, dataset)["giveaway"]["column"] == "items.twin"
    report = workflow.evaluate(workflow.train(run, dataset, tmp_path / "b"), dataset, tmp_path / "r")
    assert [leak["kind"] for leak in report["leaks"]] == ["giveaway"]
    assert any("'items.twin' alone gives 'items.kind' away" in w["en"] for w in report["warnings"])


def test_thirty_rows_and_a_class_of_one_row_are_answered(tmp_path):
    rows = rows_of(30)
    rows["kind"][9] = "lamp"
    run, dataset = planted(tmp_path, rows, run_of({"use": "classify", "target": "items.kind"}))
    leak = leaks(run, dataset)["target_single"]
    assert (leak["rows"], leak["of"]) == (1, 3) and leak["example"] == {"row": "k9", "content": "lamp"}
    report = workflow.evaluate(workflow.train(run, dataset, tmp_path / "b"), dataset, tmp_path / "r")
    assert report["rows"] == 8 and [one["kind"] for one in report["leaks"]] == ["target_single"]


def test_pictures_that_are_all_alike_are_told(tmp_path):
    from PIL import Image

    names = []
    for i in range(60):  # other bytes, the same sight
        pixels = np.random.default_rng(1).integers(0, 200, (5, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((120 + i, 120 + i), Image.Resampling.BICUBIC)
        names.append(f"{i}.png")
        picture.save(tmp_path / names[-1])
    photo = {"photo": {"use": "image", "columns": ["items.images"], "size": 16, "encoder": "colour"}}
    run, dataset = planted(
        tmp_path,
        rows_of(60, images=names),
        {**run_of({"use": "classify", "target": "items.kind"}), "modalities": photo},
    )
    leak = leaks(run, dataset)["constant_input"]
    assert leak["column"] == "items.images" and leak["share"] == 1.0
    assert "can tell nothing apart" in leak["en"]


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """A bundle that learned from English texts, and from no picture."""
    folder = tmp_path_factory.mktemp("english")
    rng = np.random.default_rng(3)
    titles = [f"the {sentence(rng)} is very good and it was for my home" for _ in range(120)]
    (folder / "none.jpg").write_bytes(b"no picture")
    photo = {"photo": {"use": "image", "columns": ["items.images"], "size": 16, "encoder": "colour"}}
    rows = rows_of(120, title=titles, images=["none.jpg"] * 120)
    run, dataset = planted(
        folder, rows, {**run_of({"use": "classify", "target": "items.kind"}), "modalities": TEXT | photo}
    )
    told = leaks(run, dataset)["absent_input"]
    assert told["column"] == "items.images" and "No train row has a picture" in told["en"]
    return workflow.train(run, dataset, folder / "bundle"), dataset


def test_most_rows_in_a_language_that_was_hardly_learned_have_a_note(english, tmp_path):
    bundle = Bundle.open(english[0])
    assert bundle.train_part.languages["text"] == {"en": bundle.manifest["data"]["rows"]["train"]}
    answers = bundle.predict([{"title": text} for text in ZH])
    assert all("in Chinese, as 0.0 % of the texts" in answer["note"] for answer in answers)
    few = bundle.predict([{"title": f"the {i} mug is very good for it"} for i in range(5)] + [{"title": ZH[0]}])
    assert all("note" not in answer for answer in few)
    pl.DataFrame({"title": ZH}).write_csv(tmp_path / "asked.csv")
    told = workflow.predict(english[0], tmp_path / "asked.csv")
    assert told["note"].null_count() == 0 and told["problem"].null_count() == 4
    pl.DataFrame({"title": ["the mug is very good for it"]}).write_csv(tmp_path / "asked.csv")
    assert "note" not in workflow.predict(english[0], tmp_path / "asked.csv").columns


def test_the_service_says_it_in_the_language_of_the_request(english):
    from fastapi.testclient import TestClient

    from tuwen.service import app

    with TestClient(app(Bundle.open(english[0]), hosts=["testserver"])) as client:
        for liked, words in (("en", "as 0.0 % of the texts"), ("zh-CN", "文字为中文")):
            sent = client.post("/v1/predict", json={"rows": [{"title": ZH[2]}]}, headers={"accept-language": liked})
            assert words in sent.json()["predictions"][0]["note"]
        plain = client.post("/v1/predict", json={"rows": [{"title": "the mug is very good for it"}]})
        assert "note" not in plain.json()["predictions"][0]


def test_an_input_that_training_never_had_is_left_out_and_said(english):
    from shops import jpeg

    bundle = Bundle.open(english[0])
    title = "the copper kettle is very good and it was for my home"
    without, with_one = (bundle.predict([{"title": title, "images": picture}])[0] for picture in (None, [jpeg(5, 64)]))
    assert with_one.pop("note") == "no row that it learned from had the input 'photo', so it is left out"
    assert with_one == without
