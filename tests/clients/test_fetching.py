"""Programs that fetch mail by IMAP, and keep it elsewhere."""

import imaplib
import re
import signal
import subprocess
from pathlib import Path

from tests.support.programs import needs, path_of, run
from tests.support.reading import append, held
from tests.support.server import PASSWORD, Postroad, letter, until


def fetchmail(server: Postroad, bob: str, authority: Path, folder: Path, how: str, *options: str) -> list[str]:
    """The command, which writes messages to the file ``mail``; ``how`` are words of its settings."""
    folder.mkdir()
    settings = folder / "fetchmailrc"
    settings.touch(mode=0o600)
    settings.write_text(
        f'poll localhost service {server.ports["imaps"]} protocol imap user "{bob}" password "{PASSWORD}" ssl '
        f'sslcertck sslcertfile {authority} {how} no rewrite mda "cat >> {folder / "mail"}"\n'
    )
    return ["env", f"FETCHMAILHOME={folder}", path_of("fetchmail"), "-f", str(settings), "--nosyslog", *options]


def subjects(mail: Path) -> list[str]:
    return re.findall(r"^Subject: (.*)$", mail.read_text(), re.MULTILINE) if mail.exists() else []


@needs("fetchmail")
def test_fetchmail_fetches_what_is_unseen_and_keeps_it(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    command = fetchmail(post_office, bob, authority, tmp_path / "fetchmail", "keep")
    mail = tmp_path / "fetchmail" / "mail"
    run(*command)
    assert subjects(mail) == ["first", "second"]
    assert "\n\n.dot\n..dots\n" in mail.read_text()
    assert held(elsewhere) == [("first", r"\Seen"), ("second", r"\Seen")]
    append(elsewhere, "INBOX", letter("third"))
    run(*command)
    assert subjects(mail) == ["first", "second", "third"]
    run(*command, good=False)  # there is no new mail


@needs("fetchmail")
def test_fetchmail_idles_and_removes_what_it_has(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    command = fetchmail(post_office, bob, authority, tmp_path / "fetchmail", "no keep idle")
    mail = tmp_path / "fetchmail" / "mail"
    popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: subjects(mail) == ["first", "second"], "two messages")
        until(lambda: held(elsewhere) == [], "an empty mailbox")
        for subject in ("third", "fourth"):
            post_office.send(letter(subject), bob)
            until(lambda subject=subject: subject in subjects(mail), f"the {subject} message")
            until(lambda: held(elsewhere) == [], "an empty mailbox")
    finally:
        popen.send_signal(signal.SIGTERM)
        popen.wait()
    assert subjects(mail) == ["first", "second", "third", "fourth"]


@needs("getmail")
def test_getmail_fetches_from_some_mailboxes_and_moves_what_it_has(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    """Into a program, because it does not write files as root."""
    append(elsewhere, "Junk", letter("junk"))
    folder = tmp_path / "getmail"
    folder.mkdir()
    (folder / "getmailrc").write_text(
        f"[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = localhost\nport = {post_office.ports['imaps']}\n"
        f"ca_certs = {authority}\nusername = {bob}\npassword = {PASSWORD}\n"
        'mailboxes = ("INBOX", "Junk")\nmove_on_delete = Archive\n'
        f'[destination]\ntype = MDA_external\npath = /bin/sh\narguments = ("-c", "cat >> {folder}/mail")\n'
        "allow_root_commands = true\n"
        "[options]\ndelete = true\nread_all = false\n"
    )
    run("getmail", f"--getmaildir={folder}")
    assert subjects(folder / "mail") == ["first", "second", "junk"]
    assert "\n\n.dot\n..dots\n" in (folder / "mail").read_text()
    assert held(elsewhere) == held(elsewhere, "Junk") == []
    assert [subject for subject, _ in held(elsewhere, "Archive")] == ["first", "junk", "second"]


class Curl:
    """One mailbox as curl sees it."""

    def __init__(self, server: Postroad, bob: str, authority: Path) -> None:
        self._root = f"imap://localhost:{server.ports['imap']}/"
        self._options = ("-sS", "--ssl-reqd", "--cacert", str(authority), "--user", f"{bob}:{PASSWORD}")

    def __call__(self, place: str, *options: str) -> str:
        return run("curl", *self._options, *options, self._root + place).replace("\r\n", "\n")


@needs("curl")
def test_curl_lists_fetches_searches_and_appends(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    curl = Curl(post_office, bob, authority)
    assert re.search(r'^\* LIST \(.*\\Sent\) "/" Sent$', curl(""), re.MULTILINE)
    assert curl("INBOX;UID=1").endswith("\n\n.dot\n..dots\n")
    assert curl("INBOX;MAILINDEX=2;SECTION=HEADER.FIELDS%20(SUBJECT)") == "Subject: second\n\n"
    assert curl("INBOX;UID=1;SECTION=TEXT/;PARTIAL=1.3") == "dot"
    assert curl("INBOX?SUBJECT%20second") == "* SEARCH 2\n"
    assert "BODYSTRUCTURE" in curl("INBOX", "-X", "FETCH 1 (FLAGS BODYSTRUCTURE)")
    assert "MESSAGES 2 UNSEEN 0" in curl("", "-X", "STATUS INBOX (MESSAGES UNSEEN)")  # it has fetched both without PEEK
    curl("INBOX", "-X", r"STORE 2 +FLAGS (\Flagged)")
    (tmp_path / "letter").write_bytes(letter("sent", "line\r\n" * 20_000))
    curl("Sent", "--upload-file", str(tmp_path / "letter"))
    assert curl("Sent;UID=1").endswith("\n\n" + "line\n" * 20_000 + "\n")
    assert held(elsewhere) == [("first", r"\Seen"), ("second", r"\Flagged \Seen")]
    assert held(elsewhere, "Sent") == [("sent", r"\Seen")]
