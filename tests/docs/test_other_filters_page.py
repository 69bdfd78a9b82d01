"""docs/other-filters.md: its configurations are good, its program works, and its table of exit codes is the code's."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from doc_pages import ROOT, Block, blocks, code, rows, sections

from engine.config import parse
from engine.scanning.judgement import CODES
from engine.scanning.judgement import parse as parse_answer
from engine.scanning.pool import Pool
from engine.scanning.program import Command
from engine.scanning.telling import PLACEHOLDERS, environment, line
from tests.support.messages import LETTER, message

PAGE = ROOT / "docs" / "other-filters.md"
REST = """
[server]
hostname = "mx.example.org"
[listen]
smtp = "127.0.0.1:2525"
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
"""


def which(name: str, path: str = "") -> str:
    return f"/usr/bin/{name}"


@pytest.mark.parametrize("block", blocks(PAGE, "toml"), ids=str)
def test_every_configuration_is_good(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", which)  # spamc need not be there
    secret = tmp_path / "hook-headers"
    secret.write_text("Authorization: Bearer x\n")
    text = block.text.replace("/etc/postroad/hook-headers", str(secret))
    rest = REST.replace('[listen]\nsmtp = "127.0.0.1:2525"\n', "") if "[listen]" in text else REST
    if "[lane" not in text:
        rest += '[lane.inbound]\nstages = ["accept", "spamassassin", "queue", "route"]\n'
    assert parse(text + rest, tmp_path / "pipeline.toml").courses


async def test_its_program_judges(tmp_path: Path) -> None:
    [block] = [block for block in blocks(PAGE, "python") if block.note == "judge"]
    (tmp_path / "judge.py").write_text(block.text)
    command = Command(arguments=[sys.executable, "judge.py"], environment=environment(), folder=tmp_path)
    found = []
    async with Pool("judge", command) as pool:
        for content in (LETTER, LETTER + b"Lottery\r\n"):
            letter = message(content=content)
            asked = [line(letter), *letter.chunks()]
            found.append(await pool.ask(str(letter.id), lambda asked=asked: asked, parse_answer))
    assert [one.verdict for one in found] == ["pass", "spam"]


def test_exit_codes_and_placeholders() -> None:
    text: dict[str, Any] = sections(PAGE)
    told = {}
    for cells in rows(text["By exit code"]):
        if word := code(cells[1]):
            told |= {int(number): word for number in cells[0].split(", ") if number.isdecimal()}
    assert told == dict(CODES)
    assert all(f"{{{name}}}" in text["A command"] for name in PLACEHOLDERS)


def test_every_variable_is_told() -> None:
    assert all(f"`{name}`" in PAGE.read_text() for name in environment(message()))
