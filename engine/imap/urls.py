"""IMAP URLs as CATENATE has them: relative to the server or to the selected mailbox, or whole (RFC 5092, 4469 3)."""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.fetch import Body as BodyItem
from engine.protocols.imap.fetch import Section, fetch_item

_URL = re.compile(
    rb"(?:/(?P<mailbox>[^;?]+?)(?:;UIDVALIDITY=(?P<validity>[0-9]{1,10}))?)?"
    rb"/;UID=(?P<uid>[0-9]{1,10})(?:/;SECTION=(?P<section>[^;?]+?))?(?:/;PARTIAL=(?P<start>[0-9]{1,10})(?:\.(?P<size>[0-9]{1,10}))?)?",
    re.IGNORECASE,
)
_SERVER = re.compile(
    rb"imap://(?:(?P<user>[^@/;:]*)(?:;AUTH=[^@/;:]*)?@)?(?P<host>[^@/;:]+)(?::[0-9]{1,5})?(?=/)", re.IGNORECASE
)
_MOST = 2**32 - 1


class Url(NamedTuple):
    """What a URL leads to."""

    mailbox: str  # empty: the one that is selected
    uidvalidity: int  # 0: not said
    uid: int
    section: Section
    partial: tuple[int, int] | None


def parse(url: bytes, *, host: str, user: str) -> Url | None:
    """None for what leads to no message here: on the server of that name, for the account of that address."""
    server = _SERVER.match(url)
    if server is not None:
        if server["host"].decode("latin-1").lower() != host.lower():
            return None
        if server["user"] and unquote_to_bytes(server["user"]).lower() != user.encode().lower():
            return None
        url = url[server.end() :]
    found = _URL.fullmatch(url if url.startswith(b"/") else b"/" + url)
    if found is None:
        return None
    section = _section(unquote_to_bytes(found["section"] or b""))
    try:
        mailbox = unquote_to_bytes(found["mailbox"] or b"").decode()
    except UnicodeDecodeError:
        return None
    if section is None:
        return None
    partial = (int(found["start"]), int(found["size"] or _MOST)) if found["start"] else None
    return Url(mailbox, int(found["validity"] or 0), int(found["uid"]), section, partial)


def _section(text: bytes) -> Section | None:
    """A section as it stands in ``BODY[…]``."""
    cursor = Cursor(b"BODY.PEEK[%b]" % text)
    try:
        item = fetch_item(cursor)
        cursor.end()
    except Malformed:
        return None
    return item.section if isinstance(item, BodyItem) else None
