"""What check finds, and that train refuses the same in the same words before anything is trained."""

from pathlib import Path

import pytest
import yaml

from shops import small_sample
from tuwen import workflow
from tuwen.config import Run, written
from tuwen.errors import BundleError, ConfigError, DataError
from tuwen.progress import Silent
from tuwen.workflow.idle import idle_in

QUICK = ["training.epochs=2", "modalities.picture.size=32", "evaluation.samples=100"]
TEXT_ONLY = "{use: text, columns: reviews.text, encoder: lstm}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return small_sample(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modalities.text.encoder=lsmt", "did you mean 'lstm'"),
        ("modalities.text.encoder.widht=3", "did you mean 'width'"),
        ("modalities.text.lenght=3", "did you mean 'length'"),
        ("fusion=sum_", "did you mean 'sum'"),
        ("task.tarrget=x", "did you mean 'target'"),
        ("split.shares=1", "no option 'shares'"),
        ("modalities.picture.use=pictures", "there is no modality"),
        ("modalities.text.encoder={use: lstm, width: -3}", "must be at least 1"),
        ("modalities.text.encoder={use: lstm, dropout: 3}", "must be below 1"),
        ("modalities.picture.encoder={use: cnn, channels: []}", "holds too few values"),
        ("fusion={use: concat, width: -4}", "must be at least 1"),
        ("modalities.text.columns=[reviews.text, reviews.rating]", "what is to be predicted"),
    ],
)
def test_check_finds_a_mistake_without_training(shop, override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        workflow.check(shop / "RUN.yaml", [override])
    assert caught.value.where.endswith(f"--set {override}")


def placed_in_the_file(shop, overrides, on=None):
    """What check says of the overrides written into the file, and the line that it names."""
    file = shop / "CHANGED.yaml"
    file.write_text(yaml.safe_dump(written(shop / "RUN.yaml", overrides)[0], sort_keys=False), encoding="utf-8")
    with pytest.raises((ConfigError, DataError)) as caught:
        workflow.check(file, (), *([on] if on else []))
    where, _, number = caught.value.where.rpartition(":")
    assert where == str(file)
    return caught.value.what, file.read_text(encoding="utf-8").splitlines()[int(number) - 1]


@pytest.mark.parametrize(
    ("override", "line", "message"),
    [
        ("modalities.picture={use: image, columns: items.images, encoder: ngram}", "encoder:", "word-ngram"),
        ("modalities.text={use: text, columns: reviews.text, encoder: cnn}", "encoder:", "use: image"),
        (
            "modalities.text={use: text, columns: reviews.text, tokens: word, encoder: ngram}",
            "encoder:",
            "tokens: ngram",
        ),
        ("modalities.text={use: table, columns: users.city, encoder: lstm}", "encoder:", "tokens: word"),
        ("modalities.text.columns=[text]", "- ", r"did you mean 'reviews\.text'"),
        ("modalities.text.columns=[revews.text]", "- ", r"did you mean 'reviews\.text'"),
        ("modalities.text.columns=[events.query]", "- ", "no table 'events'"),
        ("task.target=rating", "target:", r"did you mean 'reviews\.rating'"),
        ("split.column=time", "column:", r"did you mean 'reviews\.time'"),
        ("evaluation.groups=user", None, r"did you mean 'reviews\.user'"),
        ("modalities.text.length=0", "text:", "at least 1"),
        ("modalities.text.vocabulary=2", "text:", "at least 3"),
        ("modalities.picture.size=0", "picture:", "1 to 4096"),
        ("modalities.picture.shift=1", "picture:", "below 1"),
        ("fusion={use: late, folds: 1}", None, "one fold leaves nothing"),
        ("fusion={use: late, fused: sun}", None, "no fusion called 'sun'"),
        ("fusion={use: attention, width: 30, heads: 4}", None, "multiple"),
        ("modalities.picture.encoder={use: vit, width: 30, heads: 4}", "encoder:", "multiple"),
        ("modalities.picture.encoder={use: vit, patch: 300}", "encoder:", "cover the whole picture"),
        ("modalities.picture.encoder={use: colour, grid: 11}", "encoder:", "multiples of grid"),
        ("modalities.picture.encoder={use: cnn, channels: [8, 8, 8, 8, 8, 8, 8]}", "encoder:", "too small"),
        ("modalities.picture.encoder={use: cnn, pool: mean}", "encoder:", "unknown pool"),
        ("modalities.text.encoder={use: transformer, width: 30, heads: 4}", "encoder:", "multiple"),
        ("task={use: classify, target: reviews.rating, label_smoothing: 2}", None, "must be below 1"),
        ("task={use: classify, target: reviews.rating, label_smoothing: -1}", None, "at least 0"),
        ("modalities.text.tokens=hub", None, "needs 'model'"),
        ("training.calibrate=true", None, "no probabilities to calibrate"),
        ("task={use: contrast, pairs: [picture-sound]}", "pairs:", "no pair 'picture-sound'"),
        ("rows.where=nosuch >", "where:", "not a condition"),
        ("rows.where=DROP TABLE x", "where:", "not a condition"),
        ("rows.where=rating > (SELECT a FROM read_csv('/etc/passwd'))", "where:", "not a condition"),
        ("rows.where=read_csv('/etc/passwd') IS NULL", "where:", "no such function"),
    ],
)
def test_check_alone_and_train_tell_the_same_with_file_and_line(shop, tmp_path, override, line, message):
    with pytest.raises(ConfigError, match=message) as caught:
        workflow.check(shop / "RUN.yaml", [override])
    with pytest.raises(ConfigError) as trained:
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", [override])
    assert str(trained.value) == str(caught.value)
    assert caught.value.where.endswith(f"--set {override}")
    what, told = placed_in_the_file(shop, [override])
    assert what == caught.value.what and (line or "") in told


@pytest.mark.parametrize(
    ("override", "line", "message"),
    [
        ("modalities.text.columns=[reviews.txt]", "- ", r"did you mean 'reviews\.text'"),
        ("modalities.text.columns=[users.cty]", "- ", r"did you mean 'users\.city'"),
        ("modalities.text.columns=[items.images]", "columns:", "not a column of texts"),
        ("modalities.picture.columns=[reviews.text]", "columns:", "not a column of pictures"),
        ("content=[items.titel]", None, r"did you mean 'items\.title'"),
        ("task.target=reviews.ratng", "target:", r"did you mean 'reviews\.rating'"),
        ("task.target=reviews.time", "target:", "cannot predict"),
        ("task.target=items.brand", "target:", "not a number everywhere"),
        (
            f"modalities={{text: {TEXT_ONLY}}}; task={{use: classify, target: items.images}}",
            "target:",
            "cannot predict",
        ),
        ("task={use: binary, target: reviews.rating, at_least: 9}", "target:", "same answer"),
        ("rows.where=ratng > 3", "where:", "did you mean 'rating'"),
        ("rows.where=rating > 9", "where:", "no row of reviews is left"),
        ("split={use: column, column: users.city, test: [nowhere]}", "nowhere", "no row has 'nowhere'"),
        ("split={use: column, column: users.city, test: [Leeds, Lisbom]}", "Lisbom", "did you mean 'Lisbon'"),
        (
            "split={use: column, column: users.city, test: [Leeds], validation: [Lisbon, 成都市]}",
            "- ",
            "did you mean '成都'",
        ),
        (
            "rows.where='\"users.city\" in (''Lisbon'', ''Austin'')'; "
            "split={use: column, column: users.city, test: [Lisbon, Leeds], each: true}",
            "Leeds",
            "no row has 'Leeds'",
        ),
        ("split={use: time, cut: 2999-01-01}", "split:", "the test part has no rows"),
    ],
)
def test_check_with_a_dataset_and_train_tell_the_same_before_anything_is_trained(
    shop, tmp_path, override, line, message
):
    overrides = override.split("; ")
    workflow.check(shop / "RUN.yaml", overrides)  # nothing wrong with the run alone
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        workflow.check(shop / "RUN.yaml", overrides, shop / "dataset")
    told = []

    class Told(Silent):
        def task(self, name, total=None):
            told.append(name)
            return super().task(name, total)

    with pytest.raises((ConfigError, DataError)) as trained:
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", overrides, Told())
    assert str(trained.value) == str(caught.value) and not told
    assert caught.value.where.endswith(f"--set {overrides[-1]}")
    what, at = placed_in_the_file(shop, overrides, shop / "dataset")
    assert what == caught.value.what and (line or "") in at


NEEDY = [
    "task={use: binary, target: reviews.rating, at_least: 4}; training.calibrate=true",
    "fusion={use: late, folds: 0}",
]


@pytest.mark.parametrize("needy", NEEDY)
@pytest.mark.parametrize(
    ("split", "alone"),
    [
        ("{use: hash, validation: 0}", True),
        ("{use: folds, folds: 3, validation: 0}", True),
        ("{use: time, validation: 0}", True),
        ("{use: column, column: users.city, test: [Porto], validation_share: 0}", True),
        ("{use: hash, validation: 1.0e-9}", False),  # some rows are meant, and none falls into it
    ],
)
def test_a_run_that_needs_a_validation_part_is_refused_before_anything_is_trained(
    shop, tmp_path, monkeypatch, needy, split, alone
):
    overrides = [f"split={split}", *needy.split("; ")]
    if alone:
        with pytest.raises(ConfigError, match="needs a validation part, and there is none"):
            workflow.check(shop / "RUN.yaml", overrides)
    else:
        workflow.check(shop / "RUN.yaml", overrides)
    with pytest.raises(ConfigError, match="needs a validation part, and there is none") as caught:
        workflow.check(shop / "RUN.yaml", overrides, shop / "dataset")
    assert caught.value.where.endswith(f"--set {overrides[-1]}") and "split: {…, validation" in caught.value.todo
    monkeypatch.setattr("tuwen.workflow.training.prepare", None)  # nothing is encoded, nothing trained
    with pytest.raises(ConfigError) as trained:
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", overrides)
    assert str(trained.value) == str(caught.value)


def test_what_needs_no_validation_part_goes_without(shop):
    for overrides in (["fusion=late"], ["training.epochs=3"]):
        workflow.check(shop / "RUN.yaml", [NO_VALIDATION, *overrides], shop / "dataset")
    for needy in NEEDY:
        workflow.check(shop / "RUN.yaml", needy.split("; "), shop / "dataset")
    workflow.check(Path(__file__).parents[1] / "runs/flipkart.yaml")


def test_what_is_wrong_beside_an_override_stands_where_it_is_written(shop):
    with pytest.raises(ConfigError, match="an item has many reviews") as caught:
        workflow.check(shop / "RUN.yaml", ["rows.table=items"])
    where, _, number = caught.value.where.rpartition(":")
    assert where == str(shop / "RUN.yaml")
    assert "reviews.text" in (shop / "RUN.yaml").read_text(encoding="utf-8").splitlines()[int(number) - 1]


def test_check_counts_the_rows_of_every_fold(shop):
    found = workflow.check(shop / "RUN.yaml", ["split={use: folds, folds: 3}"], shop / "dataset")["data"]
    assert len(found["rows"]) == 3
    assert sum(part["test"] for part in found["rows"]) == sum(found["rows"][0].values())


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["", "  ", None], "empty, or without a letter or digit in every row"),
        (["👍", "👍👍👍", "！"], "empty, or without a letter or digit in every row"),
        (
            ["Very good", "very good!", "ＶＥＲＹ ＧＯＯＤ"],
            "the same (case, spaces and signs do not count) in every row",
        ),
    ],
)
def test_rows_that_are_all_alike_are_told_as_such(tmp_path, texts, why):
    lines = [f"{i},u{i},{1 + i % 5},{texts[i % 3] or ''}" for i in range(60)]
    (tmp_path / "r.csv").write_text("\n".join(["review,user,rating,text", *lines]), encoding="utf-8")
    (tmp_path / "SHOP.yaml").write_text("name: s\nreviews: {source: r.csv}\n", encoding="utf-8")
    run = "name: r\nrows: {table: reviews}\nmodalities:\n  text: {use: text, columns: reviews.text, encoder: lstm}\n"
    (tmp_path / "RUN.yaml").write_text(run + "task: {use: rate, target: reviews.rating}\nsplit: hash\n")
    workflow.collect(tmp_path / "SHOP.yaml", tmp_path / "dataset")
    with pytest.raises(DataError, match="all 60 rows have the same content") as caught:
        workflow.train(tmp_path / "RUN.yaml", tmp_path / "dataset", tmp_path / "bundle")
    assert caught.value.seen == f"reviews.text: {why}"
    assert caught.value.where == f"{tmp_path / 'RUN.yaml'}:6" and "[reviews.review]" in caught.value.todo
    workflow.check(tmp_path / "RUN.yaml", ["content=[reviews.review]"], tmp_path / "dataset")


def test_an_encoder_brings_what_its_modality_needs(shop, tmp_path):
    found = workflow.check(shop / "RUN.yaml", ["modalities.text={use: text, columns: reviews.text, encoder: ngram}"])
    assert found["modalities"]["text"]["tokens"] == "ngram"


def test_check_completes_the_defaults(shop):
    found = workflow.check(shop / "RUN.yaml")
    assert found["modalities"]["text"]["encoder"]["width"] == 64
    assert found["split"]["label"].startswith("global time cut")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modalities.text.columns=[reviews.txt]", "did you mean 'reviews.text'"),
        ("task.target=reviews.stars", "no column 'reviews.stars'"),
        ("modalities.text.columns=[text]", "TABLE.COLUMN"),
        ("modalities.text={use: text, columns: reviews.text, tokens: word, encoder: ngram}", "tokens: ngram"),
        ("modalities.text.length=99999999", "at most 65,536"),
        ("modalities.picture.columns=[reviews.text]", "not a column of pictures"),
        ("modalities.text.columns=[items.images]", "not a column of texts"),
        ("training.device=cuda", "no CUDA device"),
        ("rows.where=reviews.rating > 99", "no row of reviews is left"),
        ("rows.where=rating > 99", "no row of reviews is left"),
        ("rows.where=DROP TABLE x", "not a condition"),
        ("rows.where=rating >", "not a condition"),
    ],
)
def test_a_run_that_does_not_fit_the_data_says_so(shop, tmp_path, override, message):
    with pytest.raises((ConfigError, DataError), match=message):
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", [override])
    assert not Path(tmp_path / "bundle").exists()


def test_check_opens_the_bundle_that_a_run_starts_from(shop):
    with pytest.raises(BundleError, match="cannot start from this bundle") as caught:
        workflow.check(shop / "RUN.yaml", ["init=nowhere"])
    assert caught.value.seen.endswith("nowhere")


def test_a_network_too_large_for_the_machine_is_checked_without_its_memory(shop):
    workflow.check(shop / "RUN.yaml", ["modalities.text.encoder={use: lstm, width: 200000}"])  # 640 GB


NO_VALIDATION = "split={use: hash, validation: 0}"
PATIENT = "training.patience=2"
FROZEN = "modalities.picture.encoder=efficientnet-lite0"
GRADUAL = "training.unfreeze=gradual"
TUNED = "modalities.picture.encoder={use: efficientnet-lite0, frozen: false}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["training.unfreeze=gradual"], ["training.unfreeze"]),
        (["training.layer_decay=0.9", "training.encoder_learning_rate=1e-4"], ["encoder_learning_rate", "layer_decay"]),
        ([TUNED, "training.layer_decay=0.9"], []),
        ([TUNED, "training.epochs=2", "training.unfreeze_epoch=2"], ["after 2 epochs"]),
        ([TUNED, "training.epochs=5", "training.unfreeze_epoch=2", GRADUAL], ["reaches the top 3 of 17 layers"]),
        ([TUNED.replace("}", ", train_layers: 3}"), "training.epochs=3", GRADUAL], []),
        ([TUNED.replace("}", ", train_layers: 3}"), "training.epochs=2", GRADUAL], ["the top 2 of 3 layers"]),
        ([TUNED.replace("}", ", lora: 4}"), "training.layer_decay=0.9"], ["training.layer_decay"]),
        (["training.epochs=2", "training.average_epochs=3"], ["only 2 epochs"]),
        ([f"modalities={{text: {TEXT_ONLY}}}", "training.modality_dropout=0.3"], ["one kind of input"]),
        (["training.modality_dropout=0.3", "modalities.picture.flip=true"], []),
        ([FROZEN, "modalities.picture.flip=true"], ["modalities.picture.flip"]),
        ([f"{FROZEN[:-18]}{{use: efficientnet-lite0, size: 0.2}}", "fusion={use: late, width: 8, fused: sum}"], []),
        ([TUNED.replace("}", ", size: 5, precision: int8}")], ["picture.encoder.size", "picture.encoder.precision"]),
        (["fusion={use: late, width: 8}"], ["fusion.width has no effect"]),
        (["training.patience=2", "training.monitor=score"], []),
        ([NO_VALIDATION, "training.patience=2", "training.monitor=score"], ["training.patience", "training.monitor"]),
        (["split={use: column, column: users.city, test: [x], validation: [y], validation_share: 0}", PATIENT], []),
        ([NO_VALIDATION, "export.int8=true"], ["export.int8 has no effect: the split leaves no validation part"]),
        (["export.margin=0.1"], ["export.margin"]),
        (["export.margin=0.1", "export.int8=true"], []),
        (["gan={use: impute, drop: 0.4}"], []),
        (["gan={use: impute, drop: 0.4}", "training.modality_dropout=0.3"], ["gan.drop has no effect"]),
        (["gan=impute", "fusion={use: sum, absent: learned}"], ["fusion.absent counts only before gan: impute"]),
        (["fusion={use: sum, absent: learned}"], []),
    ],
)
def test_settings_without_effect_are_named_with_their_place(shop, overrides, told):
    found = workflow.without_effect(shop / "RUN.yaml", overrides)
    assert len(found) == len(told)
    for line, part in zip(found, told, strict=True):
        assert part in line and line.startswith("--set ")
    for english, chinese in idle_in(Run.read(shop / "RUN.yaml", overrides)):
        assert english.split(": ")[0] == chinese.split(": ")[0] and any("一" <= letter <= "龥" for letter in chinese)


def test_options_alone_are_those_of_the_default_component(shop, tmp_path):
    text = (shop / "RUN.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("split:", "fusion:"))]
    bare = shop / "BARE.yaml"
    bare.write_text("\n".join(kept), encoding="utf-8")
    found = workflow.check(bare, ["split.test=0.3", "fusion.width=16"])
    assert found["split"]["use"] == "hash" and found["split"]["test"] == 0.3 and "validation" in found["split"]
    assert found["fusion"]["use"] == "auto" and found["fusion"]["width"] == 16


@pytest.mark.parametrize(
    "override", ["modalities.text.encoder=lsmt", "modalities.picture.encoder.widht=3", f"{FROZEN[:-1]}00"]
)
def test_looking_for_settings_without_effect_tells_a_slip_as_check_does(shop, override):
    with pytest.raises(ConfigError) as caught:
        workflow.check(shop / "RUN.yaml", [override])
    with pytest.raises(ConfigError) as looked:
        workflow.without_effect(shop / "RUN.yaml", [override])
    assert looked.value.where and str(looked.value) == str(caught.value)


def test_a_comparison_is_told_from_a_run(tmp_path):
    (tmp_path / "RUNS.yaml").write_text("run: RUN.yaml\nvary: [fusion=sum]\n")
    with pytest.raises(ConfigError, match="what is compared, and is no run") as found:
        workflow.check(tmp_path / "RUNS.yaml")
    assert found.value.todo.startswith("tuwen compare")
