"""Strangers at the door: who speaks too early, makes errors, tries out names, or has a bad name; and who is let be."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.net.zone import Zone
from stages.accept import Accept
from tests.support.background import dns
from tests.support.server import Dialogue, Postroad, letter

BOB = "bob@example.org"
FRIEND, STRANGER, OTHER = "127.0.0.1", "127.0.0.9", "127.0.0.8"
ACCEPT = {"relay_networks": [f"{FRIEND}/32"]}


@contextlib.contextmanager
def running(folder: Path, **accept: Any) -> Iterator[Postroad]:
    with Postroad(folder, {"server": {"workers": 1}, "stage": {"accept": ACCEPT | accept}}) as server:
        yield server.account(BOB)


@contextlib.contextmanager
def connected(server: Postroad, octets: bytes, source: str = STRANGER) -> Iterator[Dialogue]:
    """A client that speaks at once; nothing has been read from it yet."""
    with Mute(server.ports["smtp"], source) as client:
        client.send(octets)
        yield client


class Mute(Dialogue):
    """A client that has not heard the greeting."""

    def expect(self, beginning: str) -> str:
        return super().expect(beginning) if beginning else ""

    def __init__(self, port: int, source: str) -> None:
        super().__init__(port, source, "")


def facts(server: Postroad, fact: str) -> Any:
    """What the filter `tell` has put into the first message."""
    (message,) = server.mail_for(BOB)
    line = next(line for line in message.split(b"\r\n") if line.startswith(b"X-Facts:"))
    return json.loads(line.partition(b":")[2]).get(fact)


TELL = """
import json

async def tell(message):
    return message.with_header("X-Facts", json.dumps(dict(message.envelope.facts)))
"""


def test_who_speaks_before_the_greeting_is_sent_away_and_others_wait_once(tmp_path: Path) -> None:
    with running(tmp_path, greet_delay="5s", greet_teaser="one moment") as server:
        with connected(server, b"EHLO spam.test\r\n") as client:
            assert client.reply() == "220-mx.example.org one moment\n554 5.5.1 You spoke before you were greeted"
            client.expect("503")
        said = server.wait_for("early-talker")
        assert (said["peer"], said["before"]) == (STRANGER, "the greeting")
        for greeting in ("220-mx.example.org one moment\n220 mx.example.org", "220 mx.example.org"):
            with Mute(server.ports["smtp"], OTHER) as client:
                assert client.reply().startswith(greeting)
                client.start(BOB).content(letter("patient"))
        with connected(server, b"EHLO friend.test\r\n", FRIEND) as client:
            client.expect("220 ")
            client.expect("250")
        assert len(server.all("early-talker")) == 1


def test_who_hangs_up_before_the_greeting_is_no_trouble(tmp_path: Path) -> None:
    with running(tmp_path, greet_delay="30s") as server:
        Mute(server.ports["smtp"], STRANGER).close()
        waiting = Mute(server.ports["smtp"], STRANGER)
        assert server.stop() == 0  # within a few seconds: nobody waits for who waits
        assert waiting.reply().startswith("421 4.3.2")
        assert server.all("bug") == []


def test_an_early_talker_may_only_be_noted(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "tell", "queue", "route"]}},
        "stage": {
            "accept": ACCEPT | {"greet_delay": "10s", "early_talker": "note"},
            "tell": {"use": "filters/tell.py"},
        },
    }
    with Postroad(tmp_path, settings, tell=TELL) as server:
        server.account(BOB)
        with connected(server, b"EHLO spam.test\r\n") as client:
            client.expect("220")
            client.expect("250")
            client.ask("MAIL FROM:<a@spam.test>", "250")
            client.ask(f"RCPT TO:<{BOB}>", "250")
            client.content(letter("early"))
        assert facts(server, "door.early_talker") is True


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO a.test\r\nMAIL FROM:<a@a.test>\r\n",  # EHLO must be the last of a group
        b"HELO a.test\r\nMAIL FROM:<a@a.test>\r\n",
    ],
)
def test_who_does_not_wait_for_the_reply_to_helo(tmp_path: Path, octets: bytes) -> None:
    with running(tmp_path) as server:
        with server.dialogue(STRANGER) as client:
            client.send(octets)
            client.expect("250")
            client.expect("554 5.5.1")
            client.ask("RCPT TO:<bob@example.org>", "503")
        assert server.wait_for("early-talker")["before"] == "the reply to HELO"
        with server.dialogue(FRIEND) as client:
            client.send(octets)
            client.expect("250")
            client.expect("250")
        with server.dialogue(STRANGER) as client:
            client.ask("EHLO a.test", "250")
            client.send(f"MAIL FROM:<a@a.test>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n".encode())
            for code in ("250", "250", "354"):
                client.expect(code)


def test_errors_are_answered_later_and_later(tmp_path: Path) -> None:
    """Whether a reply waits is told by another session of the same worker, which is served meanwhile."""
    with running(tmp_path, tarpit="60s", tarpit_after=8, max_errors=100) as server:
        with server.dialogue(STRANGER) as client, server.dialogue(STRANGER) as other, server.dialogue(FRIEND) as friend:
            for _ in range(8):
                client.ask("NONSENSE", "500")
            client.send(b"NONSENSE\r\n" * 20)
            client.socket.settimeout(3)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
            for _ in range(8):
                other.ask("NONSENSE", "500")
            other.start(BOB).content(letter("good"))
            for _ in range(40):
                friend.ask("NONSENSE", "500")
        assert server.stop() == 0


def test_who_tries_out_names_is_refused_all_for_a_while(tmp_path: Path) -> None:
    settings = {"server": {"workers": 2}, "stage": {"accept": ACCEPT | {"network_unknown_recipients": ["3/1h"]}}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        for number in range(3):  # over several connections, and two workers
            with server.dialogue(STRANGER) as client:
                client.start(BOB).ask(f"RCPT TO:<name{number}@example.org>", "550 5.1.1")
                if number < 2:
                    client.content(letter("one knows him"))
                    continue
                client.ask("RCPT TO:<another@example.org>", "450 4.7.1 3 unknown recipients within 60 minutes")
                client.expect("421 4.7.1")
                assert client.ended()
        said = server.wait_for("limited", network=f"{STRANGER}/32")
        assert (said["what"], said["rate"]) == ("unknown recipients", "3/1h")
        for _ in range(2):
            with server.dialogue(STRANGER) as client:
                client.ask("EHLO client.example.net", "250")
                client.ask("MAIL FROM:<a@b.test>", "450 4.7.1 3 unknown recipients")
        assert len(server.all("limited")) == 1
        for source in (OTHER, FRIEND):
            with server.dialogue(source) as client:
                client.start(BOB).content(letter("from others"))
        listed = server.command("rate", "list", "--json", "--limited").stdout
        assert [(row["name"], row["sent"]) for row in json.loads(listed)] == [
            (f"{STRANGER}/32", "3 unknown recipients")
        ]
        assert server.command("rate", "lift", STRANGER).returncode == 0
        with server.dialogue(STRANGER) as client:
            client.start(BOB).content(letter("again"))


def test_lists_and_names_in_a_lane(tmp_path: Path) -> None:
    bad = Zone("bad.test", {"9.0.0.127": {"A": "127.0.0.2", "TXT": '"spam was seen"'}, "8.0.0.127": {"A": "127.0.0.3"}})
    nowhere = Zone("127.in-addr.arpa")
    with dns(bad, nowhere, Zone("client.test", {"@": {"A": OTHER}})) as address:
        settings = {
            "server": {"workers": 1},
            "dns": {"servers": [address]},
            "lane": {"inbound": {"stages": ["accept", "client_names", "dnsbl", "tell", "queue", "route"]}},
            "stage": {
                "accept": ACCEPT,
                "dnsbl": {"lists": [{"zone": "bad.test", "answers": ["127.0.0.2"], "weight": 2},
                                    {"zone": "bad.test", "answers": ["127.0.0.3"], "weight": 0.5}]},
                "tell": {"use": "filters/tell.py"},
            },
        }  # fmt: skip
        with Postroad(tmp_path, settings, tell=TELL) as server:
            server.account(BOB)
            with server.dialogue(STRANGER) as client:
                client.start(sender="a@client.test")
                client.ask(f"RCPT TO:<{BOB}>", "550 5.7.1 127.0.0.9 is listed by bad.test: spam was seen")
                client.ask("RCPT TO:<postmaster@example.org>", "250")
            with server.dialogue(OTHER) as client:
                client.ask("EHLO mx.example.org", "250")
                client.ask("MAIL FROM:<a@client.test>", "250")
                client.ask(f"RCPT TO:<{BOB}>", "550 5.7.1 mx.example.org is the name of this server")
                client.ask("EHLO client.test", "250")
                client.ask("MAIL FROM:<a@client.test>", "250")
                client.ask(f"RCPT TO:<{BOB}>", "250")
                client.content(letter("noted"))
            assert facts(server, "door.dnsbl") == ["bad.test"]
            assert facts(server, "door.dnsbl_score") == 0.5
            assert facts(server, "door.flaws") == ["client_without_name"]
            assert server.all("bug") == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"greet_delay": 61}, "greet_delay must be at most 60 seconds"),
        ({"tarpit": 100}, "tarpit must be at most 60 seconds"),
        ({"greet_teaser": "two\nlines"}, "greet_teaser must be one line of ASCII"),
        ({"tarpit_after": -1}, "tarpit_after must not be negative"),
    ],
)
def test_what_cannot_be_meant(settings: dict[str, Any], text: str) -> None:
    (said,) = Accept.check(**settings)
    assert said.startswith(text)
