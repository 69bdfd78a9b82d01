"""What a condition means, by the words of its page alone: slow, and as plain as can be."""

from collections.abc import Mapping, Set
from typing import Any

from engine.condition.tree import All, Comparison, Constant, Either, Listing, Name, Node, Not

KEPT = "\u0130\u212a"
"""Letters whose lower case is ASCII."""


def plainly(node: Node, subject: Mapping[str, Any], several: Set[str]) -> Any:
    """The meaning of it for a subject, whose values are given by their names; those in ``several`` are lists of which
    one must do."""
    match node:
        case Constant(value):
            return lower(value)
        case Name(name):
            found = subject.get(name)
            return any(found) if name in several else found
        case Listing(items):
            return [_side(item, subject, several) for item in items]
        case Not(inner):
            return not plainly(inner, subject, several)
        case All(parts):
            return all(plainly(part, subject, several) for part in parts)
        case Either(parts):
            return any(plainly(part, subject, several) for part in parts)
        case Comparison("!=", left, right):
            return not plainly(Comparison("==", left, right), subject, several)
        case Comparison("not in", left, right):
            return not plainly(Comparison("in", left, right), subject, several)
        case Comparison(operator, left, right):
            pairs = ((one, two) for one in _sides(left, subject, several) for two in _sides(right, subject, several))
            return any(_holds(operator, one, two) for one, two in pairs)


def _sides(node: Node, subject: Mapping[str, Any], several: Set[str]) -> list[Any]:
    """The values, of which one must do."""
    side = _side(node, subject, several)
    return list(side) if isinstance(node, Name) and node.name in several else [side]


def _side(node: Node, subject: Mapping[str, Any], several: Set[str]) -> Any:
    if isinstance(node, Name):
        return lower(subject.get(node.name))
    return lower(plainly(node, subject, several))


def _holds(operator: str, one: Any, two: Any) -> bool:
    try:
        match operator:
            case "==":
                return bool(one == two)
            case "<":
                return bool(one < two)
            case "<=":
                return bool(one <= two)
            case ">":
                return bool(one > two)
            case ">=":
                return bool(one >= two)
            case "in":
                return one in two
    except TypeError:
        return False
    return any(isinstance(text, str) and globbed(two, text) for text in (one if isinstance(one, list) else [one]))


def globbed(wanted: str, text: str) -> bool:
    """What a pattern means, by trying everything."""
    if not wanted:
        return not text
    if wanted[0] == "*":
        return any(globbed(wanted[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and wanted[0] in ("?", text[0]) and globbed(wanted[1:], text[1:])


def lower(value: Any) -> Any:
    """A text without its case; a list of them too."""
    if isinstance(value, str):
        return "".join(letter if letter in KEPT else letter.lower() for letter in value)
    return [lower(one) for one in value] if isinstance(value, list | tuple) else value
