"""What others write: mbox of all kinds, Thunderbird's and Apple's folders, and what is broken."""

import os
import plistlib
from contextlib import closing
from pathlib import Path

import pytest
from exchange_samples import ANN, seen

from engine.exchange import mbox
from engine.exchange.importing import Import
from engine.exchange.journal import Journal
from engine.exchange.letters import Broken, Found, is_keyword
from engine.exchange.sources import Source
from engine.exchange.store import Store
from engine.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

FROM = "From a@b Tue Nov 28 18:15:43 2026\n"


def read(path: Path) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Folder, content with short line ends, flags and keywords of each letter."""
    return [
        (
            one.folder,
            b"".join(one.letter.pieces).decode().replace("\r\n", "\n"),
            one.letter.flags,
            one.letter.keywords,
        )
        for one in Source.at(path).letters()
        if isinstance(one, Found)
    ]


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("", []),
        ("\n\n", []),
        (FROM + "A: 1\n\nx\n", ["A: 1\n\nx\n"]),
        ("\n\n" + FROM + "A: 1\n\nx\n\n\n", ["A: 1\n\nx\n\n"]),
        (FROM + "A: 1\n\nx\n\n" + FROM + "B: 2\n\ny\n\n", ["A: 1\n\nx\n", "B: 2\n\ny\n"]),
        # No empty line before the next message, or none at all behind the header section.
        (FROM + "A: 1\n\nx\n" + FROM + "B: 2\n\ny\n\n", ["A: 1\n\nx\n", "B: 2\n\ny\n"]),
        (FROM + "A: 1\n" + FROM + "B: 2\n\ny\n", ["A: 1\n", "B: 2\n\ny\n"]),
        (FROM + "A: 1\n\n" + FROM + "B: 2\n\ny\n", ["A: 1\n\n", "B: 2\n\ny\n"]),
        # Text that only looks like it: no date, no field behind it.
        (FROM + "A: 1\n\nFrom here\n\nFrom there\nit goes on\n", ["A: 1\n\nFrom here\n\nFrom there\nit goes on\n"]),
        # A date that nobody can read, but fields behind it.
        (FROM + "A: 1\n\nx\n\nFrom a@b 2026-11-28\nB: 2\n\ny\n", ["A: 1\n\nx\n", "B: 2\n\ny\n"]),
        (FROM + "A: 1\n\n>From x\n>>From y\n> From z\n", ["A: 1\n\nFrom x\n>From y\n> From z\n"]),
        # A length that is right, and one that is not.
        (FROM + f"Content-Length: 36\nA: 1\n\n{FROM}x\n\n" + FROM + "B: 2\n\n", [f"A: 1\n\n{FROM}x\n", "B: 2\n\n"]),
        (FROM + "Content-Length: 8\nA: 1\n\n>From x\n\n", ["A: 1\n\n>From x\n"]),
        (FROM + "Content-Length: 99\nA: 1\n\nx\n\n" + FROM + "B: 2\n\ny\n", ["A: 1\n\nx\n", "B: 2\n\ny\n"]),
        # Pine's note to itself.
        (FROM + "Subject: DO NOT DELETE -- FOLDER INTERNAL DATA\nX-IMAP: 1\n\nx\n\n" + FROM + "B: 2\n\n", ["B: 2\n\n"]),
    ],
)  # fmt: skip
def test_an_mbox_is_cut_where_messages_begin(tmp_path: Path, text: str, contents: list[str]) -> None:
    longer = text.replace("Length: 36", "Length: 38").replace("Length: 8\n", "Length: 9\n")
    for name, octets in (("unix.mbox", text), ("dos.mbox", longer.replace("\n", "\r\n"))):
        path = tmp_path / name
        path.write_bytes(octets.encode())
        assert [content for _, content, _, _ in read(path)] == contents


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"From a@b Tue Nov 28 18:15:43 2026", 1795889743),
        (b"From a@b  Sat Nov  8 08:15 2026", 1794125700),
        (b"From - Tue Nov 28 18:15:43 2026\r\n", 1795889743),
        (b"From 123@xxx Tue Nov 28 18:15:43 +0000 2026\n", 1795889743),
        (b"From a@b Tue Nov 28 18:15:43 2026 +0100\n", 1795886143),
        (b"From a b c@d Tue Nov 28 18:15:43 CET 2026\n", 1795889743),
        (b"From a@b Thu Jan 1 00:00:00 1970", 0),
        (b"From a@b Thu Xyz 1 00:00:00 1970", 0),
    ],
)
def test_dates_of_lines_from(line: bytes, seconds: int) -> None:
    assert mbox.parsed_date(line) == seconds * 1000


@pytest.mark.parametrize(
    ("fields", "flags", "keywords"),
    [
        ("Status: RO\n", SEEN, ()),
        ("X-Status: AFTD\nStatus: O\n", ANSWERED | FLAGGED | DRAFT | DELETED, ()),
        ("X-Keywords: $Forwarded  urgent\n  more \n", 0, ("$Forwarded", "urgent", "more")),
        ("X-Keywords: no(atom fine\n", 0, ("fine",)),
        ("X-Mozilla-Status: 000b\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1    \n",
         SEEN | ANSWERED | DELETED, ("$label1",)),
        ("X-UID: 7\nX-IMAPbase: 1 2\nContent-Length: x\n", 0, ()),
    ],
)  # fmt: skip
def test_marks_of_an_mbox_are_no_part_of_the_message(
    tmp_path: Path, fields: str, flags: int, keywords: tuple[str, ...]
) -> None:
    path = tmp_path / "x.mbox"
    for text in (f"A: 1\n{fields}B: 2\n\nStatus: x\n", f"{fields}A: 1\nB: 2\n\nStatus: x\n"):
        path.write_text(FROM + text)
        assert read(path) == [("x", "A: 1\nB: 2\n\nStatus: x\n", flags, keywords)]


def test_a_large_message_is_found_across_the_edges_of_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.mbox"
    for size in (*range(4096 - 60, 4096 + 10, 3), *range(20_480 - 60, 20_480 + 10, 3), *range(2**19, 2**19 + 100, 9)):
        body = "y" * (size - len(FROM) - 6) + "\n"
        path.write_text(FROM + "A: 1\n\n" + body + "\n" + FROM + "B: 2\n\n>From z\n")
        assert [content for _, content, _, _ in read(path)] == ["A: 1\n\n" + body, "B: 2\n\nFrom z\n"]
    path.write_text(FROM + "A: " + "x" * 3 * 2**20 + "\n\nbody\n")  # a header section without end
    assert [len(content) for _, content, _, _ in read(path)] == [3 * 2**20 + 10]


def test_thunderbirds_folders(tmp_path: Path) -> None:
    (tmp_path / "Inbox.sbd" / "Lists.sbd").mkdir(parents=True)
    for name in ("Inbox", "Inbox.sbd/Lists", "Inbox.sbd/Lists.sbd/A & B", "Sent"):
        (tmp_path / name).write_text(FROM + f"A: {name}\n\nx\n")
        (tmp_path / f"{name}.msf").write_text('// <!-- <mdb:mork:z v="1.4"/> -->')
    assert sorted(folder for folder, *_ in read(tmp_path)) == ["INBOX", "INBOX/Lists", "INBOX/Lists/A & B", "Sent"]


def test_apples_folders(tmp_path: Path) -> None:
    message = b"Subject: x\n\nHello\n"
    plist = plistlib.dumps({"flags": 1 << 0 | 1 << 4, "date-received": 1_700_000_000})
    folder = tmp_path / "INBOX.mbox" / "Work.mbox" / "0F-1" / "Data" / "Messages"
    folder.mkdir(parents=True)
    (folder / "1.emlx").write_bytes(b"%d   \n" % len(message) + message + plist)
    (folder / "2.emlx").write_bytes(b"%d\n" % len(message) + message + b"no property list")
    (folder / "3.emlx").write_bytes(b"999999\n" + message)
    found = list(Source.at(tmp_path).letters())
    assert [(one.folder, one.letter.flags) for one in found if isinstance(one, Found)] == [
        ("INBOX/Work", SEEN | FLAGGED),
        ("INBOX/Work", 0),
    ]
    assert 1_700_000_000_000 in [one.letter.received for one in found if isinstance(one, Found)]
    assert [Path(one.where).name for one in found if isinstance(one, Broken)] == ["3.emlx"]


def test_maildir_of_others(tmp_path: Path) -> None:
    for folder in (".", ".Sent", ".Work.2026", "fs/deep"):
        for sub in ("cur", "new", "tmp"):
            (tmp_path / folder / sub).mkdir(parents=True)
    (tmp_path / "cur" / "1.a:2,PRSa").write_bytes(b"A: 1\n\n")
    (tmp_path / "new" / "2.a").write_bytes(b"A: 2\r\n\r\n")
    (tmp_path / "tmp" / "3.a").write_bytes(b"half")
    (tmp_path / "cur" / "4.a:2,").write_bytes(b"")
    (tmp_path / "dovecot-keywords").write_text("0 urgent\nbroken\n99 far\n")
    (tmp_path / ".Work.2026" / "cur" / "5.a:2,FTD").write_bytes(b"A: 5\n\n")
    (tmp_path / "fs" / "deep" / "new" / "6.a").write_bytes(b"A: 6\n\n")
    assert read(tmp_path) == [
        ("INBOX", "A: 1\n\n", SEEN | ANSWERED, ("urgent", "$Forwarded")),
        ("INBOX", "A: 2\n\n", 0, ()),
        ("INBOX", "", 0, ()),
        ("Work/2026", "A: 5\n\n", FLAGGED | DELETED | DRAFT, ()),
        ("fs/deep", "A: 6\n\n", 0, ()),
    ]
    assert [name for name, _ in Source.at(tmp_path).folders] == ["INBOX", "Sent", "Work/2026", "fs/deep"]


async def test_what_is_broken_is_named_and_the_rest_comes(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "mail"
    (root / "bad\x01name").mkdir(parents=True)
    (root / "1.eml").write_bytes(b"Subject: x\n\n")
    (root / "2.eml").symlink_to(tmp_path / "nowhere")
    (root / "bad\x01name" / "3.eml").write_bytes(b"A: 3\n\n")
    (root / "index.jsonl").write_text('{"file": "1.eml", "keywords": ["fine", "no atom"], "received": "x"}\nrubbish\n')
    with closing(Journal(store.path, ANN, store.mailboxes)) as journal:
        done = await Import(store, ANN, journal).run(Source.at(root))
    assert done.taken == 1
    assert [Path(one.where).name for one in done.broken] == ["2.eml", "3.eml"]
    assert [one.keywords for one in seen(store)["INBOX"]] == [{"fine"}]
    os.unlink(root / "2.eml")
    for path, said in (
        (root / "index.jsonl", "no mbox"),
        (tmp_path / "nowhere", "there is no"),
        (store.path, "no messages"),
    ):
        with pytest.raises(ValueError, match=said):
            Source.at(path)


def test_atoms() -> None:
    assert all(map(is_keyword, ("$Junk", "a.b", "x-y_z", "NonJunk", "[x", "a/b=c")))
    assert not any(map(is_keyword, ("", "a b", "a(b", 'a"b', "a\\b", "a*", "a%", "ü", "a]", "a{")))
