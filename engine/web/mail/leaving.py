"""How one leaves a list by a letter of it: by one click (RFC 8058), by a letter (RFC 2369), or on a page of theirs."""

from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import trio

from engine.net.https import PORT, Https, Unreached
from engine.unsubscribe import ONE_CLICK, Offer
from engine.web.mail.pictures import SECONDS, NoPicture, target_of

_ANSWER: Final = 64 * 1024
"""Octets of what the list's server answers; nobody looks at them."""

_FIELDS: Final = (("Content-Type", "application/x-www-form-urlencoded"), ("User-Agent", "Mozilla/5.0"))
"""No cookie, and nothing that tells one of our readers from another but the address itself (RFC 8058 3.2)."""


class Leaving(NamedTuple):
    """The best way that a letter offers. ``where``: of "click" the URI, of "letter" and "page" what is opened."""

    how: Literal["click", "letter", "page"]
    where: str

    @property
    def host(self) -> str:
        """Who is asked."""
        return urlsplit(self.where).hostname or ""


def way(offer: Offer) -> Leaving | None:
    """One click counts only where a signature covers it (RFC 8058 4): else whoever has forwarded the letter may have
    written it in. None: there is no way.
    """
    if offer.one_click and offer.covered and _is_sound(offer.https):
        return Leaving("click", offer.https)
    for uri in offer.by_mail:
        to, _, rest = uri[7:].partition("?")
        subject = parse_qs(rest).get("subject", ["unsubscribe"])[0]
        if "@" in (named := unquote(to)):
            asked = urlencode({"to": named[:320], "subject": subject[:200]}, quote_via=quote)
            return Leaving("letter", f"/mail/write?{asked}")
    return Leaving("page", offer.https) if offer.https and _is_sound(offer.https) else None


def _is_sound(uri: str) -> bool:
    try:
        target_of(uri)
    except NoPicture:
        return False
    return True


async def click(https: Https, host: str, target: str, port: int = PORT) -> int:
    """Say it to the list's server, at a public address; its status. Unreached."""
    with trio.move_on_after(SECONDS):
        told = await https.ask("POST", host, target, _FIELDS, ONE_CLICK.encode(), port=port, limit=_ANSWER)
        return told.status
    raise Unreached(f"{host} takes too long")
