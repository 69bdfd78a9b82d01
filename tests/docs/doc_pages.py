"""Reading the pages: their blocks, tables and sections, for the tests that hold them to the code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block. ``note`` is what stands behind the language in its first line."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page, in order; all, or those of one language."""
    found, text = [], page.read_text()
    for match in re.finditer(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[1], match[2].strip(), match[3]))
    return [block for block in found if not language or block.language == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def sections(page: Path) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in ``text``; a bar in a code span is written ``\\|``."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables(text: str) -> list[list[list[str]]]:
    """The tables in ``text``, each its rows, the header first."""
    return [list(rows(table)) for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)]


def code(cell: str) -> str:
    """What a cell holds in a code span, "" when it holds none."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    return match[1] if match else ""
