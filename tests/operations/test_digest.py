"""Parked mail on a running server: its recipient gets a letter, and by what that says lets the message go, once."""

import email
import email.policy
from pathlib import Path

from tests.support.clock import Clock
from tests.support.load import subjects
from tests.support.programs import needs
from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"

PARK = """
'''Parks everything but what begins here.'''
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("spam by its words") if message.sender else message
"""


def changed(token: str) -> str:
    """Another one than that, whatever it is."""
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


@needs("faketime")
def test_parked_told_of_released_by_its_recipient(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret\n")
    settings = {
        "lane": {"inbound": {"stages": ["accept", "park", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}},
        "quarantine": {"digest": "08:00", "secret_file": "secret"},
    }
    clock = Clock(tmp_path / "clock")
    server = Postroad(tmp_path, settings, park=PARK)
    server.environment = dict(clock.environment)
    with server:
        server.account(BOB)
        server.send(letter("odd"), BOB)
        clock.set("+1d")
        told = server.wait_for("digest-sent", to=BOB)
        assert told["messages"] == 1
        (octets,) = server.mail_for(BOB)
        found = email.message_from_bytes(octets, policy=email.policy.default)
        assert (found["Subject"], found["To"]) == ("1 message is in quarantine", BOB)
        text = found.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        token = text.partition("Release: ")[2].split()[0]

        done = server.command("quarantine", "delete", "--token", token)
        assert (done.returncode, done.stderr) == (1, "postroad: this token is one to release a message\n")
        done = server.command("quarantine", "release", "--token", changed(token))
        assert done.returncode == 1
        assert "not made here" in done.stderr
        done = server.command("quarantine", "release", "--token", token)
        assert (done.returncode, done.stdout) == (0, f"Released {server.wait_for('released')['id']}.\n"), done.stderr
        assert sorted(subjects(server.mail_for(BOB, 2))) == ["1 message is in quarantine", "odd"]
        done = server.command("quarantine", "release", "--token", token)
        assert done.returncode == 1
        assert "it is not parked" in done.stderr

        clock.set("+2d")
        server.send(letter("even odder"), BOB)
        clock.set("+3d")
        until(lambda: len(server.all("digest-sent")) == 2, "the next letter")
        assert [told["messages"] for told in server.all("digest-sent")] == [1, 1]
