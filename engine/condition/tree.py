"""What a condition says, as a tree: it can be looked through, and printed as it is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.units import Duration, Size

Value: TypeAlias = "str | int | float | bool | None"

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "like"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, a size, a duration, True, False or None. ``written``: how, if that is not to be worked out."""

    value: Value
    column: int = field(default=0, compare=False)
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.written or (_quoted(self.value) if isinstance(self.value, str) else _measured(self.value))


@dataclass(frozen=True, slots=True)
class Name:
    """A name of something that is known of a message: ``size``, ``scan.score``, ``dkim[0].domain``."""

    name: str
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Listing:
    """Several, in brackets."""

    items: "tuple[Node, ...]"
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[{', '.join(_within(item) for item in self.items)}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``."""

    operator: Operator
    left: "Node"
    right: "Node"
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{_within(self.left)} {self.operator} {_within(self.right)}"


@dataclass(frozen=True, slots=True)
class Not:
    """What must not hold."""

    inner: "Node"

    def __str__(self) -> str:
        return f"not {f'({self.inner})' if isinstance(self.inner, All | Either) else self.inner}"


@dataclass(frozen=True, slots=True)
class All:
    """What must hold together: two at least."""

    parts: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, All | Either) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """Of which one must hold: two at least."""

    parts: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


Node: TypeAlias = "Constant | Name | Listing | Comparison | Not | All | Either"


def names(node: Node) -> Iterator[Name]:
    """All names in it, from left to right."""
    match node:
        case Name():
            yield node
        case Listing(parts) | All(parts) | Either(parts):
            for part in parts:
                yield from names(part)
        case Comparison(_, left, right):
            yield from names(left)
            yield from names(right)
        case Not(inner):
            yield from names(inner)


def conjuncts(node: "Node | None") -> tuple[Node, ...]:
    """What must hold, each by itself, if the whole is to hold."""
    if isinstance(node, All):
        return tuple(inner for part in node.parts for inner in conjuncts(part))
    return () if node is None else (node,)


def _within(node: Node) -> str:
    """As it is written beside an operator, or in brackets."""
    return str(node) if isinstance(node, Constant | Name | Listing) else f"({node})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _measured(value: Value) -> str:
    if isinstance(value, Size):
        return f"{int(value)}B"
    if isinstance(value, Duration):
        return f"{float(value):f}".rstrip("0").rstrip(".") + "s"
    return repr(value)
