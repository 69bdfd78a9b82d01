"""The message that carries a report: a few words for people, and the file (RFC 9990 2.6.2)."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class File:
    """What is reported, and how the file is called: its name ends in ".gz"."""

    name: str
    octets: bytes


def letter(*, author: str, to: Sequence[str], subject: str, identity: str, text: str, file: File) -> bytes:
    """The whole message, of now. ``identity``: the left side of Message-ID. The file is compressed here."""
    message = EmailMessage(policy=SMTP)
    message["From"] = author
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{identity}@{author.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's autoresponder answers
    message.set_content(text)
    packed = gzip.compress(file.octets, mtime=0)
    message.add_attachment(packed, maintype="application", subtype="gzip", filename=file.name)
    return message.as_bytes()
