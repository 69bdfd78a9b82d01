"""What a script wants done with a message. Whoever delivers does it."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Keep:
    """Into the inbox. ``header`` in all actions: what takes the place of the header section, None: nothing."""

    flags: tuple[str, ...] = ()
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class FileInto:
    """Into a folder; into the inbox, if it cannot be. ``mailbox_id`` and ``special_use`` come before the name.

    ``create``: make the folder where there is none (RFC 5490 3.2).
    """

    folder: str
    flags: tuple[str, ...] = ()
    create: bool = False
    special_use: str = ""  # RFC 8579
    mailbox_id: str = ""  # RFC 9042
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    address: str
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """Said outright; what is done is nothing."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse with these words: in the protocol, as long as that goes on; or by a report. RFC 5429

    ``in_protocol``: `ereject`, which the protocol shall carry even where the words have to be made ASCII for it.
    """

    reason: str
    in_protocol: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to the sender, all of whose rules have been looked at (RFC 5230). It goes out from the null sender.

    ``key`` is to be remembered for so many ``seconds``, and ``World.was_answered`` is asked for it. ``content`` is the
    message, with CRLF; whoever sends it adds Date and Message-ID.
    """

    recipient: str
    content: bytes
    key: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Notify:
    """A short message to somebody, by mail (RFC 5436). ``content`` lacks Date and Message-ID."""

    recipients: tuple[str, ...]
    content: bytes


Action: TypeAlias = Keep | FileInto | Redirect | Discard | Reject | Reply | Notify


@dataclass(frozen=True, slots=True)
class Remember:
    """An id that was seen (RFC 7352): ``World.was_seen`` is asked for it. To be kept once the actions are done."""

    key: str
    seconds: int
    again: bool  # the time begins anew, though it was seen before


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: in the order of the script, the implicit keep last.

    ``error`` says why the script was stopped, for its owner; the actions are one Keep then (RFC 5228 2.10.6).
    """

    actions: tuple[Action, ...]
    remember: tuple[Remember, ...] = ()
    error: str = ""
