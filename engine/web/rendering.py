"""Pages: templates of all parts, in the reader's language, with dates and numbers as they are written in it."""

from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from engine.units import measured
from engine.web.languages import LANGUAGES, language_of, texts
from engine.web.sessions.session import session_of
from engine.web.static_files import StaticFiles
from engine.wording.phrases import said

_FOLDER = Path(__file__).parent


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of a part: "mail/list.html" is engine/web/mail/templates/list.html. ``values`` are the template's."""
    language = language_of(request)
    session = session_of(request)
    files: StaticFiles = request.app.state.static
    text = environment(language).get_template(template).render(
        request=request,
        session=session,
        csrf=session.csrf if session else "",
        language=language,
        languages=LANGUAGES,
        theme=session.person.theme if session else "",
        static=files.address,
        **values,
    )  # fmt: skip
    return HTMLResponse(text, status)


@cache
def environment(language: str) -> Environment:
    """The templates in a language. What they are given is text, and never markup, unless they say so."""
    found = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found.install_gettext_translations(texts(language), newstyle=True)  # type: ignore[attr-defined]
    found.filters["date"] = partial(shown_date, language=language)
    found.filters["moment"] = partial(shown_moment, language=language)
    found.filters["day"] = partial(shown_day, language=language)
    found.filters["ago"] = partial(shown_ago, language=language)
    found.filters["number"] = partial(format_decimal, locale=language)
    found.filters["percent"] = partial(format_percent, locale=language)
    found.filters["ours"] = partial(said, language)
    found.filters["size"] = partial(shown_size, language=language)
    return found


def _loader() -> BaseLoader:
    parts = {path.parent.name: FileSystemLoader(path) for path in sorted(_FOLDER.glob("*/templates"))}
    return ChoiceLoader([PrefixLoader(parts), FileSystemLoader(_FOLDER / "templates")])


def shown_date(moment: float, form: str = "medium", *, language: str) -> str:
    """A Unix time as a date and a time of day, in the time zone of the server."""
    return str(format_datetime(datetime.fromtimestamp(moment).astimezone(), form, locale=language))


def shown_moment(moment: float, form: str = "medium", until: float = 0.0, *, language: str) -> Markup:
    """A time as an element, which a script of every page writes as the reader's own clock has it (clocks.js)."""
    text = " – ".join(shown_date(one, form, language=language) for one in ((moment, until) if until else (moment,)))
    behind = Markup(' data-until="{}"').format(int(until)) if until else ""
    return Markup('<time data-time="{}"{} data-form="{}">{}</time>').format(int(moment), behind, form, text)


def shown_day(moment: float, language: str) -> str:
    """The day of a Unix time, in the time zone of the server."""
    return str(format_date(datetime.fromtimestamp(moment), "full", locale=language))


def shown_ago(moment: float, language: str) -> str:
    """How long ago, or how soon, a Unix time is: "3 hours ago"."""
    seconds = round(moment - datetime.now().timestamp()) or -1
    return str(format_timedelta(seconds, add_direction=True, locale=language))


def shown_size(octets: float, language: str) -> str:
    """Octets for people: "4.1 GB", and in Vietnamese "4,1 GB"."""
    number, _, unit = measured(int(octets)).partition(" ")
    return f"{format_decimal(float(number), locale=language)} {'B' if unit.startswith('octet') else unit}"
