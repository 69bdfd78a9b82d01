"""What rspamd answers, in JSON, and the finding that it leads to."""

import re
from collections.abc import Iterator

import msgspec

from engine.message import Fact
from engine.protocols.address import parse_path
from engine.scanning.decoding import decoded
from engine.scanning.edits import ALL, Edits
from engine.scanning.finding import Action, Finding
from engine.scanning.guard import Unreachable

SYMBOLS = 1000
"""Rules that may match: they are kept with the message."""

TEXT_LIMIT = 200
"""Characters of what rspamd wants the client to hear."""

SPAM_HEADER = "X-Spam"
"""What is added to say that it is spam, where rspamd does not want something else: as its own milter does."""

_SPACE = re.compile(r"\s+")


class _Symbol(msgspec.Struct):
    score: float = 0


class _Value(msgspec.Struct):
    """``order`` is left aside: fields are added on top."""

    value: str


class _Milter(msgspec.Struct):
    """Changes that rspamd's modules want, mostly `milter_headers`."""

    add_headers: dict[str, str | _Value | list[str | _Value]] = {}
    remove_headers: dict[str, int] = {}
    spam_header: str | dict[str, str] = "Yes"
    change_from: str | None = None
    reject: str = ""
    no_action: bool = False


class _Answer(msgspec.Struct):
    action: str
    score: float = 0
    required_score: float | None = None
    symbols: dict[str, _Symbol] = {}
    messages: object = None  # a table; of rspamd before 1.9 a list, in which nobody is meant to hear anything
    subject: str | None = None
    milter: _Milter = msgspec.field(default_factory=_Milter)
    signatures: str | list[str] = msgspec.field(default="", name="dkim-signature")


_decoder = msgspec.json.Decoder(_Answer)

_ACTIONS: dict[str, Action] = {
    "reject": "reject",
    "soft reject": "defer",
    "discard": "discard",
    "quarantine": "quarantine",
}
"""All others let a message pass; so does `greylist`: what is to wait, its greylisting module makes a `soft reject`."""


_JUNK = {"add header", "rewrite subject"}
"""Actions of what is most likely spam (`engine.message.JUNK`)."""


def parsed(body: bytes, *, utf8: bool = False) -> Finding:
    """Unreachable when it is no answer: then nothing is known of the message.

    ``utf8``: the message is one of RFC 6531, so that its sender may be, too.
    """
    answer = decoded(_decoder, body)
    try:
        return _finding(answer, utf8=utf8)
    except ValueError as error:
        raise Unreachable(f"nonsense for an answer: {error}") from error


def _finding(answer: _Answer, *, utf8: bool) -> Finding:
    if len(answer.symbols) > SYMBOLS:
        raise ValueError(f"more than {SYMBOLS} symbols")
    milter = answer.milter
    action: Action = "none" if milter.no_action else _ACTIONS.get(answer.action, "none")
    if action == "reject" and milter.reject in ("discard", "quarantine"):
        action = _ACTIONS[milter.reject]
    facts: dict[str, Fact] = {"action": answer.action}
    if answer.action in _JUNK and not milter.no_action:
        facts["junk"] = True
    percent = None
    if answer.required_score is not None:
        facts["required"] = answer.required_score
        percent = (
            max(0.0, min(100.0, 100 * answer.score / answer.required_score)) if answer.required_score > 0 else None
        )
    said = answer.messages.get("smtp_message") if isinstance(answer.messages, dict) else None
    text = _SPACE.sub(" ", said).strip()[:TEXT_LIMIT] if isinstance(said, str) else ""
    return Finding(
        action=action,
        text=text or _TEXTS.get(action, ""),
        code=_CODES.get(action, ""),
        # A score or a text in it would make each quarantine one of its own.
        reason=f"rspamd says {answer.action}" if action == "quarantine" else answer.action,
        score=answer.score,
        percent=percent,
        symbols={name: symbol.score for name, symbol in answer.symbols.items()},
        facts=facts,
        edits=_edits(answer, utf8=utf8),
    )


_TEXTS: dict[Action, str] = {
    "reject": "This message looks like spam",
    "defer": "Please send this message again later",
}
_CODES: dict[Action, str] = {"reject": "5.7.1", "defer": "4.7.1"}


def _edits(answer: _Answer, *, utf8: bool) -> Edits:
    """ValueError for what cannot stand in a header."""
    milter = answer.milter
    remove, add = dict(milter.remove_headers), list(_added(milter))
    if answer.action == "add header" and not milter.no_action:
        marks = milter.spam_header if isinstance(milter.spam_header, dict) else {SPAM_HEADER: milter.spam_header}
        remove |= dict.fromkeys(marks, ALL)
        add = [*marks.items(), *((name, value) for name, value in add if name not in marks)]
    signatures = [answer.signatures] if isinstance(answer.signatures, str) else answer.signatures
    add += [("DKIM-Signature", value) for value in signatures if value]
    rewrites = answer.action == "rewrite subject" and not milter.no_action
    return Edits(
        remove=remove,
        add=tuple(add),
        subject=answer.subject if rewrites else None,
        sender=None if milter.change_from is None else _sender(milter.change_from, utf8=utf8),
    )


def _added(milter: _Milter) -> Iterator[tuple[str, str]]:
    for name, values in milter.add_headers.items():
        for value in values if isinstance(values, list) else [values]:
            yield name, value if isinstance(value, str) else value.value


def _sender(change_from: str, *, utf8: bool) -> str:
    """With or without angle brackets."""
    inner = change_from.strip().removeprefix("<").removesuffix(">")
    sender = parse_path(f"<{inner}>", null_ok=True, utf8=utf8)
    if not isinstance(sender, str):
        raise ValueError(f"{change_from[:80]!r} is no sender: {sender.text}")
    return sender
