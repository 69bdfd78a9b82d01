"""Add a footer, or a signature, to the texts of outgoing mail, by the domain of its author: plain and HTML.

    [lane.remote]
    stages = ["disclaimer", "sign", "resolve", "relay"]

    [stage.disclaimer]
    use = "filters/disclaimer.py"
    when = "session.login"
    footers = [{ domain = "example.org", text = "ACME Ltd, London", html = "<p>ACME Ltd, London</p>" }]

Stands before `sign`. Mail that is signed or encrypted by its author stays as it is, and so does mail that has the text
already: an answer that quotes it, for instance. Where senders get other addresses (`return_path`), stand before that.
"""

import re

import msgspec

from engine import Message, Size, Verdict, domain_of
from engine.mime import rewriting
from engine.mime.structure import structure


class Footer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domain: str
    text: str
    html: str


def disclaimer(message: Message, *, footers: tuple[Footer, ...], largest: Size = Size("10 MB")) -> Verdict:
    domain = domain_of(message.sender)
    footer = next((one for one in footers if one.domain.lower() == domain), None)
    if footer is None or message.size > largest:
        return message
    octets = b"".join(message.chunks())
    wanted = {plain(footer.text), plain(footer.html)} - {""}
    texts = [plain(rewriting.text(octets, part)) for part in rewriting.bodies(structure([octets]))]
    if any(one in text for one in wanted for text in texts):
        return message
    return message.with_content(rewriting.with_footer(octets, footer.text, footer.html))


def plain(text: str) -> str:
    """A text without the marks of quotations, and however its lines are broken."""
    return " ".join(re.sub(r"(?m)^[> ]+", "", text).split())
