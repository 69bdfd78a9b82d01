"""Conditions on facts, as an operator writes them: ``when = "scan.score >= 5 and not session.login"``."""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.message import Message

Test = Callable[[Message], Any]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_ENVELOPE: dict[str, Test] = {
    "sender": lambda message: message.sender,
    "size": lambda message: message.size,
    "recipients": lambda message: list(message.recipients),
    "session.peer": lambda message: message.session.peer,
    "session.helo": lambda message: message.session.helo,
    "session.tls": lambda message: message.session.tls,
    "session.login": lambda message: message.session.login,
    "session.trusted": lambda message: message.session.trusted,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was read from text. A fact that is absent is None: it differs from everything else, is in
    nothing, and is neither smaller nor larger than anything."""

    text: str
    test: Test

    def holds(self, message: Message) -> bool:
        return bool(self.test(message))


def parse_condition(text: str) -> Condition:
    """Read a condition: facts (``scan.score``, ``dkim[0].domain``), numbers, "texts", lists, comparisons, ``in``,
    ``and``, ``or``, ``not``, parentheses.

    ValueError with the place for anything else: a condition is data and must never be able to run code.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return Condition(text, _build(tree.body))
    except SyntaxError as error:
        raise ValueError(f"cannot read the condition {text!r}: {error.msg} at column {error.offset}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("the condition is nested too deeply") from error


def _build(node: ast.expr) -> Test:
    match node:
        case ast.Constant(value):
            return lambda _: value
        case ast.List(elts) | ast.Tuple(elts):
            parts = [_build(part) for part in elts]
            return lambda message: [part(message) for part in parts]
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _fact(_dotted(node))
        case ast.UnaryOp(ast.Not(), operand):
            inner = _build(operand)
            return lambda message: not inner(message)
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
            return lambda _: -number
        case ast.BoolOp(op, values):
            tests = [_build(value) for value in values]
            combine = all if isinstance(op, ast.And) else any
            return lambda message: combine(test(message) for test in tests)
        case ast.Compare(left, [op], [right]):
            return _comparison(type(op), _build(left), _build(right))
    raise ValueError(f"a condition may not hold {ast.unparse(node)!r}; use facts, comparisons, and, or, not, in")


def _comparison(op: type[ast.cmpop], left: Test, right: Test) -> Test:
    if op not in _COMPARE:
        raise ValueError("compare with == != < <= > >= in, not in")
    compare = _COMPARE[op]

    def test(message: Message) -> bool:
        try:
            return bool(compare(left(message), right(message)))
        except TypeError:  # the fact is absent, or of another type
            return False

    return test


def _fact(name: str) -> Test:
    return _ENVELOPE.get(name) or (lambda message: message.fact(name))


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id):
            return id
        case ast.Attribute(value, attr):
            return f"{_dotted(value)}.{attr}"
        case ast.Subscript(value, ast.Constant(int() as number)) if not isinstance(number, bool):
            return f"{_dotted(value)}[{number}]"
    raise ValueError(f"{ast.unparse(node)!r} is no fact name")
