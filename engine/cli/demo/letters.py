"""The five messages of the demo: sent with smtplib, and read again with poplib, as any client would."""

import email
import email.policy
import poplib
import re
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

from engine.cli.demo.sites import HOST, Site
from engine.cli.demo.ways import DELIVERED, REFUSED, RETURNED

ANNA, CARL, BERT = "anna@a.example", "carl@a.example", "bert@b.example"

PHOTO = bytes(range(256)) * 256
"""An attachment with every octet there is."""

_TIMEOUT = 10.0


class Trouble(Exception):
    """The client and a server do not get on; the text says how."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, and how it is to end for each recipient."""

    title: str
    subject: str
    ends: Mapping[str, str]
    attachment: bytes = b""

    def content(self) -> EmailMessage:
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = ANNA, ", ".join(self.ends), self.subject
        letter.set_content("The way is the goal.\n")
        if self.attachment:
            letter.add_attachment(self.attachment, maintype="image", subtype="x-test", filename="photo")
        return letter


LETTERS = (
    Letter("To the other domain, with an attachment", "A photo for you", {BERT: DELIVERED}, PHOTO),
    Letter("To a neighbour in the same domain", "Lunch?", {CARL: DELIVERED}),
    Letter("To both of them at once", "A party on Friday", {CARL: DELIVERED, BERT: DELIVERED}),
    Letter("To somebody who does not exist here", "Hello?", {"nobody@a.example": REFUSED}),
    Letter("To somebody who does not exist there", "Is anybody there?", {"nobody@b.example": RETURNED}),
)


class _Client(smtplib.SMTP):
    """Keeps the last answer, which smtplib would drop: it names the message."""

    answer = b""

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, self.answer = super().data(msg)
        return code, self.answer


def send(letter: Letter, site: Site) -> str:
    """Hand the message to the server; the id that it gets there, or "" when its recipients are refused."""
    try:
        with _Client(HOST, site.smtp, local_hostname="client.example", timeout=_TIMEOUT) as client:
            client.send_message(letter.content())
    except smtplib.SMTPRecipientsRefused:
        return ""
    except (OSError, smtplib.SMTPException) as error:
        raise Trouble(f"{site.domain} does not take the message: {error}") from error
    found = re.search(rb"queued as (\S+)", client.answer)
    if not found:
        raise Trouble(f"{site.domain} does not say how it calls the message: {client.answer.decode()}")
    return found[1].decode()


def read(site: Site, address: str) -> list[EmailMessage]:
    """All messages of a mailbox, by POP3."""
    try:
        server = poplib.POP3(HOST, site.pop3, timeout=_TIMEOUT)
        server.user(address)
        server.pass_(site.people[address])
        count, _ = server.stat()
        raw = [b"\r\n".join(server.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
        server.quit()
    except (OSError, poplib.error_proto) as error:
        raise Trouble(f"{site.domain} does not give out the mail of {address}: {error}") from error
    return [email.message_from_bytes(octets, policy=email.policy.default) for octets in raw]


def as_sent(address: str, received: list[EmailMessage]) -> bool:
    """Whether the mailbox holds what was sent to the address and nothing else."""
    wanted = [letter for letter in LETTERS if letter.ends.get(address) == DELIVERED]
    reports = [message for message in received if is_report(message)]
    letters = [message for message in received if not is_report(message)]
    returned = [to for letter in LETTERS for to, end in letter.ends.items() if end == RETURNED and address == ANNA]
    return (
        [message["Subject"] for message in letters] == [letter.subject for letter in wanted]
        and [attachment(message) for message in letters] == [letter.attachment for letter in wanted]
        and len(reports) == len(returned)
        and all(to in str(report) for to, report in zip(returned, reports, strict=True))
    )


def attachment(message: EmailMessage) -> bytes:
    return b"".join(part.get_content() for part in message.iter_attachments()) if not is_report(message) else b""


def is_report(message: EmailMessage) -> bool:
    return message.get_content_type() == "multipart/report"


def sender(message: EmailMessage) -> str:
    return parseaddr(str(message["From"]))[1]
