"""What a condition means of a message, or of anything else of which a vocabulary says what can be known."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from engine.condition.reading import read
from engine.condition.tree import All, Comparison, Constant, Either, Listing, Name, Node, Not
from engine.units import Duration, Size

S = TypeVar("S")

Get: TypeAlias = Callable[[S], Any]

Kind: TypeAlias = Literal["text", "number", "size", "duration", "flag", "any"]

_POSITIVE = {"!=": "==", "not in": "in"}

_TOLD: dict[Kind, str] = {
    "text": 'a text: compare it with one, such as "example.net"',
    "number": "a number: compare it with one, such as 3",
    "size": "a size: compare it with one, such as 64KiB or 10MB",
    "duration": "a duration: compare it with one, such as 90s, 2h or 5d",
    "flag": "True or False: write the name alone, or not before it",
    "any": "",
}


@dataclass(frozen=True, slots=True)
class Known(Generic[S]):
    """Something that a name stands for. ``several``: it gives a sequence, of which one must meet a comparison.
    ``values``: all that a text may be, if they are few. ``is_folded``: it gives texts as they are compared."""

    kind: Kind
    get: Get[S]
    several: bool = False
    values: tuple[str, ...] = ()
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary(Generic[S]):
    """What can be said of something. Other names are facts: those with a dot, or all if they are ``free``.

    ``fact.x`` is the fact ``x``, whatever else that name might mean.
    """

    known: Mapping[str, Known[S]]
    fact: Callable[[S, str], Any]
    free: bool = True

    def of(self, name: Name) -> Known[S]:
        """What that name means. ValueError for one that means nothing."""
        found = self.known.get(name.name)
        if found is not None:
            return found
        first, dot, rest = name.name.partition(".")
        taken = {known.partition(".")[0] for known in self.known if "." in known}
        if first in taken or not (dot or self.free):
            raise ValueError(self._unknown(name))
        meant = rest if first == "fact" and rest else name.name
        fact = self.fact
        return Known("any", lambda subject: fact(subject, meant))

    def _unknown(self, name: Name) -> str:
        close = get_close_matches(name.name, self.known, 1)
        known = f"did you mean {close[0]}?" if close else f"known are {', '.join(self.known)}"
        facts = "" if self.free or close else ", and facts, which have a dot in their names"
        return f"{name.name} is not known at column {name.column}; {known}{facts}"


@dataclass(frozen=True, slots=True)
class Condition(Generic[S]):
    """A condition that was read from text. What is absent is None: it differs from everything else, is in nothing, and
    is neither smaller nor larger than anything."""

    text: str
    tree: Node
    test: Get[S]

    def holds(self, subject: S) -> bool:
        return bool(self.test(subject))


def understood(text: str, vocabulary: Vocabulary[S]) -> Condition[S]:
    """The condition that the text is. ValueError, in which the column is named, for what is none.

    A condition is data, and must never be able to run code.
    """
    tree = read(text)
    return Condition(text, tree, _test(tree, vocabulary))


def folded(value: Any) -> Any:
    """As texts are compared: without regard to case. Lists: each of their texts.

    Two letters that are not ASCII stay as they are, for lower case would make ASCII of them: who looks for an ASCII
    text in octets must find all that is equal to it.
    """
    if isinstance(value, str):
        if value.isascii():
            return value.lower()
        return "".join(one if one in "\u0130\u212a" else one.lower() for one in value)
    if isinstance(value, list | tuple):
        return [folded(one) for one in value]
    return value


def pattern(text: str) -> re.Pattern[str]:
    """What ``like`` means: ``*`` stands for anything, ``?`` for one character. Takes time in proportion to what it is
    held against, for no ``*`` is tried again once what follows it was found."""
    parts = [re.escape(part).replace(r"\?", ".") for part in folded(text).split("*")]
    first, *rest = parts
    if not rest:
        return re.compile(first, re.DOTALL)
    *between, last = rest
    return re.compile(first + "".join(f"(?>.*?{part})" for part in between if part) + f".*{last}", re.DOTALL)


def _test(node: Node, vocabulary: Vocabulary[S]) -> Get[S]:
    """What is true or false of a subject."""
    match node:
        case Not(inner):
            test = _test(inner, vocabulary)
            return lambda subject: not test(subject)
        case All(parts):
            tests = [_test(part, vocabulary) for part in parts]
            return _both(*tests) if len(tests) == 2 else lambda subject: all(test(subject) for test in tests)
        case Either(parts):
            tests = [_test(part, vocabulary) for part in parts]
            return lambda subject: any(test(subject) for test in tests)
        case Comparison():
            return _comparison(node, vocabulary)
        case Name():
            known = vocabulary.of(node)
            get = known.get
            return (lambda subject: any(get(subject))) if known.several else get
        case Constant(value):
            return lambda _: value
    return _operand(node, vocabulary).get


def _both(first: Get[S], second: Get[S]) -> Get[S]:
    return lambda subject: first(subject) and second(subject)


def _operand(node: Node, vocabulary: Vocabulary[S]) -> Known[S]:
    """What stands beside an operator. Its value is folded, unless it cannot be a text."""
    match node:
        case Constant(value):
            value = folded(value)
            return Known("any", lambda _: value)
        case Name():
            return _folding(vocabulary.of(node))
        case Listing(items):
            parts = [_operand(item, vocabulary).get for item in items]
            return Known("any", lambda subject: [part(subject) for part in parts])
    return Known("any", _test(node, vocabulary))


def _folding(known: Known[S]) -> Known[S]:
    get = known.get
    if known.is_folded or known.kind in ("number", "size", "duration", "flag"):
        return known
    return Known(known.kind, lambda subject: folded(get(subject)), known.several, known.values)


def _comparison(node: Comparison, vocabulary: Vocabulary[S]) -> Get[S]:
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(side, Name):
            _check(vocabulary.of(side), side, other)
    left = _operand(node.left, vocabulary)
    positive = _POSITIVE.get(node.operator, node.operator)
    if positive == "like":
        test = _like(left, node)
    else:
        test = _compared(_COMPARE[positive], left, _operand(node.right, vocabulary), _constant(node.right))
    return test if positive == node.operator else lambda subject: not test(subject)


def _constant(node: Node) -> tuple[Any] | None:
    """The value, folded, if it is the same for all."""
    match node:
        case Constant(value):
            return (folded(value),)
        case Listing(items) if all(isinstance(item, Constant) for item in items):
            return ([folded(item.value) for item in items if isinstance(item, Constant)],)
    return None


def _compared(
    compare: Callable[[Any, Any], bool], left: Known[S], right: Known[S], constant: tuple[Any] | None
) -> Get[S]:
    get, other = left.get, right.get
    if constant and not left.several:
        (value,) = constant
        return _guarded(lambda subject: compare(get(subject), value))
    if constant:
        (value,) = constant
        return _guarded(lambda subject: any(compare(one, value) for one in get(subject)))
    lefts: Get[S] = get if left.several else lambda subject: (get(subject),)
    rights: Get[S] = other if right.several else lambda subject: (other(subject),)
    return _guarded(lambda subject: any(compare(one, two) for one in lefts(subject) for two in rights(subject)))


def _guarded(test: Get[S]) -> Get[S]:
    def guarded(subject: S) -> bool:
        try:
            return bool(test(subject))
        except TypeError:  # something is absent, or of another type
            return False

    return guarded


def _like(left: Known[S], node: Comparison) -> Get[S]:
    if not isinstance(node.right, Constant) or not isinstance(node.right.value, str):
        raise ValueError(f'like needs a text at column {node.column}, such as "*@example.net"; * stands for anything')
    matches, get = pattern(node.right.value).fullmatch, left.get

    def test(subject: S) -> bool:
        found = get(subject)
        if isinstance(found, str):
            return matches(found) is not None
        texts = found if isinstance(found, list | tuple) else ()
        return any(isinstance(one, str) and matches(one) is not None for one in texts)

    return test


def _within(inner: Any, outer: Any) -> bool:
    return inner in outer


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": _within,
}


def _check(known: Known[S], name: Name, other: Node) -> None:
    """Whether the two can be compared at all. ValueError."""
    for item in other.items if isinstance(other, Listing) else (other,):
        if not isinstance(item, Constant) or item.value is None:
            continue
        if not _fits(known.kind, item):
            raise ValueError(f"{name.name} is {_TOLD[known.kind]} (column {item.column})")
        if known.values and folded(item.value) not in known.values:
            raise ValueError(f"{name.name} is one of {', '.join(known.values)}, not {item} (column {item.column})")


def _fits(kind: Kind, constant: Constant) -> bool:
    value: Any = constant.value
    wanted: Mapping[Kind, tuple[Sequence[type], tuple[type, ...]]] = {
        "text": ((), (str,)),
        "number": ((bool, Duration, Size), (int, float)),
        "size": ((bool, Duration), (int, float)),
        "duration": ((), (Duration,)),
        "flag": ((), (bool,)),
    }
    if kind == "any":
        return True
    unfit, fit = wanted[kind]
    return isinstance(value, fit) and not isinstance(value, tuple(unfit))
