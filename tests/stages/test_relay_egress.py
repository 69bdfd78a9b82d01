"""The relay stage by pools of source addresses, and with a login, against real sockets."""

import datetime
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from engine import Defer, Delivered, Envelope, Message, MessageId, Recipient, Verdict
from engine.abuse import Tables
from engine.config import EgressPool, EgressSource, WarmUp
from engine.egress import Egress, Plan
from engine.egress.plan import Known
from engine.message import Octets
from engine.net.names import Hostname
from engine.net.tls import client_context
from engine.outbound.way import Login, Proxy, Security, Source
from engine.protocols.sasl_client import Password
from stages.relay import Relay
from tests.support.remote import USUAL, Remote, serving

LOOPBACK = (ip_network("127.0.0.0/8"),)
CONTENT = b"Subject: hello\r\n\r\nHello.\r\n"
NOT_OURS = "198.51.100.99"


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse") as tables:
        yield tables


@asynccontextmanager
async def relay(egress: Egress, **settings: object) -> AsyncIterator[Relay]:
    async with Relay(Hostname("mx.example.org"), egress=egress, allow_networks=LOOPBACK, **settings) as stage:  # type: ignore[arg-type]
        yield stage


def letter(port: int, host: str = "mx.example.net", address: str = "127.0.0.1") -> Message:
    facts = {"resolve.site": "remote", "resolve.hosts": [[10, host, [address]]], "resolve.port": port}
    return Message(
        MessageId.new(), Envelope("a@example.org", (Recipient("b@example.net"),), facts=facts), Octets(CONTENT)
    )


def plan(dialled: dict[str, Source], warm_up: WarmUp | None = None) -> Plan:
    sources = {name: EgressSource(ipv4=one.ipv4, warm_up=warm_up) for name, one in dialled.items()}
    return Plan(sources, {"bulk": EgressPool(sources=dict.fromkeys(dialled, 1))}, dialled)


async def test_connections_come_from_the_addresses_of_the_pool_and_by_their_names() -> None:
    egress, remote = Egress(), Remote()
    egress.plan = plan({f"mx{n}": Source(f"mx{n}", f"127.0.0.{n}", hostname=f"mx{n}.example.org") for n in (2, 3)})
    async with serving(remote), relay(egress, pool="bulk") as stage:
        for _ in range(30):
            assert isinstance(await stage(letter(remote.port)), Delivered)
    assert sorted(remote.peers) == ["127.0.0.2", "127.0.0.3"]
    names = [line for line in remote.commands if line.startswith("EHLO")]
    assert sorted(names) == ["EHLO mx2.example.org", "EHLO mx3.example.org"]
    assert len(remote.received) == 30


async def test_an_address_that_is_not_ours_fails_once_and_the_other_is_used(
    capfd: pytest.CaptureFixture[str],
) -> None:
    egress, remote = Egress(), Remote()
    egress.plan = plan({"bad": Source("bad", NOT_OURS), "good": Source("good", "127.0.0.2")})
    verdicts: list[Verdict] = []
    async with serving(remote), relay(egress, pool="bulk") as stage:
        for _ in range(30):
            verdicts.append(await stage(letter(remote.port)))
    put_off = [verdict for verdict in verdicts if isinstance(verdict, Defer)]
    assert len(put_off) == 1
    assert put_off[0].text == f"Cannot send from bad: this machine does not have {NOT_OURS}"
    assert len(remote.received) == 29
    assert set(remote.peers) == {"127.0.0.2"}
    assert capfd.readouterr().err.count('"source-failed"') == 1


async def test_a_server_that_refuses_one_source_is_tried_from_another() -> None:
    egress, remote = Egress(), Remote({"CONNECT": ["554 5.7.1 Not from there", "220 remote.example ESMTP"]})
    egress.plan = plan({"mx2": Source("mx2", "127.0.0.2"), "mx3": Source("mx3", "127.0.0.3")})
    verdicts: list[Verdict] = []
    async with serving(remote), relay(egress, pool="bulk") as stage:
        for _ in range(30):
            verdicts.append(await stage(letter(remote.port)))
    assert any(isinstance(verdict, Delivered) for verdict in verdicts)
    assert any(isinstance(verdict, Defer) for verdict in verdicts)
    assert len(set(remote.peers)) == 2


async def test_what_could_not_be_tried_does_not_count_for_today(tables: Tables) -> None:
    egress, remote = Egress(tables), Remote()
    today = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    egress.plan = plan({"bad": Source("bad", NOT_OURS)}, WarmUp(today, (2,), days=7))
    async with serving(remote), relay(egress, pool="bulk") as stage:
        for _ in range(5):
            verdict = await stage(letter(remote.port))
            assert isinstance(verdict, Defer)
            assert not verdict.line


async def test_a_proxy_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    egress, remote = Egress(), Remote()
    egress.plan = plan({"far": Source("far", proxy=Proxy("socks5", "127.0.0.1", 1))})
    async with serving(remote), relay(egress, pool="bulk") as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert verdict.text.startswith("Cannot send from far: its proxy cannot be reached")
    assert "source-failed" in capfd.readouterr().err


class Authority:
    """Who vouches for the server, and how it is told by what it shows."""

    def __init__(self, name: str) -> None:
        self.authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(self.server)
        self.client = client_context(verify=True)
        self.authority.configure_trust(self.client)


def knows(remote: Remote, login: Login, host: str = "mx.example.net") -> Egress:
    egress = Egress()
    security = Security("verify" if login.context else "never")
    egress.plan = Plan(smart_hosts={"there": Known((host, remote.port), security, login)})
    return egress


SECRET = "AHdpbGx5AHNlY3JldA=="
WILLY = Password("willy", "secret")


async def test_the_password_goes_to_a_server_that_was_verified_and_after_tls() -> None:
    known = Authority("mx.example.net")
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, (*USUAL, "STARTTLS", "AUTH LOGIN PLAIN"), known.server)
    async with serving(remote), relay(knows(remote, Login(WILLY, known.client))) as stage:
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert [line.split()[0] for line in remote.commands[:5]] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]
    assert f"AUTH PLAIN {SECRET}" in remote.commands
    assert remote.received[0].encrypted


@pytest.mark.parametrize(
    ("name", "extensions"),
    [
        ("another.example.net", ("STARTTLS", "AUTH PLAIN")),
        ("mx.example.net", ("AUTH PLAIN",)),
    ],
    ids=["another name", "no TLS"],
)
async def test_the_password_goes_to_nobody_else(name: str, extensions: tuple[str, ...]) -> None:
    known = Authority(name)
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, extensions, known.server)
    async with serving(remote), relay(knows(remote, Login(WILLY, known.client)), tls="opportunistic") as stage:
        assert isinstance(await stage(letter(remote.port)), Defer)
    assert not [line for line in remote.commands if line.startswith(("AUTH", "MAIL"))]


async def test_who_is_no_smart_host_hears_no_password() -> None:
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, ("AUTH PLAIN",))
    async with serving(remote), relay(knows(remote, Login(WILLY), "other.example.net")) as stage:
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert not [line for line in remote.commands if line.startswith("AUTH")]


@pytest.mark.parametrize(
    ("answer", "code"), [("535 5.7.8 No", "4.7.8"), ("454 4.7.0 Later", "4.7.0"), ("421 4.3.2 Bye", "4.3.2")]
)
async def test_a_login_that_is_refused_puts_the_mail_off(answer: str, code: str) -> None:
    remote = Remote({"AUTH": answer}, ("AUTH PLAIN",))
    async with serving(remote), relay(knows(remote, Login(WILLY))) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert verdict.code == code
    assert SECRET not in f"{verdict}"
    assert "secret" not in f"{verdict}"


async def test_a_server_without_a_login_that_we_can() -> None:
    remote = Remote({}, ("AUTH GSSAPI",))
    async with serving(remote), relay(knows(remote, Login(WILLY))) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert verdict.text == "No login at mx.example.net: it offers no login that we can: GSSAPI"


async def test_a_server_that_takes_scram_without_proving_itself() -> None:
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, ("AUTH SCRAM-SHA-256",))
    async with serving(remote), relay(knows(remote, Login(WILLY))) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert verdict.text.endswith("without a proof that it knows us")
    assert not remote.received
