"""A whole server with rspamd and ClamAV: what is refused at the end of DATA, and what passes.

And what mail does meanwhile when a scanner stands still, is killed, and comes back.
"""

import itertools
import json
import re
import smtplib
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.scanning.guard import FAILURES, PAUSE
from tests.support.programs import Certificates, marks
from tests.support.reading import good, held, signed_in
from tests.support.scanners import EICAR, GTUBE, VIRUS, Clamd, Daemon, Rspamd, attached, zipped
from tests.support.server import Postroad, Settings, letter, merged, until

pytestmark = marks("rspamd", "clamd")

BOB, EVE = "bob@example.org", "eve@example.org"
QUICK = {"stage": {"scan": {name: {"time_limit": "5s"} for name in ("rspamd", "clamav")}}}
"""For who waits until the time is over. Else nothing is to be late on a busy machine."""

PATIENT = {"time_limit": "60s"}


@dataclass
class Scanned:
    """The server and its scanners."""

    server: Postroad
    rspamd: Rspamd
    clamd: Clamd

    def say(self, content: bytes) -> str:
        """The reply to the content of a message for Bob."""
        with self.server.dialogue() as client:
            return client.start(BOB).content(content, "")


def settings(rspamd: Rspamd, clamd: Clamd, folder: Path) -> Settings:
    return {
        "tls": Certificates(folder / "tls").settings,
        "listen": {"submissions": "127.0.0.1:0", "imap": "127.0.0.1:0"},
        "lane": {
            "inbound": {"stages": ["accept", "scan", "queue", "route"]},
            "outbound": {"listen": ["submissions"], "stages": ["submit", "scan", "queue", "route"]},
        },
        "stage": {
            "scan": {"rspamd": {**rspamd.settings, **PATIENT}, "clamav": {**clamd.settings, **PATIENT}},
            "submit": {"use": "stages.accept", "login": "required"},
        },
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Any]], Scanned]]:
    """Starts all three, with changes of the settings."""
    with Rspamd(tmp_path / "rspamd") as rspamd, Clamd(tmp_path / "clamd") as clamd:
        running: list[Postroad] = []

        def begin(changes: Mapping[str, Any]) -> Scanned:
            server = Postroad(tmp_path / "server", merged(settings(rspamd, clamd, tmp_path), changes))
            running.append(server.start().account(BOB, EVE))
            return Scanned(server, rspamd, clamd)

        yield begin
        for server in running:
            server.kill()


def test_spam_and_viruses_stop_here(start: Callable[[Mapping[str, Any]], Scanned]) -> None:
    scanned = start({})
    server = scanned.server
    assert scanned.say(letter("spam", GTUBE)) == "550 5.7.1 Gtube pattern"
    for content in (letter("plain", EICAR.decode()), attached(EICAR), attached(zipped(EICAR), "found.zip")):
        assert scanned.say(content) == f"550 5.7.1 This message is infected by {VIRUS}"
    refused = server.wait_for("refused", text="Gtube pattern")
    assert "rspamd: reject score 15 reject GTUBE(0)" in refused["log"]
    assert server.wait_for("scanned", id=refused["id"])["action"] == "reject"

    assert scanned.say(letter("clean")).startswith("250")
    assert scanned.say(letter("much", "X-Test").replace(b"\r\n\r\n", b"\r\nX-Test-Score: 7\r\n\r\n", 1)).startswith(
        "250"
    )
    assert scanned.say(letter("more").replace(b"\r\n\r\n", b"\r\nX-Test-Score: 11\r\n\r\n", 1)).startswith("250")
    (clean,) = server.mail_for(BOB)
    assert b"\r\nSubject: clean\r\n" in clean
    assert b"\r\nX-Spam: Yes\r\n" not in clean
    with signed_in(server, BOB) as reader:
        until(lambda: [subject for subject, _ in held(reader, "Junk")] == ["[SPAM] more", "much"], "mail in Junk")
        good(reader.select("Junk"))
        assert good(reader.uid("SEARCH", "HEADER", "X-Spam", "Yes", "SUBJECT", "much")) != [b""]
    assert server.wait_for("scanned", score=7.0)["found"] == {
        "rspamd": "none score 7 add header TEST_SCORE(7)",
        "clamav": "none",
    }

    with server.logged_in(EVE) as client:
        with pytest.raises(smtplib.SMTPDataError, match=VIRUS):
            client.sendmail(EVE, [BOB], attached(EICAR).replace(b"ann@example.net", EVE.encode()))
        client.sendmail(EVE, [BOB], letter("of ours", author=EVE))
    server.mail_for(BOB, 2)


def listed(server: Postroad) -> list[dict[str, str]]:
    """The messages that are parked."""
    found: list[dict[str, str]] = json.loads(server.command("queue", "list", "state == 'quarantined'", "--json").stdout)
    return found


def test_what_is_parked_can_be_released(start: Callable[[Mapping[str, Any]], Scanned]) -> None:
    scanned = start({"stage": {"scan": {"clamav": {"infected": "quarantine"}}}})
    server = scanned.server
    assert scanned.say(attached(EICAR)).startswith("250")
    (parked,) = until(lambda: listed(server), "the message to be parked")
    assert parked["reason"] == f"infected by {VIRUS}"
    assert server.command("queue", "release", parked["id"]).returncode == 0
    server.mail_for(BOB)


@pytest.mark.parametrize("which", ["rspamd", "clamd"])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_mail_waits_while_a_scanner_is_away(
    start: Callable[[Mapping[str, Any]], Scanned], which: str, how: str
) -> None:
    scanned = start({"server": {"workers": 1}, **QUICK})
    server = scanned.server
    daemon: Daemon = getattr(scanned, which)
    until(lambda: scanned.say(letter("before")).startswith("250"), "a message to be scanned in time")
    server.forget()
    away: AbstractContextManager[None] = nullcontext()
    if how == "killed":
        daemon.kill()
    else:
        away = daemon.held_up()
    with away:
        for number in range(3):
            assert scanned.say(letter(f"meanwhile {number}")).startswith("451 4.3.0 This message cannot be scanned now")
        server.wait_for("unreachable", what="rspamd" if which == "rspamd" else "clamav")
        # Nobody waits any more, and what the other one can tell it tells.
        assert scanned.say(letter("at once")).startswith("451 4.3.0")
        other = attached(EICAR) if which == "rspamd" else letter("spam", GTUBE)
        until(lambda: scanned.say(other).startswith("550 5.7.1"), "the other one to tell it in time")
        until(lambda: any("is left alone for a while" in one["log"] for one in server.all("put-off")), "the reason")
    if how == "killed":
        daemon.start()
    until(lambda: scanned.say(letter("after")).startswith("250"), f"{which} to be asked again")
    server.wait_for("reachable-again")
    subjects = [re.search(rb"^Subject: (.*)\r$", mail, re.MULTILINE) for mail in server.mail_for(BOB, 2)]
    assert {match[1] for match in subjects if match} == {b"before", b"after"}


def test_mail_that_need_not_be_scanned_goes_on(start: Callable[[Mapping[str, Any]], Scanned]) -> None:
    scanned = start({"stage": {"scan": {name: {"on_error": "skip"} for name in ("rspamd", "clamav")}}})
    scanned.rspamd.kill()
    scanned.clamd.kill()
    assert scanned.say(attached(EICAR)).startswith("250")
    scanned.server.mail_for(BOB)
    said = scanned.server.wait_for("scanned")
    assert said["action"] == "none"
    assert "refused" in said["found"]["rspamd"]


class Dying(socketserver.BaseRequestHandler):
    """Takes a connection and ends, as something does that is about to die. Each is counted."""

    def handle(self) -> None:
        self.server.asked.append(time.monotonic())  # type: ignore[attr-defined]


def test_a_dead_rspamd_costs_a_connection_every_few_seconds_and_not_one_a_message(tmp_path: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Dying) as dying:
        asked: list[float] = []
        dying.asked = asked  # type: ignore[attr-defined]
        threading.Thread(target=dying.serve_forever, daemon=True).start()
        scan = {"rspamd": {"url": f"http://127.0.0.1:{dying.server_address[1]}"}}
        inbound = {"inbound": {"stages": ["accept", "scan", "queue", "route"]}}
        changes = {"server": {"workers": 1}, "lane": inbound, "stage": {"scan": scan}}
        with Postroad(tmp_path, changes) as server:
            server.account(BOB)
            began = time.monotonic()
            for number in range(150):
                with server.dialogue() as client:
                    assert client.start(BOB).content(letter(f"{number}"), "").startswith("451 4.3.0")
            seconds = time.monotonic() - began
            # Every one was answered; those of the pause without a question.
            said = until(lambda: len(found := server.all("put-off")) == 150 and found, "all events")
            put_off = [one["log"] for one in said]
            unasked = [log for log in put_off if "is left alone for a while" in log]
            assert (len(put_off), len(put_off) - len(unasked)) == (150, len(asked))
            assert 3 <= len(asked) <= FAILURES + 1 + seconds / PAUSE
            assert all(later - earlier >= PAUSE - 0.5 for earlier, later in itertools.pairwise(asked[FAILURES - 1 :]))
        dying.shutdown()


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_unscanned_under_load(start: Callable[[Mapping[str, Any]], Scanned]) -> None:
    """Clients that come again, as servers do, while both scanners are stopped, killed and started under them."""
    scanned = start({"server": {"workers": 1}, **QUICK})
    server = scanned.server
    waiting = [letter(f"token-{number}-", "x" * 70 * (number % 50)) for number in range(60)]
    viruses = [attached(EICAR, subject=f"virus-{number}") for number in range(15)]
    todo = [mail for pair in zip(waiting[::4], viruses, strict=True) for mail in pair]
    todo += [mail for mail in waiting if mail not in todo]
    said: Counter[str] = Counter()

    def turn() -> None:
        """Each message that is not settled is sent once more."""
        for mail in list(todo):
            reply = scanned.say(mail)
            said[reply[:3]] += 1
            if not reply.startswith("451"):
                todo.remove(mail)

    def away(daemon: Daemon) -> None:
        with daemon.held_up():
            turn()
        daemon.kill()
        turn()
        daemon.start()

    away(scanned.clamd)
    away(scanned.rspamd)

    def settled() -> bool:
        turn()
        return not todo

    until(settled, "all messages to be settled")
    assert said["550"] == len(viruses)
    assert said["250"] == len(waiting)
    arrived = Counter(
        match[0] for mail in server.mail_for(BOB, len(waiting)) if (match := re.search(rb"token-\d+-|virus", mail))
    )
    assert arrived == Counter(b"token-%d-" % number for number in range(len(waiting)))
