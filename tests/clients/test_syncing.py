"""Programs that keep a copy of all mailboxes, and carry over what was done on either side."""

import imaplib
import mailbox
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.maildir import Copy, flagged, mbsync
from tests.support.programs import needs, path_of, run
from tests.support.reading import append, good, held, uids
from tests.support.server import PASSWORD, Postroad, letter, until


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
    both_ways(post_office, bob, elsewhere, copy, mbsync(post_office, bob, authority, copy))


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


DOVEADM = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
mail_location = maildir:{folder}/INBOX
mail_home = {folder}/home
mail_uid = {owner}
mail_gid = {owner}
first_valid_uid = 1
first_valid_gid = 1
imapc_host = 127.0.0.1
imapc_port = {port}
imapc_user = {user}
imapc_password = {password}
imapc_features = rfc822.size fetch-headers fetch-bodystructure search modseq
namespace {{
  inbox = yes
  separator = /
}}
"""


@needs("doveadm")
@pytest.mark.skipif(os.geteuid() != 0, reason="the mail of this Dovecot belongs to a user of its own")
def test_doveadm_backs_up_to_a_dovecot(post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's folder is its user's alone
        folder = Path(name)
        shutil.chown(folder, "mail", "mail")
        conf = folder / "dovecot.conf"
        conf.write_text(
            DOVEADM.format(folder=folder, port=post_office.ports["imap"], user=bob, password=PASSWORD, owner="mail")
        )
        conf.chmod(0o644)

        def back_up() -> None:
            run("env", "USER=bob", f"HOME={folder}", path_of("doveadm"), "-c", str(conf), "backup", "-R", "imapc:")

        def copied(path: str) -> list[tuple[str, str]]:
            return flagged(mailbox.Maildir(folder / "INBOX" / path))

        append(elsewhere, "Archive", letter("kept"), r"\Seen \Flagged")
        back_up()
        assert copied("") == [("first", ""), ("second", "")]
        assert copied(".Archive") == [("kept", r"\Flagged \Seen")]
        good(elsewhere.select())
        good(elsewhere.store("1", "+FLAGS", r"(\Answered)"))
        good(elsewhere.uid("MOVE", "2", "Archive"))
        append(elsewhere, "INBOX", letter("third"))
        back_up()
        assert copied("") == [("first", r"\Answered"), ("third", "")]
        assert copied(".Archive") == [("kept", r"\Flagged \Seen"), ("second", "")]
