"""In which language a page is, and its texts: catalogues of gettext, one a part of the site and language.

The texts in templates and code are English; `locale/LANGUAGE/PART.po` has them in another language.
"""

import gettext
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection

from engine.web.sessions.session import session_of
from engine.web.text import Text
from engine.wording.phrases import said

LANGUAGES = {"en": "English", "vi": "Tiếng Việt"}
"""Those that there are, each as its own people call it."""

FALLBACK = "en"

_FOLDER = Path(__file__).parent / "locale"

_MOST_WISHES = 20
"""Languages of a browser that are looked at."""


def language_of(request: HTTPConnection) -> str:
    """As the user has chosen, else as the browser wants it (RFC 9110 12.5.4)."""
    session = session_of(request)
    if session is not None and session.person.language in LANGUAGES:
        return session.person.language
    return wanted(request.headers.get("accept-language", ""))


def wanted(header: str) -> str:
    """The best of LANGUAGES for an Accept-Language field; FALLBACK where it names none of them."""
    best, weight = FALLBACK, 0.0
    for wish in header.split(",")[:_MOST_WISHES]:
        tag, _, parameter = wish.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameter)
        if language in LANGUAGES and quality > weight:
            best, weight = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0


@cache
def texts(language: str) -> gettext.NullTranslations:
    """All texts of a language."""
    found = gettext.NullTranslations()
    for path in sorted((_FOLDER / language).glob("*.po"), reverse=True):
        part = _read(path, language)
        part.add_fallback(found)
        found = part
    return found


def _read(path: Path, language: str) -> gettext.GNUTranslations:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def translated(request: HTTPConnection, text: str) -> str:
    """A text of ours in the reader's language; any other as it is."""
    _ = translator(request)
    if isinstance(text, Text):
        return _(text.template) % text.values if text.values else _(text.template)
    return text


def worded(request: HTTPConnection, text: object) -> str:
    """What the engine says, such as an error, in the reader's language; what is none of its texts as it is."""
    return said(language_of(request), str(text))


def ngettext(request: HTTPConnection, one: str, many: str, num: int) -> str:
    """The text of the right plural form, with the number in it."""
    return texts(language_of(request)).ngettext(one, many, num) % {"num": num}


def translator(request: HTTPConnection) -> Callable[[str], str]:
    """What makes a text of ours one of the reader's; call it ``_``, by which texts are found for translation."""
    return texts(language_of(request)).gettext
