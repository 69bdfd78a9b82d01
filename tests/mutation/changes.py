"""Mutants: the small changes of one source file that some test ought to notice."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="} | {
    "is": "is not", "is not": "is", "in": "not in", "not in": "in"}  # fmt: skip
JUNCTIONS = {"and": "or", "or": "and"}
OPERATORS = {"+": "-", "-": "+", "*": "//", "/": "*", "//": "*", "%": "//", "&": "|", "|": "&"}
PAIRS = (("min", "max"), ("any", "all"), ("startswith", "endswith"), ("removeprefix", "removesuffix"),
         ("find", "rfind"), ("upper", "lower"), ("partition", "rpartition"))  # fmt: skip
NAMES = {"fullmatch": "match", **dict(PAIRS), **{two: one for one, two in PAIRS}}

PATTERN = re.compile(r"\{(\d+)(?:,(\d+))?\}|[*+?]+|\\Z|[$^]|re\.[A-Z]{3,}")
"""What is changed inside of a regular expression: counts, repetitions, anchors; and its flags."""

WORDS = ("event", "bug", "spelled", "RuntimeError", "ValueError", "PeerError", "StorageError")
"""Calls whose words are for people: no tests hold them."""

TEXTS = {("reply", 2), ("Reply", 1), ("Reject", 0), ("Defer", 0), ("Malformed", 0), ("Decision", 0)}
"""Arguments of calls that are words for people, by their place."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Octets ``start`` to ``end`` of the source become ``text``; ``lines`` has the lines of their statement."""

    lines: range
    start: int
    end: int
    text: str
    shown: str

    def applied(self, source: bytes) -> bytes:
        """The source with this change, in as many lines: tests are chosen by lines."""
        lost = source.count(b"\n", self.start, self.end) - self.text.count("\n")
        return source[: self.start] + self.text.encode() + b" \\\n" * lost + source[self.end :]


def mutants(source: bytes) -> list[Mutant]:
    """All that compile, each once, in the order of the file."""
    found = {(one.start, one.end, one.text): one for one in _Finder(source).found()}
    return sorted((one for one in found.values() if _compiles(one.applied(source))), key=lambda one: one.start)


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


class _Finder:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def found(self) -> Iterator[Mutant]:
        nodes: list[tuple[ast.AST, range]] = [(ast.parse(self._source), range(0))]
        while nodes:
            node, lines = nodes.pop()
            if _is_for_people(node):
                continue
            if isinstance(node, ast.stmt):
                lines = _lines(node)
            for mutant in self._of(node):
                yield replace(mutant, lines=lines)
            nodes += [(child, lines) for child in ast.iter_child_nodes(node) if not _is_left_alone(node, child)]

    def _span(self, node: ast.AST) -> tuple[int, int]:
        first = self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return first, self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _change(self, node: ast.AST, text: str) -> Mutant:
        return self._between(*self._span(node), text)

    def _between(self, start: int, end: int, text: str) -> Mutant:
        before, after = self._source.rfind(b"\n", 0, start) + 1, self._source.find(b"\n", end)
        pieces = (self._source[before:start], self._source[start:end], self._source[end:after])
        shown = "{}[-{}-]{}".format(*(" ".join(piece.decode().split()) for piece in pieces))
        line = self._source.count(b"\n", 0, start) + 1
        return Mutant(range(line, line + 1), start, end, text, f"{line}: {shown} [+{text}+]")

    def _of(self, node: ast.AST) -> Iterator[Mutant]:  # noqa: PLR0912 - a table
        match node:
            case ast.Compare(left, _, others):
                yield from self._signs([left, *others], COMPARISONS)
            case ast.BoolOp(_, values):
                yield from self._signs(values, JUNCTIONS)
            case ast.BinOp(left, _, right):
                yield from self._signs([left, right], OPERATORS)
            case ast.AugAssign(target, _, value):
                yield self._change(node, "pass")
                yield from self._signs([target, value], {"+=": "-=", "-=": "+="})
            case ast.UnaryOp(ast.Not(), operand):
                yield self._change(node, f"({self._text(operand)})")
            case ast.If(test) | ast.While(test) | ast.IfExp(test):
                yield from self._negated([test])
            case ast.comprehension(ifs=tests):
                yield from self._negated(tests)
            case ast.Constant(value):
                yield from self._constant(node, value)
            case ast.Call(function, arguments, keywords):
                yield from map(self._without, [keyword for keyword in keywords if keyword.arg])
                if self._text(function) == "re.compile":
                    yield from (mutant for argument in arguments for mutant in self._pattern(argument))
            case ast.Attribute(attr=name) if name in NAMES:
                end = self._span(node)[1]
                yield self._between(end - len(name), end, NAMES[name])
            case ast.Name(name) if name in NAMES:
                yield self._change(node, NAMES[name])
            case ast.Assign([ast.Name()], value) | ast.Return(ast.expr() as value) if not isinstance(
                value, ast.Constant
            ):
                yield self._change(value, "None")
            case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.Delete() | ast.Raise():
                yield self._change(node, "pass")
            case ast.Expr(ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
                yield self._change(node, "pass")
            case ast.Break():
                yield self._change(node, "continue")
            case ast.Continue():
                yield self._change(node, "break")

    def _signs(self, nodes: list[ast.expr], table: dict[str, str]) -> Iterator[Mutant]:
        """The operators that stand between nodes."""
        for left, right in pairwise(nodes):
            start, end = self._span(left)[1], self._span(right)[0]
            gap = self._source[start:end].decode()
            sign = " ".join(gap.strip("() \n\t").split())
            if sign in table and sign in gap:
                at = start + gap.index(sign)
                yield self._between(at, at + len(sign), table[sign])

    def _negated(self, tests: list[ast.expr]) -> Iterator[Mutant]:
        """Conditions that have no operator of their own to turn round."""
        for test in tests:
            if not isinstance(test, ast.Compare | ast.UnaryOp):
                yield self._change(test, f"(not ({self._text(test)}))")

    def _constant(self, node: ast.Constant, value: object) -> Iterator[Mutant]:
        match value:
            case bool():
                yield self._change(node, str(not value))
            case int() | float():
                yield self._change(node, repr(value + 1))
            case bytes():
                yield self._change(node, repr(value + b"X"))
            case str() if self._text(node)[:1] in "\"'r" and not self._text(node).startswith('"""'):
                yield self._change(node, repr(value + "X"))

    def _without(self, keyword: ast.keyword) -> Mutant:
        start, end = self._span(keyword)
        comma = re.compile(rb"\s*,").match(self._source, end)
        return self._between(start, comma.end() if comma else end, "")

    def _pattern(self, node: ast.expr) -> Iterator[Mutant]:
        start = self._span(node)[0]
        for found in PATTERN.finditer(self._text(node)):
            before = len(self._text(node)[: found.start()].encode())
            for text in _other_patterns(found):
                yield self._between(start + before, start + before + len(found[0]), text)


def _lines(statement: ast.stmt) -> range:
    """Its lines; of one that holds others, those before them. The first of several that are run may be any of them."""
    body: list[ast.stmt] = getattr(statement, "body", [])
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(last, statement.lineno) + 1)


def _other_patterns(found: re.Match[str]) -> list[str]:
    least, most = found[1], found[2]
    if most:
        return [f"{{{int(least) + 1},{most}}}", f"{{{least},{int(most) + 1}}}", f"{{{least},{int(most) - 1}}}"]
    if least:
        return [f"{{{int(least) + 1}}}"]
    if found[0].startswith("re."):
        return ["0"]
    return [{"*": "+", "+": "*"}.get(found[0][0], "") + found[0][1:]]


def _is_for_people(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call() as call) | (ast.Call() as call):
            return _called(call) in WORDS
    return False


def _is_left_alone(parent: ast.AST, child: ast.AST) -> bool:
    """Whether it is an annotation, a base class or a text."""
    if isinstance(parent, ast.Call) and isinstance(child, ast.Constant) and child in parent.args:
        return (_called(parent), parent.args.index(child)) in TEXTS
    return child in (
        getattr(parent, "annotation", None),
        getattr(parent, "returns", None),
        *getattr(parent, "bases", ()),
    )


def _called(call: ast.Call) -> str:
    name: str = getattr(call.func, "id", "") or getattr(call.func, "attr", "")
    return name
