"""What a stranger, and another user of the machine, tries on a running server."""

import base64
import contextlib
import imaplib
import json
import socket
import ssl
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates
from tests.support.server import PASSWORD, PATIENCE, Dialogue, Postroad, anonymous_memory, blind, until

BOB = "bob@example.org"
TRUSTED = "127.0.0.5"
CROWDED = "127.0.0.6"
OF_ONE_NETWORK = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    folder = tmp_path_factory.mktemp("attacked")
    settings = {
        "server": {"workers": 1},
        "tls": Certificates(folder / "tls").settings,
        "mailboxes": {"readers": 1, "max_connections_per_network": OF_ONE_NETWORK},
        "login": {"allow_networks": ["127.0.0.0/8"]},
        "listen": {"imap": "127.0.0.1:0", "managesieve": "127.0.0.1:0", "submission": "127.0.0.1:0"},
        "lane": {"outbound": {"listen": ["submission"], "stages": ["submit", "queue", "route"]}},
        "stage": {
            "accept": {"relay_networks": [f"{TRUSTED}/32"]},
            "submit": {"use": "stages.accept", "login": "required"},
        },
    }
    with Postroad(folder, settings) as server:
        yield server.account(BOB)
        assert server.all("bug") == []
        assert server.noise == []


# -- relaying

FOREIGN = [
    "<ann@remote.test>",
    "<@example.org:ann@remote.test>",
    "<@mx.example.org,@example.org:ann@remote.test>",
    '<"bob@example.org"@remote.test>',
    "<ann@[127.0.0.1]>",
    "<ann@[IPv6:::1]>",
    "<ann@localhost>",
    "<ann@mx.example.org>",
    "<ann@sub.example.org>",
    "<ann@example.org.remote.test>",
    "<bob%example.org@remote.test>",
    "<remote.test!ann@remote.test>",
]
LOCAL_DISGUISES = [
    "<ann%remote.test@example.org>",
    '<"ann@remote.test"@example.org>',
    "<remote.test!ann@example.org>",
    '<"ann%remote.test"@example.org>',
    '<"@remote.test:ann"@example.org>',
    '<"ann@remote.test\\"\\@"@example.org>',
    "<@remote.test:ann%remote.test@EXAMPLE.ORG>",
    '<"bob@example.org@remote.test"@example.org>',
]
MALFORMED = [
    "<ann@remote.test@example.org>",
    "<bob@example.org.>",
    "<bob@example.org@>",
    "<bob@example.org\x00@remote.test>",
    "<bob@example.org,ann@remote.test>",
    "<bob@example.org> <ann@remote.test>",
    "<bob@example.org:ann@remote.test>",
    "bob@example.org",
    "<bob@.example.org>",
    "<bob@example.org\\@remote.test>",
    "<bob@example..org>",
    "<bob@ example.org>",
]


@pytest.mark.parametrize("sender", ["ann@remote.test", "", BOB, "postmaster@example.org"])
def test_no_spelling_makes_an_open_relay(server: Postroad, sender: str) -> None:
    for recipients, code in ((FOREIGN, "550 5.7.1"), (LOCAL_DISGUISES, "550 5.1.1"), (MALFORMED, "5")):
        for recipient in recipients:
            with server.dialogue() as client:
                client.start(sender=sender)
                client.ask(f"RCPT TO:{recipient}", code)
                client.ask("DATA", "5")


def test_utf8_makes_none_either(server: Postroad) -> None:
    with server.dialogue() as client:
        client.ask("EHLO client.example.net", "250")
        client.ask("MAIL FROM:<ann@remote.test> SMTPUTF8", "250")
        for domain, code in (("rémote.test", "550 5.7.1"), ("ｅxample.org.remote.test", "550 5.7.1")):
            client.ask(f"RCPT TO:<ann@{domain}>", code)
        # Of another script, but the same name once it is mapped (UTS 46): it is ours, and Ann is not.
        client.ask("RCPT TO:<ann@ｅxample。org>", "550 5.1.1")
        client.ask("RCPT TO:<ann%remote.test@ｅxample.org>", "550 5.1.1")


def test_a_trusted_client_relays_no_routes_in_disguise(server: Postroad) -> None:
    with server.dialogue(TRUSTED) as client:
        client.start()
        for recipient in ("ann%far.test@remote.test", '"ann@far.test"@remote.test', "far.test!ann@remote.test"):
            client.ask(f"RCPT TO:<{recipient}>", "550 5.1.3")
        client.ask("RCPT TO:<@far.test:ann@remote.test>", "250")  # the route is dropped (RFC 5321 appendix C)


# -- in whose name


@pytest.mark.parametrize(
    "header",
    [
        "From: boss@example.org",
        "From : boss@example.org\r\nFrom: bob@example.org",
        "From\t: boss@example.org\r\nFrom: bob@example.org",
        "From: bob@example.org\r\nFROM: boss@example.org",
        "From: bob@example.org, boss@example.org",
        "From: them: bob@example.org, boss@example.org;",
        "From: boss@example.org bob@example.org",
        "From: <boss@example.org> <bob@example.org>",
        "From:\r\n boss@example.org",
        "From: bob@example.org\x00boss@example.org",
        "no field at all\r\nFrom: bob@example.org",
        "X-Fill: x\r\n" * 25_000 + "From: boss@example.org",
    ],
    ids=range(12),
)
def test_an_account_writes_in_no_other_name(server: Postroad, header: str) -> None:
    """However From is written, and wherever: what a reader may take for it must be the account's."""
    with server.logged_in(BOB, "submission") as smtp:
        smtp.mail(BOB)
        smtp.rcpt(BOB)
        code, text = smtp.data(f"{header}\r\nSubject: hi\r\n\r\nhi\r\n".encode())
        assert code == 550, text


@pytest.mark.parametrize("header", ["From: The Boss <bob@example.org>", "From: bob+tag@example.org", "To: x@y.test"])
def test_an_account_writes_in_its_own(server: Postroad, header: str) -> None:
    with server.logged_in(BOB, "submission") as smtp:
        smtp.mail(BOB)
        smtp.rcpt(BOB)
        assert smtp.data(f"{header}\r\nSubject: hi\r\n\r\nhi\r\n".encode())[0] == 250


# -- what comes before TLS

START = {
    "smtp": (b"STARTTLS\r\nNOOP\r\n", b"220", b"EHLO mine\r\n", b"250-mx.example.org"),
    "submission": (b"STARTTLS\r\nNOOP\r\n", b"220", b"EHLO mine\r\n", b"250-mx.example.org"),
    "pop3": (b"STLS\r\nCAPA\r\n", b"+OK", b"MINE\r\n", b"-ERR"),
    "imap": (b"a STARTTLS\r\nb CAPABILITY\r\n", b"a OK", b"mine NOOP\r\n", b"mine OK"),
    "managesieve": (b'STARTTLS\r\nNOOP "theirs"\r\n', b"OK", b'NOOP "mine"\r\n', b'OK (TAG "mine")'),
}


@contextlib.contextmanager
def at_the_handshake(server: Postroad, listener: str) -> Iterator[socket.socket]:
    """A connection on which STARTTLS was said, with a command behind it, and the server waits for the handshake."""
    said, go_ahead, *_ = START[listener]
    with socket.create_connection(("127.0.0.1", server.ports[listener]), PATIENCE) as plain:
        file = plain.makefile("rb", buffering=0)  # not an octet of the handshake more
        while listener == "managesieve" and not file.readline().startswith(b"OK"):
            pass
        while listener != "managesieve" and not file.readline().startswith((b"220 ", b"+OK", b"* OK")):
            pass
        plain.sendall(said)
        assert file.readline().startswith(go_ahead)
        yield plain


@pytest.mark.parametrize("listener", START)
def test_what_is_said_before_tls_is_not_obeyed_under_it(server: Postroad, listener: str) -> None:
    """A stranger on the way puts commands behind STARTTLS, so that they come as if the client had said them."""
    *_, asked, answered = START[listener]
    with at_the_handshake(server, listener) as plain, blind().wrap_socket(plain) as secure:
        lines = secure.makefile("rb")
        while listener == "managesieve" and not lines.readline().startswith(b'OK "TLS'):
            pass
        secure.sendall(asked)
        assert lines.readline().startswith(answered)


@pytest.mark.parametrize("listener", START)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(server: Postroad, listener: str, version: ssl.TLSVersion) -> None:
    context = blind()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with at_the_handshake(server, listener) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


# -- crowds and bombs


@pytest.mark.parametrize("listener", ["pop3", "imap", "managesieve"])
def test_one_network_cannot_take_all_places_of_readers(server: Postroad, listener: str) -> None:
    port = server.ports[listener]
    server.forget()

    def greeted(source: str) -> "socket.socket | None":
        client = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        if client.recv(1):
            return client
        client.close()
        return None

    with contextlib.ExitStack() as stack:
        for _ in range(OF_ONE_NETWORK):
            client = greeted(CROWDED)
            assert client is not None
            stack.enter_context(client)
        assert greeted(CROWDED) is None
        server.wait_for("connection-refused", peer=CROWDED)
        other = greeted("127.0.0.7")
        assert other is not None
        other.close()
    again = until(lambda: greeted(CROWDED), "a place to be free again")
    again.close()


def test_what_swells_when_it_is_inflated_is_taken_in_small_pieces(server: Postroad) -> None:
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    with contextlib.closing(client.sock):
        client.login(BOB, PASSWORD)
        client.sock.sendall(b"c COMPRESS DEFLATE\r\n")
        assert b"c OK" in client.sock.recv(1000)
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflate.compress(b"x" * 100_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
        reader = server.worker("readers-0")
        before = anonymous_memory(reader)
        client.sock.sendall(bomb + deflate.compress(b"\r\nd NOOP\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH))
        inflate = zlib.decompressobj(-15)
        heard = b""
        while b"d OK" not in heard:
            heard += inflate.decompress(client.sock.recv(4096))
        assert b"BAD" in heard
        assert anonymous_memory(reader) - before < 10_000_000


# -- what other users of the machine see


def test_no_file_of_ours_is_open_to_others(server: Postroad) -> None:
    with server.dialogue() as client:
        client.start(BOB).content(b"Subject: large\r\n\r\n" + b"x\r\n" * 100_000)
    until(lambda: server.mailbox(BOB), "the message")
    var = server.folder / "var"
    sockets = Path(json.loads((var / "running.json").read_text())["folder"])
    paths = [var, *var.rglob("*"), sockets, *sockets.iterdir()]
    open_to_others = [path for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []


def test_passwords_stand_in_no_log_and_no_list_of_processes(server: Postroad) -> None:
    """Right and wrong ones, also those that come where none belongs."""
    secret = "Unguessable-Secret-4711"
    plain = base64.b64encode(f"\0{BOB}\0{secret}".encode()).decode()
    with socket.create_connection(("127.0.0.1", server.ports["imap"]), PATIENCE) as client:
        file = client.makefile("rb")
        file.readline()
        for line in (
            f"a LOGIN {BOB} {secret}", f"b AUTHENTICATE PLAIN {plain}", f"c LOGIN {secret}", f"LOGIN {secret}",
            f'd LOGIN "{BOB}" "{secret}', f"e SELECT {secret}",
        ):  # fmt: skip
            client.sendall(line.encode() + b"\r\n")
            assert secret.encode() not in file.readline()
    with socket.create_connection(("127.0.0.1", server.ports["pop3"]), PATIENCE) as client:
        file = client.makefile("rb")
        file.readline()
        for line in (f"USER {BOB}", f"PASS {secret}", f"PASS {secret}", f"AUTH PLAIN {plain}", f"APOP {BOB} {secret}"):
            client.sendall(line.encode() + b"\r\n")
            assert secret.encode() not in file.readline()
    with server.smtp("submission") as smtp:
        smtp.starttls(context=blind())
        smtp.ehlo()
        assert smtp.docmd("AUTH", f"PLAIN {plain}")[0] == 535
        assert smtp.docmd("AUTH", f"PLAIN {secret}")[0] == 501
        smtp.login(BOB, PASSWORD)
    told = json.dumps(server.events) + "".join(server.noise)
    told += "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in (server.pid, *server.workers().values()))
    for text in (secret, plain, PASSWORD, base64.b64encode(secret.encode()).decode()):
        assert text not in told
    assert server.all("login", ok=False, address=BOB)


def test_what_is_not_greeted_is_not_a_proxy(server: Postroad) -> None:
    """A web page that has a browser send a form here (cross-protocol): its header lines end it soon."""
    with Dialogue(server.ports["smtp"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + b"X-Header: value\r\n" * 40 + b"\r\nMAIL FROM:<a@b.test>\r\n")
        replies = [client.reply() for _ in range(20)]
        assert all(reply.startswith("5") for reply in replies)
        client.expect("421")
        assert client.ended()
