"""From a script as it is written to one that is run: every command held against its form."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.sieve.checks import CHECKS, Checked
from engine.sieve.compiled import VERSION, Node, Script, Value, Words
from engine.sieve.errors import Mistake, ScriptError
from engine.sieve.forms import COMMANDS, EXTENSIONS, IMPLIED, TESTS, Form, Option, Takes, Tests
from engine.sieve.lexer import Source
from engine.sieve.limits import DEFAULT, Limits
from engine.sieve.strings import Names, decoded, template
from engine.sieve.syntax import Argument, Call, Number, Tag, Text, Texts, parse

_FOLLOWS = {"elsif": ("if", "elsif"), "else": ("if", "elsif")}


def compile_script(octets: bytes, limits: Limits = DEFAULT) -> Script:
    """The script, ready to be run. ScriptError tells all that is wrong with it."""
    source = Source(octets, limits.script)
    return _Compiler(source, limits).script(parse(source, limits.nesting))


class _TooMany(Exception):
    """More mistakes than are told."""


@dataclass(slots=True)
class _Unsupported(Exception):
    """What may stand in a script that asks by ``ihave``, as long as it is not run (RFC 5463 4)."""

    at: int
    text: str


class _Compiler:
    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._required: set[str] = set()
        self._names = Names(limits.variables)
        self._mistakes: list[Mistake] = []

    def script(self, calls: tuple[Call, ...]) -> Script:
        try:
            commands = self._block(calls, top=True)
        except _TooMany:
            commands = []
        if self._mistakes:
            raise ScriptError(tuple(sorted(set(self._mistakes))))
        return Script(VERSION, sorted(self._required), commands)

    def _wrong(self, at: int, text: str) -> None:
        self._mistakes.append(self._source.mistake(at, text))
        if len(self._mistakes) >= self._limits.mistakes:
            raise _TooMany

    def _block(self, calls: tuple[Call, ...], *, top: bool = False) -> list[Node]:
        nodes, before, begun = [], "", False
        for call in calls:
            if call.name == "require":
                if not top or begun:
                    self._wrong(call.at, "`require` stands before all other commands")
                self._require(call)
                continue
            begun = True
            if call.name in _FOLLOWS and before not in _FOLLOWS[call.name]:
                self._wrong(call.at, f"`{call.name}` without `if`")
            node = self._node(call, COMMANDS, "command")
            if node is not None:
                nodes.append(node)
            before = call.name
        return nodes

    def _require(self, call: Call) -> None:
        match call.arguments:
            case (Text() as one,):
                names: tuple[Text, ...] = (one,)
            case (Texts(items),):
                names = items
            case _:
                self._wrong(call.at, "`require` takes a string or a list of strings")
                return
        for name in names:
            if name.value in EXTENSIONS:
                self._enable(name.value)
            else:
                self._wrong(name.at, f'no extension is named "{name.value}"{_nearest(name.value, EXTENSIONS)}')

    def _enable(self, name: str) -> None:
        self._required.add(name)
        if name in IMPLIED:
            self._required.add(IMPLIED[name])

    def _node(self, call: Call, forms: Mapping[str, Form], what: str) -> Node | None:
        """The command or test; None where it is wrong."""
        try:
            form = self._form(call, forms, what)
            return None if form is None else self._filled(call, form)
        except _Unsupported as error:
            if "ihave" not in self._required:
                self._wrong(error.at, error.text)
                return None
            return Node("error", self._line(call), {}, [error.text], [], [])

    def _form(self, call: Call, forms: Mapping[str, Form], what: str) -> Form | None:
        form = forms.get(call.name)
        if form is None:
            other = COMMANDS if forms is TESTS else TESTS
            if call.name in other:
                self._wrong(call.at, f"`{call.name}` is no {what}, but a {'test' if other is TESTS else 'command'}")
                return None
            raise _Unsupported(call.at, f"no {what} is named `{call.name}`{_nearest(call.name, forms)}")
        if form.needs and form.needs not in self._required:
            self._wrong(call.at, f'`{call.name}` needs require "{form.needs}"')
        return form

    def _filled(self, call: Call, form: Form) -> Node | None:
        told = len(self._mistakes)
        places: dict[str | int, int] = {}
        options, rest = self._options(call, form, places)
        arguments = self._arguments(call, form, rest, places)
        tests = self._tests(call, form)
        if call.name == "ihave" and arguments and isinstance(arguments[0], list):
            # What a test has asked for is there as if it had been required. RFC 5463 4
            for name in arguments[0]:
                if name in EXTENSIONS:
                    self._enable(str(name))
        block = self._block(call.block) if call.block is not None else []
        if form.block is not (call.block is not None):
            self._wrong(call.at, f"`{call.name}` {'needs a' if form.block else 'has no'} block")
        node = Node(call.name, self._line(call), options, arguments, tests, block)
        check = CHECKS.get(call.name)
        if check is not None and len(self._mistakes) == told:
            check(Checked(node, call.at, places, self._required, self._names, self._limits, self._wrong))
        return node if len(self._mistakes) == told else None

    def _options(self, call: Call, form: Form, places: dict[str | int, int]) -> tuple[dict[str, Value], list[Argument]]:
        """The tags with their values, and the arguments that are none."""
        options: dict[str, Value] = {}
        rest: list[Argument] = []
        given = iter(call.arguments)
        for argument in given:
            if not isinstance(argument, Tag):
                rest.append(argument)
                continue
            if rest:
                self._wrong(argument.at, f"`:{argument.name}` stands before the arguments that are no tags")
            option = form.options.get(argument.name)
            if option is None:
                close = _nearest(f":{argument.name}", [f":{name}" for name in form.options])
                raise _Unsupported(argument.at, f"`{call.name}` has no `:{argument.name}`{close}")
            places[argument.name] = argument.at
            self._choose(argument, option, options)
            if option.takes is Takes.NOTHING:
                if not option.group:
                    options[argument.name] = True
            else:
                following = next(given, None)
                places[argument.name] = getattr(following, "at", argument.at)
                options[argument.name] = self._value(f"`:{argument.name}`", option.takes, following, argument.at)
        for name in options:
            option = form.options.get(name)
            if option is not None and option.with_tag and option.with_tag not in options:
                self._wrong(places[name], f"`:{name}` needs `:{option.with_tag}`")
        return options, rest

    def _choose(self, tag: Tag, option: Option, options: dict[str, Value]) -> None:
        if option.needs and option.needs not in self._required:
            self._wrong(tag.at, f'`:{tag.name}` needs require "{option.needs}"')
        if tag.name in options:
            self._wrong(tag.at, f"`:{tag.name}` is given twice")
        elif option.group in options:
            self._wrong(tag.at, f"`:{tag.name}` excludes `:{options[option.group]}`")
        elif option.group:
            options[option.group] = tag.name

    def _arguments(self, call: Call, form: Form, given: list[Argument], places: dict[str | int, int]) -> list[Value]:
        takes = form.takes
        left_out = len(takes) - len(given)
        if 0 < left_out <= abs(form.optional):
            takes = takes[left_out:] if form.optional > 0 else takes[:-left_out]
        if len(takes) != len(given):
            wanted = ", ".join(one.value for one in form.takes) or "no argument"
            at = given[len(takes)].at if len(given) > len(takes) else call.at
            self._wrong(at, f"`{call.name}` takes {wanted}{', not so many' if len(given) > len(takes) else ''}")
            return []
        places.update(enumerate(argument.at for argument in given))
        return [
            self._value(f"`{call.name}`", one, argument, call.at) for one, argument in zip(takes, given, strict=True)
        ]

    def _value(self, taker: str, takes: Takes, argument: Argument | None, at: int) -> Value:
        match takes, argument:
            case Takes.NUMBER, Number(value):
                return value
            case Takes.STRING, Text():
                return self._words(argument)
            case Takes.STRINGS, Text():
                return [self._words(argument)]
            case Takes.STRINGS, Texts(items):
                return [self._words(item) for item in items]
        self._wrong(at if argument is None else argument.at, f"{taker} takes {takes.value} here")
        return ""

    def _words(self, text: Text) -> Words:
        try:
            value = decoded(text.value) if "encoded-character" in self._required else text.value
            if "variables" in self._required:
                return template(value, self._names, shared="include" in self._required)
        except ValueError as error:
            self._wrong(text.at, str(error))
            return ""
        return value

    def _tests(self, call: Call, form: Form) -> list[Node]:
        if form.tests is Tests.NONE and call.tests:
            self._wrong(call.tests[0].at, f"`{call.name}` takes no test, or a `;` is missing before this")
        if form.tests is Tests.ONE and len(call.tests) != 1:
            self._wrong(call.at, f"`{call.name}` takes one test")
        if form.tests is Tests.SEVERAL and not call.tests:
            self._wrong(call.at, f"`{call.name}` takes a list of tests in parentheses")
        nodes = (self._node(test, TESTS, "test") for test in call.tests)
        return [node for node in nodes if node is not None]

    def _line(self, call: Call) -> int:
        return self._source.mistake(call.at, "").line


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
