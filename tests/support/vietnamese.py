"""What is English in a page that is to be in Vietnamese: texts of ours, by the catalogues, and of nobody else."""

import re
from functools import cache
from html import unescape
from pathlib import Path

from babel.messages.pofile import read_po

from engine.wording.phrases import pieces, read_catalogue

LOCALE = Path(__file__).parents[2] / "engine" / "web" / "locale" / "vi"
WORDS = 3
"""Of a text that is looked for: shorter ones may be names."""

_QUOTED = re.compile(r"<(textarea|pre|code|script|style|svg)\b.*?</\1>", re.DOTALL)
_ATTRIBUTE = re.compile(r'\b(?:aria-label|title|placeholder|alt|data-[a-z]+)="([^"]*)"')
_TAG = re.compile(r"<[^>]*>")
_PLACE = re.compile(r"%\(\w+\)s")


@cache
def english() -> frozenset[str]:
    """All that is translated, in pieces without values."""
    found: set[str] = set()
    for path in LOCALE.glob("*.po"):
        with path.open("rb") as file:
            for one in read_po(file):
                for text in (one.id,) if isinstance(one.id, str) else one.id:
                    found.update(_PLACE.split(text))
    for text, _ in read_catalogue("vi"):
        found.update(pieces(text))
    return frozenset(one.strip() for one in found if len(re.findall(r"[A-Za-z]{2,}", one)) >= WORDS)


def spoken(page: str) -> str:
    """What a page says, also to those who hear it; what it quotes is left out."""
    page = _QUOTED.sub(" ", page)
    said = [*_ATTRIBUTE.findall(page), _TAG.sub("\n", page)]
    return re.sub(r"\s+", " ", unescape("\n".join(said)))


def left_in_english(page: str) -> list[str]:
    """Texts of ours in it that are not in Vietnamese."""
    text = spoken(page)
    return sorted(one for one in english() if one in text)
