"""Refuse mail that is mostly written in scripts that nobody here reads.

    [stage.foreign_scripts]
    use = "filters/foreign_scripts.py"
    read = ["LATIN", "GREEK"]     # as in the names of letters in Unicode: CYRILLIC, CJK, ARABIC, HANGUL…
    most = 0.5                    # share of the letters that may be others

Stands before `queue`. It looks at the subject and at the first texts.
"""

import unicodedata

from engine import Message, Reject, Verdict
from engine.mime import rewriting
from engine.mime.structure import structure

LOOKED_AT = 5000
"""Characters of text that are looked at."""


def foreign_scripts(message: Message, *, read: tuple[str, ...] = ("LATIN",), most: float = 0.5) -> Verdict:
    octets = b"".join(message.chunks())
    texts = [rewriting.text(octets, part) for part in rewriting.bodies(structure([octets])) if part.size < 1_000_000]
    letters = [one for one in " ".join([message.header("Subject") or "", *texts])[:LOOKED_AT] if one.isalpha()]
    others = sum(not unicodedata.name(one, "").startswith(read) for one in letters)
    if others > most * len(letters):
        return Reject("Nobody here reads this writing", code="5.7.1")
    return message
