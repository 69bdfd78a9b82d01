"""Renews the table of measures in docs/monitoring.md from what the code declares: `python docs/make_measures.py`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "monitoring.md"
KINDS = ("Counter", "Gauge", "Histogram")
HEAD = "| measure | kind | labels | meaning |\n| --- | --- | --- | --- |\n"


def declared() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name, kind, labels and meaning of each family that the code declares."""
    paths = sorted(path for folder in ("engine", "stages") for path in (ROOT / folder).rglob("*.py"))
    for text in filter(re.compile("postroad_").search, [path.read_text() for path in paths]):
        for node in ast.parse(text).body:
            call = node.value if isinstance(node, ast.Assign) else None
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in KINDS and call.args:
                name, meaning, *labels = map(ast.literal_eval, call.args)
                yield name, ast.unparse(call.func).rpartition(".")[2].lower(), *(labels or [()]), meaning


def table() -> str:
    """The table as the page has it; ``postroad_up`` is made by who asks."""
    found = [("postroad_up", "gauge", (), "Whether the worker answered in time."), *declared()]
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '—'} | {meaning} |\n"
        for name, kind, labels, meaning in sorted(found)
    ]
    return HEAD + "".join(rows)


def renewed(page: str) -> str:
    """The page with the table as it should be."""
    return re.sub(rf"{re.escape(HEAD)}(?:\|.*\n)*", lambda _: table(), page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
