"""POSIX extended regular expressions (IEEE 1003.1 9.4) as programs of seven instructions."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

CHARACTER: Final = 0  # takes the character `first`
ANY: Final = 1  # takes any character
SET: Final = 2  # takes what `first[0]` says yes to
SPLIT: Final = 3  # goes on at `first` and at `second`; the former is preferred
SAVE: Final = 4  # notes the place under `first`
BEGIN: Final = 5  # only at the beginning of the text
END: Final = 6  # only at its end
MATCH: Final = 7

Instruction: TypeAlias = tuple[int, Any, Any]
Fold: TypeAlias = Callable[[str], str]

LARGEST_REPEAT = 255
"""RE_DUP_MAX of POSIX."""

_NESTING = 50
_BOUNDS = re.compile(r"\{([0-9]{1,3})(,([0-9]{1,3})?)?\}")
_SPECIAL = frozenset("^.[]$()|*+?{}\\/-\"'#&,:;<=>@!%_~` ")

_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha,
    "digit": lambda c: "0" <= c <= "9",
    "alnum": lambda c: c.isalpha() or "0" <= c <= "9",
    "upper": str.isupper,
    "lower": str.islower,
    "space": lambda c: c in " \t\n\v\f\r",
    "blank": lambda c: c in " \t",
    "punct": lambda c: c.isprintable() and not c.isalnum() and c != " ",
    "print": str.isprintable,
    "graph": lambda c: c.isprintable() and c != " ",
    "cntrl": lambda c: c < " " or c == "\x7f",
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
    "word": lambda c: c == "_" or c.isalnum(),
}
_SHORT = {"w": "word", "s": "space", "d": "digit"}  # after a backslash, as GNU's and Perl's have them


def program(pattern: str, fold: Fold, limit: int) -> list[Instruction]:
    """The program of an expression, its characters as ``fold`` makes them. ValueError for what is none."""
    body = _Parser(pattern, fold, limit).whole()
    return [(SAVE, 0, None), *_moved(body, 1), (SAVE, 1, None), (MATCH, None, None)]


class _Parser:
    """Makes code whose jumps count from its own beginning, so that it can be put together and repeated."""

    def __init__(self, pattern: str, fold: Fold, limit: int) -> None:
        self._pattern = pattern
        self._fold = fold
        self._limit = limit
        self._at = 0
        self._groups = 0
        self._depth = 0

    def whole(self) -> list[Instruction]:
        code = self._choice()
        if self._at < len(self._pattern):
            raise ValueError("`)` without `(`")
        return code

    def _choice(self) -> list[Instruction]:
        code = self._sequence()
        while self._sees("|"):
            self._at += 1
            other = self._sequence()
            jump = [(SPLIT, 1 + len(other), 1 + len(other))] if other else []
            code = [
                (SPLIT, 1, 1 + len(code) + len(jump)),
                *_moved(code, 1),
                *_moved(jump, 1 + len(code)),
                *_moved(other, 1 + len(code) + len(jump)),
            ]
            self._weigh(code)
        return code

    def _sequence(self) -> list[Instruction]:
        code: list[Instruction] = []
        while self._at < len(self._pattern) and not self._sees("|") and not (self._sees(")") and self._depth):
            part = self._repeated(self._atom())
            code += _moved(part, len(code))
            self._weigh(code)
        return code

    def _atom(self) -> list[Instruction]:
        character = self._pattern[self._at]
        self._at += 1
        match character:
            case "(":
                return self._group()
            case ")":
                raise ValueError("`)` without `(`")
            case "*" | "+" | "?" | "{":
                raise ValueError(f"nothing stands before `{character}` that it could repeat")
            case "[":
                return [(SET, (self._bracket(),), None)]
            case ".":
                return [(ANY, None, None)]
            case "^":
                return [(BEGIN, None, None)]
            case "$":
                return [(END, None, None)]
            case "\\":
                return [self._escaped()]
        return [(CHARACTER, self._fold(character), None)]

    def _group(self) -> list[Instruction]:
        self._depth += 1
        if self._depth > _NESTING:
            raise ValueError("too many groups within one another")
        self._groups += 1
        number = self._groups
        inner = self._choice()
        if not self._sees(")"):
            raise ValueError("`(` without `)`")
        self._at += 1
        self._depth -= 1
        return [(SAVE, 2 * number, None), *_moved(inner, 1), (SAVE, 2 * number + 1, None)]

    def _escaped(self) -> Instruction:
        if self._at == len(self._pattern):
            raise ValueError("nothing stands behind the last `\\`")
        character = self._pattern[self._at]
        self._at += 1
        if character.lower() in _SHORT:
            return (SET, (_member({}, [_CLASSES[_SHORT[character.lower()]]], [], negated=character.isupper()),), None)
        if character not in _SPECIAL:
            raise ValueError(f"`\\{character}` has no meaning")
        return (CHARACTER, self._fold(character), None)

    def _repeated(self, code: list[Instruction]) -> list[Instruction]:
        while self._at < len(self._pattern) and self._pattern[self._at] in "*+?{":
            least, most = self._bounds()
            size = len(code)
            copies = [code] * least
            if most is None:
                copies.append([(SPLIT, 1, size + 2), *_moved(code, 1), (SPLIT, 0, size + 2)])
            else:
                copies += [[(SPLIT, 1, size + 1), *_moved(code, 1)]] * (most - least)
            if sum(map(len, copies)) > self._limit:
                raise ValueError("the expression is too large")
            code = []
            for copy in copies:
                code += _moved(copy, len(code))
        return code

    def _bounds(self) -> tuple[int, int | None]:
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._pattern[self._at])
        if simple is not None:
            self._at += 1
            return simple
        match = _BOUNDS.match(self._pattern, self._at)
        if match is None:
            raise ValueError("`{` begins no bound, such as {2} or {2,5}; write `\\{` for the character")
        self._at = match.end()
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if max(least, most or 0) > LARGEST_REPEAT or (most is not None and most < least):
            raise ValueError(f"`{match[0]}` is no bound up to {LARGEST_REPEAT}")
        return least, most

    def _bracket(self) -> Callable[[str, Fold], bool]:
        negated = self._sees("^")
        self._at += negated
        characters: dict[str, None] = {}
        classes: list[Callable[[str], bool]] = []
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self._sees("]"):
            first = False
            if self._at >= len(self._pattern):
                raise ValueError("`[` without `]`")
            if self._pattern.startswith("[:", self._at):
                classes.append(self._class())
                continue
            low = self._element()
            if self._sees("-") and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._element()
                if high < low:
                    raise ValueError(f"`{low}-{high}` is no range")
                ranges.append((low, high))
            else:
                characters[self._fold(low)] = None
        self._at += 1
        return _member(characters, classes, ranges, negated=negated)

    def _element(self) -> str:
        for mark in (".", "="):  # [.x.] and [=x=] with one character
            if self._pattern.startswith("[" + mark, self._at):
                if self._pattern[self._at + 3 : self._at + 5] != mark + "]":
                    raise ValueError("a collating element is one character here")
                self._at += 5
                return self._pattern[self._at - 3]
        self._at += 1
        return self._pattern[self._at - 1]

    def _class(self) -> Callable[[str], bool]:
        name, found, _ = self._pattern[self._at + 2 :].partition(":]")
        if not found or name not in _CLASSES:
            raise ValueError(f"`[:{name[:10]}:]` is no class of characters")
        self._at += len(name) + 4
        return _CLASSES[name]

    def _sees(self, character: str) -> bool:
        return self._pattern.startswith(character, self._at)

    def _weigh(self, code: list[Instruction]) -> None:
        if len(code) > self._limit:
            raise ValueError("the expression is too large")


def _moved(code: list[Instruction], by: int) -> list[Instruction]:
    return [(SPLIT, one[1] + by, one[2] + by) if one[0] == SPLIT else one for one in code]


def _member(
    characters: dict[str, None],
    classes: list[Callable[[str], bool]],
    ranges: list[tuple[str, str]],
    *,
    negated: bool,
) -> Callable[[str, Fold], bool]:
    """Whether a character is in a set; where case does not count, whether it is in one case or the other."""

    def plain(character: str) -> bool:
        return any(low <= character <= high for low, high in ranges) or any(one(character) for one in classes)

    def holds(character: str, fold: Fold) -> bool:
        if fold(character) in characters or plain(character):
            return not negated
        if fold is str:
            return negated
        return (plain(character.lower()) or plain(character.upper())) is not negated

    return holds
