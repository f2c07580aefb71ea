"""Leaks that are planted are told with their share and an example; where there is none, none is told."""

import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from leak_shops import TEXT, leaks, planted, sentence
from tuwen import workflow

CLASSIFY = {"modalities": TEXT, "task": {"use": "classify", "target": "items.kind"}}


def of_parts(train, test):
    return ["a"] * train + ["b"] * test


def test_clean_data_has_no_leak(tmp_path):
    rng = np.random.default_rng(3)
    rows = {
        "id": [f"k{i}" for i in range(240)],
        "title": [sentence(rng) for _ in range(240)],
        "maker": [f"maker {i}" for i in rng.integers(0, 60, 240)],
        "weight": rng.normal(5, 2, 240).round(3).tolist(),
        "kind": rng.choice(["cup", "hat", "bag"], 240).tolist(),
        "part": of_parts(180, 60),
    }
    facts = {"facts": {"use": "table", "columns": ["items.weight", "items.maker"], "encoder": "table"}}
    run, dataset = planted(tmp_path, rows, {**CLASSIFY, "modalities": TEXT | facts}, {"columns": {"item": "id"}})
    assert leaks(run, dataset) == {}


def test_texts_of_both_sides_are_told_and_turn_every_tick(tmp_path):
    rng = np.random.default_rng(5)
    texts = [sentence(rng) for _ in range(120)]
    kinds = rng.choice(["cup", "hat"], 120).tolist()
    rows = {
        "item": [f"k{i}" for i in range(360)],
        "title": texts * 2 + [text.upper() + "!" for text in texts],  # case and signs do not count
        "kind": kinds * 3,
        "part": of_parts(240, 120),
    }
    run, dataset = planted(
        tmp_path, rows, {**CLASSIFY, "fusion": "concat", "training": {"epochs": 12, "learning_rate": 0.02}}
    )
    found = leaks(run, dataset)
    assert set(found) == {"equal_text"}
    leak = found["equal_text"]
    assert (leak["rows"], leak["of"], leak["share"], leak["severe"]) == (120, 120, 1.0, True)
    row, other = (int(leak["example"][key][1:]) for key in ("row", "other"))
    assert row >= 240 > other and rows["title"][row].lower().startswith(rows["title"][other])
    assert leak["example"]["content"].lower()[:20] == leak["example"]["other_content"][:20]

    bundle = workflow.train(run, dataset, tmp_path / "bundle")
    report = workflow.evaluate(bundle, dataset, tmp_path / "report")
    assert report["metrics"]["accuracy"]["value"] > 0.9
    assert [one["kind"] for one in report["leaks"]] == ["equal_text"]
    assert report["warnings"][0]["en"] == leak["en"]
    from tuwen.evaluation.verdict import checks, standing

    assert not any(check.fine for check in checks(report)) and len(checks(report)) >= 4
    assert standing(report)[0] != "better"
    assert any(check.fine for check in checks(report | {"leaks": []}))
    harmless = report["leaks"][0] | {"severe": False, "scores": {"harmless": True}}
    assert checks(report | {"leaks": [harmless]}) == checks(report | {"leaks": []})
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert 'id="leaks"' in page and "也出现在训练集中" in page and "also stands in the train part" in page
    assert json.loads((tmp_path / "report" / "report.json").read_text())["leaks"] == report["leaks"]


def test_a_leak_that_explains_nothing_takes_no_tick():
    from tuwen.evaluation.leaks import Leak, scored
    from tuwen.evaluation.predictions import Predictions

    rows = [f"r{i}" for i in range(200)]
    leak = Leak("near_text", "items.title", 60, 200, touched=frozenset(rows[:60]))
    assert leak.severe
    right = np.tile([1, 1, 1, 0], 50)  # three in four are right on either side
    frame = pl.DataFrame({"row": rows, "target": ["x"] * 200, "prediction": np.where(right, "x", "y")})
    frame = frame.with_columns(pl.Series("probabilities", [[0.6, 0.4]] * 200, dtype=pl.Array(pl.Float64, 2)))
    as_good = scored(leak, Predictions("classify", frame, ("x", "y")), "accuracy")
    assert not as_good.severe and as_good.scores["others"] == pytest.approx(0.75)
    lucky = frame.with_columns(prediction=pl.Series(["x"] * 60 + ["x", "y"] * 70))
    better = scored(leak, Predictions("classify", lucky, ("x", "y")), "accuracy")
    assert better.severe and better.scores["touched"] == 1 and "On these rows accuracy is 100.0 %" in better.text[0]


def test_texts_that_are_nearly_the_same_are_told(tmp_path):
    rng = np.random.default_rng(8)
    train = [sentence(rng, 30) for _ in range(200)]
    near = [text.replace(text.split()[4], "another", 1) for text in train[:15]]
    rows = {
        "item": [f"k{i}" for i in range(260)],
        "title": train + near + [sentence(rng, 30) for _ in range(45)],
        "kind": rng.choice(["cup", "hat"], 260).tolist(),
        "part": of_parts(200, 60),
    }
    run, dataset = planted(tmp_path, rows, CLASSIFY)
    found = leaks(run, dataset)
    assert set(found) == {"near_text"} and (found["near_text"]["rows"], found["near_text"]["of"]) == (15, 60)


def test_pictures_of_both_sides_are_told_equal_or_saved_anew(tmp_path):
    def smooth(number):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return Image.fromarray(pixels).resize((160, 160), Image.Resampling.BICUBIC)

    def saved(picture, name, **how):
        out = io.BytesIO()
        picture.save(out, "JPEG", **how)
        (tmp_path / name).write_bytes(out.getvalue())
        return name

    names = [saved(smooth(i), f"{i}.jpg", quality=90) for i in range(70)]
    for i in range(60, 66):
        names[i] = saved(smooth(i - 60).resize((90, 90)), f"{i}.jpg", quality=60)
    names[66:69] = names[10:13]
    rows = {"item": [f"k{i}" for i in range(70)], "images": names, "part": of_parts(55, 15)}
    rows["kind"] = np.random.default_rng(0).choice(["cup", "hat"], 70).tolist()
    modality = {"photo": {"use": "image", "columns": ["items.images"], "encoder": "colour"}}
    run, dataset = planted(tmp_path, rows, {**CLASSIFY, "modalities": modality})
    found = leaks(run, dataset)
    assert set(found) == {"equal_picture", "near_picture"}
    assert found["equal_picture"]["rows"] == 3 and found["equal_picture"]["of"] == 15
    assert found["near_picture"]["rows"] == 6


def test_rows_of_one_group_on_both_sides_are_told_where_the_group_tells_the_target(tmp_path):
    rng = np.random.default_rng(4)
    wounds = rng.integers(0, 90, 300)
    rows = {
        "item": [f"k{i}" for i in range(300)],
        "title": [sentence(rng) for _ in range(300)],
        "wound_id": [f"W-{i}" for i in wounds],
        "doctor_id": [f"D-{i}" for i in rng.integers(0, 90, 300)],
        "kind": np.array(["cup", "hat", "bag"])[wounds % 3].tolist(),
    }
    run, dataset = planted(tmp_path, rows, {**CLASSIFY, "split": "hash"})
    found = leaks(run, dataset)
    assert set(found) == {"group"} and found["group"]["column"] == "items.wound_id"
    assert found["group"]["share"] > 0.8 and "“W-" in found["group"]["en"]
    assert "group" not in leaks(run, dataset, "content=[items.wound_id]")


@pytest.mark.parametrize(
    ("task", "give"),
    [
        ({"use": "rate", "target": "items.value"}, lambda y: y),
        ({"use": "rate", "target": "items.value"}, lambda y: np.exp(y / 4).round(6)),
        ({"use": "rate", "target": "items.value"}, lambda y: [f"level {v:.0f}" for v in y]),
        ({"use": "classify", "target": "items.kind"}, lambda y: np.floor(y / 4) * 7 + 100),
        ({"use": "classify", "target": "items.kind"}, lambda y: [f"code-{v // 4 * 31 % 7:.0f}" for v in y]),
        ({"use": "binary", "target": "items.value", "at_least": 11.5}, lambda y: -(y**3)),
    ],
)
def test_a_column_that_gives_the_target_away_is_told(tmp_path, task, give):
    rng = np.random.default_rng(6)
    value = rng.integers(0, 13, 260).astype(float)
    rows = {
        "item": [f"k{i}" for i in range(260)],
        "noise": rng.normal(0, 1, 260).tolist(),
        "copy": list(give(value)),
        "value": value.tolist(),
        "kind": [f"class {int(v // 4)}" for v in value],
        "part": of_parts(180, 80),
    }
    facts = {"facts": {"use": "table", "columns": ["items.noise", "items.copy"], "encoder": "table"}}
    run, dataset = planted(tmp_path, rows, {"modalities": facts, "task": task})
    found = leaks(run, dataset)
    assert found.pop("giveaway")["column"] == "items.copy"
    assert leaks(run, dataset, "modalities.facts.columns=[items.noise]") == {}


@pytest.mark.parametrize("numbers", [True, False])
def test_a_text_that_names_the_target_is_told(tmp_path, numbers):
    rng = np.random.default_rng(7)
    value = rng.integers(10, 400, 200) / 4
    kinds = rng.choice(["咖啡杯", "雨伞", "帆布包"], 200).tolist()
    said = [f"now only ${v:,.2f}!" for v in value] if numbers else [f"【{kind}】包邮" for kind in kinds]
    rows = {
        "item": [f"k{i}" for i in range(200)],
        "title": [f"{sentence(rng)} {words}" for words in said],
        "amount": value.tolist(),
        "kind": kinds,
        "part": of_parts(150, 50),
    }
    task = {"use": "rate", "target": "items.amount"} if numbers else CLASSIFY["task"]
    run, dataset = planted(tmp_path, rows, {"modalities": TEXT, "task": task})
    found = leaks(run, dataset)
    assert set(found) == {"text_giveaway"} and found["text_giveaway"]["share"] == 1.0
    example = found["text_giveaway"]["example"]
    assert example["other"].removesuffix(".0") in rows["title"][int(example["row"][1:])].replace(",", "")


def test_a_cut_in_time_over_rows_without_a_date_is_told(tmp_path):
    rng = np.random.default_rng(9)
    rows = {
        "item": [f"k{i}" for i in range(200)],
        "title": [sentence(rng) for _ in range(200)],
        "kind": rng.choice(["cup", "hat"], 200).tolist(),
        "sold": [f"2024-03-{1 + i:02d}" if i < 20 else None for i in range(200)],
    }
    split = {"use": "time", "column": "items.sold", "test": 0.4, "validation": 0}
    run, dataset = planted(tmp_path, rows, {**CLASSIFY, "split": split})
    leak = leaks(run, dataset)["time_missing"]
    assert (leak["rows"], leak["of"], leak["severe"]) == (180, 200, True)
    assert leak["detail"] == {"dated": 20, "train": 12, "validation": 0, "test": 8}


def test_test_rows_that_are_few_groups_are_told_and_resampled(tmp_path):
    rng = np.random.default_rng(2)
    taste = rng.normal(3, 1, 24)
    shop = rng.integers(0, 24, 600)
    rows = {
        "item": [f"k{i}" for i in range(600)],
        "title": [sentence(rng) for _ in range(600)],
        "shop_id": [f"S{i}" for i in shop],
        "stars": (taste[shop] + rng.normal(0, 0.4, 600)).round(2).tolist(),
        "part": np.where(shop < 12, "b", "a").tolist(),
    }
    run, dataset = planted(
        tmp_path,
        rows,
        {"modalities": TEXT, "task": {"use": "rate", "target": "items.stars"}, "training": {"epochs": 1}},
    )
    leak = leaks(run, dataset)["few_groups"]
    assert leak["column"] == "items.shop_id" and leak["detail"]["groups"] == 12
    bundle = workflow.train(run, dataset, tmp_path / "bundle")
    report = workflow.evaluate(bundle, dataset, tmp_path / "report")
    assert report["bootstrap"]["groups"] == 12
    assert report["bootstrap"]["clusters"]["column"] == "items.shop_id"
    assert report["bootstrap"]["clusters"]["effect"] > 5
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "12 groups of rows with the same items.shop_id" in page and "设计效应" in page


def test_a_leak_in_one_fold_counts_against_the_test_rows_of_all(tmp_path):
    rng = np.random.default_rng(1)
    titles = [sentence(rng) for _ in range(90)]
    titles[30:36] = titles[:6]
    rows = {
        "item": [f"k{i}" for i in range(90)],
        "title": titles,
        "kind": rng.choice(["cup", "hat"], 90).tolist(),
        "part": ["a"] * 30 + ["b"] * 30 + ["c"] * 30,
    }
    split = {"use": "column", "column": "items.part", "test": ["a", "b", "c"], "each": True}
    run, dataset = planted(tmp_path, rows, {**CLASSIFY, "split": split})
    leak = leaks(run, dataset)["equal_text"]  # six rows of a are in b, and those of b in a
    assert (leak["rows"], leak["of"]) == (12, 90)


@pytest.mark.parametrize(
    ("words", "different", "copies"), [(14, 50, True), (2, 50, False), (2, 9, True)], ids=["long", "short", "few"]
)
def test_equal_contents_are_one_group_where_they_are_copies(words, different, copies):
    from tuwen.workflow.groups import _contents, _numbered

    rng = np.random.default_rng(11)
    texts = [sentence(rng, words)[: 20 if words == 2 else 200] + f" {i}" for i in range(different)]
    frame = pl.DataFrame({"row": [str(i) for i in range(300)], "items.title": (texts * 60)[:300]})
    groups = _numbered(_contents(frame, ["items.title"]))
    assert len(set(groups.tolist())) == (different if copies else 300)


def test_the_command_line_warns_and_its_json_holds_the_leaks(tmp_path):
    from typer.testing import CliRunner

    from tuwen.cli import app

    rng = np.random.default_rng(12)
    rows = {
        "item": [f"k{i}" for i in range(80)],
        "title": [sentence(rng) for _ in range(80)],
        "kind": rng.choice(["cup", "hat"], 80).tolist(),
        "part": of_parts(60, 20),
    }
    rows["title"][60:66] = rows["title"][:6]
    run, dataset = planted(tmp_path, rows, CLASSIFY)
    shown = CliRunner().invoke(app, ["check", str(run), str(dataset)]).stdout
    assert "warning: 6 of 20 test rows (30.0 %) have a text (items.title)" in " ".join(shown.split())
    told = json.loads(CliRunner().invoke(app, ["check", str(run), str(dataset), "--json"]).stdout)["data"]
    assert [leak["kind"] for leak in told["leaks"]] == ["equal_text"] and told["estimate"]["epochs"] == 10
