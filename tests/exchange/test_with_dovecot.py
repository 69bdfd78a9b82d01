"""Dovecot reads what goes out, and what Dovecot wrote comes in: flags, keywords, dates, UIDs, subscriptions."""

import os
from contextlib import closing

import pytest
from exchange_samples import ANN, BEN, LARGE, filled, seen, subscribed, uids

from engine.exchange.exporting import Export
from engine.exchange.importing import Import
from engine.exchange.journal import Journal
from engine.exchange.letters import flag_names
from engine.exchange.sources import Source
from engine.exchange.store import Store
from engine.exchange.tree import NAME
from tests.support.doveadm import Doveadm, Read, doveadm
from tests.support.programs import marks

pytestmark = marks("doveadm")

MAILDIR, TREE, MBOX = "maildir:{folder}", "maildir:{folder}:LAYOUT=fs", "mbox:{folder}:INBOX={folder}/inbox"

LETTERS = (
    b"Subject: one\n\nHello\n",
    b"Subject: two\n\nFrom me Tue Nov 28 18:15:43 2026\n>From you\n\nno end",
    b"Subject: blank\n\n\n\n",
    b"Subject: gr\xc3\xbcn\n\n" + LARGE.replace(b"\r\n", b"\n"),
)


def told(store: Store, account: int) -> dict[str, list[Read]]:
    """As Dovecot would tell it."""
    return {
        name: [
            Read(uid, one.content, frozenset(flag_names(one.flags)) | one.keywords, one.received // 1000)
            for uid, one in zip(uids(store, account)[name][1], messages, strict=True)
        ]
        for name, messages in seen(store, account).items()
        if messages
    }


def without_uids(found: dict[str, list[Read]]) -> dict[str, list[Read]]:
    return {name: [Read(0, one.content, one.flags, one.received) for one in some] for name, some in found.items()}


@pytest.mark.parametrize(
    ("kind", "location", "suffix"),
    [("maildir", MAILDIR, ""), ("mbox", "mbox:{folder}:INBOX={folder}/INBOX.mbox", ".mbox")],
)
async def test_dovecot_reads_what_went_out(store: Store, kind: str, location: str, suffix: str) -> None:
    await filled(store)
    with doveadm(location) as dovecot:
        Export(store.mailboxes, ANN, "ann@example.org", kind, lambda _done, _total: None).tree(dovecot.folder)
        (dovecot.folder / NAME).unlink()  # which it would take for an mbox
        dovecot.give()
        separator = "." if kind == "maildir" else "/"
        wanted = {
            name if name == "INBOX" else name.replace("/", separator) + suffix: messages
            for name, messages in told(store, ANN).items()
        }
        if kind == "mbox":  # Dovecot looks for names of files in UTF-7, people do not
            del wanted["Projekte/Grün & blau.mbox"]
        assert dovecot.mail() == wanted
        validity = dovecot("-f", "tab", "mailbox", "status", "uidvalidity", "INBOX").split()[-1]
        assert int(validity) == uids(store)["INBOX"][0]
        if kind == "maildir":
            names = {name.replace("/", ".") for name in subscribed(store)}
            assert set(dovecot("mailbox", "list", "-s").splitlines()) == names


@pytest.mark.parametrize("location", [MAILDIR, TREE, MBOX])
async def test_what_dovecot_wrote_comes_in(store: Store, location: str) -> None:
    with doveadm(location) as dovecot:
        fill(dovecot, "." if location == MAILDIR else "/")
        wanted = {name.replace(".", "/"): messages for name, messages in without_uids(dovecot.mail()).items()}
        with closing(Journal(store.path, BEN, store.mailboxes)) as journal:
            done = await Import(store, BEN, journal).run(Source.at(dovecot.folder))
        assert (done.taken, done.broken, done.notes) == (5, [], [])
        assert without_uids(told(store, BEN)) == wanted
        if location != MBOX:
            assert {"Grün", "Lists/x"} <= subscribed(store, BEN)


def fill(dovecot: Doveadm, separator: str) -> None:
    """Folders, messages in each, and flags of all kinds."""
    names = ("INBOX", "Grün", f"Lists{separator}x")
    dovecot("mailbox", "create", "-s", *names[1:])
    for content in LETTERS[:3]:
        dovecot("save", "-m", names[0], stdin=content)
    dovecot("save", "-m", names[1], stdin=LETTERS[3])
    dovecot("save", "-m", names[2], stdin=LETTERS[0])
    dovecot("flags", "add", "\\Seen \\Flagged $Forwarded urgent", "mailbox", names[0], "uid", "1")
    dovecot("flags", "add", "\\Deleted urgent", "mailbox", names[0], "uid", "3")
    dovecot("flags", "add", "\\Draft \\Answered", "mailbox", names[1], "all")
    for number, path in enumerate(sorted(dovecot.folder.rglob("*S=*"))):
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
