"""Renews the tables in docs/api.md from the rows of the API: `python docs/make_api.py`."""

import re
from collections.abc import Iterator
from pathlib import Path

from engine.operations.scopes import SCOPES
from engine.web.api.rows import PARTS, ROWS

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

OPERATIONS = "| what | method and path | scope | domains |\n| --- | --- | --- | --- |\n"
ALLOWED = "| scope | what it allows |\n| --- | --- |\n"


def operations() -> Iterator[str]:
    """A row for each, part by part."""
    order = list(PARTS)
    for row in sorted(ROWS, key=lambda row: order.index(row.part)):
        scope, limited = f"`{row.scope}`" if row.scope else "—", "yes" if row.by_domain else "no"
        yield f"| {row.texts[0]} | `{row.method} {row.path}` | {scope} | {limited} |\n"


def scopes() -> Iterator[str]:
    yield from (f"| `{name}` | {what} |\n" for name, what in SCOPES.items())


def renewed(page: str) -> str:
    """The page with the tables as they should be."""
    for head, rows in ((OPERATIONS, operations), (ALLOWED, scopes)):
        table = head + "".join(rows())
        page = re.sub(rf"{re.escape(head)}(?:\|.*\n)*", lambda _, table=table: table, page)
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
