"""The relay stage where domains publish policies, and senders ask for TLS: against real sockets and real handshakes."""

import ipaddress
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from engine import Defer, Delivered, Envelope, Message, MessageId, Recipient, Reject
from engine.message import Octets
from engine.net.names import Hostname
from engine.policies.published import Dane, Published
from engine.policies.results import TlsResult, TlsResults
from engine.protocols.mta_sts import StsPolicy
from engine.protocols.tlsa import Tlsa
from stages.relay import Relay
from tests.support.authorities import BETWEEN, OTHER, PAST, ROOT, Server, der, tlsa
from tests.support.remote import USUAL, Remote, serving

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
HOST = "mx1.example.net"
STARTTLS = (*USUAL, "STARTTLS")
REQUIRETLS = (*STARTTLS, "REQUIRETLS")
NOTHING = Published()
ENFORCE = Published(StsPolicy("enforce", 86_400, (HOST, "mx2.example.net")))
TESTING = Published(StsPolicy("testing", 86_400, (HOST,)))


def dane(*texts: str, base: str = HOST, domain: str = "") -> Published:
    """TLSA records of the first host, written as in a zone."""
    records = []
    for text in texts:
        usage, selector, matching, data = text.split()
        records.append(Tlsa(int(usage), int(selector), int(matching), bytes.fromhex(data)))
    return Published(None, (Dane(HOST, base, tuple(records)),), domain)


@pytest.fixture(scope="module")
def trust() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ca.pem"
        ROOT.cert_pem.write_to_path(path)
        yield path


class Told(list[TlsResult]):
    """What is told of sessions."""

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(one.policy_type, one.result) for one in self]


@asynccontextmanager
async def relay(told: Told | None = None, **settings: Any) -> AsyncIterator[Relay]:
    results = TlsResults()
    results.takers.append((told if told is not None else Told()).append)
    async with Relay(Hostname("mx.example.org"), results, allow_networks=LOOPBACK, **settings) as stage:
        yield stage


def letter(
    port: int,
    published: Published = NOTHING,
    *,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    to: str = "b@example.net",
    content: bytes = b"Subject: hello\r\n\r\nHello\r\n",
    vouched: bool = True,
    **envelope: Any,
) -> Message:
    facts = {
        "resolve.site": "remote",
        "resolve.hosts": [[10 * n, f"mx{n}.example.net", [address]] for n, address in enumerate(hosts, 1)],
        "resolve.port": port,
        "resolve.security": published.fact,
        "resolve.vouched": vouched,
    }
    envelope = {"sender": "a@example.org", "recipients": (Recipient(to),), "facts": facts, **envelope}
    return Message(MessageId.new(), Envelope(**envelope), Octets(content))


GOOD = Server(HOST)
STRANGE = Server("elsewhere.example", by=OTHER, **PAST)
"""What nobody would trust but for a record."""


async def handed(
    remote: Remote,
    published: Published,
    trust: Path,
    told: Told | None = None,
    tls: str = "opportunistic",
    **letter_of: Any,
) -> object:
    async with serving(remote), relay(told, trust=trust, tls=tls) as stage:
        return await stage(letter(remote.port, published, **letter_of))


def offering(server: Server, extensions: tuple[str, ...] = STARTTLS, **options: Any) -> Remote:
    return Remote(extensions=extensions, tls=server.context, **options)


# -- DANE


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
async def test_a_certificate_that_a_record_names_may_be_anything_else(
    selector: int, matching: int, trust: Path
) -> None:
    """RFC 7672 3.1.1: with usage 3 neither its names, nor its time, nor its authority count."""
    told, remote = Told(), offering(STRANGE)
    verdict = await handed(remote, dane(tlsa(3, selector, matching, STRANGE.der)), trust, told)
    assert isinstance(verdict, Delivered), verdict
    assert remote.received[0].encrypted
    assert told.kinds == [("tlsa", "")]
    assert told[0].policy == (tlsa(3, selector, matching, STRANGE.der),)
    assert (told[0].domain, told[0].mx_hostname, told[0].mx_helo) == ("example.net", HOST, "remote.example")
    assert (told[0].sending_ip, told[0].receiving_ip) == ("127.0.0.1", "127.0.0.1")


async def test_a_certificate_that_no_record_names_gets_nothing(trust: Path) -> None:
    """Be it trusted by everybody."""
    told, remote = Told(), offering(GOOD)
    verdict = await handed(remote, dane(tlsa(3, 1, 1, STRANGE.der)), trust, told)
    assert isinstance(verdict, Defer)
    assert (verdict.code, verdict.remote, verdict.unreached) == ("4.7.5", HOST, True)
    assert not remote.received
    assert told.kinds == [("tlsa", "validation-failure")]


BY_BETWEEN = Server(HOST, by=BETWEEN)
ANCHORS = {"root": ROOT.cert_pem.bytes(), "between": BETWEEN.cert_pem.bytes()}


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("anchor", ANCHORS)
async def test_a_certificate_of_an_authority_that_a_record_names(selector: int, anchor: str, trust: Path) -> None:
    told, remote = Told(), offering(Server(HOST, by=BETWEEN).show(ROOT))
    published = dane(tlsa(2, selector, 1, der(ANCHORS[anchor])))
    async with serving(remote), relay(told, messages_per_connection=1) as stage:  # the system trusts none of them
        for _ in range(3):
            assert isinstance(await stage(letter(remote.port, published)), Delivered)
    assert len(remote.received) == 3
    assert remote.connections == 4, "one more, to see what authority it shows: known from then on"
    assert told.kinds == [("tlsa", "")] * 3


async def test_an_authority_that_stands_whole_in_its_record(trust: Path) -> None:
    remote = offering(BY_BETWEEN)
    assert isinstance(await handed(remote, dane(tlsa(2, 0, 0, der(ANCHORS["root"]))), trust), Delivered)
    assert remote.connections == 1


@pytest.mark.parametrize(
    ("server", "text", "result"),
    [
        (
            Server("elsewhere.example", by=BETWEEN).show(ROOT),
            tlsa(2, 1, 1, der(ANCHORS["root"])),
            "certificate-host-mismatch",
        ),
        (Server(HOST, by=BETWEEN, **PAST).show(ROOT), tlsa(2, 1, 1, der(ANCHORS["root"])), "certificate-expired"),
        (Server(HOST, by=OTHER).show(ROOT), tlsa(2, 1, 1, der(ANCHORS["root"])), "certificate-not-trusted"),
        (Server(HOST, by=BETWEEN), tlsa(2, 1, 1, der(ANCHORS["root"])), "validation-failure"),  # it is not shown
        (BY_BETWEEN, tlsa(2, 1, 1, BY_BETWEEN.der), "validation-failure"),  # a server is not its own authority
    ],
    ids=["another name", "expired", "another authority", "not shown", "its own"],
)
async def test_a_certificate_that_the_authority_of_a_record_does_not_vouch_for(
    server: Server, text: str, result: str, trust: Path
) -> None:
    told, remote = Told(), offering(server)
    verdict = await handed(remote, dane(text), trust, told)
    assert isinstance(verdict, Defer), verdict
    assert not remote.received
    assert told.kinds == [("tlsa", result)]


async def test_a_certificate_may_be_for_the_domain_itself(trust: Path) -> None:
    """RFC 7672 3.2.2."""
    remote = offering(Server("example.net", by=BETWEEN).show(ROOT))
    verdict = await handed(remote, dane(tlsa(2, 1, 1, der(ANCHORS["root"])), domain="example.net"), trust)
    assert isinstance(verdict, Delivered), verdict


async def test_a_server_that_goes_over_to_another_authority_is_followed(trust: Path) -> None:
    remote = offering(Server(HOST, by=BETWEEN).show(ROOT))
    published = dane(tlsa(2, 1, 1, der(ANCHORS["root"])), tlsa(2, 1, 1, der(OTHER.cert_pem.bytes())))
    async with serving(remote), relay(messages_per_connection=1) as stage:
        assert isinstance(await stage(letter(remote.port, published)), Delivered)
        remote.tls = Server(HOST, by=OTHER).show(OTHER).context
        assert isinstance(await stage(letter(remote.port, published)), Delivered)


async def test_the_name_that_is_asked_for_is_that_of_the_records(trust: Path) -> None:
    asked = []
    server = Server(HOST)
    server.context.sni_callback = lambda _connection, name, _context: asked.append(name)
    await handed(offering(server), dane(tlsa(3, 1, 1, server.der), base="real.example.net"), trust)
    assert asked == ["real.example.net"]


UNUSABLE = dane("0 1 1 " + "aa" * 32, "3 1 9 " + "aa" * 32)


async def test_records_that_cannot_be_used_still_want_tls(trust: Path) -> None:
    told, remote = Told(), offering(STRANGE)
    assert isinstance(await handed(remote, UNUSABLE, trust, told), Delivered)
    assert remote.received[0].encrypted
    assert told.kinds == [("tlsa", "tlsa-invalid")]


# -- MTA-STS


async def test_an_enforced_policy_and_a_good_certificate(trust: Path) -> None:
    told, remote = Told(), offering(GOOD)
    assert isinstance(await handed(remote, ENFORCE, trust, told), Delivered)
    assert remote.received[0].encrypted
    assert told.kinds == [("sts", "")]
    assert told[0].policy[:2] == ("version: STSv1", "mode: enforce")
    assert told[0].mx_patterns == (HOST, "mx2.example.net")


BAD = [
    (Server("elsewhere.example"), "certificate-host-mismatch"),
    (Server(HOST, **PAST), "certificate-expired"),
    (Server(HOST, by=OTHER), "certificate-not-trusted"),
]
KINDS = ["another name", "expired", "another authority"]


@pytest.mark.parametrize(("server", "result"), BAD, ids=KINDS)
async def test_an_enforced_policy_and_a_bad_certificate(server: Server, result: str, trust: Path) -> None:
    told, remote = Told(), offering(server)
    verdict = await handed(remote, ENFORCE, trust, told)
    assert isinstance(verdict, Defer)
    assert verdict.code == "4.7.5"
    assert not remote.received
    assert told.kinds == [("sts", result)]


@pytest.mark.parametrize(("server", "result"), BAD, ids=KINDS)
async def test_a_policy_in_testing_reports_and_delivers(server: Server, result: str, trust: Path) -> None:
    told, remote = Told(), offering(server)
    assert isinstance(await handed(remote, TESTING, trust, told), Delivered)
    assert remote.received[0].encrypted
    assert told.kinds == [("sts", result)]
    told.clear()
    assert isinstance(await handed(offering(GOOD), TESTING, trust, told), Delivered)
    assert told.kinds == [("sts", "")]


async def test_a_host_that_the_policy_does_not_name_is_not_even_connected_to(trust: Path) -> None:
    """MX records were forged."""
    told, remote = Told(), offering(GOOD)
    elsewhere = Published(StsPolicy("enforce", 86_400, ("mx.example.com",)))
    assert isinstance(await handed(remote, elsewhere, trust, told), Defer)
    assert not remote.connections
    assert told.kinds == [("sts", "validation-failure")]


async def test_in_testing_such_a_host_gets_the_mail_and_is_reported(trust: Path) -> None:
    told, remote = Told(), offering(GOOD)
    elsewhere = Published(StsPolicy("testing", 86_400, ("mx.example.com",)))
    assert isinstance(await handed(remote, elsewhere, trust, told), Delivered)
    assert told.kinds == [("sts", "validation-failure")]


async def test_the_next_host_that_is_safe_enough_is_taken(trust: Path) -> None:
    first = offering(Server(HOST, **PAST))
    second = Server("mx2.example.net")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(first))
        other = Remote(port=first.port, extensions=STARTTLS, tls=second.context)
        await stack.enter_async_context(serving(other, "127.0.0.2"))
        stage = await stack.enter_async_context(relay(trust=trust))
        verdict = await stage(letter(first.port, ENFORCE, hosts=("127.0.0.1", "127.0.0.2")))
    assert isinstance(verdict, Delivered)
    assert verdict.remote == "mx2.example.net"
    assert not first.received
    assert len(other.received) == 1


# -- downgrades


STRIPPED = [
    Remote(extensions=USUAL),
    Remote(extensions=STARTTLS, script={"STARTTLS": "454 4.7.0 Not now"}),
    Remote(extensions=STARTTLS, script={"EHLO": "502 5.5.1 What?"}),
]


@pytest.mark.parametrize("remote", STRIPPED, ids=["not offered", "refused", "no EHLO"])
@pytest.mark.parametrize(
    ("published", "kind"),
    [(ENFORCE, "sts"), (dane(tlsa(3, 1, 1, GOOD.der)), "tlsa"), (UNUSABLE, "tlsa")],
    ids=["mta-sts", "dane", "unusable"],
)
async def test_starttls_that_was_taken_away_does_not_help(
    remote: Remote, published: Published, kind: str, trust: Path
) -> None:
    told = Told()
    remote.port = 0
    verdict = await handed(remote, published, trust, told)
    assert isinstance(verdict, Defer)
    assert verdict.code == "4.7.4"
    assert not remote.received
    assert told.kinds == [(kind, "starttls-not-supported")]


async def test_without_a_policy_mail_goes_on_in_the_clear_and_is_counted(trust: Path) -> None:
    told, remote = Told(), Remote(extensions=USUAL)
    assert isinstance(await handed(remote, NOTHING, trust, told), Delivered)
    assert told.kinds == [("no-policy-found", "starttls-not-supported")]
    assert told[0].domain == "example.net"


async def test_never_means_that_our_side_wants_none(trust: Path) -> None:
    remote = offering(GOOD)
    assert isinstance(await handed(remote, ENFORCE, trust, tls="never"), Delivered)
    assert not remote.received[0].encrypted


@pytest.mark.parametrize(
    ("level", "published", "result"),
    [
        ("dane", NOTHING, "dane-required"),
        ("dane", ENFORCE, "dane-required"),
        ("dane", UNUSABLE, "tlsa-invalid"),
        ("mta-sts", NOTHING, "validation-failure"),
        ("mta-sts", Published(StsPolicy("testing", 1, ("mx.example.com",))), "validation-failure"),
    ],
)
async def test_our_side_may_want_more_than_a_domain_publishes(
    level: str, published: Published, result: str, trust: Path
) -> None:
    told, remote = Told(), offering(GOOD)
    assert isinstance(await handed(remote, published, trust, told, tls=level), Defer)
    assert not remote.connections
    assert [one.result for one in told] == [result]


@pytest.mark.parametrize(
    ("level", "published"),
    [
        ("mta-sts", ENFORCE),
        ("mta-sts", TESTING),
        ("mta-sts", dane(tlsa(3, 1, 1, GOOD.der))),
        ("dane", dane(tlsa(3, 1, 1, GOOD.der))),
    ],
)
async def test_and_gets_it(level: str, published: Published, trust: Path) -> None:
    remote = offering(GOOD)
    assert isinstance(await handed(remote, published, trust, tls=level), Delivered)
    assert remote.received[0].encrypted


# -- several policies at one site


async def test_a_safe_connection_serves_all_and_another_only_its_like(trust: Path) -> None:
    remote = offering(GOOD)
    async with serving(remote), relay(trust=trust) as stage:
        for published in (NOTHING, ENFORCE, NOTHING, dane(tlsa(3, 1, 1, GOOD.der)), TESTING, ENFORCE):
            assert isinstance(await stage(letter(remote.port, published)), Delivered)
    # One unverified, which DANE can make use of later, for it is known what was shown; one verified.
    assert remote.connections == 2


async def test_what_fails_for_one_policy_does_not_stop_mail_without(trust: Path) -> None:
    remote = offering(STRANGE)
    async with serving(remote), relay(trust=trust) as stage:
        assert isinstance(await stage(letter(remote.port, ENFORCE)), Defer)
        assert isinstance(await stage(letter(remote.port)), Delivered)
        assert isinstance(await stage(letter(remote.port, ENFORCE)), Defer)
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert len(remote.received) == 2


async def test_few_connections_are_given_up_for_mail_that_none_of_them_is_safe_enough_for(trust: Path) -> None:
    remote = offering(GOOD)
    verdicts: list[object] = []
    async with serving(remote), relay(trust=trust, connections=2) as stage:

        async def one(published: Published) -> None:
            verdicts.append(await stage(letter(remote.port, published)))

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(one, ENFORCE if number % 50 == 25 else NOTHING)
    assert [type(verdict) for verdict in verdicts] == [Delivered] * 200
    assert remote.most_open <= 2


async def test_mail_that_can_go_nowhere_does_not_wait_for_a_place(trust: Path) -> None:
    remote = offering(STRANGE, delay=0.05)
    verdicts: list[object] = []
    async with serving(remote), relay(trust=trust, connections=1) as stage, trio.open_nursery() as nursery:

        async def one(published: Published) -> None:
            verdicts.append(await stage(letter(remote.port, published)))

        for number in range(30):
            nursery.start_soon(one, ENFORCE if number % 10 == 5 else NOTHING)
    assert sorted(type(verdict).__name__ for verdict in verdicts) == ["Defer"] * 3 + ["Delivered"] * 27


async def test_a_session_counts_once_for_each_domain(trust: Path) -> None:
    told, remote = Told(), offering(GOOD)
    async with serving(remote), relay(told, trust=trust) as stage:
        for to in ("a@example.net", "b@EXAMPLE.net", "c@other.example", "a@bücher.example", "a@example.net"):
            assert isinstance(await stage(letter(remote.port, to=to)), Delivered | Reject)
    assert [one.domain for one in told] == ["example.net", "other.example", "xn--bcher-kva.example"]


# -- TLS-Required and REQUIRETLS (RFC 8689)


@pytest.mark.parametrize(
    ("field", "goes"),
    [(b"TLS-Required: No", True), (b"tls-required:  no ", True), (b"TLS-Required: Yes", False), (b"X: y", False),
     (b"TLS-Required: No\r\nTLS-Required: No", False)],
)  # fmt: skip
async def test_a_sender_may_waive_the_policy_of_the_domain(field: bytes, goes: bool, trust: Path) -> None:
    for remote in (offering(STRANGE), Remote(extensions=USUAL)):
        verdict = await handed(remote, ENFORCE, trust, content=field + b"\r\n\r\nHello\r\n")
        assert isinstance(verdict, Delivered if goes else Defer)


async def test_a_sender_does_not_waive_what_our_side_wants(trust: Path) -> None:
    content = b"TLS-Required: No\r\n\r\nHello\r\n"
    assert isinstance(await handed(Remote(extensions=USUAL), NOTHING, trust, tls="verify", content=content), Defer)
    assert isinstance(await handed(offering(STRANGE), ENFORCE, trust, tls="mta-sts", content=content), Defer)


@pytest.mark.parametrize("published", [NOTHING, ENFORCE, dane(tlsa(3, 1, 1, GOOD.der))], ids=["none", "sts", "dane"])
async def test_requiretls_is_passed_on(published: Published, trust: Path) -> None:
    remote = offering(GOOD, REQUIRETLS)
    assert isinstance(await handed(remote, published, trust, requiretls=True), Delivered)
    assert remote.received[0].encrypted
    assert any(command.startswith("MAIL") and command.endswith(" REQUIRETLS") for command in remote.commands)


@pytest.mark.parametrize(
    ("remote", "code"),
    [
        (offering(GOOD), "5.7.30"),
        (offering(STRANGE, REQUIRETLS), "5.7.10"),
        (Remote(extensions=USUAL), "5.7.10"),
        (Remote(extensions=(*USUAL, "REQUIRETLS")), "5.7.10"),  # promised in the clear: by whom?
    ],
    ids=["no promise", "bad certificate", "no TLS", "promised in the clear"],
)
async def test_requiretls_that_cannot_be_met_is_told_at_once(remote: Remote, code: str, trust: Path) -> None:
    remote.port = 0
    verdict = await handed(remote, NOTHING, trust, requiretls=True)
    assert isinstance(verdict, Reject), verdict
    assert (verdict.code, verdict.remote) == (code, HOST)
    assert not remote.received


async def test_requiretls_wants_servers_that_are_surely_those_of_the_domain(trust: Path) -> None:
    """RFC 8689 4.1, step 2: by DNSSEC or by MTA-STS."""
    remote = offering(GOOD, REQUIRETLS)
    verdict = await handed(remote, NOTHING, trust, requiretls=True, vouched=False)
    assert isinstance(verdict, Reject)
    assert verdict.code == "5.7.30"
    assert not remote.connections
    assert isinstance(await handed(remote, TESTING, trust, requiretls=True, vouched=False), Delivered)


async def test_requiretls_overrules_tls_required(trust: Path) -> None:
    content = b"TLS-Required: No\r\n\r\nHello\r\n"
    assert isinstance(
        await handed(offering(STRANGE, REQUIRETLS), ENFORCE, trust, requiretls=True, content=content), Reject
    )


async def test_requiretls_goes_to_whichever_host_can(trust: Path) -> None:
    first = offering(GOOD)
    second = Server("mx2.example.net")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(first))
        other = Remote(port=first.port, extensions=REQUIRETLS, tls=second.context)
        await stack.enter_async_context(serving(other, "127.0.0.2"))
        stage = await stack.enter_async_context(relay(trust=trust))
        verdict = await stage(letter(first.port, requiretls=True, hosts=("127.0.0.1", "127.0.0.2")))
    assert isinstance(verdict, Delivered)
    assert [len(remote.received) for remote in (first, other)] == [0, 1]


async def test_requiretls_waits_while_a_host_cannot_be_asked(trust: Path) -> None:
    remote = offering(GOOD)
    async with serving(remote), relay(trust=trust) as stage:
        verdict = await stage(letter(remote.port, requiretls=True, hosts=("127.0.0.1", "127.0.0.9")))
    assert isinstance(verdict, Defer)


async def test_a_report_on_such_a_message_is_rather_sent_than_lost_but_not_in_the_clear(trust: Path) -> None:
    """RFC 8689 5."""
    for extensions in (STARTTLS, REQUIRETLS):
        remote = offering(STRANGE, extensions)
        assert isinstance(await handed(remote, NOTHING, trust, requiretls=True, sender=""), Delivered)
        assert remote.received[0].encrypted
        assert any(command.endswith("REQUIRETLS") for command in remote.commands) is (extensions is REQUIRETLS)
    assert isinstance(await handed(Remote(extensions=USUAL), NOTHING, trust, requiretls=True, sender=""), Defer)


def test_policies_travel_as_facts() -> None:
    for published in (NOTHING, ENFORCE, TESTING, UNUSABLE, dane(tlsa(2, 0, 1, GOOD.der), domain="example.net")):
        assert Published.from_fact(published.fact) == published
    for wrong in ("x", {"sts": 1}, {"dane": [["a"]]}, {"dane": [["a", "b", [[3, 1, 1, "zz"]]]]}):
        with pytest.raises(ValueError):
            Published.from_fact(wrong)


# -- what is told to nobody


@pytest.mark.parametrize("published", [ENFORCE, NOTHING], ids=["a policy", "none"])
async def test_of_a_report_on_tls_nobody_hears(trust: Path, published: Published) -> None:
    """It goes whatever fails (RFC 8460 3), and if it were counted the reports would have no end."""
    told, remote = Told(), offering(STRANGE)
    content = b"TLS-Required: No\r\nSubject: Report Domain: example.net\r\n\r\n"
    assert isinstance(await handed(remote, published, trust, told, sender="", content=content), Delivered)
    assert remote.received[0].encrypted
    assert told == []


async def test_a_smart_host_says_nothing_of_the_domain(trust: Path) -> None:
    told, remote = Told(), offering(GOOD)
    async with serving(remote), relay(told, trust=trust) as stage:
        message = letter(remote.port).with_fact("resolve.smart_host", True)
        assert isinstance(await stage(message), Delivered)
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert told.kinds == [("no-policy-found", "")]
