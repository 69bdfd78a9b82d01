"""The stage `tenant`: whose mail it is, by what may say so, and what goes on of it."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Defer, Envelope, Message, MessageId, Rate, Recipient, Session
from engine.abuse import Tables
from engine.config import Campaign
from engine.config import Tenant as Table
from engine.egress import Egress, Plan
from engine.egress.tenants import Tenants
from engine.message import Octets
from engine.shaping.allowances import Allowances
from stages.tenant import Tenant


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse") as tables:
        yield tables


OURS = (ipaddress.ip_network("192.0.2.0/24"),)
TABLES = {
    "acme": Table(logins=("news@acme.test", "@mail.acme.test"), header=True),
    "globex": Table(networks=OURS, senders=("globex.test", "*.globex.test")),
    "initech": Table(header=True),
    "umbrella": Table(senders=("umbrella.test",)),
}
TRUSTED = Session(peer="198.51.100.1", trusted=True)


def stage(tables: dict[str, Table] = TABLES, egress: Egress | None = None, **settings: Any) -> Tenant:
    egress = egress or Egress()
    egress.plan = Plan(tenants=Tenants(tables))
    return Tenant(egress, **settings)


def letter(session: Session = TRUSTED, sender: str = "ann@example.org", header: str = "") -> Message:
    envelope = Envelope(sender, (Recipient("bob@example.net"),), session)
    return Message(MessageId.new(), envelope, Octets(f"{header}Subject: hello\r\n\r\nHello.\r\n".encode()))


def login(name: str) -> Session:
    return Session(peer="198.51.100.1", login=name, trusted=True)


@pytest.mark.parametrize(
    ("message", "tenant"),
    [
        (letter(login("news@acme.test")), "acme"),
        (letter(login("News@ACME.test")), "acme"),
        (letter(login("anyone@mail.acme.test")), "acme"),
        (letter(login("anyone@acme.test")), None),
        (letter(Session(peer="192.0.2.77", trusted=True)), "globex"),
        (letter(Session(peer="192.0.2.77")), None),
        (letter(Session(peer="")), None),
        (letter(sender="ann@globex.test"), "globex"),
        (letter(sender="ann@News.Globex.test"), "globex"),
        (letter(sender="ann@notglobex.test"), None),
        (letter(sender=""), None),
        (letter(Session(peer="198.51.100.1"), sender="ann@globex.test"), None),
        (letter(header="X-Tenant: initech\r\n"), "initech"),
        (letter(header="X-Tenant: umbrella\r\n"), None),
        (letter(header="X-Tenant: no-such\r\n", sender="a@umbrella.test"), "umbrella"),
        (letter(header="X-Tenant: initech\r\n", sender="a@umbrella.test"), "initech"),
        (letter(Session(peer="198.51.100.1"), header="X-Tenant: initech\r\n"), None),
        (letter(login("news@acme.test"), header="X-Tenant: initech\r\n"), "acme"),
        (letter(Session(peer="192.0.2.77", trusted=True), header="X-Tenant: initech\r\n"), "globex"),
    ],
)
async def test_whose_mail_it_is(message: Message, tenant: str | None) -> None:
    found = await stage()(message)
    assert isinstance(found, Message)
    assert found.fact("tenant.name") == tenant


@pytest.mark.parametrize(
    ("said", "campaign"),
    [("spring-2026", "spring-2026"), ("", None), ("a/b", None), ("../x", None), ("x" * 64, None), ("é", None)],
)
async def test_the_campaign(said: str, campaign: str | None) -> None:
    found = await stage()(letter(login("news@acme.test"), header=f"X-Campaign: {said}\r\n"))
    assert isinstance(found, Message)
    assert found.fact("tenant.campaign") == campaign


@pytest.mark.parametrize(
    ("account", "said", "campaign"),
    [
        ("News@acme.test", "", "spring"),
        ("news@acme.test", "summer", "spring"),
        ("bills@acme.test", "", "winter"),
        ("other@acme.test", "summer", "summer"),
        ("other@acme.test", "", None),
        ("ann@mail.acme.test", "", "autumn"),
    ],
)
async def test_the_campaign_of_a_login(account: str, said: str, campaign: str | None) -> None:
    table = Table(
        logins=("@acme.test", "@mail.acme.test"),
        campaigns={
            "spring": Campaign(logins=("news@acme.test",)),
            "winter": Campaign(logins=("Bills@acme.test",)),
            "autumn": Campaign(logins=("@mail.acme.test",)),
        },
    )
    found = await stage({"acme": table})(letter(login(account), header=f"X-Campaign: {said}\r\n" if said else ""))
    assert isinstance(found, Message)
    assert found.fact("tenant.name") == "acme"
    assert found.fact("tenant.campaign") == campaign


async def test_a_campaign_without_a_tenant_is_none() -> None:
    found = await stage()(letter(header="X-Campaign: spring\r\n"))
    assert isinstance(found, Message)
    assert not found.envelope.facts


async def test_the_header_fields_do_not_go_on() -> None:
    message = letter(Session(peer="198.51.100.1"), header="X-Tenant: initech\r\nX-Campaign: a\r\n")
    gone, kept = await stage()(message), await stage(remove_headers=False)(message)
    assert isinstance(gone, Message)
    assert isinstance(kept, Message)
    assert b"X-" not in b"".join(gone.chunks())
    assert b"X-Tenant: initech\r\nX-Campaign: a\r\n" in b"".join(kept.chunks())


async def test_other_names_of_header_fields() -> None:
    found = await stage(tenant_header="X-Customer", campaign_header="")(
        letter(header="X-Customer: initech\r\nX-Campaign: a\r\nX-Tenant: acme\r\n")
    )
    assert isinstance(found, Message)
    assert dict(found.envelope.facts) == {"tenant.name": "initech"}
    assert b"X-Campaign: a\r\nX-Tenant: acme\r\n" in b"".join(found.chunks())


async def test_too_much_is_refused_where_that_is_wanted(tables: Tables) -> None:
    table = Table(senders=("example.org",), messages=(Rate("1/1h"),), when_full="refuse")
    made = stage({"acme": table}, Egress(tables, Allowances(tables)))
    assert isinstance(await made(letter()), Message)
    refusal = await made(letter())
    assert isinstance(refusal, Defer)
    assert (refusal.code, refusal.line) == ("4.7.1", "")
    assert isinstance(await made(letter(sender="ann@other.test")), Message)


def test_what_is_no_name_of_a_header_field() -> None:
    assert list(Tenant.check(tenant_header="X Tenant", campaign_header="X-Campaign")) == [
        "tenant_header = 'X Tenant' is no name of a header field (RFC 5322 2.2)"
    ]


async def test_a_rehearsal_says_whose_mail_it_is_whatever_was_sent(tables: Tables) -> None:
    limited = {"umbrella": Table(senders=("umbrella.test",), messages=(Rate("1/1d"),), when_full="refuse")}
    found = stage(limited, Egress(tables, Allowances(tables)))
    about = letter(sender="ann@umbrella.test")
    assert isinstance(await found(about), Message)
    assert isinstance(await found(about), Defer)
    said = await found.rehearse(about)
    assert isinstance(said, Message)
    assert said.fact("tenant.name") == "umbrella"
