"""A message of 30 MB comes through octet for octet, and many of them at once cost no memory."""

import base64
import contextlib
import hashlib
import os
import poplib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.test_onward import two_servers
from tests.support.server import PASSWORD, PATIENCE, Postroad, body, until

AT_ONCE = 10
WARM = 20
"""Small messages that go first, so that all is loaded and allocated that any message needs."""

GROWTH = 16_000_000
"""Octets of anonymous memory that all processes together may take for ten such messages."""


@pytest.fixture(scope="module")
def large() -> bytes:
    """30 MB with an attachment as mail programs send it, and lines that begin with dots."""
    octets = random.Random(30).randbytes(22_000_000)
    encoded = base64.b64encode(octets)
    lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
    head = (
        b"From: ann@example.net\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n.\r\n..\r\nSee below\r\n'
        b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return head + b"\r\n".join(lines) + b"\r\n--b--\r\n"


@contextmanager
def watched(*servers: Postroad) -> Iterator[list[int]]:
    """Look at the servers' memory every few milliseconds; the list gets how much more it was than at the start."""
    before = sum(server.anonymous_memory() for server in servers)
    grown: list[int] = [0]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            grown.append(sum(server.anonymous_memory() for server in servers) - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()


def send_together(server: Postroad, content: bytes, *recipients: str) -> None:
    """Send it ``AT_ONCE`` times, all connections in the midst of the content at the same time."""
    halfway = threading.Barrier(AT_ONCE)
    failures: list[BaseException] = []
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    middle = len(stuffed) - 100_000

    def one() -> None:
        try:
            with server.dialogue().start(*recipients) as client:
                client.ask("DATA", "354")
                client.send(stuffed[:middle])
                halfway.wait(PATIENCE)
                client.send(stuffed[middle:] + b".\r\n")
                client.expect("250")
        except BaseException as error:
            failures.append(error)
            halfway.abort()

    threads = [threading.Thread(target=one) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def warm(server: Postroad, recipient: str) -> None:
    for _ in range(WARM):
        server.send(b"Subject: warm\r\n\r\n" + b"x" * 70 + b"\r\n", recipient)
    until(lambda: len(server.all("delivered")) == WARM, "the first deliveries")


def report(what: str, grown: list[int]) -> None:
    print(f"{what}: anonymous memory grew by {max(grown) / 1e6:.1f} MB ({len(grown)} looks)")
    assert max(grown) < GROWTH


def test_large_messages_into_a_mailbox_and_out_by_pop3(tmp_path: Path, large: bytes) -> None:
    with Postroad(tmp_path) as server:
        server.account("bob@example.org")
        warm(server, "bob@example.org")
        with watched(server) as grown:
            send_together(server, large, "bob@example.org")
            until(lambda: len(server.all("delivered")) == WARM + AT_ONCE, "all deliveries")
        report("accept and deliver", grown)
        until(lambda: not os.listdir(server.folder / "var" / "content"), "the end of the queue's files")

        # Outside of the measurement: the check of a password takes 64 MiB for a moment, by design of argon2.
        reader = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
        with contextlib.closing(reader):
            reader.user("bob@example.org")
            reader.pass_(PASSWORD)
            time.sleep(0.1)
            with watched(server) as grown:
                for number in range(WARM + 1, WARM + AT_ONCE + 1):
                    message = b"\r\n".join(reader.retr(number)[1]) + b"\r\n"
                    assert digest(body(message)) == digest(body(large))
            reader.quit()
        report("read", grown)


def test_large_messages_on_their_way_to_the_next_server(tmp_path: Path, large: bytes) -> None:
    with two_servers(tmp_path) as (first, second):
        second.account("bob@second.test")
        warm(first, "bob@second.test")
        until(lambda: len(second.all("delivered")) == WARM, "the first deliveries")
        with watched(first) as grown, watched(second) as grown_second:
            send_together(first, large, "bob@second.test")
            until(lambda: len(second.all("delivered")) == WARM + AT_ONCE, "all deliveries")
        report("accept and relay", grown)
        report("accept and deliver", grown_second)
        messages = second.mail_for("bob@second.test", WARM + AT_ONCE)
        assert {digest(body(message)) for message in messages[WARM:]} == {digest(body(large))}
