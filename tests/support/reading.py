"""What the mailboxes of an account hold, as somebody sees who reads them by IMAP."""

import contextlib
import email
import imaplib
import re
from collections.abc import Iterator
from typing import Any

from tests.support.server import PASSWORD, PATIENCE, Postroad

imaplib._MAXLINE = 2**25  # type: ignore[attr-defined]  # messages of these tests have lines that imaplib would refuse


@contextlib.contextmanager
def signed_in(server: Postroad, user: str) -> Iterator[imaplib.IMAP4]:
    """A connection of imaplib, whose user has logged in."""
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE) as client:
        client.login(user, PASSWORD)
        yield client


def good(answer: tuple[str, list[Any]]) -> list[Any]:
    """What imaplib has gathered of a command that went well."""
    status, data = answer
    assert status == "OK", data
    return data


def quoted(name: str) -> str:
    return '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'


def held(client: imaplib.IMAP4, folder: str = "INBOX") -> list[tuple[str, str]]:
    r"""Subject and flags of each message, such as ``("first", r"\Flagged \Seen")``, in the order of subjects."""
    good(client.select(quoted(folder), readonly=True))
    found = good(client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER])"))
    # The flags stand before the header, as they were asked for.
    return sorted((_subject(part[1]), _flags(part[0])) for part in found if isinstance(part, tuple))


def uids(client: imaplib.IMAP4, folder: str = "INBOX") -> list[int]:
    good(client.select(quoted(folder), readonly=True))
    return [int(uid) for uid in good(client.uid("SEARCH", "ALL"))[0].split()]


def folders(client: imaplib.IMAP4) -> list[str]:
    """All names, in ASCII as they are said."""
    return sorted(re.sub(r'^\(.*?\) "/" ', "", line.decode()).strip('"') for line in good(client.list()))


def append(client: imaplib.IMAP4, folder: str, content: bytes, flags: str = "") -> None:
    good(client.append(quoted(folder), f"({flags})", None, content))  # type: ignore[arg-type]


def _subject(header: bytes) -> str:
    return str(email.message_from_bytes(header)["Subject"])


def _flags(said: bytes) -> str:
    found = re.search(rb"FLAGS \((.*?)\)", said)
    assert found is not None, said
    return " ".join(sorted(found[1].decode().split()))
