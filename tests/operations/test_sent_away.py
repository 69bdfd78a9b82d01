"""Who is logged in and may not be any more: each protocol says so and hangs up, in every process, within a second."""

import base64
import contextlib
import imaplib
import poplib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.programs import Certificates
from tests.support.server import PASSWORD, PATIENCE, Dialogue, Postroad, letter, until

pytestmark = pytest.mark.system

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
LISTEN = ("submission", "submissions", "imap", "managesieve")
SETTINGS = {
    "listen": dict.fromkeys(LISTEN, "127.0.0.1:0"),
    "lane": {"outbound": {"listen": ["submission", "submissions"], "stages": ["submit", "queue", "route"]}},
    "stage": {"submit": {"use": "stages.accept", "login": "required"}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    folder = tmp_path_factory.mktemp("away")
    with Postroad(folder, SETTINGS | {"tls": Certificates(folder / "tls").settings}) as server:
        server.account(ANN, BOB, EVE)
        yield server


def idling(server: Postroad, user: str = ANN, password: str = PASSWORD) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    client.login(user, password)
    client.select()
    client.send(b"i IDLE\r\n")
    assert client.readline().startswith(b"+")
    return client


def sieve(server: Postroad) -> Dialogue:
    client = Dialogue(server.ports["managesieve"], greeting='"IMPLEMENTATION"')
    told = base64.b64encode(f"\0{ANN}\0{PASSWORD}".encode()).decode()
    client.send(f'AUTHENTICATE "PLAIN" "{told}"\r\n'.encode())
    return client


def to_its_end(sock: socket.socket, said: bytes = b"") -> bytes:
    """What else comes until the other side hangs up."""
    sock.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionResetError):
        while some := sock.recv(65536):
            said += some
    return said


def done(server: Postroad, *arguments: str) -> None:
    answer = server.command(*arguments)
    assert answer.returncode == 0, answer.stderr


def test_a_suspended_account_is_out_everywhere(server: Postroad) -> None:
    """Several connections of each kind, so that all worker processes have some."""
    imaps = [idling(server) for _ in range(4)]
    pops = [poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)]
    pops[0].user(ANN)
    pops[0].pass_(PASSWORD)
    smtps = [server.logged_in(ANN, listener) for listener in ("submission", "submissions") * 2]
    smtps[0].mail(ANN)  # in the midst of a message
    scripts = sieve(server)
    other = idling(server, BOB)
    done(server, "account", "suspend", ANN)
    for client in imaps:
        assert b"* BYE You are logged out: the account is suspended" in to_its_end(client.sock, client.file.read(0))
    assert to_its_end(pops[0].sock) == b""
    for client in smtps:
        assert to_its_end(client.sock) == b"421 4.7.0 You are logged out: the account is suspended\r\n"
    assert b'BYE "you are logged out: the account is suspended"' in to_its_end(scripts.socket)
    services = sorted(["imap"] * 4 + ["pop3"] + ["smtp"] * 4 + ["sieve"])
    until(lambda: sorted(one["service"] for one in server.all("login-ended", address=ANN)) == services, "their ends")
    assert server.all("login-ended", address=BOB) == []
    other.send(b"DONE\r\n")
    assert other.readline().startswith(b"i OK")
    done(server, "account", "suspend", ANN, "--lift")
    start = time.monotonic()
    idling(server).shutdown()
    server.logged_in(ANN).quit()
    assert time.monotonic() - start < PATIENCE  # no guess was counted that makes them wait or keeps them out
    assert server.command("ban", "list", "--json").stdout.strip() in ("[]", "")


def test_a_download_is_broken_off(server: Postroad) -> None:
    """A client that takes all of a mailbox in one command does not get the rest."""
    large = letter("a large one", ("y" * 76 + "\r\n") * 200_000)
    server.send(large, EVE)
    server.mail_for(EVE, 1)
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    client.login(EVE, PASSWORD)
    client.select()
    client.send(b"f FETCH 1 BODY[]\r\n")
    first = client.sock.recv(1000)
    changed = server.command("account", "passwd", EVE, "--password-stdin", stdin="another horse\n")
    assert changed.returncode == 0, changed.stderr
    server.wait_for("login-ended", address=EVE, why="the password was changed")
    assert len(to_its_end(client.sock, first)) < len(large)


def test_a_password_of_one_program_ends_that_program_alone(server: Postroad) -> None:
    made = server.command("account", "app-password", "add", ANN, "phone").stdout
    password = next(line.strip() for line in made.splitlines() if len(line.strip()) > 20 and " " not in line.strip())
    phone, desk = idling(server, password=password), idling(server)
    done(server, "account", "app-password", "revoke", ANN, "phone")
    assert b"BYE You are logged out: the app password was revoked" in to_its_end(phone.sock)
    desk.send(b"DONE\r\n")
    assert desk.readline().startswith(b"i OK")
    with pytest.raises(imaplib.IMAP4.error):
        idling(server, password=password)
