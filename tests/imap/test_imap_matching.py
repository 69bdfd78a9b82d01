"""SEARCH of header fields: with the index, with half of it, and without it the same messages are found."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.imap.letters import Shelf
from engine.imap.matching import Matching
from engine.index import Index
from engine.index.digests import Digests
from engine.index.layout import Stamp
from engine.index.row import Octets, row_of
from engine.mailbox import MailboxOwner, View
from engine.mailbox.layout import INBOX
from engine.protocols.imap.search_keys import HeaderContains
from engine.protocols.imap.view import View as Numbers
from tests.support.messages import message

ANN = 1
LETTERS = [
    b"From: a@b.test\r\nSubject: Quarterly figures\r\n\r\nx\r\n",
    b"From: =?utf-8?q?B=C3=B6?= <a@b.test>\r\nSubject: other\r\n\r\nquarterly\r\n",
    b"Subject: =?utf-8?b?UXVhcnRlcmx5?= again\r\n\r\nx\r\n",
    b"To: quarterly@b.test\r\n\r\nx\r\n",
    b"Subject: one\r\nSUBJECT: the\r\n QUARTERLY\r\n\r\nx\r\n",
    b"",
]
FOUND = {
    ("Subject", "quarterly"): [0, 2, 4],
    ("subject", "the quarterly"): [4],
    ("From", "bö"): [1],
    ("Subject", ""): [0, 1, 2, 4],
    ("X-None", ""): [],
    ("Delivered-To", "ANN@"): [0, 1, 2, 3, 4, 5],
    ("Return-Path", "nobody@"): [],
}


def index_of(path: Path, owner: MailboxOwner, keys: Sequence[bytes]) -> Index:
    with Digests(path) as digests:
        digests.add({key: row_of(Octets(owner.reader, key), 0.0) for key in keys}, {}, Stamp())
    return Index.open(path)


def found(owner: MailboxOwner, index: Index, view: View, key: HeaderContains) -> list[int]:
    matching = Matching(Shelf(owner.reader, index, ANN, INBOX), view, Numbers(view.uids))
    steps = matching.find(key, range(len(view)))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("known", [0, 3, len(LETTERS)])
async def test_header_fields(tmp_path: Path, known: int) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        for content in LETTERS:
            await owner.deliver(message(content=content), {ANN: "ann@example.org"})
        view = owner.reader.select(ANN, INBOX)
        assert view is not None
        index = index_of(tmp_path / "index", owner, view.content_keys()[:known])
        for (name, text), places in FOUND.items():
            assert found(owner, index, view, HeaderContains(name, text)) == places, name
        index.close()
