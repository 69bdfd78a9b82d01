"""What mail programs say that cannot be driven here, word for word as they say it."""

import contextlib
import re
import socket
import zlib
from collections.abc import Iterator
from typing import Self

import pytest

from tests.support.reading import append, signed_in
from tests.support.server import PASSWORD, PATIENCE, Postroad, blind, letter

MIXED = (
    b"From: =?utf-8?q?Zo=C3=AB?= <zoe@example.net>\r\nTo: Bob <bob@example.org>\r\nSubject: mixed\r\n"
    b"Message-ID: <mixed@example.net>\r\nDate: Sat, 28 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="o"\r\n\r\n'
    b'--o\r\nContent-Type: multipart/alternative; boundary="i"\r\n\r\n'
    b"--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n"
    b"--i\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>Hello=2E</p>\r\n"
    b"--i--\r\n"
    b'--o\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n"
    b"--o--\r\n"
)


class Client:
    """One connection that says just what it is told to."""

    def __init__(self, server: Postroad, user: str, listener: str = "imaps") -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", server.ports[listener]), PATIENCE)
        if listener == "imaps":
            self.socket = blind().wrap_socket(self.socket)
        self._buffer = b""
        self._inflater: zlib._Decompress | None = None
        self._deflater = zlib.compressobj(wbits=-15)
        self._tags = iter(range(1, 10_000))
        assert self.line().startswith("* OK [CAPABILITY IMAP4rev1")
        self.ask(f'LOGIN "{user}" "{PASSWORD}"')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, octets: bytes) -> None:
        if self._inflater is not None:
            octets = self._deflater.compress(octets) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        self.socket.sendall(octets)

    def compress(self) -> None:
        self.ask("COMPRESS DEFLATE")
        self._inflater = zlib.decompressobj(-15)

    def line(self) -> str:
        """The next line, literals and all."""
        line = self._until_line_end()
        while found := re.search(rb"\{(\d+)\}\r\n\Z", line):
            line += self._octets(int(found[1])) + self._until_line_end()
        return line.decode().removesuffix("\r\n")

    def ask(self, command: str, status: str = "OK") -> list[str]:
        """The untagged lines that come before the command's end, and that."""
        tag = f"a{next(self._tags)}"
        self.send(f"{tag} {command}\r\n".encode())
        return self.answer(tag, status)

    def answer(self, tag: str, status: str = "OK") -> list[str]:
        lines = []
        while not lines or not lines[-1].startswith(tag + " "):
            lines.append(self.line())
        assert lines[-1].startswith(f"{tag} {status}"), lines
        return lines

    def _octets(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        octets, self._buffer = self._buffer[:count], self._buffer[count:]
        return octets

    def _until_line_end(self) -> bytes:
        while b"\n" not in self._buffer:
            self._receive()
        return self._octets(self._buffer.index(b"\n") + 1)

    def _receive(self) -> None:
        octets = self.socket.recv(65_536)
        assert octets, "the server has closed the connection"
        self._buffer += self._inflater.decompress(octets) if self._inflater is not None else octets


@pytest.fixture
def reader(post_office: Postroad, bob: str) -> Iterator[Client]:
    """Bob, who has a message with an attachment besides."""
    with signed_in(post_office, bob) as client:
        append(client, "INBOX", MIXED)
    with Client(post_office, bob) as found:
        yield found


def untagged(lines: list[str], kind: str) -> list[str]:
    return [line for line in lines[:-1] if re.match(rf"\* (\d+ )?{kind}\b", line)]


THUNDERBIRD_HEADERS = (
    "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority "
    "References Newsgroups In-Reply-To Content-Type Reply-To)]"
)


def test_thunderbird(post_office: Postroad, bob: str, reader: Client) -> None:
    """Several connections, each with a folder, CONDSTORE, headers first and messages in pieces."""
    reader.ask("CAPABILITY")
    assert untagged(reader.ask('ID ("name" "Thunderbird" "version" "128.4.0")'), "ID")
    reader.compress()
    reader.ask("ENABLE UTF8=ACCEPT")
    spaces = '* NAMESPACE (("" "/")) (("Other Users/" "/")) (("Public/" "/"))'
    assert untagged(reader.ask("NAMESPACE"), "NAMESPACE") == [spaces]
    listed = untagged(reader.ask('LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)'), "LIST")
    assert any(r"\Trash" in line for line in listed), listed
    assert untagged(reader.ask('LSUB "" "*"'), "LSUB")
    assert any(r"\Sent" in line for line in reader.ask('LIST "" "*" RETURN (SPECIAL-USE CHILDREN)'))
    assert reader.ask('list "" "INBOX"')[0] == r'* LIST (\HasNoChildren) "/" INBOX'
    (highest,) = [line for line in reader.ask('SELECT "INBOX" (CONDSTORE)') if "HIGHESTMODSEQ" in line]
    modseq = int(re.findall(r"HIGHESTMODSEQ (\d+)", highest)[0])
    flags = untagged(reader.ask("UID fetch 1:* (FLAGS)"), "FETCH")
    assert flags == [f"* {number} FETCH (UID {number} FLAGS ())" for number in (1, 2, 3)]
    headers = untagged(reader.ask(f"UID fetch 1:3 ({THUNDERBIRD_HEADERS})"), "FETCH")
    assert "Subject: mixed\r\nMessage-ID: <mixed@example.net>\r\nDate:" in headers[2]
    assert "Content-Type: multipart/mixed" in headers[2]
    (size,) = untagged(reader.ask("UID fetch 3 (UID RFC822.SIZE)"), "FETCH")
    assert size == f"* 3 FETCH (UID 3 RFC822.SIZE {len(MIXED)})"
    (piece,) = untagged(reader.ask("UID fetch 3 (UID RFC822.SIZE BODY.PEEK[]<0.100>)"), "FETCH")
    assert f"BODY[]<0> {{100}}\r\n{MIXED[:100].decode()}" in piece
    (rest,) = untagged(reader.ask("UID fetch 3 (UID RFC822.SIZE BODY.PEEK[]<100.65536>)"), "FETCH")
    assert f"BODY[]<100> {{{len(MIXED) - 100}}}\r\n{MIXED[100:].decode()}" in rest
    (past,) = untagged(reader.ask("UID fetch 3 (BODY.PEEK[]<65536.65536>)"), "FETCH")
    assert "BODY[]<65536> {0}\r\n)" in past or 'BODY[]<65536> "")' in past

    with Client(post_office, bob) as second, Client(post_office, bob) as third:
        third.ask('SELECT "Trash" (CONDSTORE)')
        second.ask('SELECT "INBOX" (CONDSTORE)')
        second.send(b"i IDLE\r\n")
        assert second.line().startswith("+ ")
        (stored,) = untagged(reader.ask(r"UID store 3 +Flags (\Seen NonJunk)"), "FETCH")
        assert re.fullmatch(r"\* 3 FETCH \(UID 3 FLAGS \(\\Seen NonJunk\) MODSEQ \(\d+\)\)", stored)
        heard = [second.line() for _ in range(3)]
        assert heard[0].startswith("* FLAGS ("), heard
        assert re.fullmatch(r"\* 3 FETCH \((UID 3 )?FLAGS \(\\Seen NonJunk\) MODSEQ \(\d+\)\)", heard[2]), heard
        moved = reader.ask('UID move 1 "Trash"')
        assert moved[0].startswith("* OK [COPYUID ")
        assert "* 1 EXPUNGE" in moved
        assert second.line() == "* 1 EXPUNGE"
        second.send(b"DONE\r\n")
        second.answer("i")
        assert "* 1 EXISTS" in third.ask("noop")
        assert untagged(reader.ask('STATUS "INBOX" (UIDNEXT MESSAGES UNSEEN RECENT)'), "STATUS") == [
            "* STATUS INBOX (UIDNEXT 4 MESSAGES 2 UNSEEN 1 RECENT 0)"
        ]
    changed = untagged(reader.ask(f"UID fetch 1:* (FLAGS) (CHANGEDSINCE {modseq})"), "FETCH")
    assert [line[: line.index("MODSEQ")] for line in changed] == [r"* 2 FETCH (UID 3 FLAGS (\Seen NonJunk) "]
    assert untagged(reader.ask("UID SEARCH UNDELETED BODY hello"), "SEARCH")
    reader.ask("CLOSE")
    reader.ask("LOGOUT")


def test_apple_mail(reader: Client) -> None:
    """It asks for parts by what BODYSTRUCTURE says of them."""
    reader.ask('ID ("name" "iPhone Mail" "version" "22B91" "os" "iOS" "os-version" "18.1.1 (22B91)")')
    reader.ask("ENABLE CONDSTORE QRESYNC")
    assert reader.ask('LIST "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ))')
    reader.ask("SELECT INBOX")
    (found,) = untagged(
        reader.ask(
            "UID FETCH 3 (INTERNALDATE UID RFC822.SIZE FLAGS BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (date subject from "
            "to cc message-id in-reply-to references x-priority x-uniform-type-identifier "
            "x-universally-unique-identifier list-id list-unsubscribe "
            "bimi-indicator bimi-location x-bimi-indicator-hash authentication-results)])"
        ),
        "FETCH",
    )
    assert '"alternative"' in found.lower()
    assert '("filename" "a.pdf")' in found.lower()
    parts = reader.ask("UID FETCH 3 (BODY.PEEK[1.1.MIME] BODY.PEEK[1.1] BODY.PEEK[1.2]<0.7> BODY.PEEK[2])")[0]
    assert "BODY[1.1] {6}\r\nHello." in parts
    assert "BODY[1.2]<0> {7}\r\n<p>Hell" in parts
    assert "BODY[2] {12}\r\nJVBERi0xLjQK" in parts
    assert untagged(reader.ask("UID SEARCH 1:* NOT DELETED"), "SEARCH") == ["* SEARCH 1 2 3"]
    validity = next(
        re.findall(r"UIDVALIDITY (\d+)", line)[0] for line in reader.ask("SELECT INBOX") if "VALIDITY" in line
    )
    again = reader.ask(f"SELECT INBOX (QRESYNC ({validity} 1 1:9))")
    assert len(untagged(again, "FETCH")) == 3
    assert untagged(again, "VANISHED") in ([], ["* VANISHED (EARLIER) 4:9"])


def test_k9(reader: Client, post_office: Postroad, bob: str) -> None:
    """Also known as Thunderbird for Android: a window of the newest, then structure, then parts; pushes by IDLE."""
    reader.ask('LIST "" "*"')
    reader.ask('SELECT "INBOX"')
    assert untagged(reader.ask("UID SEARCH 1:3 NOT DELETED"), "SEARCH") == ["* SEARCH 1 2 3"]
    assert len(untagged(reader.ask("UID FETCH 3,2,1 (UID FLAGS)"), "FETCH")) == 3
    reader.ask(
        "UID FETCH 3,2 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (date subject from content-type to "
        "cc reply-to message-id references in-reply-to list-unsubscribe sender X-K9mail-Identity Chat-Version)])"
    )
    assert '"pdf"' in reader.ask("UID FETCH 3 (UID BODYSTRUCTURE)")[0].lower()
    assert "<p>Hello=2E</p>" in reader.ask("UID FETCH 3 (UID BODY.PEEK[1.2])")[0]
    assert "{5}\r\n%PDF-" in reader.ask("UID FETCH 3 (UID BINARY.PEEK[2]<0.5>)")[0]
    reader.ask(r"UID STORE 3 +FLAGS.SILENT (\Seen)")
    reader.ask("UID SEARCH UNSEEN")
    reader.ask('UID SEARCH HEADER MESSAGE-ID "<mixed@example.net>"')
    reader.ask(r"UID STORE 3 +FLAGS.SILENT (\Answered)")
    reader.send(b"i IDLE\r\n")
    assert reader.line().startswith("+ ")
    post_office.send(letter("pushed"), bob)
    assert reader.line() == "* 4 EXISTS"
    reader.send(b"DONE\r\n")
    reader.answer("i")
    reader.ask('UID COPY 3 "Trash"')
    reader.ask(r"UID STORE 3 +FLAGS.SILENT (\Deleted)")
    reader.ask("UID EXPUNGE 3")
    reader.ask("EXPUNGE")


def test_fairemail(reader: Client) -> None:
    """Jakarta Mail: FETCH by numbers with all items, IDLE on each folder, SEARCH over all it has."""
    reader.ask("CAPABILITY")
    reader.ask('ID ("name" "FairEmail" "version" "1.2229")')
    reader.ask("SELECT INBOX")
    found = reader.ask(
        "FETCH 1:3 (ENVELOPE INTERNALDATE RFC822.SIZE FLAGS BODYSTRUCTURE UID BODY.PEEK[HEADER.FIELDS (Message-ID "
        "References In-Reply-To X-Mailer)])"
    )
    assert '"mixed" ((' in found[2]
    assert '("=?utf-8?q?Zo=C3=AB?=" NIL "zoe" "example.net")' in found[2]
    assert "{6}\r\nHello." in reader.ask("FETCH 3 (BODY.PEEK[1.1])")[0]
    assert untagged(
        reader.ask('SEARCH CHARSET UTF-8 OR OR SUBJECT "mixed" FROM "mixed" BODY "mixed" ALL'), "SEARCH"
    ) == ["* SEARCH 3"]
    assert untagged(reader.ask("UID FETCH 1:* UID"), "FETCH") == [f"* {n} FETCH (UID {n})" for n in (1, 2, 3)]
    reader.ask("NOOP")
    reader.ask("CLOSE")


def test_outlook(reader: Client) -> None:
    """It puts spaces where none belong, and gives up a server for a BAD."""
    reader.ask("CAPABILITY")
    reader.ask('LIST "" "*"')
    reader.ask('LSUB "" "*"')
    reader.ask('SELECT "INBOX"')
    found = reader.ask("UID FETCH 1:* (UID FLAGS)")
    assert len(untagged(found, "FETCH")) == 3
    reader.ask("UID FETCH 1:3 (UID RFC822.SIZE RFC822.HEADER INTERNALDATE)")
    (whole,) = untagged(reader.ask("UID FETCH 3 (UID BODY.PEEK[])"), "FETCH")
    assert f"{{{len(MIXED)}}}\r\n{MIXED.decode()}" in whole
    reader.ask("UID FETCH 4:* (UID FLAGS)")  # it has all; * stands for the last (RFC 9051 9)
    reader.ask(r"UID STORE 1:2 +FLAGS (\Deleted)")
    reader.ask('UID COPY 1:2 "Deleted Items"', "NO [TRYCREATE]")
    reader.ask('CREATE "Deleted Items"')
    reader.ask('SUBSCRIBE "Deleted Items"')
    reader.ask('UID COPY 1:2 "Deleted Items"')
    reader.ask("EXPUNGE")
    reader.ask("CLOSE")
    assert untagged(reader.ask('STATUS "Deleted Items" (MESSAGES UNSEEN)'), "STATUS") == [
        '* STATUS "Deleted Items" (MESSAGES 2 UNSEEN 2)'
    ]
    reader.ask("NOOP ")
    reader.ask("NONSENSE", "BAD")
    reader.ask('SELECT "Nowhere"', "NO")
    reader.ask("FETCH 1 FLAGS", "BAD")
    reader.ask('SELECT "INBOX"')
    reader.ask("FETCH 1 FLAGS")
    reader.ask("FETCH 99 FLAGS", "BAD")
    reader.ask("UID FETCH 99 FLAGS")
    reader.ask("FETCH 1 (FLAGS NONSENSE)", "BAD")
    assert reader.ask("FETCH 1 FULL")[0].startswith("* 1 FETCH (FLAGS (")
    assert reader.ask("FETCH 1 (RFC822.SIZE RFC822.TEXT)")[0].startswith("* 1 FETCH (RFC822.SIZE ")
    reader.ask("LOGOUT")


def test_many_connections(post_office: Postroad, bob: str) -> None:
    """Twelve, all of which idle: each hears of the same message."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(post_office, bob)) for _ in range(12)]
        for client in clients:
            client.ask("SELECT INBOX")
            client.send(b"i IDLE\r\n")
            assert client.line().startswith("+ ")
        post_office.send(letter("third"), bob)
        for client in clients:
            assert client.line() == "* 3 EXISTS"
            assert client.line() == "* 0 RECENT"
            client.send(b"DONE\r\n")
            assert client.answer("i") == ["i OK Idled"]
