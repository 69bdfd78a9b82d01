"""What a milter answers: changes of the message, and the decision about it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from engine.protocols.milter.terms import Action
from engine.protocols.milter.wire import MilterError, numbered, texts

_REPLY = re.compile(r"([45][0-9]{2})[ -](?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*)", re.DOTALL)
_LINE_END = re.compile(r"\r?\n")
_NAME = re.compile(r"[!-9;-~]{1,100}")
_UNPRINTABLE = re.compile(r"[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]")


class Refusal(NamedTuple):
    """A 5xx or 4xx reply: ``permanent`` or not, its enhanced status code (RFC 3463) or "", its text in one line."""

    permanent: bool
    code: str = ""
    text: str = ""


class AddHeader(NamedTuple):
    name: str
    value: str


class InsertHeader(NamedTuple):
    """Before the field number ``place``, counted from 0 over all that the message has."""

    place: int
    name: str
    value: str


class ChangeHeader(NamedTuple):
    """The occurrence number ``place``, counted from 1, of the fields of that name; an empty value deletes it."""

    place: int
    name: str
    value: str


class ChangeSender(NamedTuple):
    path: str
    parameters: str = ""


class AddRecipient(NamedTuple):
    path: str
    parameters: str = ""


class DeleteRecipient(NamedTuple):
    path: str


class ReplaceBody(NamedTuple):
    """The next piece of the new body."""

    octets: bytes


Change: TypeAlias = (
    AddHeader | InsertHeader | ChangeHeader | ChangeSender | AddRecipient | DeleteRecipient | ReplaceBody
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a message. ``changes`` in the order in which they are to be made."""

    outcome: Literal["pass", "refuse", "discard"]
    refusal: Refusal | None = None
    refused: Mapping[int, Refusal] = field(default_factory=dict)  # recipients, by their place
    changes: tuple[Change, ...] = ()
    quarantine: str | None = None  # the reason
    leading_space: bool = False  # values of fields begin with the blank behind the colon


TEMPORARY = Refusal(permanent=False, code="4.7.1", text="Service unavailable, please try again later")
PERMANENT = Refusal(permanent=True, code="5.7.1", text="Command rejected")
"""What Sendmail says where a milter gives no text."""


def refusal(data: bytes) -> Refusal:
    """Of a reply such as "550 5.7.1 text", which may have more lines. MilterError.

    Sendmail took it for a format, so that milters write "%%" for "%".
    """
    (said,) = texts(data, "a reply") if data.count(b"\0") == 1 else ("",)
    lines = [_REPLY.fullmatch(line) for line in _LINE_END.split(said.rstrip("\r\n"))]
    found = [line for line in lines if line]
    if not found or len(found) < len(lines) or len({line[1] for line in found}) > 1:
        raise MilterError(f"{said[:80]!r} is no reply")
    first = found[0]
    code = first[2] or ""
    if code and code[0] != first[1][0]:
        raise MilterError(f"the codes of the reply {said[:80]!r} contradict each other")
    joined = " ".join(line[3].strip() for line in found if line[3].strip())
    return Refusal(permanent=first[1][0] == "5", code=code, text=printable(re.sub(r"%(%?)", r"\1", joined)))


def printable(text: str) -> str:
    """A text of the milter's in one line that does no harm in replies and logs."""
    return _UNPRINTABLE.sub("?", " ".join(text.split()))


def _fields(data: bytes, what: str) -> tuple[str, str]:
    name, *values = texts(data, what)
    if len(values) != 1 or not _NAME.fullmatch(name):
        raise MilterError(f"{what} is none: {name[:80]!r}")
    return name, values[0]


def _add_header(data: bytes) -> Change:
    return AddHeader(*_fields(data, "a header field"))


def _insert_header(data: bytes) -> Change:
    place, rest = numbered(data, "a header field to insert")
    return InsertHeader(place, *_fields(rest, "a header field to insert"))


def _change_header(data: bytes) -> Change:
    place, rest = numbered(data, "a header field to change")
    return ChangeHeader(place, *_fields(rest, "a header field to change"))


def _path(data: bytes, what: str) -> tuple[str, str]:
    path, *parameters = texts(data, what)
    if len(parameters) > 1:
        raise MilterError(f"{what} has more than an address and its parameters")
    return path, parameters[0] if parameters else ""


def _change_sender(data: bytes) -> Change:
    return ChangeSender(*_path(data, "a new sender"))


def _add_recipient(data: bytes) -> Change:
    return AddRecipient(*_path(data, "a new recipient"))


def _delete_recipient(data: bytes) -> Change:
    path, parameters = _path(data, "a recipient to delete")
    if parameters:
        raise MilterError("a recipient to delete has parameters")
    return DeleteRecipient(path)


CHANGES: Mapping[bytes, tuple[Action, Callable[[bytes], Change]]] = {
    b"h": (Action.ADD_HEADERS, _add_header),
    b"i": (Action.ADD_HEADERS, _insert_header),
    b"m": (Action.CHANGE_HEADERS, _change_header),
    b"e": (Action.CHANGE_SENDER, _change_sender),
    b"+": (Action.ADD_RECIPIENTS, _add_recipient),
    b"2": (Action.ADD_RECIPIENTS_WITH_PARAMETERS, _add_recipient),
    b"-": (Action.DELETE_RECIPIENTS, _delete_recipient),
    b"b": (Action.CHANGE_BODY, ReplaceBody),
}
"""By the code of an answer: what must have been negotiated for it, and what it is."""
