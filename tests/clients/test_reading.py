"""Programs that people read mail with, against a running server."""

import contextlib
import poplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates, needs, run
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter

BOB = "bob@example.org"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    """A server with two messages for Bob."""
    settings = {"tls": certificates.settings, "listen": {"pop3s": "127.0.0.1:0"}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        server.send(letter("first", ".dot\r\n..dots"), BOB)
        server.send(letter("second"), BOB)
        server.mail_for(BOB, 2)
        yield server


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.authority))


def test_poplib_under_stls_and_pop3s(server: Postroad, certificates: Certificates) -> None:
    plain = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    assert "STLS" in plain.capa()
    plain.stls(trusting(certificates))
    assert "STLS" not in plain.capa()
    secure = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], timeout=PATIENCE, context=trusting(certificates))
    for client in (plain, secure):
        with contextlib.closing(client):
            client.user(BOB)
            client.pass_(PASSWORD)
            assert client.stat()[0] == 2
            assert b"\r\n".join(client.retr(1)[1]).endswith(b"\r\n\r\n.dot\r\n..dots")
            client.quit()


def test_poplib_deletes_for_good(server: Postroad) -> None:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(client):
        client.user(BOB)
        client.pass_(PASSWORD)
        names = [line.split()[1] for line in client.uidl()[1]]
        client.dele(1)
        client.quit()
    assert server.stop() == 0
    server.start()
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(client):
        client.user(BOB)
        client.pass_(PASSWORD)
        assert [line.split()[1] for line in client.uidl()[1]] == names[1:]
        assert b"Subject: second" in client.retr(1)[1]
        client.quit()


def test_a_wrong_password_is_refused(server: Postroad) -> None:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(client):
        client.user(BOB)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            client.pass_("guess")
    server.wait_for("login", address=BOB, ok=False)


@needs("curl")
def test_curl_reads_in_the_clear_and_under_tls(server: Postroad, certificates: Certificates) -> None:
    user = ("--user", f"{BOB}:{PASSWORD}")
    trust = ("--cacert", str(certificates.authority))
    assert "Subject: first" in run("curl", "-sS", f"pop3://127.0.0.1:{server.ports['pop3']}/1", *user)
    stls = run("curl", "-sS", "--ssl-reqd", f"pop3://127.0.0.1:{server.ports['pop3']}/2", *user, *trust)
    assert "Subject: second" in stls
    implicit = run("curl", "-sS", f"pop3s://127.0.0.1:{server.ports['pop3s']}/1", *user, *trust)
    assert implicit.replace("\r\n", "\n").endswith("\n\n.dot\n..dots\n")


@needs("mpop")
@pytest.mark.parametrize("mechanism", ["user", "plain", "scram-sha-256"])
def test_mpop_fetches_and_deletes(server: Postroad, certificates: Certificates, tmp_path: Path, mechanism: str) -> None:
    mailbox = tmp_path / "fetched"
    for folder in ("new", "cur", "tmp"):
        (mailbox / folder).mkdir(parents=True)
    run(
        "mpop", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports['pop3']}", "--tls=on",
        "--tls-starttls=on", f"--tls-trust-file={certificates.authority}", f"--auth={mechanism}", f"--user={BOB}",
        f"--passwordeval=echo {PASSWORD}", f"--delivery=maildir,{mailbox}", f"--uidls-file={tmp_path / 'uidls'}",
        "--keep=off",
    )  # fmt: skip
    fetched = [path.read_bytes() for path in (mailbox / "new").iterdir()]
    assert sorted(b"Subject: first" in message for message in fetched) == [False, True]
    assert server.mailbox(BOB) == []
