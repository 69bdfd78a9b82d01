"""Programs that keep a copy of all mailboxes, and carry over what was done on either side."""

import imaplib
import mailbox
from collections.abc import Callable
from pathlib import Path

from tests.support.programs import needs, run
from tests.support.reading import append, good, held, uids
from tests.support.server import PASSWORD, Postroad, letter, until

FLAGS = {"D": r"\Draft", "F": r"\Flagged", "R": r"\Answered", "S": r"\Seen", "T": r"\Deleted"}
"""Letters of a Maildir."""


class Copy:
    """A Maildir for each mailbox, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def of(self, name: str) -> mailbox.Maildir:
        return mailbox.Maildir(self.folder / name)

    def held(self, name: str) -> list[tuple[str, str]]:
        """As ``reading.held``."""
        return sorted(
            (str(message["Subject"]), " ".join(sorted(FLAGS[letter] for letter in message.get_flags())))
            for message in self.of(name)
        )

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


def both_ways(server: Postroad, bob: str, elsewhere: imaplib.IMAP4, copy: Copy, sync: Callable[[], str]) -> None:
    """Whatever is done on one side is found on the other; a call after which nothing has happened does nothing."""

    def agree(expected: dict[str, list[tuple[str, str]]]) -> None:
        assert {name: held(elsewhere, name) for name in expected} == expected
        assert {name: copy.held(name) for name in expected} == expected

    sync()
    both = {"INBOX": [("first", ""), ("second", "")], "Archive": []}
    agree(both)
    assert copy.octets("INBOX", "first").endswith(b"\n\n.dot\n..dots\n")

    good(elsewhere.select())
    good(elsewhere.store("1", "+FLAGS", r"(\Seen \Answered)"))
    append(elsewhere, "Archive", letter("kept"), r"\Seen")
    good(elsewhere.create("Clients/Smith"))
    append(elsewhere, "Clients/Smith", letter("offer"))
    copy.flag("INBOX", "second", "F")
    copy.add("Drafts", "draft", "DS")
    copy.add("Mine", "mine", "S")
    sync()
    both |= {
        "INBOX": [("first", r"\Answered \Seen"), ("second", r"\Flagged")],
        "Archive": [("kept", r"\Seen")],
        "Clients/Smith": [("offer", "")],
        "Drafts": [("draft", r"\Draft \Seen")],
        "Mine": [("mine", r"\Seen")],
    }
    agree(both)

    good(elsewhere.select())
    good(elsewhere.store("2", "+FLAGS", r"(\Deleted)"))
    good(elsewhere.expunge())
    copy.remove("Archive", "kept")
    server.send(letter("third"), bob)
    until(lambda: len(server.all("delivered", to=bob)) == 3, "the third message")
    sync()
    both |= {"INBOX": [("first", r"\Answered \Seen"), ("third", "")], "Archive": []}
    agree(both)

    before = {name: uids(elsewhere, name) for name in both}
    files = copy.files()
    sync()
    agree(both)
    assert {name: uids(elsewhere, name) for name in both} == before
    assert copy.files() == files


@needs("mbsync")
def test_mbsync_both_ways(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    """By SCRAM of Cyrus SASL, and under COMPRESS."""
    copy = Copy(tmp_path / "copy")
    settings = tmp_path / "mbsyncrc"
    settings.write_text(
        f"IMAPAccount postroad\nHost localhost\nPort {post_office.ports['imap']}\n"
        f'User {bob}\nPass "{PASSWORD}"\nSSLType STARTTLS\nCertificateFile {authority}\n\n'
        "IMAPStore far\nAccount postroad\n\n"
        f"MaildirStore near\nPath {copy.folder}/\nInbox {copy.folder}/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSync All\n"
        "CopyArrivalDate yes\nSyncState *\n"
    )
    both_ways(post_office, bob, elsewhere, copy, lambda: run("mbsync", "-c", str(settings), "-a"))


@needs("offlineimap")
def test_offlineimap_both_ways(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    """With two connections at once."""
    copy = Copy(tmp_path / "copy")
    settings = tmp_path / "offlineimaprc"
    settings.write_text(
        f"[general]\nmetadata = {tmp_path}/offlineimap\naccounts = bob\n"
        "[Account bob]\nlocalrepository = near\nremoterepository = far\n"
        f"[Repository near]\ntype = Maildir\nlocalfolders = {copy.folder}\nsep = /\n"
        f"[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {post_office.ports['imaps']}\n"
        f"ssl = yes\nsslcacertfile = {authority}\n"
        f"remoteuser = {bob}\nremotepass = {PASSWORD}\nmaxconnections = 2\nexpunge = yes\n"
    )
    both_ways(post_office, bob, elsewhere, copy, lambda: run("offlineimap", "-o", "-c", str(settings), "-u", "basic"))
