"""A running server's certificates: chosen by name, renewed on disk under sessions, and bad ones told of."""

import contextlib
import poplib
import re
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import trustme

from tests.support.load import subjects
from tests.support.programs import Certificates, needs, path_of, put
from tests.support.server import PASSWORD, PATIENCE, Postroad, blind, letter, until

BOB = "bob@example.org"
AUTHORITY = trustme.CA()


def issue(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    put(AUTHORITY.issue_cert(*names), folder / "fullchain.pem", folder / "privkey.pem")


def serial(server: Postroad, name: str | None = None, listener: str = "pop3s") -> bytes:
    """The certificate that a new connection is shown, as it is."""
    with (
        socket.create_connection(("127.0.0.1", server.ports[listener]), PATIENCE) as plain,
        blind().wrap_socket(plain, server_hostname=name) as under_tls,
    ):
        return under_tls.getpeercert(binary_form=True) or b""


def names(server: Postroad, name: str) -> set[str]:
    """Those of the certificate that is shown for a name; none if it is another one's."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(trusting)
    with socket.create_connection(("127.0.0.1", server.ports["pop3s"]), PATIENCE) as plain:
        try:
            with trusting.wrap_socket(plain, server_hostname=name) as under_tls:
                found: Any = under_tls.getpeercert()
        except ssl.SSLCertVerificationError:
            return set()
        return {value for _, value in found["subjectAltName"]}


def test_a_renewal_is_taken_up_under_sessions_without_a_reload(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls")
    settings = {"tls": certificates.settings, "listen": {"pop3s": "127.0.0.1:0"}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        before = serial(server)
        with (
            server.smtp() as sending,
            contextlib.closing(
                poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], timeout=PATIENCE, context=blind())
            ) as reading,
            server.smtp() as told,
        ):
            told.ehlo()  # and so told of STARTTLS, before the renewal
            sending.starttls(context=blind())
            sending.ehlo()
            sending.mail("ann@example.net")
            reading.user(BOB)
            Certificates(tmp_path / "tls")
            until(lambda: serial(server) != before, "the new certificate")
            assert server.wait_for("certificate-taken-up")["certificate"] == str(certificates.certificate)
            sending.rcpt(BOB)
            assert sending.data(letter("under way"))[0] == 250
            assert reading.pass_(PASSWORD).startswith(b"+OK")
            told.starttls(context=blind())
            told.sendmail("ann@example.net", [BOB], letter("by STARTTLS"))
        assert sorted(subjects(server.mail_for(BOB, 2))) == ["by STARTTLS", "under way"]
        assert server.all("reloaded") == []
        assert server.all("bug") == []
        assert len(server.all("certificate-taken-up")) == 1


def test_each_domain_has_its_own(tmp_path: Path) -> None:
    issue(tmp_path / "tls" / "org", "mx.example.org")
    settings = {"tls": {"folder": "tls"}, "listen": {"pop3s": "127.0.0.1:0"}, "domains": {"local": ["example.org"]}}
    with Postroad(tmp_path, settings) as server:
        assert names(server, "mx.example.org") == {"mx.example.org"}
        issue(tmp_path / "tls" / "net", "mail.example.net", "*.example.com")
        server.wait_for("certificate-taken-up", names=["mail.example.net", "*.example.com"])
        until(lambda: serial(server, "mail.example.net") != serial(server), "the new name")
        for asked in ("mail.example.net", "pop.example.com"):  # each reader takes it up by itself
            until(lambda asked=asked: names(server, asked) == {"mail.example.net", "*.example.com"}, asked)
        with server.smtp() as client:
            client.starttls(context=blind())
            assert client.sock is not None
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.version() == "TLSv1.3"


def test_trouble_is_told_and_stops_nothing(tmp_path: Path) -> None:
    issue(tmp_path / "tls" / "good", "mx.example.org")
    issue(tmp_path / "tls" / "bad", "bad.example.org")
    bad = tmp_path / "tls" / "bad" / "privkey.pem"
    bad.write_text("")
    with Postroad(tmp_path, {"tls": {"folder": "tls"}}) as server:
        why = f"{bad} holds no private key in PEM"
        server.wait_for("certificate-trouble", certificate=str(bad.with_name("fullchain.pem")), why=why)
        (tmp_path / "tls" / "good" / "privkey.pem").chmod(0o644)
        trouble = server.wait_for("certificate-trouble", certificate=str(tmp_path / "tls" / "good" / "fullchain.pem"))
        assert "a key that every user can read" in trouble["why"]
        with server.smtp() as client:
            client.starttls(context=blind())
        done = server.command("check")
        assert done.returncode == 1
        assert f"[tls]: {why}\n" in done.stderr
        assert "that every user can read" in done.stderr
        assert server.reload().returncode == 0
        assert len(server.all("certificate-trouble", why=why)) == 1


def test_check_knows_a_broken_pair(tmp_path: Path) -> None:
    one, two = Certificates(tmp_path / "one"), Certificates(tmp_path / "two")
    done = Postroad(tmp_path, {"tls": {"certificate": str(one.certificate), "key": str(two.key)}}).command("check")
    assert done.returncode == 2
    assert f"[tls]: {one.certificate} and {two.key} cannot be used together: it is another one's key" in done.stderr


# -- what nobody should speak any more, tried by a foreign program

REFUSED = [
    *(["-" + version, "-cipher", "ALL:@SECLEVEL=0"] for version in ("tls1", "tls1_1")),
    *(
        ["-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0"]
        for ciphers in (
            "aNULL:eNULL",
            "AES128-SHA:AES256-GCM-SHA384",
            "ECDHE+AES+SHA1",
            "ECDHE-RSA-AES128-SHA256",
            "DHE",
        )
    ),
]
TAKEN = [["-tls1_3"], ["-tls1_2"], ["-tls1_2", "-cipher", "CHACHA20"]]


def s_client(port: int, *options: str, says: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [path_of("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *options],
        input=says, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@needs("openssl")
def test_openssl_finds_no_old_version_and_no_weak_cipher(tmp_path: Path) -> None:
    listen = {"submissions": "127.0.0.1:0", "pop3s": "127.0.0.1:0"}
    lane = {"inbound": {"listen": ["smtp", "submissions"]}}
    with Postroad(tmp_path, {"tls": Certificates(tmp_path / "tls").settings, "listen": listen, "lane": lane}) as server:
        for door in (["smtp", "-starttls", "smtp"], ["pop3", "-starttls", "pop3"], ["submissions"], ["pop3s"]):
            port = server.ports[door[0]]
            for options in TAKEN:
                assert "Verification error" in s_client(port, *door[1:], *options).stdout, (door, options)
            for options in REFUSED:
                done = s_client(port, *door[1:], *options)
                assert done.returncode != 0, (door, options)
                # By the server, which just closes or sends an alert, and not by the client's own library.
                assert re.search("unexpected eof|alert", done.stderr), (door, options, done.stderr)
                assert "Cipher is (NONE)" in done.stdout, (door, options)


@needs("openssl")
def test_sessions_are_resumed(tmp_path: Path) -> None:
    settings = {
        "server": {"workers": 1},  # each worker has keys of its own
        "tls": Certificates(tmp_path / "tls").settings,
    }
    with Postroad(tmp_path, settings) as server:
        for version in ("-tls1_2", "-tls1_3"):
            kept = tmp_path / f"session{version}"
            # The tickets of TLS 1.3 come with the reply to what the client says first.
            options = ("-starttls", "smtp", version, "-crlf", "-ign_eof")
            first = s_client(server.ports["smtp"], *options, "-sess_out", str(kept), says="NOOP\nQUIT\n")
            assert "\nNew, TLS" in first.stdout
            second = s_client(server.ports["smtp"], *options, "-sess_in", str(kept), says="QUIT\n")
            assert "\nReused, TLS" in second.stdout, second.stdout
