"""A server with mailboxes for the programs that read them."""

import imaplib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import chromium
from tests.support.programs import Certificates
from tests.support.reading import signed_in
from tests.support.server import Postroad, letter, until

_numbers = itertools.count()
AXE = "axe-core@4.14.1"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate that whoever talks to the post office believes."""
    return tmp_path_factory.mktemp("tls") / "ca.pem"


@pytest.fixture(scope="module")
def post_office(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    """A server that speaks IMAP, for all tests of a module."""
    settings = {
        "tls": Certificates(authority.parent).settings,
        "listen": {"pop3s": "127.0.0.1:0", "imap": "127.0.0.1:0", "imaps": "127.0.0.1:0"},
    }
    with Postroad(tmp_path_factory.mktemp("office"), settings) as server:
        yield server


@pytest.fixture
def bob(post_office: Postroad) -> str:
    """The address of a new account, which has two messages."""
    address = f"bob.{next(_numbers)}@example.org"
    post_office.account(address)
    post_office.send(letter("first", ".dot\r\n..dots"), address)
    post_office.wait_for("delivered", to=address)  # of two workers the later one may be the quicker
    post_office.send(letter("second"), address)
    until(lambda: len(post_office.all("delivered", to=address)) == 2, "two messages for Bob")
    return address


@pytest.fixture
def elsewhere(post_office: Postroad, bob: str) -> Iterator[imaplib.IMAP4]:
    """Bob at another place, who has logged in."""
    with signed_in(post_office, bob) as client:
        yield client


@pytest.fixture(scope="module")
def started_browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def browser(started_browser: Browser) -> Iterator[Browser]:
    """One in which no page of another test is left, which would ask its server for ever."""
    yield started_browser
    for context in started_browser.contexts:
        context.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that finds what keeps people from a page. For tests that need node and npm."""
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", AXE]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
