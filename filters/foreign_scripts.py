"""Refuse mail that is mostly written in scripts that nobody here reads.

    [stage.foreign_scripts]
    use = "filters/foreign_scripts.py"
    read = ["LATIN", "GREEK"]     # as in the names of letters in Unicode: CYRILLIC, CJK, ARABIC, HANGUL…
    most = 0.5                    # share of the letters that may be others

Stands before `queue`. It looks at the subject and at the first texts, of HTML at what is shown.
"""

import unicodedata

from engine import Message, Reject, Verdict
from engine.mime import rewriting
from engine.mime.search import text_of
from engine.mime.structure import structure

LOOKED_AT = 5000
"""Characters of text that are looked at."""


def foreign_scripts(message: Message, *, read: tuple[str, ...] = ("LATIN",), most: float = 0.5) -> Verdict:
    octets = b"".join(message.chunks())
    parts = [part for part in rewriting.bodies(structure([octets])) if part.size < 1_000_000]
    texts = ["".join(text_of(part, [octets[part.body : part.end]])) for part in parts]
    looked_at = " ".join([message.header("Subject") or "", *texts])[:LOOKED_AT]
    letters = [one for one in unicodedata.normalize("NFKC", looked_at) if one.isalpha()]  # bold ones are Latin too
    ours = tuple(name.upper() for name in read)
    others = sum(not unicodedata.name(one, "").startswith(ours) for one in letters)
    if others > most * len(letters):
        return Reject("Nobody here reads this writing", code="5.7.1")
    return message
