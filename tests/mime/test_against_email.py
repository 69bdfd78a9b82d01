"""Well-formed messages: what is read of them is what the standard library's email package reads."""

import email
import email.policy
from email.message import EmailMessage, Message
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.mime.parameters import value_of
from engine.mime.part import Part
from engine.mime.search import text_of
from engine.mime.structure import structure
from engine.mime.transfer import decoded

TEXTS = st.text(alphabet="ab \n-=äß日\t.", max_size=60)
ENCODINGS = st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"])


@st.composite
def leaves(draw: st.DrawFn) -> EmailMessage:
    made = EmailMessage(policy=email.policy.SMTP)
    text, encoding = draw(TEXTS), draw(ENCODINGS)
    if encoding == "7bit":
        text = text.encode("ascii", "ignore").decode()
    made.set_content(text + "\n", subtype=draw(st.sampled_from(["plain", "html", "csv"])), cte=encoding)
    if draw(st.booleans()):
        made.add_header(
            "Content-Disposition", "attachment", filename=draw(st.sampled_from(["a.txt", "ä b.txt", 'x"y']))
        )
    return made


@st.composite
def inner(draw: st.DrawFn, parts: st.SearchStrategy[EmailMessage]) -> EmailMessage:
    made = EmailMessage(policy=email.policy.SMTP)
    if draw(st.booleans()):
        made.make_mixed()
        for part in draw(st.lists(parts, min_size=1, max_size=3)):
            made.attach(part)
        made.preamble = draw(st.sampled_from([None, "preamble\n"]))
    else:
        message = draw(parts)
        message["Subject"] = "inside"
        made.set_content(message)
    return made


MESSAGES = st.recursive(leaves(), inner, max_leaves=6)


def compare(part: Part, other: Message, octets: bytes) -> None:
    assert part.media.decode() == other.get_content_type()
    assert part.type.decode() == other.get_content_maintype()
    if other.is_multipart():
        payload: Any = other.get_payload()
        assert len(part.parts) == len(payload)
        for ours, theirs in zip(part.parts, payload, strict=True):
            compare(ours, theirs, octets)
        return
    assert not part.parts
    body = octets[part.body : part.end]
    assert b"".join(decoded([body], part.encoding)) == other.get_payload(decode=True)
    if part.type == b"text":
        shown = "".join(text_of(part, [body]))
        assert part.subtype == b"html" or shown == other.get_payload(decode=True).decode(part.charset)
    name = other.get_filename()
    assert part.details is None or value_of(part.details.disposition_parameters, b"filename") == (name or "")


@given(MESSAGES)
def test_structure_bodies_and_names_are_those_of_the_standard_library(made: EmailMessage) -> None:
    made["From"] = "a@b.test"
    octets = made.as_bytes()
    compare(structure([octets]), email.message_from_bytes(octets, policy=email.policy.default), octets)
