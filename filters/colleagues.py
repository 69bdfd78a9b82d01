"""Mark mail from outside whose author bears the name of a colleague: the oldest trick of those who want money sent.

    [stage.colleagues]
    use = "filters/colleagues.py"
    names = ["Ann Example", "Bob Sample"]
    known = ["ann.example@private.example.net"]     # where they write from at home
    tag = "[NOT FROM A COLLEAGUE]"

"Bob Sample (CEO)" is a colleague, too. Stands behind `authenticate`. The fact `colleagues.name` is the name: by
`when = "colleagues.name"` another stage can be stricter.
"""

import unicodedata
from collections.abc import Iterator

from engine import Message, Verdict
from engine.mime.addresses import addresses
from engine.mime.fields import fields, text


async def colleagues(
    message: Message, *, names: tuple[str, ...], known: tuple[str, ...] = (), tag: str = "[NOT FROM A COLLEAGUE]"
) -> Verdict:
    if message.session.trusted:
        return message
    theirs = {words(name): name for name in names if words(name)}
    at_home = {address.lower() for address in known}
    for written, address in authors(message):
        shown = words(written)
        colleague = next((name for of_name, name in theirs.items() if of_name <= shown), "")
        if colleague and address.lower() not in at_home:
            subject = message.header("Subject") or ""
            return message.with_fact("colleagues.name", colleague).with_sole_header("Subject", f"{tag} {subject}")
    return message


def authors(message: Message) -> Iterator[tuple[str, str]]:
    """What a reader is shown for the name of each author, and the address. Names are decoded when they are told apart:
    a comma in one divides nothing."""
    for field, value in fields(message.header_octets()):
        if field.lower() == b"from":
            for one in addresses(value):
                if one.mailbox is not None and one.host is not None:
                    shown = one.name or (b"" if one.host else one.mailbox)  # a name alone, without an address
                    yield text(shown), text(b"%b@%b" % (one.mailbox, one.host))


def words(name: str) -> frozenset[str]:
    """The words of a name in whatever order, without accents and what is not seen: "Müller, Ann" is "Ann Muller"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    seen = (one for one in plain if not unicodedata.combining(one) and unicodedata.category(one) != "Cf")
    return frozenset("".join(one if one.isalnum() else " " for one in seen).split())
