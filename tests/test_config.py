"""Strict YAML: every mistake names its line, what is allowed and what was probably meant."""

import time

import pytest

from tuwen.config import Run, Shop, load_yaml, written
from tuwen.config.yaml import place_of
from tuwen.errors import ConfigError
from tuwen.workflow.variants import parse

RUN = """\
name: shoes
modalities:
  text:
    use: text
    columns: reviews.text
    length: 40
    encoder: lstm
task: {use: rate, target: reviews.rating}
training:
  epochs: 3
"""


def _written(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, text, overrides=(), kind=Run):
    return kind.read(_written(tmp_path, text), list(overrides))


def test_a_run_is_read_whole(tmp_path):
    run = read(tmp_path, RUN)
    text = run.modalities["text"]
    assert (text.use, text.columns, text.options, text.encoder.use) == (
        "text",
        ["reviews.text"],
        {"length": 40},
        "lstm",
    )
    assert run.task.options == {"target": "reviews.rating"}
    assert run.training.epochs == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("  epochs: 3", "  epoks: 3", 10, "did you mean 'epochs'"),
        ("training:", "trainings:", 9, "did you mean 'training'"),
        ("epochs: 3", "epochs: many", 10, "must be a whole number"),
        ("epochs: 3", "epochs: 0", 10, "must be at least 1"),
        ("    columns: reviews.text\n", "", 3, "'modalities.text.columns' is missing"),
        ("name: shoes", "name: shoes\nname: boots", 2, "stands twice"),
        ("name: shoes", "name: ../up", 1, "a run is named with letters"),
        ("  epochs: 3", "  epochs: [3", 11, "not valid YAML"),
        ("    columns: reviews.text", "    colums: reviews.text", 3, "is 'colums' meant to be 'columns'"),
        ("  text:", "  te xt/..:", 3, "letters, digits"),
        ("  epochs: 3", "  optimiser: adma", 10, "did you mean 'adam'"),
    ],
)
def test_a_mistake_names_its_line(tmp_path, old, new, line, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, RUN.replace(old, new))
    assert caught.value.where == f"{tmp_path / 'run.yaml'}:{line}"
    assert message in str(caught.value)


def test_overrides_change_one_key_and_may_add_component_options(tmp_path):
    run = read(tmp_path, RUN, ["training.epochs=7", "modalities.text.encoder.width=32", "fusion.use=sum", "seed=4"])
    assert run.training.epochs == 7
    assert run.modalities["text"].encoder.options == {"width": 32}
    assert (run.fusion.use, run.seed) == ("sum", 4)


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training.epochs=[1", "name.x=1=2"])
def test_a_bad_override_says_how_it_should_look(tmp_path, override):
    with pytest.raises(ConfigError, match=r"--set|KEY=VALUE|must be a text"):
        read(tmp_path, RUN, [override])


def test_a_run_survives_its_plain_form(tmp_path):
    run = read(tmp_path, RUN)
    assert Run.model_validate(run.plain()).plain() == run.plain()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no settings"),
        (b"- a\n- b\n", "no settings"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: !!python/object:os.x {}", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (LAUGHS, 5, "too many keys and values"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\n" + "c: 2024-13-01\n", None, "no number and no date"),
        ("a: 1\nb: &b [1, *b]\n", 2, "stands in what it repeats"),
        ("a: 1\nb: " + "[" * 33 + "]" * 33 + "\n", 2, "nested too deeply"),
        ("a: 1\nb: " + "[" * 100_000 + "\n", 2, "nested too deeply"),
        ("a: 1\nb:\n" + "- " * 40 + "\n", 3, "nested too deeply"),
        ("a: 1\nb: [" + "1, " * 20_001 + "]\n", 2, "too many keys and values"),
        ("a: 1\nb: " + "1" * 5_000 + "\n", None, "no number and no date"),
        ("a: 1\nb: 0x" + "f" * 5_000 + "\n", None, "no number and no date"),
        ("a: 1\nb: " + "1:" * 20_000 + "1\n", None, "no number and no date"),
        ("a: 1\nb: " + "x" * 100_001 + "\n", 2, "too long"),
        ("a: 1\n#" + "x" * 1_000_000, None, "too large"),
        ("a: 1\nb: *nothing\n", 2, "not valid YAML"),
    ],
)
def test_a_file_that_would_grow_in_memory_is_refused(tmp_path, content, line, message):
    path = tmp_path / "x.yaml"
    path.write_text(content)
    begin = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        load_yaml(path)
    assert caught.value.where == (f"{path}:{line}" if line else str(path))
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("value", ["[" * 100, "[" + "1, " * 20_001 + "]", "&a [*a]", "1" * 5_000])
def test_a_value_of_the_command_line_has_the_same_limits(tmp_path, value):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, RUN, [f"training.epochs={value}"])
    assert caught.value.where == f"--set training.epochs={value}"
    with pytest.raises(ConfigError):
        parse(f"training.epochs={value}")


def test_aliases_within_the_limits_repeat_what_they_name(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 2}\n")
    data, lines = load_yaml(path)
    assert data == {"a": {"x": 1, "y": [1, 2]}, "b": {"x": 1, "y": [1, 2]}, "c": {"x": 2, "y": [1, 2]}}
    assert lines["b", "x"] == 1 and lines["c", "x"] == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        Run.read(tmp_path / "none.yaml")


def test_shop_paths_start_at_the_file(tmp_path):
    shop = read(tmp_path, "name: s\nroot: export\nitems: {source: items.csv}\n", kind=Shop)
    assert shop.folder() == tmp_path / "export"
    assert list(shop.tables()) == ["items"]


def test_a_misspelt_shop_key_inside_a_table(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'columns'"):
        read(tmp_path, "name: s\nitems:\n  source: items.csv\n  colums: {}\n", kind=Shop)


def test_a_misspelt_required_key_is_named_not_called_missing(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'source'") as caught:
        read(tmp_path, "name: s\nitems:\n  sorce: items.csv\n", kind=Shop)
    assert caught.value.where.endswith("run.yaml:3")


def test_a_rating_range_the_wrong_way_round(tmp_path):
    with pytest.raises(ConfigError, match="low before high"):
        read(tmp_path, "name: s\nitems: {source: items.csv}\nrating_range: [5, 1]\n", kind=Shop)


def test_names_may_be_chinese(tmp_path):
    run = read(tmp_path, RUN.replace("name: shoes", "name: 鞋子").replace("  text:", "  文字:"))
    assert (run.name, list(run.modalities)) == ("鞋子", ["文字"])


def test_a_folder_for_a_file_names_the_file_in_it_or_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match=r"this is a folder, not a SHOP\.yaml") as caught:
        Shop.read(tmp_path)
    assert caught.value.where == str(tmp_path) and "tuwen sample FOLDER" in caught.value.todo
    (tmp_path / "goods.yml").write_text("")
    with pytest.raises(ConfigError) as caught:
        Shop.read(tmp_path)
    assert caught.value.todo == f"name the file in it: {tmp_path / 'goods.yml'}"
    for name in ("RUN.yaml", "SHOP.yaml"):
        (tmp_path / name).write_text("")
    for kind, name in ((Shop, "SHOP.yaml"), (Run, "RUN.yaml")):
        with pytest.raises(ConfigError) as caught:
            kind.read(tmp_path)
        assert caught.value.todo == f"name the file in it: {tmp_path / name}"


@pytest.mark.parametrize(("old", "new", "seen"), [("  text:", "  te xt:", "'te xt'"), ("shoes", "-x", "'-x'")])
def test_a_bad_name_is_told_in_plain_words_and_alone(tmp_path, old, new, seen):
    with pytest.raises(ConfigError, match="is named with letters") as caught:
        read(tmp_path, RUN.replace(old, new))
    assert caught.value.seen == seen
    assert "value error" not in str(caught.value) and "[key]" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "loc", "place"),
    [
        (["training.epochs=-1"], ("training", "epochs"), "--set training.epochs=-1"),
        (["training.epochs=2"], ("training",), "FILE:9 with --set training.epochs=2"),
        (["training={epochs: 2}"], ("training", "epochs"), "--set training={epochs: 2}"),
        (["training.patience=2"], ("training", "epochs"), "FILE:10"),
        (["seed=4"], ("training", "epochs"), "FILE:10"),
        (["fusion.width=2"], ("fusion",), "--set fusion.width=2"),
        (
            ["modalities.text.encoder.width=3"],
            ("modalities", "text", "encoder", "width"),
            "--set modalities.text.encoder.width=3",
        ),
        (["fusion=sum", "fusion=concat"], ("fusion", "use"), "--set fusion=concat"),
    ],
)
def test_the_place_of_what_the_command_line_set_is_the_flag(tmp_path, overrides, loc, place):
    _, lines = written(_written(tmp_path, RUN), overrides)
    file = str(tmp_path / "run.yaml")
    assert place_of(file, lines, loc) == place.replace("FILE", file)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=-1", "must be at least 1"),
        ("training.epoks=3", "did you mean 'epochs'"),
        ("fusions=sum", "did you mean 'fusion'"),
        ("modalities.text={use: text}", "'modalities.text.columns' is missing"),
    ],
)
def test_a_mistake_of_the_command_line_is_not_blamed_on_the_file(tmp_path, override, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, RUN, [override])
    assert caught.value.where == f"--set {override}" and message in str(caught.value)
