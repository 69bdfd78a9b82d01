"""Lists as IMAP writes them (RFC 9051 4.4), for tests of what is written."""

import re

_ITEM = re.compile(rb'[()]|"(?:[^"\\\r\n\0\x80-\xff]|\\["\\])*"|NIL|\d+|\{(\d+)\}\r\n| ')


def is_one_list(answer: bytes) -> bool:
    """Whether a client reads it as one list, and nothing after it."""
    place = level = 0
    while place < len(answer):
        item = _ITEM.match(answer, place)
        if item is None:
            return False
        level += (item[0] == b"(") - (item[0] == b")")
        place = item.end() + int(item[1] or 0)
        if level == 0:
            return place == len(answer)
    return False
