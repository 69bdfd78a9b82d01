"""The message that carries a report: a few words for people, and the file (RFC 9990 2.6.2, RFC 8460 5.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

_WHOLE_LINES = SMTP.clone(max_line_length=900)
"""The name of the file in one piece (RFC 2231 3): not all who read reports put it together again."""


@dataclass(frozen=True, slots=True)
class File:
    """What is reported, compressed, and how the file is called: its name ends in ".gz"."""

    name: str
    octets: bytes
    subtype: str = "gzip"  # of application/


def letter(
    *,
    author: str,
    to: Sequence[str],
    subject: str,
    identity: str,
    text: str,
    file: File,
    report_type: str = "",
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """The whole message, of now. ``identity``: the left side of Message-ID. With a ``report_type`` it is a
    multipart/report (RFC 6522); ``fields`` are of its header, besides."""
    message = EmailMessage(policy=SMTP)
    message["From"] = author
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{identity}@{author.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's autoresponder answers
    for name, value in (fields or {}).items():
        message[name] = value
    message.set_content(text)
    message.add_attachment(file.octets, maintype="application", subtype=file.subtype, filename=file.name)
    if report_type:
        message.set_type("multipart/report")
        message.set_param("report-type", report_type)
    return message.as_bytes(policy=_WHOLE_LINES)
