"""The base subject of a message (RFC 5256 2.1)."""

import re
from typing import NamedTuple

_BLANKS = re.compile(r"[ \t\r\n]+")
_BLOBS = re.compile(r"(?>(?:\[[^\[\]]*+\] *+)*)")
_BLOB = re.compile(r"\[[^\[\]]*+\] *+")
_REFWD = re.compile(r"(?:re|fwd?) *+(?:\[[^\[\]]*+\] *+)?:", re.IGNORECASE)
_FWD = re.compile(r"\[fwd:", re.IGNORECASE)


class BaseSubject(NamedTuple):
    text: str
    is_reply: bool  # or a forward: something that says so was removed


def base_subject(decoded: str) -> BaseSubject:
    """Of a subject that is decoded; in linear time, whatever it holds."""
    text = _BLANKS.sub(" ", decoded)
    start, end, is_reply = 0, len(text), False
    while True:
        end, had_trailer = _without_trailers(text, start, end)
        start, had_leader = _without_leaders(text, start, end)
        is_reply = is_reply or had_trailer or had_leader
        if not (_FWD.match(text, start, end) and text[end - 1] == "]"):
            return BaseSubject(text[start:end], is_reply)
        start, end, is_reply = start + len("[fwd:"), end - 1, True


def _without_trailers(text: str, start: int, end: int) -> tuple[int, bool]:
    had_trailer = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif text[max(end - 5, start) : end].lower() == "(fwd)":
            end, had_trailer = end - 5, True
        else:
            break
    return end, had_trailer


def _without_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Steps 3 to 5: replies and forwards with the blobs before them, then blobs unless nothing would be left."""
    had_leader = False
    while start < end:
        if text[start] == " ":
            start += 1
            continue
        blobs = _BLOBS.match(text, start, end)
        after = blobs.end() if blobs else start
        leader = _REFWD.match(text, after, end)
        if leader:
            start, had_leader = leader.end(), True
        elif after < end:
            start = after
            break
        else:
            start = _last_blob(text, start, end)
            break
    return start, had_leader


def _last_blob(text: str, start: int, end: int) -> int:
    """All but the last blob: without it nothing would be left."""
    while (blob := _BLOB.match(text, start, end)) and blob.end() < end:
        start = blob.end()
    return start
