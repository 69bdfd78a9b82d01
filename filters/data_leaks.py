"""Park outgoing mail with numbers of credit cards or bank accounts (IBAN) until somebody has looked at it.

    [stage.data_leaks]
    use = "filters/data_leaks.py"
    when = "session.login"
    most = 0            # such numbers that are let pass

Stands before `queue`. It reads the subject and text parts of at most `largest`, attached ones too (CSV), and of HTML
what is shown; not PDF or Office files. The sender hears nothing of it; `postroad queue release` lets a message go.
"""

import re
import unicodedata
from collections.abc import Iterator

from engine import Message, Quarantine, Size, Verdict
from engine.mime.search import text_of
from engine.mime.structure import structure

CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")


def data_leaks(message: Message, *, most: int = 0, largest: Size = Size("1 MB")) -> Verdict:
    octets = b"".join(message.chunks())
    parts = [part for part in structure([octets]).walk() if part.type.lower() == b"text" and part.size <= largest]
    texts = ["".join(text_of(part, [octets[part.body : part.end]])) for part in parts]
    found = {number for text in [message.header("Subject") or "", *texts] for number in numbers(text)}
    return Quarantine("numbers of cards or accounts") if len(found) > most else message


def numbers(text: str) -> Iterator[str]:
    """Numbers that are right by their check digits: Luhn's of cards, ISO 7064 of IBANs. A blank is one of any kind."""
    text = unicodedata.normalize("NFKC", text)
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        doubled = "".join(str(int(one) * (1 + place % 2)) for place, one in enumerate(reversed(digits)))
        if digits[0] in "23456" and sum(map(int, doubled)) % 10 == 0:
            yield digits
    for match in IBAN.finditer(text):
        iban = match[0].replace(" ", "")
        if int("".join(str(int(one, 36)) for one in iban[4:] + iban[:4])) % 97 == 1:
            yield iban
