"""What HTML shows and what it hides: its visible text, its links with the text that each is shown by, its scripts."""

import re
from html import unescape
from typing import NamedTuple

from engine.mime.markup import Text

TAGS = 4_000
"""Tags of a part that are looked at; the text behind them is taken as it is."""

_SHOWN_BY = 400
"""Characters of markup within a link that are looked at for its text."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>")
_HREF = re.compile(r"(?i)\bhref\s*+=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s\"'>]++))")
_SOURCE = re.compile(r"(?i)\bsrc\s*+=\s*+[\"']?(https?:[^\s\"'>]++)")
_HIDES = re.compile(
    r"(?i)display\s*+:\s*+none|visibility\s*+:\s*+hidden|font-size\s*+:\s*+0*+(?:px|pt|em|%)?\s*+(?:[;\"'!]|\Z)"
    r"|\bopacity\s*+:\s*+0(?>(?:\.0++)?)\s*+(?:[;\"'!]|\Z)|(?<!\S)hidden(?=[\s/=]|\Z)"
)
_ACTIVE = {"script", "object", "embed", "applet"}
_EMPTY = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}


class Link(NamedTuple):
    """A link: where it leads, and what is read in its place (empty for one without text, such as an image)."""

    url: str
    shown: str = ""


class Markup(NamedTuple):
    """What was found in one HTML part."""

    text: str
    links: tuple[Link, ...]
    images: tuple[str, ...]  # URLs of images that are fetched
    hidden: int  # characters of text that nobody sees
    is_active: bool  # it has scripts or objects
    has_form: bool


def seen(html: str) -> Markup:
    """Read an HTML part, in linear time."""
    visible: list[str] = []
    links: list[Link] = []
    images: list[str] = []
    names: set[str] = set()
    hidden = place = 0
    hides, depth = "", 0  # the element whose content is hidden, and how many of its name are open
    for number, tag in enumerate(_TAG.finditer(html)):
        if number == TAGS:
            break
        name, is_end = tag[2].lower(), bool(tag[1])
        names.add(name)
        if hides:
            if name == hides:
                depth += -1 if is_end else 1
            if not depth:
                hidden += len("".join(_TAG.sub("", html[place : tag.start()]).split()))
                hides, place = "", tag.end()
            continue
        if is_end:
            continue
        if name in {"a", "area"}:
            links += _link(html, tag)
        elif name == "img":
            images += _SOURCE.findall(tag[3])
        if name not in _EMPTY and name != "body" and _HIDES.search(tag[3]):
            visible.append(html[place : tag.start()])
            hides, depth, place = name, 1, tag.end()
    # An element that never ends hides no text that can be told from the rest.
    visible.append(html[place:])
    text = Text()
    shown = text.feed(" ".join(visible)) + text.end()
    return Markup(shown, tuple(links), tuple(images), hidden, bool(names & _ACTIVE), "form" in names)


def _link(html: str, tag: re.Match[str]) -> list[Link]:
    found = _HREF.search(tag[3])
    if found is None:
        return []
    url = unescape(found[1] or found[2] or found[3] or "").strip()
    end = html.find("</a", tag.end(), tag.end() + _SHOWN_BY)
    inner = html[tag.end() : end] if end >= 0 else ""
    text = Text()
    shown = text.feed(inner) + text.end()
    return [Link(url, " ".join(shown.split()))]
