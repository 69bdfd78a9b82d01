"""Digests of contents: what the index says is what the message itself says."""

import shutil
from pathlib import Path

import pytest

from engine.index import Index, computed, placed
from engine.index.digests import Digests
from engine.index.layout import DIGESTS, FORMAT_KEY, Mark, Stamp
from engine.index.row import HEADER_LIMIT, LEFT_OUT, Octets, Row, headers, row_of, stored_header
from engine.mailbox import MailboxOwner, MessageGone, View
from engine.mailbox.layout import INBOX
from engine.mime.bodystructure import body, bodystructure
from engine.mime.digest import digest
from engine.mime.fields import only
from engine.mime.search import body_texts
from tests.support.messages import message

ANN, BEN = 1, 2
STRANGE = [
    b"", b"\r\n", b"\r\nno header\r\n", b"no header\r\n", b" folded: x\r\nSubject: a\r\n\r\nb\r\n", b"Subject: cut off",
    b"Subject: no body\r\n", b"Subject: a\nTo: <b@c.test>\n\nonly LF\n",
]  # fmt: skip
"""Messages whose header section is not what RFC 5322 wants."""


async def delivered(owner: MailboxOwner, *contents: bytes, account: int = ANN) -> View:
    for content in contents:
        await owner.deliver(message(content=content), {account: "ann@example.org"})
    view = owner.reader.select(account, INBOX)
    assert view is not None
    return view


def keys(view: View) -> list[bytes]:
    return [view.contents[place : place + 24] for place in range(0, len(view.contents), 24)]


def row(owner: MailboxOwner, key: bytes) -> Row:
    return row_of(Octets(owner.reader, key), 0.0)


def filled(path: Path, owner: MailboxOwner, view: View) -> Index:
    with Digests(path) as digests:
        digests.add({key: row(owner, key) for key in keys(view)}, {}, Stamp())
    return Index.open(path)


async def test_what_is_kept_of_a_content_is_what_the_whole_message_says(
    owner: MailboxOwner, tmp_path: Path, letters: list[bytes]
) -> None:
    view = await delivered(owner, *letters, *STRANGE)
    index, contents = filled(tmp_path / "index", owner, view), keys(view)
    _, headings = owner.reader.headed(ANN, INBOX, view.uids)
    envelopes, structures, bodies = index.envelopes(contents), index.structures(contents), index.bodies(contents)
    for number, kept in enumerate(index.digests(contents)):
        octets = b"".join(owner.reader.chunks(ANN, view.uids[number]))
        whole = digest(lambda octets=octets: [octets], 0.0)  # type: ignore[misc]
        assert kept is not None
        assert envelopes[number] == whole.message.envelope
        assert structures[number] == bodystructure(whole.message)
        assert bodies[number] == body(whole.message)
        heading = headings[number]
        assert len(heading) == view.sizes[number] - kept.message.end
        assert placed(kept, len(heading)) == whole
        anew = computed(owner.reader, ANN, INBOX, view.uids[number], 0.0)
        assert (anew.envelope, anew.structure, anew.body) == (envelopes[number], structures[number], bodies[number])
    index.close()


async def test_header_fields_are_picked_from_what_is_kept(
    owner: MailboxOwner, tmp_path: Path, letters: list[bytes]
) -> None:
    view = await delivered(owner, *letters, *STRANGE)
    index, contents = filled(tmp_path / "index", owner, view), keys(view)
    names = [b"subject", b"from", b"content-type", b"x-unheard-of"]
    picked, found = 0, index.headers(contents, names)
    for key, kept in zip(contents, found, strict=True):
        section = b"".join(owner.reader.content(key))
        section = section[: row(owner, key).digest.message.body]
        if kept is not None:
            assert only(kept, names) == only(section, names)
            picked += 1
    assert picked > len(letters)
    for key, kept in zip(contents, index.headers(contents), strict=True):
        assert kept is None or b"".join(owner.reader.content(key)).startswith(kept)
    assert index.headers(contents, [b"received"]) == index.headers(contents)
    index.close()


def test_what_no_client_asks_for_is_not_kept() -> None:
    section = b"Received: from a\r\n by b\r\nSubject: x\r\nDKIM-Signature: v=1\r\n\r\n"
    stored = stored_header(section)
    assert headers([stored], [b"subject"])[0] == b"Subject: x\r\n\r\n"
    assert headers([stored], ())[0] is None
    assert headers([stored], [b"subject", b"received"])[0] is None
    assert headers([stored_header(b"Subject: x\r\n\r\n")], ())[0] == b"Subject: x\r\n\r\n"
    assert stored_header(b"Subject: " + b"x" * HEADER_LIMIT + b"\r\n\r\n") == b""
    assert headers([b""], [b"subject"])[0] is None
    assert all(name == name.lower() for name in LEFT_OUT)


async def test_a_large_message_is_read_piece_by_piece(owner: MailboxOwner) -> None:
    text = b"some words in a line\r\n" * 40_000
    view = await delivered(owner, b"Subject: large\r\n\r\n" + text)
    (key,) = keys(view)
    found = row(owner, key)
    assert found.digest.message.end == len(text) + 18
    assert found.digest.message.lines == 40_000
    assert found.digest.preview.startswith("some words")
    assert headers([found.header], ())[0] == b"Subject: large\r\n\r\n"


async def test_what_is_not_known_is_none_in_its_place(owner: MailboxOwner, tmp_path: Path) -> None:
    view = await delivered(owner, b"Subject: a\r\n\r\n", b"Subject: b\r\n\r\n")
    first, second = keys(view)
    with Digests(tmp_path / "index") as digests:
        digests.add({second: row(owner, second)}, {}, Stamp())
        assert digests.missing([second, first, first]) == {first}
    index = Index.open(tmp_path / "index")
    envelopes = index.envelopes([first, second, bytes(24), second])
    assert [envelope and b'"b"' in envelope for envelope in envelopes] == [None, True, None, True]
    assert index.digests([first]) == [None]
    index.close()
    with Digests(tmp_path / "index") as digests:
        digests.forget([second])
        assert digests.missing([second]) == {second}
    with pytest.raises(MessageGone):
        row(owner, bytes(24))
    with pytest.raises(MessageGone):
        computed(owner.reader, ANN, INBOX, 99, 0.0)


async def test_without_an_index_nothing_is_known_until_there_is_one(
    owner: MailboxOwner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.index.reader.LOOK", 0.0)
    index = Index.open(tmp_path / "index")
    view = await delivered(owner, b"Subject: a\r\n\r\n")
    assert index.envelopes(keys(view)) == [None]
    filled(tmp_path / "index", owner, view)
    assert index.envelopes(keys(view)) != [None]
    shutil.rmtree(tmp_path / "index")
    Digests(tmp_path / "index").close()
    assert index.envelopes(keys(view)) == [None]  # the new one, not what was
    index.close()


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "another format"])
async def test_what_cannot_be_used_is_thrown_away(owner: MailboxOwner, tmp_path: Path, damage: str) -> None:
    view = await delivered(owner, b"Subject: a\r\n\r\n" + b"x" * 100)
    filled(tmp_path / "index", owner, view).close()
    file = tmp_path / "index" / DIGESTS / "data.mdb"
    if damage == "another format":
        with Digests(tmp_path / "index") as digests:
            digests._clear((), {FORMAT_KEY: b"\0\0"})
    else:
        octets = file.read_bytes()
        file.write_bytes(octets[:8192] if damage == "cut off" else b"\1" * len(octets))
    index = Index.open(tmp_path / "index")
    assert index.envelopes(keys(view)) == [None]
    index.close()
    with Digests(tmp_path / "index") as digests:
        assert digests.missing(keys(view)) == set(keys(view))
        digests.add({key: row(owner, key) for key in keys(view)}, {(ANN, INBOX): Mark(7, 1)}, Stamp())
    with Digests(tmp_path / "index") as digests:
        assert digests.missing(keys(view)) == set()
        assert digests.mark(ANN, INBOX) == Mark(7, 1)
        assert digests.marked() == [(ANN, INBOX)]


async def test_offsets_of_a_part_lead_to_its_text(owner: MailboxOwner, letters: list[bytes]) -> None:
    view = await delivered(owner, *letters)
    for number, key in enumerate(keys(view)):
        uid = view.uids[number]
        octets = b"".join(owner.reader.chunks(ANN, uid))
        found = row(owner, key).digest
        moved = placed(found, view.sizes[number] - found.message.end).message
        content = b"".join(owner.reader.content(key))
        assert (
            "".join(body_texts(moved, lambda start, end, octets=octets: [octets[start:end]]))
            == "".join(  # type: ignore[misc]
                body_texts(found.message, lambda start, end, content=content: [content[start:end]])  # type: ignore[misc]
            )
        )
