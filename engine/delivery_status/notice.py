"""What a report says, in one form whoever wrote it."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.protocols.dsn import ACTIONS, DEFAULTS, Action

Form: TypeAlias = Literal["standard", "qmail", "postfix", "exim", "exchange", "sendmail", "hint"]
"""How a report is written: by RFC 3464 or RFC 6533; in words, as that program has them; `hint`: the header alone says
whom it is about."""

RECIPIENTS = 1000
"""Recipients of one report that are read."""

VALUE_LIMIT = 2000
"""Characters of a value that are kept."""

ADDRESS_LIMIT = 320
"""Characters of an address: a local part, an "@" and a domain, the longest that ever were allowed."""

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")
_ADDRESS = re.compile(r'<?((?:"[^"\\\s<>]{1,64}"|[^\s<>()",;:\\]{1,256})@[^\s<>()",;@]{1,255})>?')
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)", re.ASCII)
_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ \-#]|$)", re.ASCII)
_ACTION_OF: dict[str, Action] = {"5": "failed", "4": "delayed", "2": "delivered"}
_CLASS_OF = {"failed": "5", "delayed": "4"}


@dataclass(frozen=True, slots=True)
class Status:
    """What became of one recipient.

    ``status`` is an enhanced code (RFC 3463), worked out where the report has none. ``diagnostic`` are the words of
    the server that decided, and ``remote`` its name. ``original`` is the address that the sender wrote to, if told.
    """

    recipient: str
    action: Action
    status: str
    diagnostic: str = ""
    remote: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A report. ``message_id`` is that of the message which it is about, with its angle brackets, and ``envelope_id``
    the ENVID that its sender gave, decoded; both empty where the report does not have them."""

    form: Form
    recipients: tuple[Status, ...]
    reporter: str = ""
    envelope_id: str = ""
    message_id: str = ""


def status(
    recipient: str, action: str, code: str, diagnostic: str, *, remote: str = "", original: str = ""
) -> Status | None:
    """What is said of a recipient, made whole; None where it says nothing, or of nobody."""
    recipient = address(recipient) or address(original)
    found = _ENHANCED.search(code[:VALUE_LIMIT])
    wanted = found[1] if found else _derived(diagnostic)
    named = next((known for known in ACTIONS if action.lower().startswith(known)), None)
    what = named or _ACTION_OF.get(wanted[:1])
    if not recipient or what is None:
        return None
    return Status(
        recipient,
        what,
        wanted or f"{_CLASS_OF.get(what, '2')}.0.0",
        clean(diagnostic),
        clean(remote)[:255],
        address(original),
    )


def _derived(diagnostic: str) -> str:
    """The enhanced code in a diagnostic, or what its SMTP code comes to; empty where there is neither."""
    text = diagnostic[:VALUE_LIMIT]
    if found := _ENHANCED.search(text):
        return found[1]
    if code := _CODE.search(text):
        return f"{code[1][0]}.{DEFAULTS.get(code[1], '0.0')}"
    return ""


def address(text: str) -> str:
    """The address in a text; empty where it is none."""
    found = _ADDRESS.fullmatch(text.strip()[: ADDRESS_LIMIT + 2])
    return found[1] if found and len(found[1]) <= ADDRESS_LIMIT else ""


def clean(text: str) -> str:
    """In one line of bounded length, without what a terminal or a log would obey."""
    return _UNSAFE.sub(" ", text[: 2 * VALUE_LIMIT]).strip()[:VALUE_LIMIT]
