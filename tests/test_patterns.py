"""Every regular expression of tuwen reads its text in time that grows with the text, not with its square."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tuwen
from growth import ALLOWED, METHODS, worst
from tuwen import unicode
from tuwen.preprocess import colours
from tuwen.service.chinese import TEXTS
from tuwen.service.language import parts_of

SOURCE = Path(tuwen.__file__).parent
FUNCTIONS = {*METHODS, "compile"}


def _quoted_record() -> re.Pattern[Any]:
    cell = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n,][^\r\n,]*+|)'  # with a comma
    return re.compile(cell + rb"(?:," + cell + rb")*+(?=[\r\n]|\Z)")


# what puts a pattern together out of more than names of its module: file → the patterns
BUILT: dict[str, Callable[[], Sequence[tuple[re.Pattern[Any], str]]]] = {
    "data/ragged.py": lambda: [(_quoted_record(), "match")],
    "data/references.py": lambda: [(re.compile("[,;]"), "split")],
    "preprocess/colours.py": lambda: [(colours._pattern(), "search")],
    "unicode.py": lambda: [(pattern, "sub") for pattern in unicode._patterns()],
}
OLD = {  # what stood here before, each cubic or quadratic
    "a condition": (r"\s*([^=!<>]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL, "fullmatch"),
    "a colour": (r'"?(?:[\w ]*colou?r[\w ]*|颜色)"?\s*[:：=]\s*"?([^",|;，；}]+)', re.IGNORECASE, "search"),
    "hidden HTML": (r"<(script|style)\b[^>]{0,1000}>.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE, "sub"),
    "references": (r"\s*[|;\n]\s*", 0, "split"),
}


class Use(NamedTuple):
    """A pattern, where it stands, and what is done with it."""

    location: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def _calls(tree: ast.AST) -> list[ast.Call]:
    """The calls of ``re.compile``, ``re.sub``, …"""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in FUNCTIONS
    ]


def _methods(texts: Iterable[str]) -> dict[str, set[str]]:
    """name → what the source tree does with what has this name."""
    methods: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for call in re.finditer(rf"\.({'|'.join(METHODS)})\(", text):
            if name := re.search(r"\w+\Z", text[max(0, call.start() - 60) : call.start()]):
                methods[name[0]].add(call[1])
    return methods


def _value(node: ast.expr, module: str) -> Any:
    """An argument: a literal, or an expression over names of its module."""
    code = compile(ast.Expression(node), module, "eval")
    try:
        return eval(code, {"re": re, "__builtins__": {}})
    except NameError:  # the module is imported for its own names alone: some load torch
        return eval(code, vars(importlib.import_module(module)))


def uses() -> list[Use]:
    """Every pattern of the source tree.

    Raises:
        AssertionError: one that a function puts together stands in a file that :data:`BUILT` does not name.
    """
    files = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    methods = _methods(files.values())
    result: list[Use] = []
    for path, text in files.items():
        if not re.search(r"\bre\.", text):
            continue
        relative = path.relative_to(SOURCE).as_posix()
        module = "tuwen." + relative.removesuffix(".py").replace("/", ".")
        tree = ast.parse(text)
        names = {
            id(node.value): target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        built = False
        for call in _calls(tree):
            assert isinstance(call.func, ast.Attribute)
            method = call.func.attr
            flags = [word.value for word in call.keywords if word.arg == "flags"]
            at = {"sub": 4, "split": 3}.get(method, 2 if method != "compile" else 1)
            flags += call.args[at : at + 1]
            try:
                pattern = re.compile(_value(call.args[0], module), _value(flags[0], module) if flags else 0)
            except (NameError, TypeError):
                built = True
                continue
            used = methods.get(names.get(id(call), ""), {"search"}) if method == "compile" else {method}
            result.append(Use(f"{relative}:{call.lineno}", pattern, tuple(sorted(used))))
        assert built == (relative in BUILT), f"{relative}: name what its functions put together in BUILT"
        result += [Use(relative, pattern, (method,)) for pattern, method in BUILT.get(relative, list)()]
    return result


def test_every_pattern_reads_its_text_in_linear_time() -> None:
    slow: list[str] = []
    everything = uses()
    assert len(everything) > 50
    for use in everything:
        for method in use.methods:
            exponent, shape = worst(use.pattern, method)
            if exponent > ALLOWED:
                slow.append(f"{use.location}: {method} takes n^{exponent:.1f} on {shape}: {use.pattern.pattern!r}")
    assert not slow, "\n".join(slow)


@pytest.mark.parametrize("name", OLD)
def test_the_old_patterns_are_named(name: str) -> None:
    pattern, flags, method = OLD[name]
    exponent, shape = worst(re.compile(pattern, flags), method)
    assert exponent > ALLOWED and shape


def _imports(line: str) -> list[ast.stmt]:
    """The import of a line, if it is one by itself."""
    try:
        return ast.parse(line).body
    except SyntaxError:  # words, or the beginning of an import in brackets
        return ast.parse(f"{line}\n    name)").body if re.match(r"from \S+ import \($", line) else []


def test_no_pattern_goes_by_another_name() -> None:
    """``from re import …`` and other engines would hide patterns from this test; polars and pydantic use Rust's
    engine, which is linear.
    """
    for path in SOURCE.rglob("*.py"):
        imports = [line for line in path.read_text(encoding="utf-8").splitlines() if "import" in line]
        for node in (node for line in imports for node in _imports(line.strip())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("re", "difflib") or path.name == "errors.py", path
            elif isinstance(node, ast.Import):
                for name in node.names:
                    assert name.name not in ("regex", "re2", "fnmatch", "difflib"), path
                    assert name.name != "re" or name.asname is None, path


@given(st.data(), st.sampled_from(sorted(text for text in TEXTS if "{0}" in text)))
def test_the_parts_of_a_template_are_those_of_the_pattern_it_was(data: st.DataObject, template: str) -> None:
    words = re.split(r"\{\d\}", template)
    pattern = re.compile("(.*?)".join(map(re.escape, words)), re.DOTALL)
    pieces = st.lists(st.sampled_from([*words, "", "a", "\n", "'"]), max_size=3).map("".join)
    drawn = data.draw(st.lists(pieces, min_size=len(words) - 1, max_size=len(words) - 1))
    text = "".join(word + part for word, part in zip(words, [*drawn, ""], strict=True))
    for shape in (text, text[1:], text[:-1]):
        match = pattern.fullmatch(shape)
        assert parts_of(template, shape) == (None if match is None else list(match.groups()))
