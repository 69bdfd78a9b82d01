"""Allow and block lists on disk: whose list counts, and that every process sees a change at once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.directory import Invalid
from engine.lists import ALLOW, BLOCK, Entry, Listed, Lists, Sender, scope_of
from engine.lists.entries import Identity, Word
from engine.lists.store import Row

ANN = Sender((Identity("ann@example.net", True),), "192.0.2.7")
BOB = "bob@example.org"


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    with Lists.open(tmp_path) as opened:
        yield opened


def put(lists: Lists, scope: str, word: Word, *texts: str) -> None:
    lists.put(Row(scope, Entry(word, text)) for text in texts)


def test_the_nearest_list_counts(lists: Lists) -> None:
    assert lists.says(ANN, BOB) is None
    put(lists, "", BLOCK, "192.0.2.0/24")
    assert lists.says(ANN, BOB) == Listed(Entry(BLOCK, "192.0.2.0/24"), "")
    put(lists, "@example.org", ALLOW, "net")
    assert lists.says(ANN, BOB) == Listed(Entry(ALLOW, "net"), "@example.org")
    put(lists, BOB, BLOCK, "example.net")
    found = lists.says(ANN, "Bob@EXAMPLE.org")
    assert found == Listed(Entry(BLOCK, "example.net"), BOB)
    assert (found.by_user, found.allowed) == (True, False)
    assert lists.says(ANN, "cat@example.org") == Listed(Entry(ALLOW, "net"), "@example.org")
    assert lists.says(ANN, "cat@elsewhere.example") == Listed(Entry(BLOCK, "192.0.2.0/24"), "")


def test_an_entry_is_allowed_or_blocked(lists: Lists) -> None:
    put(lists, "", BLOCK, "example.net", "example.com")
    put(lists, "", ALLOW, "example.net")
    put(lists, BOB, ALLOW, "example.net")
    assert lists.rows("") == [Row("", Entry(BLOCK, "example.com")), Row("", Entry(ALLOW, "example.net"))]
    assert len(lists.rows()) == 3
    assert lists.remove("", ["example.net", "example.net", "no.example"]) == ["example.net", "no.example"]
    assert lists.rows(BOB) == [Row(BOB, Entry(ALLOW, "example.net"))]
    assert lists.forget(BOB) == 1
    assert lists.rows() == [Row("", Entry(BLOCK, "example.com"))]


def test_the_list_of_one_is_not_that_of_another(lists: Lists) -> None:
    put(lists, "bob@example.organic", BLOCK, "example.net")
    put(lists, "@example.org", BLOCK, "example.com")
    assert lists.rows(BOB) == []
    assert lists.says(ANN, BOB) is None


def test_what_another_process_changes_is_seen_at_once(lists: Lists, tmp_path: Path) -> None:
    assert lists.says(ANN, BOB) is None
    script = (
        "import sys, pathlib; from engine.lists import *; from engine.lists.store import Row\n"
        "Lists.open(pathlib.Path(sys.argv[1])).put([Row('', Entry(BLOCK, 'example.net'))])"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert lists.says(ANN, BOB) == Listed(Entry(BLOCK, "example.net"), "")


def test_whose_a_list_is() -> None:
    assert scope_of() == ""
    assert scope_of(domain="Example.ORG") == "@example.org"
    assert scope_of(address="Bob@Example.ORG") == BOB
    for wrong in ({"domain": "no such"}, {"address": "bob"}):
        with pytest.raises(Invalid):
            scope_of(**wrong)


def test_strange_recipients_and_long_entries(lists: Lists) -> None:
    put(lists, "", BLOCK, "example.net")
    for recipient in ("", "bob", "b\udc80b@example.org", "x" * 1000 + "@example.org"):
        assert lists.says(ANN, recipient) == Listed(Entry(BLOCK, "example.net"), "")
    with pytest.raises(Invalid):
        put(lists, BOB, BLOCK, "x" * 600)
