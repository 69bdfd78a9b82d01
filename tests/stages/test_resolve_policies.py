"""The stage `resolve` where domains publish policies: by a validating resolver (unbound) and a real web server."""

import ipaddress
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import Defer, Each, Envelope, Message, MessageId, Recipient
from engine.message import Octets
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.policies.fetching import Fetcher
from engine.policies.published import Published
from engine.policies.results import TlsResult, TlsResults
from engine.policies.store import StsStore
from engine.protocols.mta_sts import StsPolicy
from stages.resolve import Resolve
from tests.support.authorities import ROOT, Server
from tests.support.http_server import HttpServer
from tests.support.programs import marks
from tests.support.unbound import Told, unbound

pytestmark = marks("unbound")

A, B = "3 1 1 " + "aa" * 32, "2 0 1 " + "bb" * 32
STS = '"v=STSv1; id=1"'
POLICY = b"version: STSv1\nmode: enforce\nmx: *.good.example\nmax_age: 86400\n"

GOOD = Told(
    "good.example",
    {
        "@": {"MX": "10 mx"},
        "second": {"MX": "10 mx"},
        "mx": {"A": "192.0.2.1"},
        "_25._tcp.mx": {"TLSA": A},
        "sts": {"MX": "10 bare"},
        "_mta-sts.sts": {"TXT": STS},
        "none": {"MX": "10 bare"},
        "bare": {"A": "192.0.2.2"},
        "both": {"MX": ["10 mx", "20 bare"]},
        "_mta-sts.both": {"TXT": STS},
        "mta-sts.sts": {"A": "127.0.0.1"},
        "mta-sts.both": {"A": "127.0.0.1"},
        "outside": {"MX": "10 mx.plain.example."},
        "half": {"MX": ["10 bogus", "20 bare"]},
        "all": {"MX": "10 bogus"},
        "bogus": {"A": "192.0.2.3"},
        "_25._tcp.bogus": {"TLSA": A},
        "plain": {"A": "192.0.2.4"},
        "_25._tcp.plain": {"TLSA": B},
        "ta": {"MX": "10 ta-mx"},
        "ta-mx": {"A": "192.0.2.5"},
        "_25._tcp.ta-mx": {"TLSA": B},
    },
    forged={"_25._tcp.bogus": {"TLSA": B}},
)
PLAIN = Told(
    "plain.example",
    {"@": {"MX": "10 mx.good.example."}, "mx": {"A": "192.0.2.6"}, "_25._tcp.mx": {"TLSA": A}},
    signed=False,
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, unbound(Path(folder), GOOD, PLAIN) as address:
        yield address


@dataclass
class World:
    stage: Resolve
    web: HttpServer
    told: list[TlsResult]

    async def __call__(self, *to: str) -> object:
        envelope = Envelope("a@sender.example", tuple(map(Recipient, to)))
        return await self.stage(Message(MessageId.new(), envelope, Octets(b"Subject: x\r\n\r\n")))

    async def published(self, domain: str) -> Published:
        message = await self(f"a@{domain}")
        assert isinstance(message, Message), message
        return Published.from_fact(message.fact("resolve.security"))


@pytest.fixture
def world(server: str, tmp_path: Path) -> Iterator[World]:
    trust = tmp_path / "ca.pem"
    ROOT.cert_pem.write_to_path(trust)
    resolver, results = Resolver([server]), TlsResults()
    told: list[TlsResult] = []
    results.takers.append(told.append)
    web = HttpServer(lambda _: POLICY)
    web.fields["Content-Type"] = "text/plain"
    certificate = Server("mta-sts.sts.good.example", "mta-sts.both.good.example")
    with StsStore.open(tmp_path) as store, web.serving(certificate.context):
        stage = Resolve(resolver, Hostname("mail.our.example"), store, results)
        loopback = (ipaddress.ip_network("127.0.0.0/8"),)
        stage.look_by(Fetcher(resolver, trust=trust, port=web.port, allow_networks=loopback))
        yield World(stage, web, told)


async def test_dane(world: World) -> None:
    (dane,) = (await world.published("good.example")).dane
    assert (dane.host, dane.base, [str(record) for record in dane.records]) == (
        "mx.good.example",
        "mx.good.example",
        [A],
    )
    assert (await world.published("plain.good.example")).dane[0].host == "plain.good.example", "without MX records"


async def test_mta_sts(world: World) -> None:
    assert await world.published("sts.good.example") == Published(StsPolicy("enforce", 86_400, ("*.good.example",)))
    await world.published("sts.good.example")
    assert len(world.web.asked) == 1


async def test_both(world: World) -> None:
    published = await world.published("both.good.example")
    assert published.sts is not None
    assert [dane.host for dane in published.dane] == ["mx.good.example"]


@pytest.mark.parametrize("domain", ["none.good.example", "outside.good.example", "plain.example"])
async def test_neither(domain: str, world: World) -> None:
    """Nothing is published; the host is not vouched for; nobody vouches for its being the host."""
    assert await world.published(domain) == Published()
    message = await world(f"a@{domain}")
    assert isinstance(message, Message)
    assert message.fact("resolve.security") is None
    assert message.fact("resolve.vouched") is (domain != "plain.example")


async def test_a_host_whose_records_are_forged_is_left_out(world: World) -> None:
    message = await world("a@half.good.example")
    assert isinstance(message, Message)
    hosts = message.fact("resolve.hosts")
    assert isinstance(hosts, list)
    assert [host[1] for host in hosts] == ["bare.good.example"]  # type: ignore[index]
    assert [(one.result, one.domain, one.mx_hostname) for one in world.told] == [
        ("dnssec-invalid", "half.good.example", "bogus.good.example")
    ]


async def test_mail_waits_where_all_are_forged(world: World) -> None:
    verdict = await world("a@all.good.example")
    assert isinstance(verdict, Defer)
    assert (verdict.code, verdict.unreached) == ("4.7.5", True)


async def test_recipients_with_one_policy_stay_together_and_others_part(world: World) -> None:
    domains = ["good", "second.good", "none.good", "sts.good"]
    verdict = await world(*(f"a@{domain}.example" for domain in domains))
    assert isinstance(verdict, Each)
    good, second, none, sts = (verdict.verdicts[f"a@{domain}.example"] for domain in domains)
    assert good is second
    assert isinstance(none, Message)
    assert isinstance(sts, Message)
    assert none is not sts
    assert none.fact("resolve.site") == sts.fact("resolve.site"), "they share the servers"


async def test_the_domain_is_kept_where_an_authority_may_have_a_certificate_for_it(world: World) -> None:
    assert (await world.published("ta.good.example")).domain == "ta.good.example"
    assert (await world.published("good.example")).domain == ""


async def test_what_cannot_be_fetched_is_no_policy_and_is_told(world: World) -> None:
    world.web.status = 404
    assert (await world.published("sts.good.example")).sts is None
    assert [one.result for one in world.told] == ["sts-policy-fetch-error"]


async def test_either_can_be_turned_off(world: World) -> None:
    for wanted in ((), ("dane",), ("mta-sts",)):
        stage = Resolve(world.stage.resolver, Hostname("mail.our.example"), policies=wanted)
        fetcher = world.stage._sts._fetch  # type: ignore[union-attr]
        stage.look_by(fetcher)  # type: ignore[arg-type]
        published = await World(stage, world.web, world.told).published("both.good.example")
        assert (published.sts is not None, bool(published.dane)) == ("mta-sts" in wanted, "dane" in wanted)


async def test_a_resolver_elsewhere_is_not_believed(server: str) -> None:
    stage = Resolve(Resolver([server], trust_ad=False), Hostname("mail.our.example"))
    assert await World(stage, HttpServer(lambda _: b""), []).published("good.example") == Published()


async def test_it_asks_anew_as_long_as_it_is_open(world: World) -> None:
    async with world.stage as stage:
        assert stage is world.stage
    assert await world.published("good.example") != Published()


def test_an_authority_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    assert list(Resolve.check(trust=tmp_path / "ca.pem")) == [f"trust: {tmp_path}/ca.pem holds no certificate in PEM"]
    assert not list(Resolve.check())
