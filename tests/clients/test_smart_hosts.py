"""Smart hosts that want a login: our own submission, and Postfix with the logins of Dovecot."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.background import smtp_server
from tests.support.dovecot import dovecot
from tests.support.programs import Certificates, marks, put
from tests.support.remote import Remote
from tests.support.server import PASSWORD, Postroad, letter, until
from tests.support.submission import Postfix, postfix, runs_here

WILLY = "willy@provider.test"
BOB = "bob@provider.test"
FAR = "far@elsewhere.test"

POSTFIX = [*marks("postfix", "dovecot"), pytest.mark.skipif(not runs_here(), reason="Postfix runs as root only")]


def by(port: int, folder: Path, **table: Any) -> dict[str, Any]:
    """Settings of a server that sends all by the smart host at a port."""
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_text(f"{WILLY}\n{PASSWORD}\n")
    return {
        "server": {"workers": 1},
        "smart_host": {"provider": {"host": "127.0.0.1", "port": port, "login_file": "secret", **table}},
        "stage": {"resolve": {"smart_host": f"127.0.0.1:{port}"}},
    }


@contextmanager
def provider(folder: Path, certificates: Certificates, **settings: Any) -> Iterator[Postroad]:
    """A second Postroad, which takes mail of its own people."""
    listeners = ("submission", "submissions")
    whole = {
        "server": {"hostname": "smtp.provider.test", "workers": 1},
        "domains": {"local": ["provider.test"]},
        "tls": certificates.settings,
        "login": {"allow_networks": ["127.0.0.0/8"], **settings.pop("login", {})},
        "listen": dict.fromkeys(listeners, "127.0.0.1:0"),
        "lane": {"outbound": {"listen": list(listeners), "stages": ["submit", "queue", "route"]}},
        "stage": {"submit": {"use": "stages.accept", "login": "required", "senders": "any"}},
        **settings,
    }
    with Postroad(folder, whole) as server:
        yield server.account(WILLY, BOB)


def sends(server: Postroad, subject: str, to: str = BOB) -> dict[str, Any]:
    server.send(letter(subject), to, sender="ann@example.org")
    return server.wait_for("delivered", to=to)


@pytest.mark.parametrize(
    ("listener", "mechanisms"),
    [
        ("submission", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]),
        ("submissions", ["SCRAM-SHA-256"]),
        ("submission", ["PLAIN"]),
    ],
    ids=["channel binding", "TLS from the first octet", "PLAIN"],
)
def test_by_our_own_submission(
    tmp_path: Path, certificates: Certificates, listener: str, mechanisms: list[str]
) -> None:
    with provider(tmp_path / "provider", certificates, login={"mechanisms": mechanisms}) as far:
        tls = "implicit" if listener == "submissions" else "starttls"
        settings = by(far.ports[listener], tmp_path / "near", tls=tls, trust=str(certificates.authority))
        with Postroad(tmp_path / "near", settings) as near:
            sends(near, "by a login")
            assert not [line for line in near.noise if PASSWORD in line]
        (got,) = far.mail_for(BOB)
        assert b"with ESMTPSA id" in got
        login = far.wait_for("login", ok=True)
        assert (login["address"], login["mechanism"]) == (WILLY, mechanisms[0])


def test_a_server_that_nobody_vouches_for_hears_no_password(tmp_path: Path, certificates: Certificates) -> None:
    with provider(tmp_path / "provider", certificates) as far:
        with Postroad(tmp_path / "near", by(far.ports["submission"], tmp_path / "near")) as near:
            near.send(letter("secret"), BOB, sender="ann@example.org")
            put_off = near.wait_for("deferred")
            assert "certificate" in f"{put_off}".lower()
        assert not far.all("login")


def test_a_password_that_was_changed_puts_mail_off(tmp_path: Path, certificates: Certificates) -> None:
    with provider(tmp_path / "provider", certificates) as far:
        settings = by(far.ports["submission"], tmp_path / "near", trust=str(certificates.authority))
        with Postroad(tmp_path / "near", settings) as near:
            (tmp_path / "near" / "secret").write_text(f"{WILLY}\nnot the password\n")
            assert near.reload().returncode == 0
            near.send(letter("late"), BOB, sender="ann@example.org")
            near.wait_for("deferred")
            assert not near.all("failed")
            (tmp_path / "near" / "secret").write_text(f"{WILLY}\n{PASSWORD}\n")
            assert near.reload().returncode == 0
            near.wait_for("delivered", to=BOB)


def test_each_tenant_by_its_own_smart_host(tmp_path: Path, certificates: Certificates) -> None:
    """One tenant has an account there, mail of everybody else is taken by another server."""
    with smtp_server(Remote()) as other, provider(tmp_path / "provider", certificates) as far:
        near = tmp_path / "near"
        settings = by(far.ports["submission"], near, trust=str(certificates.authority))
        settings["stage"] = {"resolve": {"smart_host": f"127.0.0.1:{other.port}"}}
        settings["tenant"] = {"acme": {"senders": ["acme.test"], "smart_host": "provider"}}
        settings["lane"] = {"inbound": {"stages": ["accept", "tenant", "queue", "route"]}}
        with Postroad(near, settings) as server:
            server.send(letter("theirs"), BOB, sender="ann@acme.test")
            server.send(letter("everybody's"), FAR, sender="ann@example.org")
            assert far.mail_for(BOB)
            until(lambda: other.received, "the other mail")
            assert far.wait_for("login", ok=True)["address"] == WILLY
            assert not [line for line in other.commands if line.startswith("AUTH")]
            assert [received.recipients for received in other.received] == [(FAR,)]


def test_by_a_certificate(tmp_path: Path) -> None:
    """EXTERNAL, at our own submission."""
    authority = trustme.CA()
    folder = tmp_path / "tls"
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "people.pem")
    put(authority.issue_cert(WILLY), folder / "willy.pem", folder / "willy.key")
    certificates = Certificates(folder)
    tls = {**certificates.settings, "client_ca": str(folder / "people.pem")}
    with provider(tmp_path / "provider", certificates, tls=tls, login={"mechanisms": ["EXTERNAL"]}) as far:
        table = {"certificate": str(folder / "willy.pem"), "key": str(folder / "willy.key")}
        settings = by(far.ports["submission"], tmp_path / "near", trust=str(certificates.authority), **table)
        del settings["smart_host"]["provider"]["login_file"]
        with Postroad(tmp_path / "near", settings) as near:
            sends(near, "by a certificate")
        assert far.wait_for("login", ok=True)["address"] == WILLY


@contextmanager
def relayed(tmp_path: Path, mechanisms: str, *, tls: bool = True) -> Iterator[tuple[Postfix, Certificates, Remote]]:
    certificates = Certificates(tmp_path / "tls")
    with (
        smtp_server(Remote()) as remote,
        dovecot(WILLY, mechanisms=mechanisms) as people,
        postfix(people.sasl, certificates, remote.port, tls=tls) as running,
    ):
        yield running, certificates, remote


def with_marks(*values: str) -> list[Any]:
    return [pytest.param(value, marks=POSTFIX) for value in values]


@pytest.mark.parametrize("mechanism", with_marks("plain", "login", "scram-sha-1", "scram-sha-256"))
def test_by_postfix_and_dovecot(tmp_path: Path, mechanism: str) -> None:
    with relayed(tmp_path, mechanism) as (running, certificates, remote):
        settings = by(running.port, tmp_path / "near", trust=str(certificates.authority))
        with Postroad(tmp_path / "near", settings) as near:
            sends(near, "by Postfix", FAR)
        until(lambda: remote.received, "the mail behind Postfix")
        said = f"sasl_method={mechanism.upper()}, sasl_username={WILLY}"
        until(lambda: said in running.log, "the log to have the login")


@pytest.mark.parametrize("mechanism", with_marks("plain", "cram-md5"))
def test_what_postfix_does_not_offer_under_tls_is_not_sent(tmp_path: Path, mechanism: str) -> None:
    """Without TLS no password, and none by what we do not speak."""
    with relayed(tmp_path, mechanism, tls=mechanism != "plain") as (running, certificates, remote):
        settings = by(running.port, tmp_path / "near", trust=str(certificates.authority))
        with Postroad(tmp_path / "near", settings) as near:
            near.send(letter("no"), FAR, sender="ann@example.org")
            near.wait_for("deferred")
        assert not remote.received
        assert "sasl_method" not in running.log


@pytest.mark.parametrize("mechanism", with_marks("plain"))
def test_in_the_clear_where_that_is_allowed_on_this_machine(tmp_path: Path, mechanism: str) -> None:
    with relayed(tmp_path, mechanism, tls=False) as (running, _, remote):
        with Postroad(tmp_path / "near", by(running.port, tmp_path / "near", tls="never")) as near:
            sends(near, "here", FAR)
        until(lambda: remote.received, "the mail behind Postfix")
        assert f"sasl_method=PLAIN, sasl_username={WILLY}" in running.log
