"""Parse a condition of a run file into a tree of literals, columns and calls. Only expressions of SQL are allowed.

No table, subquery, statement or comment can be written, so a run file of somebody else reads no file and asks no
address. Length, words and depth are limited before anything is parsed (:mod:`tuwen.data.expression_tokens`).
:mod:`tuwen.data.predicates` evaluates the tree (:mod:`tuwen.data.expression_tree`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

from tuwen.data.expression_tokens import (
    DEPTH,
    EXAMPLE,
    WORDS,
    Token,
    number_of,
    position_text,
    refuse,
    tokens_of,
    too_deep,
)
from tuwen.data.expression_tree import ALIASES, COMPARISONS, FUNCTIONS, PARTS, TYPES, Call, Column, Literal, Node
from tuwen.errors import did_you_mean

_SAME = {"==": "=", "<>": "!="}
_KEYWORDS = """and or not in is between like ilike null true false case when then else end select from where with union
insert update delete drop create table order group having limit join as distinct exists any all"""
_RESERVED = frozenset(_KEYWORDS.split())


def parse(text: str) -> Node:
    """Return the tree of a condition.

    Raises:
        ConfigError: it is not one, or it is too long or too deep; names the character.
    """
    return _Parser(text).whole()


class _Parser:
    """Recursive descent, one method a level of precedence: OR, AND, NOT, comparisons, sums, products, signs, casts."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.index, self.depth = text, tokens_of(text), 0, 0

    def whole(self) -> Node:
        node = self.disjunction()
        if self.next.kind != "end":
            self.unexpected()
        return node

    @property
    def next(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def accept(self, *words: str) -> str:
        """Read the next words if they match. Otherwise read nothing and return an empty text."""
        following = [token.lower for token in self.tokens[self.index : self.index + len(words)]]
        if following != list(words):
            return ""
        self.index += len(words)
        return words[-1]

    def expect(self, word: str) -> None:
        if not self.accept(word):
            self.unexpected(f"'{word.upper()}'")

    def unexpected(self, allowed: str = EXAMPLE) -> NoReturn:
        token = self.next
        seen = position_text(token.text, token.position, self.text)
        refuse("this is not a condition", seen, allowed, self.advice())

    def advice(self) -> str | None:
        """What was probably meant by the token that does not fit."""
        token = self.next
        if token.text in WORDS:
            return f"write {WORDS[token.text]} instead of {token.text}"
        around = [*self.tokens[max(0, self.index - 1) : self.index + 2]]
        if [each.kind for each in around] == ["number", "sign", "number"] and token.text == ",":
            return f"write {around[0].text}{around[2].text}, without a comma"
        if [each.kind for each in around[:2]] == ["number", "number"] and token.text.isdecimal():
            return f"write {around[0].text}{token.text}, without a space"
        return None

    def call(self, name: str, *arguments: Node) -> Call:
        height = 1 + max(argument.height for argument in arguments)
        if height > DEPTH:
            too_deep(self.next.position)
        return Call(name, arguments, height)

    # --- Levels of precedence -------------------------------------------------------------------------------------

    def disjunction(self) -> Node:
        self.depth += 1
        if self.depth > DEPTH:
            too_deep(self.next.position)
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
                right = self.sum()
                if self.next.kind == "sign" and _SAME.get(self.next.text, self.next.text) in COMPARISONS:
                    seen = position_text(self.next.text, self.next.position, self.text)
                    refuse("a value is compared twice", seen, todo="write a < b AND b < c, or put one into brackets")
                node = self.call(sign, node, right)
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
                refuse(
                    "LIKE takes a text in quotes",
                    position_text(word, self.next.position, self.text),
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
                too_deep(self.next.position)
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
        return Literal(number_of(self.take(), self.text))

    def named(self) -> Node:
        """Read a function, a date, a cast or a column."""
        token = self.take()
        word, following = token.lower, self.next
        if word in ("date", "timestamp") and following.kind == "text":
            return Literal(self.take().text[1:-1], word)
        if following.lower == "(" and token.kind == "word":
            return self.function(token)
        name = token.name
        if self.accept("."):
            if self.next.kind not in ("word", "quoted"):
                self.unexpected("the name of a column")
            name += f".{self.take().name}"
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
            refuse(f"the function {name} takes other arguments", f"{len(arguments)}", f"{count} of them")
        return self.call(name, *arguments)

    def function_name(self, token: Token, names: tuple[str, ...] | dict[str, tuple[int, int]]) -> str:
        name = ALIASES.get(token.lower, token.lower)
        if name not in names:
            seen = position_text(token.text, token.position, self.text)
            refuse("a condition has no such function", seen, ", ".join(sorted(names)), did_you_mean(name, names))
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
                too_deep(self.next.position)
        if not node_parts:
            self.unexpected("WHEN")
        node_parts.append(self.disjunction() if self.accept("else") else Literal(None))
        self.expect("end")
        return self.call("case", *node_parts)
