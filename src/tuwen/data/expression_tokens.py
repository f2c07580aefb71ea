"""The words and signs of a condition. What a person may write instead of one is refused, with what to write."""

from __future__ import annotations

import math
import re
from typing import NamedTuple, NoReturn

from tuwen.errors import ConfigError
from tuwen.unicode import nfkc

CHARACTERS, TOKENS, DEPTH = 20_000, 4_000, 32  # of one condition
EXAMPLE = (
    """a condition, as in: rating >= 4, kind IN ('purchase', 'cart') AND NOT value IS NULL, or "items.brand" = 'x'"""
)
LARGEST = 2**63 - 1  # a whole number beyond it would be rounded
_TOKEN = re.compile(
    r"\s*+(?:(?P<number>(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)|(?P<text>'(?:[^']++|'')*+')"
    r"|(?P<quoted>\"(?:[^\"]++|\"\")++\"|`[^`]++`)|(?P<word>[^\W\d]\w*+)"
    r"|(?P<sign><=|>=|<>|!=|==|\|\||::|--|/\*|[-+*/%(),.<>=])|(?P<end>\Z))"
)
_FOREIGN = re.compile(r"\s*+(?:===|!==|=>|=<|&&|\*\*|//|=~|(?!!=)[^\w\s'\"`+*/%(),.<>=:|-])")
_NARROW = frozenset("+-*/%(),.<>='\"")  # what a wide sign may stand for
_LETTERS = re.compile(r"\w++")
_DATE = re.compile(r"[0-9]{4}([-/])[0-9]{1,2}\1[0-9]{1,2}(?![\w.])", re.ASCII)
_THOUSANDS = re.compile(r"([0-9]{1,3}),\Z", re.ASCII)
_BASES = re.compile(r"0(?:[xX][0-9a-fA-F]{1,15}|[oO][0-7]{1,15}|[bB][01]{1,60})", re.ASCII)
_SIGNS = {  # what stands for a sign of SQL elsewhere → that sign
    **{"===": "=", "!==": "!=", "=>": ">=", "=<": "<=", "&&": "AND", "&": "AND", "|": "OR", "!": "NOT"},
    **{"≠": "!=", "≥": ">=", "≤": "<=", "⩾": ">=", "⩽": "<=", "≧": ">=", "≦": "<=", "=~": "LIKE", "~": "LIKE"},
    **{"−": "-", "–": "-", "—": "-", "×": "*", "÷": "/", "∙": "*", "·": "*", "//": "floor(a / b)"},
    **{"**": "a * a", "^": "a * a", "、": ","},
    **{"“": "'", "”": "'", "‘": "'", "’": "'", "„": "'", "‚": "'", "«": "'", "»": "'", "´": "'"},
    **{"「": "'", "」": "'", "『": "'", "』": "'", "《": "'", "》": "'", "【": "(", "】": ")", "[": "(", "]": ")"},
    **{"{": "(", "}": ")"},
}
WORDS = {"且": "AND", "并且": "AND", "和": "AND", "或": "OR", "或者": "OR", "非": "NOT", "不": "NOT"}


class Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def lower(self) -> str:
        """Return the token in lower case. Empty for a quoted text."""
        return self.text.lower() if self.kind in ("word", "sign") else ""

    @property
    def name(self) -> str:
        """Return a name without its quotes."""
        return self.text if self.kind == "word" else self.text[1:-1].replace('""', '"')


def tokens_of(text: str) -> list[Token]:
    """Return the words and signs of a condition, and its end.

    Raises:
        ConfigError: it is too long, its brackets are nested too deeply, or a sign is none of a condition.
    """
    if len(text) > CHARACTERS:
        refuse("this condition is too long", f"{len(text):,} characters", f"up to {CHARACTERS:,} characters")
    tokens: list[Token] = []
    position = depth = 0
    while not tokens or tokens[-1].kind != "end":
        match = None if _FOREIGN.match(text, position) else _TOKEN.match(text, position)
        if match is None:
            _refuse_sign(text, position)
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], match.start(kind)))
        position = match.end()
        if kind == "number":
            _check_number(text, tokens[-1])
        depth += {"(": 1, ")": -1}.get(tokens[-1].lower, 0)
        if depth > DEPTH:
            too_deep(tokens[-1].position)
        if len(tokens) > TOKENS:
            refuse("this condition is too long", f"more than {TOKENS:,} words and signs")
    return tokens


def number_of(token: Token, text: str) -> int | float:
    """Return the value of a number in the condition ``text``.

    Raises:
        ConfigError: it is too large, or begins with a 0 that says nothing.
    """
    digits = nfkc(token.text)
    seen = position_text(token.text, token.position, text)
    if digits[0] == "0" and digits[1:2].isdecimal():
        plain = digits.lstrip("0")
        plain = plain if plain[:1].isdecimal() else f"0{plain}"
        thousands = _THOUSANDS.search(text[max(0, token.position - 4) : token.position])
        if thousands and len(digits) == 3:
            todo = f"write {thousands[1]}{digits}, without a comma; or {thousands[1]}, {plain}, if these are two"
        else:
            todo = f"write {plain}; or '{digits}' in quotes, where it is a text"
        refuse("a number does not begin with 0", seen, todo=todo)
    value: int | float = int(digits) if digits.isdecimal() and len(digits) < 20 else float(digits)
    if not math.isfinite(value) or (digits.isdecimal() and value > LARGEST):
        refuse("this number is too large", seen, f"whole numbers up to {LARGEST}, others up to 1.7e308")
    return value


def refuse(what: str, seen: str, allowed: str = EXAMPLE, todo: str | None = None) -> NoReturn:
    """Raises:
    ConfigError: with these fields.
    """
    raise ConfigError(what, seen=seen, allowed=allowed, todo=todo)


def too_deep(position: int) -> NoReturn:
    refuse("this condition is nested too deeply", f"character {position + 1}", f"up to {DEPTH} levels")


def position_text(token: str, position: int, text: str) -> str:
    """Return a token and where it stands, for a message."""
    excerpt = text if len(text) <= 80 else f"{text[:80]}…"
    return f"{token[:40]!r} at character {position + 1} of: {excerpt}" if token else f"the end of: {excerpt}"


def _check_number(text: str, token: Token) -> None:
    """Refuse a date without quotes, and letters and underscores that touch a number: 1_000, 0x10, 5k.

    Raises:
        ConfigError: it is one of these.
    """
    if (date := _DATE.match(text, token.position)) is not None:
        seen = position_text(date[0], token.position, text)
        year, month, day = re.split("[-/]", date[0])
        refuse("a date stands in single quotes", seen, todo=f"write '{year}-{month:0>2}-{day:0>2}'")
    letters = _LETTERS.match(text, token.position + len(token.text))
    if letters is None:
        return
    whole = token.text + letters[0]
    plain = whole.replace("_", "") if "." not in token.text else ""
    if plain.isdecimal():
        todo = f"write {plain}"
    elif _BASES.fullmatch(whole):
        todo = f"write {int(whole, 0)}"
    else:
        todo = f"write the number alone, in digits: {token.text[:40]}"
    refuse("letters and underscores do not belong in a number", position_text(whole, token.position, text), todo=todo)


def _refuse_sign(text: str, position: int) -> NoReturn:
    """Raises:
    ConfigError: names the sign, and what to write instead.
    """
    foreign = _FOREIGN.match(text, position)
    rest = text[position:].lstrip()
    sign = foreign[0].lstrip() if foreign else rest[:1]
    narrow = nfkc(sign).strip()
    instead = _SIGNS.get(sign) or _SIGNS.get(narrow) or narrow
    if instead == "NOT" and nfkc(rest[1:9]).lstrip()[:1] == "=":
        instead = "!="
    seen = position_text(sign, len(text) - len(rest), text)
    if sign in ("'", '"', "`"):
        refuse("a text or a name has no end", seen, todo=f"close it with {sign}; a ' in a text is written twice: ''")
    if not sign.isprintable() or not narrow:
        refuse("this sign cannot be seen", f"U+{ord(sign[:1] or ' '):04X}, {seen}", todo="delete it")
    if narrow in "$¥€£":
        todo = "write the number alone, without a currency"
    elif narrow in ";#。？?":
        todo = "delete it"
    elif instead == sign or (instead == narrow and narrow not in _NARROW):
        todo = None
    else:
        todo = f"write {instead} instead of {sign}"
    refuse("this sign is none of a condition", seen, todo=todo)
