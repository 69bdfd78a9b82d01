"""SEARCH of header fields: with the index, with half of it, and without it the same messages are found."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.imap.columns import Columns, entries
from engine.imap.letters import Shelf
from engine.imap.matching import Matching
from engine.imap.texts import Header, Needle, holding, holds, values, values_of
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


def found(
    owner: MailboxOwner, index: Index, view: View, key: HeaderContains, columns: Columns | None = None
) -> list[int]:
    columns = columns or Columns()
    matching = Matching(Shelf(owner.reader, index, ANN, INBOX), columns, view, Numbers(view.uids))
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
        columns = Columns()
        for (name, text), places in FOUND.items():
            for _ in range(3):  # looked for, kept, and found in what is kept
                assert found(owner, index, view, HeaderContains(name, text), columns) == places, name
        index.close()


@pytest.mark.parametrize(("name", "text"), [("Subject", "quarterly"), ("From", "a@b.test"), ("Subject", "")])
async def test_what_is_kept_of_a_field_follows_the_mailbox(tmp_path: Path, name: str, text: str) -> None:
    """Mail comes that the index does not know yet, then it does; and goes."""
    columns, key = Columns(), HeaderContains(name, text)
    with MailboxOwner(tmp_path / "mailbox") as owner, Digests(tmp_path / "index") as digests:
        index = Index.open(tmp_path / "index")

        async def deliver() -> None:
            for content in LETTERS:
                await owner.deliver(message(content=content), {ANN: "ann@example.org"})

        def learn(keys: Sequence[bytes]) -> None:
            digests.add({key: row_of(Octets(owner.reader, key), 0.0) for key in keys}, {}, Stamp())

        def look() -> int:
            view = owner.reader.select(ANN, INBOX)
            assert view is not None
            places = found(owner, index, view, key, columns)
            assert places == found(owner, index, view, key), "as where nothing is kept"
            return len(places)

        await deliver()
        first = owner.reader.select(ANN, INBOX)
        assert first is not None
        learn(first.content_keys()[:4])
        count = look()
        assert [look(), look()] == [count, count]
        learn(first.content_keys()[4:])
        assert look() == count
        await deliver()
        assert look() == 2 * count
        await owner.remove(ANN, first.uids[:3])
        assert look() < 2 * count
        await owner.remove(ANN, first.uids)
        assert look() == count
        index.close()


def test_a_column_is_cut_and_goes_on() -> None:
    header, sections = (
        Header("subject"),
        [b"Subject: A\r\n\r\n", None, b"X: y\r\n\r\n", b"Subject: b\r\nSUBJECT: ba\r\n"],
    )
    keys = [bytes([number]) * 24 for number in range(4)]
    columns, place = Columns(), (1, 1, b"subject")
    assert columns.of(place) is None, "it may be that nobody asks again"
    whole = columns.of(place)
    assert whole is not None
    whole = whole.with_more(b"".join(keys), entries(sections, header))
    assert [whole.found(needle) for needle in (b"a", b"b", b"ab", b"")] == [[0, 3], [3], [], [0, 3]]
    for place in range(5):
        cut = whole.upto(place)
        assert cut.contents == b"".join(keys[:place])
        assert cut.unknown == ((1,) if place > 1 else ())
        assert cut.with_more(whole.contents, entries(sections[place:], header)) == whole


SECTIONS = st.lists(
    st.none()
    | st.lists(
        st.sampled_from([
            b"Subject: one\r\n", b"SUBJECT : =?utf-8?q?tw=C3=B6?=\r\n", b" subject: folded\r\n", b"X-Subject: no\n",
            b"Subject-Of: no\r\n", b"subject:", b"\n", b"\r\n", b"Subject: \xff\x00\r\n", b" \r\n", b":",
            b"subject\r\n", b"Subject:\r\n\tx\n y\r\n", b"Subject: 1 \t\r\n", b"Subject: 2 \r3\r\n", b"\r",
            b"Subject:\t4\r\r\n",
        ])
    ).map(b"".join),
    max_size=8,
)  # fmt: skip


@given(SECTIONS, st.sampled_from(["subject", "x-subject", "subject:", "x y", "", "none"]))
def test_many_sections_say_what_each_says(sections: list[bytes | None], name: str) -> None:
    header = Header(name)
    each = [(place, value) for place, one in enumerate(sections) if one is not None for value in values(one, header)]
    assert list(values_of(sections, header)) == each


@given(SECTIONS, st.sampled_from(["subject", "x-subject", "to", "none"]), st.sampled_from(["", "o", "twö", "y", "1"]))
def test_many_sections_hold_what_each_holds(sections: list[bytes | None], name: str, text: str) -> None:
    header, needle = Header(name), Needle(text)
    there = [one for one in sections if one is not None]
    assert holding(there, header, needle) == [place for place, one in enumerate(there) if holds(one, header, needle)]


def test_not_all_columns_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.imap.columns.MOST", 1000)
    columns = Columns()
    for number in range(5):
        columns.of((1, number, b"subject"))
        column = columns.of((1, number, b"subject"))
        assert column is not None
        columns.keep((1, number, b"subject"), column.with_more(bytes(24), [b"x" * 300]))
    kept = [len(columns.of((1, number, b"subject")).text) for number in range(5)]  # type: ignore[union-attr]
    assert kept == [0, 0, 0, 300, 300]
