"""Rules about the text of a message, and what its markup hides."""

from typing import Final

from engine.spam.rules.case import Case, Rule
from engine.spam.tokens import INVISIBLE, unlike

GTUBE: Final = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""What every filter takes for spam, so that one can see it work (spamassassin.apache.org/gtube)."""

_SAMPLE: Final = 4_000
"""Words that are looked at one by one."""


def gtube(case: Case) -> bool:
    return GTUBE in case.letter.text


def hidden_text(case: Case) -> bool:
    """Markup hides more text than it shows; the line that mailings show in lists is short."""
    hidden = sum(one.hidden for one in case.letter.markup)
    return hidden >= 300 and hidden > len(case.letter.text)


def images_alone(case: Case) -> bool:
    """Images that are fetched, and next to nothing to read."""
    images = sum(len(one.images) for one in case.letter.markup)
    return images > 0 and len("".join(case.letter.text.split())) < 60


def markup_alone(case: Case) -> bool:
    """HTML without the same in plain text."""
    return bool(case.letter.markup) and not case.letter.plain.strip()


def active_markup(case: Case) -> bool:
    return any(one.is_active for one in case.letter.markup)


def form(case: Case) -> bool:
    return any(one.has_form for one in case.letter.markup)


def disguised_words(case: Case) -> bool:
    """Words in which letters of other scripts pass for Latin ones."""
    text = case.letter.text
    return not text.isascii() and sum(unlike(word) != word for word in text.split()[:_SAMPLE]) >= 3


def characters_without_width(case: Case) -> bool:
    """Within words, where no language has them. (Joiners, which some need, do not count.)"""
    text = case.letter.text
    if text.isascii():
        return False
    inside = (word.strip("".join(map(chr, INVISIBLE))) for word in text.split()[:_SAMPLE] if not word.isascii())
    return sum(any(one in word for one in "\u200b\u2060\ufeff\xad") for word in inside) >= 5


RULES: Final = (
    Rule("GTUBE", 1_000.0, gtube),
    Rule("HIDDEN_TEXT", 1.5, hidden_text),
    Rule("IMAGES_ALONE", 1.2, images_alone),
    Rule("MARKUP_ALONE", 0.8, markup_alone),
    Rule("ACTIVE_MARKUP", 1.0, active_markup),
    Rule("FORM", 1.0, form),
    Rule("DISGUISED_WORDS", 2.0, disguised_words),
    Rule("CHARACTERS_WITHOUT_WIDTH", 1.5, characters_without_width),
)
