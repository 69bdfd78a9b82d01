"""Whether a reply says that we send too much, or something about the message alone."""

import re
from typing import Literal, TypeAlias

PushBack: TypeAlias = Literal["", "connection", "sure", "unsure"]

_LOAD = re.compile(
    r"rate|limit|too (many|much|fast|frequent|quick)|throttl|slow ?down|busy|overload|congest|frequen|concurren"
    r"|resources|temporarily (deferred|blocked)|unusual|exceed|quota of|connections?\b|reputation",
    re.IGNORECASE,
)
_MESSAGE = re.compile(r"gr[ae]y[- _]?list|mailbox|over ?quota|recipients|user|address rejected|content", re.IGNORECASE)
_CONNECTION = re.compile(
    r"(too many|concurren|simultaneous|parallel|max\w*|limit\w*)\b.*\b(connection|session)", re.IGNORECASE
)
_FAREWELL = re.compile(r"time-?d? ?out|timeout|idle|inactiv|per (connection|session)|shut(ting)? ?down", re.IGNORECASE)


def push_back(code: int, status: str, text: str, *, first: bool) -> PushBack:
    """What a reply with that code and enhanced status (RFC 3463) says.

    `connection`: there are too many. `sure`: there is too much of us. `unsure`: that, or it is about the message.
    ``first``: to the message's first attempt; nobody greylists a later one.
    """
    if not 400 <= code < 500:
        return ""
    if code == 421 and _FAREWELL.search(text):
        return ""
    if _CONNECTION.search(text):
        return "connection"
    if code == 421:
        return "sure"
    subject = status.split(".")[1] if status.count(".") == 2 else ""
    # 2: the mailbox, 1: an address, 5.3: too many recipients in one message, 6: its content.
    if subject in ("1", "2", "6") or status.endswith(".5.3") or _MESSAGE.search(text):
        return ""
    return "sure" if _LOAD.search(text) or not first else "unsure"
