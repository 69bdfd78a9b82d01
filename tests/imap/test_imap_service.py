"""The service at its edges: deadlines, clients that leave or do not read, full disks, limits, many at once."""

import contextlib
import errno
import ssl
import zlib
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from engine.directory import Unavailable
from engine.imap import ImapLimits
from engine.imap import connection as driver
from engine.links.request import Unanswered
from engine.mailbox.commands import Append, Appended, Expunge, Store
from engine.mailbox.flags import DELETED, Mode
from engine.mailbox.incoming import IncomingFile
from engine.net.connection import Connection
from engine.storage.environment import Full, StorageError
from tests.imap.imap_serving import PASSWORD, Client, Post, serving

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 40_000


async def test_the_greeting_and_the_ways_in(post: Post) -> None:
    client = await post.visit()
    greeting = await client.hears()
    assert greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 ")
    assert b"AUTH=PLAIN" in greeting
    assert b" IDLE" not in greeting
    assert (await client.does("LOGIN ann@example.org wrong"))[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    assert (await client.does("AUTHENTICATE PLAIN AGFubkBleGFtcGxlLm9yZwBzM2NyZXQ="))[-1].startswith(b"OK [CAPABILITY ")
    capabilities = (await client.ok("CAPABILITY"))[0].split()
    assert {b"IDLE", b"QRESYNC", b"APPENDLIMIT=104857600", b"COMPRESS=DEFLATE"} <= {*capabilities}
    assert len(capabilities) == len({*capabilities})


async def test_three_failed_logins(post: Post) -> None:
    client = await post.visit()
    await client.hears()
    for _ in range(3):
        answer = await client.does(f"LOGIN nobody@example.org {PASSWORD}")
    assert answer[-1].startswith(b"NO [AUTHENTICATIONFAILED]")
    assert (await client.hears()).startswith(b"* BYE")
    assert await client.hears() == b""


async def test_a_login_that_cannot_be_checked_now(post: Post, monkeypatch, caplog) -> None:
    async def answer(*_: object) -> None:
        raise Unavailable("the directory is away")

    monkeypatch.setattr("tests.imap.imap_serving.Visitor.answer", answer)
    client = await post.visit()
    await client.hears()
    assert (await client.does("LOGIN a b"))[-1].startswith(b"NO [UNAVAILABLE]")
    assert caplog.text == ""


# Time.


async def test_who_does_not_log_in_is_sent_away(post: Post, mock_clock) -> None:
    client = await post.visit()
    await client.hears()
    await wait_all_tasks_blocked()
    mock_clock.jump(89)
    assert (await client.does("NOOP"))[-1].startswith(b"OK")
    await wait_all_tasks_blocked()
    mock_clock.jump(2)
    assert await client.hears() == b""


async def test_half_an_hour_of_silence(post: Post, mock_clock) -> None:
    client = await post.client()
    for _ in range(3):
        await wait_all_tasks_blocked()
        mock_clock.jump(1_799)
        await client.ok("NOOP")
    await wait_all_tasks_blocked()
    mock_clock.jump(1_801)
    assert (await client.hears()).startswith(b"* BYE")
    assert await client.hears() == b""


async def test_who_idles_hears_a_word_now_and_then(post: Post, mock_clock) -> None:
    client = await post.client(selects="INBOX")
    tag = await client.begins(b"IDLE")
    assert (await client.hears()).startswith(b"+ ")
    for _ in range(14):
        await wait_all_tasks_blocked()
        mock_clock.jump(121)
        assert await client.hears() == b"* OK Still here"
    await post.deliver()
    assert await client.hears() == b"* 1 EXISTS"
    await client.hears()
    await client.says(b"DONE\r\n")
    assert (await client.ends(tag))[-1].startswith(b"OK")
    await wait_all_tasks_blocked()
    mock_clock.jump(1_700)  # DONE was a word
    await client.ok("NOOP")


async def test_news_do_not_keep_a_silent_client(post: Post, mock_clock) -> None:
    client = await post.client(selects="INBOX")
    await client.begins(b"IDLE")
    await client.hears()
    for _ in range(20):
        await wait_all_tasks_blocked()
        mock_clock.jump(100)
    while not (said := await client.hears()).startswith(b"* BYE"):
        assert said == b"* OK Still here"


async def test_a_client_that_takes_no_news_is_given_up(post: Post, mock_clock, monkeypatch) -> None:
    """Half a response cannot be taken back."""
    client = await post.client(selects="INBOX")
    ended = trio.Event()
    close = driver.Connection.close

    def closed(connection: driver.Connection) -> None:
        close(connection)
        ended.set()

    async def stuck(*_: object) -> None:
        await trio.sleep_forever()

    await client.begins(b"IDLE")
    await client.hears()
    await wait_all_tasks_blocked()
    monkeypatch.setattr(driver.Connection, "close", closed)
    monkeypatch.setattr(driver.Connection, "send", stuck)
    await post.deliver()
    await wait_all_tasks_blocked()
    mock_clock.jump(driver.SLOW + 1)
    await wait_all_tasks_blocked()
    mock_clock.jump(5)
    with trio.fail_after(5):
        await ended.wait()


# Messages that come.


async def in_incoming(post: Post) -> int:
    folder = post.owner.path / "incoming"
    return len(list(folder.iterdir())) if folder.exists() else 0


async def test_a_client_that_leaves_amid_an_append(post: Post) -> None:
    for size, said in ((len(LARGE), len(LARGE) // 2), (2_000_000, 200_000), (2_000_000, 10)):
        client = await post.client()
        await client.says(b"a APPEND INBOX {%d+}\r\n%b" % (size, LARGE[:said]))
        if said > 100_000 and size > 1_000_000:  # smaller ones are held until all is there
            while not await in_incoming(post):
                await trio.sleep(0.01)
        await client.stream.aclose()
        while await in_incoming(post):
            await trio.sleep(0.01)
    client = await post.client()
    assert await client.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]


async def test_a_large_message_comes_and_goes(post: Post) -> None:
    client = await post.client(selects="INBOX")
    await client.append(LARGE)
    assert await in_incoming(post) == 0
    said = await client.ok("FETCH 1 (BODY.PEEK[] RFC822.SIZE BODY.PEEK[]<100.200000>)")
    assert said == [
        b"* 1 FETCH (BODY[] {%d}\r\n%b RFC822.SIZE %d BODY[]<100> {200000}\r\n%b)"
        % (len(LARGE), LARGE, len(LARGE), LARGE[100:200_100])
    ]
    header = await client.ok("FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.5>)")
    assert header == [b"* 1 FETCH (BODY[HEADER] {18}\r\nSubject: large\r\n\r\n BODY[TEXT]<0> {5}\r\n01234)"]


async def test_messages_that_are_too_large_or_too_many(tmp_path: Path) -> None:
    async with serving(tmp_path / "mailbox", limits=ImapLimits(message=100, appended=3)) as post:
        client = await post.client(selects="INBOX")
        assert b"APPENDLIMIT=100" in (await client.ok("CAPABILITY"))[0].split()
        assert (await client.does("APPEND INBOX {101}"))[-1].startswith(b"NO [TOOBIG]")
        large = b"x" * 101
        assert (await client.does(b"APPEND INBOX {101+}\r\n" + large))[-1].startswith(b"NO [TOOBIG]")
        assert (await client.does(b"APPEND INBOX {3+}\r\nabc {101+}\r\n" + large))[-1].startswith(b"NO [TOOBIG]")
        await client.append(b"y" * 60)
        url = b'URL "/;UID=1"'
        answer = await client.does(b"APPEND INBOX CATENATE (%b TEXT {30+}\r\n%b %b)" % (url, b"z" * 30, url))
        assert answer[-1].startswith(b"NO [TOOBIG]")
        answer = await client.does(b"APPEND INBOX" + b" {1+}\r\nx" * 4)
        assert answer[-1].startswith(b"NO [MESSAGELIMIT 3]")
        assert await client.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 1)"]
        await client.ok(b"APPEND INBOX" + b" {1+}\r\nx" * 3)


async def test_messages_beyond_what_is_held_in_memory_go_to_files(post: Post, monkeypatch) -> None:
    monkeypatch.setattr("engine.imap.appending._HELD", 100)
    client = await post.client(selects="INBOX")
    messages = [b"Subject: %d\r\n\r\n" % number + b"x" * 40 for number in range(5)]
    asked = b"".join(b" {%d+}\r\n%b" % (len(one), one) for one in messages)
    tag = await client.begins(b"APPEND INBOX" + asked)
    *_, last = await client.ends(tag)
    assert b"APPENDUID 1800000000 1:5" in last
    for number, one in enumerate(messages, 1):
        assert await client.ok(f"FETCH {number} BODY.PEEK[]") == [
            b"* %d FETCH (BODY[] {%d}\r\n%b)" % (number, len(one), one)
        ]
    assert await in_incoming(post) == 0


async def test_status_that_was_asked_before_is_as_new_as_any(post: Post) -> None:
    """What comes together and was said before is answered at once: with all that has happened until then."""
    ann, other = await post.client(), await post.client(selects="INBOX")

    async def asked(count: int = 3) -> list[bytes]:
        for client in (ann, other):
            await client.says(b"".join(b"x STATUS INBOX (MESSAGES UNSEEN)\r\n" for _ in range(count)))
        return [await client.hears() for client in (ann, other) for _ in range(2 * count)]

    def said(messages: int, unseen: int, count: int = 3) -> list[bytes]:
        return [b"* STATUS INBOX (MESSAGES %d UNSEEN %d)" % (messages, unseen), b"x OK That is all"] * 2 * count

    assert await asked() == said(0, 0)
    assert await asked() == said(0, 0)
    await post.deliver()
    news = [b"* 1 EXISTS", b"* 0 RECENT"]
    found = await asked()
    assert [one for one in found if one not in news] == said(1, 1)[:-2]  # two lines of news came in their place
    assert [await other.hears() for _ in range(2)] == said(1, 1, 1)[:2]
    await ann.ok("SELECT INBOX")
    await ann.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
    for client in (ann, other):
        await client.ok("NOOP")
    assert await asked() == said(1, 0)


async def test_status_says_what_the_same_session_has_just_done(post: Post) -> None:
    client = await post.client()
    for round_ in range(3):
        await client.says(
            b"a STATUS INBOX (MESSAGES)\r\nb STATUS INBOX (MESSAGES)\r\nc APPEND INBOX {3+}\r\nabc\r\n"
            b"d STATUS INBOX (MESSAGES)\r\ne CREATE x%d\r\nf STATUS x%d (MESSAGES)\r\ng DELETE x%d\r\n"
            b"h STATUS x%d (MESSAGES)\r\n" % ((round_ % 2,) * 4)
        )
        said = [await client.hears() for _ in range(12)]
        before, now = (b"* STATUS INBOX (MESSAGES %d)" % (round_ + more) for more in (0, 1))
        assert (said[0], said[2], said[5]) == (before, before, now)
        assert said[8] == b"* STATUS x%d (MESSAGES 0)" % (round_ % 2)
        assert said[11].startswith(b"h NO [NONEXISTENT]")


async def test_list_that_was_asked_before_is_as_new_as_any(post: Post) -> None:
    """The same LIST is told again as it was only where nothing has happened: not of mail, folders, flags or rights."""
    ann, bob = await post.client(), await post.client("bob@example.org")
    wanted = "RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES UNSEEN SIZE) MYRIGHTS)"
    kept = f'LIST "" ("*") {wanted}'
    changes: list[tuple[Client, str]] = [
        (ann, "CREATE Work/Old"),
        (ann, "SUBSCRIBE Work"),
        (ann, "RENAME Work/Old Elsewhere"),
        (ann, "SELECT INBOX"),
        (ann, "STORE 1 +FLAGS (\\Seen)"),
        (ann, "DELETE Work"),
        (bob, "SETACL Archive ann@example.org lr"),
        (bob, "SETACL Archive ann@example.org lrs"),
        (bob, "DELETEACL Archive ann@example.org"),
    ]
    await post.deliver()
    before: list[bytes] = []
    for number, (client, change) in enumerate(changes):
        await client.ok(change)
        said = await ann.ok(kept)
        assert said == await ann.ok(kept)
        assert said == await ann.ok(f'LIST "" ("*" "none {number}") {wanted}')
        assert (said != before) is (change != "SELECT INBOX"), change
        before = said
    await post.deliver()
    await ann.ok("CREATE &AOk-")
    new = await post.client(enables="IMAP4rev2")
    for client, name in ((ann, b"&AOk-"), (new, "\u00e9".encode())) * 2:
        said = await client.ok(kept)
        assert b"* STATUS INBOX (MESSAGES 2 UNSEEN 1" in b"".join(said)
        assert any(name in line for line in said)


async def test_list_of_what_may_change_unseen_is_told_anew(post: Post) -> None:
    ann = await post.client()
    await ann.ok('SETMETADATA INBOX (/shared/comment "one")')
    metadata = 'LIST "" INBOX RETURN (METADATA (/shared/comment))'
    assert b"one" in b"".join(await ann.ok(metadata))
    await ann.ok('SETMETADATA INBOX (/shared/comment "two")')
    assert b"two" in b"".join(await ann.ok(metadata))
    limit = 'LIST "" INBOX RETURN (STATUS (APPENDLIMIT))'
    first = await ann.ok(limit)
    post.service.limits = ImapLimits(message=12345)
    assert first != await ann.ok(limit)
    assert b"12345" in b"".join(await ann.ok(limit))


async def test_large_messages_leave_room_on_the_disk_to_others(tmp_path: Path) -> None:
    """One APPEND may have 500 of 100 MB, and no quota is asked before the last of them has come."""
    async with serving(tmp_path / "mailbox", limits=ImapLimits(floor=2**60)) as post:
        client = await post.client(selects="INBOX")
        said = await client.does(b"APPEND INBOX {%d+}\r\n%b" % (len(LARGE), LARGE))
        assert said[-1].startswith(b"NO [UNAVAILABLE]")
        assert await in_incoming(post) == 0
        await client.append(b"Subject: small\r\n\r\n")


async def test_no_room_for_a_file(post: Post, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    client = await post.client(selects="INBOX")
    monkeypatch.setattr(IncomingFile, "write", full)
    answer = await client.does(b"APPEND INBOX {%d+}\r\n%b" % (len(LARGE), LARGE))
    assert answer[-1].startswith(b"NO [UNAVAILABLE]")
    monkeypatch.undo()
    assert "No space left" in caplog.text
    assert await in_incoming(post) == 0
    await client.append(LARGE)


@pytest.mark.parametrize("error", [Full("the disk is full"), StorageError("broken"), Unanswered("nobody knows")])
async def test_a_change_that_cannot_be_made(post: Post, monkeypatch, caplog, error: Exception) -> None:
    async def fail(_: object) -> None:
        raise error

    client = await post.client(selects="INBOX")
    await client.append(b"x")
    monkeypatch.setattr(post.service, "change", fail)
    for command in (
        "APPEND INBOX {1+}\r\nx", "STORE 1 +FLAGS (\\Seen)", "COPY 1 Sent", "MOVE 1 Sent", "CREATE a", "DELETE Sent",
        "RENAME Sent a", "SUBSCRIBE a", "FETCH 1 BODY[]", "REPLACE 1 INBOX {1+}\r\ny",
    ):  # fmt: skip
        assert (await client.does(command))[-1].startswith(b"NO [UNAVAILABLE]"), command
    assert str(error) in caplog.text
    monkeypatch.undo()
    assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_a_mailbox_takes_only_so_many_keywords(post: Post) -> None:
    client = await post.client(selects="INBOX")
    await client.append(b"x")
    words = [f"k{number}" for number in range(70)]
    await client.ok(f"STORE 1 +FLAGS.SILENT ({' '.join(words[:64])})")
    assert (await client.does("STORE 1 +FLAGS.SILENT (another)"))[-1].startswith(b"NO [LIMIT]")
    assert (await client.does("APPEND INBOX (another) {1+}\r\nx"))[-1].startswith(b"NO [LIMIT]")
    await client.ok("STORE 1 -FLAGS.SILENT (another)")
    await client.ok("STORE 1 +FLAGS.SILENT (K63)")
    await client.ok("COPY 1 Sent")


# Messages that go.


async def test_a_message_that_goes_while_it_is_sent(post: Post, caplog) -> None:
    """The octets that were announced cannot come: the connection ends, and that is no bug of ours."""
    client = await post.client(selects="INBOX")
    await client.append(LARGE * 8)
    await client.begins(b"FETCH 1 BODY.PEEK[]")
    while len(client._received) < 1000:
        await client._more()
    await post.owner.change(Expunge(account=1, mailbox=1, uids=(1,), deleted_only=False))
    with contextlib.suppress(trio.BrokenResourceError):
        while await client._more():
            pass
    assert len(client._received) < 8 * len(LARGE)
    assert caplog.text == ""


async def test_messages_that_go_amid_a_command_for_many(post: Post) -> None:
    client = await post.client(selects="INBOX")
    for _ in range(3):
        await client.ok(b"APPEND INBOX" + b" {1+}\r\nx" * 400)
    await client.ok("NOOP")
    tag = await client.begins(b"FETCH 1:* (FLAGS BODY.PEEK[])")
    await client.hears()
    gone = tuple(range(1, 1200, 3))
    await post.owner.change(Expunge(account=1, mailbox=1, uids=gone, deleted_only=False))
    said = await client.ends(tag)
    assert all(b" FETCH (FLAGS (" in line for line in said[:-1])
    assert len(await client.ok("UID EXPUNGE 1")) == 400


async def test_others_change_flags_between_a_look_and_a_store(post: Post, monkeypatch) -> None:
    client = await post.client(selects="INBOX")
    await client.append(b"x")
    change = post.service.change

    async def late(command: Store) -> object:
        await post.owner.change(Store(account=1, mailbox=1, uids=(1,), mode=Mode.ADD, flags=DELETED))
        return await change(command)

    monkeypatch.setattr(post.service, "change", late)
    assert await client.ok("STORE 1 +FLAGS.SILENT (\\Seen)") == [b"* 1 FETCH (FLAGS (\\Seen \\Deleted))"]


@pytest.mark.parametrize("between", [False, True])
async def test_flags_of_many_messages_change_in_steps(post: Post, monkeypatch, between: bool) -> None:
    """``between``: somebody else changes flags between two steps, so the answer is read from the store."""
    monkeypatch.setattr("engine.mailbox.owner.FLAGS_STEP", 300)
    client = await post.client(selects="INBOX", enables="CONDSTORE")
    for _ in range(2):
        await client.ok(b"APPEND INBOX" + b" {1+}\r\nx" * 400)
    await client.ok("NOOP")
    other = await post.client(selects="INBOX")
    done = post.owner._do

    async def late(command: Store) -> object:
        if between and len(command.uids) == 200:
            await done(Store(account=1, mailbox=1, uids=(1, 800), mode=Mode.ADD, flags=DELETED))
        return await done(command)

    monkeypatch.setattr(post.owner, "_do", late)
    told = await client.ok("STORE 1:* +FLAGS (\\Flagged)")
    assert told == await client.ok("FETCH 1:* (FLAGS MODSEQ)")
    assert len({line.partition(b" MODSEQ ")[2] for line in told}) == (4 if between else 3)
    assert told[0].startswith(b"* 1 FETCH (FLAGS (\\Flagged" + b" \\Deleted" * between + b") MODSEQ ")
    assert sum(b"\\Flagged" in line for line in await other.ok("NOOP")) == 800
    assert post.owner.reader.verify() == []


# Many at once.


async def test_nobody_sees_what_is_another_ones(post: Post) -> None:
    ann, bob = await post.client(selects="INBOX"), await post.client("bob@example.org", selects="INBOX")
    await ann.append(b"for ann")
    await ann.ok("CREATE private")
    assert await bob.ok("NOOP") == []
    assert (await bob.does("SELECT private"))[-1].startswith(b"NO [NONEXISTENT]")
    await bob.ok("SELECT INBOX")
    assert await bob.ok("UID FETCH 1:* BODY.PEEK[]") == []


async def test_compressed(post: Post) -> None:
    client = await post.client()
    await client.ok("COMPRESS DEFLATE")
    deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
    receive, send = client.stream.receive_some, client.stream.send_all

    class Deflated:
        async def receive_some(self) -> bytes:
            octets = b""
            while not octets:
                data = await receive()
                if not data:
                    return b""
                octets = inflater.decompress(data)
            return octets

        async def send_all(self, octets: bytes) -> None:
            await send(deflater.compress(octets) + deflater.flush(zlib.Z_SYNC_FLUSH))

    client.stream = Deflated()
    await client.append(LARGE)
    await client.ok("SELECT INBOX")
    assert await client.ok("FETCH 1 BODY.PEEK[]") == [b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(LARGE), LARGE)]
    assert (await client.does("COMPRESS DEFLATE"))[-1].startswith(b"NO [COMPRESSIONACTIVE]")
    assert b"COMPRESS=DEFLATE" not in (await client.ok("CAPABILITY"))[0]
    idling = await client.begins(b"IDLE")
    await client.hears()
    await post.deliver()
    assert await client.hears() == b"* 2 EXISTS"
    await client.says(b"DONE\r\n")
    await client.ends(idling)


async def test_what_is_no_deflated_data(post: Post) -> None:
    client = await post.client()
    await client.ok("COMPRESS DEFLATE")
    await client.says(b"\xff" * 100)
    with contextlib.suppress(trio.BrokenResourceError):
        assert await client.stream.receive_some() == b""


async def test_commands_for_more_messages_than_they_may_be_for(tmp_path: Path) -> None:
    """RFC 9738: the newest are taken, and it is said down to which; what is done whole is refused."""
    async with serving(tmp_path / "mailbox", limits=ImapLimits(messages=3)) as post:
        client = await post.client(selects="INBOX")
        assert b"MESSAGELIMIT=3" in (await client.ok("CAPABILITY"))[0].split()
        assert (await client.does(b"APPEND INBOX" + b" {1+}\r\nx" * 4))[-1].startswith(b"NO [MESSAGELIMIT 3] ")
        for _ in range(2):
            await client.ok(b"APPEND INBOX" + b" {1+}\r\nx" * 3)
        assert await client.does("FETCH 4:* UID") == [b"* %d FETCH (UID %d)" % (n, n) for n in (4, 5, 6)] + [
            b"OK That is all"
        ]
        *told, last = await client.does("FETCH 1:* UID")
        assert told == [b"* %d FETCH (UID %d)" % (n, n) for n in (4, 5, 6)]
        assert last.startswith(b"OK [MESSAGELIMIT 3 4] ")
        assert (await client.does("UID FETCH 1:* UID (PARTIAL 1:3)"))[-1] == b"OK That is all"
        assert await client.does("UID FETCH 1:* UID (PARTIAL 1:4)") == [
            b"NO [MESSAGELIMIT 3] A range has at most 3 messages"
        ]
        *told, last = await client.does("STORE 1:5 +FLAGS (\\Deleted)")
        assert told == [b"* %d FETCH (FLAGS (\\Deleted))" % n for n in (3, 4, 5)]
        assert last.startswith(b"OK [MESSAGELIMIT 3 3] ")
        *told, last = await client.does("SEARCH ALL")
        assert told == [b"* SEARCH 4 5 6"]
        assert last.startswith(b"OK [MESSAGELIMIT 3 4] ")
        assert await client.does("SEARCH UIDBEFORE 4 DELETED") == [b"* SEARCH 3", b"OK Searched"]
        assert await client.does("SEARCH (UIDAFTER 2 ALL) UIDBEFORE 6") == [b"* SEARCH 3 4 5", b"OK Searched"]
        assert (await client.does("SORT (ARRIVAL) UTF-8 ALL"))[-1].startswith(b"NO [MESSAGELIMIT 3 4] ")
        assert (await client.does("THREAD REFERENCES UTF-8 DELETED"))[-1].startswith(b"NO [MESSAGELIMIT 3 4] ")
        assert await client.ok("SORT (ARRIVAL) UTF-8 UIDAFTER 4") == [b"* SORT 5 6"]
        assert (await client.does("COPY 1:4 Archive"))[-1].startswith(b"NO [MESSAGELIMIT 3 2] ")
        assert await client.ok("STATUS Archive (MESSAGES)") == [b"* STATUS Archive (MESSAGES 0)"]
        *told, last = await client.does("MOVE 1:4 Archive")
        assert told[0].startswith(b"* OK [COPYUID ")
        assert told[1:] == [b"* 4 EXPUNGE", b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
        assert last.startswith(b"OK [MESSAGELIMIT 3 2] ")
        await client.ok(b"APPEND INBOX" + b" (\\Deleted) {1+}\r\nx" * 3)
        assert await client.ok("UID EXPUNGE 1:4") == []  # none of them is deleted
        *told, last = await client.does("UID EXPUNGE 1:*")
        assert len(told) == 3
        assert last.startswith(b"OK [MESSAGELIMIT 3 7] ")
        await client.ok(b"APPEND INBOX" + b" (\\Deleted) {1+}\r\nx" * 3)
        assert len(await client.ok("EXPUNGE")) == 4  # never in part


@pytest.mark.parametrize("filling", [b"", b"x" * 300_000])
async def test_nul_is_in_no_literal_but_in_those_of_binary(post: Post, filling: bytes) -> None:
    """RFC 9051 9 has CHAR8 in literals, RFC 3516 a literal8."""
    client = await post.client(selects="INBOX")
    head = b"Subject: \0\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    whole = head + b"ab\0cd" + filling
    await client.ok(b"APPEND INBOX ~{%d+}\r\n%b" % (len(whole), whole))
    shown = whole.replace(b"\0", b"\x80")
    assert await client.ok("FETCH 1 BODY.PEEK[]") == [b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(shown), shown)]
    assert await client.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[TEXT]<1.3> BODY.PEEK[HEADER.FIELDS (SUBJECT)])") == [
        b"* 1 FETCH (RFC822.SIZE %d BODY[TEXT]<1> {3}\r\nb\x80c" % len(whole)
        + b" BODY[HEADER.FIELDS (SUBJECT)] {14}\r\nSubject: \x80\r\n\r\n)"
    ]
    assert await client.ok("FETCH 1 BINARY.PEEK[1]<0.5>") == [b"* 1 FETCH (BINARY[1]<0> ~{5}\r\nab\0cd)"]
    assert b"\0" not in b"".join(await client.ok("FETCH 1 (RFC822 RFC822.HEADER ENVELOPE PREVIEW BODYSTRUCTURE)"))
    await client.ok(b'APPEND INBOX CATENATE (URL "/INBOX/;UID=1")')
    assert await client.ok("FETCH 2 BINARY.PEEK[1]<0.5>") == [b"* 2 FETCH (BINARY[1]<0> ~{5}\r\nab\0cd)"]


async def test_two_codes_at_once(tmp_path: Path) -> None:
    """RFC 9738 3.1: MESSAGELIMIT then comes in a line of its own."""
    async with serving(tmp_path / "mailbox", limits=ImapLimits(messages=2)) as post:
        client = await post.client(enables="QRESYNC", selects="INBOX")
        for _ in range(2):
            await client.ok(b"APPEND INBOX" + b" (\\Deleted) {1+}\r\nx" * 2)
        vanished, limit, last = await client.does("UID EXPUNGE 1:*")
        assert vanished == b"* VANISHED 3:4"
        assert limit.startswith(b"* NO [MESSAGELIMIT 2 3] ")
        assert last.startswith(b"OK [HIGHESTMODSEQ ")


async def test_answers_to_many_commands_at_once_do_not_gather(post: Post, monkeypatch) -> None:
    client = await post.client(selects="INBOX")
    messages = tuple(Appended(b"x") for _ in range(2_000))
    await post.owner.change(Append(account=1, mailbox=1, messages=messages))
    await client.ok("NOOP")
    sent: list[int] = []
    send = driver.Connection.send

    async def counted(connection: driver.Connection, octets: bytes) -> None:
        sent.append(len(octets))
        await send(connection, octets)

    monkeypatch.setattr(driver.Connection, "send", counted)
    await client.says(b"".join(b"b%d UID SEARCH ALL\r\n" % number for number in range(40)))
    assert (await client.ends("b39"))[-1].startswith(b"OK")
    assert sum(sent) > 300_000
    assert max(sent) < 100_000
    sent.clear()
    await client.says(b"".join(b"c%d NOOP\r\n" % number for number in range(40)))
    await client.ends("c39")
    assert len(sent) == 1


async def test_a_client_that_says_nothing_but_nonsense(post: Post) -> None:
    client = await post.client()
    for _ in range(19):
        assert (await client.does("FROBNICATE"))[-1].startswith(b"BAD")
    await client.ok("NOOP")
    for _ in range(20):
        answer = await client.does("FROBNICATE")
    assert answer[-1].startswith(b"BAD")
    assert (await client.hears()).startswith(b"* BYE")
    assert await client.hears() == b""


async def test_half_a_command_is_none(post: Post) -> None:
    client = await post.client(selects="INBOX")
    await client.append(b"x")
    await client.says(b"a STORE 1 +FLAGS (\\Deleted)")
    await client.stream.send_eof()
    assert await client.hears() == b""
    other: Client = await post.client(selects="INBOX")
    assert await other.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_under_tls(post: Post) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(theirs)
    authority.configure_trust(ours)
    post.service.tls, post.service.allow_plaintext = theirs, False
    client = await post.visit()
    greeting = await client.hears()
    assert b" STARTTLS LOGINDISABLED]" in greeting
    assert (await client.does(f"LOGIN ann@example.org {PASSWORD}"))[-1].startswith(b"NO [PRIVACYREQUIRED]")
    tag = await client.begins(b"STARTTLS\r\nx CAPABILITY")  # what came in the clear is not obeyed
    assert (await client.ends(tag))[-1].startswith(b"OK")
    client.stream = trio.SSLStream(client.stream, ours, server_hostname="localhost", https_compatible=True)
    await client.stream.do_handshake()
    capabilities = (await client.ok("CAPABILITY"))[0].split()
    assert b"AUTH=PLAIN" in capabilities
    assert b"STARTTLS" not in capabilities
    await client.ok(f"LOGIN ann@example.org {PASSWORD}")
    await client.append(LARGE)
    await client.ok("SELECT INBOX")
    assert await client.ok("FETCH 1 BODY.PEEK[]") == [b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(LARGE), LARGE)]
    idling = await client.begins(b"IDLE")
    await client.hears()
    await post.deliver()
    assert await client.hears() == b"* 2 EXISTS"
    await client.says(b"DONE\r\n")
    await client.ends(idling)


async def test_small_answers_to_commands_that_came_together_share_a_send(post: Post, monkeypatch) -> None:
    sends = []
    send = Connection.send

    async def counted(self: Connection, data: bytes) -> None:
        sends.append(data)
        await send(self, data)

    client = await post.client()
    for _ in range(3):
        await client.append(b"Subject: x\r\n\r\nbody\r\n")
    await client.ok("SELECT INBOX")
    monkeypatch.setattr(Connection, "send", counted)
    await client.says(
        b"b1 FETCH 1:2 (UID BODY.PEEK[])\r\nb2 UID FETCH 3 BODY.PEEK[TEXT]\r\nb3 STORE 1 +FLAGS (\\Seen)\r\n"
    )
    said = await client.ends("b3")
    assert [line.split()[-1] for line in said if line.startswith(b"b")] == [b"all"] * 2
    assert len(said) == 7
    assert len(sends) == 1


async def test_a_long_answer_is_sent_as_it_is_read(post: Post, monkeypatch) -> None:
    sizes = []
    send = Connection.send

    async def counted(self: Connection, data: bytes) -> None:
        sizes.append(len(data))
        await send(self, data)

    client = await post.client()
    content = b"Subject: large\r\n\r\n" + b"line\r\n" * 500_000
    await client.append(content)
    await client.append(b"Subject: small\r\n\r\nx\r\n")
    await client.ok("SELECT INBOX")
    monkeypatch.setattr(Connection, "send", counted)
    said = await client.ok("FETCH 1:2 BODY.PEEK[]")
    assert content in said[0]
    assert b"Subject: small" in said[1]
    assert len(sizes) > 10
    assert max(sizes) < 600_000
