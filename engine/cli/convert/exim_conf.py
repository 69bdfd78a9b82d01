"""Exim's configuration, read as its specification says (chapters 6, 10 and 40): macros, conditions, files, sections."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.cli.convert import main_cf

DEPTH = 10
"""Files that may include each other."""

_LIST = re.compile(r"(domain|host|address|localpart)list(?:_cache)?\s+(\w+)\s*=\s*(.*)", re.DOTALL)
_OPTION = re.compile(r"(?:(no|not)_)?(\w+)\s*(?:=\s*(.*))?$", re.DOTALL)
_MACRO = re.compile(r"([A-Z]\w*)\s*==?\s*(.*)", re.DOTALL)
_NAME = re.compile(r"([\w-]+)\s*:\s*$")
_VERB = re.compile(r"(accept|deny|require|drop|warn|defer|discard)\b\s*(.*)", re.DOTALL)
_CONDITION = re.compile(r"(!?\s*\w+)\s*(?:=\s*(.*))?$", re.DOTALL)
_BUILT_IN = re.compile(r"_(HAVE|OPT|DRIVER)_")
_UNESCAPED = {"n": "\n", "t": "\t"}
_DRIVERS = ("routers", "transports", "authenticators")


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line. ``place``: its file and number."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Setting:
    """An option, a named list or a condition."""

    place: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Block:
    """A router, a transport or an authenticator."""

    place: str
    name: str
    settings: list[Setting] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        """The value of an option; empty without one."""
        return next((one.value for one in reversed(self.settings) if one.name == name), "")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of an ACL."""

    place: str
    acl: str
    verb: str
    conditions: list[Setting] = field(default_factory=list)

    def of(self, name: str) -> list[str]:
        return [one.value for one in self.conditions if one.name == name]


class EximConf:
    """All that it says, by section."""

    def __init__(self, text: str, name: str, folder: Path, macros: Mapping[str, str] | None = None) -> None:
        """``folder``: where copies of files may be, which count before those where the text says they are."""
        self.main: dict[str, Setting] = {}
        self.lists: dict[str, Setting] = {}
        self.blocks: dict[str, dict[str, Block]] = {section: {} for section in _DRIVERS}
        self.statements: list[Statement] = []
        self.rest: dict[str, list[Line]] = {}  # sections of lines, such as `retry`
        self.troubles: list[str] = []
        self._folder = folder
        self._macros = dict(macros or {})
        self._acl = ""
        section = "main"
        for line in self._lines(text, name, DEPTH):
            if begun := re.fullmatch(r"begin\s+(\w+)", line.text):
                section = begun[1]
            elif section == "main":
                self._main(line)
            elif section in _DRIVERS:
                self._driver(section, line)
            elif section == "acl":
                self._statement(line)
            else:
                self.rest.setdefault(section, []).append(line)

    def __getitem__(self, name: str) -> str:
        """The value of a main option; empty without one."""
        return self.main[name].value if name in self.main else ""

    # -- sections

    def _main(self, line: Line) -> None:
        text = re.sub(r"^hide\s+", "", line.text)
        if found := _LIST.fullmatch(text):
            self.lists[found[2]] = Setting(line.place, found[2], unquoted(found[3]))
        elif (setting := _setting(line, text)) is not None:
            self.main[setting.name] = setting

    def _driver(self, section: str, line: Line) -> None:
        blocks = self.blocks[section]
        if found := _NAME.fullmatch(line.text):
            blocks[found[1]] = Block(line.place, found[1])
        elif blocks and (setting := _setting(line, re.sub(r"^hide\s+", "", line.text))) is not None:
            blocks[next(reversed(blocks))].settings.append(setting)

    def _statement(self, line: Line) -> None:
        if found := _NAME.fullmatch(line.text):
            self._acl = found[1]
            return
        text = line.text
        if found := _VERB.match(text):
            self.statements.append(Statement(line.place, self._acl, found[1]))
            text = found[2]
        if text and self.statements and (condition := _CONDITION.match(text)):
            name = "".join(condition[1].split())
            self.statements[-1].conditions.append(Setting(line.place, name, unquoted(condition[2] or "")))

    # -- lines

    def _lines(self, text: str, name: str, depth: int) -> Iterator[Line]:
        """Logical lines, without what conditions leave out, macros put in."""
        open_: list[list[bool]] = []  # of each condition: whether it holds now, and whether it has held before
        for number, line in logical_lines(text):
            place = f"{name}:{number}"
            if line.startswith("."):
                word, _, rest = line.partition(" ")
                if "if" in word or word in (".else", ".endif"):
                    self._turn(word, rest, open_)
                elif word.startswith(".include") and all(now for now, _ in open_):
                    yield from self._included(self._put_in(rest.strip()), place, depth, needed=word == ".include")
            elif all(now for now, _ in open_):
                if macro := _MACRO.fullmatch(line):
                    self._macros[macro[1]] = self._put_in(macro[2])
                else:
                    yield Line(place, self._put_in(line))

    def _turn(self, word: str, rest: str, open_: list[list[bool]]) -> None:
        if word == ".endif":
            del open_[-1:]
            return
        defined = any(name in self._macros or _BUILT_IN.match(name) for name in rest.split())
        holds = word == ".else" or defined is word.endswith("ifdef")
        if word in (".ifdef", ".ifndef"):
            open_.append([holds, holds])
        elif open_:
            now = holds and not open_[-1][1]
            open_[-1] = [now, now or open_[-1][1]]

    def _included(self, name: str, place: str, depth: int, *, needed: bool) -> Iterator[Line]:
        try:
            text = self.text_of(name)
        except LookupError as error:
            if needed:
                self.troubles.append(f"{place}: {error}")
            return
        if depth:
            yield from self._lines(text, Path(name).name, depth - 1)

    def _put_in(self, text: str) -> str:
        if not self._macros:
            return text
        names = "|".join(sorted(map(re.escape, self._macros), key=len, reverse=True))
        return re.sub(names, lambda found: self._macros[found[0]], text)

    # -- files and lists

    def text_of(self, name: str) -> str:
        """The text of a file: of its copy in the folder, if there is one. LookupError."""
        return main_cf.text_of(self._folder, name)

    def entries(self, name: str) -> dict[str, str]:
        """Keys and values of a file that `lsearch` looks into. LookupError."""
        found = {}
        for line in main_cf.logical_lines(self.text_of(name)):
            match = re.match(r'\s*("(?:[^"\\]|\\.)*"|[^\s:]+)\s*:?\s*(.*)', line, re.DOTALL)
            if match is not None:
                found[match[1].strip('"').lower()] = match[2].strip()
        return found

    def items(self, text: str, depth: int = DEPTH) -> Iterator[str]:
        """The items of a list, with those of named lists in their place."""
        for item in parted(text):
            name = item.lstrip("! ").removeprefix("+")
            if "+" not in item or name not in self.lists or not depth:
                yield item
                continue
            negated = "! " if item.startswith("!") else ""
            yield from (negated + inner for inner in self.items(self.lists[name].value, depth - 1))


def _setting(line: Line, text: str) -> Setting | None:
    found = _OPTION.match(text)
    if found is None:
        return None
    negated, name, value = found.groups()
    if value is None:
        return Setting(line.place, name, "false" if negated else "true")
    return Setting(line.place, f"{negated}_{name}" if negated else name, unquoted(value))


def unquoted(value: str) -> str:
    """A value without its quotes, in which a backslash escapes."""
    value = value.strip()
    if not value.startswith('"'):
        return value
    inner = re.match(r'"((?:[^"\\]|\\.)*)', value, re.DOTALL)
    assert inner is not None
    return re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[1]), inner[1], flags=re.DOTALL)


def parted(text: str) -> list[str]:
    """The items of a list: parted by colons, or by what stands behind a `<`; twice, it stands for itself."""
    text, mark = text.strip(), ":"
    if chosen := re.match(r"<\s*([^\w\s])", text):
        mark, text = chosen[1], text[chosen.end() :]
    sign = re.escape(mark)
    items = re.split(rf"(?<!{sign}){sign}(?!{sign})", text)
    return [item.strip().replace(mark * 2, mark) for item in items if item.strip()]


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, continued ones joined, without comments, which may stand between these."""
    gathered, first, goes_on = "", 0, False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") or (not stripped and not goes_on):
            continue
        first = first if goes_on else number
        goes_on = stripped.endswith("\\")
        gathered += stripped.removesuffix("\\") if goes_on else stripped
        if not goes_on and gathered:
            yield first, gathered
            gathered = ""
    if gathered:
        yield first, gathered
