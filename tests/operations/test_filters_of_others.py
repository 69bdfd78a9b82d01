"""Whole servers whose mail is judged by programs and servers of others: refused, changed, passed, and never lost."""

import contextlib
import json
import os
import re
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_server import Asked, HttpServer
from tests.support.load import Load, subjects
from tests.support.programs import needs, path_of
from tests.support.server import Postroad, alive, free_port, letter, program, until
from tests.support.snippets import python
from tests.support.spamassassin import GTUBE, spamd

BOB = "bob@example.org"


def lane(stage: str, **settings: object) -> dict[str, object]:
    """Settings with that stage before `queue`."""
    return {
        "lane": {"inbound": {"stages": ["accept", stage, "queue", "route"]}},
        "stage": {stage: settings},
    }


def refused(server: Postroad, content: bytes) -> tuple[int, str]:
    """What the client hears at the end of DATA."""
    with pytest.raises(smtplib.SMTPDataError) as raised:
        server.send(content, BOB)
    return raised.value.smtp_code, bytes(raised.value.smtp_error).decode()


def more(load: Load, count: int) -> None:
    """Wait until so many more were taken."""
    wanted = len(load.accepted) + count
    until(lambda: load.broken or len(load.accepted) >= wanted, f"{wanted} messages to be taken")
    assert load.broken == []


def all_there(server: Postroad, load: Load) -> list[bytes]:
    """The mailbox, once everything that was taken is in it; nothing was refused."""
    assert load.refused == []
    until(lambda: set(load.accepted) <= set(subjects(server.mailbox(BOB))), "all mail that was taken")
    return server.mailbox(BOB)


# -- commands


@needs("spamc", "spamd")
@pytest.mark.slow
def test_spamassassin_by_spamc(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o777)
    port = free_port()
    command = ["spamc", "-x", "-c", "-d", "127.0.0.1", "-p", str(port)]
    settings = lane("command", command=command, codes={"1": "reject", "69": "error"}, text="This is spam")
    with Postroad(tmp_path / "server", settings).account(BOB) as server:
        assert refused(server, letter("early"))[0] == 451
        with spamd(tmp_path / "home", port):
            server.wait_for("stage-failed", stage="command")
            assert refused(server, letter("spam", GTUBE)) == (550, "5.7.1 This is spam")
            server.send(letter("ham"), BOB)
            server.mail_for(BOB)
    assert not server.all("bug")


def test_a_command_marks_changes_and_passes(tmp_path: Path) -> None:
    code = """
content = sys.stdin.buffer.read()
sys.stdout.buffer.write(content.replace(b"secret", b"******"))
sys.exit(1 if b"lottery" in content else 69 if b"virus" in content else 0)
"""
    settings = lane("command", command=python(code), name="judge", output="message", codes={"1": "spam"})
    with Postroad(tmp_path, settings).account(BOB) as server:
        assert refused(server, letter("a", "virus"))[0] == 550
        server.send(letter("b", "My secret lottery"), BOB)
        server.send(letter("c", "Hello " + "x" * 500_000), BOB)
        changed, passed = sorted(server.mail_for(BOB, 2), key=len)
    assert b"My ****** lottery" in changed
    assert b"X-Spam-Flag: YES\r\n" in changed
    assert b"X-Spam-Flag" not in passed


POOL = """
for told in asked():
    if b"virus" in told["content"]: answer(verdict="reject", text="No viruses")
    elif b"die" in told["content"]: os._exit(1)
    else: answer(headers=[["X-Judge", str(os.getpid())]])
"""


def test_a_pool_of_programs_under_load_is_killed_and_stopped(tmp_path: Path) -> None:
    settings = lane("command", command=python(POOL), name="judge", pool=2, time_limit="2s")
    with Postroad(tmp_path, settings).account(BOB) as server:
        with Load(server, BOB) as load:
            more(load, 20)
            for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
                for pid in judges(server):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                more(load, 20)
            assert server.reload().returncode == 0
            more(load, 5)
        for message in all_there(server, load):
            assert b"X-Judge: " in message
        # What a busy machine has not judged in time is put off.
        until(lambda: refused(server, letter("virus")) == (550, "5.7.1 No viruses"), "a judgement")
        assert refused(server, letter("die"))[0] == 451
        pids = judges(server)
        assert server.stop() == 0
    for pid in pids:
        until(lambda pid=pid: not alive(pid), f"the end of {pid}")
    assert not server.all("bug")


def test_programs_end_with_the_worker_that_runs_them(tmp_path: Path) -> None:
    settings = lane("command", command=python(POOL), name="judge", pool=1)
    with Postroad(tmp_path, settings).account(BOB) as server:
        server.send(letter("one"), BOB)
        [pid] = judges(server)
        workers = server.workers()
        for worker in workers.values():
            os.kill(worker, signal.SIGKILL)
        until(lambda: not alive(pid), "the end of the program")
        for worker in workers:
            server.wait_for("worker-restarted", worker=worker)
        server.send(letter("two"), BOB)
        server.mail_for(BOB, 2)


def judges(server: Postroad) -> list[int]:
    """The programs of the workers."""
    found = []
    for worker in server.workers().values():
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{worker}/task").iterdir():
                found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


# -- MTA hooks


def hook(asked: Asked) -> bytes:
    said = json.loads(asked.body)
    context, contents = said["context"], said.get("message", {}).get("contents", "")
    if context["stage"] == "rcpt" and said["envelope"]["to"][0]["address"].startswith("eve"):
        return b'{"action": "reject", "response": {"status": 550, "enhancedStatus": "5.1.1", "message": "Not Eve"}}'
    if "virus" in contents:
        return b'{"action": "reject", "response": {"status": 550, "message": "No viruses"}}'
    if "macros" in contents:
        return b'{"action": "quarantine", "response": {"message": "macros"}}'
    changes = [{"type": "addHeader", "name": "X-Hook", "value": context["queue"]["id"]}] if contents else []
    if "secret" in contents:
        changes.append({"type": "replaceContents", "value": contents.replace("secret", "******")})
    return json.dumps({"action": "accept", "modifications": changes}).encode()


@pytest.fixture
def hooks() -> Iterator[HttpServer]:
    with HttpServer(hook).serving() as server:
        yield server


def test_hooks_refuse_change_park_and_pass(tmp_path: Path, hooks: HttpServer) -> None:
    settings = lane("hooks", url=f"http://127.0.0.1:{hooks.port}/", stages=["connect", "mail", "rcpt", "data"])
    with Postroad(tmp_path, settings).account(BOB, "eve@example.org") as server:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as raised:
            server.send(letter("for Eve"), "eve@example.org")
        assert raised.value.recipients["eve@example.org"] == (550, b"5.1.1 Not Eve")
        assert refused(server, letter("virus", "virus")) == (550, "5.7.1 No viruses")
        server.send(letter("parked", "macros"), BOB)
        server.send(letter("changed", "My secret"), BOB)
        [message] = server.mail_for(BOB)
        assert b"My ******" in message
        assert b"X-Hook: " in message
        [identity] = re.findall(r"\w{26}", server.command("queue", "list", "state == 'quarantined'").stdout)
        assert server.command("queue", "release", identity).returncode == 0
        server.mail_for(BOB, 2)
    assert not server.all("bug")


def test_hooks_that_are_away_under_load_lose_nothing(tmp_path: Path) -> None:
    web = HttpServer(hook)
    web.port = free_port()
    settings = lane("hooks", url=f"http://127.0.0.1:{web.port}/", time_limit="2s")
    with Postroad(tmp_path, settings).account(BOB) as server:
        with Load(server, BOB) as load:
            for _ in range(2):
                with web.serving(port=web.port):
                    more(load, 20)
                server.wait_for("unreachable")
                server.forget()
            with web.serving(port=web.port):
                more(load, 20)
        for message in all_there(server, load):
            assert b"X-Hook: " in message


# -- an SMTP filter behind the queue


def filtered(port: int, back: int) -> dict[str, object]:
    return {
        "listen": {"reinject": f"127.0.0.1:{back}"},
        "lane": {
            "inbound": {"stages": ["accept", "queue", "spampd", "route"]},
            "filtered": {"listen": ["reinject"], "stages": ["take_back", "note", "queue", "route"]},
        },
        "stage": {
            "spampd": {"use": "stages.smtp_filter", "host": f"127.0.0.1:{port}", "retry": ["1s"], "connections": 2},
            "take_back": {"use": "stages.accept", "clients": ["127.0.0.1/32"], "xforward": True},
            "note": {"use": "filters/note.py"},
        },
    }


NOTE = """
from engine import Message

async def note(message: Message):
    return message.with_header("X-Origin", f"{message.session.peer} {message.session.helo}")
"""


@contextlib.contextmanager
def spampd(folder: Path, port: int, back: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A spampd that takes mail at ``port`` and brings it back to ``back``."""
    command = [
        # Perl mistrusts TMPDIR; and where there is no syslog, spampd fills its standard error with complaints.
        "env", "--unset=TMPDIR", "sh", "-c", 'exec "$@" 2>/dev/null', "sh", path_of("spampd"), "--nodetach",
        f"--host=127.0.0.1:{port}", f"--relayhost=127.0.0.1:{back}", "--children=2", "--tagall", "--local-only",
        f"--pid={folder}/spampd.pid", "--logsock=inet", *(() if os.getuid() else ("--user=spampd", "--group=spampd")),
    ]  # fmt: skip
    with program(command, port) as popen:
        yield popen


@needs("spampd")
@pytest.mark.slow
def test_spampd_marks_spam_behind_the_queue(tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    with Postroad(tmp_path / "server", filtered(port, back), note=NOTE).account(BOB) as server:
        server.send(letter("early"), BOB)
        server.wait_for("deferred")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            server.send(letter("nobody"), "nobody@example.org")
        with spampd(tmp_path, port, back):
            server.send(letter("spam", GTUBE), BOB)
            found = dict(zip(subjects(mail := server.mail_for(BOB, 2)), mail, strict=True))
    assert b"X-Spam-Flag: YES" in found["spam"]
    assert b"X-Spam-Status: No" in found["early"]
    assert b"X-Origin: 127.0.0.1 client.example.net\r\n" in found["spam"]


@needs("spampd")
@pytest.mark.slow
def test_spampd_is_stopped_killed_and_started_under_load(tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    with Postroad(tmp_path / "server", filtered(port, back), note=NOTE).account(BOB) as server:
        # So few that it has time to mark all of them.
        with Load(server, BOB, clients=1, pause=0.5) as load:
            for end in (signal.SIGTERM, signal.SIGKILL):
                before = len(server.mailbox(BOB))
                with spampd(tmp_path, port, back) as popen:
                    until(lambda before=before: len(server.mailbox(BOB)) > before + 3, "mail through the filter")
                    for pid in map(int, Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, end)
                    popen.send_signal(end)
                more(load, 3)
        with spampd(tmp_path, port, back):
            for message in all_there(server, load):
                assert b"X-Spam-Status: " in message


def test_a_circle_is_noticed(tmp_path: Path) -> None:
    """The lane by which mail comes back leads to the filter, which is that very listener."""
    back = free_port()
    settings = filtered(back, back)
    settings["lane"]["filtered"]["stages"] = ["take_back", "queue", "spampd", "route"]  # type: ignore[index]
    del settings["stage"]["note"]  # type: ignore[attr-defined]
    with Postroad(tmp_path, settings).account(BOB) as server:
        server.send(letter("round"), BOB, sender=BOB)
        assert server.wait_for("failed")["code"] == "5.4.6"
        [report] = server.mail_for(BOB)
        assert b"goes round in a circle" in report
