"""Programs that people send mail with, against a running server."""

import email
import email.message
import email.policy
import hashlib
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import scram
from tests.support.programs import Certificates, needs, run
from tests.support.server import PASSWORD, PATIENCE, Postroad, body, letter

BOB, EVE = "bob@example.org", "eve@example.org"


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    with Postroad(tmp_path, {"tls": certificates.settings}) as server:
        yield server.account(BOB, EVE)


@needs("swaks")
def test_swaks_sends_a_plain_message(server: Postroad) -> None:
    run(
        "swaks", "--server", f"127.0.0.1:{server.ports['smtp']}", "--from", "ann@example.net", "--to", BOB,
        "--body", "line one\n.\n..two\n", "--header", "Subject: by swaks",
    )  # fmt: skip
    (message,) = server.mail_for(BOB)
    assert b"\r\nSubject: by swaks\r\n" in message
    assert body(message).startswith(b"line one\r\n.\r\n..two\r\n")
    assert message.startswith(b"Return-Path: <ann@example.net>\r\nDelivered-To: bob@example.org\r\nReceived: from ")


@needs("swaks")
def test_swaks_pipelines_for_several_recipients(server: Postroad) -> None:
    said = run(
        "swaks", "--server", f"127.0.0.1:{server.ports['smtp']}", "--from", "ann@example.net",
        "--to", f"{BOB},{EVE},nobody@example.org", "--pipeline", "--body", "hello",
    )  # fmt: skip
    assert "550 5.1.1" in said
    assert [body(message) for address in (BOB, EVE) for message in server.mail_for(address)] == [
        b"hello\r\n\r\n\r\n"
    ] * 2


@needs("swaks", perl="Net::SSLeay")
def test_swaks_under_tls_with_a_login_and_an_attachment(server: Postroad, tmp_path: Path) -> None:
    octets = bytes(range(256)) * 200
    (tmp_path / "a.bin").write_bytes(octets)
    run(
        "swaks", "--server", f"127.0.0.1:{server.ports['smtp']}", "--from", EVE, "--to", BOB,
        "--tls", "--tls-ca-path", str(tmp_path / "tls" / "ca.pem"), "--tls-verify",
        "--auth", "PLAIN", "--auth-user", EVE, "--auth-password", PASSWORD,
        "--attach", f"@{tmp_path / 'a.bin'}", "--body", "see below",
    )  # fmt: skip
    (message,) = server.mail_for(BOB)
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, email.message.EmailMessage)
    assert [part.get_content() for part in parsed.iter_attachments()] == [octets]
    trace = str(parsed["Received"])
    assert "with ESMTPSA" in trace
    assert "(authenticated)" in trace
    assert "TLSv1.3" in trace


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_a_wrong_password_is_refused_and_a_right_one_taken(server: Postroad, mechanism: str) -> None:
    with server.smtp() as client:
        client.starttls()
        client.ehlo()
        client.user, client.password = EVE, "guess"
        with pytest.raises(smtplib.SMTPAuthenticationError, match=r"5\.7\.8"):
            client.auth(mechanism, getattr(client, f"auth_{mechanism}"))
        client.password = PASSWORD
        assert client.auth(mechanism, getattr(client, f"auth_{mechanism}"))[0] == 235


def test_no_login_in_the_clear(server: Postroad) -> None:
    with server.smtp() as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGV2ZQBhYmM=")[0] == 538  # RFC 4954 4
    assert server.all("login") == []


@needs("curl")
def test_curl_sends_in_the_clear_and_under_tls_with_a_login(server: Postroad, certificates: Certificates) -> None:
    url = f"smtp://127.0.0.1:{server.ports['smtp']}/client.example.net"
    common = ("--mail-from", "ann@example.net", "--mail-rcpt", BOB, "--upload-file", "-")
    run("curl", "-sS", url, *common, stdin=letter("clear"))
    run(
        "curl",
        "-sS",
        url,
        *common,
        "--ssl-reqd",
        "--cacert",
        str(certificates.authority),
        "--user",
        f"{EVE}:{PASSWORD}",
        stdin=letter("secret"),
    )
    clear, secret = sorted(server.mail_for(BOB, 2), key=lambda message: b"with ESMTPSA id" in message)
    assert b"with ESMTP id" in clear
    assert b"with ESMTPSA id" in secret


@needs("msmtp")
@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
def test_msmtp_sends_with_a_login(server: Postroad, certificates: Certificates, mechanism: str) -> None:
    run(
        "msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports['smtp']}", "--tls=on",
        "--tls-starttls=on", f"--tls-trust-file={certificates.authority}", f"--auth={mechanism}", f"--user={EVE}",
        f"--passwordeval=echo {PASSWORD}", f"--from={EVE}", BOB, stdin=letter("by msmtp").replace(b"\r\n", b"\n"),
    )  # fmt: skip
    (message,) = server.mail_for(BOB)
    assert b"\r\nSubject: by msmtp\r\n" in message
    assert b"with ESMTPSA id" in message or b"with UTF8SMTPSA id" in message, "as its release prefers"


@needs("smtp-source")
def test_smtp_source_sends_many_at_once(server: Postroad) -> None:
    run(
        "smtp-source", "-s", "10", "-m", "200", "-l", "4000", "-f", "ann@example.net", "-t", BOB,
        f"127.0.0.1:{server.ports['smtp']}",
    )  # fmt: skip
    assert len(server.mail_for(BOB, 200)) == 200


def test_smtplib_over_starttls_with_a_login(server: Postroad, certificates: Certificates) -> None:
    with server.smtp() as client:
        client.ehlo()
        assert not client.has_extn("auth")
        client.starttls(context=ssl.create_default_context(cafile=str(certificates.authority)))
        client.ehlo()
        assert not client.has_extn("starttls")
        client.login(EVE, PASSWORD)
        client.sendmail(EVE, [BOB], letter("by smtplib"))
    (message,) = server.mail_for(BOB)
    assert b"with ESMTPSA id" in message


def test_smtplib_with_smtputf8(server: Postroad) -> None:
    server.account("jürgen@example.org")
    content = "Subject: Grüße\r\n\r\nÜber alles\r\n".encode()
    with server.smtp() as client:
        client.sendmail("ännchen@exämple.net", ["jürgen@example.org"], content, ["SMTPUTF8", "BODY=8BITMIME"])
    (message,) = server.mail_for("jürgen@example.org")
    assert "Return-Path: <ännchen@exämple.net>".encode() in message
    assert b"with UTF8SMTP id" in message
    assert message.endswith(content)


def test_bdat_in_chunks_and_pipelined(server: Postroad) -> None:
    """RFC 3030: chunks may be cut anywhere, a dot at the start of a line is nothing special."""
    content = letter("chunks", "\r\n.\r\n..\r\nend")
    first, second = content[:37], content[37:]
    with server.dialogue().start(BOB) as client:
        client.send(b"BDAT %d\r\n%sBDAT %d\r\n%sBDAT 0 LAST\r\n" % (len(first), first, len(second), second))
        for _ in range(3):
            client.expect("250")
        client.ask("QUIT", "221")
    (message,) = server.mail_for(BOB)
    assert message.endswith(content)


def test_one_connection_many_messages(server: Postroad) -> None:
    with server.smtp() as client:
        for number in range(20):
            client.sendmail("ann@example.net", [BOB], letter(f"number {number}"))
            assert client.rset()[0] == 250
    subjects = [email.message_from_bytes(message)["Subject"] for message in server.mail_for(BOB, 20)]
    assert sorted(subjects) == sorted(f"number {number}" for number in range(20))


def test_aliases_catch_all_tags_and_postmaster(server: Postroad) -> None:
    """Who gets what, from the command line to the mailbox."""
    for command in (
        ("account", "add", "root@example.org", "--admin", "--password-stdin"),
        ("alias", "add", "both@example.org", BOB, EVE),
        ("domain", "add", "shop.example"),
        ("alias", "add", "@shop.example", EVE),
    ):
        done = server.command(*command, stdin=PASSWORD)
        assert done.returncode == 0, done.stderr
    with server.smtp() as client:
        for recipient in (
            "both@example.org",
            "bob+tag@example.org",
            "any.thing@shop.example",
            "postmaster@example.org",
        ):
            client.sendmail("ann@example.net", [recipient], letter(f"to {recipient}"))
        assert client.docmd("MAIL", "FROM:<ann@example.net>")[0] == 250
        assert client.docmd("RCPT", "TO:<Postmaster>")[0] == 250  # RFC 5321 4.5.1: without a domain, in any case
        client.data(letter("to Postmaster"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("ann@example.net", ["nobody@example.org"], letter("to nobody"))

    def subjects(address: str, count: int) -> list[str]:
        return sorted(email.message_from_bytes(message)["Subject"] for message in server.mail_for(address, count))

    assert subjects(BOB, 2) == ["to bob+tag@example.org", "to both@example.org"]
    assert subjects(EVE, 2) == ["to any.thing@shop.example", "to both@example.org"]
    assert subjects("root@example.org", 2) == ["to Postmaster", "to postmaster@example.org"]


def test_smtplib_on_a_listener_that_begins_with_tls(tmp_path: Path, certificates: Certificates) -> None:
    settings = {
        "listen": {"submissions": "127.0.0.1:0"},
        "lane": {"inbound": {"listen": ["smtp", "submissions"]}},
        "tls": certificates.settings,
    }
    with Postroad(tmp_path, settings) as server:
        server.account("bob@example.org")
        context = ssl.create_default_context(cafile=str(certificates.authority))
        with smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], context=context, timeout=PATIENCE) as client:
            client.ehlo()
            assert not client.has_extn("starttls")
            client.sendmail("ann@example.net", ["bob@example.org"], b"Subject: under TLS\r\n\r\nHello.\r\n")
        (letter,) = server.mail_for("bob@example.org")
        assert b"using TLSv1.3" in letter


@pytest.mark.parametrize("password", [PASSWORD, "guess"])
def test_a_login_that_is_bound_to_its_channel(tmp_path: Path, certificates: Certificates, password: str) -> None:
    settings = {"tls": certificates.settings, "login": {"mechanisms": ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]}}
    with Postroad(tmp_path, settings) as server:
        server.account(EVE)
        with server.smtp() as client:
            client.starttls(context=ssl.create_default_context(cafile=str(certificates.authority)))
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
            assert isinstance(client.sock, ssl.SSLSocket)
            shown = client.sock.getpeercert(binary_form=True)
            assert shown
            login = scram.Client(EVE, password, "p=tls-server-end-point,,", hashlib.sha256(shown).digest())

            def answer(challenge: bytes | None = None) -> str:
                if challenge is None:
                    return login.first.decode()
                return "" if challenge.startswith(b"v=") else login.final(challenge).decode()

            if password == PASSWORD:
                assert client.auth("SCRAM-SHA-256-PLUS", answer)[0] == 235
            else:
                with pytest.raises(smtplib.SMTPAuthenticationError, match=r"5\.7\.8"):
                    client.auth("SCRAM-SHA-256-PLUS", answer)
        server.wait_for("login", address=EVE, mechanism="SCRAM-SHA-256-PLUS", ok=password == PASSWORD)
