"""An archive of copies: of each journal report the message in it, as it came, with the envelope that is told there."""

import re
from collections.abc import Iterator

from engine.exchange.letters import Letter
from engine.mailbox import Mailboxes
from engine.message import Envelope, Message, MessageId, Octets
from engine.mime.rewriting import text
from engine.mime.structure import structure
from engine.rehearsal.sources import Asked, Broke, Told, as_stored, of_letter, stored

REPORT = "X-MS-Journal-Report"
"""The field by which journal reports are known: ours, and those of Exchange."""

_TEXT = 2**20
"""Characters of what a report says that are read."""

_MESSAGES = (b"message/rfc822", b"message/global")
_LINE = re.compile(r"^(Sender|To|Cc|Bcc|Recipient):[ \t]*<?([^\s<>,]*)", re.MULTILINE)
_IDENTITY = re.compile(r"\bid=(\S+)")


def archived(mailboxes: Mailboxes, accounts: tuple[int, ...], options: Told, broken: Broke) -> Iterator[Asked]:
    """What was copied into the mailboxes of these accounts, each message once, whoever else got a copy."""
    seen: set[str] = set()
    for account in accounts:
        for where, octets, received in stored(mailboxes, account):
            report = reported(octets)
            if report is None:
                broken(where, "it is no journal report")
                continue
            name, message, said = report
            if name not in seen:
                seen.add(name or where)
                try:
                    yield of_letter(name or where, Letter([as_stored(message)], received=received), options.over(said))
                except ValueError as error:
                    broken(where, str(error))


def reported(octets: Octets) -> tuple[str, Octets, Told] | None:
    """The id of the message that is in a journal report, if that says it; the message; and its envelope.

    None for what is no journal report.
    """
    head = Message(MessageId(bytes(16)), Envelope("", ()), octets)
    if head.header(REPORT) is None:
        return None
    parts = structure([octets]).parts
    about = next((part for part in parts if part.media == b"text/plain"), None)
    inside = next((part for part in parts if part.media in _MESSAGES), None)
    if about is None or inside is None:
        return None
    said = _LINE.findall(text(octets, about)[:_TEXT].replace("\r\n", "\n"))
    told = Told(
        sender=next((address for name, address in said if name == "Sender"), ""),
        recipients=tuple(dict.fromkeys(address for name, address in said if name != "Sender" and "@" in address)),
        peer=_said(head, "Peer"),
        login=_said(head, "Login"),
        tls=_said(head, "TLS"),
    )
    found = _IDENTITY.search(_said(head, "Journal"))
    return found[1] if found else "", Octets(octets[inside.body : inside.end]), told


def _said(head: Message, name: str) -> str:
    """What we have written besides on top of the report."""
    return head.header(f"X-Postroad-{name}") or ""
