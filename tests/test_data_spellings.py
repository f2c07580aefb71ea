"""Names that a person takes for one are named together."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shops import Desk
from tuwen.data.spellings import spelling_warnings, spellings


@given(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8))
def test_a_name_with_blanks_or_in_another_width_is_the_same(name: str) -> None:
    wide = "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in name)
    names = {name, f" {name}", f"{name}\u3000", wide}
    assert spellings(names) == [sorted(names)]


def test_names_that_differ_otherwise_are_several() -> None:
    assert spellings(["Hats", "Hat", "H ats", "帽子"]) == []
    assert spelling_warnings("items.category", ["Hats", "Hat"]) == []


def test_a_long_list_is_cut() -> None:
    names = [form for number in range(5) for form in (f"a{number}", f"A{number}")]
    ((english, chinese),) = spelling_warnings("items.brand", names)
    assert "'A0' / 'a0'" in english and "(5 in all)" in english and "共 5 组" in chinese


def test_collect_tells_of_categories_and_brands(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("items.csv", "item,category,brand\n1,Lamps,ACME\n2,lamps,Acme\n3,Rugs,Other\n")
    warnings = desk.collect(items={"source": "items.csv"})["warnings"]
    assert [warning.partition(" ")[0] for warning in warnings] == ["'items.category'", "'items.brand'"]
    assert "'Lamps' / 'lamps'" in warnings[0]
