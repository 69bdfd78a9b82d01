"""Whether servers will encrypt what is about to be sent to them, in words."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.web.languages import language_of, translator
from engine.web.mail.desk import Desk, desk_of, read, session
from engine.web.mail.ways import DOMAINS, UNKNOWN, Known, State, known
from engine.web.rendering import shown_ago
from engine.web.sessions import require

LOOKS: Final[dict[State, str]] = {
    "local": "good", "dane": "good", "sts": "good", "testing": "info", "seen": "info", "clear": "warn", "never": "warn",
    "nowhere": "bad", "onward": "", "unknown": "",
}  # fmt: skip
"""How a state is shown: classes of the style sheet."""


OBSERVED: Final = frozenset({"seen", "clear"})
"""What was seen of mail to a domain is told to those alone who have written there: that somebody has is no news."""


def _written_to(desk: Desk, account: int) -> set[str]:
    """The domains to which somebody has written. It blocks."""
    return {one.address.rpartition("@")[2] for one in desk.contacts.learnt(account)}


@require()
async def ways(request: Request) -> Response:
    """Of each domain in ``domain``: the state, how it looks, and what it means."""
    asked = [text.lower()[:255] for text in request.query_params.getlist("domain") if text]
    wanted = list(dict.fromkeys(asked))[:DOMAINS]
    desk, account = desk_of(request), session(request).account.id
    found = await known(desk.ways, account, wanted)
    if any(way.state in OBSERVED for way in found.values()):
        written = await read(_written_to, desk, account)
        found = {name: way if way.state not in OBSERVED or name in written else UNKNOWN for name, way in found.items()}
    told = [
        {"domain": domain, "state": way.state, "look": LOOKS[way.state], "text": _said(request, way)}
        for domain, way in sorted(found.items())
    ]
    return JSONResponse(told)


def _said(request: Request, way: Known) -> str:
    """In honest words: what is promised, what was seen, and what is not known."""
    _ = translator(request)
    when = shown_ago(way.when, language_of(request)) if way.when else ""
    said: dict[State, Callable[[], str]] = {
        "local": lambda: _("stays on this server"),
        "dane": lambda: _("will be encrypted, and the server must prove who it is (DANE)"),
        "sts": lambda: _("will be encrypted, and the server must prove who it is (MTA-STS)"),
        "testing": lambda: _("will probably be encrypted: the domain tries MTA-STS, and does not insist on it yet"),
        "seen": lambda: _("will probably be encrypted: it was %(when)s, and nothing is promised") % {"when": when},
        "clear": lambda: _("will probably not be encrypted: it was not %(when)s") % {"when": when},
        "never": lambda: _("will not be encrypted: this server is set so"),
        "nowhere": lambda: _("takes no mail"),
        "onward": lambda: _("is handed to %(server)s; whether that encrypts is not known") % {"server": way.by},
        "unknown": lambda: _("is encrypted if its server can; whether it can is not known yet"),
    }
    return said[way.state]()
