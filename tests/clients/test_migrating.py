"""Mail is taken along from other servers, by IMAP: from a Dovecot, and from one of ours."""

import imaplib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.points import Point, environment, points
from tests.support.dovecot import Dovecot, dovecot, laid_out, started
from tests.support.programs import Certificates, marks
from tests.support.reading import append, folders, good, held, quoted, signed_in
from tests.support.server import PASSWORD, PATIENCE, ROOT, Postroad, letter, until

pytestmark = marks("dovecot")

BOB, EVE = "bob@example.org", "eve@example.org"
MASTER, MASTERS = "keeper", "a-password-for-all"

SPECIAL = r"""
namespace inbox {
  inbox = yes
  separator = .
  mailbox Gesendet {
    special_use = \Sent
    auto = subscribe
  }
  mailbox Papierkorb {
    special_use = \Trash
    auto = create
  }
}
passdb {
  driver = static
  master = yes
  args = password=a-password-for-all
}
"""

LARGE = letter("large", "line of the large one\r\n" * 20_000)
EIGHT_BIT = "Subject: eight\r\nFrom: ann\r\n\r\nOhne Kennung: žluťoučký kůň\r\n".encode()


@contextmanager
def filled(source: Dovecot, user: str) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", source.imap, timeout=PATIENCE) as client:
        client.login(user, PASSWORD)
        yield client


def kept(there: imaplib.IMAP4, folder: str = "INBOX") -> list[tuple[str, str]]:
    r"""What a source holds, without \Recent, which is its own."""
    return [
        (subject, flags.replace(r"\Recent", "").strip().replace("  ", " ")) for subject, flags in held(there, folder)
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path / "server", {"listen": {"imap": "127.0.0.1:0"}}).account(BOB, EVE) as running:
        yield running


def migrate(server: Postroad, port: int, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Bob's mail, or whose the arguments say."""
    source = ("--from", f"imap://127.0.0.1:{port}", "--password-stdin")
    done = server.command("mailbox", "migrate", *source, *(arguments or (BOB,)), stdin=PASSWORD + "\n")
    assert done.returncode == code, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done


def test_all_of_a_dovecot_comes_along(server: Postroad) -> None:
    with dovecot(BOB, more=SPECIAL) as source:
        with filled(source, BOB) as there:
            for name in ("Arbeit.2024", "B&APw-cher", "Notizen &- mehr"):
                good(there.create(quoted(name)))
                good(there.subscribe(quoted(name)))
            append(there, "INBOX", letter("first"), r"\Seen $Forwarded")
            good(there.append("INBOX", r"(\Flagged)", '"17-Jul-1996 02:44:25 +0000"', EIGHT_BIT))
            append(there, "Gesendet", letter("sent"), r"\Seen \Answered")
            append(there, "Papierkorb", letter("gone"), r"\Deleted")
            append(there, "B&APw-cher", LARGE)
            append(there, "Arbeit.2024", letter("work"), "Wichtig")
        plan = migrate(server, source.imap, BOB, "--dry-run", "--json")
        assert {row["folder"]: (row["to"], row["messages"]) for row in json.loads(plan.stdout)} == {
            "INBOX": ("INBOX", 2), "Gesendet": ("Sent", 1), "Papierkorb": ("Trash", 1), "Bücher": ("Bücher", 1),
            "Arbeit.2024": ("Arbeit/2024", 1), "Notizen & mehr": ("Notizen & mehr", 0),
        }  # fmt: skip
        done = migrate(server, source.imap)
        assert done.stdout.startswith("6 messages taken into bob@example.org, ")
        assert migrate(server, source.imap).stdout == "0 messages taken into bob@example.org, 6 had come before.\n"
        with filled(source, BOB) as there:
            assert kept(there) == [("eight", r"\Flagged"), ("first", r"$Forwarded \Seen")]
    with signed_in(server, BOB) as here:
        assert held(here) == [("eight", r"\Flagged"), ("first", r"$Forwarded \Seen")]
        assert held(here, "Sent") == [("sent", r"\Answered \Seen")]
        assert held(here, "Trash") == [("gone", r"\Deleted")]
        assert held(here, "Arbeit/2024") == [("work", "Wichtig")]
        assert held(here, "B&APw-cher") == [("large", "")]
        assert {"Notizen &- mehr", "B&APw-cher"} <= set(folders(here))
        good(here.select("INBOX", readonly=True))
        (found,) = [one for one in good(here.fetch("1:*", "(INTERNALDATE)")) if b"1996" in one]
        assert b"17-Jul-1996" in found
        (content,) = [one[1] for one in good(here.fetch("2", "(BODY.PEEK[])")) if isinstance(one, tuple)]
        assert content == EIGHT_BIT
    begun, ended = server.wait_for("migration-begun"), server.wait_for("migration-ended")
    assert (begun["address"], begun["user"], ended["state"], ended["messages"]) == (BOB, BOB, "done", 6)
    assert PASSWORD not in json.dumps(server.events)


def test_a_master_fetches_the_mail_of_many(server: Postroad, tmp_path: Path) -> None:
    sheet = tmp_path / "all.csv"
    sheet.write_text(f"address,user\n{BOB},\n{EVE},{EVE}\n")
    sheet.chmod(0o600)
    with dovecot(BOB, EVE, more=SPECIAL) as source:
        for user in (BOB, EVE):
            with filled(source, user) as there:
                append(there, "INBOX", letter(f"for {user}"))
        server.environment = {"POSTROAD_MIGRATE_PASSWORD": MASTERS}
        where = ("--from", f"imap://127.0.0.1:{source.imap}", "--master", MASTER)
        done = server.command("mailbox", "migrate", "--csv", str(sheet), *where, "--json")
        assert done.returncode == 0, done.stderr
        assert [(one["address"], one["state"], one["taken"]) for one in json.loads(done.stdout)] == [
            (BOB, "done", 1), (EVE, "done", 1),
        ]  # fmt: skip
        sheet.write_text(f"address\n{BOB}\nnobody@example.org\n")
        wrong = server.command("mailbox", "migrate", "--csv", str(sheet), *where)
        assert wrong.returncode == 1
        assert "all.csv:3: there is no account nobody@example.org" in wrong.stderr
    for user in (BOB, EVE):
        with signed_in(server, user) as here:
            assert held(here) == [(f"for {user}", "")]


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_a_certificate_is_believed_only_if_it_is_good(
    server: Postroad, certificates: Certificates, scheme: str
) -> None:
    with laid_out(BOB) as source:
        imaps = source.lmtp  # LMTP is not asked for here
        with (source.folder / "dovecot.conf").open("a") as file:
            file.write(
                f"protocols = imap\nssl = required\nssl_cert = <{certificates.certificate}\n"
                f"ssl_key = <{certificates.key}\n"
                f"service imap-login {{\n inet_listener imaps {{\n  port = {imaps}\n  ssl = yes\n }}\n}}\n"
            )
        with started(source):
            port = {"imap": source.imap, "imaps": imaps}[scheme]
            where = ("--from", f"{scheme}://localhost:{port}", "--password-stdin", BOB)
            refused = server.command("mailbox", "migrate", *where, stdin=PASSWORD)
            assert refused.returncode == 1
            assert "its certificate is not believed" in refused.stderr
            done = server.command(
                "mailbox", "migrate", *where, "--ca", str(certificates.authority), stdin=PASSWORD
            )  # fmt: skip
            assert done.returncode == 0, done.stderr


def test_a_wrong_password_is_said_so(server: Postroad) -> None:
    with dovecot(BOB) as source:
        where = ("--from", f"imap://127.0.0.1:{source.imap}", "--password-stdin", BOB)
        done = server.command("mailbox", "migrate", *where, stdin="wrong")
    assert done.returncode == 1
    assert "the source does not let us in: [AUTHENTICATIONFAILED]" in done.stderr


KILLED = {
    "appended, not noted": Point("", "engine.migration.record", "Record.after", "before", count=2),
    "noted, not appended": Point("", "engine.migration.record", "Record.before", count=2),
    "half a note": Point("", "engine.migration.record", "Record.before", "before", count=3),
    "a large one handed over": Point("", "engine.migration.spool", "Spool.finish", count=1),
    "a folder made": Point("", "engine.exchange.store", "Store.made", count=2),
}


@pytest.mark.parametrize("point", points(KILLED, every=2))
def test_killed_at_any_moment_it_goes_on(server: Postroad, point: Point, tmp_path: Path) -> None:
    with dovecot(BOB) as source:
        with filled(source, BOB) as there:
            good(there.create("Other"))
            for number in range(1200):
                append(there, "INBOX", LARGE if number == 700 else letter(f"{number % 1190}"))
            append(there, "Other", letter("other"))
        died = tmp_path / "died"
        server.environment = environment(point, died)
        where = ("--from", f"imap://127.0.0.1:{source.imap}", "--password-stdin", BOB)
        assert server.command("mailbox", "migrate", *where, stdin=PASSWORD).returncode < 0
        assert died.exists()
        server.environment = {}
        migrate(server, source.imap)
        assert migrate(server, source.imap).stdout.startswith("0 messages taken")
        with filled(source, BOB) as there, signed_in(server, BOB) as here:
            for name in ("INBOX", "Other"):
                assert Counter(held(here, name)) == Counter(kept(there, name))


def test_a_source_that_is_killed_is_waited_for(server: Postroad) -> None:
    text = "a line of some length\r\n" * 400
    with laid_out(BOB) as source:
        with started(source), filled(source, BOB) as there:
            for number in range(300):
                append(there, "INBOX", letter(f"{number}", text))
        command = [sys.executable, "-m", "engine", "--config", str(server.config), "mailbox", "migrate", BOB]
        command += ["--from", f"imap://127.0.0.1:{source.imap}", "--password-stdin", "--rate", "1 MB", "--json"]
        with started(source):
            path = {**os.environ, "PYTHONPATH": str(ROOT)}
            running = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=server.folder, env=path
            )
            assert running.stdin is not None
            running.stdin.write(PASSWORD)
            running.stdin.close()
            running.stdin = None
            with signed_in(server, BOB) as here:
                until(lambda: int(good(here.select("INBOX", readonly=True))[0]) > 0, "a first batch")
        time.sleep(0.5)  # it finds nobody there
        with started(source):
            said, _ = running.communicate(timeout=PATIENCE)
        (done,) = json.loads(said)
        assert (done["state"], done["taken"], done["before"]) == ("done", 300, 0)
    with signed_in(server, BOB) as here:
        assert len(held(here)) == 300


def test_mail_moves_from_one_of_ours_to_another(server: Postroad, tmp_path: Path) -> None:
    with Postroad(tmp_path / "old", {"listen": {"imap": "127.0.0.1:0"}}).account(BOB) as old:
        with signed_in(old, BOB) as there:
            for number in range(30):
                append(there, "INBOX", letter(f"{number}"), r"\Seen" if number % 2 else "$Todo")
            append(there, "Sent", LARGE, r"\Seen")
            good(there.create("A/B"))
        done = migrate(server, old.ports["imap"])
        assert done.stdout.startswith("31 messages taken")
        with signed_in(old, BOB) as there, signed_in(server, BOB) as here:
            assert held(here) == kept(there)
            assert held(here, "Sent") == [("large", r"\Seen")]
            assert "A/B" in folders(here)
            good(there.select("INBOX"))
            good(there.store("1:5", "+FLAGS", r"(\Flagged)"))
        done = migrate(server, old.ports["imap"], BOB, "--flags")
        assert "the flags of 5 brought up to date" in done.stdout
        with signed_in(old, BOB) as there, signed_in(server, BOB) as here:
            assert held(here) == kept(there)


def test_a_quota_is_kept_and_told(server: Postroad) -> None:
    assert server.command("quota", "set", BOB, "--messages", "10").returncode == 0
    with dovecot(BOB) as source:
        with filled(source, BOB) as there:
            for number in range(15):
                append(there, "INBOX", letter(f"{number}"))
        done = migrate(server, source.imap, code=1)
        taken = int(done.stdout.split()[0])
        assert taken in (8, 9, 10)  # that it becomes full is told to the account by mail, which takes room as well
        assert "it is full; make room, and give it again" in done.stderr
        assert server.command("quota", "set", BOB, "--messages", "100").returncode == 0
        again = migrate(server, source.imap).stdout
        assert re.match(rf"{15 - taken} messages taken into bob@example.org, {taken} had come before", again), again
