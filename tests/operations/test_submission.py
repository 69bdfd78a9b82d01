"""Submission (RFC 6409, RFC 8314): who may send, in whose name, and what a message gets that it lacks."""

import re
import secrets
import smtplib
from collections.abc import Iterator

import pytest

from tests.support.programs import Certificates
from tests.support.server import PASSWORD, Dialogue, Postroad, blind, body, letter, until

BOB, EVE = "bob@example.org", "eve@example.org"
SETTINGS = {
    "listen": {"submission": "127.0.0.1:0", "submissions": "127.0.0.1:0"},
    "lane": {"outbound": {"listen": ["submission", "submissions"], "stages": ["submit", "queue", "route"]}},
    "stage": {
        "accept": {"relay_networks": ["127.0.0.0/8"]},
        "submit": {"use": "stages.accept", "login": "required"},
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    folder = tmp_path_factory.mktemp("submission")
    settings = SETTINGS | {"tls": Certificates(folder / "tls").settings}
    with Postroad(folder, settings) as server:
        server.account(BOB, EVE)
        for alias, *targets in (
            ("info@example.org", EVE, BOB),
            ("office@example.org", "info@example.org"),
            ("bobs@example.org", BOB),
            ("loop@example.org", "pool@example.org"),
            ("pool@example.org", "loop@example.org"),
        ):
            assert server.command("alias", "add", alias, *targets).returncode == 0
        assert server.command("group", "add", "team@example.org", EVE).returncode == 0
        assert server.command("account", "grant", EVE, "boss@example.org").returncode == 0
        yield server


def arrived(server: Postroad, subject: str) -> bytes:
    """Bob's message with that subject, as soon as it is there."""
    field = f"Subject: {subject}\r\n".encode()
    found: bytes = until(lambda: next((m for m in server.mailbox(BOB) if field in m), None), f"the message {subject}")
    return found


def test_nothing_before_tls_and_a_login(server: Postroad) -> None:
    """Though the client is in a network that may relay through the other listener."""
    with Dialogue(server.ports["submission"]) as client:
        assert "AUTH" not in client.ask("EHLO client.example.net", "250")
        client.ask("AUTH PLAIN AGV2ZUBleGFtcGxlLm9yZwBndWVzcw==", "538 5.7.11")
        client.ask(f"MAIL FROM:<{EVE}>", "530 5.7.0 STARTTLS comes first")
        client.ask(f"RCPT TO:<{BOB}>", "503 5.5.1")
    with server.smtp("submission") as client:
        client.starttls(context=blind())
        client.ehlo()
        assert client.mail(EVE) == (530, b"5.7.0 AUTH: this is for those who have an account")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(EVE, "guess")
        assert client.mail(EVE)[0] == 530
        client.login(EVE, PASSWORD)
        assert client.mail(EVE)[0] == 250
    with server.dialogue() as client:
        client.start(BOB).content(letter("the other listener is as it was"))


@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_an_account_sends_to_the_world(server: Postroad, listener: str) -> None:
    with server.logged_in(EVE, listener) as client:
        assert client.mail(EVE)[0] == 250
        assert client.rcpt("somebody@elsewhere.example")[0] == 250
        client.rset()
        client.sendmail(EVE, [BOB], letter(f"by {listener}", author=EVE))
    message = arrived(server, f"by {listener}")
    assert re.search(rb"^Received: from [^\n]+ \(authenticated\)\r\n[^\n]+\r\n[^\n]+ with ESMTPSA ", message, re.M)


@pytest.mark.parametrize(
    ("author", "answer"),
    [
        ("Eve <eve@example.org>", "250"),
        ("Eve <EVE+shop@Example.ORG>, info@example.org", "250"),
        ('"eve"@example.org', "250"),
        ("Our team <boss@example.org>", "250"),
        ("undisclosed:;", "250"),
        (f"Bob <{BOB}>", f"550 5.7.1 {EVE} may not write as {BOB}, whom From names"),
        (f"eve@example.org, {BOB}", f"550 5.7.1 {EVE} may not write as {BOB}, whom From names"),
        ("eve@example.org <eve@elsewhere.example>", f"550 5.7.1 {EVE} may not write as eve@elsewhere.example"),
        ("<eve@example.org", "550 5.6.0 From has an address that nothing ends"),
    ],
)
def test_whose_mail_an_account_may_send(server: Postroad, author: str, answer: str) -> None:
    with server.logged_in(EVE) as client:
        for command, argument in (("MAIL", f"FROM:<{EVE}>"), ("RCPT", f"TO:<{BOB}>")):
            assert client.docmd(command, argument)[0] == 250
        code, text = client.data(f"From: {author}\r\nSubject: hello\r\n\r\nhello\r\n")
        assert f"{code} {text.decode()}".startswith(answer)
        assert client.docmd("MAIL", f"FROM:<{EVE}>")[0] == 250, "the session goes on"
    if "may not write" in answer:
        assert server.wait_for("author-refused", author=answer.split()[7].rstrip(","))["login"] == EVE


@pytest.mark.parametrize(
    ("sender", "allowed"),
    [
        (EVE, True),
        ("Eve@EXAMPLE.org", True),
        ("eve+shop@example.org", True),
        ("info@example.org", True),
        ("office@example.org", True),  # an alias for an alias
        ("team@example.org", True),
        ("boss@example.org", True),
        ("", True),  # reports, such as a receipt that was asked for (RFC 8098)
        (BOB, False),
        ("bobs@example.org", False),
        ("loop@example.org", False),
        ("nobody@example.org", False),
        ("eve@elsewhere.example", False),
    ],
)
def test_whose_name_an_account_may_send_in(server: Postroad, sender: str, allowed: bool) -> None:
    with server.logged_in(EVE) as client:
        code, text = client.docmd("MAIL", f"FROM:<{sender}>")
        assert code == (250 if allowed else 553), text
        if not allowed:
            assert text == f"5.7.1 {EVE} may not send as {sender}".encode()
            server.wait_for("sender-refused", login=EVE, **{"from": sender})


DATED = b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
NAMED = b"message-id: <its-own@client.example>\r\n"


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (b"", [b"Date", b"Message-ID"]),
        (DATED, [b"Message-ID"]),
        (NAMED, [b"Date"]),
        (DATED + NAMED, []),
        (b"X-Note: Date: is\r\n Message-ID: not here\r\n", [b"Date", b"Message-ID"]),
    ],
)
@pytest.mark.parametrize("size", [100, 300_000])
def test_what_a_message_lacks_is_added(server: Postroad, given: bytes, added: list[bytes], size: int) -> None:
    subject = secrets.token_hex(8)
    content = given + f"From: {EVE}\r\nSubject: {subject}\r\n\r\n".encode() + b"some words\r\n" * (size // 12)
    with server.logged_in(EVE) as client:
        client.sendmail(EVE, [BOB], content)
    message = arrived(server, subject)
    assert message.endswith(content)
    ours = message[: -len(content)]
    assert re.findall(rb"^(Date|Message-ID): ", ours, re.M) == added
    assert ours.index(b"Received: ") < min([ours.index(name + b": ") for name in added] or [len(ours)])
    if b"Message-ID" in added:
        assert re.search(rb"^Message-ID: <[0-9A-Z]{26}@mx\.example\.org>\r$", ours, re.M)


def test_nothing_is_added_where_no_login_is_required(server: Postroad) -> None:
    server.send(b"Subject: as it came\r\n\r\nhello\r\n", BOB)
    message = arrived(server, "as it came")
    assert b"Message-ID" not in message
    assert body(message) == b"hello\r\n"


def test_what_an_operator_may_say_instead(server: Postroad) -> None:
    try:
        server.change({"stage": {"submit": {"senders": "any"}}})
        assert server.reload().returncode == 0
        with server.logged_in(EVE) as client:
            assert client.mail("ann@example.net")[0] == 250
        server.change({"stage": {"submit": {"relay_networks": ["127.0.0.0/8"]}}})
        assert server.reload().returncode == 0
        with server.smtp("submission") as client:
            client.ehlo()
            assert client.mail("ann@example.net")[0] == 250
        server.change({"stage": {"submit": {"auth": False}}})
        done = server.command("check")
        assert done.returncode == 2
        assert 'login = "required" lets nobody in where auth is false' in done.stderr
    finally:
        server.change({"stage": {"submit": {"senders": None, "relay_networks": None, "auth": None}}})
        assert server.reload().returncode == 0


def letter_of(author: str, subject: str, *fields: str) -> bytes:
    lines = [f"From: {author}", *fields, f"Subject: {subject}", "", "hello", ""]
    return "\r\n".join(lines).encode()


def senders_of(message: bytes) -> list[bytes]:
    header = message.partition(b"\r\n\r\n")[0]
    return re.findall(rb"^Sender: (.*)\r$", header + b"\r", re.MULTILINE)


def test_on_behalf_of_somebody_sender_says_who_has_sent_it(server: Postroad) -> None:
    """RFC 5322 3.6.2: From is the author, Sender who has sent it, if that is somebody else."""
    chief = "chief@example.org"
    done = server.command("account", "grant", EVE, chief, "--on-behalf")
    assert done.stdout == f"{EVE} may send on behalf of {chief}.\n", done
    for number, (sender, fields, named) in enumerate(
        [
            (chief, (), EVE),  # as mail programs do
            (EVE, (), EVE),
            (EVE, (f"Sender: Eve <{EVE.upper()}>",), f"Eve <{EVE.upper()}>"),
        ]
    ):
        with server.logged_in(EVE) as client:
            client.sendmail(sender, [BOB], letter_of(f"The chief <{chief}>", f"for the chief {number}", *fields))
        found = arrived(server, f"for the chief {number}")
        assert senders_of(found) == [named.encode()]
        assert f"From: The chief <{chief}>\r\n".encode() in found
    for fields, text in (
        ((f"Sender: {BOB}",), "5.7.1 eve@example.org may not write as bob@example.org, whom Sender names"),
        ((f"Sender: {chief}",), "5.7.1"),  # then nobody would know
        ((f"Sender: {EVE}", f"Sender: {BOB}"), "5.6.0 Sender must name one address"),
        ((f"Sender: {EVE}, {BOB}",), "5.6.0 Sender must name one address"),
        (("Sender: ",), "5.6.0"),
        (("Sender: <eve",), "5.6.0 Sender holds no address"),
    ):
        with server.logged_in(EVE) as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail(EVE, [BOB], letter_of(chief, "never", *fields))
        assert refused.value.smtp_code == 550
        assert text in refused.value.smtp_error.decode(), fields
    with server.logged_in(EVE) as client:  # in whose name one may send, for that nothing is written
        client.sendmail(EVE, [BOB], letter_of("boss@example.org", "as the boss"))
    assert senders_of(arrived(server, "as the boss")) == []
    assert server.command("account", "grant", EVE, chief, "--on-behalf", "--revoke").returncode == 0
    with server.logged_in(EVE) as client, pytest.raises(smtplib.SMTPDataError, match="whom From names"):
        client.sendmail(EVE, [BOB], letter_of(chief, "no more"))
