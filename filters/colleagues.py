"""Mark mail from outside whose author bears the name of a colleague: the oldest trick of those who want money sent.

    [stage.colleagues]
    use = "filters/colleagues.py"
    names = ["Ann Example", "Bob Sample"]
    known = ["ann.example@private.example.net"]     # where they write from at home
    tag = "[NOT FROM A COLLEAGUE]"

Stands behind `authenticate`. The fact `colleagues.name` is the name: by `when = "colleagues.name"` another stage can be
stricter.
"""

import unicodedata
from email.utils import getaddresses

from engine import Message, Verdict


async def colleagues(
    message: Message, *, names: tuple[str, ...], known: tuple[str, ...] = (), tag: str = "[NOT FROM A COLLEAGUE]"
) -> Verdict:
    if message.session.trusted:
        return message
    theirs = {words(name): name for name in names}
    for name, address in getaddresses(message.headers("From")):
        colleague = theirs.get(words(name))
        if colleague and address.lower() not in known:
            subject = message.header("Subject") or ""
            return message.with_fact("colleagues.name", colleague).with_sole_header("Subject", f"{tag} {subject}")
    return message


def words(name: str) -> frozenset[str]:
    """The words of a name in whatever order, without accents: "Müller, Ann" is "Ann Muller"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return frozenset("".join(one if one.isalnum() else " " * (not unicodedata.combining(one)) for one in plain).split())
