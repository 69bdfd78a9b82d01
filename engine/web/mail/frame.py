"""The page in which a letter is shown: it stands in a frame of no origin, and may do nothing but look."""

import html
import re
from collections.abc import Iterable
from typing import Final

_LOOK: Final = """
html { background: #fff; color: #16181d; color-scheme: light; }
body { margin: 0; padding: 1rem; font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
table { max-width: 100%; }
blockquote { margin: .5rem 0; padding-left: .75rem; border-left: 3px solid #c9ced8; }
pre.plain { margin: 0; white-space: pre-wrap; font: 14px/1.55 ui-monospace, monospace; }
pre.plain .quoted { color: #5b6270; }
.heading { font-size: 13px; text-align: left; }
.heading th { padding-right: 1rem; vertical-align: top; white-space: nowrap; }
a { color: #0a58ca; }
a[href]:hover::after, a[href]:focus-visible::after {
  content: attr(href); position: fixed; left: 0; bottom: 0; max-width: 100%; padding: .2rem .5rem; z-index: 1;
  background: #16181d; color: #fff; font: 12px/1.4 system-ui, sans-serif; overflow-wrap: anywhere;
}
"""
"""The address that a link leads to is shown, whatever its text pretends."""

_DARK: Final = """
@media (prefers-color-scheme: dark) {
  html.plain { background: #14171c; color: #e6e9ef; color-scheme: dark; }
  html.plain a { color: #7db4ff; }
}
"""

_LINK = re.compile(r"https?://[^\s<>\"'\u201c\u201d]+[^\s<>\"'.,;:!?)\]\u201c\u201d]", re.IGNORECASE)

PAGE: Final = """<!doctype html>
<html lang="" class="{kind}">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{look}</style>
</head>
<body>{body}</body>
</html>
"""


def policy(origin: str) -> str:
    """The Content-Security-Policy of the frame. ``origin`` is ours: by its name, for the frame itself has none."""
    return (
        f"default-src 'none'; img-src {origin} data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
    )


def page(body: str, *, title: str = "", plain: bool = False) -> str:
    """A whole document of HTML that is harmless already."""
    kind = "plain" if plain else ""
    return PAGE.format(kind=kind, title=html.escape(title), look=_LOOK + _DARK, body=body)


def heading(fields: Iterable[tuple[str, str]]) -> str:
    """Names and values of fields above a letter, for paper."""
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in fields)
    return f'<table class="heading">{rows}</table><hr>'


def text(plain: str) -> str:
    """Plain text as HTML: addresses are links, quoted lines are lighter."""
    lines = (_line(line) for line in plain.replace("\r\n", "\n").split("\n"))
    return '<pre class="plain">' + "\n".join(lines) + "</pre>"


def _line(line: str) -> str:
    pieces, place = list[str](), 0
    for link in _LINK.finditer(line):
        address = html.escape(link[0])
        pieces.append(html.escape(line[place : link.start()]))
        pieces.append(f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>')
        place = link.end()
    pieces.append(html.escape(line[place:]))
    joined = "".join(pieces)
    return f'<span class="quoted">{joined}</span>' if line.startswith(">") else joined
