"""Mail programs that people use in a terminal."""

import imaplib
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.programs import marks
from tests.support.reading import append, good, held
from tests.support.server import PASSWORD, Postroad, letter, until
from tests.support.terminal import Terminal, in_terminal

MUTT = """\
set folder="imap://{user}@localhost:{port}/"
set spoolfile=+INBOX record=+Sent postponed=+Drafts
set imap_pass="{password}"
set ssl_starttls=yes ssl_force_tls=yes certificate_file={authority} imap_authenticators=scram-sha-256
set header_cache={folder}/cache message_cachedir={folder}/bodies
set imap_idle=yes imap_qresync=yes {more}
set new_mail_command="touch {folder}/came" timeout=1
set quit=yes delete=yes confirmappend=no confirmcreate=no move=no mark_old=no wait_key=no resolve=no sort=subject
set fast_reply=yes include=yes autoedit=yes editor="{folder}/editor" sendmail={folder}/sendmail
"""


@pytest.mark.parametrize(
    ("program", "more"),
    [
        pytest.param("mutt", "imap_deflate=yes", marks=marks("mutt")),
        pytest.param("neomutt", "imap_deflate=yes imap_rfc5161=yes", marks=marks("neomutt")),
    ],
)
def test_mutt(
    post_office: Postroad,
    bob: str,
    elsewhere: imaplib.IMAP4,
    authority: Path,
    tmp_path: Path,
    *,
    program: str,
    more: str,
) -> None:
    """What it does is done at the server; what is done elsewhere it hears of, by IDLE and by QRESYNC."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "muttrc").write_text(
        MUTT.format(
            user=bob.replace("@", "%40"), port=post_office.ports["imap"], password=PASSWORD, authority=authority,
            folder=tmp_path, more=more,
        )
    )  # fmt: skip
    for name, does in (("editor", 'echo Thanks. >> "$1"'), ("sendmail", "cat > /dev/null")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)

    def mutt(keys: str) -> AbstractContextManager[Terminal]:
        command = [program, "-n", "-F", str(tmp_path / "muttrc"), "-e", f'push "{keys}"']
        return in_terminal(*command, environment={"HOME": str(tmp_path)})

    keys = (
        "<first-entry><display-message><exit><flag-message><reply><send-message>"
        "<search>=b nowhere<enter><search>=b dots<enter><set-flag>r"
        "<last-entry><copy-message>=Archive<enter><save-message>=Clients/Smith<enter><quit>"
    )
    with mutt(keys):
        pass  # it ends by itself
    assert held(elsewhere) == [("first", r"\Answered \Flagged \Seen")]
    assert held(elsewhere, "Sent") == [("Re: first", r"\Seen")]
    assert [subject for subject, _ in held(elsewhere, "Archive") + held(elsewhere, "Clients/Smith")] == ["second"] * 2

    append(elsewhere, "INBOX", letter("third"))
    append(elsewhere, "INBOX", letter("fourth"), r"\Flagged")
    good(elsewhere.select())
    good(elsewhere.store("1", "+FLAGS", r"(\Deleted)"))
    good(elsewhere.store("2", "+FLAGS", r"(\Flagged $Work)"))
    good(elsewhere.expunge())

    pipe = f"<tag-pattern>~A<enter><tag-prefix><pipe-message>grep Subject: > {tmp_path}/subjects<enter>"
    with mutt(f"<limit>~F<enter>{pipe}<limit>~A<enter>") as terminal:
        until(
            lambda: (tmp_path / "subjects").read_text() if (tmp_path / "subjects").exists() else "",
            "the list of subjects",
        )
        post_office.send(letter("fifth"), bob)
        until((tmp_path / "came").exists, f"{program} to hear of new mail")
        terminal.type("q")
    assert (tmp_path / "subjects").read_text() == "Subject: fourth\nSubject: third\n"
