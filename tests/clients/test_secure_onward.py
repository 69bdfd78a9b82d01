"""Mail to real servers (Postfix) whose domains publish DANE and MTA-STS, by the DNS of a real validating resolver."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from engine.policies.store import Kept, StsStore
from engine.protocols.mta_sts import StsPolicy
from engine.reports.sessions import SessionCounts
from tests.support.authorities import BETWEEN, OTHER, PAST, ROOT, Server, der, tlsa
from tests.support.postfix import Postfix, postfix
from tests.support.programs import Certificates, marks
from tests.support.server import Postroad, free_port, letter, until
from tests.support.unbound import Told, unbound

pytestmark = marks("unbound", "postfix")

STRANGE = Server("nobody.invalid", by=OTHER, **PAST)
"""Expired, of an authority that nobody knows, for another name."""
GOOD = Server("mx.sts.plain.example", "mx.ta.signed.example", by=BETWEEN).show(ROOT)
ADDRESSES = {"strange": "127.0.1.1", "open": "127.0.1.2", "good": "127.0.1.3"}


def zones(port: int) -> list[Told]:
    """Domains within, each with a host of its own, at one of three servers."""
    at = f"_{port}._tcp"
    signed: dict[str, dict[str, str | list[str]]] = {}
    plain: dict[str, dict[str, str | list[str]]] = {}

    def domain(
        zone: dict[str, dict[str, str | list[str]]], name: str, where: str, *, record: str = "", sts: bool = False
    ) -> None:
        zone[name] = {"MX": f"10 mx.{name}"}
        zone[f"mx.{name}"] = {"A": ADDRESSES[where]}
        if record:
            zone[f"{at}.mx.{name}"] = {"TLSA": record}
        if sts:
            zone[f"_mta-sts.{name}"] = {"TXT": '"v=STSv1; id=1"'}
        zone[f"_smtp._tls.{name}"] = {"TXT": f'"v=TLSRPTv1; rua=mailto:tls@{name}"'}

    domain(signed, "ee", "strange", record=tlsa(3, 1, 1, STRANGE.der))
    domain(signed, "ta", "good", record=tlsa(2, 0, 1, der(ROOT.cert_pem.bytes())))
    domain(signed, "wrong", "strange", record=tlsa(3, 1, 1, GOOD.der))
    domain(signed, "stripped", "open", record=tlsa(3, 1, 1, GOOD.der))
    domain(signed, "bogus", "strange", record=tlsa(3, 1, 1, STRANGE.der))
    domain(signed, "free", "open")
    domain(plain, "sts", "good", sts=True)
    domain(plain, "bad", "strange", sts=True)
    domain(plain, "forged", "strange", sts=True)
    domain(plain, "down", "open", sts=True)
    domain(plain, "ignored", "strange", record=tlsa(3, 1, 1, GOOD.der))  # nobody vouches for it
    return [
        Told("signed.example", signed, forged={f"{at}.mx.bogus": {"TLSA": tlsa(3, 1, 1, GOOD.der)}}),
        Told("plain.example", plain, signed=False),
    ]


POLICIES = {
    "sts.plain.example": "mx.sts.plain.example",
    "bad.plain.example": "*.bad.plain.example",
    "forged.plain.example": "mx.elsewhere.example",
    "down.plain.example": "mx.down.plain.example",
}
"""What was fetched before, as from a web server."""


@dataclass
class World:
    server: Postroad
    strange: Postfix
    open: Postfix
    good: Postfix

    def send(self, domain: str) -> str:
        self.server.send(letter(f"to {domain}"), f"bob@{domain}", sender="ann@example.org")
        return f"bob@{domain}"

    def waits(self, domain: str) -> dict[str, object]:
        """The deferral of a message to that domain."""
        return self.server.wait_for("deferred", to=self.send(domain))

    def arrives(self, domain: str, at: Postfix) -> str:
        self.server.wait_for("delivered", to=self.send(domain))
        return next(message for message in at.held if f"bob@{domain}" in message)

    def failed(self, domain: str) -> dict[str, object]:
        return self.server.wait_for("tls-failed", domain=domain)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("secure")
    port = free_port()
    trust = folder / "ca.pem"
    ROOT.cert_pem.write_to_path(trust)
    with ExitStack() as stack:
        address = stack.enter_context(unbound(folder / "unbound", *zones(port)))
        servers = {
            name: stack.enter_context(postfix(certificate, address=ADDRESSES[name], port=port, name=f"{name}.invalid"))
            for name, certificate in (("strange", STRANGE), ("open", None), ("good", GOOD))
        }
        settings = {
            "dns": {"servers": [address]},
            "tls": Certificates(folder / "tls").settings,
            "stage": {"resolve": {"port": port}, "relay": {"trust": str(trust), "retry": ["1h"]}},
            "reports": {"org_name": "Example", "email": "tls@example.org", "kinds": ["tls"]},
        }
        with StsStore.open(folder / "postroad" / "var") as store:
            for domain, host in POLICIES.items():
                store.put(domain, Kept(StsPolicy("enforce", 86_400, (host,)), "1", time.time(), time.time()))
        server = stack.enter_context(Postroad(folder / "postroad", settings))
        yield World(server, **servers)


def test_dane_ee(world: World) -> None:
    """A certificate that nothing but the record speaks for."""
    assert "using TLS" in world.arrives("ee.signed.example", world.strange)


def test_dane_ta(world: World) -> None:
    assert "using TLS" in world.arrives("ta.signed.example", world.good)


def test_dane_and_another_certificate(world: World) -> None:
    deferred = world.waits("wrong.signed.example")
    assert (deferred["code"], deferred["remote"]) == ("4.7.5", "mx.wrong.signed.example")
    assert world.failed("wrong.signed.example")["result"] == "validation-failure"


def test_dane_and_no_starttls(world: World) -> None:
    assert world.waits("stripped.signed.example")["code"] == "4.7.4"
    assert world.failed("stripped.signed.example")["result"] == "starttls-not-supported"


def test_dane_and_a_forged_record(world: World) -> None:
    deferred = world.waits("bogus.signed.example")
    assert deferred["code"] == "4.7.5"
    assert "SERVFAIL" in str(deferred["log"])
    assert world.failed("bogus.signed.example")["result"] == "dnssec-invalid"


def test_neither(world: World) -> None:
    """As before: in the clear, or with any certificate. Records that nobody vouches for are no records."""
    assert "using TLS" not in world.arrives("free.signed.example", world.open)
    assert "using TLS" in world.arrives("ignored.plain.example", world.strange)


def test_mta_sts(world: World) -> None:
    assert "using TLS" in world.arrives("sts.plain.example", world.good)


@pytest.mark.parametrize(
    ("domain", "code", "result"),
    [
        ("bad.plain.example", "4.7.5", "certificate-not-trusted"),
        ("forged.plain.example", "4.7.5", "validation-failure"),
        ("down.plain.example", "4.7.4", "starttls-not-supported"),
    ],
)
def test_mta_sts_that_is_not_met(domain: str, code: str, result: str, world: World) -> None:
    assert world.waits(domain)["code"] == code
    failed = world.failed(domain)
    assert (failed["policy"], failed["result"]) == ("sts", result)


def test_nothing_else_has_arrived(world: World) -> None:
    """Whatever was put off above: no server has it."""
    for server in (world.strange, world.open, world.good):
        for message in server.held:
            assert not any(
                name in message for name in ("bob@wrong", "bob@stripped", "bob@bogus", "bob@bad", "bob@forged")
            )


@pytest.mark.parametrize(
    ("domain", "policy", "results"),
    [
        ("ee.signed.example", "tlsa", {""}),
        ("wrong.signed.example", "tlsa", {"validation-failure"}),
        ("stripped.signed.example", "tlsa", {"starttls-not-supported"}),
        ("bogus.signed.example", "tlsa", {"dnssec-invalid"}),
        ("sts.plain.example", "sts", {""}),
        ("bad.plain.example", "sts", {"certificate-not-trusted"}),
        ("free.signed.example", "no-policy-found", {"starttls-not-supported"}),
    ],
)
def test_what_reports_will_say(domain: str, policy: str, results: set[str], world: World) -> None:
    world.send(domain)

    def counted() -> set[tuple[str, str]]:
        with SessionCounts.open(world.server.folder / "var" / "tls-reports") as counts:
            found = [counts.read(key) for key in counts.due(10**6)]
        rows = [row for one in found if one and one[0].domain == domain for row, _ in one[1]]
        return {(row.policy_type, row.result) for row in rows}

    assert until(counted, f"sessions with {domain}") == {(policy, result) for result in results}


def test_requiretls(world: World) -> None:
    """Postfix here does not know it: the sender hears so at once, and gets no more than the header back."""
    server = world.server
    server.account("ann@example.org")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with server.smtp() as client:
        client.ehlo()
        assert not client.has_extn("requiretls")
        client.starttls(context=context)
        client.ehlo()
        assert client.has_extn("requiretls")
        client.sendmail("ann@example.org", ["eve@ee.signed.example"], letter("secret"), ["REQUIRETLS", "RET=FULL"])
    failed = server.wait_for("failed", to="eve@ee.signed.example")
    assert failed["code"] == "5.7.30"
    (report,) = until(lambda: server.mail_for("ann@example.org"), "the report")
    assert b"Status: 5.7.30" in report
    assert b"Hello." not in report


@pytest.mark.parametrize(
    ("domain", "code", "said"),
    [
        ("ee.signed.example", 0, "good: [127.0.1.1] TLSv1.3"),
        ("ta.signed.example", 0, "as a TLSA record says"),
        ("wrong.signed.example", 1, "fits none of its TLSA records"),
        ("stripped.signed.example", 1, "BAD: [127.0.1.2] The server offers no TLS"),
        ("bogus.signed.example", 1, "SERVFAIL"),
        ("free.signed.example", 0, "in the clear"),
        ("sts.plain.example", 0, "verified for the host"),
        ("bad.plain.example", 1, "BAD: [127.0.1.1] No TLS with mx.bad.plain.example: its certificate"),
        ("forged.plain.example", 1, "nothing is sent there: mx.forged.plain.example is none of the servers"),
        ("nowhere.plain.example", 1, "no such domain"),
    ],
)
def test_explain(domain: str, code: int, said: str, world: World) -> None:
    done = world.server.command("tls", "explain", domain, "--connect")
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout, done.stdout
    told = json.loads(world.server.command("tls", "explain", domain, "--connect", "--json").stdout)
    assert told["domain"] == domain
