"""A server with mailboxes for the programs that read them."""

import imaplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates
from tests.support.reading import BOB, signed_in
from tests.support.server import Postroad, letter, until


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def post_office(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    """A server that speaks IMAP, with two messages for Bob."""
    settings = {"tls": certificates.settings, "listen": {"imap": "127.0.0.1:0", "imaps": "127.0.0.1:0"}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        server.send(letter("first", ".dot\r\n..dots"), BOB)
        server.send(letter("second"), BOB)
        until(lambda: len(server.all("delivered")) == 2, "two messages for Bob")
        yield server


@pytest.fixture
def bob(post_office: Postroad) -> Iterator[imaplib.IMAP4]:
    """Bob at another place, who has logged in."""
    with signed_in(post_office) as client:
        yield client
