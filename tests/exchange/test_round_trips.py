"""What goes out comes in again as it was: content, flags, keywords, dates, folders, special uses, subscriptions."""

import mailbox
import os
from contextlib import closing
from pathlib import Path

import pytest
from exchange_samples import ANN, BEN, LARGE, LETTER, THEN, Seen, add, filled, seen
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange import mbox
from engine.exchange.exporting import FORMATS, Export
from engine.exchange.importing import Import, Imported
from engine.exchange.journal import Journal
from engine.exchange.letters import Found, Letter, with_crlf, with_lf
from engine.exchange.sources import Source
from engine.exchange.store import Store
from engine.mailbox.commands import Appended, Create, Expunge
from engine.mailbox.commands import Store as SetFlags
from engine.mailbox.flags import DELETED, DRAFT, SEEN, Mode
from engine.mailbox.layout import INBOX
from tests.support.examples import examples


def quiet(_done: int, _total: int) -> None:
    """No progress."""


def exported(store: Store, kind: str, root: Path, *only: str) -> Export:
    run = Export(store.mailboxes, ANN, "ann@example.org", kind, quiet)
    run.tree(root, only)
    return run


async def imported(
    store: Store, account: int, root: Path, *, into: str = "", kind: str = "auto", only: tuple[str, ...] = ()
) -> Imported:
    with closing(Journal(store.path, account, store.mailboxes)) as journal:
        return await Import(store, account, journal, into).run(Source.at(root, kind), only)


def to_the_second(found: dict[str, list[Seen]]) -> dict[str, list[Seen]]:
    """A line From knows no milliseconds."""
    return {
        name: [Seen(one.content, one.flags, one.keywords, one.received // 1000) for one in messages]
        for name, messages in found.items()
    }


@pytest.mark.parametrize("kind", FORMATS)
async def test_an_account_goes_out_and_comes_in_as_another(store: Store, tmp_path: Path, kind: str) -> None:
    await filled(store)
    out = tmp_path / "out"
    run = exported(store, kind, out)
    assert (run.messages, run.notes) == (5, [])
    done = await imported(store, BEN, out)
    assert (done.taken, done.before, done.broken, done.notes) == (5, 0, [], [])
    assert to_the_second(seen(store, BEN)) == to_the_second(seen(store, ANN))
    assert {one.name: (one.use, one.subscribed) for one in store.mailboxes.folders(BEN) if one.name != "Junk"} == {
        one.name: (one.use, one.subscribed) for one in store.mailboxes.folders(ANN) if one.name != "Junk"
    }
    done = await imported(store, BEN, out)
    assert (done.taken, done.before) == (0, 5)
    assert not [path for path in out.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_second_export_adds_what_is_new(store: Store, tmp_path: Path, kind: str) -> None:
    await filled(store)
    out = tmp_path / "out"
    exported(store, kind, out)
    before = {path: path.stat().st_ino for path in out.rglob("*2026*") if path.is_file()}
    flags = SetFlags(account=ANN, mailbox=INBOX, uids=(1,), mode=Mode.REPLACE, flags=DRAFT, keywords=("urgent",))
    await store.do(flags)
    await add(store, ANN, INBOX, Appended(LETTER % b"new", received=THEN))
    exported(store, kind, out)
    assert before.items() <= {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}.items()
    await imported(store, BEN, out)
    assert to_the_second(seen(store, BEN)) == to_the_second(seen(store, ANN))


async def test_two_formats_lie_beside_one_another(store: Store, tmp_path: Path) -> None:
    await filled(store)
    for kind in FORMATS:
        exported(store, kind, tmp_path / "out")
    for kind in FORMATS:
        assert len(list(Source.at(tmp_path / "out", kind).letters())) == 5


CONTENTS = st.lists(
    st.sampled_from(
        (b"From ", b">From ", b">>From you", b"From me Tue Nov 28 18:15:43 2026", b"\r\n", b"\r\n\r\n", b"\0",
         b"\xff\xe9", b"Status: RO\r\n", b"Subject: x", b" folded", b"a\rb", b"ab", b".",
         b"Content-Length: 3\r\n")
    ) | st.binary(max_size=20).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"")),
    max_size=30,
).map(b"".join)  # fmt: skip


def clean(octets: bytes) -> bytes:
    """With no CR before a line's end, which a file of Unix cannot say."""
    return b"\r\n".join(line.rstrip(b"\r") for line in octets.split(b"\r\n"))


@given(
    st.lists(st.tuples(CONTENTS, st.integers(0, 31), st.integers(0, 2**31)), min_size=1, max_size=5), st.integers(0, 9)
)
@examples(200)
def test_any_messages_come_back_from_an_mbox(letters: list[tuple[bytes, int, int]], cut: int) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"{os.getpid()}.mbox"
    bodies = [b"Subject: x\r\n\r\n" + clean(content) for content, _, _ in letters]
    try:
        with mbox.Mailbox(path, 1, 10, ()) as out:
            for uid, (body, (_, flags, second)) in enumerate(zip(bodies, letters, strict=True), 1):
                out.put(uid, Letter((body[:cut], body[cut:]), flags, ("$Junk",), second * 1000))
        found = [
            (b"".join(one.letter.pieces), one.letter.flags, one.letter.received // 1000)
            for one in mbox.read(path, "INBOX")
            if isinstance(one, Found)
        ]
    finally:
        path.unlink(missing_ok=True)
    wanted = [body if body.endswith(b"\r\n") else body + b"\r\n" for body in bodies]
    assert found == [(body, flags, second) for body, (_, flags, second) in zip(wanted, letters, strict=True)]


@given(CONTENTS, st.integers(0, 30))
def test_line_ends_go_there_and_back(octets: bytes, cut: int) -> None:
    octets = clean(octets)
    pieces = (octets[:cut], octets[cut:])
    lines = b"".join(with_lf(pieces))
    assert b"\r\n" not in lines
    assert b"".join(with_crlf((lines[:cut], lines[cut:]))) == octets
    assert b"".join(with_crlf(pieces)) == octets


async def test_pythons_own_readers_see_the_same(store: Store, tmp_path: Path) -> None:
    await filled(store)
    exported(store, "mbox", tmp_path / "mbox")
    exported(store, "maildir", tmp_path / "maildir")
    wanted = [one.content.replace(b"\r\n", b"\n") for one in seen(store)["INBOX"]]
    flags = ["AR", "F", ""]
    with closing(mailbox.mbox(tmp_path / "mbox" / "INBOX.mbox")) as box:
        assert ["".join(sorted(one.get_flags())).replace("O", "") for one in box] == flags
        bodies = [one.get_payload() for one in box]
        assert [content.partition(b"\n\n")[2].decode() for content in wanted] == bodies
    directory = mailbox.Maildir(tmp_path / "maildir")
    names = sorted(directory.keys())
    assert [directory.get_bytes(name) for name in names] == wanted
    assert ["".join(c for c in directory[name].get_flags() if c.isupper()) for name in names] == ["RS", "F", ""]
    assert [directory[name].get_date() for name in names] == [one.received / 1000 for one in seen(store)["INBOX"]]
    assert set(directory.list_folders()) == {
        "Archive", "Archive.2026", "Projekte", "Projekte.Gr&APw-n &- blau", "Drafts", "Junk", "Sent", "Trash"
    }  # fmt: skip


async def test_names_that_files_cannot_have_come_back(store: Store, tmp_path: Path) -> None:
    names = ["a.b", "..", ".hidden", "50%2E", "x" * 250, "x" * 251, "Straße\\", "CASE", "case", "con?"]
    for kind in FORMATS:
        for name in names:
            made = await store.do(Create(account=ANN, name=f"{kind}/{name}"))
            await add(store, ANN, made.mailbox, Appended(LETTER % name.encode()))
        exported(store, kind, tmp_path / kind)
        await imported(store, BEN, tmp_path / kind)
        here = {name: found for name, found in to_the_second(seen(store, ANN)).items() if name.startswith(kind)}
        assert here == {name: found for name, found in to_the_second(seen(store, BEN)).items() if name.startswith(kind)}


async def test_one_folder_into_another(store: Store, tmp_path: Path) -> None:
    await filled(store)
    inbox = seen(store)["INBOX"]
    path = tmp_path / "old mail.mbox"
    folder = store.mailboxes.folder(ANN, "INBOX")
    assert folder is not None
    Export(store.mailboxes, ANN, "ann@example.org", "mbox", quiet).file(path, folder)
    await imported(store, BEN, path)
    await imported(store, BEN, path, into="Archive/old")
    found = seen(store, BEN)
    assert (
        to_the_second({"": inbox})
        == to_the_second({"": found["old mail"]})
        == to_the_second({"": found["Archive/old"]})
    )
    exported(store, "eml", tmp_path / "eml")
    await imported(store, BEN, tmp_path / "eml", into="All", only=("INBOX", "Archive/2026"))
    assert {name for name in seen(store, BEN) if name.startswith("All/")} == {
        "All/INBOX",
        "All/Archive",
        "All/Archive/2026",
    }


async def test_what_is_expunged_meanwhile_is_left_out(store: Store, tmp_path: Path) -> None:
    await filled(store)
    view = store.mailboxes.select(ANN, INBOX)
    assert view is not None
    for kind in FORMATS:
        run = Export(store.mailboxes, ANN, "ann@example.org", kind, quiet)
        out = tmp_path / kind
        with run._opened(out, view, "INBOX") as box:
            for index, uid in enumerate(view.uids):
                if index == 1:
                    await store.do(Expunge(account=ANN, mailbox=INBOX, uids=(uid,), deleted_only=False))
                run._put(box, INBOX, view, index)
        source = Source.at(out)
        assert len(list(source.letters())) == 2
        await add(store, ANN, INBOX, Appended(LARGE, received=THEN))
        view = store.mailboxes.select(ANN, INBOX)
        assert view is not None


async def test_a_26th_keyword_is_named_that_maildir_cannot_have(store: Store, tmp_path: Path) -> None:
    await filled(store)
    words = tuple(f"word{number}" for number in range(30))
    await add(store, ANN, INBOX, Appended(b"\r\n", flags=SEEN | DELETED, keywords=words))
    run = exported(store, "maildir", tmp_path / "out")
    (note,) = run.notes
    assert "word29" in note
