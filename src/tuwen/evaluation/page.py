"""What every page is made of: it opens offline, in English and Chinese, on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from tuwen.evaluation.figures import Figure
from tuwen.evaluation.words import WORDS, Text


def page(template: str, context: Mapping[str, Any], charts: Mapping[str, Figure]) -> str:
    """A template of ``templates/`` filled in: HTML that loads nothing from anywhere, plotly.js is inside.

    Args:
        context: what the template reads beside ``t`` (the words for a key), ``say`` (a text in both languages),
            ``charts`` and ``plotly``.
        charts: key → figure, for each ``chart(key, …)`` of the template.
    """
    from plotly.offline import get_plotlyjs

    plotly = Markup(get_plotlyjs())  # noqa: S704  # the wheel's own file, put into a script element
    return _environment().get_template(template).render(**context, charts=charts, plotly=plotly)


@cache
def _environment() -> Environment:
    """It compiles a template once."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(t=words_of, say=both)
    return environment


def both(text: Text) -> Markup:
    """Both languages as elements of which the page shows one."""
    if text[0] == text[1]:
        return Markup("{}").format(text[0])
    return Markup('<span class="t" lang="en">{}</span><span class="t" lang="zh">{}</span>').format(*text)


def words_of(key: str, **values: Any) -> Markup:
    """The words for ``key`` with ``values`` put in; a value may itself be a text in both languages."""
    sides = []
    for i in (0, 1):
        chosen = {name: value[i] if isinstance(value, tuple) else value for name, value in values.items()}
        sides.append(WORDS[key][i].format(**chosen))
    return both((sides[0], sides[1]))


def chart(charts: dict[str, Figure], key: str, figure: Figure) -> str:
    """Put a figure on the page; returns its key."""
    charts[key] = figure
    return key


def spelt(value: Any) -> str:
    """A plain value on one line: ``train 800, test 200``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {spelt(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(spelt, value))
    return "–" if value is None else str(value)
