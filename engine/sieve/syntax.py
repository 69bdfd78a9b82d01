"""Sieve's grammar (RFC 5228 8.2): a script as it is written, before anything is known of its commands."""

from dataclasses import dataclass, field
from typing import TypeAlias

from engine.sieve.errors import ScriptError
from engine.sieve.lexer import Kind, Source, Token, tokens


@dataclass(frozen=True, slots=True)
class Tag:
    name: str  # without its colon, in lower case
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    value: int
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings, in brackets."""

    items: tuple[Text, ...]
    at: int = field(compare=False)


Argument: TypeAlias = Tag | Number | Text | Texts


@dataclass(frozen=True, slots=True)
class Call:
    """A command, or a test, which has no block. ``at`` is its place in the script, in characters from 0."""

    name: str  # in lower case
    arguments: tuple[Argument, ...]
    tests: "tuple[Call, ...]"
    block: "tuple[Call, ...] | None"
    at: int = field(compare=False)


def parse(source: Source, nesting: int) -> tuple[Call, ...]:
    """The commands of a script. ScriptError for the first place where it is none."""
    return _Parser(source, nesting).script()


class _Parser:
    def __init__(self, source: Source, nesting: int) -> None:
        self._source = source
        self._tokens = tokens(source)
        self._next = next(self._tokens)
        self._depth_left = nesting

    def script(self) -> tuple[Call, ...]:
        commands = []
        while self._next.kind is not Kind.END:
            commands.append(self._command())
        return tuple(commands)

    def _command(self) -> Call:
        word = self._take(Kind.NAME, "a command")
        arguments, tests = self._arguments()
        if self._is("{"):
            return Call(str(word.value), arguments, tests, self._block(), word.at)
        if not self._is(";"):
            raise self._wrong(f"`;` or a block after `{word.value}`")
        self._advance()
        return Call(str(word.value), arguments, tests, None, word.at)

    def _block(self) -> tuple[Call, ...]:
        opened = self._advance()
        self._deeper(opened)
        commands = []
        while not self._is("}"):
            if self._next.kind is Kind.END:
                raise self._source.error(opened.at, "a block begins here that does not end")
            commands.append(self._command())
        self._advance()
        self._depth_left += 1
        return tuple(commands)

    def _arguments(self) -> tuple[tuple[Argument, ...], tuple[Call, ...]]:
        arguments: list[Argument] = []
        while True:
            token = self._next
            match token.kind:
                case Kind.TAG:
                    arguments.append(Tag(str(token.value)[1:], token.at))
                case Kind.NUMBER:
                    arguments.append(Number(int(token.value), token.at))
                case Kind.STRING:
                    arguments.append(Text(str(token.value), token.at))
                case Kind.NAME:
                    return tuple(arguments), (self._test(),)
                case _:
                    if self._is("["):
                        arguments.append(self._list())
                        continue
                    return tuple(arguments), self._tests() if self._is("(") else ()
            self._advance()

    def _list(self) -> Texts:
        opened = self._advance()
        items = []
        while True:
            token = self._take(Kind.STRING, "a string")
            items.append(Text(str(token.value), token.at))
            if not self._goes_on("]"):
                return Texts(tuple(items), opened.at)

    def _tests(self) -> tuple[Call, ...]:
        self._advance()
        tests = [self._test()]
        while self._goes_on(")"):
            tests.append(self._test())
        return tuple(tests)

    def _test(self) -> Call:
        word = self._take(Kind.NAME, "a test")
        self._deeper(word)
        arguments, tests = self._arguments()
        self._depth_left += 1
        return Call(str(word.value), arguments, tests, None, word.at)

    def _goes_on(self, closing: str) -> bool:
        """Takes the comma, or what closes the list."""
        if not self._is(",") and not self._is(closing):
            raise self._wrong(f"`,` or `{closing}`")
        return self._advance().value == ","

    def _deeper(self, token: Token) -> None:
        self._depth_left -= 1
        if self._depth_left < 0:
            raise self._source.error(token.at, "too many blocks or tests within one another")

    def _is(self, mark: str) -> bool:
        return self._next.kind is Kind.MARK and self._next.value == mark

    def _take(self, kind: Kind, wanted: str) -> Token:
        if self._next.kind is not kind:
            raise self._wrong(wanted)
        return self._advance()

    def _advance(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._next = next(self._tokens)
        return token

    def _wrong(self, wanted: str) -> ScriptError:
        return self._source.error(self._next.at, f"{wanted} was expected here, not {self._next}")
