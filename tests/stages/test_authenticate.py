"""The stage `authenticate`: whom it checks, what it takes away and writes, and when it refuses."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine import Duration, Message, Reject, Session
from engine.authentication.dkim import sign
from engine.authentication.fields import split_message
from engine.message import PARK, RELEASED
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.net.zone import Zone, serve_zone
from engine.observe.measures import measures
from engine.reports.counts import Counts
from engine.reports.tally import Tally
from engine.stage import load_stage
from stages.authenticate import Authenticate
from tests.authentication.letters import HEADER, letter, records, rsa_signer, sealed
from tests.support.messages import message

OURS = Hostname("mx.example.org")


def zone() -> Zone:
    txt = {
        "example": "v=spf1 ip4:192.0.2.1 -all",
        "_dmarc.example": "v=DMARC1; p=reject",
        "_dmarc.soft": "v=DMARC1; p=quarantine",
        "_dmarc.mild": "v=DMARC1; p=none",
        "_dmarc.told": "v=DMARC1; p=reject; rua=mailto:dmarc@told.com",
    }
    names = {name: {"TXT": f'"{text}"'} for name, text in txt.items()}
    keys = {
        name.removesuffix(".com"): {"TXT": f'"{key.decode()[:200]}" "{key.decode()[200:]}"'}
        for name, key in records().items()
    }
    return Zone("com", names | keys | {"mx.example": {"A": "192.0.2.1"}})


@pytest.fixture
async def resolver(nursery):
    reverse = Zone("2.0.192.in-addr.arpa", {"1": {"PTR": "mx.example.com."}})
    return Resolver([await nursery.start(serve_zone, zone(), reverse)])


def came(content: bytes = letter(HEADER), sender: str = "ada@example.com", **session) -> Message:
    """A message from a client, with the trace that accept has put on top."""
    about = message(content=content, sender=sender).with_header("Received", "from somewhere")
    usual = {"peer": "192.0.2.1", "helo": "mx.example.com"} | session
    return replace(about, envelope=replace(about.envelope, session=Session(**usual)))


def authenticate(resolver: Resolver, **settings) -> Authenticate:
    return Authenticate(resolver, OURS, Tally(Path("nowhere")), **settings)


def fields(about: Message) -> list[str]:
    return about.headers("Authentication-Results")


async def test_what_was_found_is_written_on_top_and_left_as_facts(resolver) -> None:
    about = await authenticate(resolver)(came())
    assert isinstance(about, Message)
    assert about.header_octets().startswith(b"Authentication-Results: mx.example.org;\r\n\tspf=pass")
    (written,) = fields(about)
    assert re.search(r"dmarc=pass \(.*\) header.from=example.com policy.dmarc=none", written.replace("\t", " "))
    assert (about.fact("spf.result"), about.fact("dmarc.result"), about.fact("iprev.name")) == (
        "pass", "pass", "mx.example.com",
    )  # fmt: skip


async def test_what_was_found_is_counted(resolver) -> None:
    before = dict(counted())
    await authenticate(resolver)(came())
    await authenticate(resolver)(came(login="ann@example.org", trusted=True))
    more = {labels: value - before.get(labels, 0) for labels, value in counted()}
    for labels in (("spf", "pass"), ("dkim", "none"), ("dmarc", "pass"), ("auth", "pass")):
        assert more[labels] == 1, labels


def counted() -> Iterator[tuple[tuple[str, ...], float]]:
    """Method and result, and how often there was that."""
    for name, labels, value in measures.samples():
        if name == "postroad_authentication_total":
            yield tuple(text for _, text in labels), value


FORGED = [
    b"Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example\r\n",
    b"authentication-results : MX.EXAMPLE.ORG;\r\n\tspf=pass\r\n",
    b'Authentication-Results:\r\n ("mx") "mx.example.org" 1; spf=pass\r\n',
    b"Authentication-Results: mx.example.org spf=pass\r\n",
    b"Authentication-Results: ; mx.example.org (\r\n",
]


@pytest.mark.parametrize("session", [{}, {"login": "ann@example.org", "trusted": True}, {"trusted": True}])
@pytest.mark.parametrize("forged", [*FORGED, b"".join(FORGED)])
async def test_forged_fields_do_not_go_on_and_those_of_others_do(resolver, forged: bytes, session: dict) -> None:
    other = b"Authentication-Results: mx.example.net; spf=pass\r\n"
    about = await authenticate(resolver)(came(forged + other + letter(HEADER) + forged, **session))
    assert isinstance(about, Message)
    assert [field.partition(";")[0] for field in fields(about)] == ["mx.example.org", "mx.example.net"]
    assert b"".join(about.chunks()).endswith(other + letter(HEADER) + forged)  # what looks so in the body stays


async def test_another_name_for_all_servers_of_a_site(resolver) -> None:
    octets = b"".join(FORGED) + b"Authentication-Results: example.org; spf=pass\r\n" + letter(HEADER)
    about = await authenticate(resolver, authserv_id="example.org")(came(octets))
    assert isinstance(about, Message)
    names = [field.partition(";")[0] for field in fields(about)]
    assert names[0] == "example.org"
    assert len(names) == 1 + len(FORGED)


@pytest.mark.parametrize(
    ("session", "written", "facts"),
    [
        ({"login": "ann@example.org", "trusted": True}, "mx.example.org; auth=pass smtp.auth=ann@example.org", "pass"),
        ({"trusted": True}, "mx.example.org; none", None),
        ({"peer": ""}, "mx.example.org; none", None),
    ],
)
async def test_what_begins_here_is_not_checked(session: dict, written: str, facts: str | None) -> None:
    resolver = Resolver(["127.0.0.1:1"])  # nobody
    about = await authenticate(resolver, dmarc="apply")(came(**session))
    assert isinstance(about, Message)
    assert [" ".join(field.split()) for field in fields(about)] == [written]
    assert dict(about.envelope.facts) == ({"auth.result": facts} if facts else {})


def of(domain: str) -> bytes:
    return letter([f"From: <a@{domain}>\r\n".encode(), b"Subject: x\r\n"])


@pytest.mark.parametrize(
    ("domain", "verdict"),
    [
        ("example.com", Reject),
        ("a.example.com", Reject),
        ("soft.com", Message),
        ("mild.com", Message),
        ("other.com", Message),
    ],
)
async def test_the_policy_of_a_domain_is_noted_or_applied(resolver, domain: str, verdict: type) -> None:
    about = came(of(domain), sender="a@other.com", peer="192.0.2.9")
    noted = await authenticate(resolver)(about)
    assert isinstance(noted, Message)
    assert noted.fact("dmarc.result") == ("none" if domain == "other.com" else "fail")
    applied = await authenticate(resolver, dmarc="apply")(about)
    assert isinstance(applied, verdict)
    if isinstance(applied, Reject):
        assert (applied.code, applied.text) == ("5.7.26", "Rejected by the DMARC policy of example.com")
    else:
        assert (applied.fact(PARK) is not None) == (domain == "soft.com")
        assert fields(applied) == fields(noted)


async def test_what_an_operator_released_is_not_parked_again(resolver) -> None:
    about = came(of("soft.com"), sender="a@other.com", peer="192.0.2.9").with_fact(RELEASED, "the DMARC policy")
    applied = await authenticate(resolver, dmarc="apply")(about)
    assert isinstance(applied, Message)
    assert (applied.fact(PARK), applied.fact("dmarc.disposition")) == (None, "quarantine")


@pytest.mark.parametrize(
    ("domain", "changes", "counted"),
    [
        ("told.com", {}, [("none", "local_policy")]),
        ("told.com", {"dmarc": "apply"}, [("reject", "")]),
        ("soft.com", {}, []),  # nobody asks
        ("other.com", {}, []),
    ],
)
async def test_what_is_counted_for_reports(resolver, tmp_path, domain: str, changes: dict, counted: list) -> None:
    stage = authenticate(resolver, **changes)
    about = came(of(domain), sender="a@other.com", peer="192.0.2.9")
    await stage(about)  # reports are off
    stage.tally = Tally(tmp_path / "reports", lambda: 7)
    stage.tally.on = True
    await stage(about)
    await stage(came(of(domain), trusted=True))
    await stage(about.with_fact(RELEASED, "odd"))
    await stage(replace(about, envelope=replace(about.envelope, attempts=1)))
    report = letter([f"From: <a@{domain}>\r\n".encode(), b"Subject: Report domain: example.org Submitter: x\r\n"])
    await stage(came(report, sender="a@other.com", peer="192.0.2.9"))
    stage.tally.close()
    counts = Counts.open(tmp_path / "reports")
    found = [counts.read(key) for key in counts.due(8)]
    counts.close()
    rows = [(row.disposition, row.reason, count) for one in found if one for row, count in one[1]]
    assert rows == [(*row, 1) for row in counted]


async def test_a_trusted_sealer(resolver) -> None:
    header = sealed(HEADER, 1, results="i=1; list.example; dmarc=pass header.from=example.com")
    about = came(letter(header), sender="list@other.com", peer="192.0.2.9")
    assert isinstance(await authenticate(resolver, dmarc="apply")(about), Reject)
    trusting = authenticate(resolver, dmarc="apply", trusted_sealers=("Example.COM",))
    saved = await trusting(about)
    assert isinstance(saved, Message)
    assert (saved.fact("arc.result"), saved.fact("dmarc.policy"), saved.fact("dmarc.disposition")) == (
        "pass", "reject", "none",
    )  # fmt: skip


async def test_what_we_put_on_top_before_does_not_matter_to_signatures(resolver) -> None:
    octets = letter(HEADER)
    octets = sign(*split_message([octets]), [rsa_signer()], time.time()) + octets  # which forbids a second Subject
    about = came(octets).with_header("Subject", "[external] Dinner")
    checked = await authenticate(resolver)(about)
    assert isinstance(checked, Message)
    assert checked.fact("dkim[0].result") == "pass"


async def test_without_a_resolver_that_answers_mail_goes_on() -> None:
    silent = Resolver(["127.0.0.1:1"], timeout=0.2)
    about = await authenticate(silent, dmarc="apply", time_limit=Duration("5s"))(came())
    assert isinstance(about, Message)
    assert [about.fact(name) for name in ("spf.result", "dmarc.result", "iprev.result")] == ["temperror"] * 3


def test_the_engine_finds_it() -> None:
    spec = load_stage("authenticate", "", Path())
    assert spec.target is Authenticate
    assert spec.services == {"resolver": Resolver, "hostname": Hostname, "tally": Tally}


def test_settings_that_cannot_work() -> None:
    assert [*Authenticate.check(trusted_sealers=("ok.example", "ä" * 300))] != []
    assert [*Authenticate.check(trusted_sealers=("ok.example",))] == []
