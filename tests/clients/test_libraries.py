"""Libraries by which programs read mail."""

import contextlib
import datetime
import imaplib
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imap_tools
import imapclient
import pytest

from tests.support.programs import needs, run
from tests.support.reading import append, good, held
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter

LONG_AGO = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


@pytest.fixture
def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def test_imaplib(post_office: Postroad, bob: str, trusting: ssl.SSLContext) -> None:
    with imaplib.IMAP4("localhost", post_office.ports["imap"], timeout=PATIENCE) as client:
        good(client.starttls(trusting))
        good(client.authenticate("PLAIN", lambda _: f"\0{bob}\0{PASSWORD}".encode()))
        stamp = imaplib.Time2Internaldate(LONG_AGO)
        content = "Subject: über\r\n\r\nKörper\r\n".encode()
        good(client.append("Drafts", r"(\Seen $Work)", stamp, content))
        good(client.enable("UTF8=ACCEPT"))  # from then on its APPEND is wrong: UTF8 stands within the literal
        good(client.create('"Grüße"'))
        good(client.select("Drafts"))
        good(client.uid("MOVE", "1", '"Grüße"'))
        good(client.select('"Grüße"'))
        (said, text), _ = good(client.uid("FETCH", "1", "(FLAGS INTERNALDATE RFC822)"))
        assert imaplib.ParseFlags(said) == (rb"\Seen", b"$Work")
        assert imaplib.Internaldate2tuple(said)[:6] == LONG_AGO.astimezone().timetuple()[:6]
        assert text == content
        assert good(client.search(None, "BODY", '"körper"')) == [b"1"]
        good(client.copy("1", "Archive"))
        good(client.uid("MOVE", "1", "Trash"))
        good(client.unselect())
        good(client.select())
        assert good(client.sort("(REVERSE SUBJECT)", "UTF-8", "ALL")) == [b"2 1"]
        assert good(client.thread("REFERENCES", "UTF-8", "ALL")) == [b"(1)(2)"]
        good(client.rename('"Grüße"', '"Post/Grüße"'))
        good(client.delete('"Post/Grüße"'))
        assert good(client.status("Trash", "(MESSAGES UIDNEXT)")) == [b"Trash (MESSAGES 1 UIDNEXT 2)"]
        client.logout()


@contextlib.contextmanager
def of_imapclient(server: Postroad, bob: str, trusting: ssl.SSLContext) -> Iterator[imapclient.IMAPClient]:
    with imapclient.IMAPClient(
        "localhost", server.ports["imaps"], ssl_context=trusting, timeout=PATIENCE, use_uid=True
    ) as client:
        client.login(bob, PASSWORD)
        yield client


def test_imapclient(post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, trusting: ssl.SSLContext) -> None:
    with of_imapclient(post_office, bob, trusting) as client:
        assert client.has_capability("CONDSTORE")
        assert client.namespace() == ((("", "/"),), (("Other Users/", "/"),), (("Public/", "/"),))
        assert client.find_special_folder(imapclient.imapclient.SENT) == "Sent"
        client.id_({"name": "IMAPClient"})
        client.create_folder("Grüße & Küsse")
        client.subscribe_folder("Grüße & Küsse")
        assert "Grüße & Küsse" in [name for _, _, name in client.list_sub_folders()]
        client.append("Grüße & Küsse", letter("loving"), (imapclient.FLAGGED, "$Work"), LONG_AGO)
        client.multiappend("Grüße & Küsse", [letter("one"), {"msg": letter("two"), "flags": [imapclient.SEEN]}])
        assert client.folder_status("Grüße & Küsse", ["MESSAGES", "UNSEEN"]) == {b"MESSAGES": 3, b"UNSEEN": 2}

        client.select_folder("Grüße & Küsse")
        assert client.search(["KEYWORD", "$Work", "SUBJECT", "loving"]) == [1]
        assert client.search(["SUBJECT", "größe"], "UTF-8") == []
        assert client.sort("SUBJECT") == [1, 2, 3]
        found = client.fetch([1], ["ENVELOPE", "FLAGS", "INTERNALDATE", "BODYSTRUCTURE", "BODY[HEADER.FIELDS (FROM)]"])[
            1
        ]
        assert found[b"ENVELOPE"].from_[0].mailbox == b"ann"
        assert set(found[b"FLAGS"]) >= {imapclient.FLAGGED, b"$Work"}
        assert found[b"INTERNALDATE"].astimezone(datetime.UTC) == LONG_AGO
        assert found[b"BODYSTRUCTURE"][:2] == (b"text", b"plain")
        assert found[b"BODY[HEADER.FIELDS (FROM)]"] == b"From: Ann <ann@example.net>\r\n\r\n"
        modseq = client.fetch([1], ["MODSEQ"])[1][b"MODSEQ"][0]
        client.add_flags([2], [imapclient.ANSWERED])
        assert list(client.fetch([1, 2, 3], ["FLAGS"], [f"CHANGEDSINCE {modseq}"])) == [2]
        client.move([1], "Archive")
        client.copy([2], "INBOX")
        client.delete_messages([3])
        client.uid_expunge([3])
        client.unselect_folder()
        client.rename_folder("Grüße & Küsse", "Alt/Grüße & Küsse")

        client.select_folder("INBOX")
        client.idle()
        append(elsewhere, "INBOX", letter("third"))
        assert (4, b"EXISTS") in client.idle_check(PATIENCE)
        client.idle_done()
        client.delete_messages(client.search(["SUBJECT", "first"]))
        client.close_folder()
    assert [subject for subject, _ in held(elsewhere)] == ["one", "second", "third"]
    assert [subject for subject, _ in held(elsewhere, "Archive")] == ["loving"]


def test_imap_tools(post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, trusting: ssl.SSLContext) -> None:
    to = imap_tools.MailBox("localhost", post_office.ports["imaps"], timeout=PATIENCE, ssl_context=trusting)
    with to.login(bob, PASSWORD) as box:
        assert [message.subject for message in box.fetch()] == ["first", "second"]
        assert box.folder.status("INBOX")["UNSEEN"] == 0
        box.folder.create("Клиенты")
        assert {"Клиенты", "Sent"} <= {folder.name for folder in box.folder.list()}
        box.append(letter("kept"), "Клиенты", LONG_AGO, [imap_tools.MailMessageFlags.FLAGGED])
        (message,) = box.fetch(imap_tools.AND(subject="first", seen=True), bulk=True)
        assert (message.from_, message.text) == ("ann@example.net", ".dot\r\n..dots\r\n")
        box.flag(message.uid, imap_tools.MailMessageFlags.ANSWERED, value=True)
        box.move(message.uid, "Клиенты")
        with box.idle as idle:
            append(elsewhere, "INBOX", letter("third"))
            assert any(b"EXISTS" in line for line in idle.poll(PATIENCE))
        assert [header.subject for header in box.fetch(headers_only=True, mark_seen=False)] == ["second", "third"]
        box.delete(box.uids(imap_tools.AND(subject="second")))
        box.folder.set("Клиенты")
        assert [(message.subject, message.flags) for message in box.fetch(mark_seen=False, reverse=True)] == [
            ("first", ("\\Seen", "\\Answered")),
            ("kept", ("\\Flagged",)),
        ]
        box.folder.delete("Клиенты")
    assert held(elsewhere) == [("third", "")]


IMAPFLOW = "imapflow@2.10.2"


@needs("node", "npm")
def test_imapflow(post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path) -> None:
    run("npm", "install", "--prefix", str(tmp_path), "--ignore-scripts", "--no-audit", "--no-fund", IMAPFLOW)
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("imapflow.js")), str(post_office.ports["imaps"]), bob, PASSWORD],
        env=os.environ | {"NODE_PATH": str(tmp_path / "node_modules"), "NODE_EXTRA_CA_CERTS": str(authority)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert held(elsewhere) == [("second", r"$Work \Flagged")]
    assert [subject for subject, _ in held(elsewhere, "K&APw-sse")] == ["first"]
