"""Exports: messages as they were, what was removed too, and a manifest that shows what was changed afterwards."""

import hashlib
import json
import mailbox

import pytest

from engine.config import Oversight as Settings
from engine.mailbox.commands import Append, Appended, Begin, Create, Expunge, Hold
from engine.mailbox.flags import SEEN
from engine.mailbox.layout import INBOX, INLINE
from engine.operations import oversight as operations
from engine.operations.operator import Operator
from engine.oversight import Refusal, Whose
from engine.oversight.export import MANIFEST, MBOX, Place

ANN = Whose(1, "ann@example.org")
ME = Operator("auditor@example.org")

TRICKY = (
    b"Message-ID: <tricky@example.org>\r\nStatus: RO\r\nX-UID: 77\r\nSubject: From here\r\n\r\n"
    b"From the start\r\n>From the quoted\r\n\r\nFrom nobody Mon Nov  2 10:00:00 2026\r\nlast line without an end"
)
PLAIN = b"Message-ID:\r\n <plain@example.org>\r\nSubject: Offer\r\n\r\nHello\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"From x\r\n" * (INLINE // 4)


@pytest.fixture
async def filled(owner):
    await owner.change(Begin(account=1))
    plans = (await owner.change(Create(account=1, name="Plans/2026"))).mailbox
    inbox = tuple(Appended(one, flags=SEEN, received=1_700_000_000_000) for one in (TRICKY, PLAIN))
    await owner.change(Append(account=1, mailbox=INBOX, messages=inbox))
    await owner.change(Append(account=1, mailbox=plans, messages=(Appended(LARGE), Appended(b"\r\nbare\nfeed"))))
    await owner.change(Hold(account=1, on=True))
    await owner.change(Expunge(account=1, mailbox=INBOX, uids=(2,), deleted_only=False))
    return owner


@pytest.fixture
def grant(opened):
    return operations.ask(opened, Settings(consent=False), ME, [ANN], "a leak", seconds=3600).number


async def test_all_of_an_account_is_taken_out_as_it_is(filled, opened, grant, tmp_path) -> None:
    folder = tmp_path / "out"
    manifest = operations.export(opened, filled.reader, ME, grant, folder)
    found = {one.message_id or one.folder: one for one in manifest.messages}
    assert [(one.number, one.folder, one.uid) for one in manifest.messages] == [
        (1, "INBOX", 1),
        (2, "Plans/2026", 1),
        (3, "Plans/2026", 2),
        (4, "INBOX", 2),
    ]
    assert found["<tricky@example.org>"].sha256 == hashlib.sha256(TRICKY).hexdigest()
    assert found["<tricky@example.org>"].received == 1_700_000_000.0
    assert found["<tricky@example.org>"].flags == ("\\Seen",)
    assert manifest.messages[1].sha256 == hashlib.sha256(LARGE).hexdigest()
    plain = found["<plain@example.org>"]
    assert (plain.size, plain.sha256) == (len(PLAIN), hashlib.sha256(PLAIN).hexdigest())
    assert plain.removed > 0
    assert plain.uidvalidity == 0
    octets = (folder / MBOX).read_bytes()
    assert hashlib.sha256(octets).hexdigest() == manifest.sha256
    there = octets[plain.place : plain.place + plain.length]
    assert there == PLAIN.replace(b"\r\n", b"\n")
    tricky = octets[found["<tricky@example.org>"].place :][: found["<tricky@example.org>"].length]
    assert b"\n>From the start\n>>From the quoted\n\n>From nobody" in tricky
    assert b"\nStatus: RO\n" in tricky
    assert [one["Subject"] for one in mailbox.mbox(folder / MBOX)] == ["From here", "large", None, "Offer"]
    assert operations.verified(folder, opened) == (manifest, [])


async def test_the_log_tells_of_it_before_and_afterwards(filled, opened, grant, tmp_path) -> None:
    manifest = operations.export(opened, filled.reader, ME, grant, tmp_path / "out", query="offer")
    begun, done = list(opened.entries(grant))
    assert (begun.what, begun.details) == ("export-begun", {"grant": grant, "query": "offer", "messages": "all"})
    assert done.what == "export-done"
    assert done.details["export"] == begun.number == manifest.entry
    assert done.details["manifest_sha256"] == hashlib.sha256((tmp_path / "out" / MANIFEST).read_bytes()).hexdigest()
    written = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert written["reason"] == "a leak"
    assert written["accounts"] == [[1, "ann@example.org"]]


async def test_some_messages_alone_can_be_taken_out(filled, opened, grant, tmp_path) -> None:
    only = {Place(1, INBOX, 1), Place(1, INBOX, 99), Place(2, INBOX, 1)}
    manifest = operations.export(opened, filled.reader, ME, grant, tmp_path / "out", only=only)
    assert [one.message_id for one in manifest.messages] == ["<tricky@example.org>"]


async def test_without_an_open_grant_nothing_is_made(filled, opened, grant, hands, tmp_path) -> None:
    hands.now += 3600
    with pytest.raises(Refusal):
        operations.export(opened, filled.reader, ME, grant, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "change", "problems"),
    [
        (
            MBOX,
            (b"\nHello\n", b"\nHallo\n"),
            ["mail.mbox is not as it was written", "message 4 is not as it was written"],
        ),
        (
            MANIFEST,
            (b"<plain@example.org>", b"<other@example.org>"),
            ["the manifest is not the one that the audit log knows"],
        ),
        (MANIFEST, (b'"entry": 2', b'"entry": 9'), ["the audit log knows of no export 9"]),
    ],
)
async def test_what_was_changed_is_found(filled, opened, grant, file, change, problems) -> None:  # noqa: PLR0917
    folder = opened.folder.parent / "out"
    operations.export(opened, filled.reader, ME, grant, folder)
    octets = (folder / file).read_bytes()
    assert change[0] in octets
    (folder / file).write_bytes(octets.replace(*change))
    assert operations.verified(folder, opened)[1] == problems
