"""docs/queue.md: every command on it is one, every condition can be read, and every name is told."""

import re
import shlex

import click
import pytest
from doc_pages import ROOT, blocks

from engine.cli import main
from engine.queue.search import NEEDED, Selection

PAGES = [ROOT / "docs" / name for name in ("queue.md", "relay-queue.md")]
LINES = [line for page in PAGES for block in blocks(page, "sh") for line in block.text.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("postroad queue")]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    context = click.Context(main, info_name="postroad")
    group = main.get_command(context, words[0])
    assert isinstance(group, click.Group)
    command = group.get_command(context, words[1])
    assert command is not None, line
    given = command.make_context(words[1], words[2:], parent=context).params
    Selection.told(given.get("which", ()), 0.0)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 25


def test_every_name_is_told() -> None:
    told = set(re.findall(r"`([\w.]+)`", (ROOT / "docs" / "queue.md").read_text()))
    assert set(NEEDED) <= told
