"""HTML as it came in a letter, made harmless: by lists of what may stay, whatever else there is.

The parser and its lists are nh3's, which builds a tree as a browser does and writes it anew, so that nothing is left of
what only looks like something else. Elements of other vocabularies (SVG, MathML) and those whose content is read in
another way (style, noscript, template, textarea, xmp …) are all gone: with them go the letters that a browser reads
differently the second time. What is shown stands in a frame without scripts and under a policy that lets nothing be
fetched from elsewhere (`engine.web.mail.frame`): either of both would do.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import nh3

from engine.web.mail import styles

LONGEST: Final = 2 * 1024 * 1024
"""Characters of HTML that are shown: a letter of more has it as an attachment too."""

DEEPEST: Final = 400
"""Elements within one another. A letter that goes deeper is shown as text: parsers take long with it."""

TAGS: Final = frozenset({
    "a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center",
    "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure",
    "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main",
    "mark", "ol", "p", "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup",
    "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
})  # fmt: skip

DROPPED: Final = frozenset({
    "applet", "audio", "embed", "frame", "frameset", "head", "iframe", "math", "noembed", "noframes", "noscript",
    "object", "script", "style", "svg", "template", "textarea", "title", "video", "xmp",
})  # fmt: skip
"""Elements that go with all that is in them; of others that are not in TAGS the text stays."""

_LOOKS = {"align", "bgcolor", "border", "cellpadding", "cellspacing", "height", "valign", "width"}

ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "*": frozenset({"style", "dir", "lang", "title"}),
    "a": frozenset({"href"}),
    "col": frozenset({"span", "width"}),
    "colgroup": frozenset({"span", "width"}),
    "div": frozenset({"align"}),
    "font": frozenset({"color", "face", "size"}),
    "h1": frozenset({"align"}),
    "h2": frozenset({"align"}),
    "h3": frozenset({"align"}),
    "hr": frozenset({"align", "size", "width"}),
    "img": frozenset({"src", "alt", "align", "border", "height", "width"}),
    "ol": frozenset({"start", "type"}),
    "p": frozenset({"align"}),
    "table": frozenset(_LOOKS),
    "tbody": frozenset(_LOOKS),
    "td": frozenset(_LOOKS | {"colspan", "rowspan", "nowrap"}),
    "th": frozenset(_LOOKS | {"colspan", "rowspan", "nowrap"}),
    "tr": frozenset(_LOOKS),
    "ul": frozenset({"type"}),
}
"""No class and no id: what is shown must not look, to a script or a style of ours, like something of ours."""

SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "cid", "data"})
"""Of any address; which of them may stand where, `_Letter` says."""

_LINK = re.compile(r"(?:https?://|mailto:|tel:)[^\x00-\x20\x7f]*", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(?:png|gif|jpeg|webp);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)
_BLANK = re.compile(r"[\x00-\x20]+")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*+)")
_SHALLOW = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr",
    "p", "li", "td", "th", "tr", "dt", "dd", "tbody", "thead", "tfoot", "option", "body", "html", "head",
})  # fmt: skip
"""Elements that hold nothing, or are closed by the next of their kind: they go deeper only with others that count."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What may be put into the frame."""

    html: str
    remote: int = 0  # pieces of it that are elsewhere: left out, or where ``remote`` was given, led by way of it


class TooDeep(ValueError):
    """It goes deeper than DEEPEST."""


def cleaned(html: str, *, inline: Callable[[str], str | None], remote: Callable[[str], str] | None = None) -> Cleaned:
    """``inline`` gives the address of the part of the letter that has this Content-ID; ``remote`` an address of ours
    by which an image elsewhere is fetched; None: they are left out. TooDeep.
    """
    html = html[:LONGEST]
    if _depth(html) > DEEPEST:
        raise TooDeep
    letter = _Letter(inline, remote)
    found = nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=letter.attribute,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes=set(SCHEMES),
        filter_style_properties=set(styles.PROPERTIES),
    )
    return Cleaned(found, letter.fetching)


def _depth(html: str) -> int:
    """About how deep its elements go: those of each name that are open at once, all together."""
    opened = Counter[str]()
    deepest = depth = 0
    for closing, name in _TAG.findall(html.lower()):
        if name in _SHALLOW:
            continue
        if not closing:
            opened[name] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif opened[name]:
            opened[name] -= 1
            depth -= 1
    return deepest


class _Letter:
    """Looks at each attribute that may stay."""

    def __init__(self, inline: Callable[[str], str | None], remote: Callable[[str], str] | None) -> None:
        self._inline = inline
        self._remote = remote
        self.fetching = 0

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """What the attribute says from now on; None: it goes."""
        if name == "style":
            kept, fetching = styles.kept(value)
            self.fetching += fetching
            return kept or None
        if (tag, name) == ("a", "href"):
            return value if _LINK.fullmatch(value.strip()) else None
        if (tag, name) == ("img", "src"):
            return self._picture(_BLANK.sub("", value))
        return value

    def _picture(self, source: str) -> str | None:
        kind = source[:4].lower()
        if kind == "cid:":
            return self._inline(source[4:])
        if kind == "data":
            return source if _PICTURE.fullmatch(source) else None
        if not _REMOTE.match(source):
            return None
        self.fetching += 1
        if self._remote is None:
            return None
        return self._remote(source if source[0] != "/" else f"https:{source}")
