"""Cursors: where a page of a list ends, so that the next one begins behind it, whatever has come and gone meanwhile."""

import base64
import binascii

from engine.web.api.problems import unmeant


def cursor_of(position: bytes) -> str:
    """For whoever asks, who can make nothing of it."""
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def position_of(cursor: str, octets: int = 0) -> bytes:
    """The position; empty: the beginning. ``octets``: how many it has, if that is known. Problem."""
    try:
        found = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise unmeant("query.cursor", "this is no cursor of ours") from error
    if cursor and octets and len(found) != octets:
        raise unmeant("query.cursor", "this is no cursor of ours")
    return found
