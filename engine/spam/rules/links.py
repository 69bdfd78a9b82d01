"""Rules about links: where they lead, and what they pretend."""

from typing import Final

from engine.spam.rules.case import Case, Rule
from engine.spam.tokens import unlike
from engine.spam.urls import named_site

MANY: Final = 15
"""Registered domains in one message."""

SHORTENERS: Final = frozenset({
    "bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "buff.ly", "rebrand.ly", "cutt.ly", "rb.gy",
    "shorturl.at", "t.ly", "tiny.cc", "v.gd", "bl.ink", "s.id", "shorte.st", "adf.ly", "qr.ae",
    "clck.ru", "u.to", "x.gd", "lnkd.in",
})  # fmt: skip
"""Services behind whose short names any other address may hide."""


def to_address(case: Case) -> bool:
    """A link leads to an IP address, in whatever way that is written."""
    return any(url.is_address for url in case.letter.urls)


def with_login(case: Case) -> bool:
    """What stands before an "@" in a URL looks like a host, and is none."""
    return any(url.has_login for url in case.letter.urls)


def lookalike(case: Case) -> bool:
    """An internationalised name that looks like a Latin one, or mixes scripts within a label."""
    return any(_deceives(label) for url in case.letter.urls for label in url.host.split(".") if label[:4] == "xn--")


def shortener(case: Case) -> bool:
    return bool(case.sites & SHORTENERS)


def many_sites(case: Case) -> bool:
    return len(case.sites) >= MANY


def elsewhere(case: Case) -> bool:
    """The text of a link names one domain, and the link leads to another."""
    by_url = {link.url: named_site(link.shown) for link in case.letter.links if link.shown and link.shown != link.url}
    return any(
        named is not None and (url := case.letter.parsed(link)) is not None and url.site != named
        for link, named in by_url.items()
    )


def no_web(case: Case) -> bool:
    """A link that is no address but a script or a whole document."""
    return any(link.url[:16].lower().startswith(("javascript:", "vbscript:", "data:")) for link in case.letter.links)


def _deceives(label: str) -> bool:
    try:
        plain = label.encode().decode("idna")
    except UnicodeError:
        return True
    scripts = {"latin" if one.isascii() else "other" for one in plain if one.isalpha()}
    return unlike("a" + plain)[1:] != plain or (len(scripts) > 1 and any(ord(one) >= 0x370 for one in plain))


RULES: Final = (
    Rule("LINK_TO_ADDRESS", 1.8, to_address),
    Rule("LINK_WITH_LOGIN", 1.5, with_login),
    Rule("LINK_LOOKS_ALIKE", 2.5, lookalike),
    Rule("LINK_SHORTENED", 0.8, shortener),
    Rule("MANY_SITES", 0.8, many_sites),
    Rule("LINK_LEADS_ELSEWHERE", 1.2, elsewhere),
    Rule("LINK_IS_NO_ADDRESS", 1.5, no_web),
)
