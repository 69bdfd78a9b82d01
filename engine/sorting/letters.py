"""The messages that scripts send: a copy that goes on elsewhere, an answer, a notice, and a word about a failure."""

from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from msgspec.structs import replace

from engine.directory import split
from engine.message import EDITED, HEADER_LIMIT, Envelope, Message, MessageId, Octets, Recipient, end_of_header
from engine.sieve import Letter
from engine.sorting.world import Person, Surroundings
from engine.wording.letters import letters

TRACE = b"Delivered-To"
"""The header field by which a message is known to have been here before, as qmail and Postfix have it."""


def header_end(message: Message) -> int | None:
    """Where the empty line begins in the content; None where there is none in its first HEADER_LIMIT octets."""
    gathered = b""
    for chunk in message.content.chunks():
        gathered += chunk
        end = end_of_header(gathered)
        if end is not None or len(gathered) >= HEADER_LIMIT:
            return end
    return None


def edited(message: Message, header: bytes, end: int) -> Message:
    """The message with another header section; ``end`` is where that of its content ends."""
    return replace(message, envelope=replace(message.envelope, prepended=header, left_out=((0, end),)))


def redirected(world: Surroundings, message: Message, address: str, *, is_edited: bool) -> Message:
    """A copy to somebody else: from the same sender, with the same header section but for one more trace field.

    ``is_edited``: a script has made that section; who submitted the message does not vouch for it.
    """
    person, envelope = world.person, message.envelope
    if is_edited:
        envelope = message.with_fact(EDITED, True).envelope
    recipient = person.recipient
    trace = b"%s: %s\r\n" % (TRACE, person.address.encode())
    return Message(
        MessageId.new(world.time),
        replace(
            envelope,
            recipients=(Recipient(address, recipient.notify, recipient.orcpt),),
            prepended=trace + envelope.prepended,
            attempts=0,
            smtputf8=envelope.smtputf8 or not address.isascii(),
        ),
        message.content,
    )


def was_here(letter: Letter, person: Person) -> bool:
    """Whether this message was redirected from here before."""
    wanted = TRACE.lower() + b":"
    values = [field.partition(b":")[2].strip() for field in letter.fields() if field.lower().startswith(wanted)]
    return any(split(value.decode("utf-8", "replace")) == split(person.address) for value in values)


def finished(world: Surroundings, content: bytes, recipients: Sequence[str]) -> Message:
    """A message of a script's own, which lacks Date and Message-ID. It goes out from the null sender (RFC 3834 3.3)."""
    identity = MessageId.new(world.time)
    head = f"Date: {formatdate(world.time, localtime=True)}\r\nMessage-ID: <{identity}@{world.hostname}>\r\n"
    header, _, body = content.partition(b"\r\n\r\n")
    envelope = Envelope(
        "",
        tuple(Recipient(address, notify="NEVER") for address in recipients),
        arrived=world.time,
        smtputf8=not header.isascii() or not all(map(str.isascii, recipients)),
        body="7BIT" if body.isascii() else "8BITMIME",
    )
    return Message(identity, envelope, Octets(head.encode() + content))


def trouble(world: Surroundings, error: str, subject: str) -> Message:
    """A word to the owner of a script about a message that was kept because it failed."""
    person = world.person
    letter = EmailMessage(policy=SMTP)
    words = letters(world.language(person.address.rpartition("@")[2], person.account)).script
    letter["From"] = f"{words['name']} <postmaster@{world.hostname}>"
    letter["To"] = person.address
    letter["Subject"] = words["subject"]
    letter["Auto-Submitted"] = "auto-generated"
    about = words["about"].format(subject=subject) if subject else ""
    letter.set_content(words["text"].format(error=error, about=about))
    return finished(world, letter.as_bytes(), [person.address])
