"""Compare: planted truths are found, numbers are those of the report, nothing is done twice, and a cell that fails or a
process that is killed loses nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processes import begun
from tuwen import workflow
from tuwen.cli.results import results_page
from tuwen.cli.screen import shown
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError, ConfigError, DataError, InUse, TuwenError
from tuwen.evaluation.comparison_words import noted
from tuwen.evaluation.intervals import differences, intervals, resample
from tuwen.evaluation.predictions import Predictions
from tuwen.outputs import held
from tuwen.progress import Silent, Task
from tuwen.workflow.gathering import gather
from tuwen.workflow.places import refuse_strange
from tuwen.workflow.planning import plan_of
from tuwen.workflow.sharing import Shared
from tuwen.workflow.variants import parse
from twofold import collected

INPUTS = "modalities=[text, table],[text]"
Shop = tuple[Path, Path]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return collected(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def compared(shop, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out")
    return out, workflow.compare(shop[0], out, shop[1], vary=[INPUTS], seeds=2)


def cells(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cell["name"]: cell for cell in result["cells"]}


def stamps(out: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in (out / "trainings").glob("[!.]*/training.json")}


def table(out: Path, cell: str, name: str = "predictions") -> Predictions:
    (file,) = (out / "trainings").glob(f"{cell}-seed-3-*/{name}.parquet")
    return Predictions.read(file)


def test_what_needs_both_inputs_is_only_found_with_both(compared) -> None:
    out, result = compared
    both, text = cells(result)["text + table"], cells(result)["text"]
    assert both["metrics"]["accuracy"]["value"] == 1.0
    assert text["metrics"]["accuracy"]["high"] < 0.7
    assert text["difference"]["accuracy"]["high"] < -0.3 and text["difference"]["accuracy"]["p_holm"] < 0.05
    assert both["missing"]["table"]["all"]["metrics"]["accuracy"]["value"] < 0.7
    half = both["missing"]["table"]["half"]
    assert 0.6 < half["metrics"]["accuracy"]["value"] < 0.9 and half["loss"]["accuracy"]["high"] < 0
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == result
    assert {"train_seconds", "parameters", "bundle_mb", "latency_p50_ms"} <= set(both["cost"])
    html = (out / "compare.html").read_text(encoding="utf-8")
    assert "text + table" in html and "对比实验" in html and "Plotly" in html
    assert not list(out.glob("*.yaml"))  # the test part reports, it does not choose


def test_a_comparison_in_a_file_is_the_one_on_the_command_line(shop, compared, tmp_path) -> None:
    out, result = compared
    file = tmp_path / "inputs.yaml"
    file.write_text(f"run: {shop[0]}\nvary: ['{INPUTS}']\nseeds: 2\n", encoding="utf-8")
    assert workflow.is_comparison(file) and not workflow.is_comparison(shop[0])
    slip = tmp_path / "slip.yaml"
    slip.write_text(f"run: {shop[0]}\nvarry: ['{INPUTS}']\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key 'varry'") as caught:
        workflow.compare_as_written(slip, out, shop[1])
    assert workflow.is_comparison(slip) and caught.value.todo == "did you mean 'vary'?"
    before = stamps(out)
    again = workflow.compare_as_written(file, out, shop[1])
    assert stamps(out) == before and again["cells"] == result["cells"]
    page = results_page(Path("runs"), {}, {"inputs": result})
    assert "[`runs/compare/inputs.yaml`](../runs/compare/inputs.yaml)" in page
    for name, cell in cells(result).items():
        assert f"| {name} | {shown(cell['metrics']['accuracy']['value'])}" in page


def test_nothing_varied_is_the_run_as_it_is_over_its_seeds(shop, tmp_path) -> None:
    """One cell under the run's name, whose trainings are those of a comparison that varied a key to the own value."""
    file = tmp_path / "seeds.yaml"
    file.write_text(f"run: {shop[0]}\nseeds: 2\nset: [training.epochs=2]\n", encoding="utf-8")
    own = Run.read(shop[0]).training.batch_size
    out = tmp_path / "out"
    workflow.compare(
        shop[0], out, shop[1], vary=[f"training.batch_size={own}"], seeds=2, overrides=["training.epochs=2"]
    )
    before = stamps(out)
    result = workflow.compare_as_written(file, out, shop[1], replace=True)
    assert len(before) == 2 and stamps(out) == before
    (cell,) = result["cells"]
    assert cell["name"] == result["reference"] == result["name"] == "twofold" and result["varied"] == {}
    found = cell["metrics"]["accuracy"]
    assert found["value"] == pytest.approx(sum(found["seeds"]) / 2) and found["low"] <= found["value"] <= found["high"]
    with pytest.raises(ConfigError, match="one seed") as caught:
        workflow.compare_as_written(file, out, shop[1], seeds=1)
    assert "tuwen run" in str(caught.value.todo)


def test_another_comparison_is_not_written_over_unless_told(shop, compared, tmp_path) -> None:
    out, _ = compared
    kept, before = (out / "compare.json").read_bytes(), stamps(out)
    for change, seen in (
        ({"vary": ["fusion=concat,sum"]}, "a comparison of modalities"),
        ({"vary": ["modalities=[text, table]"]}, "also the cell text"),
        ({"overrides": ["name=other"]}, "a comparison of the run 'twofold'"),
        ({"overrides": ["seed=4"]}, "also seed 3"),
    ):
        with pytest.raises(ConfigError, match="another comparison") as caught:
            workflow.compare(shop[0], out, shop[1], **{"vary": [INPUTS], "seeds": 2, **change})
        assert caught.value.seen == seen and "--replace" in str(caught.value.todo)
        assert caught.value.where == str(out / "compare.json")
    assert (out / "compare.json").read_bytes() == kept and stamps(out) == before
    (tmp_path / "compare.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigError, match="another comparison"):
        workflow.compare(shop[0], tmp_path, shop[1], vary=[INPUTS])


def test_a_comparison_of_other_data_is_not_written_over_unless_told(shop, tmp_path, tmp_path_factory) -> None:
    asked: dict[str, Any] = {"vary": ["fusion=concat"], "seeds": 1, "overrides": ["training.epochs=1"]}
    first = workflow.compare(shop[0], tmp_path, shop[1], **asked)["provenance"]["data_hash"]
    kept, before = (tmp_path / "compare.json").read_bytes(), stamps(tmp_path)
    _, other = collected(tmp_path_factory.mktemp("changed"), items=200)
    changed = Dataset.open(other).hash
    with pytest.raises(ConfigError, match="numbers would be lost") as caught:
        workflow.compare(shop[0], tmp_path, other, **asked)
    assert caught.value.seen == f"numbers of data {first[:12]}: the dataset has changed since, to {changed[:12]}"
    assert "--replace" in str(caught.value.todo)
    assert (tmp_path / "compare.json").read_bytes() == kept and stamps(tmp_path) == before
    assert workflow.compare(shop[0], tmp_path, other, **asked, replace=True)["provenance"]["data_hash"] == changed
    assert len(stamps(tmp_path)) == 2 and before.items() < stamps(tmp_path).items()


def test_nothing_is_written_among_files_of_something_else(shop, tmp_path) -> None:
    (tmp_path / "SHOP.yaml").write_text("", encoding="utf-8")
    for what, command in (
        ("a comparison", lambda: workflow.compare(shop[0], tmp_path, shop[1], vary=[INPUTS], replace=True)),
        ("a search", lambda: workflow.tune(shop[0], tmp_path, shop[1], search=["fusion.width=4,8"])),
    ):
        with pytest.raises(DataError, match=f"something else than {what}") as caught:
            command()
        assert (caught.value.seen, caught.value.todo) == ("SHOP.yaml", "name another --out")
    assert [path.name for path in tmp_path.iterdir()] == ["SHOP.yaml"]
    refuse_strange(tmp_path, "a comparison", ["work"], ["SHOP.yaml"])  # a mark: it was begun here
    refuse_strange(tmp_path, "a comparison", ["SHOP*"], [])


def test_a_value_that_is_written_in_two_ways_is_one_cell(shop, tmp_path) -> None:
    for vary, seen in (
        ("fusion=concat,{use: concat}", "concat and {use: concat}"),
        ("training.learning_rate=0.1,0.10", "0.1 and 0.10"),
        ("training.learning_rate=0.1,1e-1", "0.1 and 1e-1"),
        ("fusion=sum,{use: sum, dropout: 0.1}", "sum and {use: sum, dropout: 0.1}"),
    ):
        with pytest.raises(ConfigError) as caught:
            workflow.compare(shop[0], tmp_path / "out", shop[1], vary=[vary])
        assert (caught.value.seen, caught.value.where) == (seen, f"--vary {vary}")
    assert not (tmp_path / "out").exists()
    chosen = workflow.compare(
        shop[0], tmp_path, shop[1], vary=["fusion=sum,concat"], seeds=1, reference=["fusion={use: concat}"]
    )
    assert chosen["reference"] == "concat"


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("vary: [fusion=sum,concat,gated]", 2, ["fusion=sum | concat | gated", 'vary: ["fusion=sum,concat,gated"]']),
        ("vary: [training.epochs=1,2]", 2, ["training.epochs=1 | 2", 'vary: ["training.epochs=1,2"]']),
        ("vary: [gan=off, fusion=sum,concat, seed=1]", 2, ['vary: ["fusion=sum,concat"]']),
        ("vary:\n  - fusion", 3, ['vary: ["fusion=sum"]']),
        ("vary: fusion=sum,concat", 2, ["'vary' is a list", 'vary: ["fusion=sum,concat"]']),
        ("vary: ['split=hash,random']", 2, ["decides which rows"]),
        ("vary: ['fusion=sum,{use: sum}']", 2, ["stands twice"]),
        ("vary: ['fusion=sum,concat']\nreference: ['fusion=gated']", 3, ["none of the cells"]),
    ],
)
def test_a_slip_in_a_comparisons_file_is_told_with_its_line(shop, tmp_path, lines, line, words) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text(f"run: {shop[0]}\n{lines}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        workflow.compare_as_written(file, tmp_path / "out", shop[1])
    assert caught.value.where == f"{file}:{line}"
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("file", ["bundle.json", "manifest.json"])
def test_nothing_is_written_among_the_files_of_a_dataset_or_a_bundle(shop, tmp_path, file) -> None:
    (tmp_path / file).write_text("{}", encoding="utf-8")
    for command in (
        lambda: workflow.compare(shop[0], tmp_path, shop[1], vary=[INPUTS]),
        lambda: workflow.tune(shop[0], tmp_path, shop[1], search=["fusion.width=4,8"]),
        lambda: workflow.evaluate(tmp_path, shop[1], tmp_path),
    ):
        with pytest.raises(DataError, match="the folder holds a"):
            command()
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_the_reference_differs_from_itself_by_nothing_and_an_input_that_is_not_read_costs_nothing(compared) -> None:
    both, text = cells(compared[1])["text + table"], cells(compared[1])["text"]
    assert compared[1]["reference"] == "text + table"
    assert all(list(d.values()) == [0.0, 0.0, 0.0, 1.0, 1.0] for d in both["difference"].values())
    for how in ("half", "all"):
        loss = text["missing"]["table"][how]["loss"]["accuracy"]
        assert (loss["difference"], loss["low"], loss["high"]) == (0.0, 0.0, 0.0)


def test_with_one_seed_the_numbers_are_those_of_the_report_on_the_same_predictions(shop, compared) -> None:
    out, _ = compared
    before = stamps(out)
    asked: dict[str, Any] = {"vary": [INPUTS], "seeds": 1, "reference": ["modalities=[text]"]}
    kept = (out / "compare.json").read_bytes()
    with pytest.raises(ConfigError, match="numbers would be lost") as caught:
        workflow.compare(shop[0], out, shop[1], **asked)
    assert caught.value.seen == "also seed 4" and (out / "compare.json").read_bytes() == kept
    result = workflow.compare(shop[0], out, shop[1], **asked, replace=True)
    (out / "compare.json").write_bytes(kept)
    assert stamps(out) == before  # nothing is trained again
    drawn = resample({n: table(out, n) for n in ("text", "text-+-table")}, samples=200, seed=3)
    found = cells(result)
    for metric, one in intervals(drawn["text-+-table"]).items():
        told = found["text + table"]["metrics"][metric]
        assert {key: told[key] for key in ("value", "low", "high")} == one.plain()
    for metric, difference in differences(drawn["text-+-table"], drawn["text"]).items():
        told = found["text + table"]["difference"][metric]
        assert {key: told[key] for key in ("difference", "low", "high", "p")} == difference.plain()


def test_more_values_and_another_way_of_judging_only_add_trainings(shop, tmp_path) -> None:
    first = workflow.compare(shop[0], tmp_path, shop[1], vary=["fusion=concat"], seeds=1)
    before = stamps(tmp_path)
    more = ["evaluation.samples=300", "evaluation.groups=items.colour"]
    second = workflow.compare(shop[0], tmp_path, shop[1], vary=["fusion=sum,concat"], seeds=1, overrides=more)
    after = stamps(tmp_path)
    assert len(after) == 2 and before.items() < after.items()
    assert second["bootstrap"] == {"samples": 300, "confidence": 0.95, "seed": 3, "groups": 2}
    assert cells(second)["concat"]["metrics"]["accuracy"]["value"] == first["cells"][0]["metrics"]["accuracy"]["value"]


def test_after_kill_9_only_what_is_missing_is_trained(shop, tmp_path) -> None:
    """The parameters are the same as without a kill, and so is every number."""
    vary, epochs = ["fusion=concat,sum"], "training.epochs=12"
    out = tmp_path / "out"
    process = begun("compare", shop[0], out, shop[1], vary=vary, seeds=2, overrides=[epochs])
    deadline = time.monotonic() + 100
    while not stamps(out) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    before = stamps(out)
    assert 0 < len(before) < 4
    (out / "trainings" / ".left-over.half").mkdir()
    resumed = workflow.compare(shop[0], out, shop[1], vary=vary, seeds=2, overrides=[epochs])
    assert before.items() <= stamps(out).items() and len(stamps(out)) == 4
    assert not list((out / "trainings").glob(".*")) and not (out / "work").exists()
    whole = workflow.compare(shop[0], tmp_path / "whole", shop[1], vary=vary, seeds=2, overrides=[epochs])
    for one, other in zip(resumed["cells"], whole["cells"], strict=True):
        assert all(one[key] == other[key] for key in ("metrics", "difference", "missing"))


def test_a_cell_that_fails_is_told_and_loses_no_other(shop, tmp_path) -> None:
    vary = ["fusion=concat,{use: sum, widht: 3},summ", "training.learning_rate=0.02,1e30"]
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=vary, seeds=1)
    assert list(cells(result)) == ["concat · learning_rate=0.02"]
    failed = {one["cell"]: one for one in result["failures"]}
    assert len(failed) == 5
    assert "has no option 'widht'" in failed["sum widht=3 · learning_rate=0.02"]["what"]
    assert failed["summ · learning_rate=1e30"]["todo"] == "did you mean 'sum'?"
    diverged = failed["concat · learning_rate=1e30"]
    assert "no longer a number" in diverged["what"] and (diverged["seed"], diverged["fold"]) == (3, 0)
    assert "no longer a number" in (tmp_path / "compare.html").read_text(encoding="utf-8")


def test_notes_of_cells_are_told_once_with_their_cells(shop) -> None:
    vary = ["fusion={use: late, width: 8},{use: sum, width: 8},summ", "training.warm_up=0,0.1"]
    plan = plan_of(shop[0], [parse(one) for one in vary], 1, [], ["training.layer_decay=0.5"])
    late, every = (
        [name for name, _ in plan.living() if name.startswith(start)] for start in ("late", ("late", "sum width"))
    )
    assert len(late) == 2 and len(every) == 4 == len(plan.living())
    width, decay = plan.notes()
    assert "fusion.width has no effect" in width["note"] and width["cells"] == late
    assert "training.layer_decay has no effect" in decay["note"] and decay["cells"] == every
    said = noted(plan.notes(), len(every))
    assert said[0].endswith(f"(in {', '.join(late)})") and said[1].endswith("(in every cell)")


class Told(Silent):
    """What work was begun, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Task]:
        self.names.append(name)
        with super().task(name, total) as bar:
            yield bar


def test_what_no_training_can_mend_is_told_before_the_first_one(shop, tmp_path) -> None:
    vary = ["fusion=concat,sun", f"init=none,{tmp_path / 'nowhere'}"]
    told = Told()
    quick = ["training.epochs=1", "training.layer_decay=0.5"]
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=vary, seeds=1, overrides=quick, progress=told)
    assert [one["seed"] for one in result["failures"]] == [None] * 3  # of no training
    begun = told.names.index("trainings")
    assert sum(name.startswith("cannot be trained: ") for name in told.names[:begun]) == 3
    assert [name for name in told.names[:begun] if name.startswith("note: ")] == noted(result["notes"], 1)
    assert [one["cells"] for one in result["notes"]] == [["concat · init=none"]]
    assert "cannot be trained: sun · init=none: there is no fusion called 'sun'" in told.names[:begun]
    with pytest.raises(BundleError, match="cannot start from this bundle"):
        workflow.compare(shop[0], tmp_path / "out", shop[1], vary=[f"init={tmp_path / 'nowhere'},none"])
    assert not (tmp_path / "out").exists()


def test_a_fault_of_a_plug_in_is_a_failure_of_its_cell_with_the_details_kept(shop, tmp_path, monkeypatch) -> None:
    from tuwen.models import FUSIONS

    monkeypatch.setitem(FUSIONS._entries, "broken", ("test_workflow_compare:Broken", "a plug-in that raises"))
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=["fusion=concat,broken"], seeds=1)
    (failed,) = result["failures"]
    assert failed["cell"] == "broken" and "ZeroDivisionError" in failed["what"]
    assert "1 / 0" in Path(failed["todo"].removeprefix("the details are in ")).read_text(encoding="utf-8")


class Broken:
    combines_answers = False

    def __init__(self, widths: dict[str, int]) -> None:
        self.width = 1 / 0


def test_when_all_cells_fail_that_is_the_error(shop, tmp_path) -> None:
    with pytest.raises(TuwenError, match="none of the 2 cells could be trained; the first: the loss is no longer"):
        workflow.compare(shop[0], tmp_path, shop[1], vary=["training.learning_rate=1e30,1e31"], seeds=1)
    with pytest.raises(ConfigError, match=r"unknown key 'training\.learning_rte'"):
        workflow.compare(shop[0], tmp_path, shop[1], vary=["training.learning_rte=1,2"])


def test_a_reference_that_fails_leaves_the_others_their_own_numbers(shop, tmp_path) -> None:
    vary = ["training.learning_rate=1e30,0.02"]
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=vary, seeds=1)
    assert result["cells"][0]["metrics"]["accuracy"]["value"] == 1.0 and result["cells"][0]["difference"] is None
    assert "has no numbers" in (tmp_path / "compare.html").read_text(encoding="utf-8")


def test_two_comparisons_in_one_folder_do_not_meet(shop, tmp_path) -> None:
    with held(tmp_path), pytest.raises(InUse):
        workflow.compare(shop[0], tmp_path, shop[1], vary=["fusion=sum"])


def test_folds_are_pooled_a_seed_and_the_shop_is_collected_when_no_dataset_is_named(shop, tmp_path) -> None:
    folds = ["split={use: folds, folds: 2}", "training.epochs=2"]
    result = workflow.compare(shop[0], tmp_path, vary=["fusion=sum,concat"], seeds=2, overrides=folds)
    assert (result["rows"], result["folds"], len(stamps(tmp_path))) == (240, 2, 8)
    assert all(len(cell["metrics"]["accuracy"]["seeds"]) == 2 for cell in result["cells"])


def test_the_share_of_labels_can_be_varied_and_the_test_rows_stay(shop, tmp_path) -> None:
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=["rows.labels=1,0.05"], seeds=1)
    few = cells(result)["labels=0.05"]
    assert few["difference"]["accuracy"]["difference"] < 0


def test_a_start_from_another_bundle_is_a_value_like_others(shop, tmp_path) -> None:
    bundle = workflow.train(shop[0], shop[1], tmp_path / "bundle", ["training.epochs=3"])
    vary = [f"init=none,{bundle},{tmp_path / 'nowhere'}"]
    result = workflow.compare(shop[0], tmp_path / "out", shop[1], vary=vary, seeds=1, overrides=["training.epochs=1"])
    fresh, started = result["cells"]
    assert started["metrics"]["log_loss"]["value"] < fresh["metrics"]["log_loss"]["value"]
    (failed,) = result["failures"]
    assert "nowhere" in failed["cell"] and "not a bundle" in failed["what"]


def test_what_is_read_alike_is_fitted_and_encoded_once(shop) -> None:
    dataset = Dataset.open(shop[1])
    shared = Shared(dataset, 0, Silent())
    one = shared.prepared(Run.read(shop[0]))
    other = shared.prepared(Run.read(shop[0], ["fusion=sum", "rows.labels=0.1", "modalities.text.encoder.width=8"]))
    assert one.inputs["text"] is other.inputs["text"] and one.modalities["table"] is other.modalities["table"]
    assert len(other.gathered.rows("train")) < len(one.gathered.rows("train"))
    changed = shared.prepared(Run.read(shop[0], ["modalities.text.lower=false"]))
    assert changed.inputs["text"] is not one.inputs["text"] and changed.inputs["table"] is one.inputs["table"]
    seen = Shared(dataset, 0, Silent(), ("train", "validation")).prepared(Run.read(shop[0])).gathered
    whole = gather(Run.read(shop[0]), dataset)
    assert seen.counts() == whole.counts() | {"test": 0}
    assert not set(seen.frame["row"]) & set(whole.frame["row"][whole.rows("test")])


@pytest.mark.parametrize(
    ("vary", "reference", "message"),
    [
        (["split=hash,random"], [], "decides which rows"),
        (["split.test=0.1,0.2"], [], "decides which rows"),
        (["rows.where=a,b"], [], "decides which rows"),
        (["seed=1,2"], [], "--seeds"),
        (["evaluation.samples=100,200"], [], "one way"),
        (["task.target=items.class,items.colour"], [], "different questions"),
        (["training={epochs: 3}"], [], "whole section"),
        (["fusion=sum", "fusion=concat"], [], "varied twice"),
        (["fusion=sum,concat"], ["fusion=gated"], "none of the cells"),
        (["fusion=sum,concat"], ["training.epochs=3"], "none of the cells"),
        ([], ["training.epochs=3"], "nothing varies, so there is one cell and no reference"),
        (["fusion={use: sum, widht: 1},concat"], [], "no option 'widht'"),  # the reference itself
        (["modalities=[txt],[text]"], [], "did you mean 'text'"),
        (["fusion"], [], "KEY=VALUE"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    shop, tmp_path, vary, reference, message
) -> None:
    with pytest.raises(ConfigError) as caught:
        workflow.compare(shop[0], tmp_path / "out", shop[1], vary=vary, reference=reference)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()
