"""MTA hooks: what is asked of a server by JSON over HTTP, and what its answer asks for.

The protocol is Stalwart's, https://stalw.art/docs/api/mta-hooks/overview, in its version 1.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Literal, TypeAlias

import msgspec

from engine.message import HEADER_LIMIT, PARK, RELEASED, Message, Recipient, Session, end_of_header
from engine.scanning.decoding import decoded
from engine.scanning.edits import Edits
from engine.scanning.guard import Unreachable
from engine.scanning.recipients import Wanted, address
from engine.verdict import Changed, Defer, Discard, Each, Reject, Verdict

Point: TypeAlias = Literal["connect", "mail", "rcpt", "data"]
"""Where in an SMTP session a hook is asked."""

MOST = 1000
"""Modifications of one message: each may be one of the whole of it."""

REFUSED = "This message was refused by a filter"
LATER = "A filter asks you to come again later"

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_BREAKS = re.compile(r"[\r\n]+[ \t]*")
_STATUS = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")
_ENCODER = msgspec.json.Encoder()


class Response(msgspec.Struct, frozen=True, rename="camel"):
    """What is said to the client. Stalwart's code reads ``enhanced_status``, its documentation has the other name."""

    status: int | None = None
    enhanced_status: str | None = None
    message: str | None = None
    snake: str | None = msgspec.field(default=None, name="enhanced_status")


class Modification(msgspec.Struct, frozen=True):
    type: str
    value: str = ""
    name: str = ""
    index: int = 0


class Answer(msgspec.Struct, frozen=True):
    action: Literal["accept", "discard", "reject", "quarantine"]
    response: Response | None = None
    modifications: list[Modification] = []


_DECODER = msgspec.json.Decoder(Answer)


def parse(body: bytes) -> Answer:
    """Unreachable where it is no answer."""
    return decoded(_DECODER, body)


# -- the question


def question(
    point: Point, hostname: str, session: Session, sender: str | None = None, recipients: Sequence[str] = ()
) -> bytes:
    """What is asked before there is a message."""
    asked: dict[str, Any] = {"context": _context(point, hostname, session)}
    if sender is not None:
        asked["envelope"] = {"from": {"address": sender}, "to": [{"address": address} for address in recipients]}
    return _ENCODER.encode(asked)


def question_about(message: Message, hostname: str, most: int) -> bytes:
    """What is asked about a message; so many octets of its body go along at most."""
    context = _context("data", hostname, message.session)
    context["queue"] = {"id": str(message.id)}
    if ptr := message.fact("iprev.name"):
        context["client"]["ptr"] = ptr
    ours = len(message.envelope.prepended)
    header, body = _parts(message, most)
    return _ENCODER.encode(
        {
            "context": context,
            "envelope": {
                "from": {"address": message.sender, "parameters": _mail_parameters(message)},
                "to": [
                    {"address": to.address, "parameters": _rcpt_parameters(to)} for to in message.envelope.recipients
                ],
            },
            "message": {
                "headers": list(_fields(header[ours:])),
                "serverHeaders": list(_fields(header[:ours])),
                "contents": body[:most].decode("utf-8", "replace"),
                "size": message.size,
            },
        }
    )


def _context(point: Point, hostname: str, session: Session) -> dict[str, Any]:
    # What we do not know of a session is 0 where a number has to be.
    client = {"ip": session.peer, "port": 0, "ptr": None, "helo": session.helo or None, "activeConnections": 1}
    context: dict[str, Any] = {
        "stage": point,
        "client": client,
        "server": {"name": hostname, "port": 0, "ip": None},
        "protocol": {"version": 1},
    }
    if session.login:
        context["sasl"] = {"login": session.login}
    if session.tls:
        version, _, cipher = session.tls.partition(" ")
        context["tls"] = {"version": version, "cipher": cipher}
    return context


def _mail_parameters(message: Message) -> dict[str, str]:
    envelope = message.envelope
    told = {"SIZE": str(message.size), "BODY": envelope.body, "RET": envelope.ret, "ENVID": envelope.envid}
    return {name: value for name, value in told.items() if value} | ({"SMTPUTF8": ""} if envelope.smtputf8 else {})


def _rcpt_parameters(to: Recipient) -> dict[str, str]:
    told = {"NOTIFY": to.notify, "ORCPT": to.original}
    return {name: value for name, value in told.items() if value}


def _fields(section: bytes) -> Iterator[tuple[str, str]]:
    """(name, value) of each field, the value as it is folded."""
    for match in _FIELD.finditer(section):
        yield match[1].decode(), match[2].decode("utf-8", "replace").rstrip("\r\n")


def _parts(message: Message, most: int) -> tuple[bytes, bytes]:
    """The header section, and the body or at least ``most`` octets of it."""
    ours, gathered, end = len(message.envelope.prepended), bytearray(), None
    for chunk in message.chunks():
        gathered += chunk
        if end is None and (found := end_of_header(bytes(gathered[ours : ours + HEADER_LIMIT]))) is not None:
            end = ours + found
        if len(gathered) >= (end or ours + HEADER_LIMIT) + 2 + most:
            break
    octets = bytes(gathered)
    return (octets, b"") if end is None else (octets[:end], octets[end + 2 :])


# -- the answer


def refusal(answer: Answer, name: str) -> Reject | Defer | None:
    """What is said to the client in place of a yes."""
    if answer.action != "reject":
        return None
    response = answer.response or Response()
    text, code = response.message or "", response.enhanced_status or response.snake or ""
    kind, usual, standard = (
        (Defer, "4.7.1", LATER) if 400 <= (response.status or 550) < 500 else (Reject, "5.7.1", REFUSED)
    )
    return kind(text or standard, code=code if _STATUS.fullmatch(code) and code[0] == usual[0] else usual, log=name)


def verdict(message: Message, answer: Answer, name: str, *, whole: bool) -> Verdict | Changed:
    """What becomes of the message. Unreachable for a change that cannot be made; ``whole``: all of it was sent."""
    if (refused := refusal(answer, name)) is not None:
        return refused
    if answer.action == "discard":
        return Discard(name)
    if len(answer.modifications) > MOST:
        raise Unreachable(f"asks for more than {MOST} modifications")
    changed, recipients = message, Wanted(message, name)
    for change in answer.modifications:
        if (edit := _RECIPIENTS.get(change.type)) is not None:
            edit(recipients, change.value)
        else:
            changed = _changed(changed, change, whole=whole)
    changed = changed.with_fact(f"scan.{name}.action", answer.action)
    if answer.action == "quarantine":
        reason = (answer.response and answer.response.message) or f"found by {name}"
        released = message.fact(RELEASED)
        if not (isinstance(released, list) and reason in released):
            changed = changed.with_fact(PARK, reason)
    verdicts = recipients.verdicts({})
    return Changed(changed, Each(verdicts)) if verdicts else changed


_RECIPIENTS: Mapping[str, Callable[[Wanted, str], None]] = {
    "addRecipient": Wanted.add,
    "addRcpt": Wanted.add,
    "deleteRecipient": Wanted.remove,
    "deleteRcpt": Wanted.remove,
}
"""Stalwart's code has the shorter names, its documentation the longer ones."""


def _changed(message: Message, change: Modification, *, whole: bool) -> Message:
    name, value = change.name, _BREAKS.sub(" ", change.value).strip()
    try:
        match change.type:
            case "changeFrom":
                return message.with_sender(address(message, change.value, sender=True))
            case "replaceContents" if whole:
                header, _ = _parts(message, 0)
                return message.with_content(b"%b\r\n%b" % (header, change.value.encode()))
            case "addHeader" | "insertHeader":
                return Edits(add=((name, value),)).applied(message)
            case "changeHeader" if value:
                return Edits(add=((name, value),)).applied(_without(message, change))
            case "changeHeader" | "deleteHeader":
                return _without(message, change)
    except ValueError as error:
        raise Unreachable(f"asks for a header field that is none: {error}") from error
    raise Unreachable(f"asks for what cannot be done: {change.type} {change.value[:100]!r}")


def _without(message: Message, change: Modification) -> Message:
    """Without the field of that name and number, 1 the topmost."""
    numbers = count(1)
    return message.without_fields(change.name, lambda _: next(numbers) == max(1, change.index))
