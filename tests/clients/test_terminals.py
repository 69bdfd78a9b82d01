"""Mail programs that people use in a terminal."""

import imaplib
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.programs import marks, needs
from tests.support.reading import append, good, held
from tests.support.server import PASSWORD, Postroad, letter, until
from tests.support.terminal import Terminal, in_terminal

MUTT = """\
set folder="imap://{user}@localhost:{port}/"
set spoolfile=+INBOX record=+Sent postponed=+Drafts
set imap_pass="{password}"
set ssl_starttls=yes ssl_force_tls=yes certificate_file={authority}
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
        pytest.param("neomutt", "imap_rfc5161=yes", marks=marks("neomutt")),
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


@needs("aerc")
def test_aerc(post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path) -> None:
    (tmp_path / "aerc").mkdir()
    accounts = tmp_path / "aerc" / "accounts.conf"
    accounts.touch(mode=0o600)
    login = f"{quote(bob, safe='')}:{quote(PASSWORD, safe='')}"
    accounts.write_text(
        f"[bob]\nsource = imaps://{login}@localhost:{post_office.ports['imaps']}\ndefault = INBOX\n"
        f"from = Bob <{bob}>\ncache-headers = true\n"
    )
    environment = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(authority)} | {
        f"XDG_{kind}_HOME": str(tmp_path) for kind in ("CONFIG", "CACHE", "DATA")
    }
    with in_terminal("aerc", environment=environment) as aerc:
        until(lambda: "first" in aerc.shown and "second" in aerc.shown, "the list of messages")

        def do(command: str, folder: str, *expected: tuple[str, str]) -> None:
            aerc.type(f":{command}\r")
            until(lambda: held(elsewhere, folder) == list(expected), f"what {command} does")

        aerc.type(":select 0\r")
        do("flag", "INBOX", ("first", ""), ("second", r"\Flagged"))  # the newest comes first
        do("read", "INBOX", ("first", ""), ("second", r"\Flagged \Seen"))
        do("cp Sent", "Sent", ("second", r"\Flagged \Seen"))
        do("archive flat", "Archive", ("second", r"\Flagged \Seen"))
        post_office.send(letter("third"), bob)
        until(lambda: "third" in aerc.shown, "the new message in the list")
        aerc.type(":filter -b dots\r")
        until(lambda: aerc.shown.count("first") > 1, "what was found")
        do("delete", "INBOX", ("third", ""))
        aerc.type(":quit\r")
