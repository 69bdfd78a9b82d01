"""Programs that log in by the token of an issuer, against a running server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.issuer import Provider
from tests.support.programs import Certificates, needs, run
from tests.support.server import Postroad, letter, until

ANN = "ann@example.org"


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates, provider: Provider) -> Iterator[Postroad]:
    settings = {"tls": certificates.settings, "oidc": {"issuer": provider.url, "audience": "postroad"}}
    with Postroad(tmp_path, settings) as server:
        yield server.account(ANN)


@needs("curl")
def test_curl_sends_and_reads(server: Postroad, certificates: Certificates, provider: Provider) -> None:
    def curl(url: str, token: str, *options: str, stdin: bytes = b"", good: bool = True) -> str:
        return run(
            "curl", "-sS", url, "--ssl-reqd", "--cacert", str(certificates.authority), "--user", f"{ANN}:",
            "--oauth2-bearer", token, *options, stdin=stdin, good=good,
        )  # fmt: skip

    smtp = f"smtp://127.0.0.1:{server.ports['smtp']}"
    mail = ("--mail-from", ANN, "--mail-rcpt", ANN, "--upload-file", "-")
    curl(smtp, provider.token(), *mail, stdin=letter("by a token"))
    curl(smtp, provider.token(exp=1000), *mail, stdin=letter("too late"), good=False)
    (message,) = server.mail_for(ANN)
    assert b"with ESMTPSA id" in message
    assert "Subject: by a token" in curl(f"pop3://127.0.0.1:{server.ports['pop3']}/1", provider.token())
    until(lambda: len(server.all("login", mechanism="OAUTHBEARER")) >= 3, "each login to be told")
    assert [event["ok"] for event in server.all("login", mechanism="OAUTHBEARER")] == [True, False, True]


@needs("msmtp")
@pytest.mark.parametrize("mechanism", ["oauthbearer", "xoauth2"])
@pytest.mark.parametrize("good", [True, False])
def test_msmtp_sends(
    server: Postroad, certificates: Certificates, provider: Provider, *, mechanism: str, good: bool
) -> None:
    token = provider.token() if good else provider.token(aud="another program")
    run(
        "msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={server.ports['smtp']}", "--tls=on",
        "--tls-starttls=on", f"--tls-trust-file={certificates.authority}", f"--auth={mechanism}", f"--user={ANN}",
        f"--passwordeval=echo {token}", f"--from={ANN}", ANN, stdin=b"Subject: by msmtp\n\nHello.\n", good=good,
    )  # fmt: skip
    server.wait_for("login", mechanism=mechanism.upper(), address=ANN, ok=good)
