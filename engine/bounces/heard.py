"""What was heard of a server: its codes, its text in a form that compares, and at which step it was said.

It reads replies as our relay notes them, and as others quote them: in reports (RFC 3464), in logs of Postfix and Exim.
"""

import re
from typing import Literal, NamedTuple, TypeAlias

Phase: TypeAlias = Literal["", "connect", "hello", "tls", "login", "sender", "recipient", "data", "content"]

LONGEST = 2_000
"""Characters of a text that are looked at: what is said behind them is for people."""

# All of these go through a text once, whatever it is: no part of them can take what another one may take as well.
_CODE = re.compile(r"(?:^|[:;#>)\"'] ?|said |reply )([2-5][0-9]{2})(?=[ \-#:;,.)(]|$)")
_STATUS = re.compile(r"(?:^|[ \-#(:;])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")
_CONTINUED = re.compile(
    r"(?<![\w.])[2-5][0-9]{2}(?:-(?:[245]\.[0-9]{1,3}\.[0-9]{1,3} )?| [245]\.[0-9]{1,3}\.[0-9]{1,3} )"
)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_QUOTES = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT SINGLE QUOTATION MARK}": "'"})

_PHASES: tuple[tuple[str, Phase], ...] = (
    ("in reply to rcpt to", "recipient"),
    ("in reply to end of data", "content"),
    ("in reply to mail from", "sender"),
    ("in reply to data", "data"),
    ("in reply to ehlo", "hello"),
    ("in reply to helo", "hello"),
    ("in reply to starttls", "tls"),
    ("refused to talk to me", "connect"),
    ("initial server greeting", "connect"),
    ("after rcpt to", "recipient"),
    ("after pipelined rcpt to", "recipient"),
    ("after end of data", "content"),
    ("after mail from", "sender"),
    ("after pipelined mail from", "sender"),
    ("after initial connection", "connect"),
    ("after pipelined data", "data"),
    ("after data", "data"),
    ("after ehlo", "hello"),
    ("after helo", "hello"),
    ("while performing the ehlo handshake", "hello"),
    ("while sending rcpt to", "recipient"),
    ("while sending end of data", "content"),
    ("while sending mail from", "sender"),
    ("while sending message body", "content"),
)


class Heard(NamedTuple):
    """A reply, or another text about a delivery."""

    code: int = 0  # of RFC 5321; 0: none
    status: str = ""  # of RFC 3463
    text: str = ""  # lower case, on one line, without the codes at the beginnings of its lines
    phase: Phase = ""

    @classmethod
    def of(cls, text: str, *, code: int = 0, status: str = "", phase: Phase = "") -> "Heard":
        """What ``text`` says; what it does not, as the other arguments have it."""
        plain = _SPACE.sub(" ", text[:LONGEST].translate(_QUOTES)).strip().lower()
        found = _CODE.search(plain)
        said = int(found[1]) if found else code
        start = found.end() if found else 0
        close = _STATUS.search(plain, start - 1 if start else 0)
        if close and (not found or close.start() <= start or plain[close.start()] in "#("):
            status = close[1]
        return cls(said, status, " ".join(_CONTINUED.sub(" ", f"{plain} ").split()), phase or _phase(plain))


def _phase(text: str) -> Phase:
    return next((phase for mark, phase in _PHASES if mark in text), "")
