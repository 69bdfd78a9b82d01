"""Programs that people hand in their mail with, at ports 587 and 465: who gets in by what, and who does not."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.issuer import Provider
from tests.support.programs import Certificates, needs, run
from tests.support.server import PASSWORD, Postroad, blind, letter

ANN, BOB = "ann@example.org", "bob@example.org"
LISTENERS = ("submission", "submissions")
NOBODY = "127.0.0.1:9"  # so that nothing asks the DNS of this machine for anything


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, provider: Provider
) -> Iterator[Postroad]:
    settings = {
        "tls": certificates.settings,
        "dns": {"servers": [NOBODY]},
        "oidc": {"issuer": provider.url, "audience": "postroad"},
        "login": {"allow_networks": ["127.0.0.0/8"]},
        "listen": dict.fromkeys(LISTENERS, "127.0.0.1:0"),
        "lane": {"outbound": {"listen": list(LISTENERS), "stages": ["submit", "queue", "route"]}},
        "stage": {
            "accept": {"relay_networks": ["127.0.0.9"]},
            "submit": {"use": "stages.accept", "login": "required"},
        },
    }
    with Postroad(tmp_path_factory.mktemp("server"), settings) as server:
        yield server.account(ANN, BOB)


def swaks(server: Postroad, listener: str, *options: str, good: bool = True) -> str:
    tls = "--tls-on-connect" if listener == "submissions" else "--tls"
    return run(
        "swaks", "--server", f"127.0.0.1:{server.ports[listener]}", "--to", BOB, "--from", ANN, tls, *options, good=good
    )


@needs("swaks", perl="Net::SSLeay")
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(server: Postroad, listener: str, mechanism: str) -> None:
    login = ("--auth", mechanism, "--auth-user", ANN, "--auth-password")
    server.forget()
    swaks(server, listener, *login, PASSWORD)
    server.wait_for("accepted", **{"from": ANN})
    assert "535 5.7.8" in swaks(server, listener, *login, "guess", good=False)
    assert "553 5.7.1" in swaks(server, listener, *login, PASSWORD, "--from", BOB, good=False)
    assert "530 5.7.0" in swaks(server, listener, good=False)


@needs("swaks")
def test_swaks_gives_no_password_in_the_clear(server: Postroad) -> None:
    said = run(
        "swaks", "--server", f"127.0.0.1:{server.ports['submission']}", "--to", BOB, "--from", ANN,
        "--auth", "PLAIN", "--auth-user", ANN, "--auth-password", PASSWORD, good=False,
    )  # fmt: skip
    assert "Host did not advertise authentication" in said


@needs("curl")
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "OAUTHBEARER"])
def test_curl(server: Postroad, certificates: Certificates, provider: Provider, listener: str, mechanism: str) -> None:
    by_token = mechanism == "OAUTHBEARER"

    def curl(*options: str, good: bool) -> None:
        scheme = "smtps" if listener == "submissions" else "smtp"
        secret = (
            ("--user", f"{ANN}:", "--oauth2-bearer", provider.token()) if by_token else ("--user", f"{ANN}:{PASSWORD}")
        )
        run(
            "curl", "-sS", f"{scheme}://127.0.0.1:{server.ports[listener]}", "--ssl-reqd", "--cacert",
            str(certificates.authority), "--login-options", f"AUTH={mechanism}", *secret, "--upload-file", "-",
            "--mail-rcpt", BOB, *options, stdin=letter("by curl", author=ANN), good=good,
        )  # fmt: skip

    server.forget()
    curl("--mail-from", ANN, good=True)
    server.wait_for("login", mechanism=mechanism, address=ANN, ok=True)
    curl("--mail-from", BOB, good=False)
    server.wait_for("sender-refused", login=ANN, **{"from": BOB})


@needs("msmtp")
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256", "oauthbearer", "xoauth2"])
def test_msmtp(server: Postroad, certificates: Certificates, provider: Provider, listener: str, mechanism: str) -> None:
    def msmtp(secret: str, sender: str = ANN, *, good: bool) -> None:
        run(
            "msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports[listener]}", "--tls=on",
            f"--tls-starttls={'on' if listener == 'submission' else 'off'}",
            f"--tls-trust-file={certificates.authority}", f"--auth={mechanism}", f"--user={ANN}",
            f"--passwordeval=echo {secret}", f"--from={sender}", BOB, stdin=b"Subject: by msmtp\n\nHello.\n", good=good,
        )  # fmt: skip

    secret = provider.token() if mechanism in ("oauthbearer", "xoauth2") else PASSWORD
    server.forget()
    msmtp(secret, good=True)
    server.wait_for("login", mechanism=mechanism.upper(), address=ANN, ok=True)
    msmtp(secret[:-3], good=False)
    msmtp(secret, BOB, good=False)


@needs("gsasl")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_gsasl(server: Postroad, certificates: Certificates, mechanism: str) -> None:
    def gsasl(password: str, *, good: bool) -> str:
        # Without --starttls it looks for STARTTLS in all lines but the last.
        return run(
            "gsasl", "--smtp", f"--connect=localhost:{server.ports['submission']}", "--starttls", "--no-cb",
            f"--x509-ca-file={certificates.authority}", f"--mechanism={mechanism}", f"--authentication-id={ANN}",
            f"--password={password}", good=good,
        )  # fmt: skip

    server.forget()
    assert "235 2.7.0" in gsasl(PASSWORD, good=True)
    server.wait_for("login", mechanism=mechanism, address=ANN, ok=True)
    assert "535 5.7.8" in gsasl("guess", good=False)


@needs("mutt")
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
def test_mutt(server: Postroad, certificates: Certificates, tmp_path: Path, listener: str, mechanism: str) -> None:
    scheme = "smtps" if listener == "submissions" else "smtp"
    settings = {
        "smtp_url": f"{scheme}://{ANN.replace('@', '%40')}@127.0.0.1:{server.ports[listener]}/",
        "smtp_pass": PASSWORD,
        "smtp_authenticators": mechanism,
        "from": ANN,
        "envelope_from_address": ANN,
        "certificate_file": str(certificates.authority),
        "folder": str(tmp_path),
        "record": "",
    }
    switches = "set ssl_force_tls ssl_starttls use_envelope_from\n"
    (tmp_path / "muttrc").write_text(switches + "".join(f'set {key}="{value}"\n' for key, value in settings.items()))
    server.forget()
    run("mutt", "-n", "-F", str(tmp_path / "muttrc"), "-s", "by mutt", BOB, stdin=b"Hello.\n")
    server.wait_for("login", mechanism=mechanism.upper(), address=ANN, ok=True)
    server.wait_for("accepted", **{"from": ANN})


@pytest.mark.parametrize("listener", LISTENERS)
def test_smtplib_relays_nothing_without_a_login(server: Postroad, listener: str) -> None:
    port = server.ports[listener]
    client = (
        smtplib.SMTP("127.0.0.1", port)
        if listener == "submission"
        else smtplib.SMTP_SSL("127.0.0.1", port, context=blind())
    )
    with client:
        if listener == "submission":
            client.starttls(context=blind())
        client.ehlo()
        for sender in (ANN, "", "postmaster@example.org", "ann@elsewhere.example"):
            assert client.docmd("MAIL", f"FROM:<{sender}>")[0] == 530


@needs("nmap")
@pytest.mark.parametrize(
    ("listener", "source", "found"),
    [
        ("smtp", "127.0.0.1", "all tests failed"),
        ("submission", "127.0.0.1", "isn't an open relay, authentication needed"),
        ("smtp", "127.0.0.9", "Server is an open relay"),  # one of relay_networks: so the script does find them
    ],
)  # fmt: skip
def test_nmap_finds_no_open_relay(server: Postroad, listener: str, source: str, found: str) -> None:
    said = run(
        "nmap", "-Pn", "-n", "-sT", "-S", source, "-e", "lo", "-p", str(server.ports[listener]), "--script",
        "+smtp-open-relay", "--script-args", "smtp-open-relay.domain=client.example.net", "127.0.0.1",
    )  # fmt: skip
    assert found in said
