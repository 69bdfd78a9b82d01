"""HTML to the text in it, from chunks, in linear time and with no more kept than an unfinished tag.

Not html.parser: its releases before 2025 take quadratic time for unfinished comments and tags, and it reads no chunks
without looking again at what it has kept.
"""

import re
from html import unescape

KEPT = 1024
"""Characters that are kept of an unfinished tag: its name and what follows are known from fewer."""

_INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
}  # fmt: skip
_HIDDEN = {"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "template"}
"""Elements whose content nobody reads; it ends with their own end tag, whatever is in it."""

_SURE = 64
"""Characters from a "<" on by which it is known what it begins."""

_TAG = re.compile(r"<(?=[a-zA-Z!?/]|\Z)")
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]{0,40})")
_TAG_STOP = re.compile(r"=\s*(?=[\"'])|>")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")  # Python refuses to read very long ones
_ENTITY_START = re.compile(r"&[^\s;&<]{0,40}\Z")


class Text:
    """Takes HTML by `feed`, which returns the text that is sure; `end` returns what is left."""

    def __init__(self) -> None:
        self._rest = ""
        self._until = ""  # what is looked for: nothing in text; ">" in a tag; its quote; "-->"; or "</script"

    def feed(self, markup: str) -> str:
        data, self._rest = self._rest + markup, ""
        pieces: list[str] = []
        place = 0
        while place < len(data):
            place = self._step(data, place, pieces)
        return "".join(pieces)

    def end(self) -> str:
        rest, self._rest = self._rest, ""
        is_tag = rest.startswith(("<!", "</", "<?")) or _NAME.match(rest)
        return "" if self._until or is_tag else _plain(rest)

    def _step(self, data: str, place: int, pieces: list[str]) -> int:
        if not self._until:
            return self._in_text(data, place, pieces)
        if self._until == ">":
            return self._in_tag(data, place)
        found = data.find(self._until, place) if self._until[0] != "<" else _find_end_tag(data, self._until, place)
        if found < 0:
            return self._keep(data, max(place, len(data) - len(self._until) + 1))
        ended, after = self._until, found + len(self._until)
        self._until = ">" if ended in "\"'" or ended[0] == "<" else ""
        return after

    def _in_text(self, data: str, place: int, pieces: list[str]) -> int:
        found = _TAG.search(data, place)
        if found is None:
            unsure = _ENTITY_START.search(data, max(place, len(data) - 50))
            end = unsure.start() if unsure else len(data)
            pieces.append(_plain(data[place:end]))
            return self._keep(data, end)
        start = found.start()
        pieces.append(_plain(data[place:start]))
        if len(data) - start < _SURE and data.find(">", start) < 0:
            return self._keep(data, start)
        return self._open(data, start, pieces)

    def _open(self, data: str, start: int, pieces: list[str]) -> int:
        if data.startswith("<!--", start):
            self._until = "-->"
            return start + 2  # "<!-->" is a whole comment
        name = _NAME.match(data, start)
        if name is None:
            self._until = ">"
            return start + 2
        tag = name[1].lower()
        if tag not in _INLINE:
            pieces.append(" ")
        is_hidden = tag in _HIDDEN and data[start + 1] != "/"
        self._until = f"</{tag}" if is_hidden else ">"
        return name.end()

    def _in_tag(self, data: str, place: int) -> int:
        stop = _TAG_STOP.search(data, place)
        if stop is None:
            unsure = data.rfind("=", place)
            is_unsure = unsure >= 0 and not data[unsure + 1 :].strip() and len(data) - unsure < KEPT
            return self._keep(data, unsure if is_unsure else len(data))
        if stop[0] == ">":
            self._until = ""
            return stop.end()
        self._until = data[stop.end()]
        return stop.end() + 1

    def _keep(self, data: str, place: int) -> int:
        """The rest is looked at again when more has come."""
        self._rest = data[place:]
        return len(data)


def _find_end_tag(data: str, tag: str, place: int) -> int:
    found = re.compile(re.escape(tag), re.IGNORECASE | re.ASCII).search(data, place)
    return found.start() if found else -1


def _plain(text: str) -> str:
    return unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
