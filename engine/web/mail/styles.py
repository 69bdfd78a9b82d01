"""What of the CSS in a letter is left: how text looks, nothing that fetches, moves over other things or computes.

A declaration is kept whole or dropped whole. Values are judged by an alphabet and a list of functions, so nothing has
to be known of how browsers read what is malformed.
"""

import re
from typing import Final

PROPERTIES: Final = frozenset({
    "background", "background-color", "border", "border-bottom", "border-bottom-color", "border-bottom-style",
    "border-bottom-width", "border-collapse", "border-color", "border-left", "border-left-color", "border-left-style",
    "border-left-width", "border-radius", "border-right", "border-right-color", "border-right-style",
    "border-right-width", "border-spacing", "border-style", "border-top", "border-top-color", "border-top-style",
    "border-top-width", "border-width", "box-sizing", "caption-side", "clear", "color", "direction", "display", "float",
    "font", "font-family", "font-size", "font-style", "font-variant", "font-weight", "height", "letter-spacing",
    "line-height", "list-style-type", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top",
    "max-height", "max-width", "min-height", "min-width", "overflow-wrap", "padding", "padding-bottom", "padding-left",
    "padding-right", "padding-top", "table-layout", "text-align", "text-decoration", "text-indent", "text-transform",
    "vertical-align", "white-space", "width", "word-break", "word-spacing", "word-wrap",
})  # fmt: skip
"""No position, z-index or transform (they cover), no content (it says what nobody wrote), no animation or filter."""

LONGEST: Final = 16 * 1024
"""Characters of a style attribute that are looked at."""

FUNCTIONS: Final = frozenset({"rgb", "rgba", "hsl", "hsla"})

_FETCHES = re.compile(r"url\s*\(|image-set\s*\(|image\s*\(", re.IGNORECASE)
# No backslash (an escape may spell anything), comment, at-rule, block, angle bracket, colon or semicolon.
_VALUE = re.compile(r"""[\w\s#.,%()'"!+\-/]*""")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"([\w-]*)\s*\(")


def kept(style: str) -> tuple[str, int]:
    """What may stay of a style attribute, and how many declarations wanted to fetch something."""
    style = _COMMENT.sub(" ", style[:LONGEST])
    found, fetching = list[str](), 0
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if _FETCHES.search(declaration):
            fetching += 1
        elif colon and name in PROPERTIES and _is_harmless(value):
            found.append(f"{name}: {value}")
    return "; ".join(found), fetching


def _is_harmless(value: str) -> bool:
    if not _VALUE.fullmatch(value) or value.count('"') % 2 or value.count("'") % 2:
        return False
    return all(name.lower() in FUNCTIONS for name in _FUNCTION.findall(value))
