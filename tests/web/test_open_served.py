"""What a running server has for everybody, over TLS: a list is left, a report posted, a policy read."""

import gzip
import http.client
import json
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.message import MessageId
from engine.quarantine.links import Link as Parked
from engine.quarantine.links import sign as sign_parked
from engine.unsubscribe import Link
from engine.unsubscribe.links import sign
from tests.support.pebble import pebble
from tests.support.programs import Certificates, needs
from tests.support.server import PATIENCE, Postroad, letter, until
from tests.web.test_open_part import report

ANN = "ann@example.net"
BOB, EVE = "bob@example.org", "eve@example.org"
SECRET = "a secret of links"

SETTINGS = {
    "listen": {"web": "0.0.0.0:0"},
    "lane": {"inbound": {"stages": ["accept", "suppress", "queue", "route"]}},
    "suppression": {},
    "unsubscribe": {"secret_file": "links.secrets"},
    "tls_reports": {"per_network": "1000/1h"},
    "mta_sts": {"mode": "enforce"},
}


class Over(http.client.HTTPSConnection):
    """A client that goes to this machine, whatever the name is."""

    def __init__(self, server: Postroad, context: ssl.SSLContext, name: str = "mx.example.org") -> None:
        super().__init__(name, server.ports["web"], timeout=PATIENCE)
        self._way = socket.create_connection(("127.0.0.1", server.ports["web"]), PATIENCE)
        self.sock = context.wrap_socket(self._way, server_hostname=name)

    def asked(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/x-www-form-urlencoded"
    ) -> tuple[int, bytes]:
        """One request."""
        try:
            self.request(method, path, body, {"content-type": kind, "accept": "text/html"})
            answer = self.getresponse()
            return answer.status, answer.read()
        finally:
            self.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"), "mx.example.org", "mta-sts.example.org")


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    (tmp_path / "links.secrets").write_text(f"{SECRET}\n")
    with Postroad(tmp_path, {**SETTINGS, "tls": certificates.settings}) as server:
        yield server


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.authority))


PARK = """
'''Parks what strangers send.'''
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("spam by its words")
"""


def test_a_parked_message_is_let_go_by_the_link_of_its_recipient(
    tmp_path: Path, certificates: Certificates, trusting: ssl.SSLContext
) -> None:
    (tmp_path / "links.secrets").write_text(f"{SECRET}\n")
    settings = {
        **SETTINGS,
        "tls": certificates.settings,
        "lane": {"inbound": {"stages": ["accept", "suppress", "park", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}},
        "quarantine": {"secret_file": "links.secrets", "url": "https://mx.example.org/quarantine"},
    }
    with Postroad(tmp_path, settings, park=PARK).account(BOB, EVE) as server:
        server.send(letter("odd"), BOB, EVE)
        identity = MessageId.parse(server.wait_for("accepted")["id"])
        link = Parked("release", identity, BOB, int(time.time()) + 3600)
        path = f"/quarantine?token={sign_parked(link, [SECRET.encode()])}"
        status, page = Over(server, trusting).asked("GET", path)
        assert (status, b"odd" in page, b"Let it go on" in page) == (200, True, True)
        status, page = Over(server, trusting).asked("POST", path)
        assert (status, b"It is on its way" in page) == (200, True)
        server.mail_for(BOB)
        assert server.wait_for("parked-decided")["by"] == BOB
        status, page = Over(server, trusting).asked("POST", path)
        assert (status, b"not parked any more" in page) == (410, True)
        assert server.mailbox(EVE) == []


def test_who_has_unsubscribed_gets_no_more(server: Postroad, trusting: ssl.SSLContext) -> None:
    path = f"/unsubscribe/{sign(Link(ANN, 'news.example.org', int(time.time())), [SECRET.encode()])}"
    status, page = Over(server, trusting).asked("GET", path)
    assert (status, b"List-Unsubscribe" in page) == (200, True)
    server.send(letter("before"), ANN)
    for _ in range(2):  # a program that had no answer clicks once more
        status, page = Over(server, trusting).asked("POST", path, b"List-Unsubscribe=One-Click")
        assert (status, b"You are unsubscribed" in page) == (200, True)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        server.send(letter("after"), ANN)
    assert b"the recipient has unsubscribed" in refused.value.recipients[ANN][1]
    told = server.wait_for("unsubscribed", to=ANN)
    assert (told["list"], told["peer"]) == ("news.example.org", "127.0.0.1")
    listed = server.command("bounces", "list", "--json").stdout
    until(lambda: "unsubscribed" in server.command("bounces", "list", "--json").stdout, f"a line: {listed}")
    (row,) = json.loads(server.command("suppression", "list", "--json").stdout)
    assert (row["entry"], row["class"], row["note"]) == (ANN, "unsubscribe", "one click: news.example.org")


def test_a_report_that_is_posted_is_shown(server: Postroad, trusting: ssl.SSLContext) -> None:
    octets = gzip.compress(json.dumps(report()).encode())
    assert Over(server, trusting).asked("POST", "/reports/tls", octets, "application/tlsrpt+gzip")[0] == 200
    told = server.wait_for("tls-report", new=True)
    assert (told["peer"], told["domain"]) == ("127.0.0.1", ["example.org"])
    shown = server.command("reports", "tls")
    assert "(from 127.0.0.1) about example.org" in shown.stderr
    large = Over(server, trusting).asked("POST", "/reports/tls", b" " * (3 * 2**20), "application/tlsrpt+json")
    assert large[0] == 413
    bomb = gzip.compress(b"[" * 2**26)
    assert Over(server, trusting).asked("POST", "/reports/tls", bomb, "application/tlsrpt+gzip")[0] == 400
    assert Over(server, trusting).asked("POST", "/reports/tls", octets, "application/tlsrpt+gzip")[0] == 200
    assert not server.all("bug")


def test_our_policy_is_read_under_its_name(server: Postroad, trusting: ssl.SSLContext) -> None:
    status, policy = Over(server, trusting, "mta-sts.example.org").asked("GET", "/.well-known/mta-sts.txt")
    assert (status, policy) == (200, b"version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 604800\n")
    assert Over(server, trusting).asked("GET", "/.well-known/mta-sts.txt")[0] == 404
    records = server.command("tls", "records", "example.org").stdout
    assert "; [listen] web has this at https://mta-sts.example.org/" in records
    assert "mode: enforce" in records
    assert "rua=https://mx.example.org/reports/tls" in records
    zone = server.command("domain", "records", "example.org").stdout
    assert "mta-sts.example.org. IN CNAME mx.example.org." in zone
    server.change({"mta_sts": {"mode": "testing"}})
    assert server.reload().returncode == 0
    until(
        lambda: b"testing" in Over(server, trusting, "mta-sts.example.org").asked("GET", "/.well-known/mta-sts.txt")[1],
        "the other policy",
    )


@needs("pebble", "pebble-challtestsrv")
def test_the_certificate_of_its_name_comes_by_acme(tmp_path: Path) -> None:
    with pebble(tmp_path / "pebble") as authority:
        (tmp_path / "links.secrets").write_text(f"{SECRET}\n")
        by_acme = authority.settings("http-01", "mx.example.org")
        listen = {**SETTINGS["listen"], **by_acme["listen"]}
        with Postroad(tmp_path, {**SETTINGS, **by_acme, "listen": listen}) as server:
            server.wait_for("certificate-issued", names=["mta-sts.example.org"])
            trusting = authority.trusting()

            def policy() -> bytes:
                try:
                    return Over(server, trusting, "mta-sts.example.org").asked("GET", "/.well-known/mta-sts.txt")[1]
                except OSError:  # the worker has not seen the certificate yet
                    return b""

            assert b"mode: enforce" in until(policy, "the policy")
            server.wait_for("certificate-issued", names=["mx.example.org"])
