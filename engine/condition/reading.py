"""Reads a condition: tokens, then a tree. Mistakes are told with their column."""

import math
import re
from typing import NamedTuple, cast

from engine.condition.tree import All, Comparison, Constant, Either, Listing, Name, Node, Not, Operator, Value
from engine.units import Duration, Size

DEPTH = 100
"""Parentheses, lists and ``not`` within each other: more are nobody's condition."""

LONGEST = 100_000
"""Characters of a condition."""

_TOKEN = re.compile(
    r"""
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>[0-9][0-9_.]*[eE][+-][0-9]+|[0-9][0-9A-Za-z_.]*)
    | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*|\[[0-9]+\])*)
    | (?P<mark>==|!=|<=|>=|[<>()\[\],-])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_WORDS = {"True": True, "False": False, "None": None}
_MEANT = {"true": "True", "false": "False", "none": "None", "AND": "and", "OR": "or", "NOT": "not", "IN": "in"}
_RESERVED = {"and", "or", "not", "in", "like"}
_SIGNS = {"==", "!=", "<", "<=", ">", ">="}


class Unreadable(ValueError):
    """What stands at that column, the first one being 1, makes no sense."""

    def __init__(self, what: str, column: int) -> None:
        super().__init__(what)
        self.column = column


class _Token(NamedTuple):
    kind: str  # "text" "number" "name" "mark" "word" "end"
    text: str
    column: int


def tokens(text: str) -> list[_Token]:
    """The words of a condition, with one at the end that says so. Unreadable."""
    if len(text) > LONGEST:
        raise Unreadable(f"more than {LONGEST} characters", LONGEST)
    found = []
    place = _end_of_space(text, 0)
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            lone = text[place] in "\"'"
            raise Unreadable("a text without its end" if lone else f"{text[place]!r} means nothing here", place + 1)
        word = match[0]
        kind = "word" if word in _RESERVED else str(match.lastgroup)
        found.append(_Token(kind, word, place + 1))
        place = _end_of_space(text, match.end())
    found.append(_Token("end", "", len(text) + 1))
    return found


def _end_of_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def read(text: str) -> Node:
    """The tree of a condition. ValueError, in which the column is named."""
    try:
        return _Reader(tokens(text)).whole()
    except Unreadable as error:
        raise ValueError(f"cannot read the condition {_shown(text)}: {error} at column {error.column}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


class _Reader:
    """One look at each token: ``or`` of ``and`` of ``not`` of comparisons of operands."""

    def __init__(self, found: list[_Token]) -> None:
        self._tokens = found
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._either()
        if self._now.kind != "end":
            raise Unreadable(f"{self._now.text!r} stands where the condition should end", self._now.column)
        return node

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += 1
        return token

    def _skips(self, text: str) -> bool:
        """Whether that word or mark was there; it is taken."""
        if self._now.kind not in ("word", "mark") or self._now.text != text:
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._skips(text):
            raise Unreadable(f"{text!r} is missing", self._now.column)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise Unreadable("nested too deeply", self._now.column)

    def _either(self) -> Node:
        parts = [self._all()]
        while self._skips("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self) -> Node:
        parts = [self._negated()]
        while self._skips("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _negated(self) -> Node:
        if not self._skips("not"):
            return self._comparison()
        self._deeper()
        inner = self._negated()
        self._depth -= 1
        return Not(inner)

    def _comparison(self) -> Node:
        left = self._operand()
        column = self._now.column
        operator = self._operator()
        if operator is None:
            return left
        right = self._operand()
        after = self._now
        if self._operator() is not None:
            raise Unreadable(f"compare two things at a time: {after.text!r}", after.column)
        return Comparison(operator, left, right, column)

    def _operator(self) -> Operator | None:
        token = self._now
        if token.kind == "mark" and token.text in _SIGNS:
            self._next += 1
            return cast("Operator", token.text)
        if self._skips("in"):
            return "in"
        if self._skips("like"):
            return "like"
        if self._skips("not"):
            self._expect("in")
            return "not in"
        return None

    def _operand(self) -> Node:
        token = self._take()
        match token.kind:
            case "text":
                return Constant(_unquoted(token), token.column)
            case "number":
                return _number(token)
            case "name":
                return _named(token)
        if token.text == "-" and self._now.kind == "number":
            return _negative(self._take(), token.column)
        if token.text == "[":
            return self._listing("]", token.column)
        if token.text == "(":
            return self._parenthesised(token.column)
        what = repr(token.text) if token.text else "the end"
        raise Unreadable(f"{what} stands where a name, a number or a text should be", token.column)

    def _parenthesised(self, column: int) -> Node:
        if self._skips(")"):
            return Listing((), column)
        self._deeper()
        inner = self._either()
        self._depth -= 1
        if self._skips(","):
            rest = self._listing(")", column)
            return Listing((inner, *rest.items), column)
        self._expect(")")
        return inner

    def _listing(self, end: str, column: int) -> Listing:
        self._deeper()
        items: list[Node] = []
        while not self._skips(end):
            items.append(self._operand())
            if not self._skips(","):
                self._expect(end)
                break
        self._depth -= 1
        return Listing(tuple(items), column)


def _unquoted(token: _Token) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPED:
            raise Unreadable(f"{match[0]!r} means nothing in a text; write a backslash twice", token.column)
        return _ESCAPED[match[1]]

    return _ESCAPE.sub(plain, token.text[1:-1])


def _named(token: _Token) -> Node:
    if token.text in _WORDS:
        return Constant(_WORDS[token.text], token.column)
    if token.text in _MEANT:
        raise Unreadable(f"write {_MEANT[token.text]} instead of {token.text}", token.column)
    return Name(token.text, token.column)


def _negative(token: _Token, column: int) -> Constant:
    found = _number(token)
    if isinstance(found.value, Duration | Size) or not isinstance(found.value, int | float):
        raise Unreadable("no size or duration is negative", column)
    return Constant(-found.value, column)


def _number(token: _Token) -> Constant:
    """A number, a duration such as 2h or 1h30m, or a size such as 10MB."""
    for kind in (int, float, Duration, Size):
        try:
            value: Value = kind(token.text)
        except ValueError:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            break
        return Constant(value, token.column, token.text)
    raise Unreadable(
        f"{token.text[:30]!r} is no number, no duration such as 90s, 2h or 5d, and no size such as 64KiB or 10MB",
        token.column,
    )
