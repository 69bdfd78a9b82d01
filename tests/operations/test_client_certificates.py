"""Logins by a client's certificate (RFC 4422 A): who is asked for one, and whom it lets in."""

import base64
import contextlib
import poplib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.programs import Certificates, needs, put, run
from tests.support.server import PATIENCE, Postroad, blind, letter, until

ANN, BOB = "ann@example.org", "bob@example.org"
PEOPLE, STRANGERS = trustme.CA(), trustme.CA()
LISTENERS = ("submission", "submissions", "pop3", "pop3s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("external")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return Certificates(folder / "tls")


@pytest.fixture(scope="module")
def server(folder: Path, certificates: Certificates) -> Iterator[Postroad]:
    authorities = folder / "people.pem"
    PEOPLE.cert_pem.write_to_path(authorities)
    settings = {
        "server": {"workers": 1},  # each takes up other authorities by itself
        "tls": certificates.settings | {"client_ca": str(authorities)},
        "listen": dict.fromkeys(LISTENERS, "127.0.0.1:0"),
        "lane": {"outbound": {"listen": ["submission", "submissions"], "stages": ["submit", "queue", "route"]}},
        "stage": {"submit": {"use": "stages.accept", "login": "required"}},
    }
    with Postroad(folder, settings) as server:
        yield server.account(ANN, BOB)


def person(*addresses: str, authority: trustme.CA = PEOPLE) -> ssl.SSLContext:
    """A mail program with a certificate for these addresses; without any, with none."""
    context = blind()
    if addresses:
        authority.issue_cert(*addresses).configure_cert(context)
    return context


def sending(server: Postroad, listener: str, context: ssl.SSLContext) -> smtplib.SMTP:
    """Under TLS, and past EHLO."""
    if listener == "submissions":
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", server.ports[listener], timeout=PATIENCE, context=context)
    else:
        client = server.smtp(listener)
        client.starttls(context=context)
    client.ehlo()
    return client


def reading(server: Postroad, listener: str, context: ssl.SSLContext) -> poplib.POP3:
    if listener == "pop3s":
        return poplib.POP3_SSL("127.0.0.1", server.ports[listener], timeout=PATIENCE, context=context)
    client = poplib.POP3("127.0.0.1", server.ports[listener], timeout=PATIENCE)
    client.stls(context)
    return client


def response(identity: str) -> str:
    return base64.b64encode(identity.encode()).decode() or "="


def let_in(server: Postroad, listener: str, context: ssl.SSLContext, identity: str = "") -> bool:
    if listener.startswith("pop3"):
        with contextlib.closing(reading(server, listener, context)) as reader:
            assert "EXTERNAL" in reader.capa()["SASL"]
            try:
                reader._shortcmd(f"AUTH EXTERNAL {response(identity)}")  # type: ignore[attr-defined]
            except poplib.error_proto:
                return False
            return reader.stat() is not None
    with sending(server, listener, context) as client:
        assert "EXTERNAL" in client.esmtp_features["auth"].split()
        code, _ = client.docmd("AUTH", f"EXTERNAL {response(identity)}")
        assert code in (235, 535)
        return code == 235


@pytest.mark.parametrize("listener", LISTENERS)
def test_who_may_in(server: Postroad, listener: str) -> None:
    assert let_in(server, listener, person(ANN))
    assert let_in(server, listener, person(ANN, BOB), BOB)
    assert not let_in(server, listener, person(ANN, BOB))
    assert not let_in(server, listener, person(ANN), BOB)
    assert not let_in(server, listener, person("stranger@example.net"))
    service = "pop3" if listener.startswith("pop3") else "smtp"
    server.wait_for("login", mechanism="EXTERNAL", service=service, address=ANN, ok=True)
    server.wait_for("login", mechanism="EXTERNAL", service=service, address=BOB, ok=False)


@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_mail_is_sent(server: Postroad, listener: str) -> None:
    with sending(server, listener, person(ANN)) as client:
        assert client.auth("EXTERNAL", lambda challenge=None: "")[0] == 235
        client.sendmail(ANN, [BOB], letter(f"by {listener}", author=ANN))
    until(lambda: any(f"by {listener}".encode() in message for message in server.mailbox(BOB)), "the message")


@pytest.mark.parametrize("context", [person(), person("mx.example.net")], ids=["none", "no address"])
def test_external_is_not_offered_without(server: Postroad, context: ssl.SSLContext) -> None:
    for listener in ("submission", "submissions"):
        with sending(server, listener, context) as client:
            assert "EXTERNAL" not in client.esmtp_features["auth"]
            assert client.docmd("AUTH", "EXTERNAL =")[0] == 504
    for listener in ("pop3", "pop3s"):
        with contextlib.closing(reading(server, listener, context)) as reader:
            assert "EXTERNAL" not in reader.capa()["SASL"]
            with pytest.raises(poplib.error_proto, match="not offered"):
                reader._shortcmd("AUTH EXTERNAL =")  # type: ignore[attr-defined]


@pytest.mark.parametrize("listener", LISTENERS)
def test_another_authority_is_refused(server: Postroad, listener: str) -> None:
    context = person(ANN, authority=STRANGERS)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the client hears of it in the handshake
    with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
        (reading if listener.startswith("pop3") else sending)(server, listener, context)


def test_other_servers_keep_their_certificates_to_themselves(server: Postroad) -> None:
    for authority in (STRANGERS, PEOPLE):
        with sending(server, "smtp", person(ANN, authority=authority)) as client:
            assert "EXTERNAL" not in client.esmtp_features["auth"]
            client.sendmail("mta@example.net", [BOB], letter("from another server"))


def test_other_authorities_are_taken_up_without_a_reload(server: Postroad, folder: Path) -> None:
    file = folder / "people.pem"

    def is_taken() -> bool:
        """TLS 1.3: who is refused hears of it after the handshake."""
        address = ("127.0.0.1", server.ports["submissions"])
        try:
            with (
                socket.create_connection(address, PATIENCE) as plain,
                person(ANN, authority=STRANGERS).wrap_socket(plain) as under_tls,
            ):
                return under_tls.recv(3) == b"220"
        except OSError:
            return False

    assert not is_taken()
    try:
        file.write_bytes(PEOPLE.cert_pem.bytes() + STRANGERS.cert_pem.bytes())
        until(is_taken, "the other authority")
        file.write_text("nonsense")
        server.wait_for("certificate-trouble", certificate=str(file), why=f"{file} holds no certificate in PEM")
        assert is_taken()
        done = server.command("check")
        assert done.returncode == 2
        assert f"[tls]: {file} holds no certificate in PEM" in done.stderr
    finally:
        PEOPLE.cert_pem.write_to_path(file)
        until(lambda: not is_taken(), "the former authorities")


# -- foreign programs


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[str, str]:
    certificate, key = folder / "ann.pem", folder / "ann.key"
    put(PEOPLE.issue_cert(ANN), certificate, key)
    return str(certificate), str(key)


@needs("curl")
def test_curl(server: Postroad, certificates: Certificates, pair: tuple[str, str]) -> None:
    def curl(url: str, *options: str, stdin: bytes = b"", user: str = ANN, good: bool = True) -> str:
        return run(
            "curl", "-sS", url, "--ssl-reqd", "--cacert", str(certificates.authority), "--cert", pair[0], "--key",
            pair[1], "--user", f"{user}:", "--login-options", "AUTH=EXTERNAL", *options, stdin=stdin, good=good,
        )  # fmt: skip

    mail = ("--mail-from", ANN, "--mail-rcpt", ANN, "--upload-file", "-")
    for listener, scheme in (("submission", "smtp"), ("submissions", "smtps")):
        url = f"{scheme}://127.0.0.1:{server.ports[listener]}"
        curl(url, *mail, stdin=letter(f"curl by {listener}", author=ANN))
        curl(url, *mail, stdin=letter("another one", author=BOB), user=BOB, good=False)
    server.mail_for(ANN, 2)
    assert "Subject: curl by" in curl(f"pop3://127.0.0.1:{server.ports['pop3']}/1")
    assert "Subject: curl by" in curl(f"pop3s://127.0.0.1:{server.ports['pop3s']}/2")


@needs("gsasl")
def test_gsasl(server: Postroad, certificates: Certificates, pair: tuple[str, str]) -> None:
    run(
        "gsasl", "--smtp", "--client", "--mechanism=EXTERNAL", f"--authorization-id={ANN}", "--hostname=127.0.0.1",
        f"--x509-ca-file={certificates.authority}", f"--x509-cert-file={pair[0]}", f"--x509-key-file={pair[1]}",
        f"--connect=127.0.0.1:{server.ports['submission']}",
    )  # fmt: skip
