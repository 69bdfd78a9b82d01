"""What a complaint says, in one form whoever wrote it."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["arf", "jmrp", "forwarded"]
"""How it is written: by RFC 5965; as Outlook.com does, the message alone with a field on top; a message that was passed
on by somebody who says that it is a complaint."""

MOST = 20
"""Addresses of one complaint that are read."""

_BLACKENED = re.compile(
    r"[\[<(]?(?:redacted|removed|hidden|undisclosed|anonymous|private)(?:[\]>) _-].*)?|[x*#-]{3,}", re.I
)
_HASHED = re.compile(r"[0-9a-f]{16,128}")
_HASHED_64 = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9+/])[A-Za-z0-9+/_-]{27,43}={0,2}")


@dataclass(frozen=True, slots=True)
class Report:
    """A complaint. Addresses are those that it names, the redacted ones left out.

    ``kind`` is what RFC 5965 7.3 registers, or another word: "abuse", "not-spam", …. ``text`` is what it says for
    programs, and the header section of the message that it is about: where an address or a link that we have signed
    may stand anywhere.
    """

    form: Form
    kind: str
    recipients: tuple[str, ...] = ()  # the original ones, the best guess first
    redacted: bool = False  # whether such an address was hidden
    sender: str = ""  # that of the envelope
    agent: str = ""  # the program that wrote it
    reporter: str = ""  # the server
    source: str = ""  # the IP address that the message came from
    incidents: int = 1
    domains: tuple[str, ...] = ()  # that are complained about
    message_id: str = ""  # with angle brackets
    unsubscribe: tuple[str, ...] = ()  # values of List-Unsubscribe
    received: tuple[tuple[str, str], ...] = ()  # by whom, under which id, the newest first
    text: str = ""


def is_redacted(address: str) -> bool:
    """Whether the local part was hidden: blackened, or replaced by a hash (RFC 6590)."""
    local = address.rpartition("@")[0].strip('"')
    return bool(_BLACKENED.fullmatch(local) or _HASHED.fullmatch(local.lower()) or _HASHED_64.fullmatch(local))
