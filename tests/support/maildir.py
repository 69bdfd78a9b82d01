"""Copies of mailboxes in Maildirs, and mbsync, which keeps them."""

import mailbox
from collections.abc import Callable
from pathlib import Path

from tests.support.programs import run
from tests.support.server import PASSWORD, Postroad, letter

FLAGS = {"D": r"\Draft", "F": r"\Flagged", "R": r"\Answered", "S": r"\Seen", "T": r"\Deleted"}
"""Letters of a Maildir."""


def flagged(of: mailbox.Maildir) -> list[tuple[str, str]]:
    """As ``reading.held``."""
    return sorted(
        (str(message["Subject"]), " ".join(sorted(FLAGS[letter] for letter in message.get_flags()))) for message in of
    )


class Copy:
    """A Maildir for each mailbox, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def of(self, name: str) -> mailbox.Maildir:
        return mailbox.Maildir(self.folder / name)

    def held(self, name: str) -> list[tuple[str, str]]:
        return flagged(self.of(name))

    def add(self, name: str, subject: str, flags: str) -> None:
        message = mailbox.MaildirMessage(letter(subject).replace(b"\r\n", b"\n"))
        message.set_subdir("cur")
        message.set_flags(flags)
        self.of(name).add(message)

    def flag(self, name: str, subject: str, flags: str) -> None:
        key = self._key(name, subject)
        message = self.of(name)[key]
        message.set_subdir("cur")
        message.set_flags(flags)
        self.of(name)[key] = message

    def remove(self, name: str, subject: str) -> None:
        self.of(name).remove(self._key(name, subject))

    def octets(self, name: str, subject: str) -> bytes:
        return self.of(name).get_bytes(self._key(name, subject))

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.parent.name in {"cur", "new"})

    def _key(self, name: str, subject: str) -> str:
        (key,) = [key for key, message in self.of(name).items() if message["Subject"] == subject]
        return key


def mbsync(server: Postroad, user: str, authority: Path, copy: Copy) -> Callable[[], str]:
    """What calls it for all mailboxes, both ways; it keeps its settings beside the copy."""
    settings = copy.folder.with_suffix(".mbsyncrc")
    settings.write_text(
        f"IMAPAccount postroad\nHost localhost\nPort {server.ports['imap']}\n"
        f'User {user}\nPass "{PASSWORD}"\nSSLType STARTTLS\nCertificateFile {authority}\n\n'
        "IMAPStore far\nAccount postroad\n\n"
        f"MaildirStore near\nPath {copy.folder}/\nInbox {copy.folder}/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSync All\n"
        "CopyArrivalDate yes\nSyncState *\n"
    )
    return lambda: run("mbsync", "-c", str(settings), "-a")
