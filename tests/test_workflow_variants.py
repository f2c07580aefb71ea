"""KEY=VALUE,VALUE: what is typed, what it becomes, and what a replaced component keeps."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.config import written
from tuwen.errors import ConfigError, TuwenError
from tuwen.workflow.variants import Base, combinations, name_of, parse, run_of, variant
from twofold import write_shop

words = st.from_regex(r"[a-z][a-z0-9_./-]{0,8}", fullmatch=True)
scalars = st.one_of(st.integers(-99, 99), st.booleans(), st.floats(-9, 9, allow_nan=False), words)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(words, scalars, max_size=3))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    path = write_shop(tmp_path_factory.mktemp("variants"))
    return Base(*written(path), str(path))


def made(base: Base, *texts: str):
    (chosen,) = combinations([parse(text) for text in texts])
    return variant(base, chosen)


@given(st.lists(values, min_size=1, max_size=5))
@settings(max_examples=150)
def test_any_values_come_out_as_they_went_in(given_) -> None:
    flow = [yaml.safe_dump(v, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip() for v in given_]
    read_back = [yaml.safe_load(text) for text in flow]
    if any(read_back.count(v) > 1 for v in read_back):
        with pytest.raises(ConfigError, match="stands twice"):
            parse("some.key=" + ",".join(flow))
        return
    found = parse("some.key=" + ", ".join(flow))
    assert found.key == "some.key"
    assert [one.value for one in found.values] == read_back
    assert [yaml.safe_load(one.text) for one in found.values] == read_back


@pytest.mark.parametrize("text", ["", "=", "fusion", "fusion=", "=sum", "fusion=[sum", "fusion=sum,{use", "a=b,b"])
def test_what_is_no_list_of_values_is_refused(text) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def test_every_combination_has_a_name_of_its_own() -> None:
    varied = [parse("fusion=sum,{use: attention, heads: 2}"), parse("gan=off,impute"), parse("rows.labels=0.1,1")]
    names = [name_of(values) for values in combinations(varied)]
    assert names[0] == "sum · gan=off · labels=0.1" and names[-1] == "attention heads=2 · gan=impute · labels=1"
    assert len(set(names)) == 8
    assert name_of(combinations([parse("modalities=[text, table]")])[0]) == "text + table"
    assert name_of(combinations([parse("modalities.text.encoder=lstm")])[0]) == "text: lstm"
    assert name_of({}) == "" and len(combinations([])) == 1  # the run as it is: it has its name


def test_a_replaced_component_keeps_what_the_new_one_knows_too(base) -> None:
    found = made(base, "fusion=pairwise")
    assert found.data["fusion"] == {"use": "pairwise", "width": 16, "dropout": 0.1}
    assert found.kept == {"fusion": {"width": 16, "dropout": 0.1}}
    found = made(base, "fusion={use: late, width: 8}")
    assert found.data["fusion"] == {"use": "late", "width": 8, "dropout": 0.1}
    assert found.kept == {"fusion": {"dropout": 0.1}}
    assert made(base, "fusion=concat").kept == {}  # nothing is replaced
    assert made(base, "modalities.text.encoder=lstm").data["modalities"]["text"]["encoder"] == {"use": "lstm"}


def test_outer_keys_are_set_before_inner_ones(base) -> None:
    found = made(base, "fusion.width=7", "fusion=sum")
    assert found.data["fusion"] == {"use": "sum", "width": 7, "dropout": 0.1}


def test_none_empties_what_may_be_empty_and_is_a_name_elsewhere(base) -> None:
    assert made(base, "training.patience=none").data["training"]["patience"] is None
    assert made(base, "fusion.activation=none").data["fusion"]["activation"] == "none"
    assert run_of(base, made(base, "gan=off")).gan is None
    assert run_of(base, made(base, "gan=none")).gan is None


def test_some_of_the_modalities_keep_the_rows_of_all(base) -> None:
    found = run_of(base, made(base, "modalities=text"))
    assert list(found.modalities) == ["text"] and found.content == ["items.item"]
    with pytest.raises(ConfigError, match="did you mean 'table'"):
        made(base, "modalities=[tabel]")


def test_the_base_stays_as_it_was(base) -> None:
    before = yaml.safe_dump(base.data)
    made(base, "fusion.width=7", "modalities=[text]", "training.epochs=1")
    assert yaml.safe_dump(base.data) == before


def test_a_path_to_start_from_is_the_one_of_the_command_line(base, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(base, "init=bundles/one").data["init"] == str(tmp_path / "bundles" / "one")
    assert made(base, "init=none").data["init"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fusions=sum,gated", "did you mean 'fusion'"),
        ("training.learning_rate=-1,0.1", "must be above 0"),
        ("fusion.widht=3,4", "did you mean 'width'"),
        ("fusion=sun,sum", "did you mean 'sum'"),
        ("init=nothere,none", "not a bundle"),
        ("modalities=[txt],[text]", "did you mean 'text'"),
        ("modalities.text.encoder={use: lstm, widht: 3},lstm", "did you mean 'width'"),
    ],
)
def test_a_value_that_is_wrong_is_not_blamed_on_the_file(base, text, message) -> None:
    first = {parse(text).key: parse(text).values[0]}
    with pytest.raises(TuwenError) as caught:
        run_of(base, variant(base, first))
    where = str(caught.value.where)
    assert message in str(caught.value) and where.removeprefix(f"{base.path}:").endswith(f"--vary {text}"), where


def test_what_a_variant_keeps_of_the_run_stands_where_it_stood(base) -> None:
    picked = run_of(base, made(base, "modalities=[text]"))
    assert picked.where("modalities") == "--vary modalities=[text]"
    assert picked.where("modalities", "text", "encoder") == base.run.where("modalities", "text", "encoder")
    assert picked.where("training") == base.run.where("training")
