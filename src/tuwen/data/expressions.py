"""Parse a condition of a run file into a tree of literals, columns and calls. Only expressions of SQL are allowed.

No table, subquery, statement or comment can be written, so a run file of somebody else reads no file and asks no
address. Length, words and depth are limited before anything is parsed. :mod:`tuwen.data.predicates` evaluates the tree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from tuwen.errors import ConfigError, did_you_mean

CHARACTERS, TOKENS, DEPTH = 20_000, 4_000, 32  # of one condition
EXAMPLE = (
    """a condition, as in: rating >= 4, kind IN ('purchase', 'cart') AND NOT value IS NULL, or "items.brand" = 'x'"""
)
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_SAME = {"==": "=", "<>": "!="}
TYPES = {
    "integer": ("int", "integer", "bigint", "smallint"),
    "number": ("float", "double", "real", "decimal", "numeric"),
    "text": ("text", "varchar", "char", "string"),
    "boolean": ("boolean", "bool"),
    "date": ("date",),
    "timestamp": ("timestamp", "datetime"),
}
PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
FUNCTIONS: dict[str, tuple[int, int]] = {  # name → fewest and most arguments
    **dict.fromkeys(("lower", "upper", "trim", "ltrim", "rtrim", "abs", "floor", "ceil", "sign"), (1, 1)),
    **dict.fromkeys(("length", "array_length"), (1, 1)),
    **dict.fromkeys(PARTS, (1, 1)),
    **dict.fromkeys(("left", "right", "starts_with", "ends_with", "array_contains", "mod", "nullif"), (2, 2)),
    "round": (1, 2),
    "substr": (2, 3),
    "replace": (3, 3),
    **dict.fromkeys(("coalesce", "concat", "greatest", "least"), (1, 20)),
}
_ALIASES = {"len": "length", "char_length": "length", "ceiling": "ceil", "substring": "substr", "ifnull": "coalesce"}
_WORDS = """and or not in is between like ilike null true false case when then else end select from where with union
insert update delete drop create table order group having limit join as distinct exists any all"""
_RESERVED = frozenset(_WORDS.split())
_TOKEN = re.compile(
    r"\s*+(?:(?P<number>(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)|(?P<text>'(?:[^']++|'')*+')"
    r"|(?P<quoted>\"(?:[^\"]++|\"\")++\"|`[^`]++`)|(?P<word>[^\W\d]\w*+)"
    r"|(?P<sign><=|>=|<>|!=|==|\|\||::|--|/\*|[-+*/%(),.<>=])|(?P<end>\Z))"
)


class Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def lower(self) -> str:
        """Return the token in lower case. Empty for a quoted text."""
        return self.text.lower() if self.kind in ("word", "sign") else ""


@dataclass(frozen=True)
class Literal:
    """A value as it is written. ``kind`` is ``date`` or ``timestamp`` where that word stands before a text."""

    value: bool | int | float | str | None
    kind: str = ""
    height: int = 1


@dataclass(frozen=True)
class Column:
    name: str
    height: int = 1


@dataclass(frozen=True)
class Call:
    """A function or an operator, by its name in lower case, and what it is applied to."""

    name: str
    arguments: tuple[Node, ...]
    height: int


Node = Literal | Column | Call


def parse(text: str) -> Node:
    """Return the tree of a condition.

    Raises:
        ConfigError: it is not one, or it is too long or too deep; names the character.
    """
    return _Parser(text).whole()


def columns(node: Node) -> list[str]:
    """Return the columns of a condition, each once, in order."""
    names: dict[str, None] = {}
    waiting: list[Node] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Column):
            names[part.name] = None
        elif isinstance(part, Call):
            waiting += reversed(part.arguments)
    return list(names)


def _tokens(text: str) -> list[Token]:
    if len(text) > CHARACTERS:
        _refuse("this condition is too long", f"{len(text):,} characters", f"up to {CHARACTERS:,} characters")
    tokens: list[Token] = []
    position = depth = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].lstrip()
            _refuse("this is not a condition", _position_text(rest[:1], len(text) - len(rest), text))
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], match.start(kind)))
        position = match.end()
        depth += {"(": 1, ")": -1}.get(tokens[-1].lower, 0)
        if depth > DEPTH:
            _too_deep(tokens[-1].position)
        if len(tokens) > TOKENS:
            _refuse("this condition is too long", f"more than {TOKENS:,} words and signs")
    return tokens


def _refuse(what: str, seen: str, allowed: str = EXAMPLE, todo: str | None = None) -> NoReturn:
    raise ConfigError(what, seen=seen, allowed=allowed, todo=todo)


def _too_deep(position: int) -> NoReturn:
    _refuse("this condition is nested too deeply", f"character {position + 1}", f"up to {DEPTH} levels")


def _position_text(token: str, position: int, text: str) -> str:
    excerpt = text if len(text) <= 80 else f"{text[:80]}…"
    return f"{token[:40]!r} at character {position + 1} of: {excerpt}" if token else f"the end of: {excerpt}"


class _Parser:
    """Recursive descent, one method a level of precedence: OR, AND, NOT, comparisons, sums, products, signs, casts."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, _tokens(text), 0, 0

    def whole(self) -> Node:
        node = self.disjunction()
        if self.next.kind != "end":
            self.unexpected()
        return node

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *words: str) -> str:
        """Read the next words if they match. Otherwise read nothing and return an empty text."""
        following = [token.lower for token in self.tokens[self.at : self.at + len(words)]]
        if following != list(words):
            return ""
        self.at += len(words)
        return words[-1]

    def expect(self, word: str) -> None:
        if not self.accept(word):
            self.unexpected(f"'{word.upper()}'")

    def unexpected(self, allowed: str = EXAMPLE) -> NoReturn:
        token = self.next
        _refuse("this is not a condition", _position_text(token.text, token.position, self.text), allowed)

    def call(self, name: str, *arguments: Node) -> Call:
        height = 1 + max(argument.height for argument in arguments)
        if height > DEPTH:
            _too_deep(self.next.position)
        return Call(name, arguments, height)

    # --- Levels of precedence -------------------------------------------------------------------------------------

    def disjunction(self) -> Node:
        self.depth += 1
        if self.depth > DEPTH:
            _too_deep(self.next.position)
        node = self.chain("or", self.conjunction)
        self.depth -= 1
        return node

    def conjunction(self) -> Node:
        return self.chain("and", self.negation)

    def chain(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self.accept(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else self.call(word, *parts)

    def negation(self) -> Node:
        times = 0
        while self.accept("not"):
            times += 1
        node = self.comparison()
        for _ in range(times):
            node = self.call("not", node)
        return node

    def comparison(self) -> Node:
        node = self.sum()
        while True:
            sign = _SAME.get(self.next.lower, self.next.lower)
            if sign in COMPARISONS:
                self.take()
                node = self.call(sign, node, self.sum())
            elif self.accept("is"):
                node = self.identity(node)
            elif self.next.lower in ("not", "in", "between", "like", "ilike"):
                negated = bool(self.accept("not"))
                node = self.membership(node)
                node = self.call("not", node) if negated else node
            else:
                return node

    def identity(self, node: Node) -> Node:
        negated = bool(self.accept("not"))
        if self.accept("distinct", "from"):
            node = self.call("is", node, self.sum())
            return node if negated else self.call("not", node)
        word = self.next.lower
        if word not in ("null", "true", "false"):
            self.unexpected("NULL, TRUE, FALSE, DISTINCT FROM")
        self.take()
        node = self.call("is null", node) if word == "null" else self.call("=", node, Literal(word == "true"))
        return self.call("not", node) if negated else node

    def membership(self, node: Node) -> Node:
        if self.accept("between"):
            low = self.sum()
            self.expect("and")
            return self.call("and", self.call(">=", node, low), self.call("<=", node, self.sum()))
        if self.accept("in"):
            self.expect("(")
            return self.call("in", node, *self.arguments())
        if word := self.accept("like") or self.accept("ilike"):
            pattern = self.sum()
            if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
                _refuse(
                    "LIKE takes a text in quotes",
                    _position_text(word, self.next.position, self.text),
                    "'Nike%', '%red%'",
                )
            return self.call(word, node, pattern)
        self.unexpected("IN, BETWEEN, LIKE, ILIKE")

    def sum(self) -> Node:
        node = self.product()
        while self.next.lower in ("+", "-"):
            node = self.call(self.take().text, node, self.product())
        return node

    def product(self) -> Node:
        node = self.signed()
        while self.next.lower in ("*", "/", "%", "||"):
            node = self.call(self.take().text, node, self.signed())
        return node

    def signed(self) -> Node:
        signs = 0
        negative = False
        while self.next.lower in ("-", "+"):
            negative ^= self.take().text == "-"
            signs += 1
            if signs > DEPTH:
                _too_deep(self.next.position)
        node = self.primary()
        while self.accept("::"):
            node = self.cast(node)
        if negative and isinstance(node, Literal) and type(node.value) in (int, float):
            return Literal(-node.value)  # type: ignore[operator]
        return self.call("negative", node) if negative else node

    # --- Values ---------------------------------------------------------------------------------------------------

    def primary(self) -> Node:
        token = self.next
        if self.accept("("):
            node = self.disjunction()
            self.expect(")")
            return node
        if token.kind == "number":
            return self.number()
        if token.kind == "text":
            self.take()
            return Literal(token.text[1:-1].replace("''", "'"))
        if token.kind == "quoted" or (token.kind == "word" and token.lower not in _RESERVED):
            return self.named()
        if self.accept("case"):
            return self.case()
        if token.lower in ("null", "true", "false"):
            self.take()
            return Literal(None if token.lower == "null" else token.lower == "true")
        self.unexpected()

    def number(self) -> Node:
        token = self.take()
        value: int | float = int(token.text) if token.text.isdecimal() and len(token.text) <= 18 else float(token.text)
        if not math.isfinite(value):
            _refuse("this number is too large", _position_text(token.text, token.position, self.text))
        return Literal(value)

    def named(self) -> Node:
        """Read a function, a date, a cast or a column."""
        token = self.take()
        word, following = token.lower, self.next
        if word in ("date", "timestamp") and following.kind == "text":
            return Literal(self.take().text[1:-1], word)
        if following.lower == "(" and token.kind == "word":
            return self.function(token)
        name = _unquoted(token)
        if self.accept("."):
            if self.next.kind not in ("word", "quoted"):
                self.unexpected("the name of a column")
            name += f".{_unquoted(self.take())}"
        return Column(name)

    def function(self, token: Token) -> Node:
        self.take()  # the bracket
        if token.lower == "cast":
            node = self.disjunction()
            self.expect("as")
            node = self.cast(node)
            self.expect(")")
            return node
        if token.lower == "extract":
            part = self.take().lower
            self.expect("from")
            node = self.call(self.function_name(token._replace(text=part), PARTS), self.disjunction())
            self.expect(")")
            return node
        name = self.function_name(token, FUNCTIONS)
        arguments = () if self.accept(")") else tuple(self.arguments())
        fewest, most = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            _refuse(f"the function {name} takes other arguments", f"{len(arguments)}", f"{count} of them")
        return self.call(name, *arguments)

    def function_name(self, token: Token, names: tuple[str, ...] | dict[str, tuple[int, int]]) -> str:
        name = _ALIASES.get(token.lower, token.lower)
        if name not in names:
            seen = _position_text(token.text, token.position, self.text)
            _refuse("a condition has no such function", seen, ", ".join(sorted(names)), did_you_mean(name, names))
        return name

    def arguments(self) -> Iterator[Node]:
        """Read expressions separated by commas, at least one, and the closing bracket."""
        yield self.disjunction()
        while self.accept(","):
            yield self.disjunction()
        self.expect(")")

    def cast(self, node: Node) -> Node:
        word = self.next.lower
        kind = next((kind for kind, names in TYPES.items() if word in names), None)
        if kind is None:
            self.unexpected(", ".join(TYPES))
        self.take()
        return self.call(f"cast {kind}", node)

    def case(self) -> Node:
        subject = None if self.next.lower == "when" else self.disjunction()
        node_parts: list[Node] = []
        while self.accept("when"):
            condition = self.disjunction()
            self.expect("then")
            node_parts += [condition if subject is None else self.call("=", subject, condition), self.disjunction()]
            if len(node_parts) > 2 * DEPTH:
                _too_deep(self.next.position)
        if not node_parts:
            self.unexpected("WHEN")
        node_parts.append(self.disjunction() if self.accept("else") else Literal(None))
        self.expect("end")
        return self.call("case", *node_parts)


def _unquoted(token: Token) -> str:
    return token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')
