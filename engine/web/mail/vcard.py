"""vCards read and written, by which people carry their contacts about: versions 3.0 (RFC 2426) and 4.0 (RFC 6350).

A file is hostile until it was read: it has bounds in every direction, a card that is not well-formed is left out and
said so, and what no mail program needs (pictures, sounds, keys, extensions) is dropped before anything looks at it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final, Literal, NamedTuple, TypeAlias

from engine.web.mail.writing import Mistake, address
from engine.web.text import N_, Text

Version: TypeAlias = Literal["3.0", "4.0"]

FILE: Final = 10 * 1024 * 1024
"""Octets of a file: some programs put a picture of everybody into theirs."""

CARDS: Final = 10_000
"""Cards of a file."""

LINES: Final = 1000
"""Logical lines of a card."""

LINE: Final = 8000
"""Characters of a logical line that is read; longer ones are pictures."""

TOLD: Final = 100
"""Mistakes that are told of a file."""

NAME, NOTE, GROUP = 200, 4000, 60
"""Characters of a name, of a note, and of the name of a group."""

ADDRESSES, GROUPS, NUMBERS, REST = 20, 30, 20, 50
"""Of one card: addresses, groups, telephone numbers, and lines that are kept as they are."""

_FOLD: Final = 75
"""Octets of a line that is written (RFC 6350 3.2)."""

_KEPT: Final = frozenset({
    "N", "NICKNAME", "ADR", "TITLE", "ROLE", "BDAY", "ANNIVERSARY", "URL", "IMPP", "LANG", "TZ", "GEO", "GENDER",
})  # fmt: skip
"""What is not shown, but kept for the next program; it is written alike in both versions."""

_NAME = r"[A-Za-z0-9-]+"
_HEAD = re.compile(rf"(?:{_NAME}\.)?({_NAME})")
_PARAMETER = re.compile(rf';({_NAME})=((?:"[^"\x00-\x08\x0a-\x1f\x7f]*"|[^";:,\x00-\x08\x0a-\x1f\x7f]*)'
                        r'(?:,(?:"[^"\x00-\x08\x0a-\x1f\x7f]*"|[^";:,\x00-\x08\x0a-\x1f\x7f]*))*)')  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LINE_END = re.compile(r"\r?\n")


class Broken(ValueError):
    """The card, or all of the file, cannot be read."""

    def __init__(self, text: Text) -> None:
        super().__init__(text)
        self.text = text


class Trouble(NamedTuple):
    """What was left out of a file, and why."""

    line: int
    why: Text


class Troubles(list[Trouble]):
    """The first ones of a file: a file of nothing else is no reason to remember all."""

    def append(self, trouble: Trouble, /) -> None:
        if len(self) < TOLD:
            super().append(trouble)


@dataclass(frozen=True, slots=True)
class Card:
    """A person, or (``members``) a group of such as are named by UID."""

    name: str
    uid: str = ""
    addresses: tuple[str, ...] = ()  # the preferred one first
    groups: tuple[str, ...] = ()
    note: str = ""
    organization: str = ""
    telephones: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()  # content lines, without what groups them
    members: tuple[str, ...] | None = None


class Read(NamedTuple):
    """What a file has."""

    cards: tuple[Card, ...]
    troubles: tuple[Trouble, ...]


class Line(NamedTuple):
    """A content line (RFC 6350 3.3)."""

    name: str  # in upper case
    parameters: dict[str, list[str]]  # by name in upper case
    value: str
    whole: str  # without what groups it

    def has_type(self, wanted: str) -> bool:
        return any(wanted == one for value in self.parameters.get("TYPE", ()) for one in value.lower().split(","))

    @property
    def preference(self) -> int:
        """1 is best (RFC 6350 5.3); in 3.0 a TYPE says it (RFC 2426 3.3.2)."""
        said = (self.parameters.get("PREF") or [""])[0]
        if said.isascii() and said.isdigit() and len(said) < 4:
            return int(said)
        return 1 if self.has_type("pref") else 101


def read(octets: bytes) -> Read:
    """The cards of a file, those of groups resolved into their members. Broken: it is no file of vCards at all."""
    if len(octets) > FILE:
        raise Broken(N_("the file is too large"))
    try:
        text = octets.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise Broken(N_("the file is not written in UTF-8")) from error
    cards, troubles = list[Card](), Troubles()
    for number, lines in _cards(text, troubles):
        if len(cards) == CARDS:
            troubles.append(Trouble(number, N_("there are too many cards")))
            break
        try:
            cards.append(_card(lines))
        except Broken as error:
            troubles.append(Trouble(number, error.text))
    if not cards and not troubles:
        raise Broken(N_("there is no vCard in the file"))
    return Read(tuple(_with_groups(cards)), tuple(troubles))


def _cards(text: str, troubles: Troubles) -> Iterator[tuple[int, list[str]]]:
    """The logical lines of each card between BEGIN and END, and where it begins."""
    lines: list[str] | None = None
    began = 0
    for number, line in _unfolded(text):
        word = line.strip().upper()
        if word == "BEGIN:VCARD":
            if lines is not None:
                troubles.append(Trouble(began, N_("the card does not end")))
            lines, began = [], number
        elif word == "END:VCARD":
            if lines is not None:
                yield began, lines
            lines = None
        elif lines is not None and line.strip():
            if len(lines) < LINES:
                lines.append(line)
        elif word and (not troubles or troubles[-1].why != _OUTSIDE):
            troubles.append(Trouble(number, _OUTSIDE))
    if lines is not None:
        troubles.append(Trouble(began, N_("the card does not end")))


_OUTSIDE: Final = N_("a line stands in no card")


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first one (RFC 6350 3.2). Of what is too long, the beginning."""
    parts: list[str] = []
    began = length = 0
    for number, ended in enumerate(StringIO(text), 1):
        line = ended.rstrip("\r\n")
        if line[:1] in (" ", "\t") and parts:
            length += len(line) - 1
            if length <= LINE:
                parts.append(line[1:])
            continue
        if parts:
            yield began, "".join(parts) if length <= LINE else _beginning(parts[0])
        parts, began, length = [line[: LINE + 1]], number, len(line)
    if parts:
        yield began, "".join(parts) if length <= LINE else _beginning(parts[0])


def _beginning(line: str) -> str:
    """The name of a line that is too long, without its value: such are pictures, and all too long notes."""
    found = _HEAD.match(line)
    return f"{found[1]}:" if found else line[:80]


def content_line(text: str) -> Line:
    """Broken: it is none."""
    head = _HEAD.match(text)
    if head is None or _CONTROL.search(text):
        raise Broken(N_("a line is not well-formed"))
    at = head.end()
    parameters: dict[str, list[str]] = {}
    while found := _PARAMETER.match(text, at):
        values = [_parameter(one) for one in re.findall(r'"[^"]*"|[^,]+', found[2])]
        parameters.setdefault(found[1].upper(), []).extend(values)
        at = found.end()
    if text[at : at + 1] != ":":
        raise Broken(N_("a line is not well-formed"))
    return Line(head[1].upper(), parameters, text[at + 1 :], text[head.start(1) :])


def _parameter(text: str) -> str:
    """A value without its quotes, and as RFC 6868 has it."""
    known = {"^n": "\n", "^^": "^", "^'": '"'}
    return re.sub(r"\^[n^']", lambda found: known[found[0]], text.strip('"'))


def _card(texts: Sequence[str]) -> Card:
    """Broken."""
    lines = [content_line(one) for one in texts]
    versions = [line.value.strip() for line in lines if line.name == "VERSION"]
    if len(versions) != 1 or versions[0] not in ("3.0", "4.0"):
        raise Broken(N_("the version is neither 3.0 nor 4.0"))
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    mails = _addresses(by_name.get("EMAIL", ()))
    uid = unescaped(_first(by_name, "UID"))[:NAME]
    return Card(
        name=_name_of(by_name, mails),
        uid=uid,
        addresses=mails,
        groups=groups_of(one for line in by_name.get("CATEGORIES", ()) for one in split(line.value, ",")),
        note=unescaped(_first(by_name, "NOTE")).strip()[:NOTE],
        organization=shown(unescaped(split(_first(by_name, "ORG"), ";")[0]))[:NAME],
        telephones=tuple(_telephone(line) for line in by_name.get("TEL", ())[:NUMBERS] if _telephone(line)),
        rest=_rest(lines),
        members=_members(by_name),
    )


def _first(by_name: dict[str, list[Line]], name: str) -> str:
    return by_name[name][0].value if name in by_name else ""


def _rest(lines: Iterable[Line]) -> tuple[str, ...]:
    """What is kept as it is. What is encoded is a picture, or of another version."""
    kept = [line.whole for line in lines if line.name in _KEPT and line.value and "ENCODING" not in line.parameters]
    return tuple(kept[:REST])


def _addresses(lines: Iterable[Line]) -> tuple[str, ...]:
    """Broken: one is no address."""
    found = []
    for line in sorted(lines, key=lambda line: line.preference):
        text = unescaped(line.value).strip()
        text = text[7:] if text[:7].lower() == "mailto:" else text
        if text:
            found.append(valid_address(text))
    return tuple(dict.fromkeys(found))[:ADDRESSES]


def valid_address(text: str) -> str:
    """An address as it is kept. Broken."""
    if len(text) > 320:  # 64 octets before the @, 255 behind it (RFC 5321 4.5.3.1)
        raise Broken(N_("an address is none"))
    try:
        return address(text).lower()
    except Mistake as error:
        raise Broken(N_("an address is none")) from error


def _telephone(line: Line) -> str:
    text = unescaped(line.value).strip()
    return shown(text[4:] if text[:4].lower() == "tel:" else text)[:60]


def _name_of(by_name: dict[str, list[Line]], mails: Sequence[str]) -> str:
    """FN, which every card must have; of those that have none, what is nearest to it. Broken: there is nothing."""
    structured = [shown(unescaped(one)) for one in split(_first(by_name, "N"), ";")]
    family, given, middle = [*structured, "", "", ""][:3]
    for name in (
        shown(unescaped(_first(by_name, "FN"))),
        " ".join(part for part in (given, middle, family) if part),
        shown(unescaped(split(_first(by_name, "ORG"), ";")[0])),
        mails[0] if mails else "",
    ):
        if name:
            return name[:NAME]
    raise Broken(N_("the card has no name"))


def _members(by_name: dict[str, list[Line]]) -> tuple[str, ...] | None:
    """The UIDs of a group's members, as RFC 6350 6.6.5 has them, or Apple's programs in version 3.0."""
    kinds = {
        line.value.strip().lower() for name in ("KIND", "X-ADDRESSBOOKSERVER-KIND") for line in by_name.get(name, ())
    }
    if "group" not in kinds:
        return None
    lines = [line for name in ("MEMBER", "X-ADDRESSBOOKSERVER-MEMBER") for line in by_name.get(name, ())]
    return tuple(_bare(line.value) for line in lines)


def _bare(uid: str) -> str:
    return uid.strip().lower().removeprefix("urn:uuid:")


def _with_groups(cards: Sequence[Card]) -> Iterator[Card]:
    """The people alone, who know in which groups they are."""
    groups: dict[str, list[str]] = {}
    for card in cards:
        for member in card.members or ():
            names = groups.setdefault(member, [])
            if len(names) < GROUPS and card.name not in names:
                names.append(card.name)
    for card in cards:
        if card.members is None:
            more = groups.get(_bare(card.uid), ()) if card.uid else ()
            yield _copied(card, groups_of((*card.groups, *more))) if more else card


def _copied(card: Card, groups: tuple[str, ...]) -> Card:
    return Card(
        card.name, card.uid, card.addresses, groups, card.note, card.organization, card.telephones, card.rest
    )  # fmt: skip


def groups_of(names: Iterable[str]) -> tuple[str, ...]:
    """Names of groups as they are kept: each once."""
    found = (shown(unescaped(name))[:GROUP] for name in names)
    return tuple(dict.fromkeys(name for name in found if name))[:GROUPS]


def split(value: str, sign: str) -> list[str]:
    """The parts of a value between signs that are not escaped, still escaped themselves."""
    parts, start, at = [], 0, 0
    while at < len(value):
        if value[at] == "\\":
            at += 2
            continue
        if value[at] == sign:
            parts.append(value[start:at])
            start = at + 1
        at += 1
    return [*parts, value[start:]]


def unescaped(value: str) -> str:
    """RFC 6350 3.4."""
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)


def escaped(text: str) -> str:
    """RFC 6350 3.4; semicolons too, which no reader minds."""
    text = text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return _LINE_END.sub(r"\\n", text).replace("\r", "")


def shown(text: str) -> str:
    """A text of one line: no controls, no line ends, no runs of spaces."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def written(cards: Iterable[Card], version: Version) -> Iterator[bytes]:
    """A file, card by card."""
    for card in cards:
        yield b"".join(map(_folded, _lines(card, version)))


def _lines(card: Card, version: Version) -> Iterator[str]:
    yield "BEGIN:VCARD"
    yield f"VERSION:{version}"
    if card.uid:
        yield f"UID:{escaped(card.uid)}"
    yield f"FN:{escaped(card.name)}"
    if version == "3.0" and not any(line.upper().startswith(("N:", "N;")) for line in card.rest):
        yield f"N:{escaped(card.name)};;;;"  # which must be there (RFC 2426 3.1.2)
    for place, mail in enumerate(card.addresses, 1):
        yield f"EMAIL;{_PREFERRED[version](place)}:{escaped(mail)}"
    if card.groups:
        yield f"CATEGORIES:{','.join(map(escaped, card.groups))}"
    if card.organization:
        yield f"ORG:{escaped(card.organization)}"
    yield from (f"TEL:{escaped(number)}" for number in card.telephones)
    if card.note:
        yield f"NOTE:{escaped(card.note)}"
    yield from card.rest
    yield "END:VCARD"


_PREFERRED: Final[dict[Version, Callable[[int], str]]] = {
    "3.0": lambda place: "TYPE=INTERNET,PREF" if place == 1 else "TYPE=INTERNET",
    "4.0": lambda place: f"PREF={min(place, 100)}",
}


def _folded(line: str) -> bytes:
    """At most 75 octets each, and none within a character (RFC 6350 3.2)."""
    pieces, piece = [], b""
    for one in line:
        octets = one.encode("utf-8", "replace")
        if len(piece) + len(octets) > _FOLD:
            pieces.append(piece)
            piece = b" "
        piece += octets
    return b"\r\n".join([*pieces, piece]) + b"\r\n"
