"""Write docs/options.md: every key of SHOP.yaml and RUN.yaml, from the code that reads them."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.config import (
    Comparison,
    Evaluation,
    Export,
    Media,
    ModalitySpec,
    RankRun,
    Rows,
    Run,
    SearchRun,
    ShapeLimits,
    Shop,
    SoundLimits,
    Stacking,
    TableSource,
    Training,
)
from tuwen.config.rank import Events, ListRules, PerUser, RandomShare, RankEvaluation, RankTask, RankWindows, Rolling
from tuwen.config.search import PhotoTask, SearchEvaluation, SearchIndex, SearchTask
from tuwen.data import SPLITS
from tuwen.models import ENCODERS, FUSIONS, GENERATORS, RATERS, TASKS
from tuwen.preprocess import MODALITIES
from tuwen.registry import Registry, signature_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"
HEAD = """\
# Options

Every key of the YAML files. `make docs` writes this page from the code; a test fails when it is stale.
`tuwen check RUN.yaml` shows a run completed with its defaults, `--set training.epochs=3` changes one for one command.

"""
RUN_PARTS = (
    ("rows", Rows),
    ("modalities.NAME", ModalitySpec),
    ("training", Training),
    ("stacking", Stacking),
    ("evaluation", Evaluation),
    ("export", Export),
)
RANK_PARTS = (
    ("task", RankTask),
    ("events", Events),
    ("windows", RankWindows),
    ("rules", ListRules),
    ("split: rolling", Rolling),
    ("split: per-user", PerUser),
    ("split: random", RandomShare),
    ("evaluation", RankEvaluation),
)
SEARCH_PARTS = (
    ("task: search", SearchTask),
    ("task: photo-search", PhotoTask),
    ("index", SearchIndex),
    ("evaluation", SearchEvaluation),
)
RANK_KINDS = (("Retrievers", "retrievers.NAME", RETRIEVERS), ("Rankers", "ranker", RANKERS))
# what means the same in every component
WORDS = {
    "adapter": "numbers that come out of a small perceptron behind the vectors; 0: none",
    "activation": "σ: relu, gelu, tanh or none",
    "class_weights": "balanced: every class weighs the same in the loss",
    "dropout": "share of numbers set to zero while training",
    "embedding": "numbers that stand for one word or category",
    "frozen": "true: its vectors are made once and cached; false: it is trained on",
    "lora": "rank of low-rank updates, trained in place of the weights (`frozen: false`); 0: the weights themselves",
    "precision": "of the frozen network",
    "size": "what the frozen vectors are multiplied with after standardising",
    "target": "TABLE.COLUMN of truth",
    "test": "share of the rows",
    "train_layers": "how many of the upper blocks are trained on; default all, and the word embeddings",
    "validation": "share of the rows",
    "width": "numbers that come out",
    "word_dropout": "share of words hidden while training",
}
KINDS = (
    ("Modalities", "modalities.NAME", MODALITIES),
    ("Encoders", "modalities.NAME.encoder", ENCODERS),
    ("Fusions", "fusion", FUSIONS),
    ("Generators", "gan", GENERATORS),
    ("Tasks", "task", TASKS),
    ("Raters", "raters.NAME", RATERS),
    ("Splits", "split", SPLITS),
)


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## RUN.yaml\n\n", _model(Run)]
    parts += [f"### {name}\n\n{_model(model)}" for name, model in RUN_PARTS]
    for title, place, registry in KINDS:
        parts.append(f"## {title}\n\nIn RUN.yaml: `{place}: {{use: NAME, OPTION: VALUE}}`, or the bare name.\n\n")
        parts += [_component(registry, name) for name in registry.entries()]
    parts += ["## RUN.yaml of the task rank\n\n", _model(RankRun)]
    parts += [f"### {name}\n\n{_model(model)}" for name, model in RANK_PARTS]
    for title, place, registry in RANK_KINDS:
        parts.append(f"## {title}\n\nIn RUN.yaml: `{place}: {{use: NAME, OPTION: VALUE}}`, or the bare name.\n\n")
        parts += [_component(registry, name) for name in registry.entries()]
    parts += ["## RUN.yaml of the tasks search and photo-search\n\n", _model(SearchRun)]
    parts += [f"### {name}\n\n{_model(model)}" for name, model in SEARCH_PARTS]
    parts += ["## SHOP.yaml\n\n", _model(Shop)]
    parts += [f"### items, users, reviews, events\n\n{_model(TableSource)}", f"### media\n\n{_model(Media)}"]
    parts += [f"### media.sound\n\n{_model(SoundLimits)}", f"### media.shape\n\n{_model(ShapeLimits)}"]
    parts += ["## Comparison\n\n", _model(Comparison)]
    return "".join(parts).rstrip() + "\n"


def _component(registry: Registry, name: str) -> str:
    component = registry.load(name)
    prose, told = _docstring(component)
    model = signature_model(component)
    shares = {name for name in ("test", "validation") if name in model.model_fields}
    known = {name: said for name, said in WORDS.items() if name not in shares or _is_share(model, name)}
    rows = _rows(model, known | told)
    return f"### {name}\n\n{registry.entries()[name][1]}\n\n{prose}\n\n{rows}"


def _is_share(model: type[BaseModel], name: str) -> bool:
    return model.model_fields[name].annotation is float


def _model(model: type[BaseModel]) -> str:
    prose, told = _docstring(model)
    return f"{prose}\n\n{_rows(model, told)}"


def _rows(model: type[BaseModel], told: dict[str, str]) -> str:
    if not model.model_fields:
        return ""
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        bounds = ", ".join(filter(None, map(_bound, field.metadata)))
        kind = _cell(_kind(field.annotation)) + (f" ({bounds})" if bounds else "")
        lines.append(f"| `{name}` | {kind} | {_default(field)} | {_cell(field.description or told.get(name, ''))} |")
    return "\n".join(lines) + "\n\n"


def _kind(annotation: Any) -> str:
    if inspect.isclass(annotation) and not getattr(annotation, "__args__", None):
        return "section" if issubclass(annotation, BaseModel) else annotation.__name__
    text = re.sub(r"\b(?:typing|tuwen(?:\.\w+)+|pydantic(?:\.\w+)+)\.", "", str(annotation))
    text = re.sub(r"Annotated\[(\w+), FieldInfo\(.*?\)\]\)\]", r"\1", text)
    text = re.sub(r"Annotated\[(\w+), AfterValidator\(.*?\)\]", r"\1", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda found: found.group(1).replace("'", "").replace(", ", " / "), text)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", text)
    text = re.sub(r"Union\[(.*)\]$", lambda found: found.group(1).replace(", ", " | ", 1), text)
    text = re.sub(
        r"\b(?:TableSource|ModalitySpec|Media|Component|Rows|Training|Stacking|Evaluation)\b", "section", text
    )
    return text.replace(" | None", " or nothing").replace(" | ", " or ")


def _bound(constraint: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}
    return ", ".join(
        f"{sign} {getattr(constraint, name)}"
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    )


def _default(field: Any) -> str:
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value == {}:
        return ""
    if isinstance(value, BaseModel):
        return f"`{value.use}`" if hasattr(value, "use") else ""
    if isinstance(value, dict):
        return ", ".join(f"`{name}`" for name in value)
    return _cell(f"`{str(value).lower() if isinstance(value, bool) else value}`") if value != "" else ""


def _docstring(component: Any) -> tuple[str, dict[str, str]]:
    """(the prose, argument → what is said of it under ``Args:``)."""
    text = inspect.getdoc(component) or ""
    prose, _, arguments = text.partition("\nArgs:\n")
    prose = re.split(r"\n(?:Attributes|Raises|Returns):\n", prose)[0]
    prose = re.sub(r":\w+:`[~.]?(?:[\w.]+\.)?(\w+)`", r"`\1`", prose)
    told: dict[str, str] = {}
    for line in re.split(r"\n(?=    \w)", f"\n{arguments}"):
        names, colon, said = line.strip().partition(":")
        if colon:
            told |= {name.strip(): " ".join(said.split()) for name in names.split(",")}
    return " ".join(prose.replace("``", "`").split()), told


def _cell(text: str) -> str:
    text = re.sub(r":\w+:`[~.]?(?:[\w.]+\.)?(\w+)`", r"`\1`", text.replace("``", "`"))
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
