"""Programs that people read mail with, against a running server."""

import contextlib
import email
import email.policy
import poplib
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates, needs, path_of, run
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter

BOB = "bob@example.org"


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    """A server with two messages for Bob."""
    settings = {"tls": certificates.settings, "listen": {"pop3s": "127.0.0.1:0"}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        server.send(letter("first", ".dot\r\n..dots"), BOB)
        server.mail_for(BOB, 1)  # of two workers the later one may be the quicker
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
    mailbox = maildir(tmp_path / "fetched")
    run(
        "mpop", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports['pop3']}", "--tls=on",
        "--tls-starttls=on", f"--tls-trust-file={certificates.authority}", f"--auth={mechanism}", f"--user={BOB}",
        f"--passwordeval=echo {PASSWORD}", f"--delivery=maildir,{mailbox}", f"--uidls-file={tmp_path / 'uidls'}",
        "--keep=off",
    )  # fmt: skip
    assert [b"Subject: first" in message for message in fetched(mailbox)] == [True, False]
    assert server.mailbox(BOB) == []


def fetched(folder: Path) -> list[bytes]:
    """The messages in a Maildir."""
    return sorted((path.read_bytes() for path in (folder / "new").iterdir()), key=lambda octets: b"second" in octets)


def maildir(folder: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir(parents=True)
    return folder


@needs("fetchmail")
@pytest.mark.parametrize("tls", ["stls", "pop3s"])
def test_fetchmail_fetches_new_mail_and_keeps_it(
    server: Postroad, certificates: Certificates, tmp_path: Path, tls: str
) -> None:
    """It asks for unique ids to know what it has, and so fetches nothing at its second call."""
    folder = tmp_path / "fetchmail"
    folder.mkdir()
    mailbox = folder / "mail"
    port, how = (server.ports["pop3s"], "ssl") if tls == "pop3s" else (server.ports["pop3"], "sslproto TLS1.2+")
    settings = folder / "fetchmailrc"
    settings.touch(mode=0o600)
    settings.write_text(
        f'poll localhost service {port} protocol pop3 uidl user "{BOB}" password "{PASSWORD}" {how} sslcertck '
        f'sslcertfile {certificates.authority} keep no rewrite mda "cat >> {mailbox}"\n'
    )
    command = ("env", f"FETCHMAILHOME={folder}", path_of("fetchmail"), "-f", str(settings), "--nosyslog")
    run(*command)
    octets = mailbox.read_bytes()
    assert [octets.count(b"Subject: " + subject) for subject in (b"first", b"second")] == [1, 1]
    assert b"\n\n.dot\n..dots\n" in octets
    run(*command, good=False)  # there is no new mail
    assert mailbox.read_bytes() == octets
    assert len(server.mailbox(BOB)) == 2


@needs("getmail")
def test_getmail_fetches_and_deletes(server: Postroad, certificates: Certificates, tmp_path: Path) -> None:
    """Into a program, because it does not write files as root."""
    folder = tmp_path / "getmail"
    mailbox = maildir(folder)
    (folder / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {server.ports['pop3s']}\n"
        f"ca_certs = {certificates.authority}\nusername = {BOB}\npassword = {PASSWORD}\n"
        f'[destination]\ntype = MDA_external\npath = /bin/sh\narguments = ("-c", "cat > {mailbox}/new/$$")\n'
        "allow_root_commands = true\n"
        "[options]\ndelete = true\nread_all = false\n"
    )
    run("getmail", f"--getmaildir={folder}")
    first, second = fetched(mailbox)
    assert first.endswith(b"\n\n.dot\n..dots\n")
    assert b"Subject: second" in second
    assert server.mailbox(BOB) == []


GREETINGS = "From: Zoë <zoë@example.net>\r\nTo: bob@example.org\r\nSubject: Grüße\r\n\r\nKörper\r\n".encode()


@needs("mpop")
def test_a_reader_of_ascii_gets_a_surrogate_and_a_reader_of_utf_8_the_message(
    server: Postroad, certificates: Certificates, tmp_path: Path
) -> None:
    with server.smtp() as client:
        client.ehlo()
        client.sendmail("zoë@example.net", [BOB], GREETINGS, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    server.mail_for(BOB, 3)
    mailbox = maildir(tmp_path / "old")
    run(
        "mpop", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports['pop3']}", "--tls=on",
        "--tls-starttls=on", f"--tls-trust-file={certificates.authority}", f"--user={BOB}",
        f"--passwordeval=echo {PASSWORD}", f"--delivery=maildir,{mailbox}", f"--uidls-file={tmp_path / 'uidls'}",
        "--keep=on",
    )  # fmt: skip
    (old,) = [octets for octets in fetched(mailbox) if b"internationalized-address.invalid" in octets]
    header, _, text = old.partition(b"\n\n")
    assert header.isascii()
    assert str(email.message_from_bytes(old, policy=email.policy.default)["Subject"]) == "Grüße"
    assert text == "Körper\n".encode()

    new = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(new):
        assert new.capa()["UTF8"] == ["USER"]
        new.utf8()
        new.user(BOB)
        new.pass_(PASSWORD)
        assert b"\r\n".join(new.retr(3)[1]).endswith(GREETINGS.removesuffix(b"\r\n"))
        assert "Subject: Grüße".encode() in new.top(3, 0)[1]
        new.quit()


def uidl(server: Postroad) -> list[bytes]:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(client):
        client.user(BOB)
        client.pass_(PASSWORD)
        return [line.split()[1] for line in client.uidl()[1]]


def test_unique_ids_outlast_a_restore(server: Postroad, tmp_path: Path) -> None:
    """As docs/operating.md has it: the folder of the mailboxes is put back while the server is stopped."""
    names = uidl(server)
    assert server.stop() == 0
    folder, saved = tmp_path / "var" / "mailbox", tmp_path / "saved"
    shutil.copytree(folder, saved)
    shutil.rmtree(folder)
    server.start()
    assert uidl(server) == []
    assert server.stop() == 0
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    server.start()
    assert uidl(server) == names


def test_an_account_may_have_to_wait_between_two_logins(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"mailboxes": {"login_delay": "1h"}}) as server:
        server.account(BOB)
        client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
        assert client.capa()["LOGIN-DELAY"] == ["3600"]
        assert client.capa()["EXPIRE"] == ["NEVER"]
        client.close()
        uidl(server)
        with pytest.raises(poplib.error_proto, match=r"\[LOGIN-DELAY\]"):
            uidl(server)


def test_an_account_hears_after_how_many_days_its_mail_goes(tmp_path: Path) -> None:
    """The least of all before the login, and then its own (RFC 2449 6.7)."""
    rules = {"some": {"keep": "90d", "who": [BOB]}, "trash": {"keep": "30d", "folders": ["\\Trash"]}}
    with Postroad(tmp_path, {"retention": rules}) as server:
        for address, says in ((BOB, ["90"]), ("carol@example.org", ["NEVER"])):
            server.account(address)
            client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
            assert client.capa()["EXPIRE"] == ["90", "USER"]
            client.user(address)
            client.pass_(PASSWORD)
            assert client.capa()["EXPIRE"] == says
            client.quit()
